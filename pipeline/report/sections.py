"""What a report shows of one stage, taken from the run's files as plain values for the templates. Absent stays None."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline import stats
from pipeline.gates import Decision
from pipeline.protocol import CONDITIONS, OPTIONAL_CONDITIONS, Rate
from pipeline.report.plots import Dot, Series, interval_plot, line_plot
from pipeline.report.reading import RunFiles

SHOWN_ITEMS = 8
CURVES: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]] = {
    "sft": (("SFT loss (nats a token)", ("loss", "eval_loss")),),
    "dpo": (
        ("DPO loss", ("loss", "eval_loss")),
        ("DPO log-probabilities (nats)", ("logps/chosen", "logps/rejected")),
        ("DPO reward margin and accuracy", ("rewards/margins", "rewards/accuracies")),
    ),
}


def stage_view(files: RunFiles, stage: int) -> dict[str, Any]:
    """Everything about one stage; each part says for itself when its files are missing."""
    decision = files.gate(stage)
    rates = condition_rates(files, stage, decision)
    detail: Mapping[str, Any] = decision.detail if decision else {}
    return {
        "number": stage,
        "decision": decision,
        "conditions": conditions(rates),
        "rates_svg": rates_plot(rates, decision),
        "comparisons": detail.get("comparisons") or [],
        "families": detail.get("families") or [],
        "fdr": detail.get("fdr"),
        "detail": detail,
        "discordant": discordant(files, stage, detail),
        "failures": failures(files, stage),
        "funnel": funnel(files, stage),
        "rejections": rejections(files, stage),
        "pairs": pairs(files, stage),
        "known": known_truth(files, stage),
        "critics": critics(files, stage),
        "coverage": files.json(f"stage-{stage}/filter/coverage.json"),
        "qc": facts(files.json(f"stage-{stage}/filter/qc.json")),
        "curves": {step: curves(files, stage, step) for step in CURVES},
        "checks": checks(files, stage, detail),
    }


def condition_rates(files: RunFiles, stage: int, decision: Decision | None) -> dict[str, Rate | None]:
    """The gate's own rates, else those of the evaluation summaries; None where a condition was not measured."""
    found: dict[str, Any] = {}
    for number in (0, stage):
        found |= files.measured(number, stage)
    known = {*found, *(decision.rates if decision is not None else ())}
    rates: dict[str, Rate | None] = {}
    for condition in (c for c in CONDITIONS if c not in OPTIONAL_CONDITIONS or c in known):
        if decision is not None and condition in decision.rates:
            rates[condition] = decision.rates[condition]
        else:
            rates[condition] = _rate(found.get(condition))
    return rates


def conditions(rates: Mapping[str, Rate | None]) -> list[dict[str, Any]]:
    rows = []
    for condition, rate in rates.items():
        row: dict[str, Any] = {"condition": condition, "rate": rate}
        if rate is not None and rate.trials:
            row["strict"] = rate.successes / rate.trials
            row["lenient"] = rate.lenient_successes / rate.trials
            row["lenient_bounds"] = stats.wilson_interval(rate.lenient_successes, rate.trials)
        rows.append(row)
    return rows


def rates_plot(rates: Mapping[str, Rate | None], decision: Decision | None) -> str:
    dots = [
        Dot(c, r.successes / r.trials, r.low, r.high, r.lenient_successes / r.trials)
        for c, r in rates.items()
        if r is not None and r.trials
    ]
    title = "Held-out instructions followed: strict (filled, 95 % interval) and lenient (hollow)"
    return interval_plot(dots, title, decision.threshold if decision else None)


def discordant(files: RunFiles, stage: int, detail: Mapping[str, Any]) -> dict[str, Any] | None:
    """Some of the items on which tuned and base-formatted disagree, with both answers and both reasons."""
    tests = detail.get("comparisons") or []
    if not tests:
        return None
    won, lost = tests[0].get("only_a") or [], tests[0].get("only_b") or []
    shown = set(won[:SHOWN_ITEMS]) | set(lost[:SHOWN_ITEMS])
    tuned = _by_item(files.rows(files.evaluation(stage, "tuned")), shown)
    base = _by_item(files.rows(files.evaluation(stage, "base-formatted")), shown)
    pick = [(item, tuned.get(item, {}), base.get(item, {})) for item in (*lost[:SHOWN_ITEMS], *won[:SHOWN_ITEMS])]
    rows = [
        {
            "won": item in set(won),
            "item": item,
            "instruction": t.get("instruction") or t.get("prompt"),
            "tuned": t.get("text"),
            "tuned_reason": t.get("lenient_reason"),
            "base": b.get("text"),
            "base_reason": b.get("lenient_reason"),
        }
        for item, t, b in pick
    ]
    return {"won": len(won), "lost": len(lost), "rows": rows}


def failures(files: RunFiles, stage: int) -> list[tuple[str, int]] | None:
    """Why the tuned model's strict failures failed, most frequent first; None without an evaluation."""
    path = files.evaluation(stage, "tuned")
    if not files.has(path):
        return None
    reasons = (str(row.get("strict_reason", "not said")) for row in files.rows(path) if row.get("strict") is False)
    return Counter(reason.partition(":")[0] for reason in reasons).most_common(12)


def funnel(files: RunFiles, stage: int) -> list[tuple[str, int | None]]:
    """Generated → unique → answered → accepted → trained, each None where its file is missing."""
    base = f"stage-{stage}"
    kept, dropped = files.count(f"{base}/generate/records.jsonl"), files.count(f"{base}/generate/rejected.jsonl")
    answers = f"{base}/answer/records.jsonl"
    asked = len({row.get("instruction") for row in files.rows(answers)}) if files.has(answers) else None
    trained = ((files.manifest(f"{base}/sft") or {}).get("summary") or {}).get("rows")
    return [
        ("instructions generated", None if kept is None else kept + (dropped or 0)),
        ("unique and well-formed", kept),
        ("instructions answered", asked),
        ("answers sampled", files.count(answers)),
        ("examples accepted", files.count(f"{base}/filter/sft.jsonl")),
        ("examples trained on", trained if isinstance(trained, int) else None),
        ("preference pairs", files.count(f"{base}/pairs/pairs.jsonl")),
    ]


def rejections(files: RunFiles, stage: int) -> dict[str, list[tuple[str, int]]]:
    """Reasons of rejection by step, most frequent first."""
    sources = {"generate": ("generate/rejected.jsonl", "rejected"), "filter": ("filter/rejected.jsonl", "reason")}
    found = {}
    for step, (path, name) in sources.items():
        reasons = (str(row.get(name) or "not said") for row in files.rows(f"stage-{stage}/{path}"))
        found[step] = Counter(reason.partition(":")[0] for reason in reasons).most_common(12)
    return {step: counts for step, counts in found.items() if counts}


def pairs(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """Sources, token lengths and known correctness of the preference pairs."""
    rows = list(files.rows(f"stage-{stage}/pairs/pairs.jsonl"))
    if not rows:
        return None
    lengths = [
        (r["chosen_tokens"], r["rejected_tokens"]) for r in rows if r.get("chosen_tokens") and r.get("rejected_tokens")
    ]
    return {
        "count": len(rows),
        "sources": Counter(str(r.get("source", "not said")) for r in rows).most_common(),
        "chosen_tokens": sum(c for c, _ in lengths) / len(lengths) if lengths else None,
        "rejected_tokens": sum(r for _, r in lengths) / len(lengths) if lengths else None,
        "chosen_wrong": _wrong(r.get("chosen_known_right") for r in rows),
        "rejected_wrong": _wrong(r.get("rejected_known_right") for r in rows),
    }


def known_truth(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """What share of the kept and of the rejected answers is wrong, wherever truth is known; by family for the kept."""
    path = f"stage-{stage}/filter/sft.jsonl"
    if not files.has(path):
        return None
    families: dict[str, list[bool | None]] = {}
    for row in files.rows(path):
        families.setdefault(str(row.get("family")), []).append(row.get("known_right"))
    dropped = [row.get("known_right") for row in files.rows(f"stage-{stage}/filter/rejected.jsonl")]
    return {
        "kept": _wrong(known for values in families.values() for known in values),
        "rejected": _wrong(dropped),
        "families": [(family, len(values), _wrong(values)) for family, values in sorted(families.items())],
    }


def critics(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """The calibration table: AUC of every critic in every family, threshold, precision, and the blind families."""
    raw = files.json(f"stage-{stage}/critique/calibration.json")
    if raw is None or not isinstance(raw.get("families"), dict):
        return None
    families = {str(name): row for name, row in sorted(raw["families"].items()) if isinstance(row, dict)}
    names = sorted({critic for row in families.values() for critic in (row.get("auc") or {})})
    rows = [
        {
            "family": family,
            "n": row.get("n"),
            "auc": [(row.get("auc") or {}).get(name) for name in names],
            "threshold": row.get("threshold"),
            "precision": row.get("precision"),
            "blind": row.get("blind"),
        }
        for family, row in families.items()
    ]
    blind = [row["family"] for row in rows if row["blind"]]
    unknown = [row["family"] for row in rows if row["blind"] is None]
    return {"names": names, "rows": rows, "blind": blind, "unknown": unknown, "overall": facts(raw.get("overall"))}


def curves(files: RunFiles, stage: int, step: str) -> dict[str, Any] | None:
    """Loss and companions of a training step as SVG and as first/last values; None without metrics."""
    rows = list(files.rows(f"stage-{stage}/{step}/metrics.jsonl"))
    if not rows:
        return None
    plots, ends = [], []
    for title, names in CURVES[step]:
        series = [Series(name, points) for name in names if (points := _points(rows, name))]
        plots.append(line_plot(series, f"Stage {stage}: {title}"))
        ends += [(one.label, one.points[0][1], one.points[-1][1], len(one.points)) for one in series]
    return {"svg": [plot for plot in plots if plot], "ends": ends}


def checks(files: RunFiles, stage: int, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Scorer audit, A/A check and leak check, from the gate or from the summaries."""
    zero, own = files.summary(0), files.summary(stage)
    return {
        "audit": detail.get("audit") or own.get("audit") or zero.get("audit"),
        "aa": detail.get("aa") or own.get("aa") or zero.get("aa"),
        "leaks": detail.get("leaks"),
    }


def facts(raw: Any) -> list[tuple[str, Any]] | None:
    """A JSON object as rows, nested names joined with a dot; None when there is none."""
    if not isinstance(raw, dict):
        return None
    rows: list[tuple[str, Any]] = []
    for name, value in raw.items():
        if isinstance(value, dict):
            rows += [(f"{name}.{inner}", v) for inner, v in facts(value) or []]
        elif isinstance(value, list):
            rows.append((str(name), ", ".join(map(str, value)) or "none"))
        else:
            rows.append((str(name), value))
    return rows


def _rate(raw: Any) -> Rate | None:
    try:
        strict, lenient, trials = int(raw["strict"]), int(raw["lenient"]), int(raw["trials"])
        low, high = stats.wilson_interval(strict, trials)
    except (KeyError, TypeError, ValueError):
        return None
    return Rate(strict, trials, low, high, lenient)


def _by_item(rows: Iterable[Mapping[str, Any]], wanted: set[str]) -> dict[str, Mapping[str, Any]]:
    return {str(row.get("item")): row for row in rows if row.get("item") in wanted}


def _wrong(known: Iterable[bool | None]) -> dict[str, Any]:
    """Wrong among the rows whose truth is known; share None when it is known of none."""
    values = list(known)
    told = [value for value in values if value is not None]
    wrong = sum(1 for value in told if value is False)
    return {"rows": len(values), "known": len(told), "wrong": wrong, "share": wrong / len(told) if told else None}


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """(step, value) wherever both are finite numbers."""
    found = []
    for row in rows:
        x, y = row.get("step"), row.get(name)
        if isinstance(x, int | float) and isinstance(y, int | float) and math.isfinite(y):
            found.append((float(x), float(y)))
    return found

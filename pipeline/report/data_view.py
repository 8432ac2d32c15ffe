"""What a report shows of a stage's data: how many rows reach which step, why others did not, how long, how right and
how clean they are. Absent stays None."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.protocol import QUALITY
from pipeline.report.charts import bar_plot
from pipeline.report.reading import RunFiles

RULES = ("shorter_is_chosen", "refusal_is_rejected")


@dataclass(frozen=True, slots=True)
class Lengths:
    """Token counts of some texts: quartiles by linear interpolation."""

    what: str
    n: int
    low: float
    first: float
    median: float
    third: float
    high: float


def data_view(files: RunFiles, stage: int) -> dict[str, Any]:
    """Everything about one stage's data."""
    recipe = (files.json("run.json") or {}).get("recipe") or {}
    return {
        "funnel": funnel(files, stage),
        "rejections": rejections(files, stage),
        "pairs": pairs(files, stage),
        "known": known_truth(files, stage),
        "critics": critics(files, stage),
        "coverage": coverage(files, stage),
        "quality": quality(files, stage),
        "shortcuts": shortcuts(files, stage, recipe.get("data") or {}),
        "lengths": lengths(files, stage),
        "rehearsal": rehearsal(files, stage),
    }


def funnel(files: RunFiles, stage: int) -> list[tuple[str, int | None]]:
    """Generated → unique → answered → accepted → trained, each None where its file is missing."""
    base = f"stage-{stage}"
    kept, dropped = files.count(f"{base}/generate/records.jsonl"), files.count(f"{base}/generate/rejected.jsonl")
    answers = f"{base}/answer/records.jsonl"
    asked = len({row.get("instruction") for row in files.rows(answers)}) if files.has(answers) else None
    trained = (files.said(f"{base}/sft") or {}).get("rows")
    rows = [
        ("instructions generated", None if kept is None else kept + (dropped or 0)),
        ("unique and well-formed", kept),
        ("instructions answered", asked),
        ("answers sampled", files.count(answers)),
        ("revisions written", files.count(f"{base}/revise/records.jsonl")),
        ("examples accepted", files.count(f"{base}/filter/sft.jsonl")),
        ("rows of earlier stages rehearsed", files.count(f"{base}/filter/rehearsal.jsonl")),
        ("examples trained on", trained if isinstance(trained, int) else None),
        ("preference pairs", files.count(f"{base}/pairs/pairs.jsonl")),
    ]
    revises = (files.said(f"{base}/revise") or {}).get("rounds") != 0
    return [row for row in rows if revises or row[0] != "revisions written"]


def rejections(files: RunFiles, stage: int) -> dict[str, list[tuple[str, int]]]:
    """Reasons of rejection by step, most frequent first."""
    sources = {"generate": ("generate/rejected.jsonl", "rejected"), "filter": ("filter/rejected.jsonl", "reason")}
    found = {}
    for step, (path, name) in sources.items():
        reasons = (str(row.get(name) or "not said") for row in files.rows(f"stage-{stage}/{path}"))
        found[step] = Counter(reason.partition(":")[0] for reason in reasons).most_common(12)
    return {step: counts for step, counts in found.items() if counts}


def pairs(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """Sources and known correctness of the preference pairs."""
    rows = list(files.rows(f"stage-{stage}/pairs/pairs.jsonl"))
    if not rows:
        return None
    return {
        "count": len(rows),
        "sources": Counter(str(row.get("source", "not said")) for row in rows).most_common(),
        "chosen_wrong": wrong(row.get("chosen_known_right") for row in rows),
        "rejected_wrong": wrong(row.get("rejected_known_right") for row in rows),
    }


def shortcuts(files: RunFiles, stage: int, data: Any) -> list[dict[str, Any]] | None:
    """How far a rule without understanding would tell chosen from rejected; None where no pairs were finished.
    A share of None: too few pairs to say."""
    said = files.said(f"stage-{stage}/pairs")
    if said is None or "skipped" in said:
        return None
    limit = data.get("max_shortcut") if isinstance(data, dict) else None
    return [{"rule": rule.replace("_", " "), "share": said.get(rule), "limit": limit} for rule in RULES]


def lengths(files: RunFiles, stage: int) -> list[Lengths]:
    """Tokens of answers, revisions and both sides of the pairs; those without any are left out."""
    base = f"stage-{stage}"
    sources = (
        ("answers sampled", f"{base}/answer/records.jsonl", "tokens"),
        ("revisions", f"{base}/revise/records.jsonl", "tokens"),
        ("chosen", f"{base}/pairs/pairs.jsonl", "chosen_tokens"),
        ("rejected", f"{base}/pairs/pairs.jsonl", "rejected_tokens"),
        ("held-out, base few-shot", files.evaluation(stage, "base-few-shot"), "tokens"),
        ("held-out, tuned", files.evaluation(stage, "tuned"), "tokens"),
    )
    found = (spread(what, (row.get(name) for row in files.rows(path))) for what, path, name in sources)
    return [one for one in found if one is not None]


def spread(what: str, values: Iterable[Any]) -> Lengths | None:
    """Quartiles of the whole numbers among `values`; None without any."""
    known = sorted(value for value in values if isinstance(value, int) and not isinstance(value, bool))
    if not known:
        return None
    first, median, third = (
        statistics.quantiles(known, n=4, method="inclusive") if len(known) > 1 else [float(known[0])] * 3
    )
    return Lengths(what, len(known), known[0], first, median, third, known[-1])


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
        "kept": wrong(known for values in families.values() for known in values),
        "rejected": wrong(dropped),
        "families": [(family, len(values), wrong(values)) for family, values in sorted(families.items())],
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


def coverage(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """How often each principle was dealt; `unused` None where the file does not say."""
    raw = files.json(f"stage-{stage}/filter/coverage.json")
    if raw is None:
        return None
    found = raw.get("counts")
    counts: dict[str, Any] = found if isinstance(found, dict) else {}
    known = [(str(name), n) for name, n in counts.items() if isinstance(n, int)]
    unused = raw.get("unused")
    plot = bar_plot(known, f"Stage {stage}: how often each principle was dealt")
    return {"counts": known, "unused": unused if isinstance(unused, list) else None, "svg": plot}


def quality(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """Each number of data quality beside its limit; None where nothing was measured."""
    raw = files.json(f"stage-{stage}/filter/qc.json")
    if raw is None:
        return None
    found = raw.get("limits")
    limits: dict[str, Any] = found if isinstance(found, dict) else {}
    rows = []
    for name, limit in QUALITY:
        value, bound = raw.get(name), limits.get(limit)
        rows.append(
            {
                "name": name.replace("_", " "),
                "share": name.endswith("rate") or name == "acceptance",
                "value": value,
                "side": "at least" if limit.startswith("min") else "at most",
                "limit": bound,
                "held": _held(value, bound, limit.startswith("min")),
            }
        )
    breaches = raw.get("breaches")
    return {"rows": rows, "breaches": [str(b) for b in breaches] if isinstance(breaches, list) else None}


def _held(value: Any, bound: Any, at_least: bool) -> bool | None:
    if not isinstance(value, int | float) or not isinstance(bound, int | float):
        return None
    return value >= bound if at_least else value <= bound


def rehearsal(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """Rows of earlier stages among the training data; None where that file is missing."""
    path = f"stage-{stage}/filter/rehearsal.jsonl"
    if not files.has(path):
        return None
    rows = list(files.rows(path))
    own = files.count(f"stage-{stage}/filter/sft.jsonl")
    total = None if own is None else own + len(rows)
    stages: Sequence[tuple[Any, int]] = sorted(Counter(row.get("stage") for row in rows).items(), key=str)
    return {"rows": len(rows), "share": len(rows) / total if total else None, "stages": stages}


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


def wrong(known: Iterable[bool | None]) -> dict[str, Any]:
    """Wrong among the rows whose truth is known; share None when it is known of none."""
    values = list(known)
    told = [value for value in values if value is not None]
    count = sum(1 for value in told if value is False)
    return {"rows": len(values), "known": len(told), "wrong": count, "share": count / len(told) if told else None}

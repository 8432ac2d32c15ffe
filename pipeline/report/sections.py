"""What a report shows of one stage, taken from the run's files as plain values for the templates. Absent stays None."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pipeline.gates import BASE, TUNED, Decision
from pipeline.report import failing, rates
from pipeline.report.data_view import data_view, facts
from pipeline.report.opinion_view import opinion_view
from pipeline.report.plots import Series, interval_plot, line_plot
from pipeline.report.reading import RunFiles
from pipeline.report.revision_view import revision_view

SHOWN_ITEMS = 8
LOSSES = ("loss", "eval_loss")
CURVES: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]] = {
    "sft": (
        ("SFT loss (nats a token)", LOSSES),
        ("SFT token accuracy and entropy", ("mean_token_accuracy", "entropy")),
    ),
    "dpo": (
        ("preference loss", LOSSES),
        ("log-probabilities (nats)", ("logps/chosen", "logps/rejected")),
        ("rewards", ("rewards/chosen", "rewards/rejected", "rewards/margins")),
        ("share of pairs told apart", ("rewards/accuracies",)),
        ("ORPO parts (nats)", ("nll_loss", "log_odds_ratio", "log_odds_chosen")),
    ),
}


def stage_view(files: RunFiles, stage: int, decision: Decision | None) -> dict[str, Any]:
    """Everything about one stage; each part says for itself when its files are missing."""
    found = rates.conditions(files, stage, decision)
    detail: Mapping[str, Any] = decision.detail if decision else {}
    families = failing.families(files, stage, decision)
    return {
        "number": stage,
        "decision": decision,
        "conditions": found,
        "rates_svg": rates_plot(found, decision),
        "comparisons": detail.get("comparisons") or [],
        "against": against(detail),
        "few_shot": few_shot_test(detail),
        "families": families,
        "failures": failing.split(families),
        "why": failing.why(decision, families),
        "fdr": detail.get("fdr"),
        "detail": detail,
        "discordant": discordant(files, stage, detail),
        "data": data_view(files, stage),
        "revisions": revision_view(files, stage),
        "curves": {step: curves(files, stage, step) for step in CURVES},
        "training": {step: training(files, stage, step) for step in CURVES},
        "merge": merge(files, stage),
        "checks": checks(files, stage, detail),
        "external": external(files, stage),
        "opinion": opinion_view(files, stage),
        "skipped": skipped(files, stage),
    }


def rates_plot(found: Mapping[str, rates.Measured | None], decision: Decision | None) -> str:
    title = "Held-out instructions followed: strict (filled, 95 % interval) and lenient (hollow)"
    return interval_plot(rates.dots(found), title, decision.threshold if decision else None)


def against(detail: Mapping[str, Any]) -> tuple[str, str]:
    """(condition, scoring) that the deciding test compares the tuned model with."""
    tests = detail.get("comparisons") or []
    condition, _, scoring = str(tests[0].get("b", "")).rpartition(" ") if tests else ("", "", "")
    return (condition or BASE, scoring or "lenient")


def few_shot_test(detail: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Tuned without examples against the base with them, both strict."""
    for test in detail.get("comparisons") or ():
        if test.get("a") == f"{TUNED} strict" and test.get("b") == "base-few-shot strict":
            return dict(test)
    return None


def discordant(files: RunFiles, stage: int, detail: Mapping[str, Any]) -> dict[str, Any] | None:
    """Some of the items on which the two sides of the deciding test disagree, with both answers and both reasons."""
    tests = detail.get("comparisons") or []
    if not tests:
        return None
    condition, scoring = against(detail)
    won, lost = tests[0].get("only_a") or [], tests[0].get("only_b") or []
    shown = [*lost[:SHOWN_ITEMS], *won[:SHOWN_ITEMS]]
    tuned = _by_item(files.rows(files.evaluation(stage, TUNED)), shown)
    other = _by_item(files.rows(files.evaluation(stage, condition)), shown)
    rows = [
        {
            "won": item in set(won),
            "item": item,
            "family": t.get("family"),
            "instruction": t.get("instruction") or t.get("prompt"),
            "tuned": t.get("text"),
            "tuned_reason": t.get(f"{scoring}_reason"),
            "other": o.get("text"),
            "other_reason": o.get(f"{scoring}_reason"),
        }
        for item, t, o in ((item, tuned.get(item, {}), other.get(item, {})) for item in shown)
    ]
    return {"won": len(won), "lost": len(lost), "rows": rows, "other": condition, "scoring": scoring}


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


def training(files: RunFiles, stage: int, step: str) -> dict[str, Any] | None:
    """What a training step noted of itself: rows, steps, tokens, warnings. None where it has not ended."""
    said = files.said(f"stage-{stage}/{step}")
    if said is None:
        return None
    names = ("backend", "rows", "dropped", "steps", "trainable_parameters", "trained_tokens_per_epoch", "loss_first",
             "loss_last")  # fmt: skip
    watch = said.get("watch")
    told = watch.get("told") if isinstance(watch, dict) else None
    return {
        "skipped": said.get("skipped"),
        "facts": [(name.replace("_", " "), said[name]) for name in names if name in said],
        "told": [str(one) for one in told] if isinstance(told, list) else [],
    }


def merge(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """The merged model against base plus adapter; None where nothing was merged. `parity` None: nothing to compare."""
    raw = files.json(f"stage-{stage}/merge/merge.json")
    if raw is None:
        return None
    found = raw.get("parity")
    names = ("tokens", "mean", "largest", "agreement", "tolerance", "precision", "prompts", "rounding", "effect")
    parity = {name: found.get(name) for name in names} if isinstance(found, dict) else None
    return {**{name: raw.get(name) for name in ("trained", "digest", "stored")}, "parity": parity}


def external(files: RunFiles, stage: int) -> dict[str, list[tuple[str, Any]]]:
    """Numbers of the IFEval-style check by model, the base's first; empty where the recipe asked for none."""
    shown: dict[str, list[tuple[str, Any]]] = {}
    for number in (0, stage):
        found = files.summary(number).get("ifeval")
        for name, raw in found.items() if isinstance(found, dict) else ():
            shown[str(name)] = [(n.replace("_", " "), v) for n, v in facts(raw) or () if isinstance(v, int | float)]
    return {name: numbers for name, numbers in shown.items() if numbers}


def skipped(files: RunFiles, stage: int) -> str | None:
    """Why a stage trained nothing; None where it did, or where nothing is known."""
    reason = (files.said(f"stage-{stage}/sft") or {}).get("skipped")
    return str(reason) if reason else None


def checks(files: RunFiles, stage: int, detail: Mapping[str, Any]) -> dict[str, Any]:
    """Scorer audit, A/A check and leak check, from the gate or from the summaries."""
    zero, own = files.summary(0), files.summary(stage)
    return {
        "audit": detail.get("audit") or own.get("audit") or zero.get("audit"),
        "aa": detail.get("aa") or own.get("aa") or zero.get("aa"),
        "leaks": detail.get("leaks"),
    }


def _by_item(rows: Iterable[Mapping[str, Any]], wanted: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    return {str(row.get("item")): row for row in rows if row.get("item") in wanted}


def _points(rows: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    """(step, value) wherever both are finite numbers."""
    found = []
    for row in rows:
        x, y = row.get("step"), row.get(name)
        if isinstance(x, int | float) and isinstance(y, int | float) and math.isfinite(y):
            found.append((float(x), float(y)))
    return found

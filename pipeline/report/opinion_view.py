"""What a report shows of a judge's second opinion: what it is worth on labelled answers first, then what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.report.reading import RunFiles

SHOWN = 8
LABELLED = "fixture"
_ORDER = (LABELLED, "tuned", "previous", "base-formatted")
_COUNTS = (
    "answers",
    "judged",
    "checker_right",
    "judge_right",
    "agree",
    "confident",
    "confident_agree",
    "orders_differ",
)


def opinion_view(files: RunFiles, stage: int) -> dict[str, Any] | None:
    """The judge of a stage, its agreement with the checkers by condition, and where they disagree on the candidate's
    answers; None where the stage wants no judge or has not got there."""
    raw = files.json(f"stage-{stage}/judge/summary.json")
    found = raw.get("conditions") if raw else None
    if raw is None or not isinstance(found, dict):
        return None
    rows = [_row(name, found[name]) for name in _ORDER if isinstance(found.get(name), dict)]
    after = raw.get("after_stage")
    tuned = found.get("tuned") or {}
    named = [str(one) for one in tuned.get("disagreements") or ()]
    return {
        "judge": "the base model" if after is None else f"the model that stage {after} left",
        "digest": raw.get("judge"),
        "question": raw.get("question"),
        "families": ", ".join(str(name) for name in raw.get("families") or ()),
        "confident_at": raw.get("confident_at"),
        "rows": rows,
        "blind": (found.get(LABELLED) or {}).get("blind"),
        "disagree": len(named),
        "shown": _disagreements(files, stage, named[:SHOWN]),
    }


def _row(name: str, raw: Mapping[str, Any]) -> dict[str, Any]:
    interval = raw.get("interval") or (None, None)
    return {
        "name": "labelled answers" if name == LABELLED else name,
        **{count: raw.get(count) for count in _COUNTS},
        **{number: raw.get(number) for number in ("agreement", "kappa", "auc", "towards_a")},
        "interval": tuple(interval),
    }


def _disagreements(files: RunFiles, stage: int, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """The surest disagreements, in that order."""
    rows = {row.get("id"): row for row in files.rows(f"stage-{stage}/judge/records.jsonl") if row.get("id") in wanted}
    names = ("item", "family", "instruction", "response", "checker", "checker_reason", "right", "margin")
    return [{name: rows[one].get(name) for name in names} for one in wanted if one in rows]

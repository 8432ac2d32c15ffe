"""Where time and money went: the steps of a run with their states, seconds, tokens and dollars, from its own files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import ledger
from pipeline.protocol import Event
from pipeline.report.reading import STEPS, RunFiles


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. Seconds, tokens and USD are None where unknown; a planned step without a trace is "not run"."""

    step: str
    state: str
    seconds: float | None
    tokens: int | None
    usd: float | None
    started: str | None


@dataclass(frozen=True, slots=True)
class Timeline:
    """`seconds` and `usd` are what the run held its machine for, pauses between sessions left out."""

    rows: Sequence[StepRow]
    seconds: float | None
    usd: float | None
    state: str | None
    reason: str | None

    @property
    def longest(self) -> float:
        return max((row.seconds or 0.0 for row in self.rows), default=0.0)


def timeline(files: RunFiles) -> Timeline:
    events = files.events()
    told = _last(events, "step_finished", "step")
    begun = _last(events, "step_started", "step")
    rows = [_row(files, step, told.get(step), begun.get(step)) for step in _planned(files, events)]
    spend = ledger.history(events).spend if events else None
    last = next((e for e in reversed(events) if e.kind in ("run_started", "run_finished")), None)
    finished = last is not None and last.kind == "run_finished"
    return Timeline(
        rows,
        spend.seconds if spend else None,
        spend.usd if spend else None,
        _str(last, "state") if finished else _unended(last, rows),
        _str(last, "reason") if finished else None,
    )


def _unended(last: Event | None, rows: Sequence[StepRow]) -> str | None:
    """The state of a run that has not said that it ended: the report itself is the last thing a run writes."""
    if last is None:
        return None
    return (
        "finished"
        if rows and all(row.state in ("done", "reused", "skipped") for row in rows)
        else "running or interrupted"
    )


def _planned(files: RunFiles, events: Iterable[Event]) -> list[str]:
    steps: list[str] = []
    for event in events:
        if event.kind == "run_started" and isinstance(event.get("steps"), list):
            steps = [str(step) for step in event["steps"]]
    if steps:
        return steps
    found = ["stage-0/evaluate", *(f"stage-{n}/{name}" for n in files.stages() for name in STEPS)]
    return [step for step in found if (files.root / step).is_dir()]


def _row(files: RunFiles, step: str, told: Event | None, begun: Event | None) -> StepRow:
    manifest: dict[str, Any] = files.manifest(step) or {}
    if told is not None and (begun is None or told.seq > begun.seq):
        state = str(told.get("state", "done"))
    elif begun is not None:
        state = "unfinished"
    else:
        state = "done" if manifest else "not run"
    return StepRow(
        step,
        state,
        _number(manifest.get("seconds", told.get("seconds") if told else None)),
        manifest.get("tokens", told.get("tokens") if told else None),
        _number(manifest.get("cost_usd", told.get("usd") if told else None)),
        manifest.get("started"),
    )


def _last(events: Iterable[Event], kind: str, field: str) -> dict[str, Event]:
    return {str(event.get(field)): event for event in events if event.kind == kind}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _str(event: Event | None, name: str) -> str | None:
    value = event.get(name) if event is not None else None
    return None if value is None else str(value)

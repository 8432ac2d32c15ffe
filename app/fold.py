"""How one line of a run's events.jsonl changes what is shown of the run. Pure, and total over any field values.

Remote text is data here; making it harmless for a terminal is the printer's and the panel's business.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace

from app.state import GateView, Notice, RunView, StepView
from pipeline.protocol import Event, Rate

WARNINGS = 50
"""Warnings kept per run; all of them stay in the run's own files."""

GAP = 1_000_000
"""Events that may be missing between two that are here; they are numbered without a gap."""

_STEP_STATES = frozenset({"done", "reused", "skipped", "failed"})
_RUN_STATES = frozenset({"finished", "stopped", "failed"})


def fold(run: RunView, event: Event) -> tuple[RunView, Notice | None]:
    """The run after one event, and a notice when a person should read it. Unknown kinds only move `seq` on."""
    handler = _HANDLERS.get(event.kind)
    notice = None
    if handler is not None:
        run, notice = handler(run, event)
    return replace(run, seq=event.seq), notice


def follows(seq: int, seen: int) -> bool:
    """Whether an event comes after the last one that was folded in. One that is out of all order is damaged: taking it
    in would hide every event that comes after it."""
    return seen < seq <= seen + GAP


def settle(run: RunView) -> RunView:
    """Steps left running by a run that is over: failed with it, or back to planned when it can be resumed."""
    state = "failed" if run.state == "failed" else "planned"
    steps = tuple(replace(s, state=state, eta_s=None, rate=None) if s.state == "running" else s for s in run.steps)
    return replace(run, steps=steps, tokens_per_s=None)


def when(text: str) -> float | None:
    """Unix seconds of an ISO time, or None when it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        return None


def number(value: Any) -> float | None:
    """A finite float, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        as_float = float(value)
    except OverflowError:
        return None
    return as_float if math.isfinite(as_float) else None


def whole(value: Any) -> int | None:
    """An int, or None for anything else and for what is too large to be counted with."""
    as_float = number(value)
    return None if as_float is None or abs(as_float) > 2**53 else int(as_float)


def count(value: Any) -> int | None:
    """An int of 0 or more, or None for anything else."""
    found = whole(value)
    return None if found is None or found < 0 else found


def text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def stage_of(step: str) -> int | None:
    """1 of `stage-1/sft`; None of a step outside the stages."""
    head = step.partition("/")[0].removeprefix("stage-")
    return int(head) if head.isdecimal() and len(head) < 4 else None


Handled = tuple[RunView, Notice | None]


def _run_started(run: RunView, event: Event) -> Handled:
    known = {step.step: step for step in run.steps if step.state in _STEP_STATES}
    named = event.get("steps")
    planned = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
    steps = tuple(known.get(name, StepView(name)) for name in dict.fromkeys(planned)) or run.steps
    return replace(
        run,
        recipe=text(event.get("recipe")) or run.recipe,
        state="running",
        started_at=run.started_at if run.started_at is not None else when(event.t),
        finished_at=None,
        exit_code=None,
        reason=None,
        steps=steps,
        pulled=False,
    ), None


def _run_finished(run: RunView, event: Event) -> Handled:
    state = text(event.get("state"))
    ended = replace(
        run,
        state=state if state is not None and state in _RUN_STATES else "failed",
        exit_code=whole(event.get("exit_code")),
        reason=text(event.get("reason")),
        finished_at=when(event.t),
    )
    ended = settle(ended)
    level = "ok" if ended.state == "finished" else "error"
    said = f"run {ended.state}" + (f": {ended.reason}" if ended.reason else "")
    return ended, Notice(when(event.t) or 0.0, level, said)


def _step_started(run: RunView, event: Event) -> Handled:
    return _step(
        run,
        event,
        state="running",
        attempt=whole(event.get("attempt")) or 0,
        started_at=when(event.t),
        forecast_s=number(event.get("forecast_s")),
        seconds=None,
        done=None,
        total=None,
        eta_s=None,
    )


def _step_finished(run: RunView, event: Event) -> Handled:
    state = text(event.get("state"))
    known = state if state is not None and state in _STEP_STATES else "failed"
    return _step(run, event, state=known, seconds=number(event.get("seconds")), eta_s=None, rate=None)


def _progress(run: RunView, event: Event) -> Handled:
    return _step(
        run,
        event,
        state="running",
        done=count(event.get("done")),
        total=count(event.get("total")),
        unit=text(event.get("unit")),
        rate=number(event.get("rate")),
        eta_s=number(event.get("eta_s")),
    )


def _step(run: RunView, event: Event, **changes: Any) -> Handled:
    name = text(event.get("step"))
    if name is None:
        return run, None
    steps = run.steps if any(s.step == name for s in run.steps) else (*run.steps, StepView(name))
    return replace(run, steps=tuple(replace(s, **changes) if s.step == name else s for s in steps)), None


def _metric(run: RunView, event: Event) -> Handled:
    step, name, value = text(event.get("step")), text(event.get("name")), number(event.get("value"))
    if step is None or name is None or value is None:
        return run, None
    return replace(run, metrics={**run.metrics, f"{step} {name}": (number(event.get("x")) or 0.0, value)}), None


def _gate(run: RunView, event: Event) -> Handled:
    stage, attempt = whole(event.get("stage")), whole(event.get("attempt")) or 0
    if stage is None:
        return run, None
    gate = GateView(
        stage=stage,
        name=text(event.get("name")) or "",
        attempt=attempt,
        verdict=text(event.get("verdict")) or "INVALID",
        rate=number(event.get("rate")),
        low=number(event.get("low")),
        high=number(event.get("high")),
        threshold=number(event.get("threshold")) if event.get("level_decides") is not False else None,
        p=number(event.get("p")),
        n=whole(event.get("n")),
        reason=text(event.get("reason")) or "",
        rates=_rates(event.get("rates")),
    )
    others = tuple(g for g in run.gates if (g.stage, g.attempt) != (stage, attempt))
    level = "ok" if gate.verdict == "PASS" else "warn"
    notice = Notice(when(event.t) or 0.0, level, f"gate of stage {stage} {gate.name}: {gate.verdict}. {gate.reason}")
    return replace(run, gates=(*others, gate)), notice


def _rates(raw: Any) -> Mapping[str, Mapping[str, Any]]:
    """Readable rates per condition; what is not a rate is left out rather than shown wrong."""
    rates: dict[str, Mapping[str, Any]] = {}
    for condition, value in raw.items() if isinstance(raw, Mapping) else ():
        if not isinstance(value, Mapping):
            continue
        numbers = {
            name: number(value.get(name)) for name in ("successes", "trials", "low", "high", "lenient_successes")
        }
        if any(n is None for n in numbers.values()):
            continue
        rate = Rate(
            successes=int(numbers["successes"] or 0),
            trials=int(numbers["trials"] or 0),
            low=numbers["low"] or 0.0,
            high=numbers["high"] or 0.0,
            lenient_successes=int(numbers["lenient_successes"] or 0),
        )
        if possible(rate):
            rates[str(condition)] = rate.as_dict()
    return rates


def possible(rate: Rate) -> bool:
    """No more successes than trials, and bounds in order between 0 and 1."""
    counts = 0 <= min(rate.successes, rate.lenient_successes) <= max(rate.successes, rate.lenient_successes)
    return counts and max(rate.successes, rate.lenient_successes) <= rate.trials and 0 <= rate.low <= rate.high <= 1


def _warning(run: RunView, event: Event) -> Handled:
    parts = [t for t in (text(event.get("text")), text(event.get("remedy"))) if t]
    said = ". ".join(parts) or (text(event.get("code")) or "warning")
    return replace(run, warnings=(*run.warnings, said)[-WARNINGS:]), Notice(when(event.t) or 0.0, "warn", said)


def _heartbeat(run: RunView, event: Event) -> Handled:
    return replace(
        run,
        heartbeat_at=when(event.t),
        rss=count(event.get("rss")),
        tokens_per_s=number(event.get("tokens_per_s")),
    ), None


_HANDLERS: dict[str, Callable[[RunView, Event], Handled]] = {
    "run_started": _run_started,
    "run_finished": _run_finished,
    "step_started": _step_started,
    "step_finished": _step_finished,
    "progress": _progress,
    "metric": _metric,
    "gate": _gate,
    "warning": _warning,
    "heartbeat": _heartbeat,
}

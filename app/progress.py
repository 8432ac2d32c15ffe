"""Progress in plain lines: one at every change of a step, one every ten seconds in between, with what remains."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from app.state import AppState, RunView, StepView
from app.text import duration, harmless

PERIOD_S = 10.0
OVER = frozenset({"done", "reused", "skipped", "failed"})


class Narrator:
    """Turns successive states into lines; a state without news gives none.

    Args:
        clock: unix seconds.
        period_s: seconds between two lines about a step that goes on.
    """

    def __init__(self, clock: Callable[[], float], period_s: float = PERIOD_S) -> None:
        self._clock = clock
        self._period = period_s
        self._told: dict[str, tuple[str, int]] = {}
        self._run_state = ""
        self._at = 0.0

    def lines(self, state: AppState) -> Iterator[str]:
        """Lines to print for this state."""
        run = state.run
        if run is None:
            return
        for step in run.steps:
            yield from self._step(step, run)
        if run.state != self._run_state and run.state != "pending":
            self._run_state = run.state
            yield f"run {run.run_id} {run.state}" + (f": {harmless(run.reason)}" if run.reason else "")

    def _step(self, step: StepView, run: RunView) -> Iterator[str]:
        now = self._clock()
        key = (step.state, step.attempt)
        changed = self._told.get(step.step, ("planned", 0))[0] != step.state or (
            step.state == "running" and self._told.get(step.step) != key
        )
        due = step.state == "running" and step.done is not None and now - self._at >= self._period
        if not changed and not due:
            return
        self._told[step.step] = key
        if step.state == "planned":
            return
        self._at = now
        yield step_line(step, run, now)


def step_line(step: StepView, run: RunView, now: float) -> str:
    """One step in one line: place in the plan, state, how far, rate and ETA where they are known."""
    names = [s.step for s in run.steps]
    place = f"[{names.index(step.step) + 1}/{len(names)}]" if step.step in names else "[?]"
    parts = [place, f"{step.step:<24}", step.state]
    if step.state in OVER:
        if step.seconds is not None:
            parts.append(f"in {duration(step.seconds)}")
        return harmless(" ".join(parts))
    if step.done is not None:
        parts.append(f"{step.done}/{'?' if step.total is None else step.total} {step.unit or ''}".rstrip())
    if step.rate is not None:
        parts.append(f"{step.rate:.3g}/s")
    if step.started_at is not None:
        parts.append(f"after {duration(now - step.started_at)}")
    eta = remaining(run)
    parts.append(f"step ETA {duration(step.eta_s)}" if step.eta_s is not None else "step ETA unknown")
    if eta is not None:
        parts.append(f"run ETA {duration(eta)}")
    return harmless(" ".join(parts))


def remaining(run: RunView) -> float | None:
    """Seconds until the run's end by its own estimates; None while any step ahead has none."""
    total = 0.0
    for step in run.steps:
        if step.state in OVER:
            continue
        ahead = step.eta_s if step.state == "running" and step.eta_s is not None else step.forecast_s
        if ahead is None:
            return None
        total += ahead
    return total

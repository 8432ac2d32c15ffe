"""What is worth calling somebody back for, from the state alone: each by an id that names the very fact. Pure."""

from __future__ import annotations

from app.alerts import ADVANCES, standing
from app.reduce import ALIVE
from app.state import AppState, RunView

OURS = ("run ", "gate ")
"""Alerts about the run's end, which is told here for every run and not only for those that need somebody."""


def news(state: AppState, now: float) -> dict[str, str]:
    """Id → one sentence: what stands as an alert, a stage that failed, a gate that waits, a run that is over."""
    found = {} if state.run is None else _run(state.run)
    found |= {alert.id: alert.text for alert in standing(state, now) if not alert.id.startswith(OURS)}
    for notice in state.notices:
        if notice.level in ("warn", "error") and "idle" in notice.text:
            found[f"idle {notice.at}"] = notice.text
    return found


def _run(run: RunView) -> dict[str, str]:
    found = {}
    for gate in run.gates:
        if gate.verdict not in ADVANCES:
            told = f"gate of stage {gate.stage} {gate.name}: {gate.verdict}"
            found[f"gate {run.run_id} {gate.stage} {gate.attempt}"] = told
    for step in run.steps:
        if step.state == "failed":
            found[f"step {run.run_id} {step.step} {step.attempt}"] = f"{step.step} failed"
    if run.state not in ALIVE:
        reason = f": {run.reason}" if run.reason else ""
        found[f"run {run.run_id} {run.state} {run.finished_at}"] = f"run {run.run_id} {run.state}{reason}"
    return found

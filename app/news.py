"""What is worth calling somebody back for, from the state alone: each by an id that names the very fact. Pure."""

from __future__ import annotations

from app.reduce import ALIVE, OFF
from app.state import AppState, RunView

ADVANCES = ("PASS", "NO_HEADROOM")
LOST = ("GONE", "DEGRADED", "UNREACHABLE", "LOST")
SOON_S = 900.0
"""Seconds before an automatic stop from which it is told."""


def news(state: AppState, now: float) -> dict[str, str]:
    """Id → one sentence: a stage failed, a gate waits, the run is over, money, an idle pod, a pod lost."""
    found = {} if state.run is None else _run(state.run)
    for budget in state.cost.budgets:
        if budget.level in ("warn", "stop"):
            spent = "?" if budget.spent is None else f"${budget.spent:.2f}"
            said = "used up" if budget.level == "stop" else "nearly used up"
            found[f"budget {budget.name} {budget.level}"] = (
                f"the {budget.name} budget is {said}: {spent} of ${budget.limit:.2f}"
            )
    for pod in state.pods:
        word = (pod.state or pod.status).partition(" ")[0]
        if pod.ours and word in LOST:
            found[f"pod {pod.id} {word} {pod.started_at}"] = (
                f"pod {pod.name} is {word}: {pod.detail or 'not reachable'}"
            )
    watch, pod_now = state.watch, state.pod
    if watch is not None and watch.until is not None and pod_now is not None and pod_now.status not in OFF:
        left = watch.until - now
        if left < SOON_S:
            found[f"autostop {watch.pod} {watch.rule} {pod_now.started_at}"] = (
                f"pod {pod_now.name} stops itself in {max(0, int(left / 60))} min: {watch.rule or 'its watchdog'}"
            )
    for notice in state.notices:
        if notice.level in ("warn", "error") and "idle" in notice.text:
            found[f"idle {notice.at}"] = notice.text
    return found


def _run(run: RunView) -> dict[str, str]:
    found = {}
    for gate in run.gates:
        if gate.verdict not in ADVANCES:
            found[f"gate {run.run_id} {gate.stage} {gate.attempt}"] = (
                f"gate of stage {gate.stage} {gate.name}: {gate.verdict}"
            )
    for step in run.steps:
        if step.state == "failed":
            found[f"step {run.run_id} {step.step} {step.attempt}"] = f"{step.step} failed"
    if run.state not in ALIVE:
        reason = f": {run.reason}" if run.reason else ""
        found[f"run {run.run_id} {run.state} {run.finished_at}"] = f"run {run.run_id} {run.state}{reason}"
    return found

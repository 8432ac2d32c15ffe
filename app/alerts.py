"""What needs a person now, from the state alone: the strip of the panel, `a`, and the `alerts` command. Pure.

An alert stands as long as its cause does. Its id names the very fact, so that acknowledging one silences only that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from msgspec import Struct

from app.reduce import ALIVE, OFF
from app.state import AppState, PodView, WatchView
from app.text import duration, money

SOON_S = 900.0
"""Seconds before an automatic stop from which it is told."""

SHORT_RUNWAY_S = 3600.0
"""Seconds of money left from which it is told."""

ADVANCES = ("PASS", "NO_HEADROOM")


class Alert(Struct, frozen=True):
    """One thing somebody must know. `acts` are ids of actions that answer it, the likeliest first."""

    id: str
    level: str  # warn | error
    text: str
    acts: tuple[str, ...] = ()


def alerts(state: AppState, now: float) -> tuple[Alert, ...]:
    """Every alert that stands, errors first; those that were acknowledged are among them."""
    found = [alert for source in _SOURCES for alert in source(state, now)]
    return tuple(sorted(found, key=lambda alert: alert.level != "error"))


def standing(state: AppState, now: float) -> tuple[Alert, ...]:
    """Those that nobody has acknowledged."""
    return tuple(alert for alert in alerts(state, now) if alert.id not in state.acked)


def _countdown(state: AppState, now: float) -> Iterator[Alert]:
    one = state.countdown
    if one is not None:
        left = duration(max(0.0, one.ends - now))
        text = f"pod {one.name} is stopped in {left} (any key in its panel or `maxcai pod keep` keeps it): {one.why}"
        yield Alert(f"countdown {one.pod} {one.rule} {one.begun}", "error", text, ("pod.keep", "pod.stop"))


def _run(state: AppState, _now: float) -> Iterator[Alert]:
    run = state.run
    if run is None or run.state in ALIVE:
        return
    name, gate = run.run_id, run.gates[-1] if run.gates else None
    if gate is not None and gate.verdict not in ADVANCES and run.state == "finished":
        text = f"gate of stage {gate.stage} {gate.name} says {gate.verdict}: {gate.reason or 'no reason told'}"
        yield Alert(f"gate {name} {gate.stage} {gate.attempt} {gate.verdict}", "error", text,
                    ("run.override", "run.retry", "pod.stop"))  # fmt: skip
    if run.state != "finished":
        text = f"run {name} is {run.state}: {run.reason or 'no reason told'}"
        yield Alert(f"run {name} {run.state} {run.seq}", "error", text, ("run.resume", "pod.stop"))
    if not run.pulled and run.pod_id is not None:
        text = f"results of run {name} are not home"
        yield Alert(f"away {name} {run.seq}", "warn", text, ("pull",))


def _pods(state: AppState, _now: float) -> Iterator[Alert]:
    for pod in state.pods:
        if not pod.ours:
            continue
        word = (pod.state or pod.status).partition(" ")[0]
        why = f": {pod.detail}" if pod.detail else ""
        if word in ("GONE", "DEGRADED", "UNREACHABLE", "LOST"):
            yield Alert(f"pod {pod.id} {pod.state or pod.status} {pod.started_at}", "error",
                        f"pod {pod.name} is {pod.state or pod.status}{why}", ("refresh",))  # fmt: skip
        elif word == "RESUME_BLOCKED":
            yield Alert(f"pod {pod.id} blocked", "warn", f"pod {pod.name} cannot be resumed{why}", ("pod.start",))
        other = state.pod is not None and pod.id != state.pod.id
        if other and pod.status not in OFF:
            text = f"pod {pod.name} runs too, at {money(pod.cost_per_hour)}/h"
            yield Alert(f"two {pod.id} {pod.started_at}", "warn", text)


def _idle_pod(state: AppState, _now: float) -> Iterator[Alert]:
    """A pod that costs money while nothing of ours runs on it."""
    pod, run = state.pod, state.run
    working = run is not None and run.state in ALIVE and run.pod_id == (pod.id if pod else None)
    if pod is None or pod.status != "RUNNING" or working or not pod.cost_per_hour or run is None or not run.pulled:
        return
    text = f"pod {pod.name} runs at {money(pod.cost_per_hour)}/h, and every result is home"
    yield Alert(f"unused {pod.id} {pod.started_at} {run.run_id}", "warn", text, ("pod.stop",))


def _money(state: AppState, _now: float) -> Iterator[Alert]:
    for budget in state.cost.budgets:
        spent = f"{money(budget.spent)} of {money(budget.limit)}"
        if budget.level == "stop":
            yield Alert(f"budget {budget.name} stop {budget.limit}", "error",
                        f"the budget of {_of(budget.name)} is used up: {spent}", ("pod.stop", "cost"))  # fmt: skip
        elif budget.level == "warn":
            share = int(100 * budget.spent / budget.limit) if budget.spent is not None and budget.limit else 80
            text = f"{share} % of the budget of {_of(budget.name)} are spent: {spent}"
            yield Alert(f"budget {budget.name} warn {budget.limit}", "warn", text, ("cost", "pod.stop"))
        elif budget.level == "unknown":
            text = f"the budget of {_of(budget.name)} guards nothing: a price is unknown"
            yield Alert(f"budget {budget.name} unknown", "warn", text, ("cost",))
    left = state.cost.runway_s
    if left is not None and left < SHORT_RUNWAY_S and (state.cost.burn or Decimal(0)) > 0:
        text = f"the account's money lasts {duration(left)} more; at $0 a pod without a network volume is deleted"
        yield Alert(f"runway {'error' if left < SOON_S else 'warn'}", "error" if left < SOON_S else "warn", text,
                    ("pull", "pod.stop", "cost"))  # fmt: skip


def _of(name: str) -> str:
    return {"run": "the run", "day": "the day", "total": "the whole"}.get(name, name)


def _watchdog(state: AppState, now: float) -> Iterator[Alert]:
    for pod in state.pods:
        watch = state.watches.get(pod.id)
        if watch is not None and pod.status not in OFF:
            yield from _watchdog_of(pod, watch, now)


def _watchdog_of(pod: PodView, watch: WatchView, now: float) -> Iterator[Alert]:
    if watch.level == "red":
        text = f"AUTOMATIC STOP IS NOT ARMED on pod {pod.name}: {watch.reason}"
        yield Alert(f"unarmed {watch.pod} {pod.started_at}", "error", text, ("pod.stop",))
    if watch.until is not None and watch.until - now < SOON_S:
        left = duration(max(0.0, watch.until - now))
        text = f"pod {pod.name} stops itself in {left} ({watch.rule or 'its watchdog'})"
        yield Alert(f"autostop {watch.pod} {watch.rule} {pod.started_at}", "warn", text, ("pull",))
    for disk in watch.low_disk:
        text = f"{disk} of pod {pod.name} is nearly full"
        yield Alert(f"disk {watch.pod} {disk}", "error", text, ("pod.ssh", "pull"))


def _link(state: AppState, _now: float) -> Iterator[Alert]:
    link, pod = state.link, state.pod
    if link.verified is False and link.state == "up":
        name = pod.name if pod else "the pod"
        text = f"the host key of {name} was trusted, not verified: its log shows none"
        yield Alert(f"key {pod.id if pod else ''}", "warn", text)
    if link.state == "retrying" and link.error and state.run is not None and state.run.state in ALIVE:
        yield Alert(f"link {pod.id if pod else ''}", "warn", f"no link to the pod: {link.error}", ("refresh",))


_SOURCES: tuple[Callable[[AppState, float], Iterator[Alert]], ...] = (
    _countdown, _run, _pods, _money, _watchdog, _idle_pod, _link,
)  # fmt: skip

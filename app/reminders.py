"""What still costs money when one leaves, in a line each. Pure: by the last picture."""

from __future__ import annotations

from collections.abc import Iterator

from app.reduce import OFF
from app.state import AppState, PodView
from app.text import moment, money

LOCAL = "local"


def reminders(state: AppState) -> Iterator[str]:
    """A line for each pod of ours that goes on, and for those that are stopped and keep a disk that may cost."""
    for pod in state.pods:
        if pod.provider == LOCAL or not pod.ours:
            continue
        if pod.status in OFF:
            if pod.status == "STOPPED":
                yield f"reminder: pod {pod.name} is stopped; what it keeps goes on costing (`maxcai cost`)"
            continue
        price = "an unknown price" if pod.cost_per_hour is None else f"{money(pod.cost_per_hour)}/h"
        yield f"reminder: pod {pod.name} goes on at {price}; {_watch(state, pod)}"


def _watch(state: AppState, pod: PodView) -> str:
    watch = state.watch
    if watch is None or watch.pod != pod.id:
        return "whether it stops by itself was not looked at (`maxcai pod guard`)"
    if watch.level == "red":
        return f"it does NOT stop by itself: {watch.reason}"
    until = "" if watch.until is None else f" until {moment(watch.until)}"
    return f"its watchdog is armed{until} ({watch.level})"

"""What still costs money when one leaves, in a line each, by the last picture; and what a newcomer may want to know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.reduce import OFF
from app.state import AppState, PodView
from app.text import moment, money

if TYPE_CHECKING:
    from app.settings import Settings
    from app.workspace import Workspace

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
    watch = state.watches.get(pod.id)
    if watch is None:
        return "whether it stops by itself was not looked at (`maxcai pod guard`)"
    if watch.level == "red":
        return f"it does NOT stop by itself: {watch.reason}"
    until = "" if watch.until is None else f" until {moment(watch.until)}"
    return f"its watchdog is armed{until} ({watch.level})"


def hint(settings: Settings, workspace: Workspace) -> str | None:
    """One line on how to get from the embedded pod to rented ones; None where a key is there."""
    from remote.secrets import runpod_key

    if settings.provider != LOCAL or runpod_key(workspace.root) is not None:
        return None
    return "embedded pod · for rented GPUs put RUNPOD_API_KEY=… into .env.runpod (mode 600)"

"""The pure function that moves the picture on: `reduce(state, event) -> AppState`, total over anything that arrives.

An event that changes nothing returns the very same object, so that a reader may compare with `is`. What a run's own
event lines mean is `app.fold`'s business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from app.events import (
    Acknowledged,
    ActivityChanged,
    ActivityEnded,
    AppEvent,
    CostTicked,
    CountdownChanged,
    DataArrived,
    Failed,
    Hinted,
    JobReported,
    LinkChanged,
    Noted,
    PodsListed,
    Pulled,
    RunFollowed,
    RunLine,
    RunsKnown,
    StreamGrew,
    WatchReported,
    Woke,
)
from app.fold import fold, follows, settle
from app.state import AppState, LinkView, Notice, PodView, RunView
from pipeline.protocol import parse_line

NOTICES = 200
"""Notices kept; older ones are in the journal."""

OFF = frozenset({"ABSENT", "STOPPED", "RESUME_BLOCKED", "GONE"})
"""Pod states in which no process of ours can be alive."""

MOVING = frozenset({"CREATING", "PULLING", "BOOTING", "STOPPING"})
"""Pod states on the way to another one: the provider is asked more often."""

ALIVE = frozenset({"pending", "running"})


def reduce(state: AppState, event: AppEvent) -> AppState:
    """The state after one event. Unknown events change nothing; nothing here raises."""
    handler = _HANDLERS.get(type(event))
    return state if handler is None else handler(state, event)


def _pods(state: AppState, event: PodsListed) -> AppState:
    pod = _chosen(state.pod, event.pods)
    run = None if state.run is None else run_on(state.run, event.pods)
    awake = {one.id for one in event.pods if one.status not in OFF}
    watches = {id_: watch for id_, watch in state.watches.items() if id_ in awake}  # one ends with its pod's session
    after = replace(state, pods=event.pods, pod=pod, pods_at=event.at, run=run, watches=watches)
    other = pod is not None and state.pod is not None and pod.id != state.pod.id
    if other or (pod is not None and pod.status in OFF and after.link.state != "down"):
        after = replace(after, link=LinkView())
    return after


def _chosen(before: PodView | None, pods: tuple[PodView, ...]) -> PodView | None:
    """The pod that keys act on: the same as before, unless it is gone, or off while another of ours is not."""
    same = next((pod for pod in pods if before is not None and pod.id == before.id), None)
    mine = [pod for pod in pods if pod.ours and pod.status != "GONE"]
    awake = next((pod for pod in mine if pod.status not in OFF), None)
    if same is not None and same.status != "GONE" and (same.status not in OFF or awake is None):
        return same
    return awake or next(iter(mine), None) or same or next(iter(pods), None)


def _shown(state: AppState, pod_id: str | None) -> bool:
    """Whether what is told of this pod belongs on the view: that of another one does not."""
    return state.pod is None or pod_id in (None, state.pod.id)


def run_on(run: RunView, pods: tuple[PodView, ...]) -> RunView:
    """The run as its pod allows: none goes on where the pod is off. A pod that is not listed says nothing."""
    if run.pod_id is None or run.state not in ALIVE:
        return run
    pod = next((p for p in pods if p.id == run.pod_id), None)
    if pod is None or pod.status not in OFF:
        return run
    return settle(replace(run, state="lost", reason=f"its pod is {pod.status}"))


def _link(state: AppState, event: LinkChanged) -> AppState:
    link = event.link
    if not _shown(state, event.pod):
        return state
    if link.data_at is None:  # a link that breaks or is made anew does not change when bytes last came
        link = replace(link, data_at=state.link.data_at)
    return state if link == state.link else replace(state, link=link)


def _data(state: AppState, event: DataArrived) -> AppState:
    return replace(state, link=replace(state.link, data_at=event.at))


def _followed(state: AppState, event: RunFollowed) -> AppState:
    run = state.run
    if run is None or run.run_id != event.run_id:
        fresh = RunView(event.run_id, event.recipe, pod_id=event.pod_id, seq=-1, pulled=event.pulled)
        return replace(state, run=fresh, streams={})
    after = replace(
        run,
        recipe=event.recipe or run.recipe,
        pod_id=event.pod_id or run.pod_id,
        pulled=event.pulled or run.pulled,
    )
    return state if after == run else replace(state, run=after)


def _run_line(state: AppState, event: RunLine) -> AppState:
    run = state.run
    if run is None or run.run_id != event.run_id:
        return state
    try:
        parsed = parse_line(event.line)
    except RecursionError:  # nested beyond what the JSON reader bears
        parsed = None
    if parsed is None or not follows(parsed.seq, run.seq):
        return state  # torn, foreign or already folded in
    after, notice = fold(run, parsed)
    return _with_notice(replace(state, run=after), notice)


def _job(state: AppState, event: JobReported) -> AppState:
    run = state.run
    if run is None or run.run_id != event.run_id:
        return state
    after = with_job(run, event)
    return state if after == run else replace(state, run=after)


def with_job(run: RunView, event: JobReported) -> RunView:
    """The run after a word of the pod's agent about its process. What the run itself said last counts for more."""
    if event.state == "running":
        return replace(run, state="running", reason=None) if run.state in ("pending", "lost") else run
    if event.state == "exited":
        return _exited(run, event.exit_code, event.said)
    if event.state == "unlaunched":
        return replace(run, state="lost", reason="its launch never reached the pod") if run.state in ALIVE else run
    if run.state == "running" or (run.state == "pending" and event.state in ("lost", "orphaned")):
        return settle(replace(run, state="lost", reason=f"the pod's agent says: {event.state}"))
    return run


def _exited(run: RunView, code: int | None, said: str | None) -> RunView:
    if run.state not in ALIVE:
        return run if run.exit_code is not None else replace(run, exit_code=code)
    killed = code is None or code < 0
    told = "without an exit code" if code is None else f"by signal {-code}" if killed else f"with code {code}"
    last = f"; its last line: {said}" if said else " and no last word"
    state = "lost" if killed else "failed"
    return settle(replace(run, state=state, exit_code=code, reason=f"its process ended {told}{last}"))


def _pulled(state: AppState, event: Pulled) -> AppState:
    run = state.run
    if run is None or run.run_id != event.run_id or run.pulled:
        return state
    return replace(state, run=replace(run, pulled=True))


def _runs(state: AppState, event: RunsKnown) -> AppState:
    return state if state.runs == event.runs else replace(state, runs=event.runs)


def _cost(state: AppState, event: CostTicked) -> AppState:
    return state if state.cost == event.cost else replace(state, cost=event.cost)


def _watch(state: AppState, event: WatchReported) -> AppState:
    if state.watches.get(event.watch.pod) == event.watch:
        return state
    return replace(state, watches={**state.watches, event.watch.pod: event.watch})


def _countdown(state: AppState, event: CountdownChanged) -> AppState:
    return state if state.countdown == event.countdown else replace(state, countdown=event.countdown)


def _stream(state: AppState, event: StreamGrew) -> AppState:
    if state.streams.get(event.stream.name) == event.stream:
        return state
    return replace(state, streams={**state.streams, event.stream.name: event.stream})


def _activity(state: AppState, event: ActivityChanged) -> AppState:
    return replace(state, activities={**state.activities, event.activity.action: event.activity})


def _activity_ended(state: AppState, event: ActivityEnded) -> AppState:
    if event.action not in state.activities:
        return state
    return replace(state, activities={k: v for k, v in state.activities.items() if k != event.action})


def _noted(state: AppState, event: Noted) -> AppState:
    return _with_notice(state, Notice(event.at, event.level, event.text))


def _failed(state: AppState, event: Failed) -> AppState:
    if event.source == "link" and _shown(state, event.pod):
        retry_at = None if event.retry_in is None else event.at + event.retry_in
        link = replace(state.link, state="retrying" if retry_at else "down", error=event.error, retry_at=retry_at)
        state = replace(state, link=link)
    text = f"{event.source}: {event.error}"
    if any(n.text == text for n in state.notices[-5:]):
        return state  # a dead source is told once, its age is in the header
    return _with_notice(state, Notice(event.at, "error", text))


def _woke(state: AppState, event: Woke) -> AppState:
    return _with_notice(state, Notice(event.at, "info", f"woke after {event.gap_s:.0f} s: reconnecting"))


def _hinted(state: AppState, event: Hinted) -> AppState:
    return state if state.hint == event.text else replace(state, hint=event.text)


def _acked(state: AppState, event: Acknowledged) -> AppState:
    after = state.acked | event.ids
    return state if after == state.acked else replace(state, acked=after)


def _with_notice(state: AppState, notice: Notice | None) -> AppState:
    return state if notice is None else replace(state, notices=(*state.notices, notice)[-NOTICES:])


_HANDLERS: dict[type[Any], Callable[[AppState, Any], AppState]] = {
    PodsListed: _pods,
    LinkChanged: _link,
    DataArrived: _data,
    RunFollowed: _followed,
    RunLine: _run_line,
    JobReported: _job,
    Pulled: _pulled,
    RunsKnown: _runs,
    CostTicked: _cost,
    WatchReported: _watch,
    CountdownChanged: _countdown,
    StreamGrew: _stream,
    ActivityChanged: _activity,
    ActivityEnded: _activity_ended,
    Noted: _noted,
    Failed: _failed,
    Woke: _woke,
    Hinted: _hinted,
    Acknowledged: _acked,
}

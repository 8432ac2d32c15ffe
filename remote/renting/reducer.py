"""What is known of every pod, as one pure function of the last view, the provider's list, probes, journal and time.

A state is derived afresh from what was observed and never advanced by hope. Nothing here asks or does anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

from msgspec import Struct, field
from msgspec.structs import replace

from remote.journal import Intent, Phase
from remote.pods.model import Endpoint, Pod, PodSession, PodStatus
from remote.renting.creating import CREATE, LOST_S
from remote.renting.lifecycle import RESTART, START, STOP, TERMINATE
from remote.renting.resuming import backoff, no_capacity

PULL_S, BOOT_S, AGENT_S, SSH_S, STOP_S = 900.0, 300.0, 60.0, 60.0, 180.0
"""Seconds for an image pull, for an address after it, for the agent's and for SSH's first word, and for a stop."""

HEARD_S = 60.0
"""Seconds for which the agent's last word counts."""

STALE_POLLS = 3
"""Polls without a good list after which nothing is known any more."""

_GONE_AFTER = 2  # lists without the pod
_UP = frozenset({PodStatus.RUNNING, PodStatus.SSH_UP, PodStatus.READY})  # more than RUNNING is not theirs to say


class Lack(StrEnum):
    """What a DEGRADED pod lacks."""

    GPU = "no_gpu"
    AGENT = "no_agent"
    SSH = "no_ssh"


class Do(StrEnum):
    """What a person is offered."""

    WAIT = "wait"
    START = "start"
    STOP = "stop"
    STOP_AGAIN = "stop_again"
    RESTART = "restart"
    SHOW_LOG = "show_log"
    NEW_POD = "new_pod"
    RESCUE = "rescue"


class Snapshot(Struct, frozen=True):
    """A provider's last good list: when it was read (unix seconds), and how many seconds apart lists are read."""

    at: float
    pods: tuple[Pod, ...]
    poll_s: float = 12.0


class Probe(Struct, frozen=True):
    """What the link to one pod learned. It counts for its session, or for its endpoint where no session is told.

    `connected_at`: since when a verified connection stands; `heard_at`: the agent's last answer; `failing_at`: since
    when SSH fails, for the reason `failure`; all unix seconds. `gpus` is the agent's count, None when it has none.
    """

    session: PodSession | None = None
    endpoint: Endpoint | None = None
    connected_at: float | None = None
    heard_at: float | None = None
    gpus: int | None = None
    failing_at: float | None = None
    failure: str = ""


class PodView(Struct, frozen=True):
    """One pod as far as it is known. `key` is its id, or its name in braces while it has none.

    `since` is when this state was first seen, `deadline` when it has lasted too long (unix seconds); `offers` are
    what a person can choose then. `next_try` is when a blocked start is worth another try. `lists_without` counts the
    lists that lacked it, the last one read at `lacking_at`.
    """

    key: str
    name: str
    status: PodStatus
    since: float
    why: str = ""
    pod: Pod | None = None
    lack: Lack | None = None
    deadline: float | None = None
    offers: tuple[Do, ...] = ()
    next_try: float | None = None
    asked_gpus: int | None = None
    lists_without: int = 0
    lacking_at: float | None = None

    @property
    def session(self) -> PodSession | None:
        """The pod session this is about."""
        return None if self.pod is None else self.pod.session


class _Seen(Struct, frozen=True):
    """A state before it is known how long it has lasted. `limit_s` counts from `since`, or from when it began."""

    status: PodStatus
    why: str = ""
    lack: Lack | None = None
    since: float | None = None
    limit_s: float | None = None
    then: tuple[Do, ...] = ()
    now: tuple[Do, ...] = ()
    next_try: float | None = None


class _Inputs(Struct, frozen=True):
    """What one pod's state is derived from."""

    previous: PodView | None
    snapshot: Snapshot | None
    probe: Probe | None
    intents: Sequence[Intent]
    now: float
    asked: int | None = field(default=None)


def reduce(
    previous: Iterable[PodView],
    snapshot: Snapshot | None,
    probes: Mapping[str, Probe],
    intents: Iterable[Intent],
    now: float,
) -> tuple[PodView, ...]:
    """Every pod known: listed, being made, or seen before, in the provider's order, then the others by name.

    `probes` is by pod id, `intents` is the journal of this provider, `now` unix seconds.
    """
    before = {view.key: view for view in previous}
    acts = list(intents)
    listed = {} if snapshot is None else {pod.id: pod for pod in snapshot.pods}
    by_pod: dict[str, list[Intent]] = {}
    for intent in acts:
        by_pod.setdefault(str(intent.facts.get("pod")), []).append(intent)
    views = [
        _view(pod_id, pod, _Inputs(before.get(pod_id), snapshot, probes.get(pod_id), by_pod.get(pod_id, []), now))
        for pod_id, pod in listed.items()
    ]
    missing = [view for key, view in before.items() if view.pod is not None and key not in listed]
    views += [
        _view(view.key, None, _Inputs(view, snapshot, None, by_pod.get(view.key, []), now))
        for view in sorted(missing, key=lambda view: view.name)
    ]
    names = {view.name for view in views}
    return (*views, *(_being_made(intent, now) for intent in acts if _pending(intent, names)))


def _pending(intent: Intent, names: set[str]) -> bool:
    return intent.op == CREATE and not intent.phase.settled and str(intent.facts.get("name")) not in names


def _being_made(intent: Intent, now: float) -> PodView:
    name = str(intent.facts.get("name"))
    lost = intent.phase is Phase.UNKNOWN
    why = "no answer came to the request for it; it is looked for by name" if lost else "it is being made"
    deadline = intent.at + 2 * LOST_S  # the request may take as long as the search after it
    late = now >= deadline
    return PodView(
        f"{{{name}}}", name, PodStatus.CREATING, intent.at, why + ("; so far it was not made" if late else ""),
        deadline=deadline, offers=(Do.WAIT, Do.NEW_POD) if late else (),
    )  # fmt: skip


def _view(key: str, pod: Pod | None, given: _Inputs) -> PodView:
    previous, now = given.previous, given.now
    known = pod or (previous.pod if previous else None)
    given = replace(given, asked=_asked(known, given))
    without, lacking_at = _lacking(pod, given)
    seen = _seen(pod, without, given)
    same = previous is not None and (previous.status, previous.lack) == (seen.status, seen.lack)
    same = same and previous is not None and previous.session == (None if known is None else known.session)
    began = previous.since if same and previous is not None else now if seen.since is None else min(seen.since, now)
    deadline = None if seen.limit_s is None else began + seen.limit_s
    late = deadline is not None and now >= deadline
    return PodView(
        key, known.name if known else key, seen.status, began, seen.why, known, seen.lack, deadline,
        seen.then if late else seen.now, seen.next_try, given.asked, without, lacking_at,
    )  # fmt: skip


def _asked(pod: Pod | None, given: _Inputs) -> int | None:
    """How many GPUs the pod was ordered with: by the journal, by what was known before, by the pod itself."""
    for intent in given.intents:
        spec = intent.facts.get("spec")
        if intent.op == CREATE and isinstance(spec, Mapping) and isinstance(spec.get("gpu_count"), int):
            return int(spec["gpu_count"]) if spec.get("gpu") else 0
    before = given.previous.asked_gpus if given.previous else None
    told = None if pod is None else pod.gpu_count
    if pod is not None and pod.gpu is not None:
        told = max(1, told or 0)
    return max(before, told) if before is not None and told is not None else told if before is None else before


def _lacking(pod: Pod | None, given: _Inputs) -> tuple[int, float | None]:
    """How many lists in a row lacked the pod, and when the last of them was read; one list counts once."""
    previous, snapshot = given.previous, given.snapshot
    if pod is not None or previous is None:
        return 0, None
    if snapshot is None or (previous.lacking_at is not None and snapshot.at <= previous.lacking_at):
        return previous.lists_without, previous.lacking_at
    return previous.lists_without + 1, snapshot.at


def _seen(pod: Pod | None, without: int, given: _Inputs) -> _Seen:
    previous, snapshot, now = given.previous, given.snapshot, given.now
    if pod is None and previous is not None and previous.status is PodStatus.GONE:
        return _Seen(PodStatus.GONE, previous.why)
    if snapshot is None or now - snapshot.at > STALE_POLLS * snapshot.poll_s:
        age = "never" if snapshot is None else f"{now - snapshot.at:.0f} s ago"
        return _Seen(PodStatus.UNKNOWN, f"the pods were last listed {age}")
    if pod is not None:
        return _listed(pod, given)
    last = _last(given.intents)
    if last is not None and last.op == TERMINATE and last.phase is Phase.ACKED:
        return _Seen(PodStatus.GONE, "it was terminated")
    if without >= _GONE_AFTER:
        return _Seen(PodStatus.GONE, "the provider lists it no more")
    return _Seen(PodStatus.UNKNOWN, "the last list lacks it")


def _last(intents: Sequence[Intent]) -> Intent | None:
    """The latest act on the pod that was not refused."""
    acts = [one for one in intents if one.op in (START, STOP, RESTART, TERMINATE) and one.phase is not Phase.FAILED]
    return acts[-1] if acts else None


def _listed(pod: Pod, given: _Inputs) -> _Seen:
    if pod.status in (PodStatus.GONE, PodStatus.ABSENT):
        return _Seen(PodStatus.GONE, pod.detail or "the provider says that it is gone")
    if pod.status is PodStatus.UNKNOWN:
        return _Seen(PodStatus.UNKNOWN, pod.detail or "the provider's word for its state is not known")
    if pod.status.over:
        return _stopped(pod, given)
    if stopping := _stopping(pod, given):
        return stopping
    if given.asked and pod.gpu_count == 0:
        return _Seen(PodStatus.DEGRADED, "it was started without a GPU", Lack.GPU, now=(Do.STOP, Do.RESCUE, Do.NEW_POD))
    if pod.status in _UP and pod.endpoint is not None:
        return _running(pod, given)
    if pod.status in _UP or pod.status is PodStatus.BOOTING:
        why = pod.detail or "it has no SSH address yet"
        return _Seen(PodStatus.BOOTING, why, limit_s=BOOT_S, then=(Do.SHOW_LOG, Do.RESTART, Do.STOP))
    if pod.status in (PodStatus.CREATING, PodStatus.PULLING):
        why = pod.detail or "its image is being pulled"
        return _Seen(PodStatus.PULLING, why, since=pod.started_at, limit_s=PULL_S, then=(Do.WAIT, Do.STOP))
    return _Seen(pod.status, pod.detail or "")


def _stopped(pod: Pod, given: _Inputs) -> _Seen:
    starts = [one for one in given.intents if one.op in (START, RESTART)]
    refused = 0
    for intent in reversed(starts):
        if not no_capacity(intent):
            break
        refused += 1
    if pod.status is not PodStatus.RESUME_BLOCKED and not refused:
        return _Seen(PodStatus.STOPPED, pod.detail or "", now=(Do.START,))
    tried = starts[-1].at if refused else None
    return _Seen(
        PodStatus.RESUME_BLOCKED, "its machine has no free GPU", since=tried, now=(Do.WAIT, Do.NEW_POD, Do.RESCUE),
        next_try=None if tried is None else tried + backoff(refused),
    )  # fmt: skip


def _stopping(pod: Pod, given: _Inputs) -> _Seen | None:
    """A stop or removal that was acknowledged and has not shown its effect on this session yet."""
    last = _last(given.intents)
    if last is not None and last.op in (STOP, TERMINATE) and last.phase is Phase.ACKED:
        told = last.facts.get("started_at")
        stopped = told if isinstance(told, (int, float)) else last.at
        later = pod.started_at is not None and pod.started_at > stopped
        unseen = pod.started_at is None and given.now - last.at > 2 * STOP_S  # sessions are not told: it runs again
        if not (later or unseen):
            why = "it was told to stop" if last.op == STOP else "it is being removed"
            return _Seen(PodStatus.STOPPING, why, since=last.at, limit_s=STOP_S, then=(Do.STOP_AGAIN, Do.WAIT))
    if pod.status is PodStatus.STOPPING:
        return _Seen(PodStatus.STOPPING, pod.detail or "", limit_s=STOP_S, then=(Do.STOP_AGAIN, Do.WAIT))
    return None


def _running(pod: Pod, given: _Inputs) -> _Seen:
    """A pod with an address: how far it is usable is for its probe to say."""
    probe, now = given.probe, given.now
    if probe is None or not _about(probe, pod):
        return _Seen(PodStatus.RUNNING, pod.detail or "")
    if probe.failing_at is not None:
        if now - probe.failing_at < SSH_S:
            return _Seen(PodStatus.RUNNING, f"SSH: {probe.failure}")
        return _Seen(PodStatus.DEGRADED, f"SSH: {probe.failure}", Lack.SSH, now=(Do.SHOW_LOG, Do.RESTART, Do.STOP))
    if probe.heard_at is None:
        return _without_agent(probe, now)
    if now - probe.heard_at > HEARD_S:
        return _Seen(PodStatus.RUNNING, f"its agent last answered {now - probe.heard_at:.0f} s ago")
    if not given.asked:
        return _Seen(PodStatus.READY)
    if probe.gpus is None:
        return _Seen(PodStatus.SSH_UP, "its agent answers, but cannot count the GPUs")
    if probe.gpus < given.asked:
        why = f"it has {probe.gpus} of {given.asked} GPUs"
        return _Seen(PodStatus.DEGRADED, why, Lack.GPU, now=(Do.STOP, Do.RESCUE, Do.NEW_POD))
    return _Seen(PodStatus.READY)


def _without_agent(probe: Probe, now: float) -> _Seen:
    if probe.connected_at is None:
        return _Seen(PodStatus.RUNNING)
    if now - probe.connected_at < AGENT_S:
        return _Seen(PodStatus.SSH_UP, since=probe.connected_at, limit_s=AGENT_S)
    return _Seen(PodStatus.DEGRADED, "its agent does not answer", Lack.AGENT, now=(Do.SHOW_LOG, Do.RESTART, Do.STOP))


def _about(probe: Probe, pod: Pod) -> bool:
    """Whether the probe is of this very session; without a session told, of this very address."""
    if probe.session is not None or pod.session is not None:
        return probe.session == pod.session
    return probe.endpoint is not None and probe.endpoint == pod.endpoint

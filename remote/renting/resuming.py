"""A stopped pod whose machine has no free GPU: what a person can choose, and waiting for the machine.

RunPod ties a stopped pod to its host; others may have rented its GPUs meanwhile (docs, runpod-python#168).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from remote.errors import NoCapacityOnHost
from remote.journal import Intent, Journal, Phase
from remote.pods.model import Cloud, Pod, PodSpec, PodStatus, VolumeKind
from remote.pods.provider import Provider
from remote.renting import lifecycle
from remote.renting.creating import CREATE
from remote.renting.specs import spec_of

BACKOFF_S = (60.0, 120.0, 300.0, 600.0)
"""Seconds until the first tries; the last one repeats."""


class Way(StrEnum):
    """What can be done about a blocked resume."""

    WAIT = "wait"
    NEW_POD = "new_pod"
    RESCUE = "rescue"


class Choice(Struct, frozen=True):
    """One way out: what it does, and what it loses ("" when nothing). `spec` is for a new pod."""

    way: Way
    text: str
    loses: str = ""
    spec: PodSpec | None = None


class Blocked(Struct, frozen=True):
    """A start that the pod's machine had no GPU for. Times are unix seconds."""

    pod: Pod
    attempts: int
    last: float
    next_try: float
    choices: tuple[Choice, ...]


def blocked(pod: Pod, journal: Journal) -> Blocked | None:
    """How this stopped pod's starts were refused since it last ran, by the journal; None when its last one was not."""
    if pod.status not in (PodStatus.STOPPED, PodStatus.RESUME_BLOCKED):
        return None
    starts = [one for one in journal.intents() if one.op == lifecycle.START and one.facts.get("pod") == pod.id]
    refused: list[Intent] = []
    for intent in reversed(starts):
        if not no_capacity(intent):
            break
        refused.append(intent)
    if not refused:
        return None
    last = refused[0].at
    return Blocked(pod, len(refused), last, last + backoff(len(refused)), choices(pod, journal))


def no_capacity(intent: Intent) -> bool:
    """Whether this start was refused because the pod's machine had no free GPU."""
    return intent.phase is Phase.FAILED and intent.facts.get("error") == NoCapacityOnHost.__name__


def backoff(attempts: int) -> float:
    """Seconds to wait after that many refusals (1 or more)."""
    return BACKOFF_S[min(max(attempts, 1), len(BACKOFF_S)) - 1]


def choices(pod: Pod, journal: Journal) -> tuple[Choice, ...]:
    """The ways out for this pod, safest first."""
    spec = ordered(pod, journal)
    wait = Choice(Way.WAIT, "try again in 1, 2, 5 and then every 10 minutes; the stopped disk goes on costing")
    if pod.volume is VolumeKind.NETWORK:
        new = Choice(Way.NEW_POD, "rent a new pod of the same kind on the same network volume", spec=spec)
        rescue = Choice(
            Way.RESCUE, "rent a pod without a GPU on the same network volume and pull from it", spec=_without_gpu(spec)
        )
        return (wait, new, rescue)
    rescue = Choice(Way.RESCUE, "start it without a GPU in the provider's console, then pull from it")
    loses = "the new pod begins empty: what is only on this pod's disk stays there until it is started or terminated"
    return (wait, rescue, Choice(Way.NEW_POD, "rent a new pod of the same kind", loses, spec))


def ordered(pod: Pod, journal: Journal) -> PodSpec | None:
    """What this pod was ordered as, by the journal, else as far as the pod tells; without its environment."""
    for intent in journal.intents():
        if intent.op == CREATE and intent.facts.get("pod") == pod.id and (spec := spec_of(intent)):
            return spec
    if pod.image is None or pod.volume is None:
        return None
    return PodSpec(
        image=pod.image,
        gpu=pod.gpu,
        gpu_count=pod.gpu_count or 1,
        cloud=pod.cloud or Cloud.SECURE,
        disk_gb=pod.disk_gb or 50,
        volume_id=pod.volume_id,
        volume_gb=pod.volume_gb if pod.volume is VolumeKind.PERSISTENT else None,
        mount=pod.root,
        data_centers=(pod.data_center,) if pod.data_center and pod.volume_id else (),
        ephemeral=pod.volume is VolumeKind.NONE,
    )


def _without_gpu(spec: PodSpec | None) -> PodSpec | None:
    return None if spec is None else replace(spec, gpu=None, min_cuda=None, bid=None)


async def keep_trying(
    provider: Provider,
    pod_id: str,
    state_dir: Path,
    clock: Callable[[], float],
    *,
    waiting: Callable[[Blocked], None],
    permitted: Callable[[], Awaitable[object]],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    tries: int = 12,
    wait_s: float = lifecycle.WAIT_S,
) -> Pod:
    """Start the pod, again and again while its machine is full, until it runs.

    `waiting` is told before each pause; `permitted` is asked before each try and raises where money no longer allows
    one. Raises NoCapacityOnHost after `tries` refusals, and all else at once.
    """
    for attempt in range(1, tries + 1):
        await permitted()
        try:
            return await lifecycle.start(provider, pod_id, state_dir, clock, wait_s=wait_s, sleep=sleep)
        except NoCapacityOnHost:
            if attempt == tries:
                raise
        pod = replace(await provider.get(pod_id), status=PodStatus.RESUME_BLOCKED)
        now, pause = clock(), backoff(attempt)
        waiting(Blocked(pod, attempt, now, now + pause, choices(pod, Journal(state_dir, clock))))
        await sleep(pause)
    raise AssertionError("the last try returns or raises")

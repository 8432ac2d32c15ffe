"""Starting and stopping a pod with everything that belongs to it: journal line first, then the act, then the ledger.

Whether a pod may be stopped, and what is shown of it, is the caller's business.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from remote.costs import Ledger
from remote.errors import DiskFull, NoEndpoint, ProviderUnavailable
from remote.journal import Intent, Journal
from remote.pods.model import Pod, PodStatus
from remote.pods.provider import Provider

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
START, STOP = "pod.start", "pod.stop"

WAIT_S = 120.0
"""Seconds until a started pod must have an address, and until an act whose effect is not to be seen has failed."""

_POLL_S = 1.0


async def look(provider: Provider, state_dir: Path, clock: Clock) -> list[Pod]:
    """Every pod as the provider lists it now; the ledger is brought in line with it."""
    pods = await provider.list()
    Ledger(state_dir).reconcile(pods, clock(), [provider.name])
    return pods


async def start(
    provider: Provider,
    pod_id: str,
    state_dir: Path,
    clock: Clock,
    *,
    wait_s: float = WAIT_S,
    sleep: Sleep = asyncio.sleep,
) -> Pod:
    """Start the pod, open its ledger row and wait for its address. A pod that runs is returned as it is.

    Raises what the provider raises (the journal then says how it ended), and NoEndpoint when the pod has no address
    within `wait_s` seconds or ends before it has one.
    """
    for pod in await look(provider, state_dir, clock):
        if pod.id == pod_id and _usable(pod):
            return pod
    with Journal(state_dir, clock).acting(START, provider=provider.name, pod=pod_id) as found:
        pod = await provider.start(pod_id)
        found.update(status=pod.status.value, started_at=pod.started_at)
    Ledger(state_dir).open(pod)
    end = clock() + wait_s
    while not _usable(pod):
        if pod.status.over or clock() > end:
            raise NoEndpoint(
                f"Pod {pod.id} has no address {wait_s:.0f} s after its start: {pod.detail or f'it is {pod.status}'}.",
                "See `maxcai pod list`; it may be costing money already.",
            )
        await sleep(_POLL_S)
        pod = await provider.get(pod.id)
    return pod


async def stop(
    provider: Provider,
    pod_id: str,
    state_dir: Path,
    clock: Clock,
    *,
    wait_s: float = WAIT_S,
    sleep: Sleep = asyncio.sleep,
) -> Pod:
    """Stop the pod and close its ledger row; it counts as stopped only once the provider lists it so.

    A full disk here costs the journal's lines, never the stop: a pod that goes on costs money. Raises
    ProviderUnavailable when it is not stopped `wait_s` seconds later.
    """
    with ExitStack() as noted:
        found: dict[str, Any] = {}
        with suppress(DiskFull):
            acting = Journal(state_dir, clock).acting(STOP, provider=provider.name, pod=pod_id)
            found = noted.enter_context(acting)
        pod = await provider.stop(pod_id)
        found.update(status=pod.status.value, started_at=pod.started_at)
        with suppress(DiskFull):
            noted.close()
    end = clock() + wait_s
    while not pod.status.over:
        if clock() > end:
            raise ProviderUnavailable(
                f"Pod {pod.id} is still {pod.status} {wait_s:.0f} s after it was told to stop.",
                "Run `maxcai pod stop` again.",
                op="stop",
            )
        await sleep(_POLL_S)
        pod = await provider.get(pod.id)
    await look(provider, state_dir, clock)
    return pod


async def recover(provider: Provider, state_dir: Path, clock: Clock) -> list[Pod]:
    """After a crash: settle the journal's open starts and stops by what the provider lists, and mend the ledger.

    Nothing is done to any pod, and what another living process has under way is left to it. Returns what the provider
    lists.
    """
    pods = await provider.list()
    listed = {pod.id: pod for pod in pods}
    journal = Journal(state_dir, clock)
    for intent in open_acts(journal, provider):
        if intent.abandoned:
            _settle(journal, intent, listed.get(str(intent.facts.get("pod"))), clock())
    Ledger(state_dir).reconcile(pods, clock(), [provider.name])
    return pods


def open_acts(journal: Journal, provider: Provider) -> list[Intent]:
    """Starts and stops at this provider whose outcome is not written down yet."""
    return [
        intent
        for intent in journal.open_intents()
        if intent.op in (START, STOP) and intent.facts.get("provider") == provider.name
    ]


def _settle(journal: Journal, intent: Intent, pod: Pod | None, now: float) -> None:
    """Write down how an act ended, once that can be seen; an effect may take a while to show."""
    status = PodStatus.GONE if pod is None else pod.status
    if status in (PodStatus.UNKNOWN, PodStatus.STOPPING):
        return
    if status.over == (intent.op == STOP):
        journal.acked(intent.id, found=status.value)
    elif now - intent.at > WAIT_S:
        journal.failed(intent.id, "found otherwise after a crash", found=status.value)


def _usable(pod: Pod) -> bool:
    return pod.status is PodStatus.RUNNING and pod.endpoint is not None

"""Starting, stopping, restarting and removing a pod with all that belongs to it: journal line first, act, ledger.

Whether a pod may be stopped or removed is `permits`'s to say, and what is shown of it the caller's. Renting one is
`creating`'s.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from remote.errors import ConfigError, DiskFull, GuardError, NoEndpoint, ProviderError, ProviderUnavailable
from remote.journal import Intent, Journal
from remote.money import sessions
from remote.money.costs import Ledger
from remote.money.rules import storage_rates
from remote.pods.model import Pod, PodSpec, PodStatus
from remote.pods.provider import Provider
from remote.renting import creating
from remote.renting.creating import CREATE
from remote.renting.permits import Permit
from remote.renting.specs import spec_of

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
START, STOP, RESTART, TERMINATE = "pod.start", "pod.stop", "pod.restart", "pod.terminate"
_UNWRITTEN = (DiskFull, ConfigError)
"""What a state folder raises that cannot be written."""
ACTS = frozenset({CREATE, START, STOP, RESTART, TERMINATE})

WAIT_S = 120.0
"""Seconds until a started pod must have an address, and until an act whose effect is not to be seen has failed."""

NEW_POD_WAIT_S = 1200.0
"""Seconds until a newly rented pod must have an address: its image may have to be pulled first."""

_POLL_S = 1.0
_ASK_S = 5.0  # nothing delays a stop for longer


async def look(
    provider: Provider, state_dir: Path, clock: Clock, *, unwritten: Callable[[str], None] | None = None
) -> list[Pod]:
    """Every pod as the provider lists it now; the ledger is brought in line with it, and with the provider's log.

    A full disk here hides no pod from a caller that says whom to tell of it (`unwritten`); else it is DiskFull.
    """
    pods = await provider.list()
    with _told(unwritten):
        Ledger(state_dir).reconcile(pods, clock(), [provider.name])
        await sessions.note(provider, state_dir, pods)
    return pods


@contextmanager
def _told(unwritten: Callable[[str], None] | None) -> Iterator[None]:
    try:
        yield
    except DiskFull as error:
        if unwritten is None:
            raise
        unwritten(f"{error.message} What pods cost is not kept up meanwhile.")


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

    Raises what the provider raises (the journal then says how it ended; after NoCapacityOnHost see
    `remote.renting.resuming`), and NoEndpoint when the pod has no address within `wait_s` seconds or ends before it has
    one.
    """
    for pod in await look(provider, state_dir, clock):
        if pod.id == pod_id and _usable(pod):
            return pod
    with Journal(state_dir, clock).acting(START, provider=provider.name, pod=pod_id) as found:
        ordered = _ordered(Journal(state_dir, clock), pod_id)
        if ordered is not None and ordered.bid is not None:  # a spot pod starts by its bid and in no other way
            pod = await provider.start_spot(pod_id, ordered.bid, ordered.gpu_count)
        else:
            pod = await provider.start(pod_id)
        found.update(status=pod.status.value, started_at=pod.started_at)
    Ledger(state_dir).open(pod)
    pod = await await_address(provider, pod, clock, wait_s=wait_s, sleep=sleep)
    await sessions.note(provider, state_dir, [pod])
    return pod


def _ordered(journal: Journal, pod_id: str) -> PodSpec | None:
    """What the pod was rented as, by the journal."""
    rented = [one for one in journal.intents() if one.op == CREATE and one.facts.get("pod") == pod_id]
    return spec_of(rented[-1]) if rented else None


async def await_address(
    provider: Provider, pod: Pod, clock: Clock, *, wait_s: float = NEW_POD_WAIT_S, sleep: Sleep = asyncio.sleep
) -> Pod:
    """Wait until the pod has an SSH address. Raises NoEndpoint when it has none in time or ends before it has one."""
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
    permit: Permit | None = None,
    because: str = "",
    wait_s: float = WAIT_S,
    sleep: Sleep = asyncio.sleep,
) -> Pod:
    """Stop the pod and close its ledger row; it counts as stopped only once the provider lists it so.

    The row ends when the stop was seen to be done: at the answer, or at the first reading after it, a second apart.
    What a `permit` overrides is journalled, and `because`, the rule that asked for it. A disk here that is full or
    cannot be written costs the journal's lines, never the stop: a pod that goes on costs money. Raises
    ProviderUnavailable when it is not stopped `wait_s` seconds later.
    """
    ran = await _runs(provider, pod_id)
    facts: dict[str, Any] = {"provider": provider.name, "pod": pod_id}
    facts |= {"overridden": list(permit.overridden)} if permit and permit.overridden else {}
    facts |= {"because": because} if because else {}
    with ExitStack() as noted:
        found: dict[str, Any] = {}
        with suppress(*_UNWRITTEN):
            acting = Journal(state_dir, clock).acting(STOP, **facts)
            found = noted.enter_context(acting)
        pod = await provider.stop(pod_id)
        found.update(status=pod.status.value, started_at=pod.started_at)
        with suppress(*_UNWRITTEN):
            noted.close()
    pod = await _until_over(provider, pod, clock, wait_s, sleep)
    if ran:
        with suppress(*_UNWRITTEN):
            Ledger(state_dir).ended(pod.id, clock() if pod.stopped_at is None else pod.stopped_at, "stopped")
    with suppress(*_UNWRITTEN, ProviderError):  # it has stopped, whatever the next list says
        await look(provider, state_dir, clock)
    return pod


async def _until_over(provider: Provider, pod: Pod, clock: Clock, wait_s: float, sleep: Sleep) -> Pod:
    """The pod once it is listed as stopped. Raises ProviderUnavailable when it is not `wait_s` seconds from now."""
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
    return pod


async def _runs(provider: Provider, pod_id: str) -> bool:
    """Whether the pod ran right before it was told to stop: else nobody here knows when it ended."""
    try:
        async with asyncio.timeout(_ASK_S):
            status = (await provider.get(pod_id)).status
    except (ProviderError, TimeoutError):
        return False
    return not status.over and status is not PodStatus.UNKNOWN


async def restart(
    provider: Provider,
    pod_id: str,
    state_dir: Path,
    clock: Clock,
    *,
    overridden: Sequence[str] = (),
    wait_s: float = WAIT_S,
    sleep: Sleep = asyncio.sleep,
) -> Pod:
    """Restart a running pod and wait for its new address. It is a new session with a ledger row of its own. What was
    `overridden` for it is journalled.

    Raises what the provider raises, and NoEndpoint as `start` does.
    """
    before = (await provider.get(pod_id)).started_at
    facts: dict[str, Any] = {"provider": provider.name, "pod": pod_id, "before": before}
    facts |= {"overridden": list(overridden)} if overridden else {}
    with Journal(state_dir, clock).acting(RESTART, **facts) as found:
        pod = await provider.restart(pod_id)
        found.update(status=pod.status.value, started_at=pod.started_at)
    if pod.started_at is not None and before is not None and pod.started_at > before:
        Ledger(state_dir).ended(pod_id, pod.started_at, "restarted")
    Ledger(state_dir).open(pod)
    pod = await await_address(provider, pod, clock, wait_s=wait_s, sleep=sleep)
    with suppress(ProviderError):  # it has restarted, whatever the next list says
        await look(provider, state_dir, clock)
    return pod


async def terminate(
    provider: Provider,
    permit: Permit,
    state_dir: Path,
    clock: Clock,
    *,
    wait_s: float = WAIT_S,
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Remove the pod with its data. The permit is `permits.may_terminate`'s; what it overrides is journalled.

    Raises ProviderUnavailable when what is listed of the pod `wait_s` seconds later still costs, or may cost, money.
    """
    if permit.op != "terminate":
        raise GuardError(f"The permit for pod {permit.pod_id} is one to {permit.op}.")
    pod_id = permit.pod_id
    facts = {"provider": provider.name, "pod": pod_id, "overridden": list(permit.overridden)}
    with Journal(state_dir, clock).acting(TERMINATE, **facts):
        await provider.terminate(pod_id)
    done = clock()
    while (pod := _listed(await provider.list(), pod_id)) is not None and _costs(pod):
        if clock() > done + wait_s:
            raise ProviderUnavailable(
                f"Pod {pod_id} is still {pod.status} {wait_s:.0f} s after it was removed.",
                "Look at it in the provider's console: it may be costing money.",
                op="terminate",
            )
        await sleep(_POLL_S)
    Ledger(state_dir).gone(pod_id, done, "terminated")


async def recover(
    provider: Provider, state_dir: Path, clock: Clock, *, unwritten: Callable[[str], None] | None = None
) -> list[Pod]:
    """After a crash: settle the journal's open acts by what the provider lists, and mend the ledger.

    Nothing is done to any pod, and what another living process has under way is left to it. Returns what the provider
    lists. A full disk here is told of as in `look`.
    """
    pods = await provider.list()
    now, journal, ledger = clock(), Journal(state_dir, clock), Ledger(state_dir)
    with _told(unwritten):
        creating.settle(journal, ledger, provider.name, pods, now)
        for intent in open_acts(journal, provider):
            if intent.op != CREATE and intent.abandoned:
                _settle(journal, intent, _listed(pods, str(intent.facts.get("pod"))), now)
        ledger.reconcile(pods, now, [provider.name])
        await sessions.note(provider, state_dir, pods)
    return pods


def open_acts(journal: Journal, provider: Provider) -> list[Intent]:
    """Acts on pods of this provider whose outcome is not written down yet."""
    return [
        intent
        for intent in journal.open_intents()
        if intent.op in ACTS and intent.facts.get("provider") == provider.name
    ]


def _settle(journal: Journal, intent: Intent, pod: Pod | None, now: float) -> None:
    """Write down how an act ended, once that can be seen; an effect may take a while to show."""
    status = PodStatus.GONE if pod is None else pod.status
    if status in (PodStatus.UNKNOWN, PodStatus.STOPPING):
        return
    if _done(intent, pod, status):
        journal.acked(intent.id, found=status.value)
    elif now - intent.at > WAIT_S:
        journal.failed(intent.id, "found otherwise after a crash", found=status.value)


def _done(intent: Intent, pod: Pod | None, status: PodStatus) -> bool:
    """Whether what is seen of the pod is what the act was to bring about."""
    if intent.op == TERMINATE:
        return status is PodStatus.GONE
    if intent.op == RESTART:
        before = intent.facts.get("before")
        started = None if pod is None else pod.started_at
        return isinstance(before, (int, float)) and started is not None and started > before
    return status.over == (intent.op == STOP)


def _listed(pods: list[Pod], pod_id: str) -> Pod | None:
    return next((pod for pod in pods if pod.id == pod_id), None)


def _costs(pod: Pod) -> bool:
    """Whether a pod that is still listed may cost money; a stopped one does by its disk."""
    if pod.status in (PodStatus.GONE, PodStatus.ABSENT):
        return False
    return not pod.status.over or storage_rates(pod.provider) is not None


def _usable(pod: Pod) -> bool:
    return pod.status is PodStatus.RUNNING and pod.endpoint is not None

"""Starting and stopping a pod with everything that belongs to it: journal line first, then the act, then the ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from remote.costs import Ledger
from remote.errors import OutcomeUnknown, RemoteError
from remote.journal import Intent, Journal
from remote.pods.model import Pod, PodStatus
from remote.pods.provider import Provider

Clock = Callable[[], float]
START, STOP = "pod.start", "pod.stop"
_UNSETTLED_S = 120.0  # an intent older than this is nobody's work in progress


async def start(provider: Provider, pod_id: str, state_dir: Path, clock: Clock) -> Pod:
    """Start the pod and open its ledger row. Raises what the provider raises; the journal then says how it ended."""
    ledger = Ledger(state_dir)
    ledger.reconcile(await provider.list(), clock(), [provider.name])
    pod = await _journalled(START, provider, pod_id, Journal(state_dir, clock), provider.start)
    ledger.open(pod)
    return pod


async def stop(provider: Provider, pod_id: str, state_dir: Path, clock: Clock) -> Pod:
    """Stop the pod and close its ledger row. Whether it *may* be stopped is for the caller to ask before."""
    pod = await _journalled(STOP, provider, pod_id, Journal(state_dir, clock), provider.stop)
    Ledger(state_dir).reconcile(await provider.list(), clock(), [provider.name])
    return pod


async def recover(provider: Provider, state_dir: Path, clock: Clock) -> list[Pod]:
    """After a crash: settle the journal's open starts and stops by what the provider lists, and mend the ledger.

    Nothing is done to any pod. Returns what the provider lists.
    """
    pods = await provider.list()
    listed = {pod.id: pod for pod in pods}
    journal = Journal(state_dir, clock)
    for intent in journal.open_intents():
        ours = intent.op in (START, STOP) and intent.facts.get("provider") == provider.name
        if ours and clock() - intent.at > _UNSETTLED_S:
            _settle(journal, intent, listed.get(str(intent.facts.get("pod"))))
    Ledger(state_dir).reconcile(pods, clock(), [provider.name])
    return pods


def _settle(journal: Journal, intent: Intent, pod: Pod | None) -> None:
    status = PodStatus.GONE if pod is None else pod.status
    if status is PodStatus.UNKNOWN:
        return
    if status.over == (intent.op == STOP):
        journal.acked(intent.id, found=status.value)
    else:
        journal.failed(intent.id, "found otherwise after a crash", found=status.value)


async def _journalled(
    op: str, provider: Provider, pod_id: str, journal: Journal, act: Callable[[str], Awaitable[Pod]]
) -> Pod:
    intent = journal.intent(op, provider=provider.name, pod=pod_id)
    journal.sent(intent)
    try:
        pod = await act(pod_id)
    except OutcomeUnknown as exc:
        journal.unknown(intent, str(exc))
        raise
    except RemoteError as exc:
        journal.failed(intent, str(exc))
        raise
    journal.acked(intent, pod=pod.id, started_at=pod.started_at)
    return pod

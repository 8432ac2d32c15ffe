"""Pods as the front door handles them: every call journalled before it leaves, every session in the ledger.

The provider acts and reports; this module adds the journal, the money and the translation to what is shown.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import Unreachable, UsageError
from app.state import CostView, PodView
from remote.costs import Ledger
from remote.errors import OutcomeUnknown, RemoteError
from remote.journal import Journal
from remote.pods.model import Pod, PodStatus

if TYPE_CHECKING:
    from remote.pods.provider import Provider

READY_S = 120.0
"""Seconds a started pod may take until it has an address."""


class Fleet:
    """The pods of one provider.

    Args:
        provider_name: "local", or another one of `remote.pods.registry`.
        state_dir: where journal, ledger and the embedded pod lie.
        clock: unix seconds.
        sleep: waits some seconds; given by tests.
    """

    def __init__(
        self,
        provider_name: str,
        state_dir: Path,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] | None = None,
    ) -> None:
        self._name = provider_name
        self._state_dir = state_dir
        self._clock = clock
        self._sleep = sleep
        self._provider: Provider | None = None
        self.ledger = Ledger(state_dir)
        self.journal = Journal(state_dir, clock)
        self.pods: tuple[Pod, ...] = ()  # as last listed

    @property
    def provider(self) -> Provider:
        """The provider, made at its first use. Raises ConfigError for an unknown name."""
        if self._provider is None:
            from remote.pods.registry import provider

            self._provider = provider(self._name, state_dir=self._state_dir, clock=self._clock)
        return self._provider

    async def list(self) -> tuple[Pod, ...]:
        """Every pod as it is now; the ledger is brought in line with it."""
        self.pods = tuple(await self.provider.list())
        self.ledger.reconcile(self.pods, self._clock(), providers=[self.provider.name])
        return self.pods

    async def find(self, name: str | None = None) -> Pod:
        """The pod of this id or name, freshly listed; without a name the first one.

        Raises UsageError when there is none.
        """
        pods = await self.list()
        for pod in pods:
            if name is None or name in (pod.id, pod.name):
                return pod
        if name is None:
            raise UsageError(f"provider {self._name} has no pod", "Create one first.")
        known = ", ".join(pod.id for pod in pods) or "none"
        raise UsageError(f"no pod {name}", f"Known pods: {known}.")

    async def start(self, name: str | None = None, wait_s: float = READY_S) -> Pod:
        """Start a pod and wait until it has an address. A running pod is returned as it is.

        Raises Unreachable when it has no address within `wait_s` seconds.
        """
        pod = await self.find(name)
        if pod.status is PodStatus.RUNNING and pod.endpoint is not None:
            return pod
        pod = await self._journalled("pod.start", pod.id, self.provider.start)
        self.ledger.open(pod)
        end = self._clock() + wait_s
        while pod.endpoint is None or pod.status is not PodStatus.RUNNING:
            if pod.status.over or self._clock() > end:
                told = pod.detail or f"status {pod.status}"
                raise Unreachable(
                    f"pod {pod.id} has no address after {wait_s:.0f} s ({told})", "See `maxcai pod list`."
                )
            await self._pause(1.0)
            pod = await self.provider.get(pod.id)
        await self.list()
        return pod

    async def stop(self, pod: Pod, wait_s: float = READY_S) -> Pod:
        """Stop a pod; it counts as stopped only when the provider lists it so."""
        session = pod.session
        await self._journalled("pod.stop", pod.id, self.provider.stop)
        end = self._clock() + wait_s
        while not (pod := await self.provider.get(pod.id)).status.over:
            if self._clock() > end:
                raise Unreachable(
                    f"pod {pod.id} is still {pod.status} {wait_s:.0f} s after stop", "Run `maxcai pod stop` again."
                )
            await self._pause(1.0)
        if session is not None:
            stopped_at = pod.stopped_at if pod.stopped_at is not None else self._clock()
            self.ledger.close(session, stopped_at, "stopped")
        await self.list()
        return pod

    def cost(self, now: float) -> CostView:
        """Money as of `now` (unix seconds) for the first running pod, and in all."""
        running = next((pod for pod in self.pods if not pod.status.over), None)
        shown = running or next(iter(self.pods), None)
        per_hour = running.price_per_hour if running else None
        if running is None and shown is not None and shown.provider == "local":
            per_hour = Decimal(0)  # a rented pod that is stopped still bills its disk, which no list tells
        return CostView(
            per_hour=per_hour,
            session=self.ledger.session_cost(shown, now) if shown else None,
            total=self.ledger.total(now),
            estimated=any(row.open or row.price for row in self.ledger.rows()),
        )

    async def _journalled(self, op: str, pod_id: str, act: Callable[[str], Awaitable[Pod]]) -> Pod:
        intent = self.journal.intent(op, pod=pod_id)
        self.journal.sent(intent)
        try:
            pod = await act(pod_id)
        except OutcomeUnknown as error:
            self.journal.unknown(intent, str(error))
            raise
        except RemoteError as error:
            self.journal.failed(intent, str(error))
            raise
        self.journal.acked(intent, status=str(pod.status))
        return pod

    async def _pause(self, seconds: float) -> None:
        if self._sleep is not None:
            await self._sleep(seconds)
            return
        import asyncio

        await asyncio.sleep(seconds)


def view(pod: Pod) -> PodView:
    """A pod as the state holds it."""
    return PodView(
        id=pod.id,
        name=pod.name,
        provider=pod.provider,
        status=str(pod.status),
        gpu=pod.gpu,
        gpu_count=pod.gpu_count,
        cost_per_hour=pod.price_per_hour,
        host=pod.endpoint.host if pod.endpoint else None,
        port=pod.endpoint.port if pod.endpoint else None,
        started_at=pod.started_at,
    )

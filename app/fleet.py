"""Pods as the front door handles them: one provider, its last list, the money, and what of a pod is shown.

The acts themselves, with their journal and ledger, are `remote.pods.lifecycle`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from app.errors import UsageError
from app.state import CostView, PodView
from remote.costs import Ledger
from remote.journal import Journal
from remote.pods.model import Pod

if TYPE_CHECKING:
    from remote.pods.provider import Provider


class Fleet:
    """The pods of one provider.

    Args:
        provider_name: "local", or another one of `remote.pods.registry`.
        state_dir: where journal, ledger and the embedded pod lie.
        clock: unix seconds.
    """

    def __init__(self, provider_name: str, state_dir: Path, clock: Callable[[], float]) -> None:
        self._name = provider_name
        self._state_dir = state_dir
        self._clock = clock
        self._provider: Provider | None = None
        self._settled = False  # no act is known whose outcome is not written down
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
        """Every pod as it is now; the ledger is brought in line with it.

        The first time, and as long as an act's outcome is unknown, the journal is settled too: by looking, never by
        doing anything again.
        """
        from remote.pods import lifecycle

        look = lifecycle.look if self._settled else lifecycle.recover
        self.pods = tuple(await look(self.provider, self._state_dir, self._clock))
        if not self._settled:
            self._settled = not lifecycle.open_acts(self.journal, self.provider)
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

    async def start(self, name: str | None = None) -> Pod:
        """Start a pod and wait until it has an address. A pod that runs is returned as it is."""
        from remote.pods import lifecycle

        pod = await self.find(name)
        self._settled = False
        pod = await lifecycle.start(self.provider, pod.id, self._state_dir, self._clock)
        await self.list()
        return pod

    async def stop(self, pod: Pod) -> Pod:
        """Stop a pod; it counts as stopped only when the provider lists it so."""
        from remote.pods import lifecycle

        self._settled = False
        pod = await lifecycle.stop(self.provider, pod.id, self._state_dir, self._clock)
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

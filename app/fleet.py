"""Pods as the front door handles them: one provider, its last list, the money, and what of a pod is shown.

The acts themselves, with their journal and ledger, are `remote.renting.lifecycle`'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from app.errors import UsageError
from app.state import BudgetView, CostView, PodView
from remote.journal import Journal
from remote.money.costs import Ledger
from remote.money.rules import disks_of
from remote.pods.model import Pod

if TYPE_CHECKING:
    from remote.money.account import Account
    from remote.money.rules import Budgets
    from remote.pods.provider import Provider
    from remote.renting import reducer
    from remote.renting.permits import Permit

LOCAL = "local"


class NoPod(UsageError):
    """There is no such pod, or none of this workspace."""


class Fleet:
    """The pods of one provider.

    Args:
        provider_name: "local", or another one of `remote.pods.registry`.
        state_dir: where journal, ledger and the embedded pod lie.
        clock: unix seconds.
        transport: how RunPod is spoken to, "v2" or "sdk".
    """

    def __init__(
        self, provider_name: str, state_dir: Path, clock: Callable[[], float], *, transport: str = "v2"
    ) -> None:
        self.name = provider_name
        self.state_dir = state_dir
        self.clock = clock
        self._transport = transport
        self._provider: Provider | None = None
        self._settled = False  # no act is known whose outcome is not written down
        self.ledger = Ledger(state_dir)
        self.journal = Journal(state_dir, clock)
        self.pods: tuple[Pod, ...] = ()  # as last listed, ours first
        self.views: tuple[reducer.PodView, ...] = ()  # what is known of every pod
        self.probes: dict[str, reducer.Probe] = {}  # what the link learned, by pod id
        self.account: Account | None = None  # money as last read
        self._snapshot: reducer.Snapshot | None = None
        self.removed: frozenset[str] = frozenset()  # ids of pods whose removal was asked for here and done
        self._ours: frozenset[str] = frozenset()
        self.unwritten = ""  # what the last look could not write down here

    @property
    def rented(self) -> bool:
        """Whether its pods cost somebody's money."""
        return self.name != LOCAL

    @property
    def provider(self) -> Provider:
        """The provider, made at its first use. Raises ConfigError for an unknown name."""
        if self._provider is None:
            from remote.pods.registry import TRANSPORT, provider

            environ = {**os.environ, TRANSPORT: self._transport}
            self._provider = provider(self.name, state_dir=self.state_dir, clock=self.clock, environ=environ)
        return self._provider

    async def close(self) -> None:
        """Give the provider's connections back; it can be used again."""
        if self._provider is not None:
            await self._provider.aclose()

    async def list(self) -> tuple[Pod, ...]:
        """Every pod as it is now, those of this workspace first; the ledger is brought in line with it.

        The first time, and as long as an act's outcome is unknown, the journal is settled too: by looking, never by
        doing anything again.
        """
        from remote.renting import lifecycle, reducer

        settled = self._settled and not lifecycle.open_acts(self.journal, self.provider)
        look = lifecycle.look if settled else lifecycle.recover
        told: list[str] = []
        pods = await look(self.provider, self.state_dir, self.clock, unwritten=told.append)
        self.unwritten = told[0] if told else ""
        self._settled = True
        self._learn_ours()
        self.pods = tuple(sorted(pods, key=lambda pod: (not self.is_ours(pod), pod.status.over if self.rented else 0)))
        self._snapshot = reducer.Snapshot(self.clock(), self.pods)
        self.review()
        return self.pods

    def review(self) -> None:
        """Derive every pod's state again from what is known now: a list grows old, a deadline passes."""
        from remote.renting import lifecycle, reducer

        intents = [one for one in self.journal.intents() if one.facts.get("provider", self.name) == self.name]
        done = (one for one in intents if one.op == lifecycle.TERMINATE and one.phase.value == "acked")
        self.removed = frozenset(str(one.facts.get("pod")) for one in done)
        self.views = reducer.reduce(self.views, self._snapshot, self.probes, intents, self.clock())

    def _learn_ours(self) -> None:
        if self.rented:
            from remote.guard.enforce import ours

            self._ours = ours(self.journal)

    def is_ours(self, pod: Pod) -> bool:
        """Whether this workspace made, started or used it; the embedded pod always is."""
        return not self.rented or pod.id in self._ours

    def is_gone(self, pod_id: str) -> bool:
        """Whether a rented pod is listed no more and the ledger has seen its last session end: two lists lacked it."""
        rows = [row for row in self.ledger.rows() if row.session.pod_id == pod_id]
        listed = self._snapshot is None or any(pod.id == pod_id for pod in self.pods)
        return self.rented and not listed and bool(rows) and not any(row.open for row in rows)

    async def find(self, name: str | None = None) -> Pod:
        """The pod of this id or name, freshly listed; without a name the first one of this workspace, and first of
        those that are not off.

        Raises UsageError when there is none.
        """
        pods = await self.list()
        mine = sorted((pod for pod in pods if self.is_ours(pod)), key=lambda pod: pod.status.over)
        for pod in mine if name is None else pods:
            if name in (None, pod.id, pod.name):
                return pod
        known = ", ".join(f"{pod.name} ({pod.id})" if pod.name != pod.id else pod.id for pod in pods) or "none"
        if name is None:
            others = f" Others of the account: {known}." if pods else ""
            raise NoPod(f"provider {self.name} has no pod of this workspace", f"Make one: `maxcai pod create`.{others}")
        raise NoPod(f"no pod {name}", f"Known pods: {known}.")

    async def start(self, pod_id: str) -> Pod:
        """Start a pod and wait until it has an address. A pod that runs is returned as it is."""
        from remote.renting import lifecycle

        self._settled = False
        pod = await lifecycle.start(self.provider, pod_id, self.state_dir, self.clock)
        await self.list()
        return pod

    async def restart(self, pod: Pod, overridden: Sequence[str] = ()) -> Pod:
        """Restart a running pod and wait for its new address. What was `overridden` for it is journalled."""
        from remote.renting import lifecycle

        self._settled = False
        pod = await lifecycle.restart(
            self.provider, pod.id, self.state_dir, self.clock, overridden=overridden
        )  # fmt: skip
        await self.list()
        return pod

    async def stop(self, pod: Pod, permit: Permit | None = None, because: str = "") -> Pod:
        """Stop a pod; it counts as stopped only when the provider lists it so. The permit is journalled."""
        from remote.renting import lifecycle

        self._settled = False
        pod = await lifecycle.stop(
            self.provider, pod.id, self.state_dir, self.clock, permit=permit, because=because
        )  # fmt: skip
        await self.list()
        return pod

    async def terminate(self, permit: Permit) -> None:
        """Remove a pod for good."""
        from remote.renting import lifecycle

        self._settled = False
        await lifecycle.terminate(self.provider, permit, self.state_dir, self.clock)
        await self.list()

    # --- money -------------------------------------------------------------------------------------------------------

    async def read_account(self, budgets: Budgets, run: tuple[str, float] | None = None) -> Account:
        """Ask what the account holds and spends and put it beside the ledger. `run`: its pod, and since when."""
        from remote.money import account

        self.account = await account.read(
            self.provider, self.state_dir, self.clock, self.pods, budgets, run=run
        )  # fmt: skip
        return self.account

    def cost(self, now: float) -> CostView:
        """Money as of `now` (unix seconds) for the first running pod, and in all."""
        mine = [pod for pod in self.pods if self.is_ours(pod)]
        running = next((pod for pod in mine if not pod.status.over), None)
        shown = running or next(iter(mine), None)
        per_hour = running.price_per_hour if running else None
        if running is None and shown is not None and not self.rented:
            per_hour = Decimal(0)  # a rented pod that is stopped still bills its disk, which no list tells
        plain = CostView(
            per_hour=per_hour,
            disks=disks_of(running, running=True) if running else None,
            session=self.ledger.session_cost(shown, now) if shown else None,
            total=self.ledger.total(now),
            estimated=any(row.billed is None or not row.billed.final for row in self.ledger.rows())
            and any(row.open or row.price for row in self.ledger.rows()),
        )
        return plain if self.account is None else _with_account(plain, self.account)


def _with_account(cost: CostView, known: Account) -> CostView:
    lasts = known.runway
    return replace(
        cost,
        burn=known.burn.per_hour,
        balance=None if known.balance is None else known.balance.balance,
        runway_s=lasts.seconds,
        runway_why=None if lasts.endless else lasts.why or None,
        runway_endless=lasts.endless,
        budgets=tuple(BudgetView(one.name, one.limit, one.spent, str(one.level)) for one in known.budgets),
    )


def view(pod: Pod, known: reducer.PodView | None = None, ours: bool = True) -> PodView:
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
        state=None if known is None else _state(known),
        detail=(None if known is None else known.why or None) or pod.detail,
        offers=() if known is None else tuple(str(one) for one in known.offers),
        ours=ours,
    )


def _state(known: reducer.PodView) -> str:
    return f"{known.status} ({known.lack})" if known.lack is not None else str(known.status)


def views(fleet: Fleet) -> tuple[PodView, ...]:
    """Every pod that is listed, as the state holds it, those that are being made, and ours that vanished."""
    known = {one.key: one for one in fleet.views}
    listed = tuple(view(pod, known.get(pod.id), fleet.is_ours(pod)) for pod in fleet.pods)
    ids = {pod.id for pod in fleet.pods}
    lacking = tuple(
        replace(view(one.pod, one), status=str(one.status), cost_per_hour=None, host=None, port=None)
        for one in fleet.views
        if one.pod is not None and one.key not in ids | fleet.removed and fleet.is_ours(one.pod)
    )
    making = tuple(
        PodView(one.key, one.name, fleet.name, str(one.status), None, None, None, None, None, None,
                str(one.status), one.why, tuple(str(offer) for offer in one.offers))
        for one in fleet.views if one.pod is None
    )  # fmt: skip
    return listed + making + lacking

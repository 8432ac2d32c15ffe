"""What things cost an hour, how long the money lasts, and what a budget allows: pure functions on what was read.

Money is Decimal USD and never rounded here. What is not known is None with a reason and never looks like enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct

from remote.errors import BudgetError, ConfigError
from remote.pods.model import Balance, Pod, PodStatus, Volume, VolumeKind

HOURS_PER_MONTH = Decimal(730)
WARN_SHARE = Decimal("0.8")
"""The part of a budget at which a person is told."""

RUNWAY_LOW_S, RUNWAY_CRITICAL_S = 3600.0, 900.0
_SECONDS_PER_HOUR = Decimal(3600)


class StorageRates(Struct, frozen=True):
    """USD for one GB-month. A container disk is free while its pod is stopped.

    Network volumes cost `network` up to `network_step_gb` each and `network_beyond` above it.
    """

    container_running: Decimal
    volume_running: Decimal
    volume_stopped: Decimal
    network: Decimal
    network_beyond: Decimal
    network_step_gb: int = 1000


_RATES = {  # RunPod: docs of August 2026
    "runpod": StorageRates(Decimal("0.10"), Decimal("0.10"), Decimal("0.20"), Decimal("0.07"), Decimal("0.05")),
}


def storage_rates(provider: str) -> StorageRates | None:
    """What a provider charges for disks; None when it charges nothing for them (the embedded pod)."""
    return _RATES.get(provider)


def disks_per_hour(
    provider: str, disk_gb: int | None, volume: VolumeKind | None, volume_gb: int | None, *, running: bool
) -> Decimal | None:
    """USD an hour for a pod's own disks, network volumes apart. None when a size that matters is not known."""
    rates = storage_rates(provider)
    if rates is None:
        return Decimal(0)
    kept = _own_volume_gb(volume, volume_gb)
    if kept is None or (running and disk_gb is None):
        return None
    if not running:
        return kept * rates.volume_stopped / HOURS_PER_MONTH
    assert disk_gb is not None
    return (disk_gb * rates.container_running + kept * rates.volume_running) / HOURS_PER_MONTH


def disks_of(pod: Pod, *, running: bool) -> Decimal | None:
    """`disks_per_hour` of a pod, while it runs or once it is stopped."""
    return disks_per_hour(pod.provider, pod.disk_gb, pod.volume, pod.volume_gb, running=running)


def _own_volume_gb(volume: VolumeKind | None, volume_gb: int | None) -> int | None:
    if volume in (VolumeKind.NONE, VolumeKind.NETWORK):
        return 0
    return volume_gb


def volume_per_hour(provider: str, volume: Volume) -> Decimal | None:
    """USD an hour for a network volume, attached or not. None for a kind whose price is not known."""
    rates = storage_rates(provider)
    if rates is None:
        return Decimal(0)
    if volume.kind not in (None, "STANDARD"):
        return None
    first = min(volume.size_gb, rates.network_step_gb)
    return (first * rates.network + (volume.size_gb - first) * rates.network_beyond) / HOURS_PER_MONTH


class Burn(Struct, frozen=True):
    """USD an hour, by what it goes to. `unknown` names what could not be counted; then there is no sum."""

    compute: Decimal = Decimal(0)
    disks: Decimal = Decimal(0)
    volumes: Decimal = Decimal(0)
    unknown: tuple[str, ...] = ()

    @property
    def known(self) -> Decimal:
        """The sum of what is known."""
        return self.compute + self.disks + self.volumes

    @property
    def per_hour(self) -> Decimal | None:
        """All of it; None when something is missing."""
        return None if self.unknown else self.known


def burn(provider: str, pods: Iterable[Pod], volumes: Sequence[Volume] | None) -> Burn:
    """What is spent an hour right now. `volumes` None means that nobody could list them."""
    compute = disks = network = Decimal(0)
    unknown: list[str] = []
    for pod in pods:
        price, disk, why = _pod_per_hour(pod)
        compute, disks = compute + price, disks + disk
        unknown += why
    if volumes is None and storage_rates(provider) is not None:
        unknown.append("network volumes could not be listed")
    for volume in volumes or ():
        cost = volume_per_hour(provider, volume)
        if cost is None:
            unknown.append(f"the price of a {volume.kind} volume ({volume.name}) is not known")
        network += cost or 0
    return Burn(compute, disks, network, tuple(unknown))


def _pod_per_hour(pod: Pod) -> tuple[Decimal, Decimal, list[str]]:
    """(compute, disks, what is not known) of one pod."""
    nothing = Decimal(0)
    if pod.status in (PodStatus.GONE, PodStatus.ABSENT):
        return nothing, nothing, []
    if pod.status is PodStatus.UNKNOWN:
        return nothing, nothing, [f"the state of pod {pod.name} is not known"]
    running = not pod.status.over
    disk = disks_of(pod, running=running)
    why = [] if disk is not None else [f"the disks of pod {pod.name} are not told"]
    if running and pod.price_per_hour is None:
        why.append(f"the price of pod {pod.name} is not told")
    price = pod.price_per_hour if running else None
    return price or nothing, disk or nothing, why


# --- how long it lasts -------------------------------------------------------------------------------------------


class Level(StrEnum):
    """How bad it is. UNKNOWN is never treated as OK."""

    OK = "ok"
    WARN = "warn"
    STOP = "stop"
    UNKNOWN = "unknown"


class Runway(Struct, frozen=True):
    """Seconds until the money is gone. None with a `why`: not known, or `endless`, because nothing is spent."""

    seconds: float | None
    basis: str
    why: str = ""
    endless: bool = False

    @property
    def level(self) -> Level:
        """WARN below an hour, STOP below a quarter of one."""
        if self.endless:
            return Level.OK
        if self.seconds is None:
            return Level.UNKNOWN
        if self.seconds <= RUNWAY_CRITICAL_S:
            return Level.STOP
        return Level.WARN if self.seconds <= RUNWAY_LOW_S else Level.OK


def runway(balance: Balance | None, spending: Burn, now: float, budget_left: Decimal | None = None) -> Runway:
    """How long the balance lasts; without one, how long the rest of the user's own budget does.

    The faster of what the account says it spends and what we can see being spent counts, and the age of the reading is
    taken off.
    """
    if balance is not None and balance.balance is not None:
        told = balance.spend_per_hour
        rate = max(told or Decimal(0), spending.known)
        if spending.unknown and balance.balance > 0 and (told is None or rate <= 0):
            return Runway(None, "balance", "; ".join(spending.unknown))
        return _lasts(balance.balance, rate, "balance", now - balance.at)
    if budget_left is None:
        return Runway(None, "none", "the account's balance is not known and no budget is set")
    if spending.unknown:
        return Runway(None, "budget", "; ".join(spending.unknown))
    return _lasts(budget_left, spending.known, "budget", 0.0)


def _lasts(amount: Decimal, rate: Decimal, basis: str, age_s: float) -> Runway:
    if amount <= 0:
        return Runway(0.0, basis, "nothing is left")
    if rate <= 0:
        return Runway(None, basis, "nothing is being spent", endless=True)
    return Runway(max(0.0, float(amount / rate * _SECONDS_PER_HOUR) - max(0.0, age_s)), basis)


def at_zero(pod: Pod) -> str | None:
    """What the provider does to a pod when the balance reaches zero (RunPod's docs); None where nothing is charged."""
    if storage_rates(pod.provider) is None or pod.status in (PodStatus.GONE, PodStatus.ABSENT):
        return None
    if pod.volume is VolumeKind.NETWORK:
        return "it is stopped; its network volume is kept for a while, then deleted too"
    if pod.volume is None:
        return "it is stopped, and terminated with all its data unless those lie on a network volume"
    return "it is terminated and all its data are gone"


# --- budgets -----------------------------------------------------------------------------------------------------


class Budgets(Struct, frozen=True):
    """What may be spent, USD: on one run, in one day, in all. None sets no limit. Raises ConfigError unless > 0."""

    run: Decimal | None = None
    day: Decimal | None = None
    total: Decimal | None = None

    def __post_init__(self) -> None:
        for name, limit in self.limits():
            if not limit.is_finite() or limit <= 0:
                raise ConfigError(f"The budget for {name} is {limit}.", "Give USD above zero, or leave it out.")

    def limits(self) -> tuple[tuple[str, Decimal], ...]:
        """(name, limit) of those that are set."""
        named = (("run", self.run), ("day", self.day), ("total", self.total))
        return tuple((name, limit) for name, limit in named if limit is not None)


class Spent(Struct, frozen=True):
    """USD so far, as `Budgets`; None where it is not known."""

    run: Decimal | None = None
    day: Decimal | None = None
    total: Decimal | None = None


class BudgetState(Struct, frozen=True):
    """One budget and how much of it is gone."""

    name: str
    limit: Decimal
    spent: Decimal | None

    @property
    def left(self) -> Decimal | None:
        """USD that may still be spent; negative when it is overdrawn."""
        return None if self.spent is None else self.limit - self.spent

    @property
    def level(self) -> Level:
        """WARN from 80 %, STOP from 100 %."""
        if self.spent is None:
            return Level.UNKNOWN
        if self.spent >= self.limit:
            return Level.STOP
        return Level.WARN if self.spent >= self.limit * WARN_SHARE else Level.OK

    def __str__(self) -> str:
        spent = "an unknown sum" if self.spent is None else f"${self.spent:.2f}"
        return f"{spent} of the ${self.limit:.2f} for {'this run' if self.name == 'run' else self._period} is spent"

    @property
    def _period(self) -> str:
        return "today" if self.name == "day" else "everything"


def check(budgets: Budgets, spent: Spent) -> tuple[BudgetState, ...]:
    """Every budget that is set, against what was spent."""
    return tuple(BudgetState(name, limit, getattr(spent, name)) for name, limit in budgets.limits())


def require(states: Iterable[BudgetState]) -> None:
    """Before money is spent, or a budget is armed: raises BudgetError when one is used up or cannot be computed."""
    for state in states:
        if state.level is Level.UNKNOWN:
            raise BudgetError(
                f"The budget for {state.name} cannot be watched: what was spent is not known.",
                "See `python -m remote cost` for what is missing, or drop the budget.",
            )
        if state.level is Level.STOP:
            raise BudgetError(f"{state}.", "Raise the budget to go on.")


def day_start(now: float, zone: tzinfo | None = None) -> float:
    """Unix seconds of the midnight before `now`; `zone` None is this machine's."""
    moment = datetime.fromtimestamp(now, zone)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0, fold=0).timestamp()

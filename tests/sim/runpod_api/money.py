"""The simulated account: meters that run per second, a settlement every five minutes, billing buckets.

All amounts are exact Decimal USD; nothing is rounded before it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from tests.sim.runpod_api import catalog

SETTLEMENT_S = 300
_HOUR = Decimal(3600)
BUCKETS = ("hour", "day", "week", "month", "year")


def seconds(start: float, end: float) -> Decimal:
    """The length of an interval in seconds, exact to the millisecond."""
    return Decimal(str(round(end - start, 3)))


@dataclass
class Segment:
    """A stretch of constant prices, USD/hour; `end` None while it goes on."""

    start: float
    end: float | None
    gpu: Decimal
    cpu: Decimal
    disk: Decimal


@dataclass
class Meter:
    """What one pod costs over time."""

    segments: list[Segment] = field(default_factory=list)

    def set(self, at: float, gpu: Decimal, cpu: Decimal, disk: Decimal) -> None:
        """From `at` (unix seconds) on the pod costs this much, USD/hour."""
        last = self.segments[-1] if self.segments else None
        if last is not None and last.end is None:
            if (last.gpu, last.cpu, last.disk) == (gpu, cpu, disk):
                return
            last.end = at
        if gpu or cpu or disk:
            self.segments.append(Segment(at, None, gpu, cpu, disk))

    @property
    def rate(self) -> Segment | None:
        """The prices of this moment, None when nothing is billed."""
        last = self.segments[-1] if self.segments else None
        return last if last is not None and last.end is None else None

    def between(self, start: float, end: float) -> tuple[Decimal, Decimal, Decimal]:
        """USD for GPUs, CPUs and disks within an interval."""
        gpu = cpu = disk = Decimal(0)
        for one in self.segments:
            first, last = max(start, one.start), min(end, end if one.end is None else one.end)
            if last > first:
                hours = seconds(first, last) / _HOUR
                gpu, cpu, disk = gpu + one.gpu * hours, cpu + one.cpu * hours, disk + one.disk * hours
        return gpu, cpu, disk

    def forget(self, before: float) -> None:
        """Drop what ended before `before`."""
        self.segments = [one for one in self.segments if one.end is None or one.end > before]


@dataclass(frozen=True)
class Charge:
    """What a settlement took for one pod or one network volume, USD."""

    start: float
    end: float
    pod_id: str | None = None
    volume_id: str | None = None
    gpu: Decimal = Decimal(0)
    cpu: Decimal = Decimal(0)
    disk: Decimal = Decimal(0)
    standard: Decimal = Decimal(0)
    high_performance: Decimal = Decimal(0)

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.gpu + self.cpu + self.disk + self.standard + self.high_performance


@dataclass
class Books:
    """The account's balance (USD) and everything charged so far. `settled_at` is unix seconds."""

    balance: Decimal
    settled_at: float
    spend_limit: Decimal = Decimal(80)
    charges: list[Charge] = field(default_factory=list)

    def settle(self, meters: Iterable[tuple[str, Meter]], until: float) -> None:
        """Charge what the meters ran up since the last settlement."""
        for pod_id, meter in meters:
            gpu, cpu, disk = meter.between(self.settled_at, until)
            if gpu or cpu or disk:
                self.charge(Charge(self.settled_at, until, pod_id=pod_id, gpu=gpu, cpu=cpu, disk=disk))
            meter.forget(until)
        self.settled_at = until

    def charge(self, charge: Charge) -> None:
        """Take one charge from the balance."""
        self.charges.append(charge)
        self.balance -= charge.total

    @staticmethod
    def next_settlement(after: float) -> float:
        """The next full five minutes, unix seconds."""
        return (after // SETTLEMENT_S + 1) * SETTLEMENT_S


def volume_hour(size_gb: int, kind: str) -> tuple[Decimal, Decimal]:
    """USD for one hour of a network volume: (standard, high performance)."""
    if kind == "HIGH_PERFORMANCE":
        return Decimal(0), catalog.HIGH_PERFORMANCE * size_gb / catalog.MONTH_HOURS
    first = min(size_gb, catalog.FIRST_TB_GB)
    monthly = catalog.NETWORK_FIRST_TB * first + catalog.NETWORK_BEYOND * (size_gb - first)
    return monthly / catalog.MONTH_HOURS, Decimal(0)


def edge(at: float, size: str) -> datetime:
    """The beginning of the bucket that `at` lies in. Weeks begin on Monday."""
    day = datetime.fromtimestamp(at, UTC).replace(minute=0, second=0, microsecond=0)
    if size == "hour":
        return day
    day = day.replace(hour=0)
    if size == "week":
        return day - timedelta(days=day.weekday())
    if size == "month":
        return day.replace(day=1)
    return day.replace(month=1, day=1) if size == "year" else day


def after(start: datetime, size: str) -> datetime:
    """The beginning of the next bucket."""
    if size == "month":
        return (start + timedelta(days=32)).replace(day=1)
    if size == "year":
        return start.replace(year=start.year + 1)
    return start + {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}[size]


def back(start: datetime, size: str, count: int) -> datetime:
    """The beginning of the bucket `count` buckets before."""
    for _ in range(count):
        start = edge(start.timestamp() - 1, size)
    return start

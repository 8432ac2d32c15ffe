"""What every provider of pods can do. Journalling, money and retries are the caller's."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from remote.pods.model import Balance, BillingRecord, LogLine, Offer, Pod, PodSpec, Volume

LogLines = list[str]
Offers = list[Offer]
Volumes = list[Volume]
BillingRecords = list[BillingRecord]


class Capability(StrEnum):
    """What a provider may lack; screens show only what there is."""

    CREATE = "create"
    RESTART = "restart"
    TERMINATE = "terminate"
    SPOT = "spot"
    LOGS = "logs"
    FOLLOW_LOGS = "follow_logs"
    CATALOG = "catalog"
    STOCK = "stock"  # the catalogue tells what is free
    VOLUMES = "volumes"
    BILLING = "billing"
    BALANCE = "balance"
    STARTED_AT = "started_at"  # it tells when a pod session began


class Provider(Protocol):
    """One source of pods. Every call raises `ProviderError` or `ConfigError` and nothing else of its own.

    What `capabilities` does not name raises ConfigError.
    """

    @property
    def name(self) -> str:
        """The name used in settings: "local"."""
        ...

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this provider can do beyond list, get, start and stop."""
        ...

    async def list(self) -> list[Pod]:
        """Every pod of the account, as it is now."""
        ...

    async def get(self, pod_id: str) -> Pod:
        """One pod. Raises NotFound."""
        ...

    async def create(self, name: str, spec: PodSpec) -> Pod:
        """Rent a pod. Never repeated by the provider: after OutcomeUnknown the caller lists and adopts."""
        ...

    async def start(self, pod_id: str) -> Pod:
        """Start a stopped pod and return it as it is then. Starting a running pod changes nothing.

        Raises NoCapacityOnHost when its machine has no free GPU.
        """
        ...

    async def start_spot(self, pod_id: str, bid: Decimal, gpu_count: int) -> Pod:
        """Start a stopped spot pod by a bid in USD/hour and GPU; else like `start`. Needs Capability.SPOT."""
        ...

    async def stop(self, pod_id: str) -> Pod:
        """Stop it; its kept volume stays. Stopping a stopped pod changes nothing."""
        ...

    async def restart(self, pod_id: str) -> Pod:
        """Restart a running pod: a new pod session, its container disk wiped."""
        ...

    async def terminate(self, pod_id: str) -> None:
        """Remove it with its data. A pod that is gone is no error."""
        ...

    async def logs(self, pod_id: str) -> LogLines:
        """Lines of the container's log, oldest first, possibly of earlier starts too."""
        ...

    def follow_logs(self, pod_id: str, after: str | None = None) -> AsyncIterator[LogLine]:
        """The log as it grows, after the position `after`; ends only by an error or by being closed."""
        ...

    async def catalog(self, count: int = 1) -> Offers:
        """GPU types that can be rented `count` at a time, with price and stock."""
        ...

    async def volumes(self) -> Volumes:
        """The account's network volumes."""
        ...

    async def create_volume(self, name: str, size_gb: int, data_center: str) -> Volume:
        """Make a network volume, which costs money until it is removed."""
        ...

    async def billing(self, start: float, end: float, pod_id: str | None = None) -> BillingRecords:
        """What was billed between two unix times, by hour; buckets without cost may be missing."""
        ...

    async def balance(self) -> Balance:
        """What the account holds and spends."""
        ...

    async def aclose(self) -> None:
        """Give its connections back."""
        ...

"""What a provider that lacks something answers: a base for providers, so that each names only what it can do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import ClassVar, NoReturn

from remote.errors import ConfigError
from remote.pods.model import Balance, BillingRecord, LogLine, Offer, Pod, Volume
from remote.pods.provider import Capability


class Limited:
    """Implements the optional part of `remote.pods.provider.Provider` by raising ConfigError."""

    name: ClassVar[str]
    capabilities: frozenset[Capability] = frozenset()

    async def start_spot(self, pod_id: str, bid: Decimal, gpu_count: int) -> Pod:
        self._cannot("start a spot pod")

    async def restart(self, pod_id: str) -> Pod:
        self._cannot("restart a pod")

    def follow_logs(self, pod_id: str, after: str | None = None) -> AsyncIterator[LogLine]:
        self._cannot("follow a pod's log")

    async def catalog(self, count: int = 1) -> list[Offer]:
        self._cannot("list what can be rented")

    async def volumes(self) -> list[Volume]:
        self._cannot("list network volumes")

    async def create_volume(self, name: str, size_gb: int, data_center: str) -> Volume:
        self._cannot("make a network volume")

    async def billing(self, start: float, end: float, pod_id: str | None = None) -> list[BillingRecord]:
        self._cannot("tell what was billed")

    async def balance(self) -> Balance:
        self._cannot("tell the account's balance")

    async def aclose(self) -> None:
        return None

    def _cannot(self, what: str) -> NoReturn:
        raise ConfigError(f'The provider "{self.name}" cannot {what}.')

"""What every provider of pods can do. Journalling, money and retries are the caller's."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from remote.pods.model import Pod

LogLines = list[str]


class Capability(StrEnum):
    """What a provider may lack; screens show only what there is."""

    CREATE = "create"
    TERMINATE = "terminate"
    LOGS = "logs"
    CATALOG = "catalog"
    VOLUMES = "volumes"
    BILLING = "billing"
    BALANCE = "balance"


class Provider(Protocol):
    """One source of pods. Every call raises `ProviderError` or `ConfigError` and nothing else of its own."""

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

    async def create(self, name: str) -> Pod:
        """Make a pod. Never repeated by the provider: after OutcomeUnknown the caller lists and adopts."""
        ...

    async def start(self, pod_id: str) -> Pod:
        """Start a stopped pod and return it as it is then. Starting a running pod changes nothing."""
        ...

    async def stop(self, pod_id: str) -> Pod:
        """Stop it; its kept volume stays. Stopping a stopped pod changes nothing."""
        ...

    async def terminate(self, pod_id: str) -> None:
        """Remove it with its data."""
        ...

    async def logs(self, pod_id: str) -> LogLines:
        """Lines of the container's log, oldest first, possibly of earlier starts too."""
        ...

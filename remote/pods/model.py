"""What a pod is, as its provider last reported it. No I/O here; whether a pod is *usable* is for its agent to say."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class PodStatus(StrEnum):
    """A pod's state, derived afresh from observations and never advanced by hope.

    Providers report up to RUNNING; SSH_UP, READY and DEGRADED need a verified connection and the agent's answer.
    """

    ABSENT = "ABSENT"
    CREATING = "CREATING"
    PULLING = "PULLING"
    BOOTING = "BOOTING"
    RUNNING = "RUNNING"  # the provider says so, and there is an endpoint
    SSH_UP = "SSH_UP"
    READY = "READY"
    DEGRADED = "DEGRADED"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    RESUME_BLOCKED = "RESUME_BLOCKED"
    GONE = "GONE"
    UNKNOWN = "UNKNOWN"

    @property
    def over(self) -> bool:
        """True when a pod session in this state has certainly ended, so that no compute is billed for it."""
        return self in (PodStatus.ABSENT, PodStatus.STOPPED, PodStatus.RESUME_BLOCKED, PodStatus.GONE)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the pod's SSH server listens. Derived data: it changes at every start and is never kept as a setting."""

    host: str
    port: int
    username: str


@dataclass(frozen=True, slots=True, order=True)
class PodSession:
    """One stretch between a pod's start and its stop; keys ports, host keys, agent incarnation and ledger rows."""

    pod_id: str
    started_at: float  # unix seconds

    @property
    def key(self) -> str:
        """The session as one string, for files."""
        return f"{self.pod_id}@{self.started_at!r}"


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. What the provider did not say is None.

    `root` is the absolute path on the pod of the volume that survives a stop; `python` the interpreter that runs the
    agent there; `price_per_hour` is in USD/hour; times are unix seconds; `detail` is one sentence where the status
    alone would mislead.
    """

    id: str
    name: str
    provider: str
    status: PodStatus
    root: str
    python: str
    gpu: str | None = None
    gpu_count: int | None = None
    price_per_hour: Decimal | None = None
    endpoint: Endpoint | None = None
    started_at: float | None = None
    stopped_at: float | None = None
    image: str | None = None
    detail: str | None = None

    @property
    def session(self) -> PodSession | None:
        """The pod session this report belongs to, None when the pod was never started."""
        return None if self.started_at is None else PodSession(self.id, self.started_at)

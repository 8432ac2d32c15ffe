"""What a pod is, as its provider last reported it. No I/O here; whether a pod is *usable* is for its agent to say."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum

from msgspec import Struct, field


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


class Endpoint(Struct, frozen=True):
    """Where the pod's SSH server listens. Derived data: it changes at every start and is never kept as a setting."""

    host: str
    port: int
    username: str


class PodSession(Struct, frozen=True, order=True):
    """One stretch between a pod's start and its stop; keys ports, host keys, agent incarnation and ledger rows."""

    pod_id: str
    started_at: float  # unix seconds

    @property
    def key(self) -> str:
        """The session as one string, for files."""
        return f"{self.pod_id}@{self.started_at!r}"


class VolumeKind(StrEnum):
    """What of a pod's disk survives a stop."""

    NONE = "none"  # nothing: a stop destroys all its data
    PERSISTENT = "persistent"  # a disk on the pod's host: survives a stop, dies with the pod
    NETWORK = "network"  # a network volume: survives the pod


class Cloud(StrEnum):
    """Whose machines."""

    SECURE = "SECURE"
    COMMUNITY = "COMMUNITY"


class PodSpec(Struct, frozen=True):
    """What to rent. Sizes in GB; `gpu` is the provider's id ("NVIDIA A100-SXM4-80GB"), None for a CPU pod.

    `volume_id` names a network volume, `volume_gb` the size of a disk on the pod's host; at most one of them, and both
    None only with `ephemeral`, which says that the user accepts that a stop destroys the data. `bid` in USD/hour makes
    it a spot pod. Values of `env` may be secret and are not shown.
    """

    image: str
    gpu: str | None
    gpu_count: int = 1
    cloud: Cloud = Cloud.SECURE
    disk_gb: int = 50
    volume_id: str | None = None
    volume_gb: int | None = None
    mount: str = "/workspace"
    data_centers: tuple[str, ...] = ()
    min_cuda: str | None = None
    bid: Decimal | None = None
    ephemeral: bool = False
    template_id: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__struct_fields__ if name != "env")
        return f"PodSpec({', '.join(shown)})"


class GpuUse(Struct, frozen=True):
    """What the provider says of one GPU of a running pod, in percent; None where it does not."""

    util: float | None
    memory: float | None


class Pod(Struct, frozen=True):
    """One pod. What the provider did not say is None.

    `root` is the absolute path on the pod of the volume that survives a stop; `python` the interpreter that runs the
    agent there; `price_per_hour` is in USD/hour; times are unix seconds; sizes are GB; `detail` is one sentence where
    the status alone would mislead. `provider_status` is the provider's own word. `actions` are the acts it allows now
    ("start", "stop", "restart", "terminate"). `volume` None means that the provider does not tell what is kept.
    `proxy` is an address for shells only, never a transport.
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
    provider_status: str | None = None
    actions: frozenset[str] | None = None
    cloud: Cloud | None = None
    data_center: str | None = None
    disk_gb: int | None = None
    volume: VolumeKind | None = None
    volume_id: str | None = None
    volume_gb: int | None = None
    spot: bool | None = None
    created_at: float | None = None
    proxy: Endpoint | None = None
    use: tuple[GpuUse, ...] = ()

    @property
    def session(self) -> PodSession | None:
        """The pod session this report belongs to, None when the pod was never started."""
        return None if self.started_at is None else PodSession(self.id, self.started_at)


class Stock(StrEnum):
    """How many of a GPU type the provider says are free; it orders candidates and promises nothing."""

    NONE = "none"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Offer(Struct, frozen=True):
    """One GPU type in one cloud. `price` is USD/hour for one GPU, None when not told; `memory_gb` of one GPU."""

    gpu: str
    name: str
    cloud: Cloud
    memory_gb: int | None
    price: Decimal | None
    stock: Stock | None
    max_count: int | None
    data_centers: Mapping[str, Stock | None] = field(default_factory=dict)
    cuda_versions: tuple[str, ...] = ()
    spot_price: Decimal | None = None


class Volume(Struct, frozen=True):
    """A network volume. `size_gb` in GB; `kind` is the provider's word ("STANDARD")."""

    id: str
    name: str
    size_gb: int
    data_center: str | None
    kind: str | None = None


class Balance(Struct, frozen=True):
    """What the account holds, USD, and spends, USD/hour, over all its resources; None where not told.

    `at` is when this was read, unix seconds.
    """

    balance: Decimal | None
    spend_per_hour: Decimal | None
    spend_limit: Decimal | None
    at: float


class BillingRecord(Struct, frozen=True):
    """What the provider billed for one pod within one bucket, USD. `start` and `end` are unix seconds."""

    pod_id: str | None
    start: float
    end: float
    total: Decimal | None
    gpu: Decimal | None = None
    cpu: Decimal | None = None
    disk: Decimal | None = None


class LogLine(Struct, frozen=True):
    """One line of a pod's log. `id` is the provider's opaque position; `source` is "container" or "system"."""

    text: str
    at: float | None = None
    source: str | None = None
    id: str | None = None

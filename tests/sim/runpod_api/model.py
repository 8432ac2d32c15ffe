"""The simulated things: hosts, pods, volumes, log lines. Data only; `world` changes them and `wire` shows them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from tests.sim.pods.base import RunningPod
from tests.sim.runpod_api.money import Meter


class Refused(Exception):
    """The API says no. `status` is the HTTP status of REST v2; GraphQL shows `detail` alone."""

    def __init__(self, status: int, detail: str, errors: tuple[str, ...] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors


NO_INSTANCES = (
    "There are no longer any instances available with the requested specifications. Please refresh and try again."
)
NO_RESOURCES = "this machine does not have the resources to deploy this pod"
NO_FREE_GPUS = "There are not enough free GPUs on the host machine to start this pod."
SOMETHING_WRONG = "Something went wrong. Please try again later or contact support."
NO_CONFIGURATION = "You must either provide a template id or pod configuration parameters"


class Status(StrEnum):
    """What a pod is, by the documents' state machine; `wire` shows it through the quirks."""

    PROVISIONING = "PROVISIONING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    EXITED = "EXITED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"

    @property
    def active(self) -> bool:
        """True while the pod holds its machine."""
        return self in (Status.PROVISIONING, Status.STARTING, Status.RUNNING)


@dataclass
class BootTimes:
    """Virtual seconds. `pull` for images every host has (`runpod/…`, `sim/…`), `cold_pull` for others' first time."""

    provision: float = 2.0
    pull: float = 28.0
    cold_pull: float = 300.0
    port: float = 25.0  # container start to public port
    resume: float = 10.0  # start or restart to container start
    stop: float = 0.0  # stop acknowledged to EXITED

    @classmethod
    def instant(cls) -> BootTimes:
        """Everything at once."""
        return cls(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass
class Host:
    """One machine. `others` is how many of its `total` GPUs other customers hold."""

    id: str
    gpu_id: str
    data_center: str
    cloud: str
    total: int
    cuda: str
    others: int = 0
    images: set[str] = field(default_factory=set)


@dataclass
class NetworkVolume:
    """A network volume; `size` in GB, `next_charge` in unix seconds."""

    id: str
    name: str
    size: int
    data_center: str
    type: str
    created_at: float
    next_charge: float


@dataclass(frozen=True)
class LogEntry:
    """One line of a pod's log. `at` in unix seconds; `start_index` tells of which start it is."""

    sequence: int
    at: float
    source: str
    line: str
    start_index: int


@dataclass
class Plan:
    """A create, whichever API it came by. Sizes in GB; `cloud` None means any."""

    name: str
    image: str | None = None
    template_id: str | None = None
    gpu_id: str | None = None
    gpu_count: int = 1
    cpu_id: str | None = None
    vcpus: int = 2
    cloud: str | None = "SECURE"
    disk: int | None = None
    persistent: int | None = None
    volume_id: str | None = None
    mount: str | None = None
    data_centers: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    min_cuda: str | None = None
    allowed_cuda: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    args: str = ""
    start_ssh: bool = False
    bid: Decimal | None = None
    locked: bool = False
    global_networking: bool = False
    stop_after: float | None = None
    terminate_after: float | None = None


@dataclass
class SimPod:
    """One pod. `price` is USD/hour for all its GPUs; `gpus_held` are taken from its host while it is active."""

    id: str
    name: str
    image: str
    args: str
    env: dict[str, str]
    ports: tuple[str, ...]
    disk: int
    persistent: int | None
    volume_id: str | None
    mount: str | None
    gpu_id: str | None
    gpu_count: int
    cpu_id: str | None
    vcpus: int
    cloud: str
    host: Host
    price: Decimal
    created_at: float
    key: str  # pod-scoped API key
    proxy_user: str
    template_id: str | None = None
    bid: Decimal | None = None
    locked: bool = False
    global_networking: bool = False
    cluster: bool = False
    status: Status = Status.PROVISIONING
    started_at: float | None = None
    changed: str = ""
    start_index: int = -1
    gpus_held: int = 0
    container_at: float | None = None  # when the container started; None while there is none
    port_due: float | None = None
    endpoint: tuple[str, int] | None = None
    starting: asyncio.Task[RunningPod] | None = None
    running: RunningPod | None = None
    stopping: bool = False
    no_port: bool = False
    cold: bool = False
    log: list[LogEntry] = field(default_factory=list)
    log_seen: int = 0
    grown: asyncio.Event = field(default_factory=asyncio.Event)
    meter: Meter = field(default_factory=Meter)

    @property
    def spot(self) -> bool:
        """True for a pod that was bid for."""
        return self.bid is not None

    @property
    def volume_key(self) -> str | None:
        """What of this pod survives a stop, for the pod factory."""
        return self.volume_id or (self.id if self.persistent else None)

    def write(self, at: float, source: str, line: str) -> None:
        """Append a log line and wake whoever follows."""
        self.log.append(LogEntry(len(self.log) + 1, at, source, line, self.start_index))
        self.grown.set()
        self.grown = asyncio.Event()

"""Everything the panel and the command line show, as one frozen value, and the pure function that moves it on.

Services report `AppEvent`s; `reduce` folds them in; widgets and printers read. Absent stays None: an unknown price is
never 0 and an unknown state is never "stopped". Big data (logs, series) stays in files; the state carries their sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec import Struct, field


class PodView(Struct, frozen=True):
    """One pod as last reported by its provider."""

    id: str
    name: str
    provider: str
    status: str  # remote.pods.model.PodStatus value: RUNNING, STOPPED, BOOTING, ...
    gpu: str | None
    gpu_count: int | None
    cost_per_hour: Decimal | None  # USD/hour
    host: str | None
    port: int | None
    started_at: float | None  # unix seconds
    state: str | None = None  # derived from list, link and journal: READY, DEGRADED, RESUME_BLOCKED, UNKNOWN, …
    detail: str | None = None  # why it is in that state, one sentence
    offers: tuple[str, ...] = ()  # what can be done about it
    ours: bool = True  # made or started from this workspace


class WatchView(Struct, frozen=True):
    """The pod's own watchdog. `until`: when its soonest rule stops the pod; `at`: when this was read (unix seconds)."""

    level: str  # green | amber | red
    reason: str
    pod: str
    until: float | None = None
    rule: str | None = None
    at: float = 0.0
    low_disk: tuple[str, ...] = ()  # disks of the pod that are nearly full


class CountdownView(Struct, frozen=True):
    """A stop that is counted down: whose, by which rule and why, from when to when (unix seconds)."""

    pod: str
    name: str
    rule: str  # idle | budget
    why: str
    begun: float
    ends: float


class BudgetView(Struct, frozen=True):
    """One budget, USD. Level: ok | warn | stop | unknown."""

    name: str  # run | day | total
    limit: Decimal
    spent: Decimal | None
    level: str


class LinkView(Struct, frozen=True):
    """The SSH link. `data_at` is when bytes last came from the pod (unix seconds)."""

    state: str = "down"  # down | connecting | up | retrying
    error: str | None = None
    retry_at: float | None = None
    latency_s: float | None = None
    data_at: float | None = None
    verified: bool | None = None  # host key matched its pin


class StepView(Struct, frozen=True):
    """One step of the run, in planned order."""

    step: str  # "stage-1/sft"
    state: str = "planned"  # planned | running | done | reused | skipped | failed
    attempt: int = 0
    started_at: float | None = None
    seconds: float | None = None
    done: int | None = None
    total: int | None = None
    unit: str | None = None
    rate: float | None = None
    eta_s: float | None = None
    forecast_s: float | None = None


class GateView(Struct, frozen=True):
    """One gate's decision. `rates` maps condition -> pipeline.protocol.Rate.as_dict()."""

    stage: int
    name: str
    attempt: int
    verdict: str
    rate: float | None
    low: float | None
    high: float | None
    threshold: float | None
    p: float | None
    n: int | None
    reason: str
    rates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class RunView(Struct, frozen=True):
    """The run that is followed."""

    run_id: str
    recipe: str | None = None
    state: str = "pending"  # pipeline.protocol.RunState, or "lost" when its process is gone without a word
    pod_id: str | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    reason: str | None = None
    steps: tuple[StepView, ...] = ()
    gates: tuple[GateView, ...] = ()
    warnings: tuple[str, ...] = ()
    metrics: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # "step name" -> (x, value), last only
    heartbeat_at: float | None = None
    tokens_per_s: float | None = None
    rss: int | None = None
    seq: int = 0  # last event folded in
    pulled: bool = False  # every artifact is home and verified


class CostView(Struct, frozen=True):
    """Money in USD. None means unknown and is shown as such."""

    per_hour: Decimal | None = None  # of the shown pod, its disks apart
    session: Decimal | None = None
    total: Decimal | None = None
    estimated: bool = True  # shown with ≈ until reconciled with the provider's bill
    burn: Decimal | None = None  # USD/hour of everything: pods, disks of stopped ones, network volumes
    balance: Decimal | None = None
    runway_s: float | None = None  # seconds until the money is gone
    runway_why: str | None = None  # why that is not known
    runway_endless: bool = False  # nothing is being spent
    budgets: tuple[BudgetView, ...] = ()
    disks: Decimal | None = None  # USD/hour for the shown pod's own disks

    def at_end(self, eta_s: float | None) -> Decimal | None:
        """USD of this session by the time something ends in `eta_s` seconds; None when a part is unknown."""
        if self.session is None or self.per_hour is None or self.disks is None or eta_s is None:
            return None
        return self.session + (self.per_hour + self.disks) * Decimal(repr(max(0.0, eta_s))) / 3600


class StreamView(Struct, frozen=True):
    """One followed file: its spool on this machine and how many bytes of it are here."""

    name: str
    path: str
    size: int
    behind: int = 0


class Notice(Struct, frozen=True):
    """Something a person should read: an action's progress or outcome, a warning, a failed service."""

    at: float
    level: str  # info | ok | warn | error
    text: str


class Activity(Struct, frozen=True):
    """An action under way ("push", "pull", "pod.start"), with its progress if it has one."""

    action: str
    text: str
    done: int | None = None
    total: int | None = None


class AppState(Struct, frozen=True):
    """The whole picture."""

    project: str
    provider: str = "local"
    pods: tuple[PodView, ...] = ()
    pod: PodView | None = None  # the one that keys act on
    pods_at: float | None = None  # when the provider last answered
    link: LinkView = LinkView()
    run: RunView | None = None
    runs: tuple[str, ...] = ()  # run ids known to this workspace, newest first
    cost: CostView = CostView()
    watches: Mapping[str, WatchView] = field(default_factory=dict)  # running pods' own watchdogs, once asked, by pod id
    countdown: CountdownView | None = None  # a stop that any key still prevents
    streams: Mapping[str, StreamView] = field(default_factory=dict)
    activities: Mapping[str, Activity] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()  # newest last, bounded
    hint: str | None = None  # one line such as how to add a RunPod key
    acked: frozenset[str] = frozenset()  # ids of alerts that somebody has seen
    readonly: bool = False
    replay: str | None = None  # this is a recording: "60×", "paused" or "the end"

    @property
    def watch(self) -> WatchView | None:
        """The watchdog of the pod that keys act on."""
        return None if self.pod is None else self.watches.get(self.pod.id)

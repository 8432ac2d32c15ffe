"""Everything the panel and the command line show, as one frozen value, and the pure function that moves it on.

Services report `AppEvent`s; `reduce` folds them in; widgets and printers read. Absent stays None: an unknown price is
never 0 and an unknown state is never "stopped". Big data (logs, series) stays in files; the state carries their sizes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any


@dataclass(frozen=True, slots=True)
class PodView:
    """One pod as last reported by its provider."""

    id: str
    name: str
    provider: str
    status: str  # remote.pods.model.PodStatus value: RUNNING, STOPPED, STARTING, ...
    gpu: str | None
    gpu_count: int | None
    cost_per_hour: Decimal | None  # USD/hour
    host: str | None
    port: int | None
    started_at: float | None  # unix seconds


@dataclass(frozen=True, slots=True)
class LinkView:
    """The SSH link. `data_at` is when bytes last came from the pod (unix seconds)."""

    state: str = "down"  # down | connecting | up | retrying
    error: str | None = None
    retry_at: float | None = None
    latency_s: float | None = None
    data_at: float | None = None
    verified: bool | None = None  # host key matched its pin


@dataclass(frozen=True, slots=True)
class StepView:
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


@dataclass(frozen=True, slots=True)
class GateView:
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


@dataclass(frozen=True, slots=True)
class RunView:
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


@dataclass(frozen=True, slots=True)
class CostView:
    """Money in USD. None means unknown and is shown as such."""

    per_hour: Decimal | None = None
    session: Decimal | None = None
    total: Decimal | None = None
    estimated: bool = True  # shown with ≈ until reconciled with the provider's bill


@dataclass(frozen=True, slots=True)
class StreamView:
    """One followed file: its spool on this machine and how many bytes of it are here."""

    name: str
    path: str
    size: int
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should read: an action's progress or outcome, a warning, a failed service."""

    at: float
    level: str  # info | ok | warn | error
    text: str


@dataclass(frozen=True, slots=True)
class Activity:
    """An action under way ("push", "pull", "pod.start"), with its progress if it has one."""

    action: str
    text: str
    done: int | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class AppState:
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
    streams: Mapping[str, StreamView] = field(default_factory=dict)
    activities: Mapping[str, Activity] = field(default_factory=dict)
    notices: tuple[Notice, ...] = ()  # newest last, bounded
    hint: str | None = None  # one line such as how to add a RunPod key
    readonly: bool = False

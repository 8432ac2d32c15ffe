"""What every widget is given to draw from, and the facts more than one of them derives from it.

Staleness is decided here, once, so that no two widgets can disagree about how old the picture is.
"""

from __future__ import annotations

from msgspec import Struct, field

from app.reduce import MOVING, OFF
from app.state import AppState, GateView, RunView, StepView
from app.tui.boards import Boards
from app.tui.desk import Desk
from app.tui.home import Home
from app.tui.meters import Meters
from app.tui.series import Series
from app.tui.theme import UNICODE, Glyphs

POLL_S, TRANSITION_POLL_S, HEARTBEAT_S, PING_S, WATCH_S = 12.0, 2.0, 10.0, 15.0, 60.0
"""Periods of the sources (seconds): provider, provider while a pod starts or stops, a running run's heartbeat, the
link's own word, the pod's watchdog."""

STALE_AFTER = 3
"""A source older than this many of its periods is stale."""

LIVE = ("running",)
ENDED = ("finished", "stopped", "failed", "lost")


class Picture(Struct, frozen=True):
    """One consistent look at everything. `now` is in unix seconds; the stores below are read-only handles."""

    state: AppState
    now: float
    glyphs: Glyphs = UNICODE
    series: Series = field(default_factory=Series)
    boards: Boards = field(default_factory=Boards)
    home: Home = field(default_factory=Home)
    meters: Meters = field(default_factory=Meters)
    desk: Desk = field(default_factory=Desk)

    @property
    def run(self) -> RunView | None:
        return self.state.run

    @property
    def step(self) -> StepView | None:
        """The step to look at: the running one, else a failed one, else None."""
        steps = self.run.steps if self.run else ()
        by_state = {step.state: step for step in reversed(steps)}
        return by_state.get("running") or by_state.get("failed")

    @property
    def acts(self) -> bool:
        """Keys that change something do something here: neither a recording nor read-only."""
        return self.state.replay is None and not self.state.readonly

    def absent(self, said: str = "reading") -> str:
        """What to say of something that is not here yet: a recording has none of it."""
        return said if self.state.replay is None else "not recorded"

    @property
    def pod_age(self) -> float | None:
        """Seconds since the provider last answered."""
        return None if self.state.pods_at is None else max(0.0, self.now - self.state.pods_at)

    @property
    def pod_stale(self) -> bool:
        moving = self.state.pod is not None and self.state.pod.status in MOVING
        period = TRANSITION_POLL_S if moving else POLL_S
        return self.pod_age is not None and self.pod_age > STALE_AFTER * period

    @property
    def pod_up(self) -> float | None:
        """Seconds the pod's present session has lasted; None when there is none now."""
        pod = self.state.pod
        if pod is None or pod.started_at is None or pod.status in OFF:
            return None
        return max(0.0, self.now - pod.started_at)

    @property
    def data_age(self) -> float | None:
        """Seconds since bytes last came from the pod."""
        at = self.state.link.data_at
        return None if at is None else max(0.0, self.now - at)

    @property
    def run_age(self) -> float | None:
        """Seconds since the followed run last gave a sign of life here."""
        at = self.state.link.data_at
        if at is None and self.run is not None:
            at = self.run.heartbeat_at  # by the pod's clock, so only when nothing was received here yet
        return None if at is None else max(0.0, self.now - at)

    @property
    def run_stale(self) -> bool:
        """A live run of which nothing new was heard for three heartbeats, or whose link is gone."""
        if self.run is None or self.run.state not in LIVE:
            return False
        return self.run_age is None or self.run_age > STALE_AFTER * HEARTBEAT_S

    @property
    def link_stale(self) -> bool:
        """A link that counts as up, over which nothing has come for three of its own words: it may be half open."""
        return self.state.link.state == "up" and (self.data_age or 0.0) > STALE_AFTER * PING_S

    @property
    def watch_stale(self) -> bool:
        """The pod's watchdog was not heard of for three rounds, so that its deadline may have moved."""
        return self.state.watch is not None and self.now - self.state.watch.at > STALE_AFTER * WATCH_S

    def elapsed(self, step: StepView) -> float | None:
        """Seconds a step has taken; of a running one until now."""
        if step.seconds is not None or step.state != "running" or step.started_at is None:
            return step.seconds
        return max(0.0, self.now - step.started_at)

    def gate(self, stage: int) -> GateView | None:
        """The newest decision of a stage's gate."""
        return latest_gates(self.run).get(stage) if self.run else None


def latest_gates(run: RunView) -> dict[int, GateView]:
    """Stage → its gate's newest decision."""
    return {gate.stage: gate for gate in sorted(run.gates, key=lambda gate: gate.attempt)}


def step_name(step: str) -> str:
    """`sft` of `stage-1/sft`."""
    return step.rpartition("/")[2] or step

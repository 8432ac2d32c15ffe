"""What services and actions report. `app.reduce` folds these into the state; printers read the two output kinds.

An event is a fact that has happened; it holds values only, so that a journal of events is also a recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.state import Activity, CostView, CountdownView, LinkView, PodView, StreamView, WatchView


@dataclass(frozen=True, slots=True)
class PodsListed:
    """The provider answered at `at` (unix seconds)."""

    pods: tuple[PodView, ...]
    at: float


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """The SSH link is in another state."""

    link: LinkView


@dataclass(frozen=True, slots=True)
class DataArrived:
    """Bytes came from the pod at `at` (unix seconds)."""

    at: float


@dataclass(frozen=True, slots=True)
class RunFollowed:
    """This run is now the one shown. Following the run that is shown already changes nothing."""

    run_id: str
    recipe: str | None = None
    pod_id: str | None = None
    pulled: bool = False


@dataclass(frozen=True, slots=True)
class RunLine:
    """One line of the run's events.jsonl, as bytes came."""

    run_id: str
    line: bytes


@dataclass(frozen=True, slots=True)
class JobReported:
    """What the pod's agent says of the run's process: absent, running, exited, lost or orphaned.

    "unlaunched" is our own word: it is absent and nobody is at work on launching it. `said` is the last line of its
    console once it is over.
    """

    run_id: str
    state: str
    exit_code: int | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class Pulled:
    """Every file of the run is home and verified."""

    run_id: str


@dataclass(frozen=True, slots=True)
class RunsKnown:
    """Run ids known to this workspace, newest first."""

    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CostTicked:
    """Money as of now."""

    cost: CostView


@dataclass(frozen=True, slots=True)
class WatchReported:
    """What the pod said of its own watchdog; None: no pod runs."""

    watch: WatchView | None


@dataclass(frozen=True, slots=True)
class CountdownChanged:
    """A stop is being counted down; None: none is any more."""

    countdown: CountdownView | None


@dataclass(frozen=True, slots=True)
class StreamGrew:
    """A followed file's spool has grown."""

    stream: StreamView


@dataclass(frozen=True, slots=True)
class ActivityChanged:
    """An action under way has begun or moved on."""

    activity: Activity


@dataclass(frozen=True, slots=True)
class ActivityEnded:
    """An action under way has ended, well or not."""

    action: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something a person should read. Level: info | ok | warn | error."""

    level: str
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A service failed; it tries again in `retry_in` seconds (None = only when asked)."""

    source: str
    error: str
    retry_in: float | None
    at: float


@dataclass(frozen=True, slots=True)
class Woke:
    """The wall clock ran `gap_s` seconds ahead of the monotonic clock: this machine has slept."""

    at: float
    gap_s: float


@dataclass(frozen=True, slots=True)
class Hinted:
    """One line worth knowing, such as how to add a key. None takes it away."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """These alerts have been seen by somebody."""

    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Output:
    """What a printing action hands out: text for people, `data` for `--json`."""

    text: str
    data: Any = None


@dataclass(frozen=True, slots=True)
class OutputBytes:
    """Raw bytes of a log for standard output."""

    data: bytes
    meta: Mapping[str, Any] | None = None


AppEvent = (
    PodsListed
    | LinkChanged
    | DataArrived
    | RunFollowed
    | RunLine
    | JobReported
    | Pulled
    | RunsKnown
    | CostTicked
    | WatchReported
    | CountdownChanged
    | StreamGrew
    | ActivityChanged
    | ActivityEnded
    | Noted
    | Failed
    | Woke
    | Hinted
    | Acknowledged
    | Output
    | OutputBytes
)

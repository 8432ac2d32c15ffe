"""What services and actions report. `app.reduce` folds these into the state; printers read the two output kinds.

An event is a fact that has happened; it holds values only, so that a journal of events is also a recording.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from app.state import Activity, CostView, CountdownView, LinkView, PodView, StreamView, WatchView


class PodsListed(Struct, frozen=True):
    """The provider answered at `at` (unix seconds)."""

    pods: tuple[PodView, ...]
    at: float


class LinkChanged(Struct, frozen=True):
    """The SSH link to a pod is in another state."""

    link: LinkView
    pod: str | None = None  # its id; None in recordings of before there could be several


class DataArrived(Struct, frozen=True):
    """Bytes came from the pod at `at` (unix seconds)."""

    at: float


class RunFollowed(Struct, frozen=True):
    """This run is now the one shown. Following the run that is shown already changes nothing."""

    run_id: str
    recipe: str | None = None
    pod_id: str | None = None
    pulled: bool = False


class RunLine(Struct, frozen=True):
    """One line of the run's events.jsonl, as bytes came."""

    run_id: str
    line: bytes


class JobReported(Struct, frozen=True):
    """What the pod's agent says of the run's process: absent, running, exited, lost or orphaned.

    "unlaunched" is our own word: it is absent and nobody is at work on launching it. `said` is the last line of its
    console once it is over.
    """

    run_id: str
    state: str
    exit_code: int | None = None
    said: str | None = None


class Pulled(Struct, frozen=True):
    """Every file of the run is home and verified."""

    run_id: str


class RunsKnown(Struct, frozen=True):
    """Run ids known to this workspace, newest first."""

    runs: tuple[str, ...]


class CostTicked(Struct, frozen=True):
    """Money as of now."""

    cost: CostView


class WatchReported(Struct, frozen=True):
    """What a pod said of its own watchdog."""

    watch: WatchView


class CountdownChanged(Struct, frozen=True):
    """A stop is being counted down; None: none is any more."""

    countdown: CountdownView | None


class StreamGrew(Struct, frozen=True):
    """A followed file's spool has grown."""

    stream: StreamView


class ActivityChanged(Struct, frozen=True):
    """An action under way has begun or moved on."""

    activity: Activity


class ActivityEnded(Struct, frozen=True):
    """An action under way has ended, well or not."""

    action: str


class Noted(Struct, frozen=True):
    """Something a person should read. Level: info | ok | warn | error."""

    level: str
    text: str
    at: float


class Failed(Struct, frozen=True):
    """A service failed; it tries again in `retry_in` seconds (None = only when asked)."""

    source: str
    error: str
    retry_in: float | None
    at: float
    pod: str | None = None  # whose link it is, by id, where it is a link


class Woke(Struct, frozen=True):
    """The wall clock ran `gap_s` seconds ahead of the monotonic clock: this machine has slept."""

    at: float
    gap_s: float


class Hinted(Struct, frozen=True):
    """One line worth knowing, such as how to add a key. None takes it away."""

    text: str | None


class Acknowledged(Struct, frozen=True):
    """These alerts have been seen by somebody."""

    ids: frozenset[str]


class Output(Struct, frozen=True):
    """What a printing action hands out: text for people, `data` for `--json`."""

    text: str
    data: Any = None


class OutputBytes(Struct, frozen=True):
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

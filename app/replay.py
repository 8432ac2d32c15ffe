"""Replaying a recording: the panel's controller without any service, so that nothing can be done and nothing is asked.

The recorded moments are folded in as they come due. What a run left in files is unfolded into a scratch directory at
the moment at which it was written, so that no view shows what was not there yet.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from app.actions import registry
from app.actions.base import Action, Args, Confirm, Context, Scope
from app.errors import OK, Refused
from app.events import AppEvent, RunLine, StreamGrew
from app.progress import Narrator
from app.recording import EVENTS, Moment, Recording
from app.reduce import reduce
from app.state import AppState, Notice, StreamView
from app.text import harmless
from pipeline.protocol import Event, parse_line

TICK_S = 0.1
GAP_S = 60.0
"""Recorded seconds without anything in them that are passed over: a run that was resumed the next day."""

LINE_S = 60.0
"""Recorded seconds between two plain lines about a step that goes on."""

SPEEDS = (0.25, 4096.0)


class Place(Struct, frozen=True):
    """The replay's own workspace: no tasks, no reviews, the run's files as far as they were there."""

    root: Path | None
    runs_dir: Path
    state_dir: Path


async def _inner(
    player: Player, act: Callable[[Player], None], _context: Context, _args: Args
) -> AsyncIterator[AppEvent]:
    act(player)
    return
    yield  # makes this an async generator


CONTROLS: tuple[tuple[str, str, str, str, Callable[[Player], None]], ...] = (
    ("replay.pause", "space", "Pause", "stop the recording, or go on", lambda p: p.pause()),
    ("replay.faster", ">", "Faster", "twice the speed", lambda p: p.hurry(2.0)),
    ("replay.slower", "<", "Slower", "half the speed", lambda p: p.hurry(0.5)),
    ("replay.next", ")", "Next step", "to the beginning of the next step", lambda p: p.step(1)),
    (
        "replay.previous",
        "(",
        "Previous step",
        "to the beginning of this step, or of the one before",
        lambda p: p.step(-1),
    ),
)
"""(id, key, title, help, what it does) of the replay's own acts; `maxcai keys` lists them."""

HIDDEN = frozenset({"view.journal", "view.save", "view.edit", "view.browse", "view.undo", "view.advance"})
"""View acts that a replay has not: they show this machine's own journal, open programs, write, or change tasks."""


class Player:
    """What the panel draws during a replay; the interface is `app.controller.Controller`'s.

    Args:
        recording: what is replayed.
        speed: recorded seconds per second.
        root: workspace whose tasks and reviews are shown although they are not part of the recording; None: none.
        files: also unfold what the run left in files, for views that read them.
        monotonic: seconds.
    """

    def __init__(
        self,
        recording: Recording,
        speed: float = 1.0,
        *,
        root: Path | None = None,
        files: bool = True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.recording, self.speed, self.playing = recording, speed, True
        self.still = False  # for one picture: its day is told instead of its speed
        self._scratch = tempfile.TemporaryDirectory(prefix="maxcai-replay-")
        scratch = Path(self._scratch.name)
        self.workspace = Place(root, scratch / "runs", scratch / "state")
        self._monotonic, self._unfolds = monotonic, files
        self._times = [moment.at for moment in recording.moments]
        self._steps = [m.at for m in recording.moments if (e := _told(m)) is not None and e.kind == "step_started"]
        self._subscribers: list[Callable[[AppState], None]] = []
        self._listeners: list[Callable[[AppEvent], None]] = []
        self._rewind()
        self.seek(recording.moments[0].at)

    def _rewind(self) -> None:
        self._next, self.at = 0, self.recording.moments[0].at
        self._files = Unfolding(self.recording, self.workspace.runs_dir) if self._unfolds else None
        name = self.recording.run_id or self.recording.path.stem
        self.state = AppState(project=name, provider="recorded", readonly=True, replay=self.sign())

    def clock(self) -> float:
        """The recorded moment that is shown, unix seconds."""
        return self.at

    @property
    def over(self) -> bool:
        """Everything recorded has happened."""
        return self._next >= len(self._times)

    def sign(self) -> str:
        """`60×`, `paused` or `the end`; of a single picture the day on which it was so."""
        if self.still:
            return time.strftime("%Y-%m-%d", time.localtime(self.at))
        if self.over:
            return "the end"
        return f"{self.speed:g}×" if self.playing else "paused"

    # --- time --------------------------------------------------------------------------------------------------------

    def seek(self, at: float) -> None:
        """Show the moment `at`: what happened until then, and nothing that came after."""
        if at < self.at:
            self._rewind()
        self.at = max(self._times[0], min(at, self._times[-1]))
        until = bisect_right(self._times, self.at)
        moments, self._next = self.recording.moments[self._next : until], until
        for moment in moments:
            for event in (moment.event,) if self._files is None else self._files.events(moment):
                self._fold(event)
        self._tell()

    def advance(self, seconds: float) -> None:
        """Let `seconds` of real time pass."""
        if not self.playing or self.over:
            return
        to = self.at + seconds * self.speed
        due = self._times[self._next]
        self.seek(due if due - self.at > GAP_S and to < due else to)

    def pause(self) -> None:
        """Stop, or go on; from the end, begin again."""
        if self.over:
            self.seek(self._times[0])
            self.playing = True
        else:
            self.playing = not self.playing
        self._tell()

    def hurry(self, factor: float) -> None:
        """Change the speed."""
        self.speed = min(SPEEDS[1], max(SPEEDS[0], self.speed * factor))
        self._tell()

    def step(self, direction: int) -> None:
        """Go to where the next step began, or where this one did."""
        ahead = [at for at in self._steps if at > self.at]
        behind = [at for at in self._steps if at < self.at - 2 * TICK_S * self.speed]
        found = ahead[:1] if direction > 0 else behind[-1:]
        self.seek(found[0] if found else self._times[-1 if direction > 0 else 0])

    def end_of(self, step: str) -> float | None:
        """When a step ended for the last time; None of one that did not."""
        told = ((m.at, e) for m in self.recording.moments if (e := _told(m)) is not None and e.kind == "step_finished")
        return max((at for at, event in told if event.get("step") == step), default=None)

    # --- the controller's interface ----------------------------------------------------------------------------------

    def subscribe(self, callback: Callable[[AppState], None]) -> Callable[[], None]:
        """Call `callback` with every new state."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def listen(self, callback: Callable[[AppEvent], None]) -> None:
        """Call `callback` with every event before it is folded in."""
        self._listeners.append(callback)

    async def run(self) -> None:
        """Let the recording pass until cancelled."""
        before = self._monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            now = self._monotonic()
            self.advance(now - before)
            before = now

    def actions(self) -> tuple[Action, ...]:
        """Acts of the screen, and those of the replay. No other action can be reached."""
        views = tuple(a for a in registry.ACTIONS if a.view and not a.writes and a.id not in HIDDEN)
        own = tuple(
            Action(name, (), title, said, key, Scope.GLOBAL, partial(_inner, self, act), writes=False)
            for name, key, title, said, act in CONTROLS
        )
        taken = {key for _name, key, *_ in CONTROLS}
        return own + tuple(a for a in views if not taken & set(a.keys.split(",")))

    def reason(self, action_id: str, _args: Args | None = None) -> str | None:
        """Why this is refused: anything but looking is."""
        action = next((action for action in self.actions() if action.id == action_id), None)
        if action is None:
            return "a replay only shows what was recorded"
        refused = action.enabled(self.state)
        return None if refused is None else str(refused)

    def emit(self, event: AppEvent) -> None:
        """What the panel itself has to tell goes nowhere: it is not part of the recording."""

    async def confirm(self, _action_id: str, _args: Args | None = None) -> Confirm | None:
        """Nothing here can be at risk."""
        return None

    async def stream(self, action_id: str, args: Args | None = None) -> AsyncIterator[AppEvent]:
        """Do one of the replay's own acts. Raises Refused for any other."""
        action = next((action for action in self.actions() if action.id == action_id), None)
        if action is None:
            raise Refused(f"{action_id}: a replay only shows what was recorded")
        async for event in action.run(_no_context(), args or {}):
            yield event

    async def perform(self, action_id: str, args: Mapping[str, Any] | None = None, *, ask: Any = None) -> int:  # noqa: ARG002
        """The same; for the panel."""
        async for _event in self.stream(action_id, args):
            pass
        return OK

    async def close(self) -> None:
        """Remove the scratch directory, unless further pictures are made of it."""
        if not self.still:
            self.remove()

    def remove(self) -> None:
        """Remove the scratch directory."""
        self._scratch.cleanup()

    def _fold(self, event: AppEvent) -> None:
        for listener in self._listeners:
            listener(event)
        self.state = reduce(self.state, event)

    def _tell(self) -> None:
        self.state = replace(self.state, replay=self.sign())
        for callback in tuple(self._subscribers):
            callback(self.state)


def _no_context() -> Any:
    """The replay's acts need no workspace and no services: there are none."""
    return None


def _told(moment: Moment) -> Event | None:
    """The run's own event in a moment."""
    return parse_line(moment.event.line) if isinstance(moment.event, RunLine) else None


class Unfolding:
    """The files of a recorded run, linked into a scratch directory when the recording says that they were written.

    Args:
        recording: whose files are meant.
        runs_dir: scratch; emptied here.
    """

    def __init__(self, recording: Recording, runs_dir: Path) -> None:
        self._home = recording.home
        self._runs = runs_dir
        _empty(runs_dir)

    def events(self, moment: Moment) -> Iterator[AppEvent]:
        """What this moment brings: its own event, and logs that are there from now on."""
        event = moment.event
        if isinstance(event, StreamGrew):
            grown = self._grown(event.stream)
            if grown is not None:
                yield StreamGrew(grown)
            return
        yield event
        if isinstance(event, RunLine):
            yield from self._line(event)

    def _line(self, event: RunLine) -> Iterator[AppEvent]:
        run = self._runs / Path(event.run_id).name
        told = parse_line(event.line)
        if told is None or run == self._runs:
            return
        run.mkdir(parents=True, exist_ok=True)
        with (run / EVENTS).open("ab") as file:
            file.write(event.line if event.line.endswith(b"\n") else event.line + b"\n")
        yield StreamGrew(StreamView(EVENTS, str(run / EVENTS), (run / EVENTS).stat().st_size))
        if self._home is None:
            return
        if told.kind == "artifact":
            self._link(run, str(told.get("path")))
        elif told.kind == "step_finished":
            yield from self._step(run, self._home, str(told.get("step")))
        elif told.kind == "run_finished":
            for path in sorted(self._home.glob("report.*")):
                self._link(run, path.name)

    def _step(self, run: Path, home: Path, step: str) -> Iterator[AppEvent]:
        """All that a finished step left, and its log, whose lines carry no time of their own."""
        for path in sorted((home / step).rglob("*")):
            if path.is_file():
                self._link(run, str(path.relative_to(home)))
        name = f"logs/{step.replace('/', '.')}.log"
        if self._link(run, name):
            yield StreamGrew(StreamView(name, str(run / name), (run / name).stat().st_size))

    def _link(self, run: Path, name: str) -> bool:
        """Link one file of the run; True when it is new here. A path that leaves the directory is not followed."""
        assert self._home is not None
        source, place = self._home / name, run / name
        if ".." in Path(name).parts or place.exists() or not source.is_file():
            return False
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(source)
        return True

    def _grown(self, stream: StreamView) -> StreamView | None:
        """A log as long as it was at that moment: its first `size` bytes, of the spool that is still here."""
        place = self._runs.parent / "streams" / stream.name.replace("/", "_")
        with suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            have = place.stat().st_size if place.exists() else 0
            with Path(stream.path).open("rb") as source, place.open("ab") as copy:
                source.seek(have)
                copy.write(source.read(max(0, stream.size - have)))
            return StreamView(stream.name, str(place), place.stat().st_size)
        return None


def _empty(runs_dir: Path) -> None:
    import shutil

    for folder in (runs_dir, runs_dir.parent / "streams"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)


def plain(player: Player) -> Iterator[tuple[float, str]]:
    """The whole recording as (unix seconds, line): every change of a step, notices, the end."""
    narrator = Narrator(player.clock, LINE_S)
    told: tuple[Notice, ...] = ()
    for at in dict.fromkeys(player._times):
        player.seek(at)
        fresh = player.state.notices if not told else _after(player.state.notices, told[-1])
        told = player.state.notices
        for notice in fresh:
            yield at, f"{notice.level}: {harmless(notice.text)}" if notice.level != "info" else harmless(notice.text)
        for line in narrator.lines(player.state):
            yield at, line


def _after(notices: tuple[Notice, ...], last: Notice) -> tuple[Notice, ...]:
    """Notices that came after `last`."""
    for place in range(len(notices) - 1, -1, -1):
        if notices[place] is last:
            return notices[place + 1 :]
    return notices

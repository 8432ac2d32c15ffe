"""Following one run: its bytes into the spool, its event lines into the state, until its process is over.

Bytes are `remote.watch.tail`'s; what a line means is `app.fold`'s. Only whole lines go on; a half line waits for its
end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from app.events import AppEvent, DataArrived, JobReported, Noted, RunFollowed, RunLine, StreamGrew
from app.history import is_home, note_end
from app.logs import CONSOLE, EVENTS
from app.runs import RunEntry
from app.state import StreamView
from app.text import harmless
from app.workspace import Workspace

if TYPE_CHECKING:
    from remote.agent.client import Agent
    from remote.jobs import JobState, JobStatus
    from remote.watch.tail import Growth

LINE_BYTES = 4096
"""Of the console's last line never more than this is shown."""

CATCH_UP_S = 60.0
"""Seconds that bringing the spool up to date may take for one look."""

HOLE = (
    "{} was emptied or replaced on the pod and no copy of it is there: what was written to it in the last moments "
    "before that, if anything was, is lost. What came before and comes after is here."
)
"""Said of a stream whose file went away under us; its name fills the gap."""


class LineReader:
    """Whole lines appended to a file since the last look.

    Args:
        path: a file that grows, or is replaced by a shorter one (then it is read from its beginning).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def fresh(self) -> Iterator[bytes]:
        """Lines that are complete now and were not handed out before, each with its end."""
        try:
            size = self._path.stat().st_size
        except OSError:
            return
        if size < self._offset:
            self._offset = 0
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield line


class Follower:
    """One run as it goes on.

    Args:
        workspace: where the spool lies.
        entry: the run and its attempt.
        emit: told of every event.
        clock: unix seconds.
    """

    def __init__(
        self, workspace: Workspace, entry: RunEntry, emit: Callable[[AppEvent], None], clock: Callable[[], float]
    ) -> None:
        self.entry = entry
        self._workspace = workspace
        self._emit = emit
        self._clock = clock
        self._spools = workspace.state_dir / "spool"
        self._spool = workspace.spool_dir(entry.run_id)
        self._lines = LineReader(self._spool / EVENTS)

    def replay(self) -> None:
        """Show what is on this machine already: pulled files, then the spool. Asks nobody."""
        home = self._workspace.run_dir(self.entry.run_id)
        pulled = is_home(self._workspace, self.entry)
        self._emit(RunFollowed(self.entry.run_id, self.entry.recipe, self.entry.pod, pulled=pulled))
        for line in LineReader(home / EVENTS).fresh():
            self._emit(RunLine(self.entry.run_id, line))
        self._fold()
        for folder in (home, self._spool):
            for path in (folder / EVENTS, *sorted(folder.glob("logs/*.log")), folder / CONSOLE):
                if path.is_file():
                    self._stream(str(path.relative_to(folder)), path, path.stat().st_size)

    async def to_the_end(self, agent: Agent) -> JobState:
        """Follow until the process is over and every byte it wrote is here. Returns how it ended.

        Raises SshError when the link breaks.
        """
        from remote.jobs import JobState
        from remote.watch.tail import follow

        status = await self._status(agent)
        if status.state is JobState.ABSENT or status.state.alive:  # of an end the run's own words come first
            self._tell(status)
        if status.state is JobState.ABSENT:
            return status.state
        async with _closing(follow(agent, self.entry.run_id, self._spools, until_exit=True)) as growths:
            async for growth in growths:
                self._grew(growth)
        self._fold()
        status = await self._status(agent)
        self._tell(status)
        return status.state

    async def once(self, agent: Agent) -> None:
        """Bring what the pod has now, and no more. Raises SshError when the link breaks."""
        from remote.watch.tail import follow

        status = await self._status(agent)
        behind = {name for name, size in status.sizes.items() if self._size(name) != size}
        if behind:
            async with (
                asyncio.timeout(CATCH_UP_S),
                _closing(follow(agent, self.entry.run_id, self._spools, names=sorted(behind))) as growths,
            ):
                async for growth in growths:
                    self._grew(growth)
                    if growth.current and growth.size >= status.sizes.get(growth.stream, 0):
                        behind.discard(growth.stream)
                    if not behind:
                        break
        self._fold()
        self._tell(status)

    def _tell(self, status: JobStatus) -> None:
        over = status.state in ("exited", "lost")
        said = last_line(self._spool / CONSOLE) if over else None
        report = JobReported(self.entry.run_id, str(status.state), status.exit_code, said)
        if over and status.attempt == self.entry.attempt:
            note_end(self._workspace, self.entry, report)
        self._emit(report)

    async def _status(self, agent: Agent) -> JobStatus:
        from remote import jobs

        return await jobs.status(agent, self.entry.run_id)

    def _grew(self, growth: Growth) -> None:
        self._emit(DataArrived(self._clock()))
        if growth.gap:
            self._emit(Noted("warn", HOLE.format(growth.stream), self._clock()))
        if growth.path == self._spool / growth.stream:
            self._stream(growth.stream, growth.path, growth.size, growth.behind)
        if growth.stream == EVENTS:
            self._fold()

    def _size(self, stream: str) -> int:
        path = self._spool / stream
        return path.stat().st_size if path.is_file() else 0

    def _fold(self) -> None:
        for line in self._lines.fresh():
            self._emit(RunLine(self.entry.run_id, line))

    def _stream(self, name: str, path: Path, size: int, behind: int = 0) -> None:
        self._emit(StreamGrew(StreamView(name, str(path), size, behind)))


def last_line(path: Path) -> str | None:
    """The last line with text in a log, without a leading "error:"; None when there is none."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - LINE_BYTES))
            lines = log.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return None
    told = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return harmless(told.removeprefix("error: ")) or None


def _closing(growths: AsyncIterator[Growth]) -> aclosing[AsyncGenerator[Growth, None]]:
    """Leaving a follow early must end its process on the pod at once, not when the garbage is collected."""
    return aclosing(cast("AsyncGenerator[Growth, None]", growths))

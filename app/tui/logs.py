"""The open spools of the followed streams, and which of them a view shows.

One spool a stream however many views look at it; growth is taken in here, once a tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from app.state import AppState
from app.tui.spool import STEP, Spool


class Logs:
    """Streams by name. `picked` is the one a person chose; None follows the running step."""

    def __init__(self) -> None:
        self._spools: dict[str, Spool] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.picked: str | None = None

    def advance(self, state: AppState) -> bool:
        """Take in growth of every stream, at most one step each; True if a line anywhere changed."""
        for name in [name for name in self._spools if name not in state.streams]:
            self._spools.pop(name).close()
        changed = False
        for name, stream in state.streams.items():
            spool = self._spools.get(name)
            if spool is None or str(spool.path) != stream.path:
                if spool is not None:
                    spool.close()
                spool = self._spools[name] = Spool(Path(stream.path))
            generation = spool.generation
            changed = spool.advance(STEP) or changed
            if spool.partial and spool.generation != generation:
                self._beside(spool.index_head)
        if self.picked is not None and self.picked not in state.streams:
            self.picked = None
        return changed

    def _beside(self, work: Callable[[], None]) -> None:
        """Do it in a thread, so that the screen never waits."""
        task = asyncio.get_running_loop().create_task(asyncio.to_thread(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def names(self, state: AppState) -> tuple[str, ...]:
        """Streams in order; the event stream, which is for programs, last."""
        return tuple(sorted(state.streams, key=is_events))

    def showing(self, state: AppState) -> str | None:
        """The picked stream, else the log of the running step, else the one that was opened last."""
        if self.picked is not None:
            return self.picked
        names = self.names(state)
        running = [step.step for step in state.run.steps if step.state == "running"] if state.run else []
        for step in reversed(running):
            wanted = step.replace("/", ".")
            for name in names:
                if wanted in name.replace("/", "."):
                    return name
        readable = [name for name in names if not is_events(name)]
        return readable[-1] if readable else (names[-1] if names else None)

    def spool(self, name: str | None) -> Spool | None:
        """The open spool of a stream."""
        return None if name is None else self._spools.get(name)

    def pick(self, state: AppState, direction: int) -> str | None:
        """Choose the next (1) or previous (-1) stream."""
        names = self.names(state)
        if not names:
            return None
        now = self.showing(state)
        self.picked = names[(names.index(now) + direction) % len(names)] if now in names else names[0]
        return self.picked

    def events_path(self, state: AppState) -> Path | None:
        """The followed `events.jsonl`, if there is one."""
        return next((Path(stream.path) for name, stream in state.streams.items() if is_events(name)), None)

    def close(self) -> None:
        """Close every file."""
        for spool in self._spools.values():
            spool.close()
        self._spools.clear()


def is_events(name: str) -> bool:
    """Whether a stream is the run's event stream."""
    return name.rpartition("/")[2].partition(".")[0] == "events"

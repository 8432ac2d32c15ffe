"""What the overview tells besides pods and runs: git, what a push would send, the command log, and what waits.

Read in threads, rarely, and only while a view shows it; nothing is written but the hash cache that pushing keeps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from app.brief import Brief
    from remote.journal import Intent
    from remote.sync.push import GitState, Plan

JOURNAL_S, PLAN_S, BRIEF_S = 1.0, 30.0, 15.0
"""Seconds between two looks at each: the command log, git with the push plan, the morning's brief."""

KEPT = 8
"""Newest entries of the command log that are held."""


class Sending(Struct, frozen=True):
    """What a push would do now. `why` says why that is not known."""

    plan: Plan | None = None
    branch: str | None = None
    git: GitState | None = None
    why: str | None = None


class Desk:
    """The files around a run.

    Args:
        supervisor: whose workspace is read; None: there is nothing to read.
    """

    def __init__(self, supervisor: Any = None) -> None:
        self._supervisor = supervisor
        self.commands: tuple[Intent, ...] | None = None  # newest last; None: not read yet
        self.sending: Sending | None = None
        self.brief: Brief | None = None
        self._mark: tuple[int, int] | None = None
        self._due = dict.fromkeys(("journal", "plan", "brief"), float("-inf"))
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._fresh = False

    def advance(self, now: float, seen: bool) -> bool:
        """Read what is due while a view shows it; True when something looks different."""
        if seen and self._supervisor is not None:
            self._read("journal", now, JOURNAL_S, self._journal)
            self._read("plan", now, PLAN_S, self._plan)
            self._read("brief", now, BRIEF_S, self._brief)
        fresh, self._fresh = self._fresh, False
        return fresh

    def again(self) -> None:
        """Read everything anew at the next look: somebody has pushed, or moved a task."""
        self._due = dict.fromkeys(self._due, float("-inf"))

    @property
    def busy(self) -> bool:
        """Something is being read."""
        return any(not task.done() for task in self._tasks.values())

    def close(self) -> None:
        """Wait for nothing any more."""
        for task in self._tasks.values():
            task.cancel()

    def _read(self, name: str, now: float, every_s: float, read: Callable[[], bool]) -> None:
        task = self._tasks.get(name)
        if (task is not None and not task.done()) or 0 <= now - self._due[name] < every_s:
            return
        self._due[name] = now
        self._tasks[name] = asyncio.get_running_loop().create_task(self._in_a_thread(read))

    async def _in_a_thread(self, read: Callable[[], bool]) -> None:
        self._fresh = await asyncio.to_thread(read) or self._fresh

    def _journal(self) -> bool:
        from remote.errors import RemoteError
        from remote.journal import Journal

        path = self._supervisor.workspace.state_dir / "journal.jsonl"
        try:
            found = path.stat()
            mark = (found.st_size, found.st_mtime_ns)
            if mark == self._mark:
                return False
            self._mark, self.commands = mark, tuple(Journal(path.parent, time.time).intents()[-KEPT:])
        except FileNotFoundError:
            changed, self.commands = self.commands is None, ()
            return changed
        except (OSError, RemoteError):
            return False  # the command log itself says what is wrong with it
        return True

    def _plan(self) -> bool:
        from app.errors import AppError
        from app.ready import sources
        from remote.errors import RemoteError
        from remote.sync.push import git_branch, git_state, plan
        from remote.sync.scan import scan

        supervisor, before = self._supervisor, self.sending
        root, state_dir = supervisor.workspace.root, supervisor.workspace.state_dir
        try:
            planned, why = plan(scan(sources(supervisor), state_dir), state_dir), None
        except (OSError, RemoteError, AppError) as error:
            planned, why = None, str(error)
        self.sending = Sending(planned, git_branch(root), git_state(root), why)
        return self.sending != before

    def _brief(self) -> bool:
        from app.brief import at_hand

        before, self.brief = self.brief, at_hand(self._supervisor)
        return self.brief != before

"""The runs this workspace has started: an append-only file, and the lock that makes two starts at once one run.

What a run is doing now is the pod's knowledge (its agent, its events); this file only says which runs are ours.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import Refused, UsageError


@dataclass(frozen=True, slots=True)
class RunEntry:
    """One attempt of one run. `started` is unix seconds, `tree` the pushed code's id."""

    run_id: str
    recipe: str
    pod: str
    tree: str
    attempt: int
    started: float


class RunBook:
    """`<state>/runs.jsonl`: one line per attempt, newest last; a torn last line is passed over.

    Args:
        state_dir: the workspace's state folder.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "runs.jsonl"
        self._lock = state_dir / "launch.lock"

    def add(self, entry: RunEntry) -> None:
        """Append one attempt and make it durable before anything is launched."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(asdict(entry), separators=(",", ":")).encode() + b"\n"
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(handle).st_size
            if size and os.pread(handle, 1, size - 1) != b"\n":
                line = b"\n" + line  # a torn tail must not swallow this line
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)

    def entries(self) -> tuple[RunEntry, ...]:
        """The last attempt of every run, newest run first."""
        latest: dict[str, RunEntry] = {}
        first: dict[str, int] = {}
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            entry = _entry(line)
            if entry is not None:
                latest[entry.run_id] = entry
                first.setdefault(entry.run_id, len(first))
        return tuple(sorted(latest.values(), key=lambda e: first[e.run_id], reverse=True))

    def find(self, run_id: str | None, recipe: str | None = None) -> RunEntry | None:
        """The newest run, or the one whose id is or uniquely begins with `run_id` (case does not matter).

        Raises UsageError when the name fits no run or several.
        """
        entries = [e for e in self.entries() if recipe is None or e.recipe == recipe]
        if run_id is None:
            return entries[0] if entries else None
        fitting = [e for e in entries if e.run_id.lower().startswith(run_id.lower())]
        exact = [e for e in fitting if e.run_id.lower() == run_id.lower()]
        if exact or len(fitting) == 1:
            return (exact or fitting)[0]
        if fitting:
            raise UsageError(
                f"{run_id} is the beginning of {len(fitting)} runs", "Give more of the id: `maxcai run list`."
            )
        raise UsageError(f"no run {run_id} in this workspace", "See `maxcai run list`.")

    @asynccontextmanager
    async def launching(self, wait_s: float = 120.0, tick_s: float = 0.1) -> AsyncIterator[None]:
        """Hold the launch lock. The kernel frees it when its holder dies, however it dies.

        Raises Refused when another start holds it for longer than `wait_s` seconds.
        """
        self._lock.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            await _locked(lambda: _try_lock(handle), wait_s, tick_s)
            yield
        finally:
            os.close(handle)


async def _locked(attempt: Callable[[], bool], wait_s: float, tick_s: float) -> None:
    waited = 0.0
    while not attempt():
        if waited >= wait_s:
            raise Refused("another `run start` of this workspace is under way", "Wait for it: `maxcai run list`.")
        await asyncio.sleep(tick_s)
        waited += tick_s


def _try_lock(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _entry(line: bytes) -> RunEntry | None:
    try:
        raw: Any = json.loads(line)
        return RunEntry(
            run_id=str(raw["run_id"]),
            recipe=str(raw["recipe"]),
            pod=str(raw["pod"]),
            tree=str(raw["tree"]),
            attempt=int(raw["attempt"]),
            started=float(raw["started"]),
        )
    except (ValueError, KeyError, TypeError):
        return None

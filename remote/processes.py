"""Processes of this machine by identity: a pid counts only together with its start time. Linux by /proc, else by `ps`.

Knows nothing of pods; the embedded pod uses it to tell whether its server lives and to end what runs in its sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()


class ProcessId(Struct, frozen=True):
    """A process for certain: pids are reused, a pid with its start time is not."""

    pid: int
    started: str  # opaque; comparable on this machine until it reboots

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return start_time(self.pid) == self.started


def start_time(pid: int) -> str | None:
    """When the process started, as an opaque string; None when there is no such process or it is a zombie."""
    if pid <= 0:
        return None
    return _start_time_proc(pid) if _HAS_PROC else _start_time_ps(pid)


def _start_time_proc(pid: int) -> str | None:
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    fields = stat[stat.rfind(")") + 2 :].split()  # the command name may hold blanks and brackets
    return None if fields[0] in "ZX" else fields[19]


def _start_time_ps(pid: int) -> str | None:
    out = _ps("-o", "stat=,lstart=", "-p", str(pid)).strip()
    state, _, started = out.partition(" ")
    return None if not out or state.startswith("Z") else " ".join(started.split())


def _ps(*arguments: str) -> str:
    done = subprocess.run(
        ["ps", *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    return done.stdout


def identify(pid: int) -> ProcessId | None:
    """The running process `pid`, None when there is none."""
    started = start_time(pid)
    return None if started is None else ProcessId(pid, started)


def carrying(name: str, value: str) -> list[ProcessId]:
    """Every process of ours that was started with the environment variable `name`=`value`, except this one.

    Descendants inherit the variable, so detached ones are found too. A process whose environment cannot be read, or
    that cleared it, is not found.
    """
    pids = _carrying_proc(f"{name}={value}".encode()) if _HAS_PROC else _carrying_ps(f"{name}={value}")
    found = (identify(pid) for pid in pids if pid != os.getpid())
    return [process for process in found if process is not None]


def _carrying_proc(entry: bytes) -> list[int]:
    pids = []
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if entry in (folder / "environ").read_bytes().split(b"\0"):
                    pids.append(int(folder.name))
    return pids


def _carrying_ps(entry: str) -> list[int]:
    rows = (line.split(None, 1) for line in _ps("-axEww", "-o", "pid=,command=").splitlines())
    return [int(row[0]) for row in rows if len(row) == 2 and entry in row[1].split()]


def with_group(process: ProcessId) -> list[ProcessId]:
    """The process and, if it leads a process group, all members; [] when it is dead: its pid may be another's."""
    if not process.alive:
        return []
    if _HAS_PROC:
        pids = [int(path.name) for path in _PROC.iterdir() if path.name.isdigit() and _group(path) == process.pid]
    else:
        rows = (line.split() for line in _ps("-axo", "pid=,pgid=").splitlines())
        pids = [int(row[0]) for row in rows if len(row) == 2 and int(row[1]) == process.pid]
    members = (identify(pid) for pid in pids if pid not in (process.pid, os.getpid()))
    return [process, *(member for member in members if member is not None)]


def _group(folder: Path) -> int | None:
    try:
        stat = (folder / "stat").read_text(errors="replace")
    except OSError:
        return None
    return int(stat[stat.rfind(")") + 2 :].split()[2])


async def end(find: Callable[[], Iterable[ProcessId]], grace_s: float, deadline_s: float = 10.0) -> list[ProcessId]:
    """Ask every process that `find` returns to end (TERM), and after `grace_s` seconds force it (KILL).

    `find` is asked again each round, so processes forked meanwhile are caught. Returns those alive after
    `grace_s + deadline_s` seconds: an empty list, unless the kernel holds one in an uninterruptible wait.
    """
    asked: set[ProcessId] = set()
    begin = time.monotonic()
    pause = 0.005
    while living := [process for process in find() if process.alive]:
        elapsed = time.monotonic() - begin
        if elapsed > grace_s + deadline_s:
            return living
        for process in living:
            if elapsed >= grace_s:
                _send(process, signal.SIGKILL)
            elif process not in asked:
                asked.add(process)
                _send(process, signal.SIGTERM)
        await asyncio.sleep(pause)
        pause = min(0.05, pause * 2)
    return []


def _send(process: ProcessId, number: signal.Signals) -> None:
    if not process.alive or process.pid == os.getpid():
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process.pid, number)

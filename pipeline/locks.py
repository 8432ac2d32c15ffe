"""One writer per run directory: a kernel lock that dies with its holder, and a file that says who that is."""

from __future__ import annotations

import fcntl
import json
import os
import platform
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.errors import PipelineError


class LockedError(PipelineError):
    """Another process is writing this run directory."""


@dataclass(frozen=True, slots=True)
class Holder:
    """A process, told apart from a later one with the same pid by its start time (text of the system's own form)."""

    pid: int
    started: str | None
    host: str

    def alive(self) -> bool | None:
        """Whether it still runs; None when it was on another host."""
        if self.host != platform.node():
            return None
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return self.started is None or start_time(self.pid) == self.started


def start_time(pid: int) -> str | None:
    """When a process started: ticks since boot on Linux, `ps` text elsewhere; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]
    except OSError:
        if Path("/proc/self/stat").exists():
            return None
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def read_holder(path: Path) -> Holder | None:
    """Who the lock file names; None when nobody does (released, never taken, unreadable)."""
    try:
        raw = json.loads(path.read_bytes())
        return Holder(int(raw["pid"]), raw["started"], str(raw["host"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class RunLock:
    """Context manager. `taken_over` is the dead holder that never released the lock, if there was one.

    Raises LockedError, naming the holder, when a living process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.taken_over: Holder | None = None
        self._fd = -1

    def __enter__(self) -> RunLock:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            holder = read_holder(self.path)
            who = f"process {holder.pid} on {holder.host}" if holder else "another process"
            raise LockedError(
                f"{self.path.parent}: {who} is already running this run ({error.strerror}). "
                "Follow it with `python -m pipeline status`, or stop it first."
            ) from None
        self.taken_over = read_holder(self.path)
        me = Holder(os.getpid(), start_time(os.getpid()), platform.node())
        self._write(json.dumps(asdict(me)).encode() + b"\n")
        return self

    def __exit__(self, *exc: object) -> None:
        self._write(b"")
        os.close(self._fd)

    def _write(self, data: bytes) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, data, 0)

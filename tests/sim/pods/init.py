"""First process of a pod that has no namespaces: keeps every descendant, and ends them all when it is asked to end.

usage: python -I -S init.py PROGRAM [ARGUMENT ...]. Standard library only. On Linux orphans become its children, so
none escapes, and it ends with the thread that started it. Elsewhere escapees are left to the factory, by their mark.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

_SET_PDEATHSIG, _SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def bind_to_parent() -> None:
    """Take orphans in, and get a TERM when the parent is gone."""
    if sys.platform == "linux":
        import ctypes

        libc = ctypes.CDLL(None, use_errno=True)
        for option, value in ((_SET_CHILD_SUBREAPER, 1), (_SET_PDEATHSIG, int(signal.SIGTERM))):
            if libc.prctl(option, value, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "prctl")


def descendants() -> list[int]:
    """Pids of all our descendants, zombies too; [] where there is no /proc."""
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/stat", "rb") as file:
            parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
    family = {os.getpid()}
    while grown := {pid for pid, parent in parents.items() if parent in family} - family:
        family |= grown
    return sorted(family - {os.getpid()})


def end_all(child: int) -> None:
    """Kill and reap until we have no child left: as orphans come to us, then nothing is left at all."""
    while True:
        for pid in {child, *descendants()} - {0}:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.002)


class AskedToEnd(Exception):
    """A TERM came."""


def asked(*_: object) -> None:
    raise AskedToEnd


def main(argv: list[str]) -> int:
    """Run the program; return its exit code once nothing is left."""
    parent, child, code = os.getppid(), 0, 1
    signal.signal(signal.SIGTERM, asked)
    try:
        bind_to_parent()
        if os.getppid() != parent:
            return code  # it ended before it could be noticed
        child = os.spawnv(os.P_NOWAIT, argv[0], argv)
        while child:
            pid, status = os.waitpid(-1, 0)
            if pid == child:
                child, code = 0, os.waitstatus_to_exitcode(status)
    except AskedToEnd:
        code = 128 + signal.SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_all(child)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

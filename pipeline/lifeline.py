"""No step outlives its runner: a kernel death signal where Linux offers one, and a thread that watches the parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from multiprocessing.connection import wait

_PR_SET_PDEATHSIG = 1


def die_with_parent(expected_parent: int | None = None) -> None:
    """Ask Linux to kill this process when the thread that made it ends; elsewhere this does nothing.

    `expected_parent` closes the race with a parent that died before the call.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if expected_parent is not None and os.getppid() != expected_parent:
        os._exit(1)


def watch_parent() -> None:
    """End this process at once when the process that started it is gone (a pipe closes; portable, no polling)."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch(sentinel: int) -> None:
        wait([sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, args=(parent.sentinel,), name="lifeline", daemon=True).start()

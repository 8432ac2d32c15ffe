"""Ending with the terminal: in order while the event loop turns, and all the same when it does not.

Textual writes through a thread with a short queue. Its thread ends with the first write to a terminal that is gone, and
the loop then waits for room in the queue for ever: no signal handler of the loop would be called any more.
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from app.errors import OK

if TYPE_CHECKING:
    from app.tui.app import PanelApp

HUNG_UP = 129
"""Exit code of a process whose terminal is gone."""

GRACE_S = 3.0
"""Seconds the panel may take to end in order once its terminal is gone."""


def leave_with_the_terminal(app: PanelApp) -> None:
    """End when the terminal hangs up or the process is asked to; without this it would spin on a dead terminal."""
    if app.is_headless:
        return
    loop = asyncio.get_running_loop()

    def gone() -> None:
        loop.call_later(GRACE_S, os._exit, HUNG_UP)
        app.exit(OK)

    for name in (signal.SIGHUP, signal.SIGTERM):
        loop.add_signal_handler(name, gone)
    if sys.__stdin__ is not None and sys.__stdin__.isatty():
        threading.Thread(target=end_with, args=(sys.__stdin__.fileno(),), daemon=True, name="terminal").start()


def end_with(terminal: int, grace_s: float = GRACE_S) -> None:
    """Wait in a thread until this terminal is gone, and end the process if it has not ended by itself then."""
    waiting = select.poll()
    waiting.register(terminal, 0)
    found = waiting.poll()
    if any(event & select.POLLHUP for _, event in found):
        time.sleep(grace_s)
        os._exit(HUNG_UP)

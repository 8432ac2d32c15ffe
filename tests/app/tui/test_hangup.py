"""A terminal that is gone ends the panel even where its event loop cannot turn any more."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import app
from app.tui.hangup import HUNG_UP

STUCK = """
import signal, sys, threading
from app.tui.hangup import end_with
signal.signal(signal.SIGHUP, lambda *_: None)
threading.Thread(target=end_with, args=(0, 0.1), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""


def test_a_panel_that_is_stuck_ends_when_its_terminal_is_gone(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(Path(app.__file__).parents[1])}
    child = subprocess.Popen(
        [sys.executable, "-c", STUCK], stdin=follower, stdout=follower, stderr=follower, env=env, cwd=tmp_path,
        start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    try:
        said = b""
        while b"\n" not in said:  # two writes where Python does not buffer
            said += os.read(leader, 1024)
        assert child.poll() is None, "it waits as long as the terminal is there"
        os.close(leader)
        assert child.wait(30) == HUNG_UP
    finally:
        child.kill()
        child.wait()

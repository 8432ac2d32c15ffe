"""Bytes from a terminal that are no text: they are shown as such, and the next key is heard."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import threading
import time
from pathlib import Path

import app

CHILD = """
import sys
from textual import events
from app.tui.on_screen import OnScreen

LOG = open(sys.argv[1], "w", buffering=1)

class Heard(OnScreen):
    def on_mount(self):
        print("ready", file=LOG)
    def on_key(self, event: events.Key):
        print(f"key {event.character!a}", file=LOG)
        if event.key == "q":
            self.exit(7)
    def on_paste(self, event: events.Paste):
        print(f"paste {event.text!a}", file=LOG)

sys.exit(Heard().run())
"""


def test_bytes_that_are_no_text_do_not_end_the_panel_and_a_paste_of_them_stays_a_paste(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(Path(app.__file__).parents[1]), "TERM": "xterm-256color"}
    log = tmp_path / "heard"
    log.touch()
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(log)], stdin=follower, stdout=follower, stderr=follower, env=env,
        cwd=tmp_path, start_new_session=True,
    )  # fmt: skip
    os.close(follower)
    threading.Thread(target=drained, args=(leader,), daemon=True).start()
    try:
        until(log, "ready")
        os.write(leader, b"a\xffb")
        until(log, "key 'b'")
        os.write(leader, b"\x1b[200~x\xfey\x1b[201~")
        until(log, "paste")
        os.write(leader, b"q")
        assert child.wait(30) == 7
    finally:
        child.kill()
        child.wait()
    said = [line for line in log.read_text().splitlines() if line.startswith(("key", "paste"))]
    assert said[0] == "key 'a'"
    assert [line for line in said if line.startswith("paste")] == [r"paste 'x\ufffdy'"]


def drained(leader: int) -> None:
    try:
        while os.read(leader, 65_536):
            pass
    except OSError:  # the child closed it
        pass


def until(log: Path, word: str) -> None:
    ends = time.monotonic() + 30
    while word not in log.read_text():
        assert time.monotonic() < ends, log.read_text()
        time.sleep(0.02)

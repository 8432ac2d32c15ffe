"""A follower that is frozen, as by a laptop that sleeps: the job writes on, and afterwards not a byte is missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import app


def until(holds: Callable[[], object], patience_s: float = 60.0) -> None:
    end = time.monotonic() + patience_s
    while not holds():
        assert time.monotonic() < end, "it did not come to that in time"
        time.sleep(0.05)


def chatter(log: Path, over: threading.Event) -> None:
    """About a thousand lines a second, bars and bytes that are no text among them."""
    number = 0
    with log.open("ab", buffering=0) as out:
        while not over.wait(0.02):
            out.write(b"".join(b"%d\r%d \x1b[32mstep\xff\n" % (n, n) for n in range(number, number + 20)))
            number += 20


@pytest.mark.parametrize("frozen_s", [6.2, pytest.param(60.0, marks=pytest.mark.slow)])
def test_a_frozen_follower_takes_up_again_and_every_byte_is_there(workspace_dir: Path, frozen_s: float) -> None:
    environ = {**os.environ, "PYTHONPATH": str(Path(app.__file__).parents[1])}
    argv = [sys.executable, "-P", "-m", "app", "run", "start", "-r", "long", "-f"]
    following = subprocess.Popen(
        argv, cwd=workspace_dir, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    runs, over = workspace_dir / ".maxcai/pods/local/workspace/.maxcai/runs", threading.Event()
    try:
        until(lambda: list(runs.glob("*/starts")))
        (run,) = (path.parent for path in runs.glob("*/starts"))
        (run / "logs").mkdir(exist_ok=True)
        there = run / "logs/chatter.log"
        there.touch()
        here = workspace_dir / ".maxcai/spool" / run.name / "logs/chatter.log"
        writer = threading.Thread(target=chatter, args=(there, over))
        writer.start()
        until(lambda: here.exists() and here.stat().st_size)
        following.send_signal(signal.SIGSTOP)
        time.sleep(frozen_s)
        missed = there.stat().st_size
        assert here.stat().st_size < missed, "the job wrote on meanwhile"
        following.send_signal(signal.SIGCONT)
        woke = time.monotonic()
        until(lambda: here.stat().st_size >= missed)
        print(f"everything is here {time.monotonic() - woke:.1f} s after a freeze of {frozen_s:g} s")
        over.set()
        writer.join()
        (run / "go").touch()
        said, _ = following.communicate(timeout=60)
    finally:
        over.set()
        following.kill()
        following.wait()
    assert following.returncode == 0, said
    assert here.read_bytes() == there.read_bytes()
    assert (here.parents[1] / "events.jsonl").read_bytes() == (run / "events.jsonl").read_bytes()

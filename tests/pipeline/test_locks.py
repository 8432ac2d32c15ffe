"""One writer a run directory; a holder that died is replaced aloud, a holder that lives is named."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.locks import Holder, LockedError, RunLock, read_holder, start_time

HOLD = """
import sys; from pathlib import Path; from pipeline.locks import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True); sys.stdin.read()
"""


def holder(path: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", HOLD, str(path)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    return child


def test_a_living_holder_is_named_and_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "run" / ".lock"
    child = holder(path)
    with pytest.raises(LockedError, match=f"process {child.pid} on {platform.node()} is already running this run"):
        RunLock(path).__enter__()
    found = read_holder(path)
    assert found is not None
    assert found.alive() is True
    child.kill()
    child.communicate()
    assert found.alive() is False
    with RunLock(path) as lock:
        assert lock.taken_over == found
        assert read_holder(path) == Holder(os.getpid(), start_time(os.getpid()), platform.node())


def test_a_released_lock_names_nobody(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    child = holder(path)
    child.communicate("")
    assert read_holder(path) is None
    with RunLock(path) as lock:
        assert lock.taken_over is None


def test_a_pid_that_was_given_to_another_process_is_not_its_holder() -> None:
    me = Holder(os.getpid(), start_time(os.getpid()), platform.node())
    assert me.alive() is True
    assert Holder(me.pid, "1", me.host).alive() is False
    assert Holder(me.pid, me.started, "elsewhere").alive() is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid":"x"}', json.dumps({"pid": 1})])
def test_a_lock_file_that_cannot_be_read_blocks_nobody(tmp_path: Path, text: str) -> None:
    path = tmp_path / ".lock"
    path.write_text(text)
    with RunLock(path) as lock:
        assert lock.taken_over is None

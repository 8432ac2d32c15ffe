"""The command log: what was sent outside, with its outcome, and without a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
import tui_samples as samples

from app import cli
from app.command_log import lines, sent
from remote.journal import Journal

if TYPE_CHECKING:
    from conftest import Opener

FORM = "rpa_" + "0123456789abcdefghijklmnop"
OTHER = "hunter2hunter2"
"""A key that is known by its form, and one that is known by the name of its variable."""


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of two operations that both held a key."""
    monkeypatch.setenv("RUNPOD_API_KEY", OTHER)
    ticks: Iterator[int] = count(100)
    journal = Journal(tmp_path, lambda: float(next(ticks)))
    journal.acked(journal.intent("pod.create", pod="one", env={"A": FORM, "B": OTHER}), started_at=7.5)
    journal.failed(journal.intent("run.launch", run="R1"), f"401 for Bearer {OTHER} or {FORM}")
    return tmp_path


def test_each_operation_is_told_with_its_outcome_the_newest_first_and_no_key(state_dir: Path) -> None:
    first, second = lines(reversed(sent(state_dir))).splitlines()
    assert "failed" in first and "run.launch" in first and "401 for Bearer [redacted]" in first
    assert "acked" in second and "pod.create" in second and "pod=one" in second
    for said in (first + second, (state_dir / "journal.jsonl").read_text()):
        assert FORM not in said
        assert OTHER not in said


def test_the_command_prints_it_the_newest_last(
    state_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "work" / ".maxcai").mkdir(parents=True)
    (state_dir / "journal.jsonl").rename(tmp_path / "work" / ".maxcai" / "journal.jsonl")
    command = ["-C", str(tmp_path / "work"), "journal"]
    assert cli.main(command) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "pod.create" in first and "run.launch" in second
    assert FORM not in first and OTHER not in second
    assert cli.main([*command, "-n", "1", "--json"]) == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert (only["op"], only["phase"], only["facts"]["run"]) == ("run.launch", "failed", "R1")
    assert cli.main([*command, "-n", "-1"]) == 2


async def test_the_key_of_the_command_log_shows_it(panel: Opener, state_dir: Path) -> None:
    place = SimpleNamespace(root=state_dir, runs_dir=state_dir / "runs", state_dir=state_dir)
    async with panel(samples.up_state(), (160, 45), workspace=place) as shown:
        await shown.pilot.press("at")
        text = await shown.sees("Command log", "pod.create", "run.launch", "[redacted]")
        assert FORM not in text
        assert OTHER not in text

"""What was about to be done is on disk before it is done, and a crash leaves it to be found."""

from __future__ import annotations

import errno
import itertools
from pathlib import Path

import pytest

from remote.errors import ConfigError, DiskFull
from remote.files import writing
from remote.journal import Journal, Phase
from remote.secrets import Redactor

KEY = "rpa_" + "0123456789abcdefghijklmnop"


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    ticks = itertools.count(100)
    return Journal(tmp_path, lambda: float(next(ticks)), Redactor(["hunter2hunter2"]))


def test_only_operations_without_a_known_outcome_stay_open(journal: Journal) -> None:
    intents = [journal.intent("pod.start", pod=name) for name in "abcde"]
    for intent in intents[1:]:
        journal.sent(intent)
    journal.acked(intents[2], started_at=7.5)
    journal.failed(intents[3], "no capacity")
    journal.unknown(intents[4], "no answer")
    found = {intent.facts["pod"]: intent.phase for intent in journal.open_intents()}
    assert found == {"a": Phase.INTENT, "b": Phase.SENT, "e": Phase.UNKNOWN}
    assert [intent.facts for intent in journal.intents()][2] == {"pod": "c", "started_at": 7.5}
    assert journal.intents()[0].at == 100.0


def test_every_prefix_of_the_file_can_be_read_and_written_on(journal: Journal, tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = journal.intent("pod.start", name="ünïcode")
    journal.sent(first)
    journal.acked(first)
    whole = path.read_bytes()
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        second = journal.intent("pod.stop")
        assert journal.intents()[-1].id == second
        assert journal.open_intents()[-1].op == "pod.stop"
        assert len(journal.intents()) == (2 if cut >= whole.index(b"\n") else 1)


def test_an_intent_is_on_disk_when_the_call_returns(journal: Journal, tmp_path: Path) -> None:
    journal.intent("run.launch", run="01J")
    assert [intent.op for intent in Journal(tmp_path, lambda: 0.0).open_intents()] == ["run.launch"]
    assert (tmp_path / "journal.jsonl").stat().st_mode & 0o777 == 0o600


def test_no_secret_is_written_down(journal: Journal, tmp_path: Path) -> None:
    intent = journal.intent("pod.create", env={"A": KEY, "b": ["hunter2hunter2"]}, argv=["x", f"--key={KEY}"])
    journal.failed(intent, f"401 for {KEY}")
    text = (tmp_path / "journal.jsonl").read_text()
    assert "0123456789abcdef" not in text
    assert "hunter2" not in text
    assert "401 for" in text


def test_a_full_disk_and_a_path_that_is_no_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(DiskFull, match=r"journal\.jsonl") as full, writing(tmp_path / "journal.jsonl"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert full.value.where == str(tmp_path / "journal.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        Journal(tmp_path / "file" / "state", lambda: 0.0).intent("pod.start")


def test_lines_that_are_not_ours_change_nothing(journal: Journal, tmp_path: Path) -> None:
    intent = journal.intent("pod.start")
    with (tmp_path / "journal.jsonl").open("a") as file:
        file.write(f'[]\n{{"id":"{intent}"}}\n{{"id":"x","phase":"acked","t":1,"facts":{{}}}}\n\n"text"\n')
    assert [(one.id, one.phase) for one in journal.intents()] == [(intent, Phase.INTENT)]

"""A write that the file system refuses, or that is killed, leaves the board as it was or as it was to be."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

import task_board
from task_board import journal, store, verbs
from task_board.errors import BoardError, Conflict

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
HOME = Path(task_board.__file__).parents[1]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "P1_a.md").write_text("# A\n")
    return tmp_path / "pending" / "P1_a.md"


@pytest.mark.parametrize("name", ["rename", "replace"])
def test_a_move_that_the_file_system_refuses_leaves_no_line_behind(
    task: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    root, real = task.parents[1], getattr(os, name)

    def refuse(*_: object) -> None:
        monkeypatch.setattr(os, name, real)
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, name, refuse)
    with pytest.raises(BoardError, match="cross-device"):
        verbs.done(root, "a", "made it", NOW)
    assert task.read_text() == "# A\n" and store.undoable(root) is None
    assert verbs.done(root, "a", "made it", NOW).path.read_text().count("made it") == 1


def test_of_several_moves_all_are_taken_back_when_one_fails(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    (tmp_path / "file").write_text("x")
    changes = [store.Change("a", "new/a"), store.Change("b", "file/b")]
    with store.locked(tmp_path), pytest.raises(BoardError):
        store.commit(tmp_path, "archive", changes, {"a": b"a", "b": b"b"}, NOW)
    assert (tmp_path / "a").read_text() == "a" and (tmp_path / "b").read_text() == "b"
    twice = [store.Change("a", "new/x"), store.Change("b", "new/x")]
    with store.locked(tmp_path), pytest.raises(Conflict, match="two files would become"):
        store.commit(tmp_path, "archive", twice, {"a": b"a", "b": b"b"}, NOW)
    assert store.entries(tmp_path) == []


def cut_off(root: Path) -> bytes:
    """The journal as a process leaves it that is killed before the end of `done`."""
    verbs.done(root, "a", "made it", NOW)
    path = root / ".maxcai" / "journal.jsonl"
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    return (root / "completed" / "P1_a.md").read_bytes()


def test_a_kill_after_the_move_is_finished_and_its_temporary_file_removed(task: Path) -> None:
    root = task.parents[1]
    wanted = cut_off(root)
    (root / "completed" / "P1_a.md").write_text("# A\n")
    (root / "completed" / ".maxcai-x.tmp").write_text("half")
    with store.locked(root):
        pass
    assert (root / "completed" / "P1_a.md").read_bytes() == wanted
    assert [path.name for path in (root / "completed").iterdir()] == ["P1_a.md"]


def test_a_kill_after_the_move_and_an_edit_since_put_the_file_back(task: Path) -> None:
    root = task.parents[1]
    cut_off(root)
    (root / "completed" / "P1_a.md").write_text("# A\nsomebody's\n")
    with store.locked(root):
        pass
    assert task.read_text() == "# A\nsomebody's\n" and store.entries(root) == []


@pytest.mark.parametrize("older", [False, True])
def test_a_kill_before_the_move_and_a_lost_lane_stop_nobody(task: Path, older: bool) -> None:
    root = task.parents[1]
    wanted = cut_off(root)
    task.write_bytes(wanted if older else b"# A\n")  # earlier versions wrote before they moved
    (root / "completed" / "P1_a.md").unlink()
    (root / "completed").rmdir()
    assert verbs.new(root, verbs.Draft("next"), NOW).lane == "pending"
    assert (root / "completed" / "P1_a.md").read_bytes() == wanted and not task.exists()


@pytest.mark.parametrize(
    "rubbish", [b"{bad}\n", b"\n\n\n\n", b'{"seq":7}\n', b"\xff\n", b"{" + b'"a":[' * 5000 + b"\n"]
)
def test_lines_that_are_no_journal_stop_nobody_and_numbers_go_on(task: Path, rubbish: bytes) -> None:
    root = task.parents[1]
    verbs.start(root, "a", NOW)
    with (root / ".maxcai" / "journal.jsonl").open("ab") as file:
        file.write(rubbish)
    verbs.note(root, "a", "said", NOW)
    assert [entry.seq for entry in store.entries(root)] == [1, 2]
    verbs.undo(root, NOW)
    verbs.undo(root, NOW)
    assert task.read_text() == "# A\n"


@pytest.mark.parametrize("room", [0, 200, 700])
def test_a_full_disk_is_a_sentence_and_changes_nothing(task: Path, room: int) -> None:
    root = task.parents[1]
    task.write_text("# A\n" + "x" * 690)
    before = task.read_bytes()
    argv = [sys.executable, "-m", "task_board", "--root", str(root), "start", "a"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))  # noqa: E731
    done = subprocess.run(argv, cwd=HOME, preexec_fn=limit, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "cannot be written" in done.stderr and "Traceback" not in done.stderr
    assert task.read_bytes() == before and store.entries(root) == []
    assert (root / ".maxcai" / "journal.jsonl").stat().st_size <= room
    assert journal.last(root)[1] is None or journal.last(root)[2]
    assert verbs.start(root, "a", NOW).lane == "in_progress"

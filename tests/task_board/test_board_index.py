"""Tasks kept between commands: what is kept is what is there, however a file was changed, and it may be lost."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from task_board import board, index
from task_board.index import kept
from task_board.task import Lane, Task

TEXT = "# Number {0}\n\n**Priority**: P{1}\n**Depends on**: none\n\n## Success criteria\n- [ ] one\n- [x] two\n"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small board that is worth a cache, whose files count as settled at once."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index, "WORTH", 1)
    monkeypatch.setattr(index, "SETTLED_NS", 0)
    home = tmp_path / "board"
    for number in range(6):
        lane = home / ("pending", "completed")[number % 2]
        lane.mkdir(parents=True, exist_ok=True)
        (lane / f"2026010{number + 1}_P{number % 4}_number_{number}.md").write_text(TEXT.format(number, number % 4))
    return home


def listed(root: Path) -> list[Task]:
    with kept(root) as cache:
        return board.read_board(root, cache=cache)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are read, as they are."""
    names: list[str] = []
    plain = board.read_task

    def counted(path: Path, place: Lane) -> Task | None:
        names.append(path.name)
        return plain(path, place)

    monkeypatch.setattr(board, "read_task", counted)
    return names


def place(root: Path) -> Path:
    (found,) = (root.parent / "cache" / "maxcai" / "boards").glob("*.json")
    return found


def rows(root: Path) -> list[Any]:
    return list(json.loads(place(root).read_bytes().partition(b"\n")[2])["rows"])


def test_a_second_command_reads_no_file_and_says_the_same(root: Path, reads: list[str]) -> None:
    first = listed(root)
    assert len(reads) == 6
    assert listed(root) == first == board.read_board(root)
    assert len(reads) == 6 + 6  # the last one without a cache


def in_place(path: Path) -> None:
    state = path.stat()
    path.write_text(path.read_text().replace("Number", "Nombre"))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def replaced(path: Path) -> None:
    other = path.with_suffix(".tmp")
    other.write_text(path.read_text().replace("Number", "Nombre"))
    os.replace(other, path)


@pytest.mark.parametrize("change", [in_place, replaced, lambda path: path.unlink(), lambda path: path.chmod(0)])
def test_whatever_happens_to_a_file_is_seen(root: Path, change: Callable[[Path], None], reads: list[str]) -> None:
    listed(root)
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    change(next((root / "pending").glob("*.md")))
    reads.clear()
    assert listed(root) == board.read_board(root)
    assert len(reads) <= 1 + 6


def test_a_file_that_was_just_written_is_read_again(
    root: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SETTLED_NS", 60_000_000_000)
    listed(root)
    reads.clear()
    listed(root)
    assert len(reads) == 6


def test_a_moved_file_has_its_new_lane_and_the_old_one_is_forgotten(root: Path) -> None:
    listed(root)
    path = next((root / "pending").glob("*.md"))
    path.rename(root / "completed" / path.name)
    assert {task.lane for task in listed(root) if task.id == path.stem} == {"completed"}
    assert str(path) not in [row[0] for row in rows(root)]


def test_a_folder_that_becomes_a_board_of_its_own_changes_what_its_files_are(root: Path) -> None:
    inner = root / "pending" / "claude" / "pending"
    inner.mkdir(parents=True)
    (inner / "20260101_P1_inner.md").write_text(TEXT.format(9, 1))
    listed(root)
    (root / "pending").rename(root / "people")
    assert listed(root) == board.read_board(root)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"reader": 1}', b"\xff\xfe", b'{"reader": null, "rows": 3}'])
def test_a_broken_cache_is_no_cache(root: Path, content: bytes) -> None:
    first = listed(root)
    place(root).write_bytes(content)
    assert listed(root) == first
    assert rows(root)


@pytest.mark.parametrize("change", [["too", "short"], ["x"] * 16])
def test_rows_that_no_longer_fit_are_dropped(root: Path, change: list[str]) -> None:
    first = listed(root)
    data = {"reader": index._reader(), "rows": rows(root)}
    data["rows"][0][2] = change
    text = json.dumps(data).encode()
    place(root).write_bytes(index._digest(text).encode() + b"\n" + text)
    assert listed(root) == first


def test_a_cache_with_one_wrong_letter_is_no_cache(root: Path) -> None:
    first = listed(root)
    place(root).write_bytes(place(root).read_bytes().replace(b"Number 3", b"Number 7"))
    assert listed(root) == first


def test_a_cache_that_somebody_else_laid_there_is_not_read(
    root: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(root)
    reads.clear()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    listed(root)
    assert len(reads) == 6


def test_a_file_that_could_not_be_read_once_is_tried_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path) -> bytes:
        raise OSError(24, "too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(board, "read_file", full)
        assert all(task.problems for task in listed(root))
    assert not any(task.problems for task in listed(root))


def test_a_user_without_a_home_has_no_cache(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.chdir(tmp_path)
    assert listed(root) and not (tmp_path / "~").exists()


def test_what_a_killed_process_left_half_written_goes(root: Path) -> None:
    listed(root)
    left = place(root).parent / ".half.tmp"
    left.write_text("x")
    os.utime(left, (0, 0))
    next(root.rglob("*number_1.md")).write_text("# Another\n")
    listed(root)
    assert not left.exists()


def test_another_version_of_the_reader_reads_anew(
    root: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    listed(root)
    reads.clear()
    monkeypatch.setattr(index, "_reader", lambda: [[1, 2]])
    listed(root)
    assert len(reads) == 6


def test_without_a_place_for_it_everything_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root.parent / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "file"))
    assert listed(root) == board.read_board(root)


def test_only_so_many_boards_are_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "BOARDS", 2)
    for name in "abc":
        other = root.parent / name
        (other / "pending").mkdir(parents=True)
        (other / "pending" / "20260101_P1_x.md").write_text("# x\n")
        listed(other)
    assert len(list((root.parent / "cache" / "maxcai" / "boards").glob("*.json"))) == 2


def test_a_small_board_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "board" / "pending").mkdir(parents=True)
    (tmp_path / "board" / "pending" / "20260101_P1_x.md").write_text("# x\n")
    listed(tmp_path / "board")
    assert not (tmp_path / "cache").exists()

"""Messy task files are read, shown and never dropped."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from task_board.__main__ import main
from task_board.board import _header, read_board, render


def put(root: Path, lane: str, name: str, text: str | bytes = "") -> None:
    (root / lane).mkdir(parents=True, exist_ok=True)
    (root / lane / name).write_bytes(text.encode() if isinstance(text, str) else text)


def test_a_lane_is_ordered_by_priority_then_date_then_name(tmp_path: Path) -> None:
    for name in ("20260102_000000_P1_b.md", "20260101_000000_P1_c.md", "20260103_000000_P0_a.md", "undated.md"):
        put(tmp_path, "pending", name)
    assert [task.title for task in read_board(tmp_path)] == ["a", "c", "b", "undated"]


@pytest.mark.parametrize(
    ("line", "priority"),
    [
        ("**Priority**: P0", 0),
        ("**Priority: CRITICAL (P0)**", 0),
        ("Priority: high", 1),
        ("- priority : Low", 3),
        ("Priority: ?", None),
    ],
)
def test_headers_are_read_however_they_are_written(line: str, priority: int | None) -> None:
    assert _header(f"# T\n\n{line}\n")[1] == priority


def test_the_header_wins_over_the_file_name_and_the_first_header_over_later_ones(tmp_path: Path) -> None:
    put(tmp_path, "blocked", "20260101_000000_P3_x.md", "# Title\nPriority: P1\nPriority: P2\n")
    (task,) = read_board(tmp_path)
    assert (task.title, task.priority, task.lane, task.created) == ("Title", 1, "blocked", "20260101_000000")


def test_lines_inside_a_code_fence_are_no_headers(tmp_path: Path) -> None:
    put(tmp_path, "pending", "x.md", "```\n# no title\nPriority: P0\n```\n# Title")
    (task,) = read_board(tmp_path)
    assert (task.title, task.priority) == ("Title", None)


def test_bytes_that_are_no_text_and_odd_extensions_are_shown(tmp_path: Path) -> None:
    put(tmp_path, "completed", "20260101_000000_P2_done.md.COMPLETED", b"\xff\xfe\x00")
    put(tmp_path, "completed", ".gitkeep")
    (task,) = read_board(tmp_path)
    assert (task.title, task.priority) == ("done", 2)
    assert "completed (1)" in render([task])


@settings(deadline=None)
@given(st.text())
def test_any_text_is_survived(text: str) -> None:
    _header(text)


def test_the_command_prints_json_and_names_a_wrong_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "pending", "20260101_000000_P2_x.md")
    assert main(["list", "--root", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["lane"] == "pending"
    assert main(["list", "--root", str(tmp_path / "none")]) == 2
    assert "--root" in capsys.readouterr().err

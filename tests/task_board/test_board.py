"""Messy task files are read, shown and never dropped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import task_board
from task_board.__main__ import main
from task_board.board import read_board, render
from task_board.document import Document
from task_board.index import Cache
from task_board.task import Task


def put(root: Path, place: str, name: str, text: str | bytes = "") -> Path:
    (root / place).mkdir(parents=True, exist_ok=True)
    (root / place / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return root / place / name


def only(root: Path, text: str | bytes, name: str = "x.md") -> Task:
    put(root, "pending", name, text)
    (task,) = read_board(root)
    return task


def test_a_lane_is_ordered_by_priority_then_date_then_name(tmp_path: Path) -> None:
    for name in ("20260102_000000_P1_b.md", "20260101_000000_P1_c.md", "20260103_000000_P0_a.md", "undated.md"):
        put(tmp_path, "pending", name)
    assert [task.title for task in read_board(tmp_path)] == ["a", "c", "b", "undated"]


@pytest.mark.parametrize(
    ("line", "priority"),
    [
        ("**Priority**: P0", 0),
        ("**Priority: CRITICAL (P0)**", 0),
        ("**Priority:** P3 (Low - robustness)", 3),
        ("Priority: high", 1),
        ("- priority : Low", 3),
        ("| **Priority** | P1 |", 1),
        ("## Priority\n\nP2 - Medium", 2),
        ("**Priority**: P1 | **Assigned To**: cc", 1),
        ("> Priority: P2\r", 2),
        ("Priority: ?", None),
    ],
)
def test_headers_are_read_however_they_are_written(tmp_path: Path, line: str, priority: int | None) -> None:
    assert only(tmp_path, f"# T\n\n{line}\n").priority == priority


def test_every_header_of_a_task_is_in_its_json(tmp_path: Path) -> None:
    text = (
        "# P0: Fix memory\nSource: Gemini Review 20250912_165500\nPriority: CRITICAL (P0)\n**Assigned To**: cc\n"
        "Estimated Time: 30 minutes\n**Depends on**: `tasks/a/b/20250910_P1_other.md`, more\n**Created**: 2025-10-04\n"
        "## Success Criteria\n### Must\n- [ ] a\n* [X] b\n1. [x] c\n## Testing\n- [ ] no criterion\n"
    )
    task = only(tmp_path, text, "20250912_170000_P0_fix_memory.md")
    assert task.as_dict() == {
        "id": "20250912_170000_P0_fix_memory", "lane": "pending", "file": str(task.path), "title": "Fix memory",
        "slug": "fix_memory", "priority": 0, "assigned_to": "cc", "created": "2025-09-12T17:00:00",
        "estimate": "30 minutes", "depends_on": ["20250910_P1_other", "more"],
        "from_review": "Gemini Review 20250912_165500", "criteria": {"open": 1, "done": 2}, "problems": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "created"),
    [("2025-10-04", "2025-10-04"), ("Oct 4, 2025", "2025-10-04"), ("4 October 2025", "2025-10-04"),
     ("2025-10-04 12:30", "2025-10-04T12:30:00"), ("20251004", "2025-10-04"), ("soon", None)],
)  # fmt: skip
def test_dates_are_read_in_several_forms(tmp_path: Path, said: str, created: str | None) -> None:
    task = only(tmp_path, f"# T\nCreated: {said}\n")
    assert task.created == created
    assert bool(task.problems) == (created is None)


@pytest.mark.parametrize(
    ("name", "slug", "priority", "created"),
    [
        ("20251004_120000_P1_do_it.md", "do_it", 1, "2025-10-04T12:00:00"),
        ("20251004_P2_do_it.md.COMPLETED", "do_it", 2, "2025-10-04"),
        ("P0_do_it.md", "do_it", 0, None),
        ("2025-10-04_do-it.txt", "do-it", None, "2025-10-04"),
        ("do_it", "do_it", None, None),
        ("99999999_do_it.md", "99999999_do_it", None, None),
    ],
)
def test_names_are_read_in_every_shape(
    tmp_path: Path, name: str, slug: str, priority: int | None, created: str | None
) -> None:
    task = only(tmp_path, "", name)
    assert (task.slug, task.priority, task.created) == (slug, priority, created)


def test_the_header_wins_over_the_file_name_and_the_first_header_over_later_ones(tmp_path: Path) -> None:
    put(tmp_path, "blocked", "20260101_000000_P3_x.md", "# Title\nPriority: P1\nPriority: P2\nStatus: completed\n")
    (task,) = read_board(tmp_path)
    assert (task.title, task.priority, task.lane) == ("Title", 1, "blocked")
    assert task.problems == ("the header says P1, the file name P3",)


def test_lines_inside_a_code_fence_are_no_headers_and_an_open_fence_is_none(tmp_path: Path) -> None:
    task = only(tmp_path, "```\n# no title\nPriority: P0\n- [ ] no\n```\n# Title")
    assert (task.title, task.priority, task.criteria.open) == ("Title", None, 0)
    assert only(tmp_path, "```\n# Title\nPriority: P0").priority == 0


def test_front_matter_is_read_and_broken_front_matter_is_survived(tmp_path: Path) -> None:
    task = only(tmp_path, "---\npriority: P1\ndepends_on: [a, b]\n---\n# T\n")
    assert (task.priority, task.depends_on) == (1, ("a", "b"))
    assert only(tmp_path, "---\npriority: P2\nx: [\n---\n# T\n").priority == 2


def test_bytes_that_are_no_text_and_odd_extensions_are_shown(tmp_path: Path) -> None:
    put(tmp_path, "completed", "20260101_000000_P2_done.md.COMPLETED", b"\xff\xfe\x00")
    put(tmp_path, "completed", ".gitkeep")
    (task,) = read_board(tmp_path)
    assert (task.title, task.priority, task.problems) == ("done", 2, ("is not UTF-8 text",))
    assert "completed (1)" in render([task])


def test_a_file_that_cannot_be_read_is_shown_as_such(tmp_path: Path) -> None:
    (tmp_path / "pending").mkdir()
    (tmp_path / "pending" / "P1_gone.md").symlink_to(tmp_path / "nowhere")
    (task,) = read_board(tmp_path)
    assert task.problems[0].startswith("cannot be read")


def test_trees_by_assignee_and_extra_lanes_are_one_list(tmp_path: Path) -> None:
    put(tmp_path, "claude_code/pending", "P1_a.md")
    put(tmp_path, "gemini/completed", "P1_b.md")
    put(tmp_path, "claude_code/obsolete", "P1_c.md")
    put(tmp_path, "claude_code/on_hold", "P1_d.md")
    put(tmp_path, "claude_code", "TASK_AUDIT.md", "# audit")
    found = {(t.slug, t.lane, t.assigned_to) for t in read_board(tmp_path)}
    assert found == {
        ("a", "pending", "claude_code"), ("b", "completed", "gemini"), ("c", "obsolete", "claude_code"),
        ("d", "on_hold", "claude_code"),
    }  # fmt: skip
    assert {t.slug for t in read_board(tmp_path, finished=False)} == {"a", "d"}
    assert {t.slug for t in read_board(tmp_path / "claude_code")} == {"a", "c", "d"}


def test_templates_audits_and_readmes_are_no_tasks(tmp_path: Path) -> None:
    for name in ("README.md", "TEMPLATE.md", "task_template.md", "20251003_task_audit.md", "notes.json"):
        put(tmp_path, "pending", name, "# x")
    put(tmp_path, "pending", "20251003_120000_P1_audit_the_data.md")
    assert [t.slug for t in read_board(tmp_path)] == ["audit_the_data"]


def test_the_command_prints_open_lanes_all_lanes_or_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "pending", "20260101_000000_P2_x.md")
    put(tmp_path, "completed", "20260101_000000_P2_y.md")

    def lanes(*words: str) -> list[str]:
        assert main(["list", "--root", str(tmp_path), "--json", *words]) == 0
        return [task["lane"] for task in json.loads(capsys.readouterr().out)]

    assert (lanes(), lanes("--all"), lanes("--lane", "completed")) == (
        ["pending"],
        ["pending", "completed"],
        ["completed"],
    )
    assert main(["list", "--root", str(tmp_path / "none")]) == 2
    assert "--root" in capsys.readouterr().err
    assert main(["list", "--root", str(tmp_path), "--lane", "nowhere"]) == 2


def test_reading_a_board_changes_and_makes_nothing(tmp_path: Path) -> None:
    path = put(tmp_path, "pending", "x.md", b"\xef\xbb\xbf# T\r\nPriority: P1\r\n\xff")
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    for command in ("list", "next", "doctor"):
        main([command, "--root", str(tmp_path)])
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert [p.name for p in tmp_path.iterdir()] == ["pending"]
    assert Document(path.read_bytes()).text.encode("utf-8", "surrogateescape") == path.read_bytes()


def test_an_edit_from_outside_is_seen_through_the_cache(tmp_path: Path) -> None:
    cache: Cache = {}
    put(tmp_path, "pending", "x.md", "# One")
    assert [t.title for t in read_board(tmp_path, cache=cache)] == ["One"]
    put(tmp_path, "pending", "x.md", "# Other")
    assert [t.title for t in read_board(tmp_path, cache=cache)] == ["Other"]


def test_both_packages_need_the_standard_library_and_yaml_only(tmp_path: Path) -> None:
    put(tmp_path, "task_board/pending", "x.md", "---\npriority: P1\n---\n")
    (tmp_path / "reviews").mkdir()
    code = (
        "import sys; before = set(sys.modules)\n"
        "from task_board.cli import main as a; from reviews.cli import main as b\n"
        "for words in (['list'], ['next'], ['prompt', 'x'], ['start', 'x'], ['undo'], ['doctor']): a(words)\n"
        "b(['list'])\n"
        "print(*sorted({n.partition('.')[0] for n in set(sys.modules) - before}), file=sys.stderr)"
    )
    argv = [sys.executable, "-c", code]
    root = str(Path(task_board.__file__).parents[1])
    done = subprocess.run(argv, cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, check=True)
    loaded = set(done.stderr.splitlines()[-1].split())
    assert loaded <= set(sys.stdlib_module_names) | {"task_board", "reviews", "yaml", "_yaml"} | {
        name
        for name in loaded
        if "cython" in name  # yaml's own compiled part
    }

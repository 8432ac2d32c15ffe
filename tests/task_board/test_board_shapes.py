"""Headers, dates, names and dependencies as people and agents in a hurry write them: read as a careful person would."""

from __future__ import annotations

from pathlib import Path

import pytest

from task_board import board, edits, fields
from task_board.document import Document
from task_board.task import Criteria, Lane, Task

TOP = "# T\n\n"


def read(root: Path, text: str, name: str = "thing.md") -> Task | None:
    lane = root / "pending"
    lane.mkdir(exist_ok=True)
    (lane / name).write_text(text)
    return board.read_task(lane / name, Lane(root, "pending", None, lane))


def task(root: Path, text: str, name: str = "thing.md") -> Task:
    found = read(root, text, name)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("🔥 **Priority**: P1", 1), ("**📅 Priority:** P1", 1), ("**Priority** - P1", 1), ("**Priority** — P1", 1),
        ("Priority Level: P1", 1), ("Priority: 1", 1), ("Priority: P-1", 1), ("Priority: ~~P0~~ P1", 1),
        ("Priority: P0 → P1", 1), ("Priority: low (formerly P0)", 3), ("Priority: ASAP", 0), ("Priority: 1/3", None),
        ("Priority: not urgent", None), ("Priority: P10", None), ("<!--\nPriority: P0\n-->\nPriority: P3", 3),
        ("<!-- never closed\nPriority: P2", 2), ("**Created**: 2026-01-31, **Priority**: P1", 1),
        ("| Priority | Created |\n|---|---|\n| P1 | 2026-01-31 |", 1), ("| Priority | P1 |\n|---|---|\n| Run | x |", 1),
    ],
)  # fmt: skip
def test_a_priority_is_read_or_said_to_be_unclear(tmp_path: Path, line: str, level: int | None) -> None:
    found = task(tmp_path, f"{TOP}{line}\n")
    assert found.priority == level
    assert bool(found.problems) == (level is None)


@pytest.mark.parametrize(
    ("said", "created"),
    [
        ("2026-1-5", "2026-01-05"), ("31/01/2026", "2026-01-31"), ("01/31/2026", "2026-01-31"), ("05/06/2026", None),
        ("31.01.2026", "2026-01-31"), ("Sat, 31 Jan. 2026", "2026-01-31"),
        ("Saturday, January 31st, 2026", "2026-01-31"),
        ("the 31st of January 2026", "2026-01-31"), ("Sept 3, 2026", "2026-09-03"), ("3-Feb-2026", "2026-02-03"),
        ("2026_01_31", "2026-01-31"), ("2026-01-31 at 9:05", "2026-01-31T09:05:00"),
        ("2026-01-31 3:05 PM", "2026-01-31T15:05:00"), ("2026-01-31T10:11:12.5+02:00", "2026-01-31T08:11:12"),
        ("2026-01-31T23:30:00-05:00", "2026-02-01T04:30:00"), ("2026-01-31T24:00:00", "2026-01-31"),
        ("2026-13-01", None), ("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00"),
    ],
)  # fmt: skip
def test_dates_are_read_in_utc_and_unclear_ones_are_not_guessed(said: str, created: str | None) -> None:
    assert fields.date(said) == created


@pytest.mark.parametrize(
    ("header", "names"),
    [
        ("a_b (completed), [c](../pending/c.md)", ["a_b", "c"]), ("a.md b.md", ["a", "b"]), ("a & b", ["a", "b"]),
        ("~~a~~ b", ["b"]), ("None (can start now)", []), ("a → b", ["a", "b"]),
    ],
)  # fmt: skip
def test_dependencies_of_a_header_are_all_found(header: str, names: list[str]) -> None:
    assert fields.references(header) == names


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("**Depends on**:\n- a_b\n- [ ] `c.md` (done)\n\n- no_more: x\n", ("a_b", "c")),
        ("- **Depends on**:\n  - a_b\n- **Created**: 2026-01-31\n", ("a_b",)),
        ("**Depends on**:\n**Created**: 2026-01-31\n- a_b\n", ()),
        ("## Dependencies\n- Blocked by: P1_a\n- Blocks: P1_z\n  - P1_y\n- P1_c\n", ("P1_a", "P1_c")),
        ("## Dependencies\n**Blocks**:\n- P1_z\n\n**Blocked by**:\n- P1_a\n- ~~P1_x~~\n", ("P1_a",)),
        ("## Dependencies\n### Blocks\n- P1_z\n### Waits for\n- P1_a\n", ("P1_a",)),
    ],
)
def test_what_waits_for_a_task_is_not_what_it_waits_for(tmp_path: Path, text: str, names: tuple[str, ...]) -> None:
    assert task(tmp_path, TOP + text).depends_on == names


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("---\ntitle: From the front\n---\ntext", "From the front"),
        ("Underlined\n==========\n\nPriority: P1", "Underlined"),
        ("## Lower\n\ntext", "Lower"), ("## Success Criteria\n- [ ] a", "thing"), ("text\n\n## Later\n", "thing"),
    ],
)  # fmt: skip
def test_a_title_is_found_where_there_is_no_first_heading(tmp_path: Path, text: str, title: str) -> None:
    assert task(tmp_path, text).title == title


def test_headers_below_metadata_and_in_camel_case_are_read(tmp_path: Path) -> None:
    found = task(tmp_path, f"{TOP}## Metadata\n- Created: 2026-01-31\n- Owner: bob\n\n## Notes\nDate: 2020-01-01\n")
    assert (found.created, found.assigned_to) == ("2026-01-31", "bob")
    assert task(tmp_path, "---\nassignedTo: bob\ndependsOn: [a]\n---\n").depends_on == ("a",)
    assert task(tmp_path, f"{TOP}**From review**: 20260110_gate_codex\n").from_review == "20260110_gate_codex"
    assert task(tmp_path, f"{TOP}**Assigned to**: unassigned\n").assigned_to is None


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("**Success Criteria**:\n- [x] a\n- [ ] b\n\n**Steps**:\n- [ ] s\n", Criteria(1, 1)),
        ("## 3. Success Criteria\n- [x] a\n## 4. Steps\n- [ ] s\n", Criteria(0, 1)),
        ("## Success Criteria\n<!--\n- [ ] example\n-->\n- [x] a\n", Criteria(0, 1)),
    ],
)
def test_criteria_are_those_of_their_section_however_it_is_headed(tmp_path: Path, text: str, boxes: Criteria) -> None:
    assert task(tmp_path, TOP + text).criteria == boxes


def test_an_update_goes_below_a_numbered_heading() -> None:
    raw = b"# T\n\n## 5. Status Updates\n- x\n"
    assert edits.UPDATES.match("5. Status Updates") and edits.NOTES.match("6) Completion notes")
    assert Document(raw).section(edits.UPDATES) == range(3, 5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("P1_20260110_101112_slug.md", ("slug", 1, "2026-01-10T10:11:12")),
        ("[P1] fix it.md", ("fix it", 1, None)),
        ("20260110T101112Z_P1_slug.md", ("slug", 1, "2026-01-10T10:11:12")),
        ("2026-01-10T10:11:12_P2_x.md", ("x", 2, "2026-01-10T10:11:12")),
    ],
)
def test_more_names_are_read(name: str, expected: tuple[str, int, str]) -> None:
    found = fields.read_name(name)
    assert (found.slug, found.level, found.stamp) == expected


@pytest.mark.parametrize(
    "name",
    ["20260110_P1_x.md~", "20260110_P1_x.md.bak", "#P1_x.md#", "P1_x.md.orig", "CLAUDE.md", "task_template_v2.md"],
)
def test_a_second_copy_by_an_editor_and_what_agents_are_told_are_no_tasks(tmp_path: Path, name: str) -> None:
    assert read(tmp_path, f"{TOP}**Priority**: P1\n", name) is None


def test_a_task_about_a_template_or_an_audit_is_one_when_its_header_says_so(tmp_path: Path) -> None:
    for name in ("20260110_fix_template_loading.md", "audit_the_code.md", "update_readme.md"):
        assert read(tmp_path, f"{TOP}**Assigned to**: bob\n", name) is not None
        assert read(tmp_path, f"{TOP}text\n", name) is None

"""Every verb moves and appends, and nothing else; what is refused changes nothing; the last change can be undone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from task_board import board, health, store, summary, verbs
from task_board.cli import main
from task_board.errors import Conflict, Refused, UsageError
from task_board.prompt import prompt
from task_board.task import Criteria

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
TEXT = "# T\r\n**Priority**: P1\r\n\r\n## Success Criteria\r\n- [ ] one\r\n- [ ] two\r\n\r\n## Unknown: Über\r\nkept"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for lane in board.LANES:
        (tmp_path / lane).mkdir()
    (tmp_path / "pending" / "20260101_000000_P1_a.md").write_bytes(TEXT.encode() + b"\xff")
    return tmp_path


def content(root: Path) -> dict[str, bytes]:
    return {p.relative_to(root).as_posix(): p.read_bytes() for p in root.rglob("*.md")}


def test_a_task_goes_through_its_lanes_and_keeps_every_byte(root: Path) -> None:
    raw = TEXT.encode() + b"\xff"
    verbs.start(root, "a", NOW)
    verbs.block(root, "a", "no GPU\n# Priority: P0", NOW)
    verbs.unblock(root, "a", "", NOW)
    verbs.note(root, "a", "half way", NOW)
    task = verbs.done(root, "a", "it works", NOW)
    data = (root / "completed" / "20260101_000000_P1_a.md").read_bytes()
    assert data.startswith(raw)
    assert data[len(raw) :].decode() == (
        "\r\n\r\n## Status Updates\r\n- [2026-01-31T12:00:00Z] Started\r\n"
        "- [2026-01-31T12:00:00Z] Blocked: no GPU # Priority: P0\r\n- [2026-01-31T12:00:00Z] Unblocked\r\n"
        "- [2026-01-31T12:00:00Z] half way\r\n- [2026-01-31T12:00:00Z] Completed\r\n"
        "\r\n## Completion Notes\r\n- [2026-01-31T12:00:00Z] it works\r\n"
    )
    assert (task.lane, task.priority, len(content(root))) == ("completed", 1, 1)


def test_an_update_goes_to_the_end_of_its_section_wherever_that_is(root: Path) -> None:
    path = root / "pending" / "b.md"
    path.write_text("# B\n\n## Status Updates\n- old\n\n---\n\n## After\nx\n")
    verbs.note(root, "b", "new", NOW)
    assert path.read_text() == ("# B\n\n## Status Updates\n- old\n- [2026-01-31T12:00:00Z] new\n\n---\n\n## After\nx\n")


def test_a_criterion_is_ticked_by_number_or_words_with_one_byte(root: Path) -> None:
    before = content(root)["pending/20260101_000000_P1_a.md"]
    assert verbs.check(root, "a", "2", now=NOW).criteria == Criteria(1, 1)
    after = content(root)["pending/20260101_000000_P1_a.md"]
    assert [(x, y) for x, y in zip(before, after, strict=True) if x != y] == [(ord(" "), ord("x"))]
    with pytest.raises(Refused):
        verbs.check(root, "a", "two", now=NOW)
    verbs.check(root, "a", "two", undone=True, now=NOW)
    assert content(root)["pending/20260101_000000_P1_a.md"] == before
    with pytest.raises(UsageError):
        verbs.check(root, "a", "3", now=NOW)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["done", "a"], 2), (["done", "a", "--notes", " "], 2), (["block", "a"], 2), (["unblock", "a"], 3),
        (["move", "a", "pending"], 3), (["move", "a", "nowhere"], 2), (["move", "a", "../x", "--create"], 2),
        (["start", "nobody"], 2), (["note", "a", " "], 2), (["undo"], 3), (["new", " "], 2),
        (["new", "x", "-p", "P7"], 2), (["fly"], 2),
    ],
)  # fmt: skip
def test_what_is_refused_changes_nothing_and_says_why(
    root: Path, words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    before = content(root)
    assert main(words, root=root) == code
    assert content(root) == before
    assert capsys.readouterr().err.strip()


def test_next_respects_priority_date_and_dependencies(root: Path) -> None:
    (root / "pending" / "20250101_000000_P0_b.md").write_text("# B\nDepends on: a\n")
    (root / "pending" / "20240101_000000_P0_c.md").write_text("# C\nDepends on: 20990101_P0_lost\n")
    first = verbs.upcoming(root)
    assert first is not None and first.slug == "a"
    with pytest.raises(Refused, match="a \\(pending\\)"):
        verbs.start(root, "b", NOW)
    verbs.start(root, "a", NOW)
    assert verbs.upcoming(root) is None
    verbs.done(root, "a", "ok", NOW)
    then = verbs.upcoming(root)
    assert then is not None and then.slug == "b"


def test_a_new_task_can_be_read_back_and_never_overwrites(root: Path) -> None:
    draft = verbs.Draft("Über: write it", 1, "why", "cc", "2h", ("a",), "reviews/responses/r.md", ("c",), ("x.py",))
    one, two = verbs.new(root, draft, NOW), verbs.new(root, draft, NOW)
    assert one.path.name == "20260131_120000_P1_ber_write_it.md" and two.path.name.endswith("_2.md")
    assert (one.title, one.priority, one.assigned_to, one.estimate) == ("Über: write it", 1, "cc", "2h")
    assert (one.depends_on, one.from_review, one.criteria.open) == (("a",), "reviews/responses/r.md", 1)


def test_undo_takes_back_move_note_and_new_in_turn(root: Path) -> None:
    start = content(root)
    verbs.start(root, "a", NOW)
    verbs.note(root, "a", "x", NOW)
    verbs.new(root, verbs.Draft("B"), NOW)
    for _ in range(3):
        verbs.undo(root, NOW)
    assert content(root) == start
    with pytest.raises(Refused):
        verbs.undo(root, NOW)


def test_undo_never_overwrites_an_edit_made_since(root: Path) -> None:
    task = verbs.start(root, "a", NOW)
    task.path.write_bytes(task.path.read_bytes() + b"by hand")
    with pytest.raises(Conflict):
        verbs.undo(root, NOW)
    assert task.path.read_bytes().endswith(b"by hand")


def test_a_file_edited_between_read_and_write_is_not_overwritten(root: Path) -> None:
    name = "pending/20260101_000000_P1_a.md"
    seen = (root / name).read_bytes()
    (root / name).write_bytes(b"edited outside")
    with store.locked(root), pytest.raises(Conflict):
        store.commit(root, "x", [store.Change(name, "completed/a.md")], {name: seen}, NOW)
    assert content(root) == {name: b"edited outside"}


def test_a_move_onto_an_existing_file_is_refused(root: Path) -> None:
    (root / "in_progress" / "20260101_000000_P1_a.md").write_text("another")
    before = content(root)
    with pytest.raises(Conflict):
        verbs.start(root, "pending/20260101_000000_P1_a", NOW)
    assert content(root) == before


def test_one_name_for_two_files_is_asked_about(root: Path) -> None:
    (root / "completed" / "20260101_000000_P1_a.md").write_text("twin")
    with pytest.raises(UsageError, match="2 tasks"):
        verbs.find(root, "a")
    assert verbs.find(root, "completed/20260101_000000_P1_a").lane == "completed"


def test_doctor_finds_each_kind(root: Path) -> None:
    (root / "completed" / "20260101_000000_P1_a.md").write_text("# A\n- [ ] open\n")
    (root / "blocked" / "20260101_P1_d.md").write_text("")
    (root / "blocked" / "20260102_P1_d.md").write_text("")
    (root / "in_progress" / "20260101_P1_e.md").write_text("# E\nDepends on: f\n## Status Updates\n- [2026-01-01] x\n")
    (root / "pending" / "20260101_P1_f.md").write_text("# F\nDepends on: e\n")
    (root / "pending" / "20260101_P1_g.md").write_text("# G\nDepends on: nowhere\nPriority: P2\n")
    kinds = [item.kind for item in health.doctor(root, NOW, timedelta(days=7))]
    assert set(kinds) == {"twin", "duplicate", "dependency", "cycle", "stale", "criteria", "file"}
    assert kinds.count("cycle") == 1
    assert main(["doctor", "--json"], root=root) == 1


def test_the_prompt_holds_what_an_agent_needs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = prompt(root, "a", "maxcai task")
    for part in ("20260101_000000_P1_a.md", "1. [ ] one", f"maxcai task --root {root} start", "## Unknown: Über"):
        assert part in text
    assert main(["prompt", "a", "--json"], root=root) == 0
    assert "kept" in json.loads(capsys.readouterr().out)["prompt"]


def test_the_summary_names_urgent_work_first(root: Path) -> None:
    (root / "blocked" / "P0_b.md").write_text("")
    found = summary(root)
    assert found.lanes == {"pending": 1, "blocked": 1}
    assert [t.slug for t in found.urgent] == ["b"] and found.next is not None and found.next.slug == "a"
    assert summary(root / "nowhere").lanes == {}

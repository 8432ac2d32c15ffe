"""Answers and trees that would deceive: an approval must be one, a move is whole, a secret stays, no text is slow."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from reviews import context, verbs
from reviews.files import read_reviews
from reviews.findings import read_findings
from reviews.verdicts import read_verdict
from task_board.document import Document
from task_board.errors import BoardError, Refused, UsageError

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def tree(root: Path) -> dict[str, str]:
    """Every file but the journal's."""
    files = (p for p in root.rglob("*") if p.is_file() and ".maxcai" not in p.parts)
    return {p.relative_to(root).as_posix(): p.read_text() for p in files}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "## Issues\n### CRITICAL\n1. seed lost (a.py:3)\n   - **Recommendation**: Pass seed to the sampler\n"
            "**Verdict**: Rejected",
            "reject",
        ),
        ("1. seed lost\n   - **Recommendation**: Pass seed to the sampler", "INVALID"),
        ("Recommendation: Pass seed to the sampler", "INVALID"),
        ("## Summary\nPass@1 fell from 0.6 to 0.1 after the change", "INVALID"),
        ("## Summary\nScale of the data is far too small", "INVALID"),
        ("## Conclusion\nGo back to the drawing board", "INVALID"),
        ("## Summary\nAccepts any input without a check", "INVALID"),
        ("Verdict: Approved with major problems", "changes"),
        ("Verdict: Approved, but do not run it", "changes"),
        ("Verdict: Approved. Do not run it.", "changes"),
        ("Verdict: Approved? No.", "changes"),
        ("Verdict: No issues found in style; two critical bugs", "changes"),
        ("Verdict: ~~Approved~~ Rejected", "reject"),
        ("> Verdict: Approved\n\nVerdict: Rejected", "reject"),
        ("> Verdict: Approved", "INVALID"),
        ("<!--\nVerdict: Approved\n-->", "INVALID"),
        ("## Verdict\n> Approved\n\nRejected", "reject"),
        ("Previous verdict: Approved\nVerdict: Rejected", "reject"),
        ("Previous verdict: Approved", "INVALID"),
        ("Verdict: Approved\n\nVerdict: Rejected", "changes"),
        ("Recommendation: approve\n\n**Verdict**: perhaps", "INVALID"),
        ("Recommendation: approve\n\n## Summary\nMajor problems", "changes"),
        ("Verdict: Approved with minor notes", "approve"),
        ("Verdict: Approved. No blocking issues, nothing critical.", "approve"),
        ("Verdict: Approved (no changes needed)", "approve"),
        ("Verdict: Pass - all checks are green", "approve"),
        ("Decision: Proceed to stage 3", "approve"),
        ("Recommendation: go ahead", "approve"),
    ],
)
def test_an_approval_is_one_or_is_not_counted(text: str, expected: str) -> None:
    assert read_verdict(Document(text.encode())).value == expected


ASKED = "# Review Request: Q\n**Assigned Reviewers**: codex\n"


def test_an_archive_that_cannot_be_whole_moves_nothing(tmp_path: Path) -> None:
    put(tmp_path, "requests/q.md", ASKED)
    put(tmp_path, "responses/q_codex.md", "Verdict: GO")
    put(tmp_path, "archive/C/responses", "x")
    before = tree(tmp_path)
    with pytest.raises(BoardError, match="is not a folder"):
        verbs.archive(tmp_path, "q", "C", NOW)
    assert tree(tmp_path) == before


def test_a_move_that_fails_halfway_takes_back_what_it_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "requests/q.md", ASKED)
    put(tmp_path, "responses/q_codex.md", "Verdict: GO")
    put(tmp_path, "archive/C/responses", "x")
    before = tree(tmp_path)
    monkeypatch.setattr(verbs, "_fits", lambda *_: None)
    with pytest.raises(BoardError):
        verbs.archive(tmp_path, "q", "C", NOW)
    assert tree(tmp_path) == before


def test_answers_of_one_name_in_two_folders_are_archived_side_by_side(tmp_path: Path) -> None:
    put(tmp_path, "requests/q.md", ASKED)
    put(tmp_path, "responses/a/q_codex.md", "Verdict: GO")
    put(tmp_path, "responses/b/q_codex.md", "Verdict: GO, too")
    assert len(verbs.archive(tmp_path, "q", "C", NOW)) == 3
    (review,) = read_reviews(tmp_path)
    assert review.layout == "archive" and len(review.responses) == 2
    verbs.undo(tmp_path, NOW)
    assert "responses/b/q_codex.md" in tree(tmp_path)


def test_every_reviewers_request_is_archived_and_stays_complete(tmp_path: Path) -> None:
    for name in ("codex", "gemini"):
        put(tmp_path, f"{name}/pending/q.md", "# Review Request: Q\n")
        put(tmp_path, f"{name}/responses/q.md", "Verdict: GO")
    assert len(verbs.archive(tmp_path, "q", "C", NOW)) == 4
    (review,) = read_reviews(tmp_path)
    assert review.layout == "archive" and review.complete and review.assigned == ("codex", "gemini")


@pytest.mark.parametrize("cycle", ["requests", "responses", "pending", "archive", "../x"])
def test_a_cycle_is_not_named_like_a_folder_of_the_layout(tmp_path: Path, cycle: str) -> None:
    put(tmp_path, "requests/q.md", ASKED)
    put(tmp_path, "responses/q_codex.md", "Verdict: GO")
    with pytest.raises(BoardError, match="cannot be a folder"):
        verbs.archive(tmp_path, "q", cycle, NOW)


def test_findings_at_two_places_are_two_tasks_and_the_same_answer_again_makes_none(tmp_path: Path) -> None:
    root, board = tmp_path / "reviews", tmp_path / "board"
    (board / "pending").mkdir(parents=True)
    put(root, "requests/q.md", ASKED)
    answer = "Verdict: Rejected\n### HIGH\n1. Seed lost (`a.py:3`)\n2. Seed lost (`b.py:3`)\n"
    for made in (2, 0):
        verbs.take(root, "q", "codex", answer.encode(), NOW)
        assert len(verbs.make_tasks(root, board, "q", now=NOW)[1]) == made
    verbs.archive(root, "q", "C", NOW)
    assert verbs.make_tasks(root, board, "q", now=NOW)[1] == []


def test_the_eleventh_answer_is_newer_than_the_ninth(tmp_path: Path) -> None:
    put(tmp_path, "requests/q.md", ASKED)
    put(tmp_path, "responses/q_codex.md", "Verdict: GO")
    put(tmp_path, "responses/q_codex_9.md", "Verdict: GO")
    put(tmp_path, "responses/q_codex_11.md", "Verdict: Rejected")
    assert [answer.verdict for answer in read_reviews(tmp_path)[0].counted] == ["reject"]


@pytest.mark.parametrize(
    "text",
    [
        "## critical" + " " * 150 + "x",
        "**critical" + " " * 20_000 + "x**",
        "### HIGH\n1. " + "a" * 60_000,
        "### HIGH\n1. " + "a/" * 30_000,
        "### HIGH\n1. none" + "!" * 60_000 + "x",
        "- x - " + "*" * 60_000 + "high" + "*" * 60_000 + "x",
        "```" + " " * 60_000 + "x\na\n```",
        "### HIGH\n- " + "1" * 200 + "x",
        "### HIGH\n" + "1" * 50_000 + "x",
    ],
    ids=range(9),
)
def test_no_answer_takes_long_to_read(text: str) -> None:
    """Each took from 10 s to minutes; the processor's time is asked, far above what is needed."""
    begin = time.process_time()
    read_findings(Document(text.encode()))
    read_verdict(Document(text.encode()))
    assert time.process_time() - begin < 5


@pytest.mark.parametrize("name", ["conf.py", "prod.env", "secrets.toml", "../outside.txt", "link.txt"])
def test_a_secret_and_what_lies_outside_do_not_go_into_a_request(tmp_path: Path, name: str) -> None:
    space = tmp_path / "space"
    put(space, "conf.py", "HF_TOKEN = 'hf_" + "Ab1Cd2Ef3" * 4 + "'\n")
    put(space, "prod.env", "X=1")
    put(space, "secrets.toml", "x = 1")
    put(tmp_path, "outside.txt", "words")
    (space / "link.txt").symlink_to(tmp_path / "outside.txt")
    with pytest.raises(Refused):
        context.collect(space, [name], None)


def test_a_pipe_is_no_material(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="no ordinary file"):
        context.collect(tmp_path, ["pipe"], None)

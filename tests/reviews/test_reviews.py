"""A response without a verdict is no review; a request is complete only when everybody asked has answered."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews import summary, verbs
from reviews.__main__ import main
from reviews.files import read_reviews, render
from reviews.findings import read_findings
from reviews.gate import deployment_gate
from reviews.verdicts import read_verdict
from task_board.board import read_board
from task_board.document import Document
from task_board.errors import Refused

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
REQUEST = """\
# Review Request: Look at the gate

**Assigned Reviewers**: codex, gemini  # MANDATORY
**Type**: Pre-deployment
"""
ANSWER = """\
# Review Response: Migration

**Reviewer**: codex
**Request**: gate.md

## Summary
⚠️ Issues Found (approve with safeguards)

## Issues Found

### 🚨 CRITICAL
1. Two truths about the state
   - Files: `ROADMAP.md:42` claims complete; `docs/STATUS.md:1` does not.

### ⚠️ HIGH (should fix soon)
1. **API mismatch** in callers
   - File: `scripts/evaluate.py:48-74`
   ```
   1. CRITICAL: not a finding
   ```
2. Wrong default
   - **Location**: `scripts/loader.py`, line 130

### 💡 MEDIUM/LOW (suggestions)
- None.

## Verified OK
- [CRITICAL] nothing here
"""


def put(root: Path, folder: str, name: str, text: str | bytes) -> Path:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return root / folder / name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Verdict: APPROVE", "approve"),
        ("**Verdict**: Approved with remarks", "approve"),
        ("## Summary\n✅ Approved with minor notes\n", "approve"),
        ("## Summary\n✅ **Approved**. All is well.", "approve"),
        ("## Verdict: PASS_WITH_NOTES", "approve"),
        ("Verdict: no major issues", "approve"),
        ("Decision: SCALE", "approve"),
        ("## GO/NO-GO\n\n**GO**", "approve"),
        ("```markdown\n# R\nVerdict: GO\n```", "approve"),
        ("LGTM", "approve"),
        ("## Verdict\n\nREQUEST_CHANGES", "changes"),
        ("## Summary\n⚠️ Issues Found - one critical", "changes"),
        ("Decision: MODIFY", "changes"),
        ("SCALE / ITERATE: ITERATE", "changes"),
        ("Verdict: GO with modifications", "changes"),
        ("Verdict: conditional pass", "changes"),
        ("**Overall verdict:** Reject", "reject"),
        ("## Summary\n❌ Major Problems", "reject"),
        ("Decision: NO-GO", "reject"),
        ("Verdict: not approved", "reject"),
        ("verdict: perhaps", "INVALID"),
        ("Decision: GO / NO-GO / MODIFY", "INVALID"),
        ("## Summary\n[✅ Approved / ⚠️ Issues Found / ❌ Major Problems]", "INVALID"),
        ("Error: quota exceeded", "INVALID"),
        ("Traceback (most recent call last):\n  File x\nError: approved", "INVALID"),
        ("```\nVerdict: GO\n```\nwords", "INVALID"),
        ("", "INVALID"),
    ],
)
def test_a_verdict_is_found_or_the_response_is_invalid(text: str, expected: str) -> None:
    assert read_verdict(Document(text.encode())).value == expected


def test_the_reviewers_own_words_are_kept() -> None:
    assert read_verdict(Document(ANSWER.encode())).words == "⚠️ Issues Found (approve with safeguards)"


def test_findings_have_severity_title_and_place() -> None:
    found = [(f.severity, f.title, f.path, f.line) for f in read_findings(Document(ANSWER.encode()))]
    assert found == [
        ("critical", "Two truths about the state", "ROADMAP.md", 42),
        ("high", "API mismatch in callers", "scripts/evaluate.py", 48),
        ("high", "Wrong default", "scripts/loader.py", 130),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.  **[CRITICAL] Memory**: `a/b.py` x", [("critical", "Memory: a/b.py x")]),
        ("### Issue #1 (CRITICAL): Lemma\n- a\n", [("critical", "Lemma")]),
        ("### [High] Cache", [("high", "Cache")]),
        ("1. **Missing tests (HIGH)**\n   - D", [("high", "Missing tests")]),
        ("## Critical Issues\n### 1. A\n- b\n### 2. B", [("critical", "A"), ("critical", "B")]),
        ("**Minor Issues:**\n- a\n- None.", [("low", "a")]),
        ("| R1 | Medium | Define the verdict | x |", [("medium", "Define the verdict")]),
        ("### High-level overview\n- a", []),
        ("### HIGH\n- No issues found.\n*(None so far)*\n- No tests exist for x", [("high", "No tests exist for x")]),
        ("- None.\n- N/A", []),
    ],
)  # fmt: skip
def test_findings_are_read_in_every_shape(text: str, expected: list[tuple[str, str]]) -> None:
    found = [(f.severity, f.title) for f in read_findings(Document(text.encode()))]
    assert [severity for severity, _ in found] == [severity for severity, _ in expected]
    assert all(title in got for (_, got), (_, title) in zip(found, expected, strict=True))


def test_a_request_is_complete_when_every_reviewer_has_a_valid_answer(tmp_path: Path) -> None:
    put(tmp_path, "requests", "gate.md", REQUEST)
    put(tmp_path, "responses", "gate_codex.md", ANSWER)
    put(tmp_path, "responses", "gate_gemini.md", "Error 429")
    (review,) = read_reviews(tmp_path)
    assert review.as_dict() == {
        "id": "gate", "layout": "unified", "request": str(tmp_path / "requests/gate.md"), "title": "Look at the gate",
        "created": None, "complete": False, "findings": {"critical": 1, "high": 2, "medium": 0, "low": 0},
        "reviewers": [
            {"name": "codex", "state": "valid", "verdict": "changes", "file": str(tmp_path / "responses/gate_codex.md"),
             "verdict_words": "⚠️ Issues Found (approve with safeguards)"},
            {"name": "gemini", "state": "invalid", "verdict": "INVALID", "verdict_words": None,
             "file": str(tmp_path / "responses/gate_gemini.md")},
        ],
    }  # fmt: skip
    put(tmp_path, "responses", "gate_gemini.md", "Verdict: REJECT")
    assert read_reviews(tmp_path)[0].complete


def test_every_layout_is_read(tmp_path: Path) -> None:
    put(tmp_path, "gemini/pending", "20250912_165500_pipeline.md", "# Review Request: Pipeline\nRequester: cc\n")
    put(tmp_path, "codex/done", "20250912_180000_method.md", "# Method\n")
    put(tmp_path, "codex/responses", "20250912_180000_method.md", "# Codex Review Response\n## Summary\nApproved\n")
    put(tmp_path, "requests", "20251004_dry_codex.md", "# R\n**Assigned Reviewers**: codex\n")
    put(tmp_path, "responses", "20251004_dry_codex.md", "**Reviewer**: Codex CLI 0.1\nVerdict: GO\n")
    put(tmp_path, "archive/2025_cycle/requests", "old.md", REQUEST)
    put(tmp_path, "archive/2025_cycle/responses", "old_codex.md", "Verdict: GO")
    put(tmp_path, ".", "gemini_raw_20250910.txt", "Verdict: NO-GO")
    put(tmp_path, ".", "README.md", "# Reviews\n**Assigned Reviewers**: codex")
    found = {review.id: review for review in read_reviews(tmp_path)}
    shapes = {
        name: (r.layout, [(p["name"], p["state"]) for p in r.as_dict()["reviewers"]]) for name, r in found.items()
    }
    assert shapes == {
        "20250912_165500_pipeline": ("per-reviewer", [("gemini", "waiting")]),
        "20250912_180000_method": ("per-reviewer", [("codex", "valid")]),
        "20251004_dry_codex": ("unified", [("codex", "valid")]),
        "old": ("archive", [("codex", "valid"), ("gemini", "waiting")]),
        "gemini_raw_20250910": ("raw", [("gemini", "valid")]),
    }
    assert found["gemini_raw_20250910"].request is None and not found["gemini_raw_20250910"].complete
    assert "no such request" in render([found["gemini_raw_20250910"]])


def test_an_answer_goes_to_the_request_with_the_longest_fitting_name(tmp_path: Path) -> None:
    put(tmp_path, "requests", "gate.md", REQUEST)
    put(tmp_path, "requests", "gate_two.md", REQUEST)
    put(tmp_path, "responses", "gate_two_codex.md", "Verdict: APPROVE")
    found = {review.id: review for review in read_reviews(tmp_path)}
    assert found["gate"].responses == ()
    assert found["gate_two"].responses[0].reviewer == "codex"


def test_findings_become_tasks_once_each_with_their_origin(tmp_path: Path) -> None:
    root, board = tmp_path / "reviews", tmp_path / "task_board"
    put(root, "requests", "gate.md", REQUEST)
    put(root, "responses", "gate_codex.md", ANSWER)
    (board / "pending").mkdir(parents=True)
    drafts, made = verbs.make_tasks(root, board, "gate", now=NOW)
    assert [(t.priority, t.path.name.count("fix")) for t in made] == [(0, 1), (1, 1), (1, 1)] and len(drafts) == 3
    assert all(t.from_review == str(root / "responses/gate_codex.md") and not t.problems for t in made)
    made[0].path.rename(board / "pending" / "renamed.md")
    assert verbs.make_tasks(root, board, "gate", now=NOW)[1] == []
    assert len(read_board(board)) == 3


def test_a_request_is_asked_answered_and_archived_and_undone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "reviews"
    root.mkdir()
    (tmp_path / "x.py").write_text("print('````')\n")
    (tmp_path / ".env").write_text("no")
    words = ["request", "The gate", "--reviewer", "Codex", "--file", "x.py", "--question", "Is it right?"]
    assert main([*words, "--file", ".env"], root=root) == 3
    assert main(words, root=root) == 0
    (review,) = read_reviews(root)
    assert (
        review.assigned == ("codex",)
        and review.waiting == ("codex",)
        and "print(" in Path(str(review.request)).read_text()
    )
    assert main(["check", "the_gate"], root=root) == 1
    assert main(["archive", "the_gate"], root=root) == 3
    with pytest.raises(Refused):
        verbs.take(root, review.id, "codex", b"Error: quota", NOW)
    raw = b"Verdict: GO\r\n\xff"
    answered = verbs.take(root, review.id, "codex", raw, NOW)
    assert Path(answered.responses[0].file).read_bytes() == raw and answered.approved
    assert main(["check", "the_gate"], root=root) == 0
    assert len(verbs.archive(root, review.id, "c1", NOW)) == 2
    assert read_reviews(root)[0].layout == "archive"
    verbs.undo(root, NOW)
    assert read_reviews(root)[0].layout == "unified"
    capsys.readouterr()


def test_the_deployment_gate_asks_for_an_approved_review(tmp_path: Path) -> None:
    def ask(**more: bool) -> tuple[bool, bool]:
        answer = deployment_gate(tmp_path, "bootstrap-32b", required=True, commit="abc123", **more)
        return answer.allowed, answer.waived

    assert deployment_gate(tmp_path, "bootstrap-32b", required=False).allowed
    assert deployment_gate(tmp_path, "demo", required=True).allowed
    assert (ask(), ask(without_review=True)) == ((False, False), (True, True))
    put(tmp_path, "requests", "20260101_gate.md", REQUEST)
    put(tmp_path, "responses", "20260101_gate_codex.md", "Verdict: GO")
    assert ask() == (False, False)
    put(tmp_path, "responses", "20260101_gate_gemini.md", "Verdict: GO")
    assert ask() == (True, False)
    put(tmp_path, "requests", "20260102_gate.md", REQUEST + "**Commit**: abc123\n")
    put(tmp_path, "responses", "20260102_gate_codex.md", "Verdict: GO")
    put(tmp_path, "responses", "20260102_gate_gemini.md", "Verdict: MODIFY")
    assert ask() == (False, False)
    put(tmp_path, "responses", "20260102_gate_gemini.md", "Verdict: GO")
    assert ask() == (True, False)
    put(tmp_path, "requests", "20260102_gate.md", REQUEST + "**Commit**: fff\n")
    assert ask() == (False, False)


def test_the_command_prints_json_and_the_summary_says_who_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "requests", "gate.md", REQUEST)
    assert main(["list", "--root", str(tmp_path), "--json"]) == 0
    assert [r["name"] for r in json.loads(capsys.readouterr().out)[0]["reviewers"]] == ["codex", "gemini"]
    assert main(["list", "--root", str(tmp_path / "none")]) == 2
    assert summary(tmp_path).waiting == (("gate", ("codex", "gemini")),)
    assert main(["show", "nobody"], root=tmp_path) == 2


@settings(deadline=None, max_examples=100)
@given(st.one_of(st.binary(max_size=300), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))))
def test_any_bytes_have_some_verdict_and_some_findings(raw: bytes) -> None:
    assert read_verdict(Document(raw)).value and read_findings(Document(raw)) is not None

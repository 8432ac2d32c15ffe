"""Answers and trees as hurried reviewers leave them: no approval that nobody gave, no finding or reviewer lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reviews.__main__ import main
from reviews.context import _TOKEN
from reviews.files import read_reviews
from reviews.findings import read_findings
from reviews.gate import deployment_gate
from reviews.verdicts import read_verdict
from task_board.document import Document

ASKED = "# Review Request: Gate\n\n**Assigned Reviewers**: {}\n"
ANSWER = "# Review Response: Gate\n\n**Verdict**: {}\n"


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("## Verdict\n- [ ] Approved\n- [ ] Issues found", "INVALID"),
        ("## Verdict\n- [ ] Approved\n- [x] Issues found\n- [ ] Major problems", "changes"),
        ("## Verdict\n- [x] Approved\n- [ ] Issues found", "approve"),
        ("**Verdict**: [ ] Approved [x] Issues found", "changes"),
        ("**Verdict**: [ ] Approved [ ] Issues found", "INVALID"),
        ("**Verdict**: Approved [ ] Rejected [x]", "reject"),
        ("**Verdict**: ☐ Approved ☑ Rejected", "reject"),
        ("## Verdict\n- Approved\n- Rejected", "changes"),
        ("Verdict: approve with reservations", "changes"),
        ("Verdict: Approved by gemini; I disagree", "changes"),
        ("Verdict: LGTM, address H1 before running", "changes"),
        ("Verdict: Approved. However, the budget guard is off.", "changes"),
        ("Verdict: Approved\n\n**Update**: Verdict: Rejected", "changes"),
        ("Verdict: GO — all blocking issues resolved", "approve"),
        ("| Reviewer | Verdict |\n|---|---|\n| codex | NO-GO |", "reject"),
        ("| Verdict | Confidence |\n|---|---|\n| GO | high |", "approve"),
        ("| Check | Verdict |\n|---|---|\n| tests | PASS |", "INVALID"),
        ("## ✅ Verdict: Approved", "approve"),
        ("## Verdict — APPROVED", "approve"),
        ("**Verdict** - Issues found", "changes"),
        ("1. Verdict: NO-GO", "reject"),
        ('"Verdict: Approved" would be premature', "INVALID"),
        ("Verdict: Accept with minor revisions", "changes"),
        ("Verdict: not yet approved", "reject"),
        ("**Overall Assessment**: Approved", "approve"),
        ("Risk assessment: pass", "INVALID"),
    ],
)
def test_a_verdict_is_what_the_reviewer_chose(text: str, expected: str) -> None:
    assert read_verdict(Document(f"# R\n\n{text}\n".encode())).value == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("## Summary\n- Critical: 0\n- **High**: 2 issues\n- Low: none", []),
        ("### HIGH\nThe loader leaks (`a.py:1`).\n\nThe parser\nfails (`b.py:2`).",
         [("high", "a.py", 1), ("high", "b.py", 2)]),
        ("### HIGH\nNo high issues were found in this review.\n### LOW\n- None.\n\nOtherwise fine.", []),
        ("### HIGH\nThese must go:\n- leak `a.py:1`\n", [("high", "a.py", 1)]),
        ("### Finding 1: Leak\n**Severity**: HIGH\n**Location**: a.py:1\n", [("high", "a.py", 1)]),
        ("1. **Leak** in a.py:1\n   - Severity: low\n", [("low", "a.py", 1)]),
        ("HIGH: a.py:1 bad\n\n**LOW** — b.py:2\n", [("high", "a.py", 1), ("low", "b.py", 2)]),
        ("Important: run the tests. Low memory is fine.", []),
        ("Critical issues:\n- a.py:1\n\nLow:\n- b.py:2", [("critical", "a.py", 1), ("low", "b.py", 2)]),
        ("### HIGH-1: leak a.py:1\ntext", [("high", "a.py", 1)]),
        ("| # | Issue | Severity | File | Line |\n|---|---|---|---|---|\n| 1 | leaks | 🔴 High | a/a.py | 42 |",
         [("high", "a/a.py", 42)]),
        ("| Critical | High | Notes |\n|---|---|---|\n| 0 | 2 | see below |", []),
        ("### HIGH\n- ~~leak a.py:1~~ (fixed)\n- two b.py:2", [("high", "b.py", 2)]),
        ("<!--\n### HIGH\n- example\n-->\n### LOW\n- b.py:2", [("low", "b.py", 2)]),
    ],
)  # fmt: skip
def test_no_finding_is_lost_and_a_count_is_none(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert [(f.severity, f.path, f.line) for f in read_findings(Document(text.encode()))] == expected


@pytest.mark.parametrize(
    "place",
    ["a/b.py L42", "`a/b.py` (L42)", "`a/b.py` at line 42", "a/b.py: line 42", "a/b.py(42)", "a/b.py [42]",
     "line 42 of a/b.py", "lines 42-50 in `a/b.py`", "https://x.org/a.html:8 and a/b.py:42"],
)  # fmt: skip
def test_a_place_is_found_however_it_is_cited(place: str) -> None:
    (found,) = read_findings(Document(f"### HIGH\n- Leaks: {place}\n".encode()))
    assert (found.path, found.line) == ("a/b.py", 42)


@pytest.mark.parametrize(
    "header",
    ["**Assigned Reviewers**:\n- codex\n- [ ] gemini: style\n", "## Assigned Reviewers\n1. codex\n2. gemini\n",
     "**Assigned Reviewers**: codex\n- gemini\n", "- Assigned Reviewers: @codex @gemini\n- Commit: 1a2b\n",
     "Assigned Reviewers: codex + gemini\n", "---\nassigned_reviewers:\n  - codex\n  - gemini\n---\n"],
)  # fmt: skip
def test_every_reviewer_that_is_named_is_waited_for(tmp_path: Path, header: str) -> None:
    put(tmp_path, "requests/gate.md", f"{header}\n# Review Request: Gate\n")
    put(tmp_path, "responses/gate_codex.md", ANSWER.format("GO"))
    (review,) = read_reviews(tmp_path)
    assert (review.assigned, review.waiting) == (("codex", "gemini"), ("gemini",))


@pytest.mark.parametrize(
    ("request_file", "answer", "reviewer"),
    [
        ("pending/gate.md", "responses/gate_codex.md", "codex"),
        ("Requests/gate.md", "Responses/GATE_CODEX.md", "codex"),
        ("requests/gate_request.md", "responses/gate_response_codex.md", "codex"),
        ("requests/REVIEW_REQUEST_gate.md", "responses/review_response_gate_codex.md", "codex"),
        ("requests/gate.md", "responses/codex/gate.md", "codex"),
        ("requests/gate.md", "responses/gate/codex.md", "codex"),
        ("codex/in_progress/gate.md", "codex/done/gate_response.md", "codex"),
    ],
)
def test_an_answer_finds_its_request(tmp_path: Path, request_file: str, answer: str, reviewer: str) -> None:
    put(tmp_path, request_file, ASKED.format(reviewer))
    put(tmp_path, answer, ANSWER.format("GO"))
    (review,) = read_reviews(tmp_path)
    assert review.complete and review.people() == (reviewer,)


def test_a_request_in_one_reviewers_folder_still_waits_for_all_it_names(tmp_path: Path) -> None:
    put(tmp_path, "codex/pending/gate.md", ASKED.format("codex, gemini"))
    put(tmp_path, "codex/responses/gate.md", ANSWER.format("GO"))
    (review,) = read_reviews(tmp_path)
    assert review.waiting == ("gemini",)


def test_an_old_answer_is_not_the_newest(tmp_path: Path) -> None:
    put(tmp_path, "requests/gate.md", ASKED.format("codex"))
    put(tmp_path, "responses/gate_codex.md", ANSWER.format("NO-GO"))
    put(tmp_path, "responses/gate_codex_old.md", ANSWER.format("GO"))
    (review,) = read_reviews(tmp_path)
    assert [answer.verdict for answer in review.counted] == ["reject"]


@pytest.mark.parametrize("date", ["", "**Date**: 2026-01-31\n"])
def test_an_archived_approval_does_not_outlive_an_open_request(tmp_path: Path, date: str) -> None:
    head = ASKED.format("codex") + "**Recipe**: `qwen.yaml` (seed 3)\n"
    put(tmp_path, "archive/one/requests/gate.md", head + "**Date**: 2026-01-31 10:00\n")
    put(tmp_path, "archive/one/responses/gate_codex.md", ANSWER.format("GO"))
    assert deployment_gate(tmp_path, "qwen", required=True).allowed
    put(tmp_path, "requests/gate.md", head + date)
    assert not deployment_gate(tmp_path, "qwen", required=True).allowed


def test_what_a_request_holds_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "requests/gate.md", ASKED.format("codex") + "\x1b[31mred\u202e\n")
    assert main(["show", "gate"], root=tmp_path) == 0
    assert "\x1b" not in (shown := capsys.readouterr().out) and "\u202e" not in shown and "red" in shown


def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        words = [sys.executable, "-m", "reviews", "list", "--root", str(tmp_path)]
        done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr == "the output cannot be written: No space left on device. The command itself ran.\n"


MIXED = "Ab1Cd2Ef3Gh4Ij5Kl6Mn7Op8Qr9St0"


@pytest.mark.parametrize(
    "token",
    ["rpa_" + MIXED, "hf_" + MIXED, "sk-" + "proj-" + MIXED, "AKIA" + "AB12CD34EF56GH78", "ASIA" + "AB12CD34EF56GH78",
     "-----BEGIN RSA " + "PRIVATE KEY-----\n" + MIXED + MIXED],
)  # fmt: skip
def test_a_push_and_a_request_refuse_the_same_keys(token: str) -> None:
    # Two lists, since neither package may import the other: a key that one knows must not leave by the other.
    from remote.sync.secrets_scan import find_secret

    data = f"key = '{token}'\n".encode()
    assert find_secret(data) is not None and _TOKEN.search(data) is not None

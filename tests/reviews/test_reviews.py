"""A response without a verdict is no review; a request is complete only when everybody asked has answered."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reviews.__main__ import main
from reviews.files import INVALID, read_reviews, render, verdict


def put(root: Path, folder: str, name: str, text: str) -> None:
    (root / folder).mkdir(parents=True, exist_ok=True)
    (root / folder / name).write_text(text)


REQUEST = "# Look at the gate\n\n**Assigned Reviewers**: codex, gemini\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Verdict: APPROVE", "APPROVE"),
        ("**Verdict**: Approved with remarks", "APPROVE"),
        ("## Verdict\n\nREQUEST_CHANGES", "REQUEST_CHANGES"),
        ("**Overall verdict:** Reject", "REJECT"),
        ("verdict: perhaps", INVALID),
        ("Error: quota exceeded", INVALID),
        ("", INVALID),
    ],
)
def test_a_verdict_is_found_or_the_response_is_invalid(text: str, expected: str) -> None:
    assert verdict(text) == expected


def test_a_request_is_complete_when_every_reviewer_has_a_valid_answer(tmp_path: Path) -> None:
    put(tmp_path, "requests", "gate.md", REQUEST)
    put(tmp_path, "responses", "gate_codex.md", "Verdict: APPROVE")
    put(tmp_path, "responses", "gate_gemini.md", "Error 429")
    (review,) = read_reviews(tmp_path)
    assert not review.complete
    assert [(r.reviewer, r.verdict) for r in review.responses] == [("codex", "APPROVE"), ("gemini", INVALID)]
    put(tmp_path, "responses", "gate_gemini.md", "Verdict: REJECT")
    (review,) = read_reviews(tmp_path)
    assert review.complete


def test_an_answer_goes_to_the_request_with_the_longest_fitting_name(tmp_path: Path) -> None:
    put(tmp_path, "requests", "gate.md", REQUEST)
    put(tmp_path, "requests", "gate_two.md", REQUEST)
    put(tmp_path, "responses", "gate_two_codex.md", "Verdict: APPROVE")
    found = {review.name: review for review in read_reviews(tmp_path)}
    assert found["gate"].responses == ()
    assert found["gate_two"].responses[0].reviewer == "codex"


def test_an_answer_to_no_request_is_shown_and_never_complete(tmp_path: Path) -> None:
    put(tmp_path, "responses", "lost_codex.md", "Verdict: APPROVE")
    (review,) = read_reviews(tmp_path)
    assert (review.requested, review.complete) == (False, False)
    assert "no such request" in render([review])


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path, "requests", "gate.md", REQUEST)
    assert main(["list", "--root", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["reviewers"] == ["codex", "gemini"]
    assert main(["list", "--root", str(tmp_path / "none")]) == 2


@settings(deadline=None)
@given(st.text())
def test_any_text_has_some_verdict(text: str) -> None:
    assert verdict(text)

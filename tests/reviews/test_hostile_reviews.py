"""Answers and trees that would deceive: an approval must be one, a move is whole, a secret stays, no text is slow."""

from __future__ import annotations

import pytest

from reviews.verdicts import read_verdict
from task_board.document import Document


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

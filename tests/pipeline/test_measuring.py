"""Held-out items are answered until their scores are decided, and not a word less."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline.engines.base import Request
from pipeline.evals import scorers
from pipeline.recipe_load import load
from pipeline.steps import measuring
from pipeline.steps.base import StepContext
from pipeline.steps.measuring import Measuring, first, set_of, zero_shot
from tests.pipeline.model_tools import Memory

PIECES = st.text(alphabet="ab1 .:\n", max_size=30)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """The request that an item of stage 1 becomes."""
    ctx = StepContext(load("smoke"), 1, "stage-1/evaluate", "k", tmp_path, tmp_path, Memory())
    kept: list[Request] = []

    def generate(_ctx: Any, _opened: Any, requests: Sequence[Request], *_: Any) -> list[Any]:
        kept.extend(requests)
        return []

    monkeypatch.setattr(measuring, "generate", generate)
    monkeypatch.setattr(Measuring, "_cost", lambda *_: 0.0)
    opened = cast(Any, SimpleNamespace(tokens=SimpleNamespace(prompt=lambda text: [1])))
    Measuring(ctx, 1).answers(opened, first(set_of(ctx, 1), 1), zero_shot("tuned"), "part")
    return kept[0]


def test_an_answer_of_two_paragraphs_is_heard_to_its_end(asked: Request) -> None:
    """Strictly it is judged whole, if it ends by itself; a blank line must not end it from outside."""
    assert asked.over is not None
    assert not asked.over("One paragraph.\n\nAnd another")
    assert asked.over("An answer.\n\nInstruction: the next")


@given(before=PIECES, turn=st.sampled_from(["\nInstruction:", "\nResponse:", "\n  Q 2:"]), behind=PIECES)
@settings(max_examples=200, deadline=None)
def test_what_follows_a_decided_answer_changes_no_score(before: str, turn: str, behind: str) -> None:
    cut_off, whole = before + turn, before + turn + behind
    assume(scorers.decided(cut_off))
    assert scorers.runs_on(cut_off)
    assert scorers.runs_on(whole)
    assert scorers.cut(cut_off) == scorers.cut(whole)


@pytest.mark.parametrize(
    ("text", "is_decided"),
    [
        ("\nResponse: 4", False),  # the base says the format's word once more, and then the answer
        ("4\nResponse: 5", True),
        ("\nInstruction: the next", True),
        ("4", False),
    ],
)
def test_a_format_word_before_the_answer_does_not_end_it(text: str, is_decided: bool) -> None:
    assert scorers.decided(text) is is_decided

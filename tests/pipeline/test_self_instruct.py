"""Which of the lines that a model writes count as instructions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipeline.data.dedup import Deduper
from pipeline.records import Instruction
from pipeline.steps.generate import _Harvest, _reason
from pipeline.steps.weights import Opened

PLAIN = cast(Opened, SimpleNamespace(tokens=SimpleNamespace(is_plain=lambda text: "<eos>" not in text)))


def harvest(wanted: int = 8) -> _Harvest:
    return _Harvest(cast(Any, None), [], wanted, Deduper(), set(), [])


def line(text: str, finish: str = "stop") -> Instruction:
    return Instruction.make(
        stage=2, family="capitals", seed=1, decoding="{}", parents=[], model="0" * 64, prompt="p",
        text_raw=text, text=text,
        finish_reason=finish, tokens=9, instruction=text,
    )  # fmt: skip


@pytest.mark.parametrize("finish", ["stop", "eos"])
def test_a_line_is_finished_by_a_new_line_and_by_the_end_of_text(finish: str) -> None:
    assert _reason(line("My quiz asks for the capital of Norway.", finish), harvest(), PLAIN) is None


@pytest.mark.parametrize(
    ("text", "finish", "why"),
    [
        ("My quiz asks for the capital of", "length", "unfinished"),
        ("Too short", "stop", "not an instruction"),
        ("- a list item is none", "stop", "not an instruction"),
        ("Name the capital of Norway.<eos> Oslo", "eos", "special token"),
    ],
)
def test_what_is_no_instruction_is_dropped_and_says_why(text: str, finish: str, why: str) -> None:
    assert _reason(line(text, finish), harvest(), PLAIN) == why


def test_the_same_line_counts_once_and_only_as_many_as_are_wanted() -> None:
    given = harvest(wanted=1)
    assert _reason(line("Name the capital of Norway."), given, PLAIN) is None
    again = _reason(line("Name the capital of Norway."), given, PLAIN)
    assert again == "duplicate of another family's"
    given.kept.append(line("Name the capital of Norway."))
    assert _reason(line("Say which fruit is yellow."), given, PLAIN) == "surplus"

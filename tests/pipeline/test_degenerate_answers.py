"""No scorer is satisfied by an answer that answers nothing: the question again, all its words, every label at once."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

import pytest

from pipeline.evals.items import frozen_path, load
from pipeline.stages.base import Family, Item, Stage
from pipeline.stages.registry import STAGES

WORDINGS = 4
"""Wordings of every family of which an item is asked."""


def _words(item: Item) -> list[str]:
    return re.findall(r"\w+", item.instruction)


NOTHING_SAID: dict[str, Callable[[Item], str]] = {
    "nothing": lambda _: "",
    "marks": lambda _: "...",
    "the question": lambda item: item.instruction,
    "the question in capitals": lambda item: item.instruction.upper(),
    "the question without marks": lambda item: " ".join(_words(item)),
    "the question as a list": lambda item: ", ".join(_words(item)),
    "the question as a statement": lambda item: item.instruction.rstrip("?!.: ") + ".",
    "both labels": lambda _: "Yes and no.",
    "both letters": lambda _: "A or B",
}


def items(family: Family, stage: int) -> list[Item]:
    """One held-out item of each of some wordings."""
    by_wording: dict[str, list[Item]] = defaultdict(list)
    for item in load(frozen_path(stage)):
        if item.family == family.name:
            by_wording[item.template].append(item)
    return [some[0] for some in list(by_wording.values())[:WORDINGS]]


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_no_scorer_takes_an_answer_that_says_nothing(stage: Stage) -> None:
    taken = [
        f"{family.name}: {how}: {item.instruction!r} -> {said(item)!r}"
        for family in stage.families
        for item in items(family, stage.number)
        for how, said in NOTHING_SAID.items()
        if family.check(item, said(item).strip()).passed
    ]
    assert taken == []


@pytest.mark.parametrize("separator", [": ", " ", ") "])
def test_a_letter_is_not_chosen_by_repeating_both_options(separator: str) -> None:
    for family, item in choices():
        both = ", ".join(f"{letter.upper()}{separator}{item.truth[letter]}" for letter in ("a", "b"))
        assert not family.check(item, both).passed, both


def test_the_right_letter_alone_or_with_its_text_is_a_choice() -> None:
    for family, item in choices():
        letter = str(item.truth["value"])
        assert family.check(item, letter).passed
        assert family.check(item, f"{letter}: {item.truth[letter.lower()]}").passed


def choices() -> list[tuple[Family, Item]]:
    """Held-out items that ask for A or B."""
    families = {family.name: family for family in STAGES[3].families}
    asked = [item for item in load(frozen_path(4)) if {"a", "b", "value"} <= item.truth.keys()]
    assert len(asked) >= 100
    return [(families[item.family], item) for item in asked[::5]]

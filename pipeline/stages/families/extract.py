"""Finding the name, the number or the colour in a one-sentence text that holds exactly one of each."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import (
    judge_value,
    number_word,
    number_words_to_digits,
    remark,
    share,
    word_list,
    words,
)
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_NAMES = word_list(
    """
Anna Ben Carla David Emma Frank Grace Henry Irene Jack Kate Leo Maria Nina Oscar Paula Quentin Rita Sam Tina Victor
Wendy Yara Zoe Adam Bella Colin Diana Eric Fiona George Hannah Ivan Julia Kevin Laura Martin Nora Oliver Peter
Rachel Simon Teresa Uma Vera Walter Alice Bruno Clara Daniel Elena Felix Gloria Hugo Isabel James Karen Lucas Monica
Nathan Olga Robert Sarah Thomas Ursula Vincent Amy Brian Cindy Derek Ella Fred Gina Howard John Mary Tom Lisa Mike
Susan Paul Linda
"""
)
_COLOURS = ["red", "blue", "green", "yellow", "black", "white", "brown", "purple", "pink", "grey", "orange", "silver"]
_THINGS = word_list(
    """
pens cups hats boxes chairs apples books bags stones cars balls shirts birds flowers plates ribbons coats buttons
kites bottles candles baskets towels lamps boats bikes pencils stamps marbles mugs blankets umbrellas scarves tents
bowls ropes envelopes folders buckets pillows jackets tickets
"""
)
_PAST = word_list(
    """
bought found sold carried washed painted lost counted packed borrowed saw moved collected dropped cleaned hid
brought wanted fixed ordered
"""
)
_PLACES = """
at the market; in the garden; on Monday; at school; in the kitchen; yesterday; last week; near the river;
at the station; in the attic; before lunch; at the beach; in the park; on Friday; this morning;
behind the house; at work; in town
"""
_FIELDS = {
    "name": "name", "number": "number", "colour": "colour", "color": "colour",
}  # fmt: skip


class Extract(WordedFamily):
    """ "Find the colour in this text: Anna bought 7 red pens at the market." """

    name = "extract"
    shared_answers = True
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {
        "field": r"(?P<field>name|number|colou?r)",
        "story": r"[\"'“‘]?(?P<story>[A-Z][^\n?\"“”]*?[.!]?)[\"'”’]?",
    }
    train_wordings = (
        "Find the {field} in this text: {story}",
        "Which {field} occurs in this text? {story}",
        "Extract the {field} from this sentence: {story}",
        "Read this and write only the {field}: {story}",
        "What is the {field} in this sentence? {story}",
        "Text: {story} Name the {field} in the text.",
        "Give the {field} mentioned here: {story}",
        "Copy the {field} out of this text: {story}",
        "{story} Write the {field} from that sentence.",
        "Tell me the {field} in the following text: {story}",
    )
    eval_wordings = (
        "Extract the {field} from this text: {story}",
        "Which {field} is mentioned in this sentence? {story}",
        "Write down the {field} that appears here: {story}",
        "Identify the {field} in the sentence: {story}",
        "Please find the {field} in this sentence: {story}",
        "Sentence: {story} What {field} does it mention?",
        "Pick out the {field} from the following: {story}",
        "{story} State the {field} given in this sentence.",
        "What {field} do you find in this text? {story}",
        "From this sentence, give the {field}: {story}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        number = rng.randint(2, 12)
        said = str(number) if rng.random() < 0.5 else number_word(number)
        pools = (_pool(namespace, kind) for kind in ("name", "past", "thing", "place"))
        name, past, thing, place = (rng.choice(pool) for pool in pools)
        story = f"{name} {past} {said} {rng.choice(_COLOURS)} {thing} {place}."
        return {"field": rng.choice(("name", "number", "colour")), "story": story}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        field, story = _FIELDS[facts["field"].casefold()], facts["story"].rstrip(".!")
        found = _values(story, field)
        if len(found) != 1:
            return None
        return found[0], {"field": field, "value": found[0], "story": story}

    def judge(self, item: Item, text: str) -> Score:
        value, field = item.truth["value"], item.truth["field"]
        if field == "number":
            value, text = number_words_to_digits(value), number_words_to_digits(text)
        noun = words(item.truth["story"])[-1:]

        def rival(answer: str) -> str | None:
            mine = value.casefold()
            return next((found for found in _values(answer, field) if found.casefold() != mine), None)

        return judge_value(text, (value,), subject=noun, rival=rival)

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        field, story = item.truth["field"], item.truth["story"]
        others = [v for f in ("name", "number", "colour") if f != field for v in _values(story, f)]
        same = {"name": _NAMES, "number": [str(n) for n in range(2, 13)], "colour": _COLOURS}[field]
        wanted = number_words_to_digits(item.truth["value"]).casefold()
        return rng.choice([*others, *rng.sample([v for v in same if v.casefold() != wanted], 2)])

    labelled = (
        Labelled(
            "Find the colour in this text: Anna bought 7 red pens at the market.",
            right=("red", "Red.", "The colour is red.", "The colour in this text is red."),
            wrong=("blue", "Anna", "7", "pens", "The colour is blue."),
            odd=('"red"', "RED", "The pens are red.", "Colour: red"),
            trap=(
                "",
                "red or blue",
                "Anna bought 7 red pens at the market.",
                "red, blue",
                "It is not red.",
                "red red red",
                "redder",
            ),
        ),
        Labelled(
            "Which name is mentioned in this sentence? Tom lost three green cups yesterday.",
            right=("Tom", "The name is Tom."),
            wrong=("green", "three", "John"),
            trap=("Tom. Which name is mentioned in this sentence?", "Tom and Anna", "Tommy"),
        ),
        Labelled(
            "Extract the number from this text: Tom lost three green cups yesterday.",
            right=("three", "3", "The number is three."),
            wrong=("four", "Tom"),
            odd=("Three.",),
            trap=("3 or 4", "three, four", "33"),
        ),
    )


def _values(text: str, field: str) -> list[str]:
    """Every value of `field` in `text`, in order."""
    if field == "number":
        numbers = "|".join(number_word(n) for n in range(2, 21))
        return re.findall(rf"\b(?:\d+|{numbers})\b", text, re.I)
    pool = _NAMES if field == "name" else [*_COLOURS, "gray", "violet", "gold"]
    flags = 0 if field == "name" else re.I
    return re.findall(rf"\b(?:{'|'.join(pool)})\b", text, flags)


@lru_cache(maxsize=16)
def _pool(namespace: Namespace, kind: str) -> tuple[str, ...]:
    places = [" ".join(place.split()) for place in _PLACES.split(";")]
    return share(namespace, {"name": _NAMES, "past": _PAST, "thing": _THINGS, "place": places}[kind])

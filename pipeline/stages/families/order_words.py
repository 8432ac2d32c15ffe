"""Putting the words of a short sentence into the one order that makes sense."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.revising import RevisionFamily
from pipeline.stages.families.stories import draw_story, order_of
from pipeline.stages.families.worded import Facts, Labelled


class OrderWords(RevisionFamily):
    """ "Put these words in the right order: cups lost green Tom three": "Tom lost three green cups"."""

    name = "order_words"
    max_new_tokens = 24
    fault = "The words of the response do not stand in the right order"
    topic_fields = ("story",)
    slots: ClassVar[Mapping[str, str]] = {"words": r"[\"'“‘]?(?P<words>[a-z\d]+(?:\s+[a-z\d]+){4})[\"'”’]?"}
    train_wordings = (
        "Put these words in the right order: {words}",
        "Make a sentence of these words: {words}",
        "The order is wrong. Correct it: {words}",
        "Arrange the words so that they make sense: {words}",
        "Sort these words into a sentence: {words}",
        "These words are mixed up, mend that: {words}",
        "Write this in good word order: {words}",
        "Improve the order of the words: {words}",
        "What is the sentence behind these words? {words}",
        "Revise the word order: {words}",
    )
    eval_wordings = (
        "Please put the words in order: {words}",
        "Reorder these words to make a sentence: {words}",
        "The words got jumbled. Write the sentence: {words}",
        "Fix the word order: {words}",
        "Build the right sentence from: {words}",
        "Unscramble this sentence: {words}",
        "How should these words be ordered? {words}",
        "Bring these words into a sensible order: {words}",
        "Give the correct sentence with these words: {words}",
        "Rearrange: {words}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        said = draw_story(namespace, rng).text.split()[:5]
        mixed = said
        while mixed == said:
            mixed = rng.sample(said, len(said))
        return {"words": " ".join(mixed)}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        mixed = facts["words"].split()
        said = order_of(mixed)
        if said is None or said == mixed:
            return None
        sentence = " ".join(said)
        return f"{sentence}.", {"story": sentence, "text": " ".join(mixed), "accepted": [sentence]}

    def corrupt(self, item: Item, rng: random.Random) -> str:
        said = item.truth["story"].split()
        swapped = [said[0], said[1], said[3], said[2], said[4]]
        return rng.choice((item.truth["text"], " ".join(swapped), " ".join(said[:-1]), " ".join([*said[1:], said[0]])))

    labelled = (
        Labelled(
            "Put these words in the right order: cups lost green Tom three",
            right=("Tom lost three green cups.", "Tom lost three green cups", '"Tom lost three green cups."'),
            wrong=(
                "cups lost green Tom three",
                "Tom lost green three cups.",
                "Tom lost three cups.",
                "Tom found three green cups.",
                "three green cups",
                "Tom",
            ),
            odd=(
                "tom lost three green cups",
                "Tom lost 3 green cups.",
                "The right order is: Tom lost three green cups.",
                "The sentence is: Tom lost three green cups.",
                "Corrected: Tom lost three green cups.",
                "cups lost green Tom three -> Tom lost three green cups",
            ),
            trap=(
                "",
                "Tom lost three green cups cups.",
                "Tom lost three green cups. Tom lost green three cups.",
                "Put these words in the right order: cups lost green Tom three",
                "Tom lost three green cups or three green cups lost Tom.",
                "Tom, lost, green, three, cups",
                "Tom lost three green cups in town.",
                "Tom has not lost three green cups.",
                "cups green three lost Tom",
            ),
        ),
        Labelled(
            "Unscramble this sentence: 7 Anna pens red bought",
            right=("Anna bought 7 red pens.", "Anna bought seven red pens."),
            wrong=("Anna bought red 7 pens.", "7 Anna pens red bought"),
        ),
    )

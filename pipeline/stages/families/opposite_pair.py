"""Making a pair of opposites that holds a given word."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.knowledge import LEAD_IN, opposites
from pipeline.stages.families.opposites import Opposites
from pipeline.stages.families.text import word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_FILLERS = frozenset(
    word_list(
        """
a an and antonym antonyms are as by each example for have has in is it it's its mean means meaning of one opposite
opposites opposite's other pair that the their these they this to two versus vs with word words you're reverse
"""
    )
)
_REMARK = " These two words mean the opposite of each other."


class OppositePair(WordedFamily):
    """ "Write a pair of opposites that has the word hot in it.": both words, in either order, and no third one."""

    name = "opposite_pair"
    max_new_tokens = 24
    slots: ClassVar[Mapping[str, str]] = {"word": Opposites.slots["word"]}
    train_wordings = (
        "Write a pair of opposites that has the word {word} in it.",
        "Make a pair of opposites with the word {word}.",
        "Give me two opposite words. One of them is {word}.",
        "Write the word {word} together with its opposite.",
        "Give an example of a pair of opposites with {word}.",
        "Name two opposites, one of which is {word}.",
        "Form a pair of opposites from {word} and another word.",
        "Write two words that are opposites: {word} and its partner.",
        "I need a pair of antonyms. Use the word {word}.",
        "Put {word} and its opposite side by side.",
    )
    eval_wordings = (
        "Create a pair of opposites that contains the word {word}.",
        "Please write a pair of antonyms with the word {word}.",
        "Generate a pair of opposite words, using {word} as one of them.",
        "Provide two words with opposite meanings, one being {word}.",
        "Come up with a pair of opposites that includes {word}.",
        "Produce an example of two opposites in which {word} occurs.",
        "Match {word} with its opposite and write both words.",
        "Show me a pair of opposites where one word is {word}.",
        "Use {word} to make a pair of opposites.",
        "List the two words of an opposite pair, {word} being one of them.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return Opposites().draw(namespace, rng)

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        word = facts["word"].casefold()
        found = opposites(word)
        if not found:
            return None
        pairs = [pair for other in found for pair in (f"{word} and {other}", f"{other} and {word}")]
        return pairs[0], {"word": word, "accepted": pairs}

    def judge(self, item: Item, text: str) -> Score:
        word: str = item.truth["word"]
        said = words(re.sub(r"\(?\b[12][.)]\s", "", LEAD_IN.sub("", text.strip())))
        if "?" in text:
            return Score(False, "asks a question")
        if word not in said:
            return Score(False, f"does not hold the word {word}")
        others = {name for name in said if name in opposites(word) and name != word}
        foreign = [name for name in said if name not in _FILLERS | others | {word}]
        if foreign:
            return Score(False, f"also says {foreign[0]}, wanted {item.truth['accepted'][0]}")
        if len(others) != 1:
            return Score(False, f"{len(others)} opposites of {word}, wanted one")
        pair = (word, next(iter(others)))
        if max(said.count(name) for name in pair if name not in _FILLERS) > 2:
            return Score(False, "repeats itself")
        return Score(True, " and ".join(pair))

    def harmless_suffix(self, text: str) -> str | None:
        return ("" if text.rstrip().endswith((".", "!")) else ".") + _REMARK

    def corrupt(self, item: Item, rng: random.Random) -> str:
        word, right = item.truth["word"], opposites(item.truth["word"])
        asked = Item("opposites", "", "", right[0], {"word": word, "accepted": list(right)})
        wrong = Opposites().corrupt(asked, rng)
        return rng.choice((f"{word} and {wrong}", f"{wrong} and {word}", word, right[0]))

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return f"The response is a pair of opposites, and one of its words is {item.truth['word']}."
        return f"The response is not a pair of opposites with {item.truth['word']}: that would be {item.answer}."

    labelled = (
        Labelled(
            "Write a pair of opposites that has the word hot in it.",
            right=("hot and cold", "Hot and cold.", "cold and hot", "hot, cold", "Hot and cold are opposites."),
            wrong=("hot and warm", "hot", "cold", "big and small", "hot and hot", "The sun is hot."),
            odd=(
                "hot/cold",
                '"hot" and "cold"',
                "HOT - COLD",
                "hot vs. cold",
                "The opposite of hot is cold.",
                "Hot is the opposite of cold.",
                "Hot and cold are a pair of opposites.",
                "hot\ncold",
                "Here is a pair of opposites: hot and chilly",
            ),
            trap=(
                "",
                "hot and cold, big and small",
                "hot and not hot",
                "Hot and cold are not opposites.",
                "hot and cold or warm",
                "hot, cold, cool",
                "hot and cold hot and cold hot and cold",
                "hot and coldness",
                "Write a pair of opposites that has the word hot in it.",
                "hot and cold? big and small?",
                "a pair of opposites with hot",
            ),
        ),
        Labelled(
            "Use in to make a pair of opposites.", right=("in and out",), wrong=("in and on",), trap=("in and in",)
        ),
    )

"""Finding the word that is wrong in a list: the misspelt one, and the one of another kind."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.things import KINDS, kind_of, singular, things
from pipeline.stages.families.verdicts import PickVerdict
from pipeline.stages.families.worded import Facts, Labelled

_LIST = r"(?P<list>[a-z]+(?:,\s*[a-z]+){2,4})"
_SHORTEST = 5


class _OddWord(PickVerdict):
    """A list in, one word of it out."""

    shared_answers = False
    slots: ClassVar[Mapping[str, str]] = {"list": _LIST}

    def topic(self, item: Item) -> str:
        return next(w for w in str(item.truth["list"]).split(", ") if w != item.truth["value"] and w in kind_of())


class FindMistake(_OddWord):
    """ "Which word is spelled wrong: lantern, tabel, garden": the word as it stands there."""

    name = "find_mistake"
    train_wordings = (
        "Which word is spelled wrong: {list}",
        "Find the spelling mistake: {list}",
        "One of these words is misspelled. Which one: {list}",
        "Name the word with a spelling mistake: {list}",
        "Which of these is not spelled correctly: {list}",
        "Look for the wrong spelling: {list}",
        "Tell me which word has a mistake in it: {list}",
        "Two words are right, one is wrong. Copy the wrong one: {list}",
        "Write the misspelled word: {list}",
        "What word was typed badly here: {list}",
    )
    eval_wordings = (
        "Which word contains a spelling error: {list}",
        "Pick out the misspelled word: {list}",
        "In which word are the letters mixed up: {list}",
        "Where is the spelling mistake: {list}",
        "One word is written incorrectly here. Give it: {list}",
        "Say which of these words is misspelled: {list}",
        "Identify the word with wrong spelling: {list}",
        "Spot the word with the typing error: {list}",
        "Which one would a teacher underline as misspelled: {list}",
        "Check the spelling and name the faulty word: {list}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        pool = [word for kind in KINDS for word in things(namespace)[kind] if len(word) >= _SHORTEST]
        chosen = rng.sample(pool, 3)
        place = rng.randrange(3)
        while chosen[place] in kind_of():
            chosen[place] = mixed_up(chosen[place], rng)
        return {"list": ", ".join(chosen)}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        listed = [word.strip() for word in facts["list"].casefold().split(",")]
        wrong = [word for word in listed if word not in kind_of()]
        if len(wrong) != 1 or not any(_same_letters(wrong[0], word) for word in kind_of()):
            return None
        return wrong[0], {"list": ", ".join(listed), "value": wrong[0]}

    def decide(self, item: Item, text: str) -> Score:
        value = item.truth["value"]
        praised = (
            rf"\b{value}\W+is\s+(?:spelled\s+|written\s+)?(?:correct|right|fine|good)|\bshould (?:be|read)\W+{value}\b"
        )
        if re.search(praised, text, re.I):
            return Score(False, "takes the mistake for the right word")
        text = re.sub(rf"(\bshould (?:be|read)\W+\w+\W+)not(\W+{value}\b)", r"\1for\2", text, flags=re.I)
        return super().decide(item, text)

    def ground(self, item: Item) -> str:
        meant = next(word for word in kind_of() if _same_letters(str(item.truth["value"]), word))
        return f"{item.truth['value']} should be {meant}"

    labelled = (
        Labelled(
            "Which word is spelled wrong: guitar, tgier, banana",
            right=("tgier", "tgier.", "The word is tgier.", "tgier is spelled wrong.", "tgier should be tiger."),
            wrong=("guitar", "banana", "tiger", "guitar is spelled wrong.", "the fruit", "There is no mistake."),
            odd=(
                '"tgier"',
                "TGIER",
                "tgier -> tiger",
                "It is tgier, because guitar and banana are spelled correctly.",
                "tgier is not spelled correctly.",
                "It should be tiger, not tgier.",
            ),
            trap=(
                "",
                "tgier or banana",
                "guitar, tgier, banana",
                "not tgier",
                "tgier tgier",
                "tgier\nbanana",
                "tgier. banana",
                "tgier\nFind the spelling mistake: guitra, banana, melon",
                "Is it tgier?",
                "Maybe tgier",
                "tiger should be tgiers",
                "tiger should be tgier",
                "tgier is correct",
                "Which word is spelled wrong",
            ),
        ),
        Labelled(
            "Where is the spelling mistake: apricto, teacher, hammer",
            right=("apricto", "It is in apricto."),
            wrong=("teacher", "apricot"),
            trap=("The mistake is in teacher and apricto.",),
        ),
    )


class OddOneOut(_OddWord):
    """ "Which of these does not belong: banana, grape, hammer, melon": the word of another kind."""

    name = "odd_one_out"
    train_wordings = (
        "Which of these does not belong: {list}",
        "Find the word that does not fit: {list}",
        "One of these is of another kind. Which one: {list}",
        "Name the odd one out: {list}",
        "Which word does not go with the others: {list}",
        "What does not belong in this list: {list}",
        "Tell me which word is different in kind: {list}",
        "All but one of these are alike. Write the other one: {list}",
        "Which thing is out of place here: {list}",
        "Pick the word that should not be in this list: {list}",
    )
    eval_wordings = (
        "Which one is the odd one out: {list}",
        "Which of these words does not fit with the rest: {list}",
        "Say which thing does not belong here: {list}",
        "One word in this list is out of place. Name it: {list}",
        "Identify the word that is not of the same kind: {list}",
        "What should be taken out of this list: {list}",
        "Spot the word that does not match the others: {list}",
        "Three belong together and one does not. Which is it: {list}",
        "Choose the word that differs from the rest in kind: {list}",
        "Someone put a wrong word into this list. Find it: {list}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        pools = things(namespace)
        kind, other = rng.sample([kind for kind in KINDS if len(pools[kind]) >= 3], 2)
        chosen = rng.sample(pools[kind], 3)
        chosen.insert(rng.randrange(4), rng.choice(pools[other]))
        return {"list": ", ".join(chosen)}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        listed = [word.strip() for word in facts["list"].casefold().split(",")]
        homes = [kind_of().get(word, "") for word in listed]
        odd = [word for word, home in zip(listed, homes, strict=True) if homes.count(home) == 1]
        if "" in homes or len(set(homes)) != 2 or len(odd) != 1 or len(set(listed)) != len(listed):
            return None
        return odd[0], {"list": ", ".join(listed), "value": odd[0]}

    def ground(self, item: Item) -> str:
        rest = next(word for word in str(item.truth["list"]).split(", ") if word != item.truth["value"])
        return f"{item.truth['value']} is no {singular(kind_of()[rest])}"

    labelled = (
        Labelled(
            "Which of these does not belong: banana, grape, hammer, melon",
            right=("hammer", "Hammer.", "The hammer does not belong.", "hammer is the odd one out.", "It is hammer."),
            wrong=("banana", "melon does not belong.", "tools", "banana, grape, melon", "none"),
            odd=(
                '"hammer"',
                "HAMMER",
                "hammer, because banana, grape and melon are fruits",
                "Hammer, since it is a tool and not a fruit.",
                "The hammer is not a fruit.",
                "hammer (a tool)",
                "hammer: banana, grape and melon are fruits",
                "The hammer belongs to another kind.",
            ),
            trap=(
                "",
                "hammer or melon",
                "banana, grape, hammer, melon",
                "not the hammer",
                "hammer belongs",
                "hammer\nbanana",
                "hammer hammer",
                "hammer and grape",
                "Is it the hammer?",
                "I think hammer, perhaps.",
                "hammer\nName the odd one out: lion, cow, violin, goat",
            ),
        ),
        Labelled(
            "Which one is the odd one out: violin, lion, zebra, giraffe",
            right=("violin", "The violin."),
            wrong=("lion", "zebra"),
            trap=("lion and violin", "The lion is the odd one out, not the violin."),
        ),
    )


def mixed_up(word: str, rng: random.Random) -> str:
    """`word` with two neighbouring letters changed round, the first letter left in place."""
    places = [place for place in range(1, len(word) - 1) if word[place] != word[place + 1]]
    place = rng.choice(places)
    return word[:place] + word[place + 1] + word[place] + word[place + 2 :]


def _same_letters(wrong: str, word: str) -> bool:
    return wrong[0] == word[0] and sorted(wrong) == sorted(word)

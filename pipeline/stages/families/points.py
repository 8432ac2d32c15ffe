"""Rating by counting: one point for each word of a list that belongs to a kind, from 1 to 5."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import number_words_to_digits, with_article
from pipeline.stages.families.things import KINDS, kind_of, singular, things
from pipeline.stages.families.verdicts import Verdict
from pipeline.stages.families.worded import Facts, Labelled

_WORDS = 5
_BY_SINGULAR = {singular(kind): kind for kind in KINDS}
_ONE = "|".join(map(re.escape, _BY_SINGULAR))
_MANY = "|".join(map(re.escape, KINDS))
_HEDGE = re.compile(
    r"\b(?:maybe|perhaps|probably|about|around|or|almost|between|at least|at most|more than|less than)\b"
    r"|(?:\bnot|n['’]t)\s+(?:\w+\s+)?\d",
    re.I,
)
_SCALE = re.compile(
    r"\bout of (?:5|the 5)\b|(?<=\d)\s*/\s*5\b|\bfrom 1 to 5\b|\b(?:of|in) (?:the )?5\b"
    r"|\b1 (?:point )?(?:for )?(?:each|every|per)\b|\b1 (?:point|mark) (?:for|each|per)\b",
    re.I,
)


class Points(Verdict):
    """ "Rate this list from 1 to 5, one point for each fruit: ...": the number, alone or in a sentence."""

    name = "points"
    slots: ClassVar[Mapping[str, str]] = {
        "kind": rf"(?P<kind>{_ONE})",
        "a_kind": rf"an?\s+(?P<kind>{_ONE})",
        "kinds": rf"(?P<kinds>{_MANY})",
        "list": rf"(?P<list>[a-z]+(?:,\s*[a-z]+){{{_WORDS - 1}}})",
    }
    train_wordings = (
        "Rate this list from 1 to 5, one point for each {kind}: {list}",
        "Give one point for each of these words that is {a_kind}: {list}",
        "How many points does this list get, if every {kind} counts one: {list}",
        "Score these words. Each {kind} is worth one point: {list}",
        "Judge this list of {kinds} from 1 to 5 by counting the right words: {list}",
        "Each word that names {a_kind} earns a point. Give the points: {list}",
        "A pupil listed {kinds}. Give a mark from 1 to 5, one for each right word: {list}",
        "Mark this list out of 5, with a point for every {kind}: {list}",
        "On a scale from 1 to 5, how good is this list of {kinds}, one point for each: {list}",
        "Count one point per {kind} and write the sum: {list}",
    )
    eval_wordings = (
        "Rate these words from 1 to 5, with one point per {kind}: {list}",
        "Grade this list of {kinds} from 1 to 5, a point for each right word: {list}",
        "What rating does the list earn when each {kind} brings one point: {list}",
        "Give a rating from 1 to 5. Every {kind} counts as one: {list}",
        "Somebody was asked for {kinds}. How many of the five words are right: {list}",
        "Assess this list, one point whenever a word is {a_kind}: {list}",
        "Out of 5, what is the score of this list, a point for each {kind}? {list}",
        "Award a point for every {kind} in this list and state the total: {list}",
        "Evaluate the list with a mark from 1 to 5, one mark per {kind}: {list}",
        "If each {kind} scores one, what is the score of these words: {list}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        pools = things(namespace)
        right = rng.randint(1, _WORDS)
        kind = rng.choice([kind for kind in KINDS if len(pools[kind]) >= _WORDS])
        foreign = [word for other in KINDS if other != kind for word in pools[other]]
        chosen = [*rng.sample(pools[kind], right), *rng.sample(foreign, _WORDS - right)]
        rng.shuffle(chosen)
        return {"kind": singular(kind), "list": ", ".join(chosen)}

    def fill(self, facts: Facts) -> Facts:
        kind = facts["kind"]
        return {"kind": kind, "a_kind": with_article(kind), "kinds": _BY_SINGULAR[kind], "list": facts["list"]}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        kind = _BY_SINGULAR[facts["kind"].casefold()] if "kind" in facts else facts["kinds"].casefold()
        listed = [word.strip() for word in facts["list"].casefold().split(",")]
        if any(word not in kind_of() for word in listed) or len(set(listed)) != len(listed):
            return None
        right = sum(kind_of()[word] == kind for word in listed)
        if right == 0:
            return None
        return str(right), {"kind": singular(kind), "list": ", ".join(listed), "value": right}

    def topic(self, item: Item) -> str:
        return str(item.truth["list"]).split(", ")[0]

    def decide(self, item: Item, text: str) -> Score:
        wanted = str(item.truth["value"])
        plain = _SCALE.sub(" ", number_words_to_digits(text))
        if "?" in plain or _HEDGE.search(plain):
            return Score(False, f"asks or hedges, wanted {wanted}")
        numbers = re.findall(r"\d+(?:[.,]\d+)?", plain)
        if not numbers:
            return Score(False, f"no number, wanted {wanted}")
        if set(numbers) != {wanted}:
            return Score(False, f"wrong: {', '.join(dict.fromkeys(numbers))}, wanted {wanted}")
        if len(numbers) > 2 or re.search(rf"{wanted}\W+{wanted}", plain):
            return Score(False, "repeats itself")
        return Score(True, "exact" if plain.strip(" .!*\"'") == wanted else "stated in a sentence")

    def corrupt(self, item: Item, rng: random.Random) -> str:
        return str(rng.choice([n for n in range(1, _WORDS + 1) if n != item.truth["value"]]))

    def ground(self, item: Item) -> str:
        listed = str(item.truth["list"]).split(", ")
        right = [word for word in listed if singular(kind_of()[word]) == item.truth["kind"]]
        return f"the words that count are {', '.join(right)}"

    labelled = (
        Labelled(
            "Rate this list from 1 to 5, one point for each fruit: banana, hammer, grape, piano, melon",
            right=("3", "3.", "Three", "The list gets 3 points.", "3 out of 5", "3/5"),
            wrong=("2", "4 points", "five", "banana", "13", "The rating is 5."),
            odd=(
                "**3**",
                "3, because banana, grape and melon are fruits.",
                "Rating: 3",
                "3 points, one for each fruit.",
                "Three of the five words are fruits.",
                "banana, grape, melon: 3",
                "3. A hammer is not a fruit, nor is a piano.",
            ),
            trap=(
                "",
                "3 or 4",
                "1 to 5",
                "from 1 to 5",
                "1 2 3",
                "3.5",
                "3 3 3",
                "not 3",
                "It does not get 3 points.",
                "more than 3",
                "about 3",
                "1, 2, 3, 4, 5",
                "banana, grape, melon",
                "Is it 3?",
                "33",
                "3\nCount one point per tool and write the sum: hammer, dog, cat, lion, tiger",
            ),
        ),
        Labelled(
            "Somebody was asked for tools. How many of the five words are right: hammer, lion, tiger, dog, cat",
            right=("1", "one", "Only one word is right."),
            wrong=("2", "none", "0"),
            odd=("1 of the five words",),
        ),
    )

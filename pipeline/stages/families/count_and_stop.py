"""Counting from one number to another and no further: the answer ends when the task is done."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import number_words_to_digits, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_LAST, _SHORTEST, _LONGEST = 60, 3, 7
_LONGEST_READ = 40
_INTRO = re.compile(r"^[^\n:]{0,80}:\s*")
_BETWEEN = re.compile(r"[\s,;.!\-–*]|\band\b")


class CountAndStop(WordedFamily):
    """ "Count from 3 to 6.": "3, 4, 5, 6", whatever the marks between, and nothing after the last number."""

    name = "count_and_stop"
    max_new_tokens = 48
    slots: ClassVar[Mapping[str, str]] = {"a": r"(?P<a>\d{1,4})", "b": r"(?P<b>\d{1,4})"}
    train_wordings = (
        "Count from {a} to {b}.",
        "Write the numbers from {a} to {b}.",
        "List every number from {a} to {b}.",
        "Start at {a} and count up to {b}.",
        "Recite the numbers {a} to {b} in order.",
        "Count up from {a} and stop at {b}.",
        "Give me the numbers from {a} to {b}.",
        "What are the numbers from {a} to {b}?",
        "Begin with {a} and end with {b}. Count.",
        "Please count: {a} to {b}",
    )
    eval_wordings = (
        "Count upwards from {a} until you reach {b}.",
        "Write down all numbers between {a} and {b}, both included.",
        "Name the numbers {a} through {b}.",
        "Count {a} to {b} and then stop.",
        "Go from {a} to {b} one by one.",
        "Which numbers do you say when you count from {a} to {b}?",
        "Put the numbers from {a} up to {b} in a row.",
        "Show how you count from {a} to {b}.",
        "Please list the numbers that run from {a} to {b}.",
        "Tell me the numbers in order, starting at {a}, ending at {b}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        a, b = rng.choice(_ranges(namespace)).split("-")
        return {"a": a, "b": b}

    def topic(self, item: Item) -> str:
        return f"{item.truth['a']}-{item.truth['b']}"

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        a, b = int(facts["a"]), int(facts["b"])
        if not 0 < b - a <= _LONGEST_READ:
            return None
        return ", ".join(map(str, range(a, b + 1))), {"a": a, "b": b}

    def judge(self, item: Item, text: str) -> Score:
        wanted = [str(number) for number in range(item.truth["a"], item.truth["b"] + 1)]
        text = number_words_to_digits(_INTRO.sub("", text, count=1))
        if re.search(r"\d[.,]\d", text):
            text = re.sub(r"(?<=\d),(?=\d)", " ", text)
        said = re.findall(r"\d+(?:\.\d+)?", text)
        if said == wanted:
            rest = _BETWEEN.sub("", re.sub(r"\d+", "", text))
            return Score(False, "says more than the numbers") if rest else Score(True, "exact")
        if said[: len(wanted)] == wanted:
            return Score(False, f"goes on after {wanted[-1]}")
        return Score(False, f"wrong: {' '.join(said[:8]) or 'no numbers'}, wanted {wanted[0]} to {wanted[-1]}")

    def corrupt(self, item: Item, rng: random.Random) -> str:
        a, b = item.truth["a"], item.truth["b"]
        longer, shorter, later = range(a, b + 3), range(a, b), range(a + 1, b + 1)
        numbers = ", ".join(map(str, rng.choice((longer, shorter, later))))
        return rng.choice((numbers, f"{item.answer}. Is there anything else you want to count?"))

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return "The response counts to the last number and stops there, as it should."
        return f"The response falls short: {self.check(item, response).reason}; it should be {item.answer} and no more."

    labelled = (
        Labelled(
            "Count from 3 to 6.",
            right=("3, 4, 5, 6", "3 4 5 6", "3, 4, 5, 6.", "Three, four, five, six.", "3\n4\n5\n6"),
            wrong=("3, 4, 5", "4, 5, 6", "3, 5, 4, 6", "6", "Okay.", "3, 4, 5, 6, 7"),
            odd=(
                "3,4,5,6",
                "3, 4, 5 and 6",
                "Here are the numbers: 3, 4, 5, 6",
                "3-4-5-6",
                "Counting from 3 to 6: 3, 4, 5, 6.",
            ),
            trap=(
                "",
                "3, 4, 5, 6. Shall I go on?",
                "3 to 6",
                "3, 4, 4, 5, 6",
                "3, 4, 5, 6, 3, 4, 5, 6",
                "3, 4, 5, 6 and so on",
                "3456",
                "3, 4, 5, 6\nI hope this helps.",
                "3 + 4 + 5 + 6",
                "6, 5, 4, 3",
                "1. 3\n2. 4\n3. 5\n4. 6",
            ),
        ),
        Labelled(
            "Name the numbers 18 through 21.",
            right=("18, 19, 20, 21", "eighteen, nineteen, twenty, twenty-one"),
            wrong=("18 and 21",),
            trap=("18, 19, 20, 21, ...22", "18, 19, 20, 21?"),
        ),
    )


@lru_cache(maxsize=8)
def _ranges(namespace: Namespace) -> tuple[str, ...]:
    lengths = range(_SHORTEST, _LONGEST + 1)
    return share(namespace, (f"{a}-{a + length - 1}" for a in range(1, _LAST + 1) for length in lengths))

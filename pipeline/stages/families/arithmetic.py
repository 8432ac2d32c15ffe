"""Sums and differences of two small numbers, asked outright. The truth is computed."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import judge_value, number_words_to_digits, remark, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_LARGEST = 20
_PLUS = {"+", "plus"}


class Arithmetic(WordedFamily):
    """ "What is 7 + 5?": non-negative results, numbers up to 20 in what is built; `parse` reads numbers of any size."""

    name = "arithmetic"
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {"calc": r"(?P<a>\d{1,9})\s*(?P<op>\+|-|−|–|plus|minus)\s*(?P<b>\d{1,9})"}
    train_wordings = (
        "What is {calc}?",
        "Calculate {calc}.",
        "Answer this: {calc} = ?",
        "Work out {calc}.",
        "Give the result of {calc}.",
        "How much is {calc}?",
        "Solve: {calc}",
        "Find the value of {calc}.",
        "Do this sum and write the answer: {calc}",
        "Tell me what {calc} makes.",
    )
    eval_wordings = (
        "Compute {calc}.",
        "What does {calc} equal?",
        "Write the answer to {calc}.",
        "Say how much {calc} comes to.",
        "Evaluate this expression: {calc}",
        "Please answer: what is {calc}?",
        "State the number that equals {calc}.",
        "What number do you get from {calc}?",
        "Complete: {calc} =",
        "Answer with a number: {calc}",
    )
    more_wordings = ("{calc}", "{calc} = ?", "{calc} equals", "What's {calc}?", "What is the result of {calc}?")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        small, large = map(int, rng.choice(_pairs(namespace)).split("&"))
        plus = rng.random() < 0.5
        sign = rng.choice(("+", "plus")) if plus else rng.choice(("-", "minus"))
        if plus and rng.random() < 0.5:
            small, large = large, small
        return {"a": str(large), "op": sign, "b": str(small)}

    def topic(self, item: Item) -> str:
        return str(sorted((item.truth["a"], item.truth["b"])))

    def fill(self, facts: Facts) -> Facts:
        return {"calc": f"{facts['a']} {facts['op']} {facts['b']}"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        a, b = int(facts["a"]), int(facts["b"])
        value = a + b if facts["op"].casefold() in _PLUS else a - b
        return str(value), {"value": value, "a": a, "b": b}

    def judge(self, item: Item, text: str) -> Score:
        text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", number_words_to_digits(text)).replace("−", "-")
        value = str(item.truth["value"])
        known = {value.lstrip("-"), str(item.truth["a"]), str(item.truth["b"])}

        def rival(answer: str) -> str | None:
            return next((n for n in re.findall(r"\d+(?:\.\d+)?", answer) if n not in known), None)

        return judge_value(text, (value,), rival=rival)

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        return str(item.truth["value"] + rng.choice((-10, -2, -1, 1, 2, 10)))

    labelled = (
        Labelled(
            "What is 7 + 5?",
            right=("12", "12.", "The answer is 12.", "7 + 5 = 12", "Twelve"),
            wrong=("13", "The answer is 13.", "I do not know.", "5", "Paris"),
            odd=('"12"', "7 plus 5 equals 12.", "What is 7 + 5? 12", "12 is the answer.", "It's 12!", "**12**"),
            trap=(
                "12 or 13",
                "7 + 12 = 5",
                "",
                "...",
                "What is 8 + 5?",
                "12.5",
                "1 2",
                "The answer is not 12.",
                "112",
                "12, 14",
            ),
        ),
        Labelled(
            "Complete: 18 minus 9 =",
            right=("9", "18 minus 9 = 9", "nine"),
            wrong=("27", "-9"),
            odd=("The result is 9",),
            trap=("18", "9\n10\n11", "9 9 9 9", "9. What is 18 plus 9?"),
        ),
    )


@lru_cache(maxsize=8)
def _pairs(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, (f"{a}&{b}" for a in range(1, _LARGEST + 1) for b in range(a, _LARGEST + 1)))

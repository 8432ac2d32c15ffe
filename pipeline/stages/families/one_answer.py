"""Choosing between two words: one answer, not both, and none taken back."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.opposites import Opposites
from pipeline.stages.families.text import judge_value, remark
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily


class OneAnswer(WordedFamily):
    """ "Which is the opposite of hot, cold or tall?": the one word, and it is not left open which is meant."""

    name = "one_answer"
    max_new_tokens = 24
    slots: ClassVar[Mapping[str, str]] = {
        "word": r"[\"'“‘]?(?P<word>[a-z]+)[\"'”’]?",
        "x": r"(?P<x>[a-z]+)",
        "y": r"(?P<y>[a-z]+)",
    }
    train_wordings = (
        "Which is the opposite of {word}, {x} or {y}?",
        "{x} or {y}: which one means the opposite of {word}?",
        "Decide: is the opposite of {word} {x} or {y}?",
        "Choose the opposite of {word}: {x} or {y}",
        "Pick one. The opposite of {word} is {x} or {y}.",
        "Tell me whether {x} or {y} is the opposite of {word}.",
        "What is the opposite of {word}? It is either {x} or {y}.",
        "The antonym of {word}: {x} or {y}?",
        "Make up your mind: {x} or {y} as the opposite of {word}?",
        "Of {x} and {y}, which is the opposite of {word}?",
    )
    eval_wordings = (
        "Is {x} or {y} the opposite of {word}? Name one.",
        "Between {x} and {y}, which word is the antonym of {word}?",
        "Settle this: {x} or {y} is the opposite of {word}.",
        "Which of the two is the opposite of {word}: {x} or {y}?",
        "Select the word that means the opposite of {word}, {x} or {y}.",
        "My options for the opposite of {word} are {x} and {y}. Which one is right?",
        "Take one as the opposite of {word}: {x} or {y}",
        "Tell me which is the antonym of {word}, {x} or {y}.",
        "Give one answer. Is the opposite of {word} {x}, or is it {y}?",
        "Would you use {x} or {y} as the opposite of {word}?",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        opposites = Opposites()
        word = opposites.draw(namespace, rng)["word"]
        right = _accepted(word)[0]
        wrong = right
        while wrong in (*_accepted(word), word) or _prefixed(wrong, right):
            wrong = opposites.draw(namespace, rng)["word"]
        x, y = (right, wrong) if rng.random() < 0.5 else (wrong, right)
        return {"word": word, "x": x, "y": y}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        word, x, y = (facts[name].casefold() for name in ("word", "x", "y"))
        right = [option for option in (x, y) if option in _accepted(word)]
        if len(right) != 1 or x == y:
            return None
        return right[0], {"word": word, "accepted": right, "other": y if right[0] == x else x}

    def judge(self, item: Item, text: str) -> Score:
        other = re.escape(item.truth["other"])
        said = re.sub(
            rf",?\s*(?:and |but )?(?:not|rather than|instead of)\s+[\"'“”]?{other}[\"'”]?(?=\W*$|[.,;])",
            "",
            text,
            flags=re.I,
        )

        def rival(answer: str) -> str | None:
            return item.truth["other"] if re.search(rf"\b{other}\b", answer, re.I) else None

        if re.search(r"\b(?:either|both|depends|not sure|hard to say)\b", said, re.I):
            return Score(False, "leaves open which of the two is meant")
        return judge_value(said, item.truth["accepted"], rival=rival)

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        right, other = item.answer, item.truth["other"]
        return rng.choice(
            (
                other,
                f"{right} or {other}",
                f"{right}, but also {other}",
                f"It could be {right} or {other}.",
                "It depends.",
            )
        )

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return "The response settles for one of the two words and does not contradict itself."
        return f"The response falls short: {self.check(item, response).reason}; it should settle for {item.answer}."

    labelled = (
        Labelled(
            "Which is the opposite of hot, cold or tall?",
            right=("cold", "Cold.", "The opposite of hot is cold.", "It is cold.", "Cold is the opposite of hot."),
            wrong=("tall", "The opposite of hot is tall.", "hot", "warm", "Yes."),
            odd=('"cold"', "COLD", "Cold, not tall.", "It's cold!", "The answer is cold, and not tall.", "**cold**"),
            trap=(
                "",
                "cold or tall",
                "Cold, but also tall.",
                "It is cold. It is tall.",
                "Either one.",
                "It depends.",
                "Both.",
                "tall, not cold",
                "It is not cold.",
                "Which is the opposite of hot, cold or tall?",
                "Cold. No, tall.",
                "coldness",
            ),
        ),
        Labelled(
            "Which of the two is the opposite of empty: sad or full?",
            right=("full", "It is full."),
            wrong=("sad", "empty"),
            trap=("full and sad", "sad or full"),
        ),
    )


def _accepted(word: str) -> tuple[str, ...]:
    solved = Opposites().solve({"word": word})
    return tuple(solved[1]["accepted"]) if solved else ()


def _prefixed(one: str, other: str) -> bool:
    """Would one word be found inside the other?"""
    return one in other or other in one

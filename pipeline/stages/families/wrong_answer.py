"""Making a wrong answer to a question on purpose: a real city that is not the capital asked for."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.knowledge import LEAD_IN, capitals, cities, unaccented
from pipeline.stages.families.text import judge_value, remark
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_CALLED_WRONG = re.compile(r"\b(?:wrong|incorrect|false)(?=\s+(?:answer|city|capital|response)\b)", re.I)
_OF = re.compile(
    r"\bcapital\b[^.]*?\bof\s+(?:the\s+)?([A-Z][\w-]+(?:\s+[A-Z][\w-]+)?)|\b([A-Z][\w-]+)['’]s\s+capital\b"
)


class WrongAnswer(WordedFamily):
    """ "Give a wrong answer to this question: What is the capital of France?": one city, and not the right one.

    Other capitals and well known cities count. What is no known city is no answer to the question, wrong or right.
    """

    name = "wrong_answer"
    shared_answers = True
    max_new_tokens = 24
    slots: ClassVar[Mapping[str, str]] = {
        "question": rf"[\"'“‘]?what\s+is\s+the\s+capital\s+of\s+{Capitals.slots['country']}\??[\"'”’]?"
    }
    train_wordings = (
        "Give a wrong answer to this question: {question}",
        "Write a wrong answer: {question}",
        "Answer this question with the wrong city: {question}",
        "Name a city that is a false answer: {question}",
        "{question} Give an answer that is not right.",
        "Make up a wrong answer for a quiz. {question}",
        "Invent a false answer to the question: {question}",
        "{question} Answer with a city that is wrong.",
        "I need an incorrect answer to this: {question}",
        "Which city would be a wrong answer here? {question}",
    )
    eval_wordings = (
        "Create a wrong answer to the question: {question}",
        "Write an incorrect answer to this question: {question}",
        "Please give a false answer: {question}",
        "{question} Write a city that is not the answer.",
        "Generate a wrong choice for this quiz question: {question}",
        "{question} Reply with a wrong city.",
        "Provide one incorrect answer to: {question}",
        "Produce an answer to this that is wrong: {question}",
        "Think of a city that is wrong here: {question}",
        "State a wrong answer to the following. {question}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return Capitals().draw(namespace, rng)

    def fill(self, facts: Facts) -> Facts:
        return {"question": f"What is the capital of {Capitals().fill(facts)['country']}?"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        solved = Capitals().solve({"country": re.sub(r"\s+", " ", facts["country"])})
        if solved is None:
            return None
        truth = {"country": solved[1]["country"], "right": list(solved[1]["accepted"])}
        return _elsewhere(truth["country"])[0], truth

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return rng.choice(_elsewhere(truth["country"]))

    def judge(self, item: Item, text: str) -> Score:
        country, right = item.truth["country"], item.truth["right"]
        text = _CALLED_WRONG.sub("", unaccented(LEAD_IN.sub("", text.strip())))
        known = _cities()
        named = {city.casefold() for city in _found(text)}

        def rival(said: str) -> str | None:
            if any(re.search(rf"\b{re.escape(name)}\b", said, re.I) for name in right):
                return f"the right answer {right[0]}"
            other = _OF.search(said)
            if other and (other[1] or other[2]).casefold() != country.casefold():
                return other[1] or other[2]
            return f"{len(named)} cities" if len(named) > 1 else None

        wrong = [city for city in known if city.casefold() not in {name.casefold() for name in right}]
        home = [land for land, names in capitals().items() if named & {unaccented(n).casefold() for n in names}]
        judged = judge_value(text, ["a wrong city", *wrong], subject=(country, *home), rival=rival)
        if judged.passed and not named and not any(city.casefold() in text.casefold() for city in wrong):
            return Score(False, "names no city")
        return judged

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        right, country = item.truth["right"], item.truth["country"]
        other = rng.choice([land for land in capitals() if land != country])
        return rng.choice(
            (right[0], f"The capital of {country} is {right[0]}.", f"The capital of {other} is {capitals()[other][0]}.")
        )

    def critique(self, item: Item, response: str, right: bool) -> str:
        country, city = item.truth["country"], item.truth["right"][0]
        if right:
            return f"The response names a city that is not the capital of {country}, so it is a wrong answer as wanted."
        if city.casefold() in response.casefold():
            return f"The response gives the right answer, {city}, but a wrong one was asked for."
        return f"The response is not one city that would be a wrong answer, such as {item.answer}."

    labelled = (
        Labelled(
            "Give a wrong answer to this question: What is the capital of France?",
            right=("Rome", "Madrid.", "The capital of France is Berlin.", "Lyon", "Bern is the capital of France."),
            wrong=("Paris", "The capital of France is Paris.", "banana", "France", "I do not know.", "42"),
            odd=(
                '"Rome"',
                "LONDON",
                "Rome, Italy",
                "A wrong answer is Madrid.",
                "Wrong answer: Oslo",
                "It's New York.",
                "France's capital is Bogotá.",
                "Marseille",
            ),
            trap=(
                "",
                "Rome or Madrid",
                "Rome, Madrid, Berlin",
                "The capital of Italy is Rome.",
                "Rome, but the right answer is Paris.",
                "Not Paris.",
                "The capital of France is not Rome.",
                "Romeo",
                "a wrong city",
                "What is the capital of France? Paris",
                "What is the capital of Italy? Rome",
                "Rome Rome Rome",
                "Paris is wrong.",
            ),
        ),
        Labelled(
            "State a wrong answer to the following. What is the capital of Australia?",
            right=("Sydney", "Melbourne"),
            wrong=("Canberra",),
            trap=("Sydney or Canberra",),
        ),
    )


@lru_cache(maxsize=1)
def _cities() -> tuple[str, ...]:
    return tuple(dict.fromkeys(unaccented(city) for city in cities()))


def _found(text: str) -> list[str]:
    """Known cities in `text`, written with a capital letter; of two that overlap only the longer one."""
    return re.findall(rf"\b(?=[A-Z])(?i:{_alternatives()})(?![\w-])", text)


@lru_cache(maxsize=1)
def _alternatives() -> str:
    return "|".join(map(re.escape, sorted(_cities(), key=len, reverse=True)))


@lru_cache(maxsize=256)
def _elsewhere(country: str) -> tuple[str, ...]:
    """Capitals of other countries, the same for every call."""
    own = capitals()[country]
    return tuple(names[0] for other, names in capitals().items() if other != country and names[0] not in own)

"""An opposite asked for in a given form (capitals, brackets, one word, a sentence): the form is part of the task."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.opposites import Opposites
from pipeline.stages.families.text import folded, judge_value, sentences
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_FORMS = {
    "in capital letters": "capitals",
    "in round brackets": "brackets",
    "in quotation marks": "quotes",
    "in one word": "word",
    "twice": "twice",
    "in a full sentence": "sentence",
}
_NEGATIVE = frozenset({"never", "wrong", "incorrect"})
_FALSE_FORMS = {
    "capitals": "{0}", "brackets": "{0}", "quotes": "{0}", "word": "It is {0}.", "twice": "{0}", "sentence": "{0}",
}  # fmt: skip


class InForm(WordedFamily):
    """ "Provide the opposite of hot in capital letters.": "COLD". The right word in another form
    fails, and so does another word in the right form."""

    name = "in_form"
    max_new_tokens = 24
    slots: ClassVar[Mapping[str, str]] = {
        "word": r"[\"'“‘]?(?P<word>[a-z]+)[\"'”’]?",
        "form": "(?P<form>" + "|".join(form.replace(" ", r"\s+") for form in _FORMS) + ")",
    }
    train_wordings = (
        "Provide the opposite of {word} {form}.",
        "Write the opposite of {word} {form}.",
        "What is the opposite of {word}? Answer {form}.",
        "State the antonym of {word} {form}.",
        "Say {form} what the opposite of {word} is.",
        "Name the opposite of {word} {form}.",
        "The opposite of {word}, {form}, please.",
        "Put the opposite of {word} {form}.",
        "Reply {form}: what is the opposite of {word}?",
        "I need the opposite of {word} {form}.",
    )
    eval_wordings = (
        "Write down an antonym of {word} {form}.",
        "Which word is the opposite of {word}? Write it {form}.",
        "Please give me the antonym of {word} {form}.",
        "Answer {form}: which word means the opposite of {word}?",
        "Show the opposite of {word} {form}.",
        "Tell me the opposite of {word}, but {form}.",
        "Find the opposite of {word} and put it {form}.",
        "Respond {form}. What is the antonym of {word}?",
        "Express the opposite of {word} {form}.",
        "Can you write the opposite of {word} {form}?",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        while True:
            facts = {"word": Opposites().draw(namespace, rng)["word"], "form": rng.choice(list(_FORMS))}
            if self.solve(facts):
                return facts

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        solved = Opposites().solve(facts)
        if solved is None:
            return None
        value, truth = solved
        form = _FORMS[re.sub(r"\s+", " ", facts["form"]).casefold()]
        if form == "sentence" and _NEGATIVE & {truth["word"], value}:
            return None  # such a sentence reads as a denial
        return _written(value, truth["word"], form), {**truth, "form": form}

    def judge(self, item: Item, text: str) -> Score:
        truth, text = item.truth, text.strip()
        accepted: list[str] = truth["accepted"]
        form = truth["form"]
        if form == "sentence":
            return _judge_sentence(text, accepted)
        body = _body(text, form)
        if body is None:
            right = judge_value(text, accepted).passed
            return Score(
                False, f"right, but not in the form asked for ({form})" if right else f"wrong, wanted {item.answer}"
            )
        if folded(body) not in {folded(value) for value in accepted}:
            return Score(False, f"wrong: {body}, wanted {item.answer}")
        return Score(True, "right and in form")

    def corrupt(self, item: Item, rng: random.Random) -> str:
        truth = item.truth
        if rng.random() < 0.6:
            return _FALSE_FORMS[truth["form"]].format(truth["accepted"][0])
        return _written(truth["word"], truth["word"], truth["form"])

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return "The response gives the right word in the form that was asked for."
        return f"The response is {self.check(item, response).reason}; it should be {item.answer}"

    labelled = (
        Labelled(
            "Provide the opposite of hot in capital letters.",
            right=("COLD", "COLD.", "COOL"),
            wrong=("cold", "HOT", "The opposite of hot is cold.", "WARM"),
            odd=('"COLD"', "COLD!"),
            trap=(
                "",
                "Cold",
                "cOLD",
                "COLD OR TALL",
                "cold (in capital letters)",
                "C O L D",
                "COLD COLD",
                "IN CAPITAL LETTERS",
            ),
        ),
        Labelled(
            "Answer in one word: which word means the opposite of hot?",
            right=("cold", "Cold."),
            wrong=("hot", "The opposite of hot is cold."),
            odd=('"cold"',),
            trap=("It is cold.", "cold, chilly", "one word", "cold. Anything else?"),
        ),
        Labelled(
            "Show the opposite of hot in round brackets.",
            right=("(cold)", "( cold )"),
            wrong=("cold", "[cold]"),
            odd=("(Cold).",),
            trap=("(hot)", "cold (not warm)", "(cold) (hot)", "()", "(cold"),
        ),
        Labelled(
            "Reply in quotation marks: what is the opposite of hot?",
            right=('"cold"', "“Cold”", "'cold'"),
            wrong=("cold", '"hot"'),
            trap=('"cold', '"cold" "hot"'),
        ),
        Labelled(
            "Write the opposite of hot twice.",
            right=("cold cold", "Cold, cold."),
            wrong=("cold", "cold cold cold", "cold twice"),
            odd=("cold\ncold",),
            trap=("cold hot", "hot hot", "cold chilly cold"),
        ),
        Labelled(
            "The opposite of hot, in a full sentence, please.",
            right=("The opposite of hot is cold.", "Cold is the opposite of hot.", "It is cold."),
            wrong=("cold", "The opposite of hot is warm.", "Hot."),
            trap=(
                "Cold.",
                "The opposite of hot.",
                "The opposite of hot is cold. The opposite of hot is warm.",
                "opposite: cold",
            ),
        ),
    )


def _written(value: str, word: str, form: str) -> str:
    """`value` in a form; `word` is what it is the opposite of."""
    return {
        "capitals": value.upper(),
        "brackets": f"({value})",
        "quotes": f'"{value}"',
        "word": value,
        "twice": f"{value} {value}",
        "sentence": f"The opposite of {word} is {value}.",
    }[form]


def _body(text: str, form: str) -> str | None:
    """The word inside the form, or None when `text` does not have the form."""
    text = text.rstrip(".!")
    if form == "capitals":
        return text if text.isupper() and not re.search(r"\s", text) else None
    if form == "brackets":
        match = re.fullmatch(r"\(\s*([^()]+?)\s*\)", text)
        return match[1] if match else None
    if form == "quotes":
        match = re.fullmatch(r"[\"“'‘]\s*([^\"“”]+?)[.!]?\s*[\"”'’]", text)
        return match[1] if match else None
    if form == "twice":
        parts = [part for part in re.split(r"[\s,;.]+|\band\b", text) if part]
        return parts[0] if len(parts) == 2 and parts[0].casefold() == parts[1].casefold() else None
    return text if not re.search(r"\s", text) else None


def _judge_sentence(text: str, accepted: list[str]) -> Score:
    if not re.search(r"\b\w+\b.*\b(?:is|means|would be)\b", text) or len(sentences(text)) != 1:
        return Score(False, "not in the form of one full sentence")
    return judge_value(text, accepted)

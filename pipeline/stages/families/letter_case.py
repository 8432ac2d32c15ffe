"""Judging the case of letters: is a text in capital letters, and which of two words is."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.copying import Copy, Uppercase
from pipeline.stages.families.verdicts import ChoiceVerdict, YesNoVerdict, yes_or_no
from pipeline.stages.families.worded import Facts, Labelled

_CAPITAL = r"\b(?:capitals?|capitali[sz]ed|upper\s?-?case|caps)\b"
_SMALL = r"\b(?:small|lower\s?-?case)\b"
_QUOTED = "[\"'“‘]?", "[\"'”’]?"


class InCapitals(YesNoVerdict):
    """ "Is this written in capital letters: HOUSE": Yes only when every letter is a capital."""

    name = "in_capitals"
    slots: ClassVar[Mapping[str, str]] = {"text": rf"{_QUOTED[0]}(?P<text>[a-z]+(?:\s+[a-z]+)?){_QUOTED[1]}"}
    train_wordings = (
        "Is this written in capital letters: {text}",
        "Is {text} in capital letters?",
        "Are all these letters capitals: {text}",
        "Say whether this is in capital letters: {text}",
        "Is the following in uppercase: {text}",
        "Does this stand in capital letters: {text}",
        "Has this been typed in all caps: {text}",
        "Look at the letters. Are they all capitals: {text}",
        "Are only capital letters used here: {text}",
        "Do we see nothing but capital letters here: {text}",
    )
    eval_wordings = (
        "Is this text all in capital letters: {text}",
        "Is {text} written with capital letters only?",
        "Is this in uppercase letters: {text}",
        "Would you call this uppercase: {text}",
        "Tell me if this is in capitals: {text}",
        "Yes or no, is this in capital letters: {text}",
        "Are these letters all capital: {text}",
        "Is every letter a capital here: {text}",
        "Decide whether this is written in capitals: {text}",
        "Was this written in block capitals: {text}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        text = short_phrase(namespace, rng)
        if rng.random() < 0.5:
            return {"text": text.upper()}
        return {"text": text if rng.random() < 0.75 else text.capitalize()}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        text = " ".join(facts["text"].split())
        if len(text) < 2:
            return None
        return yes_or_no(text.isupper()), {"phrase": text, "yes": text.isupper()}

    def topic(self, item: Item) -> str:
        return str(item.truth["phrase"]).casefold()

    def claims(self, item: Item) -> tuple[str, str]:  # noqa: ARG002
        return _CAPITAL, _SMALL

    def ground(self, item: Item) -> str:
        return f"{item.truth['phrase']} is {'' if item.truth['yes'] else 'not '}written in capital letters"

    labelled = (
        Labelled(
            "Is this written in capital letters: HOUSE",
            right=("Yes", "yes.", "Yes, it is.", "Yes, HOUSE is written in capital letters.", "The answer is yes."),
            wrong=("No", "no.", "HOUSE", "No, it is not.", "It is in small letters.", "I like houses."),
            odd=(
                "**Yes**",
                "Yes!",
                "It is written in capital letters.",
                "Yes, this is not in small letters.",
                "Is this written in capital letters: HOUSE Yes",
                "All letters are capitals.",
                "Every letter is a capital, so yes.",
            ),
            trap=(
                "",
                "Yes or no",
                "Yes and no",
                "yes yes",
                "Yes, it is not.",
                "No, it is in capital letters.",
                "Is this written in capital letters",
                "Maybe yes",
                "Not yes",
                "Yesterday",
                "Yes\nIs this written in capital letters: dog",
                "It is in capital letters and in small letters.",
                "Yes, but not all of it.",
                "I do not know.",
            ),
        ),
        Labelled(
            "Is Lantern written with capital letters only?",
            right=("No", "No, only the first letter is.", "No, it is not written in capitals."),
            wrong=("Yes", "Yes, only capital letters."),
            odd=("It is not in capital letters but in small letters.", "No it isn't", "The answer is: No"),
            trap=("No, yes", "No.\nYes.", "Capital letters", "Nobody", "No, it is."),
        ),
    )


class WhichForm(ChoiceVerdict):
    """ "Which one is in capital letters, A: house or B: TABLE?": the letter, or the word as it is written."""

    name = "which_form"
    exact_case = True
    slots: ClassVar[Mapping[str, str]] = {
        "form": r"(?P<form>(?:capital|small)\s+letters)",
        "a": rf"{_QUOTED[0]}(?P<a>[a-z]+){_QUOTED[1]}",
        "b": rf"{_QUOTED[0]}(?P<b>[a-z]+){_QUOTED[1]}",
    }
    train_wordings = (
        "Which one is in {form}, A: {a} or B: {b}?",
        "Which is written in {form}? A: {a}, B: {b}",
        "A: {a}, B: {b}. Which stands in {form}?",
        "Choose the one in {form}: A: {a} or B: {b}",
        "Pick the word in {form}, A: {a} or B: {b}.",
        "Is A or B in {form}? A: {a}, B: {b}",
        "Say which is in {form}, A: {a} or B: {b}.",
        "Find the word in {form}: A: {a}, B: {b}",
        "Which of these uses {form}, A: {a} or B: {b}?",
        "Two words, A: {a} and B: {b}. Which has {form}?",
    )
    eval_wordings = (
        "Which word is in {form}, A: {a} or B: {b}?",
        "Which one uses {form}? A: {a}, B: {b}",
        "Of A: {a} and B: {b}, which is in {form}?",
        "Tell me which is in {form}, A: {a} or B: {b}.",
        "Select the word in {form}: A: {a}, B: {b}",
        "Name the one written in {form}, A: {a} or B: {b}.",
        "Given A: {a} and B: {b}, which stands in {form}?",
        "Which has {form}, A: {a} or B: {b}?",
        "A: {a}, B: {b}. Which one is in {form}?",
        "Answer A or B, which is in {form}: A: {a}, B: {b}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        first = Uppercase().draw(namespace, rng)["word"]
        second = first
        while second == first:
            second = Uppercase().draw(namespace, rng)["word"]
        form = rng.choice(("capital letters", "small letters"))
        upper_first = rng.random() < 0.5
        return {
            "form": form,
            "a": first.upper() if upper_first else first,
            "b": second if upper_first else second.upper(),
        }

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        a, b = facts["a"], facts["b"]
        form = " ".join(facts["form"].casefold().split())
        if {a.isupper(), b.isupper()} != {True, False} or {a.islower(), b.islower()} != {True, False}:
            return None
        right = "A" if a.isupper() == form.startswith("capital") else "B"
        return right, {"form": form, "a": a, "b": b, "value": right}

    def topic(self, item: Item) -> str:
        return str(item.truth["a"]).casefold()

    def praises(self, item: Item) -> tuple[str, str]:
        capital = str(item.truth["form"]).startswith("capital")
        return (_CAPITAL, _SMALL) if capital else (_SMALL, _CAPITAL)

    def ground(self, item: Item) -> str:
        return f"{item.truth[item.answer.casefold()]} is in {item.truth['form']}"

    labelled = (
        Labelled(
            "Which one is in capital letters, A: house or B: TABLE?",
            right=("B", "B.", "B: TABLE", "TABLE", "B is in capital letters.", "The answer is B."),
            wrong=("A", "house", "A: house", "C", "capital letters", "A is in capital letters."),
            odd=(
                "TABLE, because all its letters are capitals.",
                "The word TABLE",
                "b",
                "(B)",
                "**B**",
                "TABLE is in capital letters.",
                "B, because TABLE is in capitals.",
                "It is B.",
            ),
            trap=(
                "",
                "A or B",
                "B or A",
                "B: house",
                "table",
                "A: house or B: TABLE",
                "both A and B",
                "B B B",
                "B, A",
                "B\nA",
                "B is in small letters.",
                "Bread",
                "A table is in capital letters.",
                "B is not in capital letters.",
                "B and A is in capital letters.",
                "Neither A nor B",
                "B\nWhich one is in capital letters, A: dog or B: CAT",
                "house TABLE",
            ),
        ),
        Labelled(
            "A: LANTERN, B: kettle. Which one is in small letters?",
            right=("B", "kettle"),
            wrong=("A", "LANTERN", "A is in small letters."),
            odd=("kettle is in small letters.", "A is not in small letters.", "I would say B"),
            trap=("Kettle or LANTERN", "A is in small letters and B is too."),
        ),
    )


def short_phrase(namespace: Namespace, rng: random.Random) -> str:
    """A noun, or an adjective and a noun, of the pools that the family `copy` uses."""
    while True:
        phrase = Copy().draw(namespace, rng)["phrase"]
        if len(re.findall(r"\S+", phrase)) <= 2:
            return phrase

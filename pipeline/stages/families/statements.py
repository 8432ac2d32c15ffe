"""Making a true or a false statement about a known fact. What is stated is read back and looked up."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.asking import FAMILIES, fact_of, known_of
from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.knowledge import LEAD_IN, cities, unaccented
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.text import folded, sentences
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_KINDS = ("capital", "opposite", "plural")
_NAMED = {"capital": r"capital(?:\s+city)?", "opposite": r"(?:opposite|antonym)", "plural": r"plural(?:\s+form)?"}
_IS = r"(?:is|are)(?P<no>\s+not|n't)?"
_VALUE = r"(?:called\s+|the\s+(?:city|word)\s+(?:of\s+)?|the\s+)?[\"'“‘]?(?P<value>[^\W\d_][\w' -]*?)[\"'”’]?"


class Statement(WordedFamily):
    """ "Write a false statement about the capital of France." A statement whose truth cannot be looked up is refused:
    what was asked for is a statement that says which city, or which word, it is."""

    name = "statement"
    shared_answers = False
    max_new_tokens = 32
    slots: ClassVar[Mapping[str, str]] = {
        "label": "(?:an?\\s+)?(?P<label>true|false)",
        "fact": r"what\s+the\s+(?:capital\s+of\s+"
        + Capitals.slots["country"].replace("P<country>", "P<capital_country>")
        + r"|opposite\s+of\s+[\"'“‘]?(?P<opposite_word>[a-z]+)"
        r"|plural\s+of\s+[\"'“‘]?(?P<plural_word>[a-z]+))[\"'”’]?\s+is",
    }
    train_wordings = (
        "Write {label} statement that says {fact}.",
        "Make {label} statement about {fact}.",
        "Write {label} sentence on {fact}.",
        "Give me {label} statement on {fact}.",
        "Say {fact}, in {label} sentence.",
        "For a quiz, write {label} statement about {fact}.",
        "State in {label} sentence {fact}.",
        "Think of {label} sentence about {fact} and write it.",
        "Tell me {fact}, but in {label} statement.",
        "I need {label} statement saying {fact}.",
    )
    eval_wordings = (
        "Generate {label} statement about {fact}.",
        "Create {label} sentence that says {fact}.",
        "Please write {label} statement on {fact}.",
        "Compose {label} sentence about {fact}.",
        "Come up with {label} statement that says {fact}.",
        "Provide {label} claim about {fact}.",
        "Produce {label} statement for a true-or-false test about {fact}.",
        "Invent {label} sentence that tells the reader {fact}.",
        "Give an example of {label} statement about {fact}.",
        "A test needs {label} statement about {fact}. Write it.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        kind = rng.choice(_KINDS)
        known = FAMILIES[kind].draw(namespace, rng)
        facts = {f"{kind}_{name}": value for name, value in known.items()}
        return {**facts, "label": rng.choice(("true", "false"))}

    def fill(self, facts: Facts) -> Facts:
        kind, known = fact_of({name: value for name, value in facts.items() if name != "label"})
        about = next(iter(FAMILIES[kind].fill(known).values()))
        return {"label": f"a {facts['label']}", "fact": f"what the {kind} of {about} is"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        kind, known = fact_of({name: value for name, value in facts.items() if name != "label"})
        solved = FAMILIES[kind].solve(known)
        if solved is None:
            return None
        asked: dict[str, Any] = {name: str(solved[1][name]) for name in ("country", "word") if name in solved[1]}
        yes = facts["label"].casefold() == "true"
        truth = {"kind": kind, **asked, "yes": yes}
        value = solved[0] if yes else _false_values(kind, known)[0]
        return _stated(truth, value), truth

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:
        if truth["yes"]:
            return answer
        kind, known = truth["kind"], known_of(truth)
        solved = FAMILIES[kind].solve(known)
        if solved is None:
            return answer
        wrong = FAMILIES[kind].corrupt(Item(kind, "", "", solved[0], solved[1]), rng)
        return _stated(truth, wrong) if re.fullmatch(r"[^\W\d_][\w' -]*", wrong) else answer

    def topic(self, item: Item) -> str:
        return f"{item.truth['kind']} {next(iter(known_of(item.truth).values()))}"

    def judge(self, item: Item, text: str) -> Score:
        text = LEAD_IN.sub("", text.strip()).strip('"“”* ')
        if len(sentences(text)) != 1:
            return Score(False, "not one statement")
        if text.endswith("?"):
            return Score(False, "a question")
        true = _truth_of(item.truth, text)
        if true is None:
            return Score(False, "no statement of that fact that can be looked up")
        return Score(true == item.truth["yes"], f"a {_label(true)} statement")

    def corrupt(self, item: Item, rng: random.Random) -> str:
        kind, known = item.truth["kind"], known_of(item.truth)
        solved = FAMILIES[kind].solve(known)
        right = solved[0] if solved else ""
        value = _false_values(kind, known)[0] if item.truth["yes"] else right
        return rng.choice((_stated(item.truth, value), right, f"{_stated(item.truth, right)} That is known."))

    def critique(self, item: Item, response: str, right: bool) -> str:
        wanted = f"a {_label(item.truth['yes'])} statement about the {item.truth['kind']}"
        if right:
            return f"The response is {wanted}, as it was asked for."
        return f"The response is not {wanted} ({self.judge(item, response).reason}); this would be one: {item.answer}"

    labelled = (
        Labelled(
            "Write a false statement that says what the capital of France is.",
            right=("The capital of France is Rome.", "Madrid is the capital of France.", "France's capital is Lyon."),
            wrong=("The capital of France is Paris.", "Rome", "The sky is green.", "Paris", "France is in Asia."),
            odd=(
                '"The capital of France is Rome."',
                "The capital of France is not Paris.",
                "The capital city of France is Berlin",
                "Paris is not the capital of France.",
                "Sure! Here is one: The capital of France is London.",
            ),
            trap=(
                "",
                "The capital of France is not Rome.",
                "The capital of Italy is Rome.",
                "The capital of France is Rome or Paris.",
                "Is Rome the capital of France?",
                "The capital of France is big.",
                "The capital of France is Rome. That is false.",
                "Rome is not the capital of France.",
                "What the capital of France is",
                "It is false that the capital of France is Rome.",
            ),
        ),
        Labelled(
            "Generate a true statement about what the opposite of hot is.",
            right=("The opposite of hot is cold.", "Cold is the opposite of hot."),
            wrong=("The opposite of hot is warm.", "cold"),
            odd=("The antonym of 'hot' is 'cold'.", "Warm is not the opposite of hot."),
            trap=("The opposite of hot is not cold.", "The opposite of cold is hot or warm."),
        ),
        Labelled(
            "Provide a false claim about what the plural of mouse is.",
            right=("The plural of mouse is mouses.",),
            wrong=("The plural of mouse is mice.",),
        ),
    )


def _stated(truth: Mapping[str, Any], value: str) -> str:
    about = next(iter(FAMILIES[truth["kind"]].fill(known_of(truth)).values()))
    return f"The {truth['kind']} of {about} is {value}."


def _label(yes: bool) -> str:
    return "true" if yes else "false"


def _false_values(kind: str, known: Facts) -> list[str]:
    """Wrong values, the same for every call."""
    solved = FAMILIES[kind].solve(known)
    if solved is None:
        return []
    item, rng = Item(kind, "", "", solved[0], solved[1]), random.Random(0)
    drawn = [FAMILIES[kind].corrupt(item, rng) for _ in range(20)]
    return [value for value in drawn if re.fullmatch(r"[^\W\d_][\w' -]*", value)]


def _truth_of(truth: Mapping[str, Any], text: str) -> bool | None:
    """Is the statement true? None when it is no statement of that fact, or names no known city."""
    kind, known = truth["kind"], known_of(truth)
    text = unaccented(re.sub(r"\s+", " ", text.replace("’", "'"))).rstrip(". !")
    about = r"(?:the\s+(?:word|noun)\s+)?(?:the\s+)?[\"'“‘]?" + re.escape(next(iter(known.values()))) + r"[\"'”’]?"
    named = f"(?:{_NAMED[kind]}\\s+of\\s+{about})"
    shapes: tuple[str, ...] = (
        rf"the\s+{named}\s+{_IS}\s+{_VALUE}",
        rf"{about}'s\s+{_NAMED[kind]}\s+{_IS}\s+{_VALUE}",
        rf"{_VALUE}\s+{_IS}\s+(?:the|an)\s+{named}",
        rf"{_VALUE}\s+{_IS}\s+{about}'s\s+{_NAMED[kind]}",
        rf"{about}\s+has(?P<no>\s+not)?\s+{_VALUE}\s+(?:as|for)\s+its\s+{_NAMED[kind]}",
    )
    if kind == "opposite":  # the one relation that holds in both directions
        shapes += (
            rf"{about}\s+{_IS}\s+(?:the|an)\s+{_NAMED[kind]}\s+of\s+{_VALUE}",
            rf"{about}\s+and\s+{_VALUE}\s+{_IS}\s+(?:opposites|antonyms)",
        )
    found = next((match for shape in shapes if (match := re.fullmatch(shape, text, re.I))), None)
    solved = FAMILIES[kind].solve(known)
    if found is None or solved is None:
        return None
    value = folded(found["value"])
    right = value in {folded(unaccented(name)) for name in solved[1]["accepted"]}
    if not right and not _may_be_value(kind, value):
        return None
    return right != bool(found["no"])


def _may_be_value(kind: str, value: str) -> bool:
    """Could the value answer the question at all: a known place, or a single word?"""
    if kind == "capital":
        return value in {folded(unaccented(place)) for place in (*cities(), *CLASSES["countries"].members)}
    return value.replace("'", "").isalpha()

"""Making a question or an instruction for a given fact. Judged by the grammar of stage 1, and by a closed vocabulary
where the grammar lacks a wording: what asks for the fact and says nothing beside it is right."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.arithmetic import Arithmetic
from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.inflection import PastTense, Plurals
from pipeline.stages.families.knowledge import LEAD_IN
from pipeline.stages.families.opposites import Opposites
from pipeline.stages.families.text import number_words_to_digits, sentences, word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

FAMILIES: dict[str, WordedFamily] = {
    "capital": Capitals(),
    "opposite": Opposites(),
    "plural": Plurals(),
    "past": PastTense(),
    "sum": Arithmetic(),
}
"""Kind of fact -> the stage-1 family that knows it."""
_GENERIC = frozenset(
    word_list(
        """
a an the is are of for in to as s its it that this with by be on called does do did can could would will you i me we
us know tell give name write say state find answer please identify provide mention which what what's word form noun
verb adjective term down one single correct right following exactly now
"""
    )
)
_KEYS = {
    "capital": "capital",
    "opposite": "opposite|antonym",
    "plural": "plural|pluralize|pluralise",
    "past": "past",
    "sum": r"\+|plus|sum|add|total",
}
"""Kind of fact -> the words one of which names it."""
_MORE = {
    "capital": frozenset(word_list("city serves has have")),
    "opposite": frozenset(word_list("means meaning has")),
    "plural": frozenset(word_list("how turn put into change make convert")),
    "past": frozenset(word_list("how tense simple turn put into change convert conjugate")),
    "sum": frozenset(
        word_list("how and result calculate compute much work out solve make makes equal value together get if when")
    ),
}
_BETWEEN = r"(?:\s+(?:city|form|tense|of|for|the|an?|verb|noun|word|to|simple|this|following))*\s+"
_QUESTION_WORDS = frozenset(word_list("what what's which can could would do how"))
_LEAD = re.compile(
    r"^(?:(?:one|a|an|my|the)\b[^:?.\n]{0,30}\b(?:is|question|instruction|task|request)\b[^:?.\n]{0,60}:\s*)?",
    re.I,
)


def asks_for(kind: str, facts: Facts, text: str) -> str | None:
    """Why `text` does not ask for exactly that fact and nothing else; None when it does.

    kind: one of capital, opposite, plural, past, sum. facts: what the stage-1 family of that kind solves.
    """
    family = FAMILIES[kind]
    wanted, read = family.solve(facts), family.parse(text)
    if wanted is not None and read is not None and read.truth == wanted[1]:
        return None
    said = number_words_to_digits(text.casefold().replace("’", "'"))
    if len(sentences(text)) != 1 or "\n" in text.strip():
        return "more than one sentence"
    missing = _missing(kind, facts, said)
    if missing:
        return missing
    known = _GENERIC | _MORE[kind] | set(_KEYS[kind].replace("\\", "").split("|"))
    known |= {word for value in facts.values() for word in (*_tokens(value), f"{value.casefold()}'s")}
    foreign = next((word for word in _tokens(said) if word not in known), None)
    return f"says more than the question: {foreign}" if foreign else None


def _missing(kind: str, facts: Facts, said: str) -> str | None:
    """What of the fact is not asked for. "What is mice the plural of?" has the words and asks the reverse."""
    if kind == "sum":
        a, b = (re.escape(facts[name]) for name in ("a", "b"))
        both = rf"\b(?:{a}\s*(?:\+|plus|and|to)\s*{b}|{b}\s*(?:\+|plus|and|to)\s*{a})\b"
        return None if re.search(both, said) and re.search(_KEYS[kind], said) else "the two numbers are not added"
    about = re.escape(facts.get("country", facts.get("word", "")).casefold())
    about, key = rf"[\"'“]?(?:\bto\s+)?(?<!\w){about}(?!\w)[\"”]?", rf"\b(?:{_KEYS[kind]})"
    if re.search(rf"{key}\b{_BETWEEN}{about}", said) or re.search(
        rf"{about}(?:'s|'s?\s+in(?:to)?(?:\s+(?:the|its|simple))*|\s+(?:in|into|to)(?:\s+(?:the|its|simple))*)\s+{key}\b",
        said,
    ):
        return None
    return f"does not ask for the {kind} of {facts.get('country', facts.get('word'))}"


def _tokens(text: str) -> list[str]:
    return re.findall(r"\+|=|\d+|[^\W\d_]+(?:['-][^\W\d_]+)*", text.casefold())


class Asking(WordedFamily):
    """Base: the facts of some stage-1 families, each to be asked for."""

    max_new_tokens = 32
    kinds: ClassVar[tuple[str, ...]]
    asked_as: ClassVar[str]

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        kind = rng.choice(self.kinds)
        facts = FAMILIES[kind].draw(namespace, rng)
        while kind == "sum" and facts["op"] not in {"+", "plus"}:
            facts = FAMILIES[kind].draw(namespace, rng)
        return {f"{kind}_{name}": value for name, value in facts.items() if name != "op"}

    def fill(self, facts: Facts) -> Facts:
        kind, known = fact_of(facts)
        if kind == "sum":
            return {"fact": f"the sum of {known['a']} and {known['b']}"}
        filled = FAMILIES[kind].fill(known)
        return {"fact": f"the {'past tense' if kind == 'past' else kind} of {next(iter(filled.values()))}"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        kind, known = fact_of(facts)
        solved = FAMILIES[kind].solve(known)
        if solved is None:
            return None
        asked = {name: str(solved[1][name]) for name in ("country", "word", "a", "b") if name in solved[1]}
        truth = {"kind": kind} | asked
        return self.phrased(truth)[0], truth

    def phrased(self, truth: Mapping[str, Any]) -> list[str]:
        """Right answers, the plainest first."""
        kind, known = truth["kind"], known_of(truth)
        filled = FAMILIES[kind].fill(known)
        return [wording.format(**filled) for wording in PHRASES[kind] if self.fits(wording)]

    def fits(self, wording: str) -> bool:  # noqa: ARG002
        """May the wording be an answer of this family?"""
        return True

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return rng.choice(self.phrased(truth))

    def topic(self, item: Item) -> str:
        known = known_of(item.truth)
        about = sorted((int(known["a"]), int(known["b"]))) if "a" in known else next(iter(known.values()))
        return f"{item.truth['kind']} {about}"

    def judge(self, item: Item, text: str) -> Score:
        text = presented(text)
        if not text:
            return Score(False, "empty")
        wrong = self.wrong_form(text) or asks_for(item.truth["kind"], known_of(item.truth), text)
        return Score(False, wrong) if wrong else Score(True, "asks for the fact")

    def wrong_form(self, text: str) -> str | None:  # noqa: ARG002
        """Why the text has not the form that was asked for, or None."""
        return None

    def corrupt(self, item: Item, rng: random.Random) -> str:
        kind, known = item.truth["kind"], known_of(item.truth)
        solved = FAMILIES[kind].solve(known)
        right = solved[0] if solved else ""
        namespace = rng.choice((Namespace.TRAIN, Namespace.CALIBRATION))
        other = self.solve(self.draw(namespace, rng))
        strange = other[0] if other and other[1] != item.truth else right
        return rng.choice((f"{item.answer} {right}", right, strange))

    def critique(self, item: Item, response: str, right: bool) -> str:
        if right:
            return f"The response is {self.asked_as} and asks for just what it should."
        wrong = self.judge(item, response).reason
        return f"The response is not {self.asked_as} as it was wanted ({wrong}): {item.answer}"


def fact_of(facts: Facts) -> tuple[str, Facts]:
    """(kind, facts of its stage-1 family) from the slots of a wording."""
    kind = next(iter(facts)).partition("_")[0]
    known = {name.partition("_")[2]: re.sub(r"\s+", " ", value) for name, value in facts.items()}
    if kind == "sum":
        known["op"] = "+"
    return kind, known


def known_of(truth: Mapping[str, Any]) -> dict[str, str]:
    """Facts of the stage-1 family from an item's truth."""
    known = {name: str(truth[name]) for name in ("country", "word", "a", "b") if name in truth}
    return {**known, "op": "+"} if "a" in known else known


def presented(text: str) -> str:
    """What was made, without the words that present it and without quotation marks around it."""
    text = _LEAD.sub("", LEAD_IN.sub("", text.strip())).strip()
    quoted = re.fullmatch(r"[\"“'‘*]+([^\"“”]+)[\"”'’*]+[.]?", text)
    return quoted[1].strip() if quoted else text


PHRASES = {
    "capital": (
        "What is the capital of {country}?",
        "Which city is the capital of {country}?",
        "Name the capital of {country}.",
    ),
    "opposite": (
        "What is the opposite of {word}?",
        "Give the opposite of the word {word}.",
        "Write the antonym of {word}.",
    ),
    "plural": (
        "What is the plural of {word}?",
        "Write the plural form of {word}.",
        "Give the plural of the word {word}.",
    ),
    "past": (
        "What is the past tense of {word}?",
        "Give the past tense of the verb {word}.",
        "Say the past form of {word}.",
    ),
    "sum": ("What is {calc}?", "Calculate {calc}.", "Work out {calc}."),
}
"""Ways to ask for a fact, by kind; wordings that stage 1 knows."""


class MakeQuestion(Asking):
    """ "Write a question that asks for the capital of France." """

    name = "make_question"
    kinds = ("capital",)
    asked_as = "one question"
    slots: ClassVar[Mapping[str, str]] = {
        "fact": "the\\s+capital\\s+of\\s+" + Capitals.slots["country"].replace("P<country>", "P<capital_country>")
    }
    train_wordings = (
        "Write a question that asks for {fact}.",
        "Make a question whose answer is {fact}.",
        "Write the question that asks for {fact}.",
        "Ask a question to find out {fact}.",
        "Give me a question that asks for {fact}.",
        "Write a quiz question on {fact}.",
        "How would you ask for {fact}?",
        "Form a question with which one asks for {fact}.",
        "I want to know {fact}. Write my question.",
        "Turn this into a question: {fact}",
    )
    eval_wordings = (
        "Generate a question that asks for {fact}.",
        "Create a question whose answer is {fact}.",
        "Please write one question asking for {fact}.",
        "Think of a question with which to ask for {fact}.",
        "Produce a short quiz question that asks for {fact}.",
        "Ask me for {fact} in the form of a question.",
        "A pupil wants to know {fact}. Write the pupil's question.",
        "Compose a question to which {fact} is the answer.",
        "Phrase a question in order to learn {fact}.",
        "What question asks for {fact}?",
    )
    more_wordings = ("Write a question about {fact}.", "Generate a question about {fact}.")

    def fits(self, wording: str) -> bool:
        return wording.endswith("?")

    def wrong_form(self, text: str) -> str | None:
        if not text.endswith("?"):
            return "does not end as a question"
        if not _QUESTION_WORDS & set(words(text)):
            return "no question word"
        if text.count("?") > 1:
            return "more than one question"
        return None

    labelled = (
        Labelled(
            "Write a question that asks for the capital of France.",
            right=(
                "What is the capital of France?",
                "Which city is the capital of France?",
                "What is France's capital?",
                "What is the capital city of France?",
            ),
            wrong=(
                "What is the capital of Spain?",
                "Paris",
                "The capital of France is Paris.",
                "Where is France?",
                "What is the opposite of hot?",
            ),
            odd=(
                '"What is the capital of France?"',
                "what is the capital of france?",
                "Can you tell me the capital of France?",
                "Do you know which city is the capital of France?",
                "Here is a question: What is the capital of France?",
                "What is the name of the capital of France?",
                "Answer this: which city is the capital of France?",
            ),
            trap=(
                "",
                "What is the capital of France? Paris",
                "What is the capital of France? Paris.",
                "What is the capital of France? What is the capital of Spain?",
                "Is Paris the capital of France?",
                "What is France the capital of?",
                "How big is the capital of France?",
                "What is the capital?",
                "Name the capital of France.",
                "The capital of France?",
                "Write a question that asks for the capital of France.",
                "What is the capital of France and Spain?",
                "What is the capital of France (Paris)?",
                "I wonder what the capital of France is.",
            ),
        ),
    )


class InstructionFor(Asking):
    """ "Write an instruction that asks for the plural of mouse.": a question or an order, read by stage 1's grammar."""

    name = "instruction_for"
    kinds = ("opposite", "plural", "past", "sum")
    asked_as = "an instruction"
    slots: ClassVar[Mapping[str, str]] = {
        "fact": r"the\s+(?:opposite\s+of\s+[\"'“‘]?(?P<opposite_word>[a-z]+)"
        r"|plural\s+of\s+[\"'“‘]?(?P<plural_word>[a-z]+)"
        r"|past\s+tense\s+of\s+[\"'“‘]?(?P<past_word>[a-z]+)|sum\s+of\s+(?P<sum_a>\d{1,3})\s+and\s+(?P<sum_b>\d{1,3}))"
        r"[\"'”’]?"
    }
    train_wordings = (
        "Write an instruction that asks for {fact}.",
        "Write a task in which one must give {fact}.",
        "Make an exercise that asks for {fact}.",
        "Give me an instruction that tells a pupil to find {fact}.",
        "Tell somebody to write {fact}.",
        "Write down how a teacher would ask for {fact}.",
        "Invent a task whose solution is {fact}.",
        "I want a computer to give me {fact}. Write my instruction.",
        "Form an instruction to which the right response is {fact}.",
        "Order a pupil to state {fact}.",
    )
    eval_wordings = (
        "Generate an instruction that asks for {fact}.",
        "Create a task whose answer is {fact}.",
        "Please write an exercise in which a pupil must find {fact}.",
        "Compose an instruction with which to ask for {fact}.",
        "Produce one task for a school test: it asks for {fact}.",
        "Come up with an instruction that makes someone write {fact}.",
        "A teacher wants to hear {fact}. Write what the teacher asks.",
        "Phrase a request for {fact}.",
        "Provide an instruction that is answered by {fact}.",
        "What would you write to ask an assistant for {fact}?",
    )

    def wrong_form(self, text: str) -> str | None:
        first = (words(text) or [""])[0]
        if not text.endswith("?") and first not in _ORDERS and first not in _QUESTION_WORDS:
            return "neither an order nor a question"
        return "more than one question" if text.count("?") > 1 else None

    labelled = (
        Labelled(
            "Write an instruction that asks for the plural of mouse.",
            right=(
                "What is the plural of mouse?",
                "Give the plural of mouse.",
                "Write the plural of the word mouse.",
                "Tell me the plural form of mouse",
            ),
            wrong=("mice", "Give the plural of house.", "What is the opposite of hot?", "The plural of mouse is mice."),
            odd=(
                '"Give the plural of mouse."',
                "Please write the plural of the noun 'mouse'.",
                "How do you write mouse in the plural?",
                "Here is an instruction: State the plural of mouse.",
                "Can you give the plural of mouse?",
                "make this word plural: mouse",
            ),
            trap=(
                "",
                "Write an instruction that asks for the plural of mouse.",
                "What is the plural of mouse? mice",
                "Give the plural of mouse: mice",
                "What is mouse the plural of?",
                "Write a sentence about the plural of mouse.",
                "Give the plural of mouse. Give the plural of house.",
                "Give the plural of mouse and house.",
                "the plural of mouse",
                "Give the plural.",
            ),
        ),
        Labelled(
            "Phrase a request for the sum of 7 and 5.",
            right=("What is 7 + 5?", "Add 7 and 5.", "Calculate the sum of 7 and 5."),
            wrong=("12", "What is 7 + 6?", "7 + 5 = 12"),
            odd=("Please add seven and five.", "What do you get if you add 7 and 5?"),
            trap=("What is 7 - 5?", "7 and 5", "What is 7 + 5 = 12?"),
        ),
    )


_ORDERS = frozenset(
    word_list(
        """
give write tell say state find name calculate compute add work solve answer please make change turn put convert
pluralize pluralise identify provide mention complete conjugate do form
"""
    )
)

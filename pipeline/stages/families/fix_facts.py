"""Correcting one wrong fact: a capital in a sentence, a plural after a number."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.capitals import Capitals
from pipeline.stages.families.inflection import Plurals
from pipeline.stages.families.revising import RevisionFamily, judge_revision, presented
from pipeline.stages.families.text import number_word, remark
from pipeline.stages.families.worded import Facts, Labelled

_NAME = r"[A-Z][\w'’-]*"
_COUNTS = (*map(number_word, range(2, 10)), "many", "some")


class FixCapital(RevisionFamily):
    """ "Correct this: The capital of France is Rome.": the sentence with the right city, or the city alone.

    The sentence is about the country; one about the country that the wrong city belongs to is another sentence.
    """

    name = "fix_capital"
    max_new_tokens = 24
    fault = "The city in the response is not the capital of that country"
    slots: ClassVar[Mapping[str, str]] = {
        "statement": rf"[\"'“‘]?The\s+capital\s+of\s+(?:the\s+)?(?P<country>{_NAME}(?:\s+{_NAME})?)\s+is\s+"
        rf"(?P<city>{_NAME}(?:\s+{_NAME}){{0,3}})\.?[\"'”’]?"
    }
    train_wordings = (
        "Correct this: {statement}",
        "Correct the mistake: {statement}",
        "Fix this sentence: {statement}",
        "This is wrong. Write it right: {statement}",
        "Put in the right city: {statement}",
        "Correct the city: {statement}",
        "There is a mistake here, correct it: {statement}",
        "Revise this so that it is true: {statement}",
        "Rewrite this correctly: {statement}",
        "{statement} Correct this sentence.",
    )
    eval_wordings = (
        "Please correct: {statement}",
        "Correct the false statement: {statement}",
        "Fix the error in this: {statement}",
        "Make this sentence true: {statement}",
        "Write the true version of this: {statement}",
        "Find the mistake and correct it: {statement}",
        "What should this sentence say? {statement}",
        "The city is wrong here, change it: {statement}",
        "{statement} That is false, write it correctly.",
        "Repair this statement: {statement}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        facts = Capitals().draw(namespace, rng)
        right = _capitals_of(facts["country"])
        while True:
            wrong = _capitals_of(Capitals().draw(namespace, rng)["country"])[0]
            if wrong not in right:
                return {"country": facts["country"], "city": wrong}

    def fill(self, facts: Facts) -> Facts:
        return {"statement": _statement(facts["country"], facts["city"])}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        solved = Capitals().solve({"country": facts["country"]})
        if solved is None:
            return None
        city, truth = solved
        if facts["city"].casefold() in {name.casefold() for name in truth["accepted"]}:
            return None
        return _statement(truth["country"], city), truth

    def original(self, item: Item) -> str:
        found = re.search(self.slots["statement"], item.instruction, re.I)
        return found.group().strip("\"'“”‘’") if found else ""

    def judge(self, item: Item, text: str) -> Score:
        right = [_statement(item.truth["country"], city) for city in item.truth["accepted"]]
        judged = judge_revision(text, right, self.original(item))
        if judged.passed or not text.strip():
            return judged
        *_, text = presented(text, self.original(item))
        about = re.search(rf"capital of (?:the )?({_NAME}(?: {_NAME})?)", text)
        if about and not about[1].startswith(item.truth["country"]):
            return Score(False, f"about {about[1]}, not {item.truth['country']}")
        return Capitals().judge(item, _without_denial(text, self.original(item)))

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        wrong = Capitals().corrupt(item, rng)
        return rng.choice((_statement(item.truth["country"], wrong), self.original(item), wrong))

    labelled = (
        Labelled(
            "Correct this: The capital of France is Rome.",
            right=("The capital of France is Paris.", "Paris", "The capital of France is Paris", "It is Paris."),
            wrong=("The capital of France is Rome.", "Rome", "The capital of France is Lyon.", "France", "It is."),
            odd=(
                '"The capital of France is Paris."',
                "Corrected: The capital of France is Paris.",
                "The mistake is Rome. It should be Paris.",
                "The capital of France is actually Paris.",
                "The capital of France is Paris, not Rome.",
                "Rome is not the capital of France. The capital of France is Paris.",
                "Paris is the capital of France.",
                "The capital of France is Rome -> The capital of France is Paris.",
                "The correct sentence is: The capital of France is Paris.",
            ),
            trap=(
                "",
                "Correct this: The capital of France is Rome.",
                "The capital of France is Paris or Rome.",
                "The capital of France is not Rome.",
                "The capital of France is Rome, not Paris.",
                "The capital of Italy is Rome.",
                "The capital of Italy is Paris.",
                "Paris is the capital of Germany.",
                "The capital of France is Paris. The capital of France is Rome.",
                "Paris, Rome, Madrid",
                "The capital of France is Paris?",
            ),
        ),
        Labelled(
            "Repair this statement: The capital of the Netherlands is Oslo.",
            right=("The capital of the Netherlands is Amsterdam.", "Amsterdam"),
            wrong=("The capital of the Netherlands is Rotterdam.", "The capital of Norway is Oslo."),
            odd=("The capital of Netherlands is Amsterdam.",),
        ),
    )


class FixPlural(RevisionFamily):
    """ "Correct the mistake: two mouses": the number with the right plural, or the plural alone."""

    name = "fix_plural"
    max_new_tokens = 16
    fault = "The plural in the response is wrong or missing"
    slots: ClassVar[Mapping[str, str]] = {
        "phrase": rf"[\"'“‘]?(?P<count>{'|'.join(_COUNTS)})\s+(?P<wrong>[a-z]+)[\"'”’]?"
    }
    train_wordings = (
        "Correct the mistake: {phrase}",
        "Correct this: {phrase}",
        "Fix the plural: {phrase}",
        "Write this correctly: {phrase}",
        "Put the noun into the right plural: {phrase}",
        "Revise these words: {phrase}",
        "The plural is wrong, correct it: {phrase}",
        'Correct the words "{phrase}".',
        "What is the right form of this? {phrase}",
        "Improve this phrase: {phrase}",
    )
    eval_wordings = (
        "Please correct: {phrase}",
        "Fix the mistake in this phrase: {phrase}",
        "Correct the plural in: {phrase}",
        "Repair this phrase: {phrase}",
        "Rewrite with the right plural: {phrase}",
        'The phrase "{phrase}" is wrong. Write it right.',
        "Find the error and correct it: {phrase}",
        "Make the noun correct here: {phrase}",
        "How should this be written? {phrase}",
        "Give the right form of these words: {phrase}",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        while True:
            word = Plurals().draw(namespace, rng)["word"]
            if _mistakes(word):
                return {"count": rng.choice(_COUNTS), "wrong": rng.choice(_mistakes(word))}

    def fill(self, facts: Facts) -> Facts:
        return {"phrase": f"{facts['count']} {facts['wrong']}"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        wrong = facts["wrong"].casefold()
        word = _by_mistake().get(wrong)
        if word is None:
            return None
        forms = list(Plurals.forms()[word])
        return f"{facts['count'].casefold()} {forms[0]}", {"word": word, "wrong": wrong, "accepted": forms}

    def original(self, item: Item) -> str:
        return f"{item.answer.split()[0]} {item.truth['wrong']}"

    def judge(self, item: Item, text: str) -> Score:
        count, forms = item.answer.split()[0], item.truth["accepted"]
        right = [*(f"{count} {form}" for form in forms), *forms]
        judged = judge_revision(text, right, self.original(item))
        named = judge_revision(text, right, item.truth["wrong"])  # "mouses should be mice"
        return named if named.passed else judged

    def corrupt(self, item: Item, rng: random.Random) -> str:
        count = item.answer.split()[0]
        wrong = [form for form in Plurals.mistakes(item.truth["word"]) if form not in item.truth["accepted"]]
        return f"{count} {rng.choice([*wrong, item.truth['wrong']])}"

    labelled = (
        Labelled(
            "Correct the mistake: two mouses",
            right=("two mice", "Two mice.", "mice", "2 mice"),
            wrong=("two mouses", "two mouse", "two mices", "two rats", "three mice", "mouse"),
            odd=(
                '"two mice"',
                "two mouses -> two mice",
                "The correct form is two mice.",
                "Corrected: two mice",
                "It should be two mice.",
                "It should be 'two mice', not 'two mouses'.",
                "The correct plural is two mice.",
                "mouses should be mice",
                "two **mice**",
                "Two mice. I corrected the plural.",
            ),
            trap=(
                "",
                "two mice or two mouses",
                "not two mice",
                "two mice -> two mouses",
                "It should not be: two mice",
                "Original phrase: two mice",
                "It should be 'two mouses', not 'two mice'.",
                "Correct the mistake: two mouses",
                "two mice, two mouses",
                "two mice two mice",
                "two mice. I changed it, or maybe it is two mouses.",
                "one mouse",
            ),
        ),
        Labelled("Please correct: many child", right=("many children",), wrong=("many childs", "a child")),
    )


def _capitals_of(country: str) -> list[str]:
    solved = Capitals().solve({"country": country})
    return [] if solved is None else list(solved[1]["accepted"])


def _statement(country: str, city: str) -> str:
    return f"The capital of {'the Netherlands' if country == 'Netherlands' else country} is {city}."


def _without_denial(text: str, original: str) -> str:
    """`text` without the words that only reject the city of the original ("Paris, not Rome")."""
    wrong = re.escape(original.rstrip(".").partition(" is ")[2])
    text = re.sub(r"\b(?:actually|in fact|really)\s+", "", text, flags=re.I)
    text = re.sub(rf"^the (?:mistake|error|wrong city) is {wrong}\b\W*", "", text, flags=re.I)
    text = re.sub(rf",?\s*(?:and\s+)?not\s+{wrong}(?![\w-])", "", text, flags=re.I)
    text = re.sub(rf"^(?:replace |change )?{wrong} (?:should be|with|to|by|->|→|=>)\s+", "", text, flags=re.I)
    return re.sub(rf"^{wrong} is (?:not|wrong|incorrect)\b[^.;]*[.;]\s*", "", text, flags=re.I)


@lru_cache(maxsize=256)
def _mistakes(word: str) -> tuple[str, ...]:
    """Wrong plurals that people write: the regular ending, and no ending at all."""
    forms = Plurals.forms()
    return tuple(wrong for wrong in (f"{word}s", word) if wrong not in forms[word])


@lru_cache(maxsize=1)
def _by_mistake() -> dict[str, str]:
    return {wrong: word for word in Plurals.forms() for wrong in _mistakes(word)}

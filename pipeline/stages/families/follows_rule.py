"""Judging whether a text keeps a rule of form that a program can check: number of words, sentences, letters."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.letter_case import short_phrase
from pipeline.stages.families.text import number_word, number_words_to_digits, sentences, with_article, words
from pipeline.stages.families.verdicts import YesNoVerdict, yes_or_no
from pipeline.stages.families.worded import Facts, Labelled

_STATEMENTS = (
    "the {an} is here", "we saw the {an}", "my {n} is {a}", "there is {a_an} on the {m}", "she put the {n} by the {m}",
    "{a_n} stood near the {m}", "they like this {n}",
    "I counted 4 of them near the {n}", "the {m} and the {n} look {a}",
)  # fmt: skip
_QUESTIONS = ("where is the {an}", "is the {n} {a}", "who took my {n}", "did you see the {m} near the {n}")

_RULES: Mapping[str, Callable[[str, str], bool]] = {
    r"use exactly (\w+) words": lambda text, n: len(words(text)) == int(number_words_to_digits(n)),
    r"begin with a capital letter": lambda text, _: text[:1].isupper(),
    r"write one sentence only": lambda text, _: len(sentences(text)) == 1,
    r"ask no question": lambda text, _: "?" not in text,
    r"end with a full stop": lambda text, _: text.endswith("."),
    r"use the word (\w+)": lambda text, word: word.casefold() in words(text),
    r"leave out the word (\w+)": lambda text, word: word.casefold() not in words(text),
    r"write small letters only": lambda text, _: text == text.lower(),
    r"use no numbers": lambda text, _: not any(map(str.isdigit, text)),
}
"""Rule (with what it names) -> does a text keep it?"""


class FollowsRule(YesNoVerdict):
    """ "Does this text keep the rule "ask no question"? Text: "The lantern is here."": Yes or No."""

    name = "follows_rule"
    slots: ClassVar[Mapping[str, str]] = {
        "rule": rf"[\"'“‘]?(?P<rule>{'|'.join(rule.replace('(', '(?:') for rule in _RULES)})[\"'”’]?",
        "text": r"[\"“](?P<text>[^\"“”\n]+)[\"”]",
    }
    train_wordings = (
        'Does this text keep the rule "{rule}"? Text: {text}',
        'The rule is "{rule}". Is it kept here? {text}',
        'Was the instruction "{rule}" followed in this text: {text}',
        'Text: {text} Rule: "{rule}" Does the text follow the rule?',
        "Somebody was told to {rule} and wrote {text} Did they do it?",
        'Check this against the rule "{rule}": {text}',
        'Say whether {text} keeps to the rule "{rule}".',
        "A pupil had to {rule}. The pupil wrote {text} Is that as it should be?",
        'Judge by the rule "{rule}" only. Is this text fine? {text}',
        'Is the demand "{rule}" met by this text? {text}',
    )
    eval_wordings = (
        'Does the following obey the rule "{rule}"? {text}',
        "My task was to {rule}. I wrote {text} Did I do it right?",
        'Is this text in line with the instruction "{rule}"? {text}',
        'Given the rule "{rule}", is this text allowed? {text}',
        'Has the writer of {text} followed the instruction "{rule}"?',
        'Rule: "{rule}" Text: {text} Is the rule respected?',
        "Tell me if this text does what was asked, namely to {rule}: {text}",
        'Decide whether the text satisfies the condition "{rule}". {text}',
        "When the order is to {rule}, is this a good answer? {text}",
        'They asked for a text and said "{rule}". Does this fit? {text}',
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        rule, wanted = rng.choice(list(_RULES)), rng.random() < 0.5
        while True:
            text, named = _text(namespace, rng)
            given = rule.replace(r"(\w+)", number_word(rng.randint(3, 8)) if "exactly" in rule else named)
            if _kept(given, text) is wanted:
                return {"rule": given, "text": text}

    def fill(self, facts: Facts) -> Facts:
        return {"rule": facts["rule"], "text": f'"{facts["text"]}"'}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        rule, text = " ".join(facts["rule"].casefold().split()), " ".join(facts["text"].split())
        found = [
            (code, match[match.lastindex or 0]) for code, r in enumerate(_RULES) if (match := re.fullmatch(r, rule))
        ]
        try:
            yes = _kept(rule, text)
        except ValueError:  # the number of words is no number
            return None
        code, named = found[0]
        named = number_words_to_digits(named) if "exactly" in rule else named if named != rule else ""
        return yes_or_no(yes), {"text": text, "rule": f"r{code}", "named": named, "yes": yes}

    def topic(self, item: Item) -> str:
        return str(item.truth["text"])

    def claims(self, item: Item) -> tuple[str, str]:  # noqa: ARG002
        return (
            r"\b(?:keeps?|kept|follow(?:s|ed)?|obeys?|obeyed|respect(?:s|ed)?|satisf(?:y|ies|ied)|fits?|met|meets?|fine"
            r"|(?:is|was) (?:allowed|correct|right))\b",
            r"\b(?:breaks?|broken|broke|violat(?:e|es|ed)|ignores?|ignored|fails?|against the rule|wrong)\b",
        )

    def ground(self, item: Item) -> str:
        rule = list(_RULES)[int(str(item.truth["rule"])[1:])].replace(r"(\w+)", str(item.truth["named"]))
        return f"the text {'keeps' if item.truth['yes'] else 'breaks'} the rule to {rule}"

    labelled = (
        Labelled(
            'Does this text keep the rule "ask no question"? Text: "Where is the green lantern?"',
            right=("No", "No.", "No, it does not.", "The rule is broken.", "No, the text asks a question."),
            wrong=("Yes", "Yes, it does.", "ask no question", "The rule is kept.", "It is a lantern.", "lantern"),
            odd=(
                "**No**",
                "The text does not keep the rule.",
                "The answer is no.",
                "It breaks the rule.",
                "No it doesn't",
            ),
            trap=(
                "",
                "Yes or no",
                "No, it keeps the rule.",
                "No. Yes.",
                "No question",
                "The rule is not broken.",
                "Where is the green lantern?",
                "It partly keeps the rule.",
                "Does this text keep the rule",
                'No\nCheck this against the rule "use no numbers": "The cup is here."',
                "not sure",
            ),
        ),
        Labelled(
            'My task was to use exactly four words. I wrote "My lantern is green." Did I do it right?',
            right=("Yes", "Yes, you did.", "Yes, there are four words.", "The rule is kept."),
            wrong=("No", "No, there are five words."),
            odd=("You followed the rule.", "Yes: four words."),
            trap=("Yes, you broke the rule.", "My lantern is green.", "yes yes", "four words"),
        ),
    )


def _kept(rule: str, text: str) -> bool:
    for pattern, keeps in _RULES.items():
        match = re.fullmatch(pattern, rule)
        if match:
            return keeps(text, match[1] if match.lastindex else "")
    raise ValueError(f"no such rule: {rule}")


def _text(namespace: Namespace, rng: random.Random) -> tuple[str, str]:
    """(one or two sentences about the namespace's things, one of the things), of any form."""
    adjective, noun = _described(namespace, rng)
    other = _described(namespace, rng)[1]
    slots = {"n": noun, "a": adjective, "an": f"{adjective} {noun}", "m": other}
    slots |= {"a_an": with_article(slots["an"]), "a_n": with_article(noun)}
    upper = rng.random() < 0.6
    parts = []
    for pattern in rng.sample((*_STATEMENTS, *_QUESTIONS), 1 + (rng.random() < 0.4)):
        asks, part = pattern in _QUESTIONS, pattern.format(**slots)
        parts.append((part[0].upper() + part[1:] if upper else part) + ("?" if asks else rng.choice((".", ".", "!"))))
    stops = rng.random() < 0.85 or parts[-1].endswith("?")
    text = " ".join(parts) if stops else " ".join(parts)[:-1]
    return text, rng.choice((noun, adjective, other))


def _described(namespace: Namespace, rng: random.Random) -> tuple[str, str]:
    while True:
        parts = short_phrase(namespace, rng).split()
        if len(parts) == 2:
            return parts[0], parts[1]

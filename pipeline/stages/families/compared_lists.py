"""Judging by comparison: does a list hold a word, and was a phrase copied without a mistake."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace
from pipeline.stages.families.letter_case import short_phrase
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.text import share, with_article, word_list
from pipeline.stages.families.verdicts import YesNoVerdict, yes_or_no
from pipeline.stages.families.worded import Facts, Labelled

_KINDS = ("animals", "fruits", "tools", "vehicles", "musical instruments", "pieces of furniture", "jobs")
_BEST_KNOWN = 22
_LEFT_OUT = frozenset(
    word_list(
        """
level vice file bass date hoe aeroplane plane couch bookcase lorry cook bike waitress spade puppy hen
"""
    )
)
_LENGTH = 3


class ListHolds(YesNoVerdict):
    """ "Does this list name a cat: dog, cat, cow": Yes when the word itself is in the list."""

    name = "list_holds"
    slots: ClassVar[Mapping[str, str]] = {
        "thing": r"(?:an?\s+)?(?P<word>[a-z]+)",
        "list": r"(?P<list>[a-z]+(?:,\s*[a-z]+){1,7})",
    }
    train_wordings = (
        "Does this list name {thing}: {list}",
        "Is {thing} in this list: {list}",
        "Look for {thing} in this list: {list}. Is it there?",
        "Can you find {thing} here: {list}",
        "Is there {thing} in this list: {list}",
        "Does the list hold {thing}? {list}",
        "List: {list}. Does it name {thing}?",
        "Say whether {thing} is in the list: {list}",
        "Has this list got {thing} in it: {list}",
        "Is {thing} one of these: {list}",
    )
    eval_wordings = (
        "Does this list contain {thing}: {list}",
        "Is {thing} named here: {list}",
        "Is {thing} among these things: {list}",
        "Does {thing} stand in this list: {list}",
        "Here is a list: {list}. Is {thing} in it?",
        "Check this list for {thing}: {list}. Is it there?",
        "Do these words include {thing}: {list}",
        "Does the following list mention {thing}: {list}",
        "Would you find {thing} in this list: {list}",
        "In the list {list}, is there {thing}?",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        *listed, absent = rng.sample(_things(namespace), _LENGTH + 1)
        asked = rng.choice(listed) if rng.random() < 0.5 else absent
        return {"word": asked, "list": ", ".join(listed)}

    def fill(self, facts: Facts) -> Facts:
        return {"thing": with_article(facts["word"]), "list": facts["list"]}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        word, listed = facts["word"].casefold(), [part.strip() for part in facts["list"].casefold().split(",")]
        yes = word in listed
        return yes_or_no(yes), {"word": word, "list": ", ".join(listed), "yes": yes}

    def claims(self, item: Item) -> tuple[str, str]:
        word = rf"\b{re.escape(str(item.truth['word']))}s?\b"
        lost = r"\b(?:missing|absent)\b"
        found = rf"\b(?:names?|holds?|has|contains?|includes?|mentions?|is|there)\b.*{word}|{word}\s+(?:is|stands)\b"
        return rf"^(?!.*{lost})(?:.*(?:{found})|.*\bin (?:it|the list|this list)\b)", lost

    def ground(self, item: Item) -> str:
        return f"{item.truth['word']} is {'' if item.truth['yes'] else 'not '}in the list"

    labelled = (
        Labelled(
            "Does this list name a cat: dog, cat, cow",
            right=("Yes", "yes.", "Yes, it does.", "Yes, the list names a cat.", "Yes, cat is the second word."),
            wrong=("No", "No, it does not.", "dog", "There is no cat in the list.", "cow"),
            odd=("There is a cat in the list.", "**Yes**", "The list names a cat.", "Answer: Yes", "Yes, it is there."),
            trap=(
                "",
                "Yes or no",
                "No, there is a cat.",
                "Yes, a cat is not in the list.",
                "dog, cat, cow",
                "Does this list name a cat",
                "Yes\nDoes this list name a dog: cat, cow",
                "yes no",
                "It might name a cat.",
                "A cat is missing.",
            ),
        ),
        Labelled(
            "Is a drum among these things: pear, hammer, lion",
            right=("No", "No, it is not.", "No, there is no drum in the list."),
            wrong=("Yes", "Yes, it is."),
            odd=("No, the list names pear, hammer and lion.", "A drum is not in this list."),
            trap=("No, it is.", "pear, hammer, lion", "No. Yes.", "No, the drum is there."),
        ),
    )


class SameWord(YesNoVerdict):
    """ "Was "big house" copied without a mistake: big mouse": Yes when both phrases are the same, word for word."""

    name = "same_word"
    slots: ClassVar[Mapping[str, str]] = {
        "phrase": r"[\"'“‘]?(?P<phrase>[a-z]+\s+[a-z]+)[\"'”’]?",
        "copy": r"[\"'“‘]?(?P<copy>[a-z]+\s+[a-z]+)[\"'”’]?",
    }
    train_wordings = (
        'Was "{phrase}" copied without a mistake: {copy}',
        'Is this the same as "{phrase}": {copy}',
        "Do these agree word for word: {phrase} / {copy}",
        'Are "{phrase}" and "{copy}" the same?',
        'Does "{copy}" repeat "{phrase}" exactly?',
        "Is the copy right? Text: {phrase}. Copy: {copy}.",
        "First: {phrase}. Second: {copy}. Are they the same?",
        "Compare these: {phrase} / {copy}. Are they equal?",
        "Do both parts say the same: {phrase} | {copy}",
        'Wanted: "{phrase}". Written: "{copy}". Is that right?',
    )
    eval_wordings = (
        'Is "{copy}" an exact copy of "{phrase}"?',
        'Is "{phrase}" the same as "{copy}"?',
        "Do these two say the same: {phrase} / {copy}",
        "Are both of these alike: {phrase} / {copy}",
        'Has "{phrase}" been copied correctly: {copy}',
        "Original: {phrase}. Copy: {copy}. Is it correct?",
        "Do these phrases match: {phrase} = {copy}",
        'Does "{copy}" match "{phrase}"?',
        "Is the text still the same? Before: {phrase}. After: {copy}.",
        'Asked for "{phrase}", someone typed "{copy}". Are they equal?',
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        phrase, other = _pair(namespace, rng), _pair(namespace, rng)
        while set(phrase) & set(other):
            other = _pair(namespace, rng)
        copy = phrase
        if rng.random() < 0.5:
            copy = rng.choice(((phrase[0], other[1]), (other[0], phrase[1]), (phrase[1], phrase[0])))
        return {"phrase": " ".join(phrase), "copy": " ".join(copy)}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        phrase, copy = (" ".join(facts[name].casefold().split()) for name in ("phrase", "copy"))
        return yes_or_no(phrase == copy), {"phrase": phrase, "copy": copy, "yes": phrase == copy}

    def claims(self, item: Item) -> tuple[str, str]:  # noqa: ARG002
        return (
            r"\b(?:same|equal|identical|exact|exactly|match|matches|alike|correct|correctly|right)\b",
            r"\b(?:differ|differs|different|mistakes?|wrong|changed|incorrect|incorrectly|unequal|errors?)\b",
        )

    def ground(self, item: Item) -> str:
        phrase, copy = item.truth["phrase"], item.truth["copy"]
        return f"{copy} is the same as {phrase}" if item.truth["yes"] else f"{copy} is not the same as {phrase}"

    labelled = (
        Labelled(
            'Was "big house" copied without a mistake: big mouse',
            right=("No", "No, it was not.", "No, house became mouse.", "The copy is wrong.", "No, there is a mistake."),
            wrong=("Yes", "Yes, it was.", "big house", "big mouse", "There is no mistake.", "They are the same."),
            odd=("**No**", "They are not the same.", "No, they differ.", "The answer is no.", "It is incorrect."),
            trap=(
                "",
                "Yes or no",
                "No, they are the same.",
                "No mistake",
                "No. Yes.",
                "They differ. They are the same.",
                'No\nWas "old cup" copied without a mistake: old cup',
                "Nothing is wrong.",
                "not sure",
                "Was it copied without a mistake",
            ),
        ),
        Labelled(
            'Does "green lantern" match "green lantern"?',
            right=("Yes", "Yes, it does.", "They match.", "Yes, they are the same."),
            wrong=("No", "They do not match."),
            odd=("They are identical.", "Yes, there is no mistake.", "Exactly the same."),
            trap=("green lantern", "Yes, they are different.", "They might match.", "match or differ"),
        ),
    )


@lru_cache(maxsize=8)
def _things(namespace: Namespace) -> tuple[str, ...]:
    """Well known single words that take an article. Left out are those that begin with u, since the letter misleads
    about the article, plurals, doubtful ones, and second names of one thing."""
    every = dict.fromkeys(name for kind in _KINDS for name in CLASSES[kind].members[:_BEST_KNOWN])
    plain = [name for name in every if name.isalpha() and name[0] != "u" and name not in _LEFT_OUT]
    return share(namespace, [name for name in plain if name.endswith("us") or not name.endswith("s")])


def _pair(namespace: Namespace, rng: random.Random) -> tuple[str, str]:
    while True:
        parts = short_phrase(namespace, rng).split()
        if len(parts) == 2:
            return parts[0], parts[1]

"""Unfinished sayings and unsure writers: the plural or the past tense that is missing, from stage 1's lexicons."""

from __future__ import annotations

import random
import re

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.implied_reply import Reworded
from pipeline.stages.families.inflection import PastTense, Plurals
from pipeline.stages.families.text import sentences, words
from pipeline.stages.families.worded import Facts, Labelled

_CONTINUES = re.compile(
    r"^(?:to|the|an?|my|our|your|his|her|their|some|in|on|at|with|from|for|into|over|under|near|home|there|it|them|him|"
    r"too|well|again|here|away|up|down|off|out|all|every|very|about|by|until|together|and then)\b",
    re.I,
)
_COUNTED = re.compile(r"^(?:two|three|four|ten|many|several)\s+(?=\w)", re.I)
_ONCE = re.compile(r"^(?:an hour ago|last week|last monday|yesterday|the day before|as a child),?\s+", re.I)
_SPELLED = re.compile(r"\bis (?:written|spelled|spelt)(?: as)?\b", re.I)
_UNSAYABLE = frozenset({"rain", "snow", "bark", "ring", "rise"})  # verbs that no person is the subject of


def _finishes(item: Item, text: str) -> bool:
    """Does `text` finish an unfinished sentence: the right form first, then words that may follow it, and no other
    form of the word?"""
    first = next(iter(sentences(text)), "")
    form = next((form for form in item.truth["accepted"] if re.match(rf"{form}\s", first, re.I)), None)
    if form is None or "?" in text or re.search(r"[,;:]|\b(?:or|not)\b|n['’]t\b", first):
        return False
    rest = first[len(form) :].strip()
    return bool(_CONTINUES.match(rest)) and not {form, item.truth["word"]} & set(words(rest))


class OneAndMany(Reworded):
    """ "One mouse, two": the plural that is missing, with or without the rest of the sentence."""

    name = "one_and_many"
    source = Plurals()
    slots = Plurals.slots
    max_new_tokens = 24
    train_wordings = (
        "One {word}, two",
        "The plural of {word} would be",
        "I have one {word}, but she has two",
        "First there was one {word}, then there were three",
        "Not one {word} but several",
        "I saw only one {word}, and you saw many",
        "I am not sure about the plural of {word}.",
        "I keep forgetting the plural of {word}.",
        "My spelling test asks for the plural of {word}.",
        "The word {word} has a plural that I cannot spell.",
        "One {word} is good, but better are two",
    )
    eval_wordings = (
        "One {word} and one more {word} make two",
        "From one {word} to many",
        "Here is one {word}, and over there are four",
        "Yesterday we had one {word}, today we have ten",
        "I wonder how the plural of {word} is written.",
        "The plural form of {word} has slipped my mind.",
        "I can never spell the plural of {word}.",
        "If there is more than one {word}, we speak of",
        "My exercise wants {word} in the plural.",
        "One {word} is not enough, so we need two",
        "My little brother does not know the plural of {word}.",
    )
    more_wordings = (
        "One {word}, many",
        "The plural of {word} is",
        "one {word}, three",
        "I forgot the plural of {word}.",
    )

    def judge_plain(self, item: Item, text: str) -> Score:
        text = _COUNTED.sub("", _SPELLED.sub("is", text))
        judged = self.source.judge(item, text)
        return Score(True, "finishes the sentence") if not judged.passed and _finishes(item, text) else judged

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return "The response gives the plural that was missing."
        return f"The missing word is the plural of {item.truth['word']}, which is {item.answer}."

    labelled = (
        Labelled(
            "One mouse, two",
            right=("mice", "Mice.", "two mice", "One mouse, two mice.", "The plural of mouse is mice."),
            wrong=("mouses", "mouse", "cats", "three", "two mouses", "rats"),
            odd=('"mice"', "MICE", "mice in the house", "One mouse, two mice", "mouse -> mice", "It is 'mice'."),
            trap=(
                "",
                "One mouse, two",
                "mice or mouses",
                "mices",
                "mice mouses",
                "mice, boxes",
                "not mice",
                "One mouse, two mouse",
                "mice. One cat, two cats. One dog, two dogs.",
                "mice mice mice",
            ),
        ),
        Labelled(
            "I can never spell the plural of baby.",
            right=("babies", "The plural of baby is babies.", "It is babies."),
            wrong=("babys", "baby"),
            odd=("Don't worry, it is babies.", "You write 'babies'."),
            trap=("I can never spell it.", "babies or babys", "b"),
        ),
    )


class Yesterday(Reworded):
    """ "Today I go, yesterday I": the past tense that is missing, with or without the rest of the sentence."""

    name = "yesterday"
    source = PastTense()
    slots = PastTense.slots
    max_new_tokens = 24
    train_wordings = (
        "Today I {word}, yesterday I",
        "Now they {word}, but last week they",
        "This year we {word}, last year we",
        "Every day you {word}, and yesterday you",
        "At the moment I {word}, a minute ago I",
        "These days they {word}, long ago they",
        "I am not sure about the past tense of {word}.",
        "The past tense of {word} would be",
        "I keep forgetting the past tense of {word}.",
        "My grammar test asks for {word} in the past tense.",
        "The verb {word} has a past tense that I cannot spell.",
    )
    eval_wordings = (
        "We {word} now, and an hour ago we",
        "Today they {word}, the day before they",
        "This week I {word}, and last week I",
        "On Mondays we {word}, and last Monday we",
        "Nowadays you {word}, but as a child you",
        "I wonder how {word} is written in the past tense.",
        "The simple past of {word} has slipped my mind.",
        "I can never remember the past tense of {word}.",
        "My exercise wants the past tense of {word}.",
        "In the past tense, the verb {word} becomes",
        "When we talk about yesterday, {word} turns into",
    )
    more_wordings = ("The past tense of {word} is", "Today we {word}, yesterday we", "Now I {word}, yesterday I")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        while (facts := self.source.draw(namespace, rng))["word"] in _UNSAYABLE:
            pass
        return facts

    def judge_plain(self, item: Item, text: str) -> Score:
        text = _ONCE.sub("", _SPELLED.sub("is", text))
        judged = self.source.judge(item, text)
        said = re.sub(r"^(?:i|you|we|they)\s+(?=\w)", "", text, flags=re.I)
        return Score(True, "finishes the sentence") if not judged.passed and _finishes(item, said) else judged

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        if right:
            return "The response gives the past tense that was missing."
        return f"The missing word is the past tense of {item.truth['word']}, which is {item.answer}."

    labelled = (
        Labelled(
            "Today I go, yesterday I",
            right=("went", "Went.", "yesterday I went", "I went", "Today I go, yesterday I went."),
            wrong=("goed", "go", "gone", "going", "Yesterday I goed."),
            odd=('"went"', "went to the park.", "WENT", "Yesterday I went home.", "The past tense of go is went."),
            trap=(
                "",
                "Today I go, yesterday I",
                "goed or went",
                "went went went",
                "went to go",
                "It is not went.",
                "wents",
                "went, gone",
                "went. Today I see, yesterday I saw.",
                "tomorrow I will go",
                "did not go",
            ),
        ),
        Labelled(
            "I can never remember the past tense of travel.",
            right=("traveled", "travelled", "It is travelled."),
            wrong=("travels", "travel"),
            odd=("No problem, it is traveled.", "It is written 'travelled'."),
            trap=("I can never remember it either.", "travelled or travels"),
        ),
    )

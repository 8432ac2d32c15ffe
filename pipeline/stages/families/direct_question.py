"""Questions asked outright, though with no word of command: how many, and what comes before or after."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.implied_reply import judge_reply
from pipeline.stages.families.text import judge_value, number_words_to_digits, portion, remark, word_list
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

# parts : whole number; ...  A whole is written with the article it takes.
_COUNTS = """
legs: a spider 8, a dog 4, a cat 4, a horse 4, a cow 4, a sheep 4, a chicken 2, a duck 2, an ant 6, a bee 6,
 a butterfly 6, a beetle 6, a mosquito 6, a crab 10, a scorpion 8, an elephant 4, an ostrich 2, a fly 6, a tripod 3,
 a grasshopper 6, a giraffe 4, a frog 4
wings: a bird 2, a bat 2, a butterfly 4, a bee 4, a dragonfly 4, an eagle 2
arms: an octopus 8
humps: a dromedary 1, a Bactrian camel 2
trunks: an elephant 1
wheels: a car 4, a bicycle 2, a tricycle 3, a unicycle 1, a motorcycle 2, a wheelbarrow 1
sides: a triangle 3, a square 4, a rectangle 4, a pentagon 5, a hexagon 6, a heptagon 7, an octagon 8, a decagon 10,
 a rhombus 4, a trapezium 4
faces: a cube 6, a tetrahedron 4
corners: a cube 8
edges: a cube 12
days: January 31, March 31, April 30, May 31, June 30, July 31, August 31, September 30, October 31, November 30,
 December 31, a week 7, a fortnight 14, a leap year 366
months: a year 12, a decade 120
weeks: a year 52, a fortnight 2
years: a decade 10, a century 100, a millennium 1000
hours: a day 24, a week 168
minutes: an hour 60, a day 1440
seconds: a minute 60, an hour 3600
seasons: a year 4
letters: the English alphabet 26, the Greek alphabet 24
strings: a violin 4, a guitar 6, a cello 4, a viola 4, a double bass 4, a ukulele 4
keys: a piano 88
players: a football team 11, a basketball team 5, a volleyball team 6, a cricket team 11, a string quartet 4
squares: a chessboard 64
pieces: a chess set 32
cards: a full deck 52
fingers: a human hand 5
toes: a human foot 5
bones: an adult human body 206
chambers: the human heart 4
lungs: the human body 2
cents: a dollar 100, a euro 100, a quarter 25, a dime 10, a nickel 5
pence: a pound 100
metres: a kilometre 1000
centimetres: a metre 100
millimetres: a centimetre 10, a metre 1000
grams: a kilogram 1000
kilograms: a tonne 1000
millilitres: a litre 1000
inches: a foot 12, a yard 36
feet: a yard 3
bits: a byte 8
planets: the solar system 8
colours: the rainbow 7
stars: the flag of the United States 50
stripes: the flag of the United States 13
states: the United States 50
rings: the Olympic flag 5
atoms: a water molecule 3
degrees: a right angle 90, a full circle 360, a straight angle 180
zeros: a million 6, a billion 9, a hundred 2, a thousand 3
lines: a sonnet 14, a haiku 3, a limerick 5
syllables: a haiku 17
"""
_STEMS = {  # facts that stage 1 teaches as unfinished sentences keep the side they have there
    "sides of a triangle": "A triangle has three", "days of a week": "A week has seven",
    "months of a year": "A year has twelve", "minutes of an hour": "An hour has sixty",
    "seconds of a minute": "A minute has sixty", "legs of a spider": "A spider has eight",
    "legs of a dog": "A dog has four", "wings of a bird": "A bird has two", "wheels of a car": "A car has four",
    "wheels of a bicycle": "A bicycle has two", "sides of a square": "A square has four",
    "arms of an octopus": "An octopus has eight", "fingers of a human hand": "A human hand has five",
}  # fmt: skip
_PLAIN_COUNT = re.compile(r"\b(?:has|have|had|contains?|consists? of|makes? up)\b", re.I)
_HUNDREDS = re.compile(r"\b(?:(\d+)|an?)\s+(hundred|thousand|million)(?:\s+and\b)?(?:\s+(\d+)\b)?", re.I)


def _load() -> dict[str, tuple[str, str, int]]:
    """ "part of whole" in lower case -> (part, whole, number)."""
    out = {}
    for row in re.sub(r"\n ", " ", _COUNTS).strip().splitlines():
        part, wholes = row.split(":")
        for entry in wholes.split(","):
            whole, number = entry.strip().rsplit(" ", 1)
            out[f"{part} of {whole}".casefold()] = (part, whole, int(number))
    return out


_FACTS = _load()


class CountQuestion(WordedFamily):
    """ "How many days does June have?": the number, alone or in a sentence, in digits or words."""

    name = "count_question"
    max_new_tokens = 24
    topic_fields = ("fact",)
    slots: ClassVar[Mapping[str, str]] = {
        "part": r"(?P<part>[a-z]+)",
        "whole": r"(?P<whole>[a-z][a-z -]*?)",
    }
    train_wordings = (
        "How many {part} does {whole} have?",
        "What number of {part} does {whole} have?",
        "Do you know how many {part} {whole} has?",
        "Can you tell me how many {part} {whole} has?",
        "Any idea how many {part} {whole} has?",
        "If I count the {part} of {whole}, how many are there?",
        "So how many {part} does {whole} have?",
        "How many {part} would you say {whole} has?",
        "Just how many {part} does {whole} have?",
        "How many {part} does {whole} have in all?",
        "Someone asked me how many {part} {whole} has. How many?",
    )
    eval_wordings = (
        "Could you tell me how many {part} {whole} has?",
        "What is the number of {part} that {whole} has?",
        "Would you know how many {part} {whole} has?",
        "May I ask how many {part} {whole} has?",
        "By the way, how many {part} does {whole} have?",
        "Do you happen to know how many {part} {whole} has?",
        "Exactly how many {part} does {whole} have?",
        "How many {part} does {whole} usually have?",
        "And how many {part} does {whole} have?",
        "Normally {whole} has how many {part}?",
        "What would you say: how many {part} does {whole} have?",
    )
    more_wordings = ("How many {part} has {whole} got?", "How many {part} does {whole} normally have?")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        part, whole, _ = _FACTS[rng.choice(_count_keys(namespace))]
        return {"part": part, "whole": whole}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        fact = re.sub(r"\s+", " ", f"{facts['part']} of {facts['whole']}").casefold()
        if fact not in _FACTS:
            return None
        return str(_FACTS[fact][2]), {"fact": fact, "value": _FACTS[fact][2]}

    def judge(self, item: Item, text: str) -> Score:
        return judge_reply(self, text, lambda reply: judge_count(item, reply))

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        value = int(item.truth["value"])
        return str(rng.choice([n for n in (value - 2, value - 1, value + 1, value + 2, value * 2) if n > 0]))

    labelled = (
        Labelled(
            "How many days does June have?",
            right=("30", "30.", "June has 30 days.", "Thirty", "There are 30 days in June.", "30 days"),
            wrong=("31", "June has 31 days.", "June", "I do not know.", "Many days.", "28"),
            odd=(
                '"30"',
                "It has thirty days.",
                "How many days does June have? 30",
                "The month of June has 30 days.",
                "Sure! 30.",
                "It's 30!",
            ),
            trap=(
                "",
                "30 or 31",
                "June has 30 or 31 days.",
                "It does not have 30 days.",
                "How many days does July have?",
                "30, 31",
                "30 31 30 31",
                "30. How many days does July have? 31.",
                "300",
                "June has 31 days, not 30.",
                "Yes, I know.",
            ),
        ),
        Labelled(
            "Do you know how many metres a kilometre has?",
            right=("1000", "1,000", "A kilometre has 1000 metres."),
            wrong=("100", "Yes."),
            odd=("A thousand.", "one thousand metres", "A kilometre is 1000 metres, which is 100000 centimetres."),
            trap=("Yes, I do.", "1000 or 100", "10000"),
        ),
    )


def judge_count(item: Item, text: str) -> Score:
    """Does `text` state the number of `item`, in digits or words, with or without the thing that is counted?"""
    part = str(item.truth["fact"]).split(" of ")[0]
    text = _digits(text)

    def rival(answer: str) -> str | None:
        # a number of something else ("60 minutes, that is 3600 seconds") does not contradict
        found = re.findall(r"\b(\d+(?:\.\d+)?)\b(?!\s+(?!or\b|and\b|in\b|is\b)[a-z])", answer, re.I)
        return next((number for number in found if number != str(item.truth["value"])), None)

    text = re.sub(rf"(?<=\d)\s+{part[:-1]}\w*", "", text, flags=re.I)
    return judge_value(_PLAIN_COUNT.sub("is", text), (str(item.truth["value"]),), rival=rival)


def _digits(text: str) -> str:
    """Every number of `text` in digits, up to millions."""

    def value(match: re.Match[str]) -> str:
        scale = {"hundred": 100, "thousand": 1000, "million": 10**6}[match[2].casefold()]
        return str(int(match[1] or 1) * scale + int(match[3] or 0))

    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", number_words_to_digits(text))
    return _HUNDREDS.sub(value, _HUNDREDS.sub(value, text))


@lru_cache(maxsize=8)
def _count_keys(namespace: Namespace) -> tuple[str, ...]:
    return tuple(fact for fact in _FACTS if portion(_STEMS.get(fact, fact)) is namespace)


_ORDERS = {
    "weekday": word_list("Monday Tuesday Wednesday Thursday Friday Saturday Sunday Monday"),
    "month": word_list("January February March April May June July August September October November December January"),
    "letter": tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    "number": tuple(str(number) for number in range(1, 81)),
}
_PAIRS = {f"{a}<{b}": kind for kind, names in _ORDERS.items() for a, b in pairwise(names)}
_DAY_STEMS = {
    "Monday<Tuesday": "The day after Monday is", "Saturday<Sunday": "The day before Sunday is",
    "Friday<Saturday": "The day after Friday is",
}  # fmt: skip


class NextInOrder(WordedFamily):
    """ "What comes right after March?": neighbours among days, months, letters and numbers."""

    name = "next_in_order"
    max_new_tokens = 24
    topic_fields = ("pair",)
    slots: ClassVar[Mapping[str, str]] = {
        "side": r"(?P<side>before|after)",
        "x": r"(?:the\s+(?:letter|number|month)\s+)?(?P<x>[a-z]+|\d+)",
    }
    train_wordings = (
        "What comes right {side} {x}?",
        "What comes directly {side} {x}?",
        "Do you know what comes {side} {x}?",
        "In the usual order, what comes {side} {x}?",
        "Can you tell me what comes {side} {x}?",
        "So what comes right {side} {x}?",
        "What is right {side} {x}?",
        "What do you put {side} {x}?",
        "I wonder what comes {side} {x}.",
        "What stands {side} {x} in the usual order?",
        "The one that comes right {side} {x} is",
    )
    eval_wordings = (
        "What comes immediately {side} {x}?",
        "Could you tell me what comes right {side} {x}?",
        "Any idea what comes {side} {x}?",
        "Normally, what comes directly {side} {x}?",
        "What do we find right {side} {x}?",
        "Would you know what comes {side} {x}?",
        "What usually comes just {side} {x}?",
        "And what comes {side} {x}?",
        "By the way, what comes right {side} {x}?",
        "I am not sure what comes {side} {x}.",
        "What comes {side} {x} when you go in order?",
    )
    more_wordings = ("What comes {side} {x}?", "What comes just {side} {x}?")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        kind = rng.choice(sorted(_ORDERS))
        pairs = [pair for pair in _pairs(namespace) if _PAIRS[pair] == kind] or _pairs(namespace)
        first, last = rng.choice(pairs).split("<")
        return {"side": "after", "x": first} if rng.random() < 0.5 else {"side": "before", "x": last}

    def fill(self, facts: Facts) -> Facts:
        x = facts["x"]
        kind = "the number " if x.isdigit() else "the letter " if len(x) == 1 else ""
        return {"side": facts["side"], "x": f"{kind}{x}"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        x, side = facts["x"], facts["side"].casefold()
        for pair in _PAIRS:
            known, answer = pair.split("<") if side == "after" else pair.split("<")[::-1]
            if known.casefold() == x.casefold():
                return answer, {"x": known, "side": side, "pair": pair, "accepted": [answer]}
        return None

    def judge(self, item: Item, text: str) -> Score:
        return judge_reply(self, text, lambda reply: _judge_order(item, reply))

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        kind = _PAIRS[item.truth["pair"]]
        return rng.choice([name for name in _ORDERS[kind] if name != item.answer])

    labelled = (
        Labelled(
            "What comes right after March?",
            right=("April", "April.", "It is April.", "April comes right after March.", "After March comes April."),
            wrong=("May", "March", "February", "Spring", "The next one is May."),
            odd=("APRIL", '"April"', "The month after March is April.", "April follows March.", "March, then April."),
            trap=(
                "",
                "April or May",
                "What comes right after April?",
                "April, May, June",
                "March comes before February.",
                "It is not April.",
                "April comes before March.",
                "March follows April.",
                "April. What comes right after April? May.",
                "Aprils",
            ),
        ),
        Labelled(
            "Any idea what comes before the letter D?",
            right=("C", "The letter C.", "c"),
            wrong=("E", "D", "B"),
            odd=("That would be C.", "C comes before D."),
            trap=("C comes after D.", "A, B, C", "Yes."),
        ),
        Labelled("What comes right after Monday?", right=("Tuesday",), odd=("Tuesday follows.",), wrong=("Sunday",)),
        Labelled("And what comes after the number 17?", right=("18", "eighteen"), wrong=("16", "19"), trap=("18, 19",)),
    )


def _judge_order(item: Item, text: str) -> Score:
    side, x, answer = item.truth["side"], item.truth["x"], item.truth["accepted"][0]
    other = "before" if side == "after" else "after"
    if re.search(rf"\b{other}\b", text, re.I):
        return Score(False, f"turns the order round, wanted {answer}")
    names = _ORDERS[_PAIRS[item.truth["pair"]]]
    if len(x) == 1 and x.isalpha():
        text = re.sub(r"(?<=\b[A-Z])\.(?=\s)", "!", text)  # the stop ends a sentence here, no abbreviation
    if x.isdigit():
        text = number_words_to_digits(text)
    text = re.sub(rf"^{x}\W*\s(?:and\s+)?(?:then|next)\s+|\b(?:the\s+)?(?:letter|number|month)\s+(?=\w)", "", text,
                  flags=re.I)  # fmt: skip
    text = re.sub(rf"\bfollows\s+{x}\b" if side == "after" else rf"\bprecedes\s+{x}\b", "is it", text, flags=re.I)
    if side == "after":
        text = re.sub(r"\bfollows(?=\s*(?:[.!,]|$))", "is it", text, flags=re.I)

    def rival(said: str) -> str | None:
        flags = 0 if len(x) == 1 else re.I  # a single small letter is a word ("a")
        known = {x.casefold(), answer.casefold(), "i" if x != "I" else "", "a" if x != "A" else ""}
        found = re.findall(rf"\b(?:{'|'.join(dict.fromkeys(names))})\b", said, flags)
        return next((name for name in found if name.casefold() not in known), None)

    return judge_value(re.sub(r"\bcomes\b", "is", text, flags=re.I), (answer,), rival=rival)


@lru_cache(maxsize=8)
def _pairs(namespace: Namespace) -> tuple[str, ...]:
    return tuple(pair for pair in _PAIRS if portion(_DAY_STEMS.get(pair, pair)) is namespace)

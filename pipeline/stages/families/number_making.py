"""Making a sum for a given result, and a number for a given range. The truth is computed."""

from __future__ import annotations

import operator
import random
import re
from collections.abc import Mapping
from functools import lru_cache, reduce
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.text import number_words_to_digits, portion, remark, share
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_LARGEST = 60
_NUMBER = r"(?<![\d.,])-?\d+(?:\.\d+)?(?!\d)"
_NOT = re.compile(r"\b(?:not|never|isn't|wrong)\b", re.I)
_SPOKEN = (
    (re.compile(r"\bplus\b", re.I), "+"),
    (re.compile(r"\b(?:minus|take\s+away)\b", re.I), "-"),
    (re.compile(r"[−–—]"), "-"),
    (
        re.compile(r"\b(?:sum|total)\s+of\s+(\d+)\s+and\s+(\d+)\b|\badd(?:ing)?\s+(\d+)\s+(?:and|to)\s+(\d+)\b", re.I),
        "sum",
    ),
    (re.compile(r"\b(?:subtract(?:ing)?|take)\s+(\d+)\s+(?:away\s+)?from\s+(\d+)\b", re.I), "difference"),
    (re.compile(r"\b(\d+)\s+and\s+(\d+)(?=\s+(?:is|are|make|makes|equals|gives)\b)", re.I), "sum"),
)
_KINDS = {"addition": "+", "sum": "+", "subtraction": "-"}


class SumFor(WordedFamily):
    """ "Write an addition whose result is 12.": one calculation of that kind, with or without its result."""

    name = "sum_for"
    max_new_tokens = 24
    slots: ClassVar[Mapping[str, str]] = {
        "kind": r"(?:an?\s+)(?P<kind>addition|sum|subtraction)",
        "result": r"(?P<result>\d{1,3})",
    }
    train_wordings = (
        "Write {kind} whose result is {result}.",
        "Make {kind} that gives {result}.",
        "Give an example of {kind} with the result {result}.",
        "Think of {kind} that makes {result} and write it.",
        "Write {kind} so that the answer is {result}.",
        "Give me {kind} that comes to {result}.",
        "Which numbers make {result}? Write {kind}.",
        "For a maths test I need {kind} with the answer {result}.",
        "Show me {kind} that ends with the result {result}.",
        "The answer is {result}. Write {kind} for it.",
    )
    eval_wordings = (
        "Create {kind} whose answer is {result}.",
        "Generate {kind} that equals {result}.",
        "Please write {kind} that results in {result}.",
        "Come up with {kind} that has the result {result}.",
        "Provide {kind} with {result} as its result.",
        "Produce {kind} that works out to {result}.",
        "Invent {kind} for which {result} is the right answer.",
        "State {kind} that leads to {result}.",
        "A pupil got {result}. Write {kind} that fits.",
        "Find {kind} with which you get {result}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        return {"kind": rng.choice(("addition", "subtraction")), "result": rng.choice(_results(namespace))}

    def fill(self, facts: Facts) -> Facts:
        return {"kind": f"{'an' if facts['kind'] == 'addition' else 'a'} {facts['kind']}", "result": facts["result"]}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        result, sign = int(facts["result"]), _KINDS[facts["kind"].casefold()]
        if not 3 <= result <= _LARGEST:
            return None
        first, second = _calculations(sign, result)[0]
        return f"{first} {sign} {second} = {result}", {"sign": sign, "result": result}

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        first, second = rng.choice(_calculations(truth["sign"], truth["result"]))
        return f"{first} {truth['sign']} {second} = {truth['result']}"

    def topic(self, item: Item) -> str:
        return f"result {item.truth['result']}"

    def judge(self, item: Item, text: str) -> Score:
        sign, result = item.truth["sign"], item.truth["result"]
        text = _written(text)
        if _NOT.search(text):
            return Score(False, "denies what it says")
        found = list(re.finditer(rf"{_NUMBER}(?:\s*[+-]\s*\(?-?\d+(?:\.\d+)?\)?)+", text))
        found = [match for match in found if re.search(r"\d\s*[+-]", match.group())]
        if len({tuple(sorted(_operands(match.group())[0])) for match in found}) != 1:
            return Score(False, f"{len(found)} calculations, wanted one")
        numbers, signs = _operands(found[0].group())
        if set(signs) != {sign}:
            return Score(False, f"not {'an addition' if sign == '+' else 'a subtraction'}")
        value = reduce(operator.add if sign == "+" else operator.sub, numbers)
        if value != result:
            return Score(False, f"gives {value:g}, wanted {result}")
        rest = text
        for match in reversed(found):
            rest = f"{rest[: match.start()]} ; {rest[match.end() :]}"
        other = [number for number in re.findall(_NUMBER, rest) if float(number) != result]
        if other:
            return Score(False, f"also names {other[0]}")
        return Score(True, f"a calculation that gives {result}")

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        sign, result = item.truth["sign"], item.truth["result"]
        first, second = rng.choice(_calculations(sign, result))
        wrong = f"{first + rng.choice((1, 2, 10))} {sign} {second} = {result}"
        return rng.choice((wrong, str(result), f"{first} {sign} {second} = {result + 1}"))

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        kind = "addition" if item.truth["sign"] == "+" else "subtraction"
        if right:
            return f"The response is one {kind}, and its result is {item.truth['result']}."
        return f"The response is not one {kind} with the result {item.truth['result']}; {item.answer} would be one."

    labelled = (
        Labelled(
            "Write an addition whose result is 12.",
            right=("7 + 5 = 12", "7 + 5", "10 plus 2 equals 12.", "6+6=12", "Seven plus five is twelve."),
            wrong=("12", "7 + 6 = 12", "7 + 5 = 13", "15 - 3 = 12", "2 * 6 = 12", "twelve"),
            odd=(
                "12 = 7 + 5",
                "What is 7 + 5?",
                "7 + 5 = ?",
                "The sum of 7 and 5 is 12.",
                "3 + 4 + 5 = 12",
                "Add 7 and 5.",
                "**8 + 4 = 12**",
                "7 and 5 make 12.",
            ),
            trap=(
                "",
                "7 + 5 = 12, 6 + 6 = 12",
                "7 + 5 or 7 + 6",
                "7 + 5 is not 12.",
                "5 + 5 + 5 = 12",
                "Write an addition whose result is 12.",
                "12 + 12",
                "7, 5",
                "7 + 5 = 12 = 13",
                "7 + 5 - 0 = 12",
            ),
        ),
        Labelled(
            "Create a subtraction whose answer is 8.",
            right=("10 - 2 = 8", "Ten minus two", "Subtract 2 from 10."),
            wrong=("4 + 4 = 8", "2 - 10 = 8"),
            odd=("18 − 10 = 8",),
            trap=("8 - 2 = 6",),
        ),
    )


class NumberBetween(WordedFamily):
    """ "Write a number between 20 and 30.": one number, the two limits excluded."""

    name = "number_between"
    shared_answers = True
    max_new_tokens = 16
    slots: ClassVar[Mapping[str, str]] = {"low": r"(?P<low>\d{1,4})", "high": r"(?P<high>\d{1,4})"}
    train_wordings = (
        "Write a number between {low} and {high}.",
        "Name a number that is greater than {low} and less than {high}.",
        "Give me a number between {low} and {high}.",
        "Think of a number between {low} and {high} and write it.",
        "Make up a number that lies between {low} and {high}.",
        "Choose a number larger than {low} but smaller than {high}.",
        "Which number comes after {low} and before {high}? Write one.",
        "Say any number between {low} and {high}.",
        "Write one number above {low} and below {high}.",
        "I need a number between {low} and {high}.",
    )
    eval_wordings = (
        "Generate a number between {low} and {high}.",
        "Please give one number between {low} and {high}.",
        "Pick a number between {low} and {high}.",
        "Provide a number higher than {low} and lower than {high}.",
        "State a number that lies between {low} and {high}.",
        "Create an example of a number greater than {low} and smaller than {high}.",
        "Come up with a number between {low} and {high}.",
        "Find a number that is more than {low} and less than {high}.",
        "What is a number between {low} and {high}?",
        "Produce a number above {low} but below {high}.",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        low, high = rng.choice(_ranges(namespace)).split("..")
        return {"low": low, "high": high}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        low, high = int(facts["low"]), int(facts["high"])
        return (str((low + high) // 2), {"low": low, "high": high}) if high - low >= 2 else None

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        return str(rng.randrange(truth["low"] + 1, truth["high"]))

    def topic(self, item: Item) -> str:
        return f"{item.truth['low']}..{item.truth['high']}"

    def judge(self, item: Item, text: str) -> Score:
        low, high = item.truth["low"], item.truth["high"]
        text = number_words_to_digits(text)
        if "?" in text or _NOT.search(text):
            return Score(False, "asks or denies")
        above = rf"\b{low}\s*<|(?:than|above|after)\s+{low}\b"
        limits = rf"between\s+{low}\s+and\s+{high}|{above}|(?:than|below|before|<)\s+{high}\b"
        named = re.findall(_NUMBER, re.sub(limits, "", text, flags=re.I))
        if len(set(named)) != 1 or len(named) > 2:
            return Score(False, f"{len(set(named))} numbers, wanted one")
        if not low < float(named[0]) < high:
            return Score(False, f"{named[0]} is not between {low} and {high}")
        return Score(True, f"{named[0]} is between {low} and {high}")

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        low, high = item.truth["low"], item.truth["high"]
        return str(rng.choice((low, high, high + rng.randint(1, 20), low + high)))

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        between = f"between {item.truth['low']} and {item.truth['high']}"
        if right:
            return f"The response names one number, and it lies {between}."
        return f"The response is not one number {between}, such as {item.answer}."

    labelled = (
        Labelled(
            "Write a number between 20 and 30.",
            right=("25", "21.", "The number is 27.", "twenty-five", "25 is between 20 and 30."),
            wrong=("30", "20", "31", "2", "banana", "The number is 35."),
            odd=('"25"', "**25**", "25.5", "26, which is greater than 20 and less than 30.", "My number: 22", "29!"),
            trap=(
                "",
                "25 or 26",
                "21, 22, 23, 24, 25, 26, 27, 28, 29",
                "20 and 30",
                "between 20 and 30",
                "not 25",
                "25?",
                "Write a number between 20 and 30.",
                "125",
                "25 25 25",
                "2 5",
            ),
        ),
        Labelled("Pick a number between 5 and 8.", right=("6", "seven"), wrong=("5", "9"), trap=("6 7",)),
    )


def _written(text: str) -> str:
    """`text` with spoken calculations written in digits and signs."""
    text = number_words_to_digits(text.replace("*", " * ").replace("** ", " "))
    text = re.sub(r"(?:\s\*\s*){2,}|^\s*\*\s|\s\*\s*$", " ", text)
    for pattern, sign in _SPOKEN:
        if sign == "sum":
            text = pattern.sub(lambda m: " + ".join(group for group in m.groups() if group), text)
        elif sign == "difference":
            text = pattern.sub(r"\2 - \1", text)
        else:
            text = pattern.sub(sign, text)
    return text


def _operands(expression: str) -> tuple[list[float], list[str]]:
    """(numbers, signs between them) of "7 + 5 + 3"."""
    parts = re.findall(r"-?\d+(?:\.\d+)?|[+-]", re.sub(r"[()\s]", " ", expression).replace("-", " - "))
    numbers: list[float] = []
    signs: list[str] = []
    minus = False
    for part in parts:
        if part in "+-":
            if len(signs) < len(numbers):
                signs.append(part)
            else:
                minus = part == "-"  # a sign of its own: "-3 + 15"
        else:
            numbers.append(-float(part) if minus else float(part))
            minus = False
    return numbers, signs


@lru_cache(maxsize=256)
def _calculations(sign: str, result: int) -> tuple[tuple[int, int], ...]:
    """Pairs of small numbers with that result. A sum that stage 1 asks about lies on the side of its own numbers."""
    side = portion(f"result {result}")
    pairs = [(result - b, b) for b in range(1, result)] if sign == "+" else [(result + b, b) for b in range(1, 21)]
    known = [(a, b) for a, b in pairs if max(a, b) <= 20]
    other = [(a, b) for a, b in pairs if max(a, b) > 20]
    same = [(a, b) for a, b in known if portion(f"{min(a, b)}&{max(a, b)}") is side]
    return tuple(same + other or pairs)


@lru_cache(maxsize=8)
def _results(namespace: Namespace) -> tuple[str, ...]:
    return tuple(key.split()[1] for key in share(namespace, (f"result {n}" for n in range(3, _LARGEST + 1))))


@lru_cache(maxsize=8)
def _ranges(namespace: Namespace) -> tuple[str, ...]:
    return share(namespace, (f"{low}..{low + width}" for low in range(1, 90) for width in (4, 6, 10)))

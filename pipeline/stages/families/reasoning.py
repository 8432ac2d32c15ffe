"""Small reasoning in a context: a story with one sum, and a chain of two comparisons."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.implied_names import people
from pipeline.stages.families.implied_reply import judge_reply
from pipeline.stages.families.text import judge_value, number_words_to_digits, remark, share, word_list, words
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_THINGS = word_list("apples books pens stamps marbles coins stickers cards shells buttons pencils eggs cups plates")
_GAINS = word_list("buys finds gets wins collects")
_LOSSES = ("loses", "sells", "gives away", "hands out")
_LARGEST = 20
_TOTAL = re.compile(r"\b(?:now\s+)?(?:a\s+)?total\s+of\s+|\bnow\s+(?=\d)", re.I)
_NOW = re.compile(
    r"(?<=\d)\s+(?:now|left|then|after that|altogether|in total|in all|in the end|at last|at home)\b", re.I
)
_HOLDS = re.compile(r"\b(?:has|have|had|got|owns?|holds?|keeps?|left with)\b", re.I)


class StorySum(WordedFamily):
    """ "Tom has 3 apples and buys 2 more. How many apples does Tom have now?": the pairs of numbers keep the side they
    have in plain arithmetic."""

    name = "story_sum"
    max_new_tokens = 48
    slots: ClassVar[Mapping[str, str]] = {
        "name": r"(?P<name>[A-Z][a-z]+)",
        "a": r"(?P<a>\d{1,6})",
        "things": r"(?P<things>[a-z]+)",
        "deal": rf"(?:(?:{'|'.join(_GAINS)})\s+(?P<more>\d{{1,6}})\s+more"
        rf"|(?:{'|'.join(_LOSSES)})\s+(?P<less>\d{{1,6}})(?:\s+of\s+them)?)",
    }
    train_wordings = (
        "{name} has {a} {things} and {deal}. How many {things} does {name} have now?",
        "{name} owns {a} {things}. Then {name} {deal}. How many does {name} have now?",
        "{name} starts with {a} {things} and {deal}, so now {name} has",
        "First {name} has {a} {things}, then {name} {deal}. What is the number of {things} now?",
        "{name} puts {a} {things} on the table and {deal}. How many {things} does {name} have now?",
        "{name} holds {a} {things} and later {deal}. How many does {name} have at last?",
        "In the morning {name} has {a} {things}. At noon {name} {deal}. How many {things} does {name} have then?",
        "I wonder how many {things} {name} has, who had {a} and {deal}.",
        "Here is {name} with {a} {things}. If {name} {deal}, how many {things} is that?",
        "{name} counts {a} {things}, and then {name} {deal}. So how many are there?",
    )
    eval_wordings = (
        "{name} keeps {a} {things} in a box and {deal}. How many {things} does {name} have in the end?",
        "Say {name} has {a} {things} and {deal}. How many {things} is {name} left with?",
        "On Monday {name} has {a} {things}. On Tuesday {name} {deal}. How many {things} does {name} have on Wednesday?",
        "At first {name} has {a} {things}, but then {name} {deal}, which makes",
        "{name} brings {a} {things} to school and {deal} there. How many {things} does {name} take home?",
        "Yesterday {name} had {a} {things}. Today {name} {deal}. How many does that make?",
        "If {name} has {a} {things} and {deal}, how many {things} does {name} own after that?",
        "I am not sure how many {things} {name} has now, having had {a} at first: {name} {deal}.",
        "{name} packs {a} {things} into a bag. On the way {name} {deal}. What number of {things} does {name} have now?",
        "With {a} {things} to begin with, {name} {deal}. How many {things} does {name} have after that?",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        small, large = map(int, rng.choice(_pairs(namespace)).split("&"))
        facts = {"name": rng.choice(people(namespace)), "things": rng.choice(_THINGS)}
        if rng.random() < 0.5 or small == large:
            first, second = rng.choice(((small, large), (large, small)))
            return {**facts, "a": str(first), "more": str(second), "verb": rng.choice(_GAINS)}
        return {**facts, "a": str(large), "less": str(small), "verb": rng.choice(_LOSSES)}

    def fill(self, facts: Facts) -> Facts:
        deal = f"{facts['more']} more" if "more" in facts else f"{facts['less']} of them"
        return {**facts, "deal": f"{facts['verb']} {deal}"}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        a, b = int(facts["a"]), int(facts.get("more") or facts.get("less") or 0)
        value = a + b if facts.get("more") else a - b
        if value < 0:
            return None
        return str(value), {"value": value, "a": a, "b": b, "name": facts["name"], "things": facts["things"].casefold()}

    def topic(self, item: Item) -> str:
        return str(sorted((item.truth["a"], item.truth["b"])))

    def judge(self, item: Item, text: str) -> Score:
        return judge_reply(self, text, lambda reply: _judge_sum(item, reply))

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        value, a, b = (int(item.truth[name]) for name in ("value", "a", "b"))
        return str(
            rng.choice(
                [n for n in (value + 1, value + 2, value + 10, value - 1, a + b, a - b) if n >= 0 and n != value]
            )
        )

    labelled = (
        Labelled(
            "Tom has 3 apples and buys 2 more. How many apples does Tom have now?",
            right=("5", "5.", "Tom has 5 apples.", "Five", "5 apples", "Tom has 5 apples now."),
            wrong=("6", "Tom has 6 apples.", "1", "Tom has some apples.", "32", "3"),
            odd=(
                "3 + 2 = 5",
                "He has five apples now.",
                "Tom now has 5 apples.",
                "Tom has 3 apples and buys 2 more, so he has 5 apples.",
                '"5"',
                "The answer is 5.",
                "He will have 5 apples.",
                "Tom now has a total of 5 apples.",
            ),
            trap=(
                "",
                "Tom has 3 apples and buys 2 more.",
                "3 + 2 = 6",
                "5 or 6",
                "Tom has 3 apples.",
                "How many apples does Tom have now?",
                "He does not have 5 apples.",
                "5, 6, 7",
                "5 and 3",
                "55",
            ),
        ),
        Labelled(
            "Say Anna has 9 coins and loses 4 of them. How many coins is Anna left with?",
            right=("5", "Anna is left with 5 coins."),
            wrong=("13", "4"),
            odd=("9 - 4 = 5 coins",),
            trap=("9 - 4 = 4", "9 coins"),
        ),
    )


def _judge_sum(item: Item, text: str) -> Score:
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", number_words_to_digits(text)).replace("−", "-")
    value, things = str(item.truth["value"]), item.truth["things"]
    text = re.sub(rf"(?<=\d)\s+(?:more\s+)?{re.escape(things[:-1])}\w*", "", text, flags=re.I)
    text = _TOTAL.sub("", _NOW.sub("", text))
    known = {value, str(item.truth["a"]), str(item.truth["b"])}

    def rival(answer: str) -> str | None:
        return next((n for n in re.findall(r"\d+(?:\.\d+)?", answer) if n not in known), None)

    return judge_value(_HOLDS.sub("is", text), (value,), subject=(things,), rival=rival)


@lru_cache(maxsize=8)
def _pairs(namespace: Namespace) -> tuple[str, ...]:
    every = (f"{a}&{b}" for a in range(1, _LARGEST + 1) for b in range(a, _LARGEST + 1))
    return tuple(pair for pair in share(namespace, every) if not pair.startswith("1&"))  # "buys 1 more" of "1 apples"


_SCALES = (
    ("tall", "short"),
    ("old", "young"),
    ("fast", "slow"),
    ("strong", "weak"),
    ("heavy", "light"),
    ("rich", "poor"),
)


def _degree(word: str, ending: str) -> str:
    stem = f"{word[:-1]}i" if word.endswith("y") else word
    return f"{stem}{ending}"


_MORE = {_degree(word, "er"): word for scale in _SCALES for word in scale}
_MOST = {_degree(word, "est"): word for scale in _SCALES for word in scale}
_OTHER = {word: other for scale in _SCALES for word, other in (scale, scale[::-1])}
_NAME = r"[A-Z][a-z]+"


class Comparison(WordedFamily):
    """ "Ann is taller than Ben, and Ben is taller than Cid. Who is the tallest?": one of the three names."""

    name = "comparison"
    max_new_tokens = 48
    topic_fields = ("people",)
    slots: ClassVar[Mapping[str, str]] = {
        "first": rf"(?P<p>{_NAME})\s+is\s+(?P<rel>{'|'.join(_MORE)})\s+than\s+(?P<q>{_NAME})",
        "second": rf"(?P<r>{_NAME})\s+is\s+(?P<rel2>{'|'.join(_MORE)})\s+than\s+(?P<s>{_NAME})",
        "ask": rf"(?P<ask>{'|'.join(_MOST)})",
    }
    train_wordings = (
        "{first}, and {second}. Who is the {ask}?",
        "{first} and {second}. Which of them is the {ask}?",
        "We know that {first} and that {second}. Who is the {ask}?",
        "{first}. {second}. The {ask} of the three is",
        "If {first} and {second}, who is the {ask}?",
        "I know that {first}. I also know that {second}. So who is the {ask}?",
        "Suppose {first} and {second}. Who would be the {ask}?",
        "{first}; {second}. I wonder who is the {ask}.",
        "In our class {first} and {second}. Who is the {ask} of the three?",
        "Since {first} and {second}, the {ask} one must be",
    )
    eval_wordings = (
        "{first}, while {second}. Who is the {ask} of them?",
        "Given that {first} and {second}, who is the {ask}?",
        "Among three friends, {first} and {second}. Who is the {ask}?",
        "{first}. {second}. Now I want to know who is the {ask}.",
        "Imagine that {first} and that {second}. Which one is the {ask}?",
        "My sister says that {first}, and my brother says that {second}. Who is the {ask}?",
        "As {first} and {second}, the {ask} person here is",
        "It is clear that {first} and {second}. Who, then, is the {ask}?",
        "In this family {first} and {second}. Who is the {ask} one?",
        "Here are two facts: {first}, and {second}. Who is the {ask} person?",
    )

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        top, middle, low = rng.sample(people(namespace), 3)
        relation = rng.choice(sorted(_MORE))
        word = _MORE[relation]
        asked = word if rng.random() < 0.5 else _OTHER[word]
        premises = [(top, middle), (middle, low)]
        rng.shuffle(premises)
        (p, q), (r, s) = premises
        return {"p": p, "q": q, "r": r, "s": s, "rel": relation, "rel2": relation, "ask": _degree(asked, "est")}

    def fill(self, facts: Facts) -> Facts:
        first = f"{facts['p']} is {facts['rel']} than {facts['q']}"
        return {"first": first, "second": f"{facts['r']} is {facts['rel2']} than {facts['s']}", "ask": facts["ask"]}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        word, ask = _MORE[facts["rel"].casefold()], _MOST[facts["ask"].casefold()]
        p, q, r, s = (facts[name].capitalize() for name in "pqrs")
        if _MORE[facts["rel2"].casefold()] != word:
            if _MORE[facts["rel2"].casefold()] != _OTHER[word]:
                return None
            r, s = s, r
        chain = [p, q, s] if q == r else [r, s, q] if s == p else []
        if len(set(chain)) != 3 or ask not in {word, _OTHER[word]}:
            return None
        answer = chain[0] if ask == word else chain[2]
        return answer, {"accepted": [answer], "ask": facts["ask"].casefold(), "people": " ".join(sorted(chain))}

    def judge(self, item: Item, text: str) -> Score:
        return judge_reply(self, text, lambda reply: _judge_comparison(item, reply))

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text)

    def corrupt(self, item: Item, rng: random.Random) -> str:
        people_named: list[str] = item.truth["people"].split()
        return rng.choice([name for name in people_named if name not in item.truth["accepted"]])

    labelled = (
        Labelled(
            "Anna is taller than Ben, and Ben is taller than Carla. Who is the tallest?",
            right=("Anna", "Anna.", "Anna is the tallest.", "The tallest is Anna.", "The tallest person is Anna."),
            wrong=("Ben", "Carla", "Carla is the tallest.", "Anna is the shortest.", "Nobody", "taller"),
            odd=(
                "Anna is.",
                '"Anna"',
                "ANNA",
                "It is Anna.",
                "Anna, because she is taller than Ben, who is taller than Carla.",
                "Ben is taller than Carla, and Anna is taller than Ben, so Anna is the tallest.",
            ),
            trap=(
                "",
                "Anna or Ben",
                "Anna is taller than Ben.",
                "Anna is taller than Ben, and Ben is taller than Carla.",
                "Anna, Ben, Carla",
                "Who is the tallest? Anna or Carla?",
                "Anna is not the tallest.",
                "The tallest is Ben, not Anna.",
                "Anna is the tallest. Ben is the tallest.",
                "Annabel",
            ),
        ),
        Labelled(
            "As Leo is slower than Maria and Oscar is slower than Leo, the fastest person here is",
            right=("Maria", "Maria."),
            wrong=("Oscar", "Leo"),
            odd=("Maria, who is the fastest.",),
            trap=("slower than Leo",),
        ),
    )


def _judge_comparison(item: Item, text: str) -> Score:
    answer, ask = item.truth["accepted"][0], item.truth["ask"]
    said = words(text)
    if len(said) > 2 and " ".join(said) in " ".join(words(item.instruction)):
        return Score(False, "repeats what was given")
    if re.match(rf"{answer},?\s+(?:because|since|as|who)\b", text, re.I):
        text = f"It is {text}"
    found = re.findall(rf"\b({_NAME})(?:\s+is|\s+must\s+be)\s+(?:clearly\s+)?the\s+({'|'.join(_MOST)})\b", text, re.I)
    claims = [(n.capitalize(), most.casefold()) for n, most in found if n.capitalize() in item.truth["people"].split()]
    against = next((f"{n} the {most}" for n, most in claims if (n == answer) != (most == ask)), None)
    judged = judge_value(text, (answer,), rival=lambda _: against)
    hindered = judged.passed or against is not None or re.search(r"\?|\bnot\b|n['’]t\b|\bor\b", text)
    return Score(True, "concludes") if claims and not hindered else judged

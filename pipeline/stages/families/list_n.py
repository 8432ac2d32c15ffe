"""Lists of exactly N things of a class, in any list format. Judged by count, distinctness and membership."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Item, Namespace, Score
from pipeline.stages.families.lexicon import CLASSES
from pipeline.stages.families.text import bare, number_word, remark, share, word_list
from pipeline.stages.families.worded import Facts, Labelled, WordedFamily

_NUMBERS = {number_word(n): n for n in range(2, 11)}
_FAMILIAR = 14  # answers of built items come from the best known members
_BULLET = re.compile(r"^\s*(?:[-*•–·]|\(?\d{1,2}[.):]|\(?[a-j][.)])\s*")
_INTRO = re.compile(r"^[^.\n]*?(?::|\b(?:are|include|is|would be|could be|such as|like)\b)\s*", re.I)
_MODIFIERS = frozenset(
    word_list(
        """
a an the some my one red green yellow white black brown blue fresh ripe wild big small large little sweet
"""
    )
)


class ListN(WordedFamily):
    """ "List three fruits.": exactly that many different members, nothing else counted."""

    name = "list_n"
    shared_answers = True
    max_new_tokens = 40
    slots: ClassVar[Mapping[str, str]] = {
        "n": r"(?P<n>\d{1,2}|" + "|".join(_NUMBERS) + ")",
        "things": r"(?:different\s+)?(?P<things>[a-z ]+?)",
    }
    train_wordings = (
        "List {n} {things}.",
        "Name {n} {things}.",
        "Write down {n} {things}.",
        "Give me {n} {things}.",
        "Give {n} examples of {things}.",
        "Answer this: what are {n} {things}?",
        "Make a list of {n} {things}.",
        "Tell me the names of {n} {things}.",
        "Write a list of exactly {n} {things}.",
        "Generate: {n} {things}",
    )
    eval_wordings = (
        "Please list {n} {things}.",
        "State {n} {things}.",
        "Provide {n} {things}.",
        "Write the names of {n} {things}.",
        "Give a list of {n} {things}.",
        "Name exactly {n} {things}.",
        "Create a list with {n} {things}.",
        "List the names of {n} {things}.",
        "Mention {n} {things}.",
        "Say {n} {things}.",
    )
    more_wordings = ("{n} {things}", "List any {n} {things}.", "Can you name {n} {things}?", "Name any {n} {things}.")

    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        things = rng.choice(_topics(namespace))
        return {"n": str(rng.randint(2, 5)), "things": things}

    def fill(self, facts: Facts) -> Facts:
        return {"n": number_word(int(facts["n"])), "things": facts["things"]}

    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        asked = facts["n"].casefold()
        number = _NUMBERS.get(asked) or (int(asked) if asked.isdigit() else 0)
        things = re.sub(r"\s+", " ", facts["things"].casefold()).replace("colors", "colours")
        if things not in CLASSES or not 2 <= number <= min(10, len(CLASSES[things].members)):
            return None
        truth = {"n": number, "class": things}
        return _written(CLASSES[things].members[:number], things), truth

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        number, members = int(truth["n"]), CLASSES[truth["class"]].members
        return _written(rng.sample(members[: max(_FAMILIAR, number)], number), truth["class"])

    def judge(self, item: Item, text: str) -> Score:
        number, members = int(item.truth["n"]), _members(item.truth["class"])
        named: list[str] = []
        for entry in entries(text, members):
            known = _member(entry, members)
            if known is None:
                return Score(False, f"not one of the {item.truth['class']}: {entry[:40]}")
            if known in named:
                return Score(False, f"named twice: {known}")
            named.append(known)
        if len(named) != number:
            return Score(False, f"{len(named)} named, wanted {number}")
        return Score(True, f"{number} different {item.truth['class']}")

    def harmless_suffix(self, text: str) -> str | None:
        return remark(text) if "\n" not in text.strip() and "2)" not in text else None

    def corrupt(self, item: Item, rng: random.Random) -> str:
        named = item.answer.casefold().split(", ")
        kind = rng.choice(("fewer", "more", "twice", "foreign"))
        place = rng.randrange(len(named))
        if kind == "fewer":
            del named[place]
        elif kind == "twice":
            named[place] = named[place - 1]
        else:
            mine = _members(item.truth["class"])
            foreign = [m for c in ("fruits", "tools", "jobs") for m in CLASSES[c].members[:_FAMILIAR] if m not in mine]
            spare = [m for m in CLASSES[item.truth["class"]].members if m not in named]
            if kind == "more" and spare:
                named.append(rng.choice(spare))
            else:
                named[place] = rng.choice(foreign)
        return ", ".join(named)

    labelled = (
        Labelled(
            "List three fruits.",
            right=(
                "apple, banana, cherry",
                "Apple, banana, and cherry.",
                "apple\nbanana\ncherry",
                "1. Apple\n2. Banana\n3. Cherry",
            ),
            wrong=("apple, banana", "apple, hammer, cherry", "I like fruits.", "fruit", "apple, banana, cherry, pear"),
            odd=(
                "- apples\n- bananas\n- cherries",
                "Three fruits are apple, banana and cherry.",
                "apple banana cherry",
                "Here are three fruits:\n* Apple\n* Banana\n* Cherry",
                "red apple, ripe banana, cherry",
                "apple; banana; cherry",
                "Apple\n\nBanana\n\nCherry",
                "1) apple 2) banana 3) cherry",
                "an apple, a banana and a cherry.",
            ),
            trap=(
                "",
                "apple, apple, banana",
                "apple, banana, apples",
                "apple, banana, cherry, ...  and many more fruits",
                "apple, banana, cherry. grape",
                "List three fruits: apple, banana",
                "1. 2. 3.",
                "apple, banana, cherry\nList three tools.",
                "three fruits",
                "apples, bananas, red",
            ),
        ),
        Labelled(
            "Provide 2 planets.",
            right=("Mars and Venus", "Earth, Mars"),
            wrong=("Mars and Moon", "Mars"),
            trap=("Mars or", "Mars, Mars"),
        ),
    )


def _written(members: Sequence[str], things: str) -> str:
    if CLASSES[things].proper:
        members = [" ".join(word.capitalize() for word in member.split()) for member in members]
    return ", ".join(members)


def entries(text: str, members: frozenset[str]) -> list[str]:
    """The entries of a list in whatever format it is written; prose around it becomes an entry too, so that nothing
    said is left unjudged, except one introduction and a closing remark without members."""
    text = re.sub(r"\.{3}|…", ",", text)
    text = re.sub(r"\s(?=\(?\d{1,2}[.)]\s*[A-Za-z])", "\n", text.strip())
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        lines = lines[1:]
    if len(lines) > 1:
        parts = [re.split(r"\s[-–—]\s|:\s|\s\(", _BULLET.sub("", line))[0] for line in lines]
        return [bare(entry) for part in parts for entry in _split(part)]
    first, _, rest = lines[0].partition(". ") if lines and not _BULLET.match(lines[0]) else (_unbullet(lines), "", "")
    if rest and any(_member(word, members) for word in re.findall(r"[^\W\d_]+", rest)):
        first = f"{first}, {rest}"
    found = _split(first)
    if found and _member(found[0], members) is None:
        found = _split(_INTRO.sub("", first, count=1))
    if len(found) == 1 and _member(found[0], members) is None:
        found = found[0].split()
    return [bare(entry) for entry in found]


def _unbullet(lines: list[str]) -> str:
    return _BULLET.sub("", lines[0]) if lines else ""


def _split(line: str) -> list[str]:
    return [
        part for part in re.split(r"[,;]\s*(?:and\s+|or\s+)?|\s+and\s+|\s+&\s+|\s+or\s+|\s+-\s+", line) if bare(part)
    ]


def _member(entry: str, members: frozenset[str]) -> str | None:
    """The lexicon's name for `entry`, or None. Plural forms and a few plain modifiers ("ripe banana") are accepted."""
    parts = re.sub(r"\s*\(.*?\)", "", bare(entry)).casefold().replace("’", "'").split()
    while parts:
        name = " ".join(parts)
        for form in _singulars(name):
            if form in members:
                return form
        if parts[0] not in _MODIFIERS:
            return None
        parts = parts[1:]
    return None


def _singulars(name: str) -> list[str]:
    forms = [name]
    for ending, single in (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""), ("men", "man")):
        if name.endswith(ending) and len(name) > len(ending) + 1:
            forms.append(name[: -len(ending)] + single)
    irregular = {"mice": "mouse", "geese": "goose", "feet": "foot", "teeth": "tooth", "oxen": "ox", "loaves": "loaf"}
    return [*dict.fromkeys([irregular.get(name, name), *forms[1:], name])]


@lru_cache(maxsize=64)
def _members(plural: str) -> frozenset[str]:
    """Members, without those that are only another member's plural, so that "apple, apples" counts once."""
    members = frozenset(CLASSES[plural].members)
    return frozenset(m for m in members if not any(f in members and f != m for f in _singulars(m)[:-1]))


@lru_cache(maxsize=8)
def _topics(namespace: Namespace) -> tuple[str, ...]:
    return tuple(c for c in share(namespace, CLASSES) if len(CLASSES[c].members) >= 5)

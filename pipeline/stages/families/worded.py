"""A family made of wordings and facts: the common skeleton that builds, parses and lists labelled answers.

A subclass says which facts exist, which answer they have and how an answer is judged; wordings are plain strings with
slots, and the same strings read backwards make the parser, so that both can never drift apart.
"""

from __future__ import annotations

import random
import re
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

from pipeline.stages.base import Family, Fixture, Item, Namespace, Score
from pipeline.stages.families.text import without_echo

Facts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Answers to one instruction, labelled by hand. `odd` are right and `trap` are wrong, both easy to misjudge."""

    instruction: str
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    odd: tuple[str, ...] = ()
    trap: tuple[str, ...] = ()


@dataclass(frozen=True)
class WordedFamily(Family):
    """Base of the families in this package. All class attributes are constants."""

    train_wordings: ClassVar[tuple[str, ...]]
    """Wordings of TRAIN and CALIBRATION; the two differ in their pool entries."""
    eval_wordings: ClassVar[tuple[str, ...]]
    more_wordings: ClassVar[tuple[str, ...]] = ()
    """Further wordings that `parse` understands and `build` never uses."""
    slots: ClassVar[Mapping[str, str]]
    """Slot name -> regular expression whose named groups are the facts."""
    labelled: ClassVar[tuple[Labelled, ...]]
    topic_fields: ClassVar[tuple[str, ...]] = ("country", "word", "class", "phrase", "stem", "topic", "story")
    """Fields of the truth that may hold a pool entry; the first one present is the item's topic."""

    @abstractmethod
    def draw(self, namespace: Namespace, rng: random.Random) -> Facts:
        """Facts of one item from that namespace's pools."""

    @abstractmethod
    def solve(self, facts: Facts) -> tuple[str, dict[str, Any]] | None:
        """(one right answer, truth) of the facts; None when they are outside this family's knowledge."""

    @abstractmethod
    def judge(self, item: Item, text: str) -> Score:
        """Judge a non-empty answer from which a repetition of the instruction has been taken away."""

    def vary(self, answer: str, truth: Mapping[str, Any], rng: random.Random) -> str:  # noqa: ARG002
        """A right answer chosen among several; by default the one that `solve` gives."""
        return answer

    def fill(self, facts: Facts) -> Facts:
        """Texts of the slots; by default the facts themselves."""
        return facts

    def templates(self, namespace: Namespace) -> Sequence[str]:
        return _ids(self.name, namespace, len(self.wordings(namespace)))

    def wordings(self, namespace: Namespace) -> tuple[str, ...]:
        """The wordings behind `templates`, in the same order."""
        return self.eval_wordings if namespace is Namespace.EVAL else self.train_wordings

    def build(self, namespace: Namespace, rng: random.Random, template: str) -> Item:
        wording = self.wordings(namespace)[self.templates(namespace).index(template)]
        facts = self.draw(namespace, rng)
        solved = self.solve(facts)
        if solved is None:
            raise ValueError(f"family {self.name} drew facts that it cannot solve: {dict(facts)}")
        answer, truth = solved
        return Item(self.name, template, wording.format(**self.fill(facts)), self.vary(answer, truth, rng), truth)

    def parse(self, instruction: str) -> Item | None:
        instruction = instruction.strip()
        folded = instruction.casefold()
        for template, wording, words in _readings(type(self)):
            if (words and words[0] not in folded) or not all(word in folded for word in words):
                continue  # most wordings are never compiled: a thousand patterns take seconds
            match = _pattern(type(self), wording).fullmatch(instruction)
            if match is None:
                continue
            facts = {name: value.strip() for name, value in match.groupdict().items() if value is not None}
            solved = self.solve(facts)
            if solved is not None:
                return Item(self.name, template, instruction, *solved)
        return None

    def topic(self, item: Item) -> str:
        return next((str(item.truth[name]) for name in self.topic_fields if name in item.truth), "")

    def check(self, item: Item, text: str) -> Score:
        text = without_echo(item.instruction, text)
        return self.judge(item, text) if text else Score(False, "empty")

    def fixtures(self) -> Sequence[Fixture]:
        return [fixture for group in self.labelled for fixture in self._fixtures_of(group)]

    def _fixtures_of(self, group: Labelled) -> list[Fixture]:
        item = self.parse(group.instruction)
        if item is None:
            raise ValueError(f"family {self.name} cannot read the instruction of its own fixture: {group.instruction}")
        kinds = (("right", group.right, True), ("wrong", group.wrong, False))
        tricky = (("tricky", group.odd, True), ("tricky", group.trap, False))
        return [Fixture(item, text, passed, kind) for kind, texts, passed in (*kinds, *tricky) for text in texts]


@lru_cache(maxsize=1024)  # a pool of items asks for them once an item
def _ids(name: str, namespace: Namespace, count: int) -> tuple[str, ...]:
    letter = "e" if namespace is Namespace.EVAL else "t"
    return tuple(f"{name}/{letter}{index:02d}" for index in range(count))


@lru_cache(maxsize=1024)  # one entry a family: a bound below their number would split anew at every call
def _readings(family: type[WordedFamily]) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
    """(template id, wording, words without which no text can match) of every wording the family understands; its own
    first."""
    rows = [
        *zip(_ids(family.name, Namespace.EVAL, len(family.eval_wordings)), family.eval_wordings, strict=True),
        *zip(_ids(family.name, Namespace.TRAIN, len(family.train_wordings)), family.train_wordings, strict=True),
        *((f"{family.name}/other", wording) for wording in family.more_wordings),
    ]
    return tuple((template, wording, _needed(wording)) for template, wording in rows)


def _needed(wording: str) -> tuple[str, ...]:
    """Words that stand in every text of a wording, the longest first: it is rare. "colour" may be spelt otherwise."""
    literal = re.sub(r"\{\w+\}", " ", wording).casefold()
    words = [word for word in re.findall(r"[a-z]+", literal) if "colour" not in word]
    return tuple(sorted(words, key=len, reverse=True))


@lru_cache(maxsize=16384)
def _pattern(family: type[WordedFamily], wording: str) -> re.Pattern[str]:
    """The wording as a regular expression: blanks, case, quotation marks and the closing mark may vary."""
    seen: set[str] = set()
    out = []
    for piece in re.split(r"(\{\w+\})", wording.rstrip(".?!: ")):
        if piece.startswith("{"):
            name = piece[1:-1]
            # a slot used twice must say the same thing twice
            out.append(rf"(?P={name})" if name in seen else family.slots[name])
            seen.add(name)
        else:
            literal = re.escape(piece).replace(r"\ ", r"\s+")
            out.append(re.sub(r"[\"'“”]", "[\"'“”‘’]?", literal).replace("colour", "colou?r"))
    return re.compile("".join(out) + r"\s*[.?!:]?", re.I)

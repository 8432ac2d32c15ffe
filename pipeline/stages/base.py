"""The vocabulary in which a stage is declared: task families, held-out items with their truth, labelled fixtures.

Standard library only. A family owns everything that is specific to one kind of task; engines, steps and gates know none
of it. Adding a family is one file in `stages/families/` and one line in the stage that uses it.
"""

from __future__ import annotations

import hashlib
import json
import random
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar


class Namespace(StrEnum):
    """Disjoint parts of every pool. Nothing of EVAL, neither entry nor wording, may ever reach a training prompt; TRAIN
    and CALIBRATION share their wordings and differ in their entries."""

    TRAIN = "train"  # seeds, few-shot examples
    CALIBRATION = "calibration"  # labelled items on which critics are measured
    EVAL = "eval"  # frozen held-out items


@dataclass(frozen=True, slots=True)
class Item:
    """One instruction with machine-checkable truth made together with it."""

    family: str
    template: str  # id of the wording; items of one template are one cluster in the statistics
    instruction: str
    answer: str  # one right answer, as it would stand in a few-shot example
    truth: Mapping[str, Any]  # JSON-able; whatever the family's `check` needs

    @property
    def id(self) -> str:
        """Content hash, 16 hex digits."""
        body = [self.family, self.template, self.instruction, self.answer, dict(self.truth)]
        return hashlib.sha256(json.dumps(body, sort_keys=True, ensure_ascii=False).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Score:
    """Pass or fail, and the reason in a few words ("wrong: 13, wanted 14", "truncated", "runaway")."""

    passed: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Fixture:
    """A labelled answer on which the family's scorer is audited before any gate may use it."""

    item: Item
    text: str
    passed: bool
    kind: str = "plain"  # right | wrong | tricky


@dataclass(frozen=True)
class Family(ABC):
    """One kind of task. Subclasses are stateless; all randomness comes in through `rng`."""

    name: ClassVar[str]
    version: ClassVar[int] = 1
    max_new_tokens: ClassVar[int] = 48
    """Generous for a right answer of this family: reaching it is an event, not a habit."""

    @abstractmethod
    def templates(self, namespace: Namespace) -> Sequence[str]:
        """Ids of the wordings of one namespace; at least 10 each, none of EVAL in another namespace."""

    @abstractmethod
    def build(self, namespace: Namespace, rng: random.Random, template: str) -> Item:
        """One item from one wording and one draw from that namespace's pools."""

    @abstractmethod
    def check(self, item: Item, text: str) -> Score:
        """Judge an answer by truth, never by its length. `text` is trimmed of outer blanks already."""

    @abstractmethod
    def parse(self, instruction: str) -> Item | None:
        """The item that an instruction of this family states, made up by whomever; None when it is not of this
        family or its truth cannot be known. (For the report on data quality; never selects training data.)"""

    @abstractmethod
    def fixtures(self) -> Sequence[Fixture]:
        """At least 20 labelled answers: right, wrong and tricky."""

    @abstractmethod
    def corrupt(self, item: Item, rng: random.Random) -> str:
        """A wrong answer that looks like an answer (another number, a dropped item, another word's plural)."""

    def harmless_suffix(self, text: str) -> str | None:  # noqa: ARG002
        """Words that may follow the right answer `text` without making it wrong, at least as long as itself where that
        can be; None where the task allows nothing more. (The audit adds them: length may not decide.)"""
        return None


@dataclass(frozen=True, slots=True)
class Gate:
    """The level a stage must reach on its own held-out set, and on those of earlier stages."""

    threshold: float
    keep: Mapping[int, float] = field(default_factory=dict)  # earlier stage -> level it must still hold


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the bootstrap as data."""

    number: int
    name: str
    families: tuple[Family, ...]
    gate: Gate

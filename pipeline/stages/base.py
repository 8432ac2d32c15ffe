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
from typing import Any, ClassVar, Literal


class Namespace(StrEnum):
    """Disjoint parts of every pool. Nothing of EVAL, neither entry nor wording, may ever reach a training prompt; TRAIN
    and CALIBRATION share their wordings and differ in their entries."""

    TRAIN = "train"  # seeds, few-shot examples
    CALIBRATION = "calibration"  # labelled items on which critics are measured
    EVAL = "eval"  # frozen held-out items


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False)  # made once: thousands of items are hashed


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
        return hashlib.sha256(_CANONICAL.encode(body).encode()).hexdigest()[:16]


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
    shared_answers: ClassVar[bool] = False
    """Right answers of different items often coincide ("Yes", a list that fits two classes)."""
    exact_blanks: ClassVar[bool] = False
    """Blanks inside the instruction are part of the task."""

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

    def critique(self, item: Item, response: str, right: bool) -> str:  # noqa: ARG002
        """One sentence on a response, for the worked examples of critique and revision."""
        if right:
            return "The response does what the instruction asks."
        return f"The response does not do what the instruction asks, which would be: {item.answer}"

    def topic(self, item: Item) -> str:  # noqa: ARG002
        """What an item is about: the pool entry that may appear in one namespace only. Empty where there is none."""
        return ""

    def harmless_suffix(self, text: str) -> str | None:  # noqa: ARG002
        """Words that may follow the right answer `text` without making it wrong, at least as long as itself where that
        can be; None where the task allows nothing more. (The audit adds them: length may not decide.)"""
        return None


Role = str
"""Who does a piece of work: "previous" (the model that the stage before left; the base in the first stage), "base", or
"stage-K" (the base with the adapters of the chain up to stage K)."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Which model writes a stage's data. No role is ever the stage's own candidate."""

    writer: Role = "previous"  # of instructions
    answerer: Role = "previous"
    critic: Role = "previous"  # judges by label
    reviser: Role = "previous"  # writes critiques and revisions


@dataclass(frozen=True, slots=True)
class Gate:
    """The level a stage must reach on its own held-out set, and on those of earlier stages.

    `better_than` is what the paired test of improvement compares with: the untrained base, or the previous stage.
    `level` False: improvement and retention decide alone, the threshold is only reported.
    """

    threshold: float
    keep: Mapping[int, float] = field(default_factory=dict)  # earlier stage -> level it must still hold
    better_than: Literal["base", "previous"] = "base"
    level: bool = True


@dataclass(frozen=True, slots=True)
class SecondOpinion:
    """The model before this stage judges the answers of some families as well, by label. It is second to the checkers
    and decides nothing. `question` holds for all of `families`; yes means that the answer is right."""

    families: tuple[str, ...]
    question: str


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the bootstrap as data. `rehearsal` is the share of earlier stages' kept rows in the training data,
    `revision_rounds` how often an answer is criticised and revised, `principles` the categories of the constitution
    whose principles are drawn (empty: all), `pairs` what a preference is made of first, `second_opinion` which answers
    are judged by label beside their checkers."""

    number: int
    name: str
    families: tuple[Family, ...]
    gate: Gate
    roles: Roles = Roles()
    rehearsal: float = 0.0
    revision_rounds: int = 0
    principles: tuple[str, ...] = ()
    pairs: Literal["samples", "revisions"] = "samples"
    second_opinion: SecondOpinion | None = None

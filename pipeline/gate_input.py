"""What a gate is asked: the level rule and everything a verdict may depend on. `pipeline.gates` answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pipeline import stats
from pipeline.comparisons import ConditionResult, Scoring

BASE, TUNED, PREVIOUS = "base-formatted", "tuned", "previous"
BetterThan = Literal["base", "previous"]
NEAR = 1e-12  # 0.95 * 500 must count as 475


@dataclass(frozen=True, slots=True)
class LevelRule:
    """The level part of the rule. `default`: rate >= threshold and Wilson lower bound >= threshold - margin.
    `strict`: the lower bound itself reaches the threshold. Bounds are two-sided 95 %, by design effect."""

    threshold: float
    margin: float = 0.03
    rule: Literal["default", "strict"] = "default"

    def met(self, successes: int, trials: int, design_effect: float = 1.0) -> bool:
        return trials > 0 and not self.shortfall(successes, trials, design_effect)

    def shortfall(self, successes: int, trials: int, design_effect: float = 1.0) -> str:
        """Which number falls short, in words; empty when none does."""
        rate = successes / trials if trials else 0.0
        low, _ = stats.effective_wilson(successes, trials, design_effect)
        wanted = self.threshold if self.rule == "strict" else self.threshold - self.margin
        if rate + NEAR < self.threshold:
            return f"the rate of {pct(rate)} is below the required {pct(self.threshold)}"
        if low + NEAR < wanted:
            return f"the lower bound of {pct(low)} is below the required {pct(wanted)}"
        return ""


@dataclass(frozen=True, slots=True)
class Audit:
    """The scorers against their labelled fixtures."""

    passed: bool
    fixtures: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AaCheck:
    """The base evaluated twice: how many of the items changed their outcome."""

    items: int
    flips: int


@dataclass(frozen=True, slots=True)
class EarlierStage:
    """An earlier stage's held-out set under the present model. `level` is the rate it must keep; `before` (optional)
    is the same set under the previous model: a loss is significant when the upper bound of the difference is < -delta.
    `base` (optional) is the same set under the untrained base; reported, it decides nothing. `planned` items, where
    known, must be there; those that a recorded curtailment left out count as failures.
    """

    stage: int
    level: float
    now: ConditionResult | None
    before: ConditionResult | None = None
    delta: float = 0.02
    base: ConditionResult | None = None
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class GateInput:
    """Everything a verdict may depend on. None means "there is no such result", never "fine".

    `better_than` says what the deciding paired test compares with: "base" (lenient against lenient, so that learning to
    stop is not sold as learning to follow) or "previous" (strict against strict: both models know how to stop).
    `level_decides` False: the level is reported, the paired test and the earlier sets decide, nothing is NO_HEADROOM.
    """

    stage: int
    name: str
    planned: int  # items of the frozen set
    level: LevelRule
    conditions: Mapping[str, ConditionResult]
    audit: Audit | None
    aa: AaCheck | None
    leaks: int | None  # training rows that touch a held-out item
    earlier: tuple[EarlierStage, ...] = ()
    attempt: int = 1
    alpha: float = 0.01
    trained: bool = True  # False: training was skipped because the base left no headroom
    min_templates: int = 10  # a family; a family with fewer items needs one wording an item
    aa_flip_limit: float = 0.02  # share of A/A items that may flip
    fdr: float = 0.10
    draws: int = 10_000
    seed: int = 0
    better_than: BetterThan = "base"
    level_decides: bool = True


def allowed_failures(trials: int, level: LevelRule) -> int:
    """Most failures with which the level is still met by independent items; -1 when even none would do."""
    failures = -1
    while failures < trials and level.met(trials - failures - 1, trials):
        failures += 1
    return failures


def no_headroom(base_formatted: ConditionResult, level: LevelRule) -> bool:
    """Whether the untrained base already meets the level on the training format's prompt surface."""
    return level.met(base_formatted.successes("strict"), base_formatted.trials, base_formatted.design_effect)


def deciding_side(better_than: BetterThan) -> tuple[str, Scoring]:
    """(condition, scoring) that the tuned model, scored alike, must be better than."""
    return (PREVIOUS, "strict") if better_than == "previous" else (BASE, "lenient")


def pct(share: float) -> str:
    """0.9567 -> "95.67 %"."""
    return f"{100 * share:.4g} %"

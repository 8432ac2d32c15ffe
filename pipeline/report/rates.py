"""What was measured on held-out sets, as counts with their intervals. A condition without a result is None, not 0."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline import stats
from pipeline.gates import TUNED, Decision
from pipeline.protocol import CONDITIONS, OPTIONAL_CONDITIONS
from pipeline.report.plots import Dot
from pipeline.report.reading import RunFiles

SHOWN = ("base-raw", "base-formatted", "base-few-shot", "previous", "tuned")
"""The conditions of the overview, in order; the optional ones follow where they were measured."""

Bounds = tuple[float | None, float | None]


@dataclass(frozen=True, slots=True)
class Measured:
    """One model on one set. `curtailed`: stopped early, so that its rates are biased and have no interval."""

    strict: int
    lenient: int
    trials: int
    curtailed: bool = False

    @property
    def strict_rate(self) -> float:
        return self.strict / self.trials

    @property
    def lenient_rate(self) -> float:
        return self.lenient / self.trials

    @property
    def strict_bounds(self) -> Bounds:
        """Wilson 95 %."""
        return self._bounds(self.strict)

    @property
    def lenient_bounds(self) -> Bounds:
        """Wilson 95 %."""
        return self._bounds(self.lenient)

    def _bounds(self, successes: int) -> Bounds:
        return (None, None) if self.curtailed else stats.wilson_interval(successes, self.trials)

    def dot(self, label: str, tone: int = 0) -> Dot:
        """Strict filled with its interval, lenient hollow."""
        return Dot(label, self.strict_rate, *self.strict_bounds, self.lenient_rate, tone)


def measured(raw: Any) -> Measured | None:
    """From the counts in a summary; None where they cannot be counts."""
    try:
        strict, lenient, trials = (int(raw[name]) for name in ("strict", "lenient", "trials"))
        curtailed = bool(raw.get("curtailed"))
    except (KeyError, TypeError, ValueError, AttributeError):
        return None
    sound = trials > 0 and 0 <= strict <= trials and 0 <= lenient <= trials
    return Measured(strict, lenient, trials, curtailed) if sound else None


def on_set(files: RunFiles, stage: int, held: int) -> dict[str, Measured]:
    """What the evaluation of `stage` found on the set of stage `held`, condition by condition."""
    found = {name: measured(raw) for name, raw in files.measured(stage, held).items()}
    return {name: one for name, one in found.items() if one is not None}


def conditions(files: RunFiles, stage: int, decision: Decision | None) -> dict[str, Measured | None]:
    """Every condition of a stage on its own set: what its gate used, else what its evaluation noted. Optional ones
    appear only where they were measured."""
    found = on_set(files, 0, stage) | files_baseline(files, stage) | on_set(files, stage, stage)
    if decision is not None:
        found |= _of_gate(decision)
    wanted = (c for c in CONDITIONS if c not in OPTIONAL_CONDITIONS or c in found)
    return {condition: found.get(condition) for condition in wanted}


def files_baseline(files: RunFiles, stage: int) -> dict[str, Measured]:
    """The base on the fresh block of a later attempt, where there was one."""
    found = {name: measured(raw) for name, raw in files.measured_at(f"stage-{stage}/baseline", stage).items()}
    return {name: one for name, one in found.items() if one is not None}


def _of_gate(decision: Decision) -> dict[str, Measured]:
    stopped = TUNED if decision.detail.get("curtailed") else None
    return {
        name: Measured(rate.successes, rate.lenient_successes, rate.trials, name == stopped)
        for name, rate in decision.rates.items()
        if rate.trials
    }


def dots(found: Mapping[str, Measured | None]) -> list[Dot]:
    """One row a measured condition, each condition in its own colour."""
    tones = {name: index for index, name in enumerate(SHOWN[::-1])}
    return [one.dot(name, tones.get(name, 5)) for name, one in found.items() if one is not None]

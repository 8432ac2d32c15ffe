"""Exact early stopping: an evaluation may end once no answer still to come can make its gate advance.

Only the stop of a model that cannot pass is ever exact here: the design effect of items not yet seen is unknown, so a
model that looks certain to pass is measured to its end. The rate of a curtailed evaluation is biased; it is recorded
as `curtailed` and published without an interval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pipeline import stats
from pipeline.comparisons import ConditionResult, ItemOutcome, Scoring
from pipeline.gate_input import BASE, BetterThan, LevelRule, allowed_failures, deciding_side, no_headroom


@dataclass(frozen=True, slots=True)
class Curtailment:
    """When the evaluation of one tuned model on one frozen set may stop.

    `level` None: the level does not decide. `other` holds all planned items as scored in the evaluation that must be
    beaten; None: the paired test does not decide (the base clears the level itself: keeping it is enough)."""

    planned: int
    level: LevelRule | None
    other: Mapping[str, ItemOutcome] | None
    scoring: Scoring
    alpha: float = 0.01

    @staticmethod
    def of_gate(
        planned: int,
        level: LevelRule,
        conditions: Mapping[str, ConditionResult],
        better_than: BetterThan = "base",
        level_decides: bool = True,
        alpha: float = 0.01,
    ) -> Curtailment:
        """The rule that fits `decide` with the same settings. `conditions` holds at least what must be beaten, measured
        on all `planned` items; KeyError or ValueError otherwise."""
        condition, scoring = deciding_side(better_than)
        beaten = conditions[condition]
        if len(beaten.by_item) != planned or beaten.curtailed:
            raise ValueError(f"{condition} has {len(beaten.by_item)} of {planned} planned items; evaluate it first")
        kept = level_decides and no_headroom(conditions[BASE], level)
        return Curtailment(planned, level if level_decides else None, None if kept else beaten.by_item, scoring, alpha)

    def settled(self, seen: Iterable[ItemOutcome]) -> str:
        """Why the gate can no longer advance, in words; empty as long as it still can. At least one item must be seen.

        Raises ValueError for an item seen twice, or one that the beaten evaluation does not hold."""
        done = tuple(seen)
        if len({o.item for o in done}) != len(done) or len(done) > self.planned:
            raise ValueError("an item was seen twice, or more items than were planned")
        if not done:
            return ""
        return self._below_level(done) or self._not_better(done)

    def _below_level(self, done: tuple[ItemOutcome, ...]) -> str:
        if self.level is None:
            return ""
        failures, allowed = sum(not o.strict for o in done), allowed_failures(self.planned, self.level)
        if failures <= allowed:
            return ""
        return f"{failures} failures in {len(done)} items, at most {max(allowed, 0)} of {self.planned} are allowed"

    def _not_better(self, done: tuple[ItemOutcome, ...]) -> str:
        """The best that can still come is a right answer to every unseen item. Both tests' p-values only grow with
        every right answer fewer (within either method of McNemar's), so the best case bounds them from below."""
        if self.other is None:
            return ""
        best = self._best_differences(done)
        only_a = sum(d > 0 for d, _ in best)
        only_b = sum(d < 0 for d, _ in best)
        if only_a <= only_b:
            return f"even with every remaining item right it wins {only_a} items and loses {only_b}"
        lowest = min(stats.mcnemar(only_a, only_b, method).p_value for method in ("exact", "chi2"))
        lowest = max(lowest, stats.sign_flip_test(_by_cluster(best)))
        if lowest < self.alpha:
            return ""
        return f"even with every remaining item right p would be {lowest:.2g}, not below {self.alpha:g}"

    def _best_differences(self, done: tuple[ItemOutcome, ...]) -> list[tuple[int, tuple[str, str]]]:
        """(tuned minus other, cluster) of every planned item, unseen ones counted as right."""
        assert self.other is not None
        right = {o.item: bool(getattr(o, self.scoring)) for o in done}
        if right.keys() - self.other.keys():
            raise ValueError("an item was seen that the evaluation to be beaten does not hold")
        return [
            (int(right.get(item, True)) - int(getattr(outcome, self.scoring)), outcome.cluster)
            for item, outcome in self.other.items()
        ]


def _by_cluster(differences: Iterable[tuple[int, tuple[str, str]]]) -> list[int]:
    totals: dict[tuple[str, str], int] = {}
    for difference, cluster in differences:
        totals[cluster] = totals.get(cluster, 0) + difference
    return list(totals.values())

"""Two evaluations side by side: what makes them comparable, and the paired statistics of one against the other.

Pure: outcomes in, numbers out. Which numbers decide is said in `pipeline.gates`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from pipeline import stats
from pipeline.protocol import Rate

Scoring = Literal["strict", "lenient"]

COMPARED_FIELDS = ("precision", "decoding", "scorer", "set_hash")
"""What must be equal before two evaluations may be compared at all."""


class IncomparableError(Exception):
    """Two evaluations differ in something other than what is being compared; no number of both means anything."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How an evaluation was made. `decoding` is one canonical text; `scorer` holds version and hash; `set_hash` is the
    sha256 of the frozen held-out set; `model` is the digest of all weights, an adapter included."""

    precision: str
    condition: str
    decoding: str
    scorer: str
    set_hash: str
    model: str

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Fingerprint:
        """From a summary file. A structured value becomes its canonical JSON; a missing field raises KeyError."""
        return Fingerprint(**{name: _text(raw[name]) for name in Fingerprint.__slots__})

    def as_dict(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in Fingerprint.__slots__}


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """One held-out item as scored under one condition."""

    item: str
    family: str
    template: str
    strict: bool
    lenient: bool

    @property
    def cluster(self) -> tuple[str, str]:
        """Items of one wording are correlated and resampled together."""
        return self.family, self.template


@dataclass(frozen=True)
class ConditionResult:
    """All outcomes of one condition. `curtailed`: stopped early by the exact rule, and recorded as such."""

    condition: str
    fingerprint: Fingerprint
    outcomes: tuple[ItemOutcome, ...]
    curtailed: bool = False

    @staticmethod
    def from_rows(
        condition: str, fingerprint: Fingerprint, rows: Iterable[Mapping[str, Any]], curtailed: bool = False
    ) -> ConditionResult:
        """From rows of `EvalResult` (or anything with item, family, template, strict, lenient)."""
        outcomes = tuple(
            ItemOutcome(row["item"], row["family"], row["template"], bool(row["strict"]), bool(row["lenient"]))
            for row in rows
        )
        return ConditionResult(condition, fingerprint, outcomes, curtailed)

    @property
    def trials(self) -> int:
        return len(self.outcomes)

    @cached_property
    def by_item(self) -> dict[str, ItemOutcome]:
        return {outcome.item: outcome for outcome in self.outcomes}

    def successes(self, scoring: Scoring) -> int:
        return sum(getattr(outcome, scoring) for outcome in self.outcomes)

    @cached_property
    def design_effect(self) -> float:
        """Of the strict outcomes, by template."""
        return stats.design_effect([o.strict for o in self.outcomes], [o.cluster for o in self.outcomes])

    def rate(self) -> Rate:
        """Counts with the plain Wilson interval, as published beside every condition; a curtailed rate is biased and
        gets the interval of no knowledge, (0, 1)."""
        successes = self.successes("strict")
        low, high = (0.0, 1.0) if self.curtailed else stats.wilson_interval(successes, self.trials)
        return Rate(successes, self.trials, low, high, self.successes("lenient"))

    def only(self, keep: Callable[[ItemOutcome], bool]) -> ConditionResult:
        """The same evaluation restricted to some items."""
        return ConditionResult(
            self.condition, self.fingerprint, tuple(o for o in self.outcomes if keep(o)), self.curtailed
        )


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison."""

    result: ConditionResult
    scoring: Scoring

    @property
    def label(self) -> str:
        return f"{self.result.condition} {self.scoring}"

    def passed(self, item: str) -> bool:
        return bool(getattr(self.result.by_item[item], self.scoring))


@dataclass(frozen=True, slots=True)
class Comparison:
    """a against b on the same items. `lift` is rate(a) - rate(b) with its cluster-bootstrap interval; `p` is the larger
    of McNemar's and the sign-flip test over templates, two-sided. `mde` is the smallest lift this set could have shown
    at the observed disagreement (power 0.8); None when none could be. Intervals are None where no draws were made."""

    a: str
    b: str
    n: int
    templates: int
    successes_a: int
    successes_b: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    mcnemar: stats.McNemar
    sign_flip_p: float
    p: float
    lift: float
    low: float | None
    high: float | None
    cohens_h: float
    mde: float | None

    def as_dict(self) -> dict[str, Any]:
        body = {name: getattr(self, name) for name in Comparison.__slots__}
        test = {"statistic": self.mcnemar.statistic, "p_value": self.mcnemar.p_value, "method": self.mcnemar.method}
        return {**body, "only_a": list(self.only_a), "only_b": list(self.only_b), "mcnemar": test}


def require_comparable(a: ConditionResult, b: ConditionResult) -> None:
    """Raise IncomparableError unless precision, decoding, scorer and set are equal and both hold the same items.

    A curtailed evaluation may hold fewer items than the one it is compared with, never others.
    """
    require_alike(a, b, COMPARED_FIELDS)
    extra = a.by_item.keys() - b.by_item.keys()
    absent = b.by_item.keys() - a.by_item.keys()
    if (extra and not b.curtailed) or (absent and not a.curtailed):
        raise IncomparableError(
            f"{a.condition} and {b.condition} hold different items ({len(extra)} only in the one, {len(absent)} only "
            "in the other); evaluate both on the frozen set"
        )
    for item in a.by_item.keys() & b.by_item.keys():
        if a.by_item[item].cluster != b.by_item[item].cluster:
            raise IncomparableError(
                f"item {item} has another family or template in {a.condition} than in {b.condition}"
            )


def require_alike(a: ConditionResult, b: ConditionResult, fields: Iterable[str]) -> None:
    """Raise IncomparableError unless the named fields of both fingerprints are equal."""
    for name in fields:
        left, right = getattr(a.fingerprint, name), getattr(b.fingerprint, name)
        if left != right:
            raise IncomparableError(
                f"{a.condition} and {b.condition} differ in {name.replace('_', ' ')} ({left} and {right}); "
                "evaluate both alike"
            )


def compare(a: Side, b: Side, alpha: float = 0.01, draws: int = 10_000, seed: int = 0) -> Comparison:
    """The paired statistics of a against b. Raises IncomparableError, or ValueError when no item is shared."""
    require_comparable(a.result, b.result)
    shared = [o for o in a.result.outcomes if o.item in b.result.by_item]
    if not shared:
        raise ValueError(f"{a.label} and {b.label} share no item")
    wins_a, wins_b = [a.passed(o.item) for o in shared], [b.passed(o.item) for o in shared]
    only_a = tuple(o.item for o, x, y in zip(shared, wins_a, wins_b, strict=True) if x and not y)
    only_b = tuple(o.item for o, x, y in zip(shared, wins_a, wins_b, strict=True) if y and not x)
    clusters = [o.cluster for o in shared]
    test, flip = stats.mcnemar(len(only_a), len(only_b)), stats.sign_flip_test(_by_cluster(clusters, wins_a, wins_b))
    low, high = stats.paired_bootstrap(wins_a, wins_b, clusters, draws, seed) if draws else (None, None)
    n, good_a, good_b = len(shared), sum(wins_a), sum(wins_b)
    return Comparison(
        a=a.label, b=b.label, n=n, templates=len(set(clusters)), successes_a=good_a, successes_b=good_b,
        only_a=only_a, only_b=only_b, mcnemar=test, sign_flip_p=flip, p=max(test.p_value, flip),
        lift=(good_a - good_b) / n, low=low, high=high, cohens_h=stats.cohens_h(good_a / n, good_b / n),
        mde=stats.minimum_detectable_effect(n, (len(only_a) + len(only_b)) / n, alpha),
    )  # fmt: skip


def family_table(a: Side, b: Side, fdr: float = 0.10) -> list[dict[str, Any]]:
    """a against b in every family, with the families that Benjamini-Hochberg rejects at `fdr` marked."""
    rows = []
    for family in sorted({o.family for o in a.result.outcomes}):
        kept_a, kept_b = (side.result.only(lambda o, f=family: o.family == f) for side in (a, b))  # type: ignore[misc]
        found = compare(Side(kept_a, a.scoring), Side(kept_b, b.scoring), draws=0)
        row = {name: getattr(found, name) for name in ("n", "templates", "successes_a", "successes_b", "lift", "p")}
        counts = {"only_a": len(found.only_a), "only_b": len(found.only_b)}
        rows.append({"family": family, **row, **counts, "strict_a": kept_a.successes("strict")})
    rejected = stats.benjamini_hochberg([row["p"] for row in rows], fdr)
    return [{**row, "significant": marked} for row, marked in zip(rows, rejected, strict=True)]


def _by_cluster(clusters: Sequence[tuple[str, str]], a: Sequence[bool], b: Sequence[bool]) -> list[int]:
    totals: dict[tuple[str, str], int] = {}
    for cluster, x, y in zip(clusters, a, b, strict=True):
        totals[cluster] = totals.get(cluster, 0) + x - y
    return list(totals.values())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))

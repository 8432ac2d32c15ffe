"""The statistics behind every published number: intervals, paired tests, clustering, multiplicity, power.

Standard library and numpy only. What the numbers decide is `pipeline.gates`' affair. Nonsense input raises ValueError.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import NDArray

EXACT_BELOW = 25
"""McNemar is exact with fewer discordant pairs than this, continuity-corrected chi-squared from there on."""

_NORMAL = NormalDist()
_BOOTSTRAP_CELLS = 2_000_000  # cells of one resampling block: bounds memory to some tens of MB


@dataclass(frozen=True, slots=True)
class McNemar:
    """A paired test on discordant counts. `statistic` is the continuity-corrected chi-squared (also when the p-value
    is the exact binomial one); None when there was nothing to test. `p_value` is two-sided."""

    statistic: float | None
    p_value: float
    method: Literal["exact", "chi2", "none"]


def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927), two-sided. No trials: (0.0, 1.0)."""
    successes, trials = _counts(successes, trials)
    return _wilson(successes / trials, trials, confidence) if trials else (0.0, 1.0)


def effective_wilson(
    successes: int, trials: int, design_effect: float, confidence: float = 0.95
) -> tuple[float, float]:
    """Wilson interval with trials / design_effect trials: honest width for items that come in clusters."""
    successes, trials = _counts(successes, trials)
    if not (math.isfinite(design_effect) and design_effect >= 1):
        raise ValueError(f"design effect must be at least 1, not {design_effect}")
    return _wilson(successes / trials, trials / design_effect, confidence) if trials else (0.0, 1.0)


def design_effect(outcomes: Sequence[bool | int], clusters: Sequence[Hashable]) -> float:
    """How many times larger the variance of the rate is than with independent items; never below 1.

    Ratio of the linearised cluster-robust variance (with C/(C-1)) to p(1-p)/(n-1), as in survey sampling (Kish 1965).
    One cluster alone says nothing about variance between clusters and counts as one observation: the answer is n.
    """
    values = _binary(outcomes, "outcomes")
    _same_length(values, clusters, "outcomes", "clusters")
    n = len(values)
    if n == 0:
        return 1.0
    codes, count = _codes(clusters)
    if count == 1:
        return float(n)
    rate = float(values.mean())
    if rate in (0.0, 1.0) or count == n:
        return 1.0
    residuals = np.bincount(codes, weights=values - rate, minlength=count)
    clustered = count / (count - 1) * float((residuals**2).sum()) / n**2
    return min(float(n), max(1.0, clustered / (rate * (1 - rate) / (n - 1))))


def mcnemar(only_a: int, only_b: int, method: Literal["auto", "exact", "chi2"] = "auto") -> McNemar:
    """McNemar's test (1947) of two paired proportions from the counts of pairs where only a / only b succeeded.

    `auto` takes the exact binomial below `EXACT_BELOW` discordant pairs. The correction never overshoots: with equal
    counts the statistic is 0 and p is 1.
    """
    a, b = _count(only_a, "only_a"), _count(only_b, "only_b")
    n = a + b
    if n == 0:
        return McNemar(None, 1.0, "none")
    statistic = max(abs(a - b) - 1, 0) ** 2 / n
    if method == "exact" or (method == "auto" and n < EXACT_BELOW):
        tail = sum(math.comb(n, k) for k in range(min(a, b) + 1))
        return McNemar(statistic, min(1.0, 2 * tail / 2**n), "exact")
    return McNemar(statistic, math.erfc(math.sqrt(statistic / 2)), "chi2")


def sign_flip_test(differences: Sequence[int]) -> float:
    """Exact two-sided p-value that the summed differences are 0, flipping the sign of each *cluster's* difference.

    `differences`: one whole number a cluster (successes of a minus successes of b). The distribution over all 2^C
    flips is built by convolution, so nothing is drawn. Clusters without a difference carry no information.
    """
    steps = [abs(_integer(d, "differences")) for d in differences]
    steps = [step for step in steps if step]
    observed, reach = abs(sum(map(int, differences))), sum(steps)
    mass = np.zeros(2 * reach + 1)
    mass[reach] = 1.0
    for step in steps:
        flipped = np.zeros_like(mass)
        flipped[step:] += mass[:-step]
        flipped[:-step] += mass[step:]
        mass = flipped / 2
    if observed == 0:
        return 1.0
    return min(1.0, float(mass[reach + observed :].sum() + mass[: reach - observed + 1].sum()))


def cohens_h(p1: float, p2: float) -> float:
    """Cohen's h = 2 asin sqrt(p1) - 2 asin sqrt(p2): signed, positive when p1 is larger (Cohen 1988, chapter 6)."""
    first, second = _unit(p1, "p1"), _unit(p2, "p2")
    return 2 * math.asin(math.sqrt(first)) - 2 * math.asin(math.sqrt(second))


def cohen_kappa(both: int, only_a: int, only_b: int, neither: int) -> float | None:
    """Agreement of two raters on yes or no beyond chance (Cohen 1960), from the counts of items to which both, one, or
    neither says yes. None where chance alone makes them agree: no items, or one and the same word for all."""
    yes, a, b, no = (
        _count(n, name) for n, name in ((both, "both"), (only_a, "only_a"), (only_b, "only_b"), (neither, "neither"))
    )
    n = yes + a + b + no
    if not n:
        return None
    expected = ((yes + a) * (yes + b) + (no + a) * (no + b)) / n**2
    return ((yes + no) / n - expected) / (1 - expected) if expected < 1 else None


def benjamini_hochberg(p_values: Sequence[float], fdr: float) -> list[bool]:
    """Which hypotheses the step-up procedure rejects at false discovery rate `fdr` (Benjamini & Hochberg 1995).

    Everything up to the *largest* rank k with p(k) <= fdr * k / m is rejected. Answers are in the order given.
    """
    fdr = _unit(fdr, "fdr")
    values = [_unit(p, "p-value") for p in p_values]
    ranked = sorted(values)
    cut = max((p for k, p in enumerate(ranked, 1) if p <= fdr * k / len(ranked)), default=-1.0)
    return [p <= cut for p in values]


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    draws: int = 10_000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, float]:
    """Percentile interval of the lift mean(a) - mean(b) over paired items: positive means a is better.

    Whole clusters are drawn with replacement when `clusters` names one for each item (items of one template are
    correlated); otherwise items are. No items: (-inf, inf) would be the truth, so it is an error.
    """
    first, second = _finite(a, "a"), _finite(b, "b")
    _same_length(first, second, "a", "b")
    if len(first) == 0 or draws < 1:
        raise ValueError("a bootstrap needs at least one pair and one draw")
    _confidence(confidence)
    if clusters is None:
        codes, count = np.arange(len(first)), len(first)
    else:
        _same_length(first, clusters, "a", "clusters")
        codes, count = _codes(clusters)
    sums = np.bincount(codes, weights=first - second, minlength=count).astype(float)
    sizes = np.bincount(codes, minlength=count).astype(float)
    lifts = _resample(sums, sizes, draws, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low, high = np.quantile(lifts, [tail, 1 - tail])
    return float(low), float(high)


def minimum_detectable_effect(n: int, discordant_rate: float, alpha: float = 0.01, power: float = 0.8) -> float | None:
    """Smallest difference of two paired proportions that McNemar finds with `power` at two-sided `alpha`.

    n pairs of which the share `discordant_rate` disagrees; normal approximation of Connor (1987), solved for the
    difference. None when no difference within that share of disagreement could be found.
    """
    n, share = _count(n, "n"), _unit(discordant_rate, "discordant_rate")
    if not (0 < alpha < 1 and 0 < power < 1):
        raise ValueError(f"alpha and power must lie strictly between 0 and 1, not {alpha} and {power}")
    z_alpha, z_power = _NORMAL.inv_cdf(1 - alpha / 2), _NORMAL.inv_cdf(power)
    root = share * (n + z_power**2) - z_alpha**2 * share
    if n == 0 or share == 0 or root < 0:
        return None
    effect = (z_alpha * math.sqrt(share * n) + z_power * math.sqrt(root)) / (n + z_power**2)
    return effect if effect <= share else None


def binomial_cdf(k: int, n: int, p: float) -> float:
    """P(X <= k) for X ~ Binomial(n, p), summed from the smaller side."""
    n, p = _count(n, "n"), _unit(p, "p")
    if k < 0:
        return 0.0
    if k >= n:
        return 1.0
    if k + 1 <= n * p:
        return min(1.0, float(_binomial_pmf(n, p)[: k + 1].sum()))
    return max(0.0, 1.0 - float(_binomial_pmf(n, p)[k + 1 :].sum()))


def mcnemar_power(n: int, share_a: float, share_b: float, alpha: float = 0.01) -> float:
    """Chance that the exact McNemar test on n pairs has p < alpha *and* favours a, when a share `share_a` of all
    pairs is won by a alone and `share_b` by b alone."""
    n, share = _count(n, "n"), _unit(share_a + share_b, "share_a + share_b")
    if share == 0 or not 0 < alpha < 1:
        return 0.0
    weights, total = _binomial_pmf(n, share), 0.0
    for discordant in np.flatnonzero(weights > 1e-12):
        fewest = _exact_limit(int(discordant), alpha)
        if fewest >= 0:  # only_b may be at most this
            total += float(weights[discordant]) * binomial_cdf(fewest, int(discordant), share_b / share)
    return total


# --- helpers ---------------------------------------------------------------------------------------------------------


def _wilson(rate: float, trials: float, confidence: float) -> tuple[float, float]:
    z = _NORMAL.inv_cdf(0.5 + _confidence(confidence) / 2)
    shrink = 1 + z * z / trials
    centre = (rate + z * z / (2 * trials)) / shrink
    half = z / shrink * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials))
    low = 0.0 if rate == 0 else max(0.0, centre - half)
    high = 1.0 if rate == 1 else min(1.0, centre + half)
    return low, high


def _resample(
    sums: NDArray[np.float64], sizes: NDArray[np.float64], draws: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """[draws] lifts, each from len(sums) clusters drawn with replacement; in blocks, so memory stays bounded."""
    block = max(1, _BOOTSTRAP_CELLS // len(sums))
    lifts = np.empty(draws)
    for start in range(0, draws, block):
        picks = rng.integers(0, len(sums), size=(min(block, draws - start), len(sums)))
        lifts[start : start + len(picks)] = sums[picks].sum(axis=1) / sizes[picks].sum(axis=1)
    return lifts


def _binomial_pmf(n: int, p: float) -> NDArray[np.float64]:
    """[n + 1] probabilities."""
    if p in (0.0, 1.0):
        pmf = np.zeros(n + 1)
        pmf[n if p == 1.0 else 0] = 1.0
        return pmf
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1) + k * math.log(p) + (n - k) * math.log1p(-p)
        for k in range(n + 1)
    ]
    pmf = np.exp(np.array(logs, dtype=float))
    return np.asarray(pmf, dtype=float)


def _exact_limit(n: int, alpha: float) -> int:
    """Largest smaller count k with two-sided exact p < alpha among n discordant pairs; -1 when there is none."""
    tail, limit, whole = 0, -1, 2**n
    for k in range(n // 2 + 1):
        tail += math.comb(n, k)
        if 2 * tail / whole >= alpha:
            break
        limit = k
    return limit


def _integer(value: int, name: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be whole numbers, not {value!r}") from None


def _count(value: int, name: str) -> int:
    number = _integer(value, name)
    if number < 0:
        raise ValueError(f"{name} must not be negative, but is {number}")
    return number


def _counts(successes: int, trials: int) -> tuple[int, int]:
    good, total = _count(successes, "successes"), _count(trials, "trials")
    if good > total:
        raise ValueError(f"{good} successes in {total} trials is impossible")
    return good, total


def _unit(value: float, name: str) -> float:
    if not 0 <= value <= 1:  # NaN fails too
        raise ValueError(f"{name} must lie between 0 and 1, not {value}")
    return float(value)


def _confidence(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError(f"confidence must lie strictly between 0 and 1, not {value}")
    return value


def _finite(values: Sequence[float], name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=float)
    if array.ndim != 1 or not np.isfinite(array).all():
        raise ValueError(f"{name} must be a flat list of finite numbers")
    return array


def _binary(values: Sequence[bool | int], name: str) -> NDArray[np.float64]:
    array = _finite(values, name)
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError(f"{name} must be 0 or 1")
    return array


def _same_length(a: object, b: object, name_a: str, name_b: str) -> None:
    if len(a) != len(b):  # type: ignore[arg-type]
        raise ValueError(f"{name_a} and {name_b} must be of one length, not {len(a)} and {len(b)}")  # type: ignore[arg-type]


def _codes(clusters: Sequence[Hashable]) -> tuple[NDArray[np.intp], int]:
    """Cluster names as numbers 0..C-1 in order of first appearance, and C."""
    seen: dict[Hashable, int] = {}
    codes = [seen.setdefault(cluster, len(seen)) for cluster in clusters]
    return np.array(codes, dtype=np.intp), len(seen)

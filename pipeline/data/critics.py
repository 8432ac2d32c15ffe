"""From critics' raw numbers to one probability that an answer is right, measured on a labelled calibration block.

A critic is measured before it is trusted: AUC per family, and families in which none beats chance are named blind. No
truth about a training answer enters here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

CRITICS = ("margin", "mean_logprob", "agreement")
BLIND_AUC = 0.6
_RIDGE = 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """One answer as the critics see it; None is no evidence, either way. `right` is known on the calibration block
    only."""

    family: str
    margin: float | None
    mean_logprob: float | None
    agreement: float | None
    right: bool | None = None

    def value(self, critic: str, unknown: float = 0.0) -> float:
        found: float | None = getattr(self, critic)
        return unknown if found is None else float(found)


@dataclass(frozen=True)
class Calibration:
    """A ridge logistic regression over the critics with one intercept a family, and the threshold chosen on it."""

    mean: Mapping[str, float]
    scale: Mapping[str, float]
    weights: Mapping[str, float]
    intercepts: Mapping[str, float]
    threshold: float
    precision: float | None
    table: Mapping[str, Any]

    def score(self, evidence: Evidence) -> float:
        """Estimated probability that the answer is right, 0 to 1."""
        z = self.intercepts.get(evidence.family, 0.0) + self.weights["intercept"]
        for critic in CRITICS:
            seen = evidence.value(critic, unknown=self.mean[critic])
            z += self.weights[critic] * (seen - self.mean[critic]) / self.scale[critic]
        return float(1 / (1 + np.exp(-z)))

    def as_dict(self) -> dict[str, Any]:
        return {
            "families": self.table["families"],
            "overall": {**self.table["overall"], "threshold": self.threshold, "precision": self.precision},
            "model": {n: dict(getattr(self, n)) for n in ("mean", "scale", "weights", "intercepts")},
        }

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Calibration:
        parts = {n: dict(raw["model"][n]) for n in ("mean", "scale", "weights", "intercepts")}
        overall = raw["overall"]
        return Calibration(
            **parts,
            threshold=overall["threshold"],
            precision=overall["precision"],
            table={"families": raw["families"], "overall": overall},
        )


def auc(scores: Sequence[float], labels: Sequence[bool]) -> float | None:
    """Area under the ROC curve, ties counted half (Mann-Whitney); None when one class is absent."""
    right = [s for s, label in zip(scores, labels, strict=True) if label]
    wrong = [s for s, label in zip(scores, labels, strict=True) if not label]
    if not right or not wrong:
        return None
    wins = sum((r > w) + 0.5 * (r == w) for r in right for w in wrong)
    return wins / (len(right) * len(wrong))


def calibrate(block: Sequence[Evidence], wanted_precision: float, folds: int = 5) -> Calibration:
    """Fit on the labelled block; the threshold is chosen on out-of-fold scores for the wanted precision, and the
    precision counted above it is recorded, whatever it is.
    """
    cross = [0.0] * len(block)
    for fold in range(folds):
        model = _fit([e for i, e in enumerate(block) if i % folds != fold])
        for i in range(fold, len(block), folds):
            cross[i] = model.score(block[i])
    threshold = _threshold(cross, wanted_precision)
    final = _fit(block)
    table = {"families": _by_family(block, cross, threshold), "overall": _row(block, cross, threshold)}
    precision = table["overall"]["precision"]
    return Calibration(final.mean, final.scale, final.weights, final.intercepts, threshold, precision, table)


def _fit(block: Sequence[Evidence]) -> Calibration:
    """Newton's method on the penalised likelihood; family intercepts are shrunk to 0, so few labels move little."""
    families = sorted({e.family for e in block})
    raw = np.array([[e.value(c) for c in CRITICS] for e in block], dtype=float)
    mean, scale = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-6)
    dummies = np.array([[float(e.family == f) for f in families] for e in block])
    x = np.hstack([np.ones((len(block), 1)), (raw - mean) / scale, dummies])
    y = np.array([float(bool(e.right)) for e in block])
    penalty = np.diag([1e-3] + [_RIDGE] * (x.shape[1] - 1))
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-np.clip(x @ w, -30, 30)))
        step = np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]) + penalty, x.T @ (y - p) - penalty @ w)
        w = w + step
        if float(np.abs(step).max()) < 1e-9:
            break
    names = ("intercept", *CRITICS)
    return Calibration(
        dict(zip(CRITICS, map(float, mean), strict=True)),
        dict(zip(CRITICS, map(float, scale), strict=True)),
        dict(zip(names, map(float, w[:4]), strict=True)),
        dict(zip(families, map(float, w[4:]), strict=True)),
        threshold=0.5,
        precision=None,
        table={},
    )


def _threshold(scores: Sequence[float], wanted: float) -> float:
    """The lowest score above which the expected precision, the mean of the out-of-fold probabilities, is as wanted.

    The expectation is smoother than a count of right answers: on some fifty labels the count's threshold let pass an
    eighth of the answers in one run and half in the next. Where nothing reaches it, a tenth of the block is kept.
    """
    ranked = sorted(scores, reverse=True)
    total, chosen = 0.0, ranked[max(0, len(ranked) // 10 - 1)]
    for count, score in enumerate(ranked, 1):
        total += score
        if total / count >= wanted:
            chosen = min(chosen, score)
    return chosen


def _by_family(block: Sequence[Evidence], scores: Sequence[float], threshold: float) -> dict[str, Any]:
    table = {}
    for family in sorted({e.family for e in block}):
        index = [i for i, e in enumerate(block) if e.family == family]
        table[family] = _row([block[i] for i in index], [scores[i] for i in index], threshold)
    return table


def _row(block: Sequence[Evidence], scores: Sequence[float], threshold: float) -> dict[str, Any]:
    labels = [bool(e.right) for e in block]
    areas = {c: auc([e.value(c) for e in block], labels) for c in CRITICS}
    areas["combined"] = auc(scores, labels)
    kept = [label for label, s in zip(labels, scores, strict=True) if s >= threshold]
    known = [a for a in areas.values() if a is not None]
    return {
        "n": len(block),
        "right": sum(labels),
        "auc": areas,
        "blind": max(known) < BLIND_AUC if known else None,  # None: one class of labels was absent, nothing is known
        "threshold": threshold,
        "kept": len(kept),
        "precision": sum(kept) / len(kept) if kept else None,
    }

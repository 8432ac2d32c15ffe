"""How far a judge and the checkers agree: counts, Cohen's kappa, AUC, and what the order of the letters does.

The checkers are programmatic truth; what is measured here is the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import stats
from pipeline.data.critics import BLIND_AUC, auc
from pipeline.records import Opinion, ab_margin, side

CONFIDENT = 1.0
"""Margin, in nats, from which an opinion counts as confident."""


def agreement(opinions: Sequence[Opinion]) -> dict[str, Any]:
    """Judge against checkers over the answers that have an opinion; a share of nothing is None.

    `agree` comes with a Wilson 95 % interval by design effect, since answers to one wording resemble each other.
    `kappa` is Cohen's; `auc` that of the margin. `orders_differ` counts answers whose sides change with the letter
    that means yes, `towards_a` is the mean of log p(A) - log p(B) (nats), 0 without a position bias. `disagreements`
    are ids, the surest first.
    """
    judged = [o for o in opinions if o.right is not None]
    same = [o.right == o.checker for o in judged]
    confident = [o for o in judged if abs(o.margin or 0.0) >= CONFIDENT]
    both = sum(o.checker and bool(o.right) for o in judged)
    checker, judge = sum(o.checker for o in judged), sum(bool(o.right) for o in judged)
    area = auc([o.margin or 0.0 for o in judged], [o.checker for o in judged])
    differ = sorted((o for o in judged if o.right != o.checker), key=lambda o: (-abs(o.margin or 0.0), o.id))
    return {
        "answers": len(opinions),
        "judged": len(judged),
        "checker_right": checker,
        "judge_right": judge,
        "both_right": both,
        "agree": sum(same),
        "agreement": _share(sum(same), len(same)),
        "interval": _interval(same, [o.template for o in judged]),
        "kappa": stats.cohen_kappa(both, checker - both, judge - both, len(judged) - checker - judge + both),
        "auc": area,
        "blind": None if area is None else area < BLIND_AUC,
        "confident": len(confident),
        "confident_share": _share(len(confident), len(judged)),
        "confident_agree": sum(o.right == o.checker for o in confident),
        "orders_differ": sum(_sides_differ(o) for o in judged),
        "towards_a": _mean([a - b for o in judged for a, b in zip(o.logp_a, o.logp_b, strict=True)]),
        "disagreements": [o.id for o in differ],
    }


def _share(count: int, of: int) -> float | None:
    return count / of if of else None


def _interval(same: Sequence[bool], wordings: Sequence[str]) -> list[float] | None:
    if not same:
        return None
    return list(stats.effective_wilson(sum(same), len(same), stats.design_effect(same, wordings)))


def _sides_differ(opinion: Opinion) -> bool:
    """Whether yes as A and yes as B give different opinions."""
    sides = {
        side(ab_margin(*zip(*rows, strict=True)))
        for letter in "AB"
        if (rows := [row for row in _askings(opinion) if row[0].endswith(letter)])
    }
    return len(sides) > 1


def _askings(opinion: Opinion) -> list[tuple[str, float, float]]:
    return list(zip(opinion.orders, opinion.logp_a, opinion.logp_b, strict=True))


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None

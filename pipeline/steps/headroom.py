"""Nothing to teach: a stage whose gate the untrained base already clears in the training format is not paid for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.comparisons import ConditionResult
from pipeline.conditions import read_conditions
from pipeline.gates import BASE, LevelRule, no_headroom
from pipeline.steps.base import StepContext
from pipeline.steps.common import stage_of

Run = Callable[[StepContext], Mapping[str, Any] | None]
SKIPPED = {"skipped": "no headroom: the base model already clears this gate in the training format"}


def level(ctx: StepContext) -> LevelRule:
    """The level part of this stage's gate: the recipe's threshold, else the stage's own."""
    rule = ctx.recipe.evaluation
    return LevelRule(threshold_of(ctx, ctx.stage), rule.margin, rule.rule)


def threshold_of(ctx: StepContext, number: int) -> float:
    """The rate that stage `number` is to reach on its own set."""
    from pipeline.stages.registry import stage

    wanted = ctx.recipe.evaluation.threshold
    return stage(number).gate.threshold if wanted is None else wanted


def base_folder(ctx: StepContext) -> Path:
    """Where the base was measured on this stage's present block."""
    return ctx.input(f"stage-{ctx.stage}/baseline" if ctx.block(ctx.stage) else "stage-0/evaluate")


def beside_conditions(ctx: StepContext) -> dict[str, ConditionResult]:
    """This stage's present block under the reference and the alternative base, where the recipe names them."""
    stage = ctx.stage if ctx.block(ctx.stage) else 0
    found: dict[str, ConditionResult] = {}
    for kind in ("reference", "alt_base"):
        if getattr(ctx.recipe.evaluation, kind):  # results of a model that is named no more may still lie there
            found |= read_conditions(ctx.input(f"stage-{stage}/{kind}"), ctx.stage)
    return found


def nothing_to_teach(ctx: StepContext) -> bool:
    """Whether this stage's training is skipped, by the baseline's numbers and the recipe's wish."""
    if ctx.recipe.evaluation.train_despite_no_headroom or not stage_of(ctx).gate.level:
        return False
    base = read_conditions(ctx.input("stage-0/evaluate"), ctx.stage).get(BASE)
    return base is not None and no_headroom(base, level(ctx))


def teaching(run: Run) -> Run:
    """A step that is only paid for when there is something to teach."""

    @functools.wraps(run)
    def guarded(ctx: StepContext) -> Mapping[str, Any] | None:
        return dict(SKIPPED) if ctx.stage and nothing_to_teach(ctx) else run(ctx)

    return guarded

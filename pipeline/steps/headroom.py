"""Nothing to teach: a stage whose gate the untrained base already clears in the training format is not paid for."""

from __future__ import annotations

from pathlib import Path

from pipeline.comparisons import ConditionResult
from pipeline.conditions import read_conditions
from pipeline.gates import BASE, LevelRule, no_headroom
from pipeline.recipe import Recipe
from pipeline.steps.base import StepContext

SKIPPED = "no headroom: the base model already clears this gate in the training format"


def level(recipe: Recipe, number: int) -> LevelRule:
    """The level part of the gate of stage `number`: the recipe's threshold, else the stage's own."""
    return LevelRule(threshold_of(recipe, number), recipe.evaluation.margin, recipe.evaluation.rule)


def threshold_of(recipe: Recipe, number: int) -> float:
    """The rate that stage `number` is to reach on its own set."""
    from pipeline.stages.registry import stage

    wanted = recipe.evaluation.threshold
    return stage(number).gate.threshold if wanted is None else wanted


def base_folder(ctx: StepContext, number: int) -> Path:
    """Where the base was measured on the present block of stage `number`."""
    return ctx.input(f"stage-{number}/baseline" if ctx.block(number) else "stage-0/evaluate")


def beside_conditions(ctx: StepContext) -> dict[str, ConditionResult]:
    """This stage's present block under the reference and the alternative base, where the recipe names them."""
    stage = ctx.stage if ctx.block(ctx.stage) else 0
    found: dict[str, ConditionResult] = {}
    for kind in ("reference", "alt_base"):
        if getattr(ctx.recipe.evaluation, kind):  # results of a model that is named no more may still lie there
            found |= read_conditions(ctx.input(f"stage-{stage}/{kind}"), ctx.stage)
    return found


def nothing_to_teach(recipe: Recipe, stage: int, run_dir: Path, attempt: int = 1) -> str:
    """Why this stage's training is skipped, by the base's numbers on the block of this attempt at its gate and the
    recipe's wish; "" where it is not."""
    from pipeline.stages import registry

    if not stage or recipe.evaluation.train_despite_no_headroom or not registry.stage(stage).gate.level:
        return ""
    folder = run_dir / ("stage-0/evaluate" if attempt == 1 else f"stage-{stage}/baseline")
    base = read_conditions(folder, stage).get(BASE)
    return SKIPPED if base is not None and no_headroom(base, level(recipe, stage)) else ""

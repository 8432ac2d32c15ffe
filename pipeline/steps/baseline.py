"""The base model on a stage's fresh block: a new attempt at a gate is decided on items that no attempt has seen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.steps.base import Step, StepContext
from pipeline.steps.evaluate import EVALUATION_MODULES, EVALUATION_READS, measure_base
from pipeline.steps.measuring import Measuring, planned_answers, set_of
from pipeline.steps.weights import open_role


def run(ctx: StepContext) -> Mapping[str, Any]:
    held = set_of(ctx, ctx.stage)
    measuring = Measuring(ctx, planned_answers([held], 3))
    measure_base(measuring, open_role(ctx, "base", ctx.recipe.precision.evaluate), [held])
    return measuring.publish()


STEP = Step(
    name="baseline",
    run=run,
    inputs=lambda _stage, _earlier: (),
    reads=(*EVALUATION_READS, "evaluation.few_shot"),
    modules=(*EVALUATION_MODULES, "pipeline.steps.baseline"),
    holds_model=True,
    on_block=True,
)

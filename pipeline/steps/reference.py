"""Other models beside the base on the same frozen items: an instruct model as reference, another base model.

Each answers zero-shot in the training format, greedily, at the precision of every evaluation. The gates show these
rates and never decide by them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.errors import StepError
from pipeline.recipe import Model
from pipeline.steps.base import Step, StepContext
from pipeline.steps.evaluate import EVALUATION_MODULES
from pipeline.steps.measuring import Measuring, planned_answers, set_of, zero_shot
from pipeline.steps.weights import open_model


def run_reference(ctx: StepContext) -> Mapping[str, Any]:
    """An instruct model may stand here: the end of turn of its own format is a proper end of its answers."""
    return _measure(ctx, ctx.recipe.evaluation.reference, "reference", chat=True)


def run_alt_base(ctx: StepContext) -> Mapping[str, Any]:
    """A base model in completion mode, loaded as strictly as the one that is trained."""
    return _measure(ctx, ctx.recipe.evaluation.alt_base, "alt-base", chat=False)


def _measure(ctx: StepContext, wanted: Model | None, condition: str, chat: bool) -> Mapping[str, Any]:
    if wanted is None:
        raise StepError(f"the recipe names no model for the condition {condition}; leave this step out")
    sets = [set_of(ctx, number) for number in ((ctx.stage,) if ctx.stage else ctx.recipe.stages)]
    opened = open_model(ctx, wanted, ctx.recipe.precision.evaluate, chat=chat)
    measuring = Measuring(ctx, planned_answers(sets, 1))
    for held in sets:
        measuring.measure(opened, held, zero_shot(condition))
    return measuring.publish()


_READS = ("stages", "precision.evaluate", "data.families", "evaluation.items")
_MODULES = (*EVALUATION_MODULES, "pipeline.steps.reference")

REFERENCE = Step(
    name="reference",
    run=run_reference,
    inputs=lambda _stage, _earlier: (),
    reads=(*_READS, "evaluation.reference"),
    modules=_MODULES,
    holds_model=True,
    on_block=True,
)

ALT_BASE = Step(
    name="alt_base",
    run=run_alt_base,
    inputs=lambda _stage, _earlier: (),
    reads=(*_READS, "evaluation.alt_base"),
    modules=_MODULES,
    holds_model=True,
    on_block=True,
)

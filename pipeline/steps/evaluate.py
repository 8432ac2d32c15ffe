"""Measures the models on the frozen held-out sets.

Stage 0: the base model on every set of the chain under three prompt conditions, the scorers' audit, and the A/A check.
A later stage: its candidate on its own set and on every earlier one, and the model it started from (the same weights,
adapter switched off) on its own set. The gate takes it from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.evals.audit import audit
from pipeline.evals.items import split
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES
from pipeline.steps.headroom import teaching
from pipeline.steps.measuring import (
    HeldOut,
    Measuring,
    base_conditions,
    first,
    planned_answers,
    read_rows,
    set_of,
    zero_shot,
)
from pipeline.steps.weights import Opened, last_adapter, open_engine, open_role

EVALUATION_READS = ("model", "stages", "precision.evaluate", "data.families", "evaluation.items")
EVALUATION_MODULES = (
    *ENGINE_MODULES, "pipeline.steps.evaluate", "pipeline.steps.measuring", "pipeline.evals", "pipeline.stages",
)  # fmt: skip


def run(ctx: StepContext) -> Mapping[str, Any]:
    return _candidate(ctx) if ctx.stage else _baseline(ctx)


def _baseline(ctx: StepContext) -> Mapping[str, Any]:
    sets = [set_of(ctx, number) for number in ctx.recipe.stages]
    opened = open_role(ctx, "base", ctx.recipe.precision.evaluate)
    twice = _for_the_second_time(ctx, sets)
    measuring = Measuring(ctx, planned_answers(sets, 3) + planned_answers(twice, 1))
    measure_base(measuring, opened, sets)
    aa = _same_twice(measuring, opened, twice)
    families = {name: family for held in sets for name, family in held.families.items()}
    return measuring.publish(aa=aa, audit=audit(families.values()).as_dict())


def measure_base(measuring: Measuring, opened: Opened, sets: Sequence[HeldOut]) -> None:
    """Every base condition on every set."""
    for held in sets:
        for condition in base_conditions(measuring.ctx, held.families):
            measuring.measure(opened, held, condition)


def _candidate(ctx: StepContext) -> Mapping[str, Any]:
    own, earlier = set_of(ctx, ctx.stage), [set_of(ctx, number) for number in ctx.earlier]
    adapter = last_adapter(ctx)
    opened = open_engine(ctx, ctx.recipe.precision.evaluate, adapter)
    measuring = Measuring(ctx, planned_answers([own, *earlier], 1) + planned_answers([own] if earlier else [], 1))
    for held in (own, *earlier):
        measuring.measure(opened, held, zero_shot("tuned"))
    if earlier:
        with opened.without_adapter() as before:
            measuring.measure(before, own, zero_shot("previous"))
    return measuring.publish()


def _for_the_second_time(ctx: StepContext, sets: Sequence[HeldOut]) -> list[HeldOut]:
    counts = split(ctx.recipe.evaluation.aa_items, len(sets))
    return [first(held, count) for held, count in zip(sets, counts, strict=True)]


def _same_twice(measuring: Measuring, opened: Opened, sets: Sequence[HeldOut]) -> dict[str, int]:
    """A/A: the base against itself in other batches; an outcome that flips is the engine's noise, not a model's."""
    items = flips = 0
    for held in sets:
        before = read_rows(measuring.ctx.out, held, "base-formatted")
        for row in measuring.answers(opened, held, zero_shot("base-formatted"), f"{held.folder}.aa"):
            items += 1
            flips += before[row.item] != (row.strict, row.lenient)
    return {"items": items, "flips": flips}


STEP = Step(
    name="evaluate",
    run=teaching(run),
    inputs=lambda stage, earlier: (
        (f"stage-{stage}/sft", f"stage-{stage}/dpo", *(f"stage-{k}/merge" for k in earlier[-1:])) if stage else ()
    ),
    reads=(*EVALUATION_READS, "evaluation.few_shot", "evaluation.aa_items"),
    modules=EVALUATION_MODULES,
    holds_model=True,
    on_block=True,
)

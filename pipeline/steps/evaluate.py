"""Measures the models on the frozen held-out sets.

Stage 0: the base model on every set of the chain under three prompt conditions, the scorers' audit, and the A/A check.
A later stage: its candidate on its own set and on every earlier one, and the model it started from (the same weights,
adapter switched off) on its own set. The gate takes it from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.comparisons import ItemOutcome
from pipeline.conditions import read_conditions
from pipeline.curtailment import Curtailment
from pipeline.evals.audit import audit
from pipeline.evals.items import split
from pipeline.recipe import Recipe
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, after_stage, stage_of
from pipeline.steps.headroom import base_folder, level, nothing_to_teach
from pipeline.steps.measuring import (
    HeldOut,
    Measuring,
    Settled,
    base_conditions,
    first,
    planned_answers,
    read_rows,
    set_of,
    zero_shot,
)
from pipeline.steps.weights import Opened, last_adapter, open_engine, open_role

EVALUATION_READS = (
    "model", "stages", "precision.evaluate", "data.families", "evaluation.items",
    "evaluation.ifeval_items",
)  # fmt: skip
EVALUATION_MODULES = (
    *ENGINE_MODULES, "pipeline.steps.evaluate", "pipeline.steps.measuring", "pipeline.steps.ifeval", "pipeline.evals",
    "pipeline.stages",
)  # fmt: skip
CURTAILING_MODULES = (
    "pipeline.curtailment", "pipeline.gate_input", "pipeline.stats", "pipeline.comparisons", "pipeline.conditions",
    "pipeline.steps.headroom",
)  # fmt: skip
"""What decides when a curtailed evaluation stops; a change there makes no other evaluation stale."""


def run(ctx: StepContext) -> Mapping[str, Any]:
    return _candidate(ctx) if ctx.stage else _baseline(ctx)


def _baseline(ctx: StepContext) -> Mapping[str, Any]:
    sets = [set_of(ctx, number) for number in ctx.recipe.stages]
    opened = open_role(ctx, "base", ctx.recipe.precision.evaluate)
    twice = _for_the_second_time(ctx, sets)
    external = ctx.recipe.evaluation.ifeval_items
    measuring = Measuring(ctx, planned_answers(sets, 3) + planned_answers(twice, 1) + external)
    measuring.expect(opened, twice, lambda _: [zero_shot("base-formatted")])
    measuring.expect_ifeval(opened)
    measure_base(measuring, opened, sets)
    measuring.ifeval(opened, "base-formatted")
    aa = _same_twice(measuring, opened, twice)
    families = {name: family for held in sets for name, family in held.families.items()}
    return measuring.publish(aa=aa, audit=audit(families.values()).as_dict())


def measure_base(measuring: Measuring, opened: Opened, sets: Sequence[HeldOut]) -> None:
    """Every base condition on every set."""
    conditions = {held.stage: base_conditions(measuring.ctx, held.families) for held in sets}
    measuring.expect(opened, sets, lambda held: conditions[held.stage])
    for held in sets:
        for condition in conditions[held.stage]:
            measuring.measure(opened, held, condition)


def _candidate(ctx: StepContext) -> Mapping[str, Any]:
    own, earlier = set_of(ctx, ctx.stage), [set_of(ctx, number) for number in ctx.earlier]
    opened = open_engine(ctx, ctx.recipe.precision.evaluate, last_adapter(ctx))
    total = planned_answers([own, *earlier], 1) + planned_answers([own] if earlier else [], 1)
    measuring = Measuring(ctx, total + ctx.recipe.evaluation.ifeval_items)
    measuring.expect(opened, [own, own, *earlier] if earlier else [own], lambda _: [zero_shot("tuned")])
    measuring.expect_ifeval(opened)
    if earlier:
        with opened.without_adapter() as before:
            measuring.measure(before, own, zero_shot("previous"))
    measuring.measure(opened, own, zero_shot("tuned"), _settled(measuring, own) if _curtailed(ctx.recipe) else None)
    for held in earlier:
        measuring.measure(opened, held, zero_shot("tuned"))
    measuring.ifeval(opened, "tuned")
    return measuring.publish()


def _curtailed(recipe: Recipe) -> bool:
    return recipe.evaluation.curtail


def _settled(measuring: Measuring, own: HeldOut) -> Settled:
    """Stops the candidate's evaluation, exactly, once its gate can no longer advance."""
    ctx, gate = measuring.ctx, stage_of(measuring.ctx).gate
    conditions = {**read_conditions(base_folder(ctx, ctx.stage), ctx.stage), **measuring.results(own)}
    better_than = gate.better_than if ctx.earlier else "base"
    alpha = ctx.recipe.evaluation.alpha
    rule = Curtailment.of_gate(len(own.items), level(ctx.recipe, ctx.stage), conditions, better_than, gate.level, alpha)
    return lambda rows: rule.settled(ItemOutcome(r.item, r.family, r.template, r.strict, r.lenient) for r in rows)


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
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, earlier: (
        ("stage-0/evaluate", f"stage-{stage}/sft", f"stage-{stage}/dpo", *after_stage(earlier)) if stage else ()
    ),
    reads=(*EVALUATION_READS, "evaluation.few_shot", "evaluation.aa_items", "evaluation.curtail"),
    reads_if=lambda recipe: (
        tuple(f"evaluation.{name}" for name in ("alpha", "threshold", "margin", "rule")) if _curtailed(recipe) else ()
    ),
    modules=EVALUATION_MODULES,
    modules_if=lambda recipe: CURTAILING_MODULES if _curtailed(recipe) else (),
    holds_model=True,
    on_block=True,
)

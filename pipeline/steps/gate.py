"""Collects what was measured and lets `pipeline.gates` decide. A result that is not there is MISSING, never success."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.artifacts import write_atomic
from pipeline.comparisons import ConditionResult
from pipeline.conditions import read_conditions, read_json
from pipeline.gate_input import NEAR
from pipeline.gates import BASE, AaCheck, Audit, EarlierStage, GateInput, decide
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import held_out, stage_of
from pipeline.steps.headroom import base_folder, beside_conditions, level, nothing_to_teach, threshold_of

TUNED = "tuned"


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    own = ctx.input(f"stage-{ctx.stage}/evaluate")
    zero = read_json(ctx.input("stage-0/evaluate") / "summary.json")
    trained = not nothing_to_teach(ctx.recipe, ctx.stage, ctx.run_dir, ctx.block(ctx.stage) + 1)
    decision = decide(
        GateInput(
            stage=ctx.stage,
            name=stage.name,
            planned=len(held_out(ctx, ctx.stage)),
            level=level(ctx.recipe, ctx.stage),
            conditions={
                **read_conditions(base_folder(ctx, ctx.stage), ctx.stage),
                **beside_conditions(ctx),
                **read_conditions(own, ctx.stage),
            },
            audit=_audit(zero),
            aa=_aa(zero),
            leaks=_leaks(ctx),
            earlier=tuple(_earlier(ctx)) if trained else (),
            attempt=ctx.attempts.get(ctx.stage, 1),
            alpha=ctx.recipe.evaluation.alpha,
            trained=trained,
            better_than=stage.gate.better_than if ctx.earlier else "base",
            level_decides=stage.gate.level,
            seed=ctx.seed() % 2**32,
        )
    )
    body = json.dumps(decision.as_dict(), indent=1, sort_keys=True, ensure_ascii=False).encode()
    write_atomic(ctx.out / "gate.json", body)  # the runner publishes it as stage-N/gate.json
    return {"verdict": decision.verdict.value, "reason": decision.reason}


def _earlier(ctx: StepContext) -> Iterator[EarlierStage]:
    """Every earlier set under the candidate and under the model it started from."""
    for number in ctx.earlier:
        now = read_conditions(ctx.input(f"stage-{ctx.stage}/evaluate"), number).get(TUNED)
        base = read_conditions(base_folder(ctx, number), number).get(BASE)
        before = _before(ctx, number) or base
        wanted = _kept_level(ctx, number)
        level = wanted if before is None or _held(before, wanted) else 0.0
        planned = len(held_out(ctx, number))
        yield EarlierStage(number, level, now, before, ctx.recipe.evaluation.keep_delta, base, planned)


def _before(ctx: StepContext, number: int) -> ConditionResult | None:
    """An earlier set under the model that this stage started from: the last one that was trained measured it. None
    where every one since was skipped; what the base had there is then what can be lost."""
    found = (read_conditions(ctx.input(f"stage-{k}/evaluate"), number).get(TUNED) for k in reversed(ctx.earlier))
    return next((result for result in found if result is not None), None)


def _kept_level(ctx: StepContext, number: int) -> float:
    rule = ctx.recipe.evaluation
    if rule.keep is not None:
        return rule.keep
    return min(stage_of(ctx).gate.keep.get(number, 0.0), threshold_of(ctx.recipe, number))


def _held(before: ConditionResult, wanted: float) -> bool:
    """Whether the level was there to be lost: a set that never reached it can only fall by the paired test."""
    return before.successes("strict") / max(1, before.trials) + NEAR >= wanted


def _audit(summary: Mapping[str, Any]) -> Audit | None:
    raw = summary.get("audit")
    return Audit(raw["passed"], raw["fixtures"], tuple(raw["failures"])) if raw else None


def _aa(summary: Mapping[str, Any]) -> AaCheck | None:
    raw = summary.get("aa")
    return AaCheck(raw["items"], raw["flips"]) if raw else None


def _leaks(ctx: StepContext) -> int | None:
    raw = read_json(ctx.input(f"stage-{ctx.stage}/filter") / "leaks.json").get("remaining")
    return None if raw is None else len(raw)


STEP = Step(
    name="gate",
    run=run,
    inputs=lambda stage, earlier: (
        "stage-0/evaluate",
        *(f"stage-{k}/evaluate" for k in earlier),
        f"stage-{stage}/filter",
        f"stage-{stage}/evaluate",
    ),
    reads=("stages", "evaluation", "data.families"),
    modules=(
        "pipeline.steps.gate",
        "pipeline.steps.common",
        "pipeline.conditions",
        "pipeline.evals",
        "pipeline.steps.headroom",
        "pipeline.gates",
        "pipeline.gate_input",
        "pipeline.comparisons",
        "pipeline.stats",
        "pipeline.stages",
        "pipeline.records",
    ),
    holds_model=False,
    on_block=True,
    version=2,
)

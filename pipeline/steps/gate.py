"""Collects what was measured and lets `pipeline.gates` decide. A result that is not there is MISSING, never success."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline.artifacts import write_atomic
from pipeline.evals.items import frozen_set
from pipeline.gates import AaCheck, Audit, GateInput, decide
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import stage_of
from pipeline.steps.headroom import level, nothing_to_teach, read_conditions, read_json


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    base, own = ctx.input("stage-0/evaluate"), ctx.input(f"stage-{ctx.stage}/evaluate")
    zero = read_json(base / "summary.json")
    decision = decide(
        GateInput(
            stage=ctx.stage,
            name=stage.name,
            planned=len(frozen_set(ctx.recipe, stage.number)),
            level=level(ctx),
            conditions={**read_conditions(base), **read_conditions(own)},
            audit=_audit(zero),
            aa=_aa(zero),
            leaks=_leaks(ctx),
            alpha=ctx.recipe.evaluation.alpha,
            trained=not nothing_to_teach(ctx),
            seed=ctx.seed() % 2**32,
        )
    )
    body = json.dumps(decision.as_dict(), indent=1, sort_keys=True, ensure_ascii=False).encode()
    write_atomic(ctx.out / "gate.json", body)  # the runner publishes it as stage-N/gate.json
    return {"verdict": decision.verdict.value, "reason": decision.reason}


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
    inputs=lambda stage: ("stage-0/evaluate", f"stage-{stage}/filter", f"stage-{stage}/evaluate"),
    reads=("evaluation", "data.families"),
    modules=(
        "pipeline.steps.gate",
        "pipeline.gates",
        "pipeline.comparisons",
        "pipeline.stats",
        "pipeline.stages",
        "pipeline.records",
    ),
    holds_model=False,
    version=1,
)

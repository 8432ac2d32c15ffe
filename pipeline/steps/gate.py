"""Collects what was measured and lets `pipeline.gates` decide. A result that is not there is MISSING, never success."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_atomic
from pipeline.comparisons import ConditionResult, Fingerprint
from pipeline.evals.items import frozen_set
from pipeline.gates import AaCheck, Audit, GateInput, LevelRule, decide
from pipeline.protocol import RunPaths
from pipeline.records import EvalResult, RecordError, read_records
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import stage_of


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    rule = ctx.recipe.evaluation
    threshold = stage.gate.threshold if rule.threshold is None else rule.threshold
    base, own = ctx.input("stage-0/evaluate"), ctx.input(f"stage-{ctx.stage}/evaluate")
    zero = _json(base / "summary.json")
    decision = decide(
        GateInput(
            stage=ctx.stage,
            name=stage.name,
            planned=len(frozen_set(ctx.recipe, stage.number)),
            level=LevelRule(threshold, rule.margin, rule.rule),
            conditions={**_conditions(base, zero), **_conditions(own, _json(own / "summary.json"))},
            audit=_audit(zero),
            aa=_aa(zero),
            leaks=_leaks(ctx),
            alpha=rule.alpha,
            seed=ctx.seed() % 2**32,
        )
    )
    body = json.dumps(decision.as_dict(), indent=1, sort_keys=True, ensure_ascii=False).encode()
    write_atomic(ctx.out / "decision.json", body)
    write_atomic(RunPaths(ctx.run_dir).gate(ctx.stage), body)  # where every reader of a run looks for it
    return {"verdict": decision.verdict.value, "reason": decision.reason}


def _conditions(folder: Path, summary: Mapping[str, Any]) -> dict[str, ConditionResult]:
    """Every condition whose answers and fingerprint can be read; the others stay absent."""
    found = {}
    for name, facts in (summary.get("conditions") or {}).items():
        try:
            rows = [r.to_row() for r in read_records(folder / f"{name}.jsonl", EvalResult)]
            found[name] = ConditionResult.from_rows(name, Fingerprint.from_dict(facts["fingerprint"]), rows)
        except (OSError, RecordError, KeyError):
            continue
    return found


def _audit(summary: Mapping[str, Any]) -> Audit | None:
    raw = summary.get("audit")
    return Audit(raw["passed"], raw["fixtures"], tuple(raw["failures"])) if raw else None


def _aa(summary: Mapping[str, Any]) -> AaCheck | None:
    raw = summary.get("aa")
    return AaCheck(raw["items"], raw["flips"]) if raw else None


def _leaks(ctx: StepContext) -> int | None:
    raw = _json(ctx.input(f"stage-{ctx.stage}/filter") / "leaks.json").get("remaining")
    return None if raw is None else len(raw)


def _json(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


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

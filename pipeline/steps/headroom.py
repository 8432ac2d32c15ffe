"""Nothing to teach: a stage whose gate the untrained base already clears in the training format is not paid for."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.comparisons import ConditionResult, Fingerprint
from pipeline.gates import BASE, LevelRule, no_headroom
from pipeline.records import EvalResult, RecordError, read_records
from pipeline.steps.base import StepContext
from pipeline.steps.common import stage_of

Run = Callable[[StepContext], Mapping[str, Any] | None]
SKIPPED = {"skipped": "no headroom: the base model already clears this gate in the training format"}


def level(ctx: StepContext) -> LevelRule:
    """The level part of this stage's gate: the recipe's threshold, else the stage's own."""
    rule = ctx.recipe.evaluation
    threshold = stage_of(ctx).gate.threshold if rule.threshold is None else rule.threshold
    return LevelRule(threshold, rule.margin, rule.rule)


def read_conditions(folder: Path) -> dict[str, ConditionResult]:
    """Every condition of an evaluation whose answers and fingerprint can be read; the others stay absent."""
    found = {}
    for name, facts in (read_json(folder / "summary.json").get("conditions") or {}).items():
        try:
            rows = [r.to_row() for r in read_records(folder / f"{name}.jsonl", EvalResult)]
            found[name] = ConditionResult.from_rows(name, Fingerprint.from_dict(facts["fingerprint"]), rows)
        except (OSError, RecordError, KeyError):
            continue
    return found


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none that can be read."""
    try:
        body = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def nothing_to_teach(ctx: StepContext) -> bool:
    """Whether this stage's training is skipped, by the baseline's numbers and the recipe's wish."""
    if ctx.recipe.evaluation.train_despite_no_headroom:
        return False
    base = read_conditions(ctx.input("stage-0/evaluate")).get(BASE)
    return base is not None and no_headroom(base, level(ctx))


def teaching(run: Run) -> Run:
    """A step that is only paid for when there is something to teach."""

    @functools.wraps(run)
    def guarded(ctx: StepContext) -> Mapping[str, Any] | None:
        return dict(SKIPPED) if ctx.stage and nothing_to_teach(ctx) else run(ctx)

    return guarded

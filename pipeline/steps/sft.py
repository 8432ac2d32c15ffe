"""Supervised fine-tuning of a fresh LoRA adapter on the kept answers: response tokens and end-of-text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import tokenise
from pipeline.records import SftRow, read_records
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, after_stage
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.weights import stage_base

TRAIN_MODULES = (*ENGINE_MODULES, "pipeline.trainers", "pipeline.tokenise")


def run(ctx: StepContext) -> Mapping[str, Any]:
    from pipeline.models.load import device_of, load_tokens
    from pipeline.trainers.backend import train_sft
    from pipeline.trainers.plan import plan_of

    train = ctx.recipe.train
    if not train.sft.enabled:
        return {"skipped": "switched off by the recipe: preference training starts from a fresh adapter"}
    folder = ctx.input(f"stage-{ctx.stage}/filter")
    data = [row for name in ("sft", "rehearsal") for row in read_records(folder / f"{name}.jsonl", SftRow)]
    weights = stage_base(ctx)
    tokens = load_tokens(weights)
    rows, dropped = tokenise.rows(tokens, [(r.prompt, r.completion) for r in data], train.sft.max_length)
    for reason, count in dropped.items():
        ctx.reporter.warn("rows_dropped", f"{count} training rows dropped: {reason}", "see the step's manifest")
    trained = sum(len(r.input_ids) for r in rows) * train.sft.epochs
    ctx.reporter.foresee(trained)
    summary = train_sft(weights, device_of(ctx.recipe.hardware.device), rows, train, plan_of(ctx))
    ctx.reporter.tokens(round(trained))
    (ctx.out / "examples.txt").write_text("\n\n".join(tokenise.dump(tokens, r) for r in rows[:3]) + "\n")
    return {
        **summary,
        "rows": len(rows),
        "dropped": dict(dropped),
        "tokens_per_epoch": sum(len(r.input_ids) for r in rows),
        "trained_tokens_per_epoch": sum(r.trained for r in rows),
    }


STEP = Step(
    name="sft",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, earlier: (f"stage-{stage}/filter", *after_stage(earlier)),
    reads=("model", "stages", "precision.train", "train", "hardware.gpus"),
    modules=(*TRAIN_MODULES, "pipeline.steps.sft"),
    holds_model=True,
    time_limit_s=10800.0,
)

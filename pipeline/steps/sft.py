"""Supervised fine-tuning of a fresh LoRA adapter on the kept answers: response tokens and end-of-text only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import tokenise
from pipeline.records import SftRow, read_records
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, load_base
from pipeline.steps.headroom import teaching

TRAIN_MODULES = (*ENGINE_MODULES, "pipeline.trainers", "pipeline.tokenise")


def run(ctx: StepContext) -> Mapping[str, Any]:
    from pipeline.trainers.trl_trainer import Plan, train_sft

    train = ctx.recipe.train
    data = list(read_records(ctx.input(f"stage-{ctx.stage}/filter") / "sft.jsonl", SftRow))
    model, tokens, _ = load_base(ctx, ctx.recipe.precision.train)
    rows, dropped = tokenise.rows(tokens, [(r.prompt, r.completion) for r in data], train.sft.max_length)
    for reason, count in dropped.items():
        ctx.reporter.warn("rows_dropped", f"{count} training rows dropped: {reason}", "see the step's manifest")
    plan = Plan(
        ctx.out, ctx.recipe.model.id, ctx.seed(), ctx.recipe.precision.train, train.checkpoint_minutes, ctx.reporter
    )
    summary = train_sft(model, tokens, rows, train.sft, train.lora, plan)
    ctx.reporter.tokens(int(sum(len(r.input_ids) for r in rows) * train.sft.epochs))
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
    run=teaching(run),
    inputs=lambda stage: (f"stage-{stage}/filter",),
    reads=("model", "precision.train", "train"),
    modules=(*TRAIN_MODULES, "pipeline.steps.sft"),
    holds_model=True,
    time_limit_s=10800.0,
)

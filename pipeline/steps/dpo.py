"""Preference optimisation: the SFT adapter trained on, against its own frozen copy; a fresh one where SFT is off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline import tokenise
from pipeline.records import Pair, read_records
from pipeline.steps.base import Step, StepContext
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.sft import TRAIN_MODULES
from pipeline.steps.weights import stage_base, tuned_adapter

MIN_PAIRS = 8


def run(ctx: StepContext) -> Mapping[str, Any]:
    from pipeline.models.load import device_of, load_tokens
    from pipeline.trainers.backend import train_dpo
    from pipeline.trainers.plan import PairRow, plan_of

    dpo = ctx.recipe.train.dpo
    data = list(read_records(ctx.input(f"stage-{ctx.stage}/pairs") / "pairs.jsonl", Pair))
    if not dpo.enabled:
        return _skipped(ctx, "switched off by the recipe", len(data))
    weights = stage_base(ctx)
    tokens = load_tokens(weights)
    rows: list[PairRow] = []
    for pair in data:
        chosen = tokenise.split(tokens, pair.prompt, pair.chosen)
        rejected = tokenise.split(tokens, pair.prompt, pair.rejected)
        if isinstance(chosen, str) or isinstance(rejected, str):
            continue  # the pairs step let none of these through
        longest = len(chosen[0]) + max(len(chosen[1]), len(rejected[1]))
        if longest <= dpo.max_length:
            rows.append(PairRow(chosen[0], chosen[1], rejected[1]))
    dropped = len(data) - len(rows)
    if dropped:
        text = f"{dropped} of {len(data)} pairs dropped: longer than {dpo.max_length} tokens"
        ctx.reporter.warn("pairs_dropped", text, "raise train.dpo.max_length where the card has room")
    if len(rows) < MIN_PAIRS:
        return _skipped(ctx, f"only {len(rows)} pairs, at least {MIN_PAIRS} are needed", len(data))
    device = device_of(ctx.recipe.hardware.device)
    trained = sum(2 * len(r.prompt_ids) + len(r.chosen_ids) + len(r.rejected_ids) for r in rows) * dpo.epochs
    ctx.reporter.foresee(trained)
    summary = train_dpo(weights, device, tuned_adapter(ctx), rows, ctx.recipe.train, plan_of(ctx))
    ctx.reporter.tokens(round(trained))
    return {**summary, "rows": len(rows), "dropped": dropped}


def _skipped(ctx: StepContext, reason: str, pairs: int) -> Mapping[str, Any]:
    ctx.reporter.warn("dpo_skipped", f"no preference training: {reason}", "what SFT left is evaluated as it is")
    return {"skipped": reason, "pairs": pairs}


STEP = Step(
    name="dpo",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, _earlier: (f"stage-{stage}/sft", f"stage-{stage}/pairs"),
    reads=("model", "stages", "precision.train", "train", "hardware.gpus"),
    modules=(*TRAIN_MODULES, "pipeline.steps.dpo", "pipeline.steps.sft"),
    holds_model=True,
    time_limit_s=10800.0,
)

"""Base plus this stage's adapter as one plain model, checked against the two apart; the next stage starts from it.

The weights are scratch and stay out of the step's directory: `merge.json` names their digest, and they can be made
again from the published adapters. A stage that trained nothing hands its predecessor's weights on.
"""

from __future__ import annotations

import gc
import json
import shutil
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import prompts
from pipeline.artifacts import write_atomic
from pipeline.engines.base import IdPair, TokenLogprobs
from pipeline.errors import StepError
from pipeline.recipe import Precision
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, after_stage, held_out
from pipeline.steps.weights import last_adapter, merged_path, start_weights
from pipeline.times import TimedEngine

if TYPE_CHECKING:
    from pipeline.models.load import Tokens
    from pipeline.models.merge import MergeReport

ROUNDED_AWAY = 0.5
"""Share of the training's effect that rounding the merged weights may cost before the reader is warned."""

MERGING, MERGING_CPU = 0.8, 0.1
"""Of the step's time the merge itself and the loading take; reading the held prompts takes the rest."""

READ_AT_ONCE = 16
"""Held prompts between two signs of progress."""

BATCH_TOKENS = 2048
"""Of one teacher-forced batch: fixed, since the sums' order would move the last digits that merge.json notes."""


def run(ctx: StepContext) -> Mapping[str, Any]:
    from pipeline.models.merge import merge_adapter

    base, base_digest = start_weights(ctx)
    adapter = last_adapter(ctx)
    if adapter is None:
        _write(ctx, {"trained": False, "base": base_digest, "digest": base_digest})
        return {"skipped": "nothing was trained: the weights of the stage before are handed on"}
    out = merged_path(ctx, ctx.stage)
    ctx.reporter.progress(0, 1, "merge")
    report = merge_adapter(base, adapter, out)
    try:
        parity = _check(ctx, base, adapter, out, report)
    except StepError:
        shutil.rmtree(out, ignore_errors=True)  # what failed its check must not be found by a later step
        raise
    note = {"trained": True, "base": base_digest, "digest": report.digest, "files": dict(report.files)}
    _write(ctx, {**note, "tensors": report.tensors, "scale": report.scale, "stored": report.stored, "parity": parity})
    return {"digest": report.digest, "parity": parity}


def _check(ctx: StepContext, base: Path, adapter: Path, out: Path, report: MergeReport) -> dict[str, Any]:
    """Parity of merged and base plus adapter on held prompts and their right answers. In fp32 the latter is rounded as
    the merged weights are stored; `rounding` says what that cost, `effect` how far the adapter moves the base."""
    from pipeline.models import parity
    from pipeline.models.load import attach_adapter, load_tokens, only_adapters

    precision = parity.run_precision(base)
    pairs = _held_pairs(ctx, load_tokens(base))
    answers = _Answers(ctx, pairs, passes=4 if precision is Precision.FP32 else 3)
    model = attach_adapter(_load(ctx, base, precision), adapter)
    apart = answers.of(model, base)
    with only_adapters(model, []):
        untouched = answers.of(model, base)
    expected = apart
    if precision is Precision.FP32:
        model = parity.as_stored(model, report.stored)
        expected = answers.of(model, base)
    del model
    gc.collect()
    merged = answers.of(_load(ctx, out, precision), out)
    found = parity.check(expected, merged, parity.tolerance(precision))
    rounding, effect = (statistics.fmean(parity.distances(apart, other)) for other in (merged, untouched))
    if rounding > ROUNDED_AWAY * effect:
        ctx.reporter.warn(
            "merge_rounding",
            f"rounding to {report.stored} moved the answers by {rounding:.2g} nats, the training by {effect:.2g}",
            "the adapter is too small for 16-bit weights: train longer, or store the base in fp32",
        )
    facts = {"precision": str(precision), "prompts": len(pairs), "rounding": rounding, "effect": effect}
    return {**found.as_dict(), **facts}


def _held_pairs(ctx: StepContext, tokens: Tokens) -> list[IdPair]:
    from pipeline.models.parity import PROMPTS

    items = held_out(ctx, ctx.stage)[:PROMPTS]
    return [
        IdPair(
            tuple(tokens.prompt(prompts.bare(i.instruction))),
            (*tokens.encode(prompts.completion(i.answer)), tokens.eos),
        )
        for i in items
    ]


def _load(ctx: StepContext, path: Path, precision: Precision) -> Any:
    from pipeline.models.load import device_of, load_model

    with ctx.times.count("loading"):
        return load_model(path, precision, device_of(ctx.recipe.hardware.device))


class _Answers:
    """Log-probabilities of the held answers under one model after the other, telling how far it is."""

    def __init__(self, ctx: StepContext, pairs: Sequence[IdPair], passes: int) -> None:
        from pipeline.models.load import device_of

        self._reporter, self._times, self._pairs = ctx.reporter, ctx.times, pairs
        self._done, self._total = 0, passes * len(pairs)
        self._merging = MERGING_CPU if device_of(ctx.recipe.hardware.device) == "cpu" else MERGING

    def of(self, model: Any, path: Path) -> list[TokenLogprobs]:
        from pipeline.engines.transformers_engine import TransformersEngine
        from pipeline.models.load import load_tokens

        engine = TimedEngine(TransformersEngine(model, load_tokens(path), BATCH_TOKENS), self._times)
        found = list[TokenLogprobs]()
        for begin in range(0, len(self._pairs), READ_AT_ONCE):
            self._tell()
            found += engine.logprobs(self._pairs[begin : begin + READ_AT_ONCE])
            self._done = self._done + len(self._pairs[begin : begin + READ_AT_ONCE])
        self._tell()
        return found

    def _tell(self) -> None:
        share = self._merging + (1 - self._merging) * self._done / self._total
        self._reporter.progress(self._done, self._total, "held answers read", share)


def _write(ctx: StepContext, body: Mapping[str, Any]) -> None:
    write_atomic(ctx.out / "merge.json", json.dumps(body, indent=1, sort_keys=True).encode() + b"\n")


STEP = Step(
    name="merge",
    run=run,
    inputs=lambda stage, earlier: (f"stage-{stage}/sft", f"stage-{stage}/dpo", *after_stage(earlier)),
    reads=("model", "data.families", "evaluation.items"),
    modules=(*ENGINE_MODULES, "pipeline.steps.merge", "pipeline.evals", "pipeline.stages"),
    holds_model=True,
    time_limit_s=7200.0,
)

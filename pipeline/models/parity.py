"""Whether a merged model is its base plus adapter: both are asked for the same answers, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.engines.base import TokenLogprobs
from pipeline.errors import StepError
from pipeline.recipe import Precision

PROMPTS = 64
"""Held prompts a check is made on."""

ROUNDED, EXACT = 0.02, 1e-5
"""Tolerated mean |Δ| in nats: where the sums are rounded to 16 bits, and where all is fp32."""

SMALL_BYTES = 8 * 10**9
"""Weights up to this size are checked in fp32."""


@dataclass(frozen=True, slots=True)
class Parity:
    """|Δ| of log-probabilities (nats) over all response tokens; `agreement` is the share of equal likeliest tokens."""

    tokens: int
    mean: float
    largest: float
    agreement: float
    tolerance: float

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def run_precision(folder: Path) -> Precision:
    """What both models run in: fp32 where the weights are small, since the rounding of a bf16 pass over a small model
    is itself as large as the tolerance (measured: 0.021 nats of the tiny model's, where fp32 shows 0.003)."""
    return checked_in(sum(p.stat().st_size for p in folder.glob("*.safetensors")))


def checked_in(weight_bytes: float) -> Precision:
    """The same by the size of the stored weights."""
    return Precision.FP32 if weight_bytes <= SMALL_BYTES else Precision.BF16


def tolerance(precision: Precision) -> float:
    """Mean |Δ| allowed when both models run in `precision`."""
    return EXACT if precision is Precision.FP32 else ROUNDED


def as_stored(model: Any, stored: str) -> Any:
    """What a right merge must be: PEFT's own, in fp32, its weights rounded to the type `stored` ("BF16", "F16", "F32").

    Rounding to 16 bits moves a small model's answers by as much as 0.02 nats (measured on the tiny one): without it a
    tolerance that lets a right merge pass would let a slightly wrong one pass too. The adapter is used up.
    """
    import torch

    dtype = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}[stored]
    changed = [n.removeprefix("base_model.model.") for n, module in model.named_modules() if hasattr(module, "lora_A")]
    merged = model.merge_and_unload()
    for name in changed:
        weight = merged.get_submodule(name).weight
        weight.data = weight.data.to(dtype).to(weight.dtype)
    return merged


def check(reference: Sequence[TokenLogprobs], merged: Sequence[TokenLogprobs], allowed: float) -> Parity:
    """Compare the merged model with base plus adapter.

    Raises:
        StepError: the mean |Δ| exceeds `allowed` or is not a number, or there is nothing to compare.
    """
    apart = distances(reference, merged)
    if not apart:
        raise StepError("the merged model cannot be checked: no held prompt has an answer")
    same = [
        p == q for one, other in zip(reference, merged, strict=True) for p, q in zip(one.best, other.best, strict=True)
    ]
    found = Parity(len(apart), sum(apart) / len(apart), max(apart), sum(same) / len(same), allowed)
    if not found.mean <= allowed:
        raise StepError(
            f"the merged model is not its base plus adapter: mean |Δ log p| {found.mean:.2g} over {found.tokens} "
            f"tokens, at most {allowed:g} is allowed; remove the merged weights and run the step again"
        )
    return found


def distances(one: Sequence[TokenLogprobs], other: Sequence[TokenLogprobs]) -> list[float]:
    """|Δ| in nats, token by token."""
    return [abs(a - b) for x, y in zip(one, other, strict=True) for a, b in zip(x.values, y.values, strict=True)]

"""Which library trains. Light: a trainer and a model are loaded only when they are called for."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pipeline.models.errors import ModelError
from pipeline.recipe import Train

if TYPE_CHECKING:
    from pipeline.tokenise import TokenRow
    from pipeline.trainers.plan import PairRow, Plan

Backend = Literal["trl", "unsloth"]


def choose(train: Train, device: str, ranks: int = 1) -> Backend:
    """`auto` means unsloth where it is installed and the device is CUDA.

    Raises:
        ModelError: unsloth is asked for and cannot be had.
    """
    if ranks > 1 and train.backend == "unsloth":
        raise ModelError("unsloth trains on one device", "set train.backend to trl, or hardware.gpus to 1")
    there = importlib.util.find_spec("unsloth") is not None
    if train.backend == "auto":
        return "unsloth" if there and device == "cuda" and ranks == 1 else "trl"
    if train.backend == "unsloth" and not there:
        raise ModelError("the recipe asks for unsloth, which is not installed", 'run: pip install "maximalcai[gpu]"')
    if train.backend == "unsloth" and device != "cuda":
        raise ModelError("unsloth trains on CUDA only", "set train.backend to trl")
    return train.backend


def train_sft(weights: Path, device: str, rows: Sequence[TokenRow], train: Train, plan: Plan) -> dict[str, Any]:
    """Fine-tune a fresh adapter on the model in `weights`; the summary names the backend."""
    backend = choose(train, device, plan.ranks)
    if backend == "unsloth":
        from pipeline.trainers.unsloth_trainer import spawn_sft

        return {**spawn_sft(weights, rows, train, plan), "backend": backend}
    if plan.ranks > 1:
        from pipeline.trainers import several

        return {**several.spawn_sft(weights, device, rows, train, plan), "backend": backend}
    from pipeline.models.load import load_model, load_tokens
    from pipeline.trainers import trl_trainer

    with plan.times.count("loading"):
        model = load_model(weights, plan.precision, device)
    summary = trl_trainer.train_sft(model, load_tokens(weights), rows, train.sft, train.lora, plan)
    return {**summary, "backend": backend}


def train_dpo(
    weights: Path, device: str, adapter: Path | None, pairs: Sequence[PairRow], train: Train, plan: Plan
) -> dict[str, Any]:
    """Train `adapter` on by preferences (None: a fresh one) on the model in `weights`."""
    backend = choose(train, device, plan.ranks)
    if backend == "unsloth":
        from pipeline.trainers.unsloth_trainer import spawn_dpo

        return {**spawn_dpo(weights, adapter, pairs, train, plan), "backend": backend}
    if plan.ranks > 1:
        from pipeline.trainers import several

        return {**several.spawn_dpo(weights, device, adapter, pairs, train, plan), "backend": backend}
    from pipeline.models.load import load_model, load_tokens
    from pipeline.trainers import preference

    with plan.times.count("loading"):
        model = load_model(weights, plan.precision, device)
    summary = preference.train_dpo(model, load_tokens(weights), adapter, pairs, train.dpo, train.lora, plan)
    return {**summary, "backend": backend}

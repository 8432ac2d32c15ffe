"""4-bit and 8-bit weights on the CPU: loaded, generated from, trained over, and the adapter merged into 16 bits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import prompts
from pipeline.engines.base import IdPair, Request, TokenLogprobs
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.models import parity
from pipeline.models.errors import ModelError
from pipeline.models.load import attach_adapter, load_model
from pipeline.models.merge import merge_adapter
from pipeline.models.resolve import TINY
from pipeline.recipe import Dpo, Precision, Sft
from pipeline.trainers.preference import train_dpo
from pipeline.trainers.trl_trainer import LINEAR_LAYERS, train_sft
from tests.pipeline.model_tools import LAYERS, tokens
from tests.pipeline.test_training_math import LORA, WORDS, adapter, pairs, plan, rows

pytest.importorskip("bitsandbytes")
QUANTISED = (Precision.NF4, Precision.INT8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXCAI_CACHE_DIR", str(tmp_path / "cache"))
    torch.set_num_threads(1)


def held() -> list[IdPair]:
    return [
        IdPair(tuple(tokens().prompt(prompts.bare(f"Repeat {w}."))), (*tokens().encode(f" {w}"), tokens().eos))
        for w in WORDS
    ]


def answers(model: Any) -> list[TokenLogprobs]:
    return TransformersEngine(model, tokens(), 512).logprobs(held())


@pytest.mark.parametrize("precision", QUANTISED)
def test_the_linear_layers_are_held_in_few_bits_and_generate(precision: Precision) -> None:
    model = load_model(TINY, precision, "cpu")
    layer = model.model.layers[0].mlp.up_proj
    assert layer.weight.dtype == (torch.uint8 if precision is Precision.NF4 else torch.int8)
    assert model.lm_head.weight.dtype in (torch.bfloat16, torch.float32)
    engine = TransformersEngine(model, tokens(), 512)
    asked = [Request(tuple(tokens().prompt(prompts.bare(f"Repeat {w}."))), 8) for w in WORDS[:2]]
    first, again = engine.generate(asked), engine.generate(asked)
    assert first == again
    assert all(done.tokens for done in first)
    apart = parity.distances(answers(load_model(TINY, Precision.FP32, "cpu")), answers(model))
    assert 0.0 < sum(apart) / len(apart) < 2.0  # quantised, and still the same model


@pytest.mark.parametrize("precision", QUANTISED)
def test_an_adapter_trained_over_quantised_weights_merges_into_the_16_bit_base(
    precision: Precision, tmp_path: Path
) -> None:
    sft = Sft(batch=9, epochs=4, learning_rate=1e-3)
    settings = dataclasses.replace(plan(tmp_path / "sft"), precision=precision)
    summary = train_sft(load_model(TINY, precision, "cpu"), tokens(), rows(), sft, LORA, settings)
    assert summary["steps"] == 4
    assert summary["loss_last"] < summary["loss_first"]
    trained = adapter(tmp_path / "sft")
    assert len(trained) == 2 * LAYERS * len(LINEAR_LAYERS)
    assert {t.dtype for t in trained.values()} == {torch.float32}

    report = merge_adapter(TINY, tmp_path / "sft" / "adapter", tmp_path / "merged")
    attached = attach_adapter(load_model(TINY, Precision.FP32, "cpu"), tmp_path / "sft" / "adapter")
    expected = answers(parity.as_stored(attached, report.stored))
    merged = answers(load_model(tmp_path / "merged", Precision.FP32, "cpu"))
    found = parity.check(expected, merged, parity.tolerance(Precision.FP32))
    assert found.agreement > 0.9


def test_a_small_preference_update_over_quantised_weights_is_not_rounded_away(tmp_path: Path) -> None:
    """At the default learning rate of 5e-6 a step is far below the last digit of a bf16 weight."""
    settings = dataclasses.replace(plan(tmp_path / "sft"), precision=Precision.NF4)
    train_sft(load_model(TINY, Precision.NF4, "cpu"), tokens(), rows(), Sft(batch=9, epochs=1), LORA, settings)
    dpo = Dpo(batch=9, epochs=2, warmup=0.0)
    settings = dataclasses.replace(plan(tmp_path / "dpo"), precision=Precision.NF4)
    before = tmp_path / "sft" / "adapter"
    train_dpo(load_model(TINY, Precision.NF4, "cpu"), tokens(), before, pairs(), dpo, LORA, settings)
    old, new = adapter(tmp_path / "sft"), adapter(tmp_path / "dpo")
    moved = [float(((new[name] - old[name]) != 0).float().mean()) for name in old]
    assert min(moved) > 0.9
    assert max(float((new[name] - old[name]).abs().max()) for name in old) < 2e-5
    first = json.loads((tmp_path / "dpo" / "metrics.jsonl").read_text().splitlines()[0])
    assert abs(first["rewards/margins"]) < 0.5


def test_quantised_weights_are_no_base_to_merge_into(tmp_path: Path) -> None:
    train_sft(load_model(TINY, Precision.FP32, "cpu"), tokens(), rows(), Sft(batch=9, epochs=1), LORA, plan(tmp_path))
    load_model(TINY, Precision.INT8, "cpu").save_pretrained(tmp_path / "quantised")
    with pytest.raises(ModelError, match="quantised"):
        merge_adapter(tmp_path / "quantised", tmp_path / "adapter", tmp_path / "out")

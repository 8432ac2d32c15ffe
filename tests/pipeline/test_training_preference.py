"""Preference losses by name: each starts where it must, lowers its loss, and has its arm without SFT."""

from __future__ import annotations

import builtins
import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from pipeline.errors import StepError, Stopped
from pipeline.models.errors import ModelError
from pipeline.recipe import PREFERENCE_LOSSES, Dpo, Model, Recipe, Sft, Train
from pipeline.steps import sft as step
from pipeline.steps.base import StepContext
from pipeline.trainers import losses
from pipeline.trainers.preference import train_dpo
from pipeline.trainers.trl_trainer import train_sft
from tests.pipeline.model_tools import Memory, model, tokens
from tests.pipeline.test_training_math import LORA, adapter, farthest, pairs, plan, rows

BETA = {"sigmoid_norm": 5.0, "sigmoid": 0.1, "ipo": 1.0, "robust": 0.1, "orpo": 0.1}


def settings(name: str, **changes: Any) -> Dpo:
    smoothing = {"label_smoothing": 0.1} if name == "robust" else {}
    made = {"loss": (name,), "loss_weights": (1.0,), "beta": BETA[name], "batch": 9, "epochs": 3, "learning_rate": 2e-3}
    return Dpo(**{**made, **smoothing, "warmup": 0.0, **changes})


def history(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SFT adapter that differs from the base."""
    out = tmp_path_factory.mktemp("sft")
    train_sft(model(), tokens(), rows(), Sft(batch=3, epochs=2, learning_rate=1e-3), LORA, plan(out))
    return out / "adapter"


@pytest.mark.parametrize("name", PREFERENCE_LOSSES)
def test_every_loss_lowers_itself(name: str, taught: Path, tmp_path: Path) -> None:
    dpo = settings(name)
    summary = train_dpo(model(), tokens(), taught, pairs(), dpo, LORA, plan(tmp_path))
    assert summary["loss_last"] < summary["loss_first"]
    entries = history(tmp_path)
    assert entries[-1]["rewards/margins"] > entries[0]["rewards/margins"]
    start = losses.start_value(dpo)
    assert (start is None) == (name == "orpo")
    if start is not None:
        assert entries[0]["preference"] == pytest.approx(start, abs=1e-4)
        assert entries[0]["rewards/margins"] == pytest.approx(0.0, abs=1e-3)


def test_every_logistic_loss_starts_at_ln_2() -> None:
    assert [losses.start_value(settings(n)) for n in ("sigmoid_norm", "sigmoid", "robust")] == [math.log(2)] * 3


def test_the_sft_term_is_the_mean_over_the_chosen_tokens(taught: Path, tmp_path: Path) -> None:
    dpo = settings("sigmoid", loss=("sigmoid", "sft"), loss_weights=(1.0, 0.5), epochs=1)
    train_dpo(model(), tokens(), taught, pairs(), dpo, LORA, plan(tmp_path / "dpo"))
    first = history(tmp_path / "dpo")[0]
    lonely = train_sft(model(), tokens(), rows(), Sft(batch=9, epochs=1), LORA, plan(tmp_path / "sft"))
    assert first["loss"] == pytest.approx(first["preference"] + 0.5 * first["sft"], abs=1e-4)
    assert first["sft"] != pytest.approx(lonely["loss_first"], abs=1e-3)  # the SFT adapter, not the base
    train_dpo(model(), tokens(), None, pairs(), dpo, LORA, plan(tmp_path / "base"))
    assert history(tmp_path / "base")[0]["sft"] == pytest.approx(lonely["loss_first"], abs=1e-4)


def test_without_sft_the_reference_is_the_base_and_the_start_is_ln_2(tmp_path: Path) -> None:
    train_dpo(model(), tokens(), None, pairs(), settings("sigmoid_norm"), LORA, plan(tmp_path))
    first = history(tmp_path)[0]
    assert first["preference"] == pytest.approx(math.log(2), abs=1e-4)
    assert first["rewards/margins"] == pytest.approx(0.0, abs=1e-3)
    assert load_file(tmp_path / "adapter" / "adapter_model.safetensors")


def test_preference_training_without_sft_stopped_and_resumed_ends_in_the_same_adapter(tmp_path: Path) -> None:
    dpo = settings("sigmoid_norm", batch=3, epochs=1)
    train_dpo(model(), tokens(), None, pairs(), dpo, LORA, plan(tmp_path / "whole"))
    with pytest.raises(Stopped):
        train_dpo(model(), tokens(), None, pairs(), dpo, LORA, plan(tmp_path / "cut", reporter=Memory(stop_after=2)))
    resumed = train_dpo(model(), tokens(), None, pairs(), dpo, LORA, plan(tmp_path / "cut"))
    assert resumed["resumed_from"] == "checkpoint-2"
    assert farthest(adapter(tmp_path / "whole"), adapter(tmp_path / "cut")) == 0.0


def test_orpo_does_not_depend_on_its_micro_batches(tmp_path: Path) -> None:
    for micro in (6, 2):
        dpo = settings("orpo", batch=6, micro_batch=micro, epochs=1)
        train_dpo(model(), tokens(), None, pairs(), dpo, LORA, plan(tmp_path / str(micro)))
    one, other = history(tmp_path / "6"), history(tmp_path / "2")
    assert [e["loss"] for e in one] == pytest.approx([e["loss"] for e in other], abs=1e-5)
    assert [e["grad_norm"] for e in one] == pytest.approx([e["grad_norm"] for e in other], rel=1e-4)


def test_a_trl_without_orpo_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("trl.experimental"):
            raise ImportError("gone")
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModelError, match="no ORPO trainer"):
        train_dpo(model(), tokens(), None, pairs(), settings("orpo"), LORA, plan(tmp_path))


def test_a_reference_that_is_another_model_stops_the_first_step(
    taught: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.trainers import preference

    def wrong(net: Any) -> None:
        for name, parameter in net.named_parameters():
            if ".ref." in name:
                parameter.data.mul_(0.0)

    monkeypatch.setattr(preference, "_undo_rounding", wrong)
    memory = Memory()
    with pytest.raises(StepError, match="ln 2"):
        train_dpo(model(), tokens(), taught, pairs(), settings("sigmoid"), LORA, plan(tmp_path, reporter=memory))
    assert [x for name, _, x in memory.metrics if name == "loss"] == [1.0]


def test_no_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="no pair is left"):
        train_dpo(model(), tokens(), None, [], settings("sigmoid"), LORA, plan(tmp_path))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"loss": ("hinge",), "loss_weights": (1.0,)}, "loss must be one of sigmoid_norm"),
        ({"loss": ("sft",), "loss_weights": (1.0,)}, "loss must be one of"),
        ({"loss": ("sigmoid", "ipo"), "loss_weights": (1.0, 1.0)}, "alone or followed by sft"),
        ({"loss": (), "loss_weights": ()}, "loss must be one of"),
        ({"loss": ("ipo", "sft"), "loss_weights": (1.0,)}, "a number above 0 for each"),
        ({"loss_weights": (1.0, 0.0)}, "a number above 0 for each"),
        ({"loss": ("orpo", "sft")}, "likelihood term already"),
        ({"label_smoothing": 0.1}, "for the loss robust"),
        ({"label_smoothing": 0.5, "loss": ("robust",), "loss_weights": (1.0,)}, "less than 0.5"),
        ({"micro_batch": 3}, "does not divide batch 8"),
    ],
)
def test_a_recipe_with_a_loss_that_makes_no_sense_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Dpo(**changes)


def test_the_sft_step_is_skipped_where_the_recipe_switches_it_off(tmp_path: Path) -> None:
    train = Train(sft=Sft(enabled=False))
    recipe = Recipe(name="x", description="", model=Model(id="tiny"), train=train)
    ctx = StepContext(recipe, 1, "stage-1/sft", "0" * 64, tmp_path, tmp_path / "stage-1" / "sft", Memory())
    assert "switched off" in str(step.run(ctx))
    assert not list(tmp_path.iterdir())


def test_a_recipe_that_trains_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="nothing would be trained"):
        Train(sft=Sft(enabled=False), dpo=Dpo(enabled=False))

"""Which library trains, and the process in which unsloth would: driven here with a stand-in of its interface."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import StepError, Stopped
from pipeline.models.errors import ModelError
from pipeline.models.resolve import TINY
from pipeline.recipe import Dpo, Sft, Train
from pipeline.trainers import backend, unsloth_trainer
from pipeline.trainers.plan import PairRow
from tests.pipeline.model_tools import Memory
from tests.pipeline.test_training_math import LORA, adapter, farthest, pairs, plan, rows

STAND_IN = """
import os, sys
assert "trl" not in sys.modules and "transformers" not in sys.modules, "unsloth must be imported first"
open("compiled_cache", "w").close()

class FastLanguageModel:
    @staticmethod
    def from_pretrained(model_name, max_seq_length, dtype, load_in_4bit, load_in_8bit):
        if os.environ.get("STAND_IN_DIES"):
            os._exit(9)
        from pathlib import Path
        from pipeline.models.load import load_model
        from pipeline.recipe import Precision
        return load_model(Path(model_name), Precision.FP32, "cpu"), None

    @staticmethod
    def get_peft_model(
        model, r, lora_alpha, lora_dropout, target_modules, bias, use_gradient_checkpointing, random_state
    ):
        from peft import LoraConfig, get_peft_model
        from transformers import set_seed
        set_seed(random_state)
        return get_peft_model(model, LoraConfig(
            r=r, lora_alpha=lora_alpha, lora_dropout=lora_dropout, target_modules=target_modules, bias=bias,
            task_type="CAUSAL_LM"))
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package `unsloth` that fresh interpreters find; this one's `find_spec` is not asked."""
    home = tmp_path / "packages" / "unsloth"
    home.mkdir(parents=True)
    (home / "__init__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(home.parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return home


def train(**changes: object) -> Train:
    return Train.model_validate({"lora": LORA, "sft": Sft(batch=9, epochs=2), "dpo": Dpo(batch=9), **changes})


@pytest.mark.parametrize(
    ("wanted", "device", "there", "chosen"),
    [
        ("auto", "cpu", True, "trl"),
        ("auto", "cuda", True, "unsloth"),
        ("auto", "cuda", False, "trl"),
        ("trl", "cuda", True, "trl"),
        ("unsloth", "cuda", True, "unsloth"),
    ],
)
def test_the_backend_follows_recipe_device_and_what_is_installed(
    wanted: str, device: str, there: bool, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object() if there else None)
    assert backend.choose(train(backend=wanted), device) == chosen


def test_unsloth_that_cannot_be_had_is_said_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match="pip install"):
        backend.choose(train(backend="unsloth"), "cuda")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    with pytest.raises(ModelError, match="CUDA only"):
        backend.choose(train(backend="unsloth"), "cpu")


@pytest.mark.slow
def test_the_other_process_trains_the_same_adapter_and_reports(stand_in: Path, tmp_path: Path) -> None:
    memory = Memory()
    summary = unsloth_trainer.spawn_sft(TINY, rows(), train(), plan(tmp_path / "there", reporter=memory))
    here = backend.train_sft(TINY, "cpu", rows(), train(), plan(tmp_path / "here"))
    assert here["backend"] == "trl"
    assert farthest(adapter(tmp_path / "there"), adapter(tmp_path / "here")) < 1e-5
    assert summary["loss_first"] == pytest.approx(here["loss_first"], abs=1e-4)
    assert [x for name, _, x in memory.metrics if name == "loss"] == [1.0, 2.0]
    assert (tmp_path / "there" / unsloth_trainer.SCRATCH / "compiled_cache").exists()
    after = unsloth_trainer.spawn_dpo(TINY, tmp_path / "there" / "adapter", pairs(), train(), plan(tmp_path / "dpo"))
    first = json.loads((tmp_path / "dpo" / "metrics.jsonl").read_text().splitlines()[0])
    assert after["steps"] == 1
    assert first["sft"] < here["loss_first"]  # it went on from the adapter, not from the base


@pytest.mark.slow
def test_a_stop_an_error_and_a_death_of_the_other_process_come_back(
    stand_in: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Stopped):
        unsloth_trainer.spawn_sft(
            TINY, rows(), train(sft=Sft(batch=1, epochs=500)), plan(tmp_path / "a", reporter=Memory(stop_after=12))
        )
    assert list((tmp_path / "a" / "checkpoints").glob("checkpoint-*/COMPLETE"))
    empty = [PairRow([1], [], [])]
    with pytest.raises(StepError, match="loss mask"):
        unsloth_trainer.spawn_dpo(TINY, None, empty, train(), plan(tmp_path / "b"))
    monkeypatch.setenv("STAND_IN_DIES", "1")
    with pytest.raises(StepError, match="ended with code 9"):
        unsloth_trainer.spawn_sft(TINY, rows(), train(), plan(tmp_path / "c"))


def test_the_module_itself_loads_no_training_library() -> None:
    code = "import pipeline.trainers.unsloth_trainer, pipeline.trainers.backend, sys\n"
    code += "print([m for m in ('torch', 'transformers', 'trl', 'unsloth') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.strip() == "[]"

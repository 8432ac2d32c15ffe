"""Two processes on one machine train what one does: the same losses, gradients and adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import StepError, Stopped
from pipeline.models.errors import ModelError
from pipeline.models.resolve import TINY
from pipeline.recipe import Dpo, Sft, Train
from pipeline.trainers import backend, several
from tests.pipeline.model_tools import Memory
from tests.pipeline.test_training_math import LORA, adapter, farthest, pairs, plan, rows

SFT = Sft(batch=4, epochs=2, learning_rate=1e-3)
DPO = Dpo(batch=4, epochs=2, learning_rate=1e-3, beta=1.0)


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")


def train(**changes: Any) -> Train:
    return Train.model_validate({"lora": LORA, "sft": SFT, "dpo": DPO, **changes})


def course(out: Path) -> list[float]:
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [entry[name] for entry in entries for name in ("loss", "grad_norm")]


@pytest.mark.slow
def test_two_ranks_train_the_adapters_that_one_does(tmp_path: Path) -> None:
    """Answers of unlike length: a mean of the ranks' means would be another number."""
    memory = Memory()
    for ranks in (1, 2):
        taught, tuned = tmp_path / f"sft-{ranks}", tmp_path / f"dpo-{ranks}"
        made = backend.train_sft(TINY, "cpu", rows()[:8], train(), plan(taught, ranks=ranks, reporter=memory))
        assert made["devices"] == ranks
        backend.train_dpo(TINY, "cpu", taught / "adapter", pairs()[:8], train(), plan(tuned, ranks=ranks))
    for step in ("sft", "dpo"):
        assert course(tmp_path / f"{step}-2") == pytest.approx(course(tmp_path / f"{step}-1"), abs=1e-4)
        assert farthest(adapter(tmp_path / f"{step}-2"), adapter(tmp_path / f"{step}-1")) < 1e-4
    assert [x for name, _, x in memory.metrics if name == "loss"] == [1.0, 2.0, 3.0, 4.0] * 2  # the first rank alone


@pytest.mark.slow
def test_two_ranks_stopped_and_resumed_end_in_the_same_adapter(tmp_path: Path) -> None:
    whole, cut = plan(tmp_path / "whole", ranks=2), plan(tmp_path / "cut", ranks=2)
    longer = train(sft=Sft(batch=4, epochs=20, learning_rate=1e-3))
    several.spawn_sft(TINY, "cpu", rows()[:8], longer, whole)
    stopping = plan(tmp_path / "cut", ranks=2, reporter=Stopper())
    with pytest.raises(Stopped):
        several.spawn_sft(TINY, "cpu", rows()[:8], longer, stopping)
    assert several.spawn_sft(TINY, "cpu", rows()[:8], longer, cut)["resumed_from"] is not None
    assert farthest(adapter(tmp_path / "whole"), adapter(tmp_path / "cut")) == 0.0


class Stopper(Memory):
    """Asks for a stop once the first step was told of."""

    def stop_requested(self) -> bool:
        return bool(self.metrics)


@pytest.mark.slow
def test_a_batch_that_cannot_be_dealt_evenly_is_refused(tmp_path: Path) -> None:
    odd = train(sft=Sft(batch=3, epochs=1))
    with pytest.raises(StepError, match="would use 2 rows, the recipe says 3"):
        several.spawn_sft(TINY, "cpu", rows()[:6], odd, plan(tmp_path, ranks=2))


def test_unsloth_is_not_asked_to_train_on_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: object())
    assert backend.choose(train(), "cuda", ranks=2) == "trl"
    with pytest.raises(ModelError, match="one device"):
        backend.choose(train(backend="unsloth"), "cuda", ranks=2)

"""Loss masks, the end-of-text id, the start of DPO, and training that survives being stopped."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from pipeline import prompts, tokenise
from pipeline.errors import StepError, Stopped
from pipeline.recipe import Dpo, Lora, Precision, Sft
from pipeline.tokenise import IGNORE, TokenRow
from pipeline.trainers.plan import PairRow, Plan
from pipeline.trainers.preference import train_dpo
from pipeline.trainers.trl_trainer import train_sft
from tests.pipeline.model_tools import Memory, model, tokens

WORDS = ("apple", "river", "stone", "cloud", "bread", "horse", "glass", "paper")
LORA = Lora(r=4, alpha=4)


def rows() -> list[TokenRow]:
    made, dropped = tokenise.rows(
        tokens(), [(prompts.bare(f"Repeat the word {w}."), prompts.completion(w)) for w in WORDS], 128
    )
    assert not dropped
    return made


def plan(out: Path, reporter: Memory | None = None) -> Plan:
    out.mkdir(parents=True, exist_ok=True)
    return Plan(out, "tiny", 5, Precision.FP32, 30.0, reporter or Memory())


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_the_response_and_one_end_of_text_bear_loss() -> None:
    for example in rows():
        trained = [i for i, label in zip(example.input_ids, example.labels, strict=True) if label != IGNORE]
        assert trained[-1] == tokens().eos
        assert trained.count(tokens().eos) == 1
        boundary = len(example.input_ids) - len(trained)
        assert set(example.labels[:boundary]) == {IGNORE}
        assert tokens().decode(example.input_ids[:boundary]).endswith("Response:")


def test_a_row_that_is_too_long_is_dropped_and_counted_never_cut() -> None:
    kept, dropped = tokenise.rows(tokens(), [(prompts.bare("x"), prompts.completion("word " * 50))], 32)
    assert kept == []
    assert dropped == {"too_long": 1}


def test_literal_special_tokens_never_become_training_data() -> None:
    eos = tokens().raw.convert_ids_to_tokens(tokens().eos)
    assert tokenise.row(tokens(), prompts.bare("x"), f" a {eos}", 99) == "special_token"


def test_the_trainers_loss_is_the_mean_log_probability_of_the_response(tmp_path: Path) -> None:
    base = model()
    total, count = 0.0, 0
    with torch.inference_mode():
        for example in rows():
            logp = torch.log_softmax(base(torch.tensor([example.input_ids])).logits[0].float(), -1)
            for position, label in enumerate(example.labels[1:]):
                if label != IGNORE:
                    total -= float(logp[position, label])
                    count += 1
    summary = train_sft(model(), tokens(), rows(), Sft(batch=8, epochs=1), LORA, plan(tmp_path))
    assert summary["loss_first"] == pytest.approx(total / count, abs=1e-4)


def test_a_masked_batch_is_refused(tmp_path: Path) -> None:
    masked = [TokenRow(r.input_ids, [IGNORE] * len(r.labels)) for r in rows()]
    with pytest.raises(StepError, match="bears no loss"):
        train_sft(model(), tokens(), masked, Sft(), LORA, plan(tmp_path))


def test_prompts_that_bear_loss_are_refused(tmp_path: Path) -> None:
    unmasked = [TokenRow(r.input_ids, list(r.input_ids)) for r in rows()]
    with pytest.raises(StepError, match="loss mask"):
        train_sft(model(), tokens(), unmasked, Sft(), LORA, plan(tmp_path))


def test_two_equal_runs_and_a_stopped_and_resumed_one_end_in_the_same_adapter(tmp_path: Path) -> None:
    sft = Sft(batch=2, epochs=2, learning_rate=1e-3)
    for name in ("a", "b"):
        train_sft(model(), tokens(), rows(), sft, LORA, plan(tmp_path / name))
    with pytest.raises(Stopped):
        train_sft(model(), tokens(), rows(), sft, LORA, plan(tmp_path / "c", Memory(stop_after=3)))
    resumed = train_sft(model(), tokens(), rows(), sft, LORA, plan(tmp_path / "c"))
    assert resumed["resumed_from"] == "checkpoint-3"
    digests = {sha(tmp_path / n / "adapter" / "adapter_model.safetensors") for n in ("a", "b", "c")}
    assert len(digests) == 1


def test_a_torn_checkpoint_is_never_used(tmp_path: Path) -> None:
    torn = tmp_path / "checkpoints" / "checkpoint-4"
    torn.mkdir(parents=True)
    (torn / "trainer_state.json").write_text("{")
    summary = train_sft(model(), tokens(), rows(), Sft(batch=8, epochs=1), LORA, plan(tmp_path))
    assert summary["resumed_from"] is None


def pairs() -> list[PairRow]:
    made = []
    for i, word in enumerate(WORDS):
        prompt = prompts.bare(f"Repeat the word {word}.")
        good = tokenise.split(tokens(), prompt, prompts.completion(word))
        bad = tokenise.split(tokens(), prompt, prompts.completion(WORDS[i - 1] + " again"))
        assert not isinstance(good, str) and not isinstance(bad, str)
        made.append(PairRow(good[0], good[1], bad[1]))
    return made


def test_dpo_starts_at_ln_2_against_the_sft_adapter_and_learns_the_preference(tmp_path: Path) -> None:
    train_sft(model(), tokens(), rows(), Sft(batch=4, epochs=2, learning_rate=1e-3), LORA, plan(tmp_path / "sft"))
    dpo = Dpo(batch=4, epochs=4, learning_rate=1e-3)
    memory = Memory()
    train_dpo(model(), tokens(), tmp_path / "sft" / "adapter", pairs(), dpo, LORA, plan(tmp_path / "dpo", memory))
    history = [json.loads(line) for line in (tmp_path / "dpo" / "metrics.jsonl").read_text().splitlines()]
    assert history[0]["rewards/margins"] == pytest.approx(0.0, abs=1e-4)
    assert history[-1]["rewards/margins"] > 0.01
    assert (tmp_path / "dpo" / "adapter" / "adapter_model.safetensors").exists()


def test_dpo_stopped_and_resumed_ends_in_the_same_adapter(tmp_path: Path) -> None:
    train_sft(model(), tokens(), rows(), Sft(batch=4, epochs=1, learning_rate=1e-3), LORA, plan(tmp_path / "sft"))
    start = tmp_path / "sft" / "adapter"
    dpo = Dpo(batch=2, epochs=1, learning_rate=1e-3)
    train_dpo(model(), tokens(), start, pairs(), dpo, LORA, plan(tmp_path / "whole"))
    with pytest.raises(Stopped):
        train_dpo(model(), tokens(), start, pairs(), dpo, LORA, plan(tmp_path / "cut", Memory(stop_after=2)))
    train_dpo(model(), tokens(), start, pairs(), dpo, LORA, plan(tmp_path / "cut"))
    name = "adapter/adapter_model.safetensors"
    assert sha(tmp_path / "whole" / name) == sha(tmp_path / "cut" / name)

"""What the loss is made of: masks, gradients, accumulation, and the trainer's own loss against a plain forward pass."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import set_seed
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from pipeline import prompts, tokenise
from pipeline.errors import StepError
from pipeline.models.load import load_model
from pipeline.models.resolve import TINY
from pipeline.recipe import Dpo, Lora, Precision, Sft
from pipeline.tokenise import IGNORE, TokenRow
from pipeline.trainers.plan import PairRow, Plan
from pipeline.trainers.preference import train_dpo
from pipeline.trainers.trl_trainer import answer_loss, check_mask, lora_config, train_sft
from tests.pipeline.model_tools import Memory, model, tokens

WORDS = ("apple", "river", "stone", "cloud", "bread", "horse", "glass", "paper", "a long grey winter coat")
LORA = Lora(r=4, alpha=4)


def rows() -> list[TokenRow]:
    made = [tokenise.row(tokens(), prompts.bare(f"Repeat {w}."), prompts.completion(w), 128) for w in WORDS]
    assert not any(isinstance(r, str) for r in made)
    return [r for r in made if isinstance(r, TokenRow)]


def pairs() -> list[PairRow]:
    return [
        PairRow(r.input_ids[: -r.trained], r.input_ids[-r.trained :], [*tokens().encode(" no " + w), tokens().eos])
        for r, w in zip(rows(), WORDS[::-1], strict=True)
    ]


def plan(out: Path, **changes: Any) -> Plan:
    out.mkdir(parents=True, exist_ok=True)
    return dataclasses.replace(Plan(out, "tiny", 5, Precision.FP32, 30.0, Memory()), **changes)


def adapter(out: Path) -> dict[str, Any]:
    return load_file(out / "adapter" / "adapter_model.safetensors")


def farthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def test_the_end_of_text_bears_loss_even_where_it_is_the_padding_too(tmp_path: Path) -> None:
    assert tokens().pad == tokens().eos
    seen: list[tuple[Any, Any]] = []

    def spy(ids: Any, trained: Any, known: Any) -> None:
        seen.append((ids, trained))
        check_mask(ids, trained, known)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("pipeline.trainers.trl_trainer.check_mask", spy)
        train_sft(model(), tokens(), rows(), Sft(batch=9, epochs=1), LORA, plan(tmp_path))
    ids, trained = seen[0]
    assert (ids == tokens().eos).sum() > len(WORDS)  # padding is there, and has the same id
    assert ((ids == tokens().eos) & trained).sum() == len(WORDS)
    assert int(trained.sum()) == sum(r.trained for r in rows())


def test_what_the_model_predicts_inside_the_prompt_changes_no_loss() -> None:
    """Another token inside the prompt's labels changes nothing; one inside the answer's does."""
    net, row = model().requires_grad_(False), rows()[0]
    answer_loss(net)
    boundary, ids = len(row.labels) - row.trained, torch.tensor([row.input_ids])

    def loss(at: int | None, bears: bool) -> float:
        labels = torch.tensor([row.labels])
        if at is not None:
            labels[0, at] = 7 if bears else IGNORE
        return float(net(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss)

    assert loss(boundary - 1, bears=False) == loss(None, bears=True)
    assert loss(boundary, bears=False) != loss(None, bears=True)


def test_no_gradient_comes_from_predicting_the_prompt() -> None:
    """The gradient at the logits, position by position: zero where a prompt token is predicted, not so for answers."""
    net, row = model(), rows()[0]
    logits = net(torch.tensor([row.input_ids])).logits
    logits.retain_grad()
    loss = torch.nn.functional.cross_entropy(logits[0, :-1].float(), torch.tensor(row.labels[1:]), ignore_index=IGNORE)
    loss.backward()
    sizes = logits.grad[0, :-1].abs().sum(-1)
    for size, label in zip(sizes.tolist(), row.labels[1:], strict=True):
        assert (size == 0.0) == (label == IGNORE)


def stock(out: Path) -> dict[str, Any]:
    """Settings of a trainer as TRL has it, the same numbers as `Sft` and `Dpo` below."""
    return {
        "output_dir": str(out), "use_cpu": True, "per_device_train_batch_size": 3, "num_train_epochs": 2,
        "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "warmup_steps": 0.03, "logging_steps": 1, "report_to": [],
        "seed": 5, "data_seed": 5, "bf16": False, "max_length": None, "gradient_checkpointing": False,
        "save_strategy": "no", "disable_tqdm": True,
    }  # fmt: skip


def course(entries: list[dict[str, Any]]) -> list[float]:
    return [e[name] for e in entries if "loss" in e for name in ("loss", "grad_norm")]


def written(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_losses_and_gradients_are_those_of_trls_own_sft_with_all_logits(tmp_path: Path) -> None:
    set_seed(5)
    data = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in rows()])
    arguments = SFTConfig(**stock(tmp_path / "stock"), loss_type="nll", packing=False, completion_only_loss=True)
    theirs = SFTTrainer(
        model(), arguments, train_dataset=data, processing_class=tokens().raw, peft_config=lora_config(LORA)
    )
    theirs.train()
    train_sft(model(), tokens(), rows(), Sft(batch=3, epochs=2, learning_rate=1e-3), LORA, plan(tmp_path / "ours"))
    ours = course(written(tmp_path / "ours"))
    assert len(ours) == 12
    assert ours == pytest.approx(course(theirs.state.log_history), abs=1e-4)


def test_losses_and_gradients_are_those_of_trls_own_dpo_with_all_logits(tmp_path: Path) -> None:
    """Theirs takes text. The tokenizer makes the same ids of it as we do, but for BOS and EOS, which it is told of."""
    set_seed(5)
    texts = [(tokens().decode(p.prompt_ids), p.chosen_ids, p.rejected_ids) for p in pairs()]
    data = Dataset.from_list(
        [{"prompt": p, "chosen": tokens().decode(c[:-1]), "rejected": tokens().decode(r[:-1])} for p, c, r in texts]
    )
    arguments = DPOConfig(**stock(tmp_path / "stock"), loss_type=["sigmoid_norm"], beta=5.0)
    theirs = DPOTrainer(
        model(), args=arguments, train_dataset=data, processing_class=tokens().raw, peft_config=lora_config(LORA)
    )
    theirs.train()
    dpo = Dpo(batch=3, epochs=2, learning_rate=1e-3, loss=("sigmoid_norm",), loss_weights=(1.0,), schedule="cosine")
    train_dpo(model(), tokens(), None, pairs(), dpo, LORA, plan(tmp_path / "ours"))
    ours = course(written(tmp_path / "ours"))
    assert len(ours) == 12
    assert ours == pytest.approx(course(theirs.state.log_history), abs=1e-4)


def test_where_bf16_is_emulated_its_weights_are_computed_with_in_fp32(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped weights are bf16 numbers, so both ways train the same adapter; the vocabulary stays narrow."""
    monkeypatch.setattr("pipeline.trainers.arithmetic.emulates_bf16", lambda _: True)
    sft, dpo = Sft(batch=9, epochs=2, learning_rate=1e-3), Dpo(batch=9, epochs=2)
    for name, precision in (("wide", Precision.BF16), ("fp32", Precision.FP32)):
        net, where = load_model(TINY, precision, "cpu"), plan(tmp_path / name, precision=precision)
        summary = train_sft(net, tokens(), rows(), sft, LORA, where)
        assert summary["computed_in"] == "fp32"
        assert (net.get_output_embeddings().weight.dtype == torch.bfloat16) == (name == "wide")
        again = plan(tmp_path / f"{name}-dpo", precision=precision)
        train_dpo(load_model(TINY, precision, "cpu"), tokens(), where.out / "adapter", pairs(), dpo, LORA, again)
    for part in ("", "-dpo"):
        assert farthest(adapter(tmp_path / f"wide{part}"), adapter(tmp_path / f"fp32{part}")) < 1e-5


def test_micro_batches_of_any_size_give_the_same_sft_adapter(tmp_path: Path) -> None:
    """Nine rows in batches of eight: the last update has one row only."""
    for micro in (8, 1):
        sft = Sft(batch=8, micro_batch=micro, epochs=1, learning_rate=1e-3)
        train_sft(model(), tokens(), rows(), sft, LORA, plan(tmp_path / str(micro)))
    assert farthest(adapter(tmp_path / "8"), adapter(tmp_path / "1")) < 1e-5


def test_micro_batches_of_any_size_give_the_same_dpo_adapter(tmp_path: Path) -> None:
    """Answers of unlike length, and three pairs as two and one: a mean of the parts' means is another number."""
    for micro in (6, 2):
        dpo = Dpo(batch=6, micro_batch=micro, epochs=1, learning_rate=1e-3)
        train_dpo(model(), tokens(), None, pairs(), dpo, LORA, plan(tmp_path / str(micro)))
    assert farthest(adapter(tmp_path / "6"), adapter(tmp_path / "2")) < 1e-5


def test_gradient_checkpointing_changes_no_result(tmp_path: Path) -> None:
    for name, on in (("off", False), ("on", True)):
        train_sft(
            model(), tokens(), rows(), Sft(batch=9, epochs=1), LORA, plan(tmp_path / name, gradient_checkpointing=on)
        )
    assert farthest(adapter(tmp_path / "off"), adapter(tmp_path / "on")) < 1e-6


def test_more_than_one_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import TrainingArguments

    monkeypatch.setattr(TrainingArguments, "world_size", property(lambda _: 2))
    with pytest.raises(StepError, match="would use 18 rows, the recipe says 9"):
        train_sft(model(), tokens(), rows(), Sft(batch=9, epochs=1), LORA, plan(tmp_path))


@pytest.mark.parametrize(("ids", "trained"), [([5, 6, 0], [1, 1, 1]), ([5, 6, 0], [0, 0, 0])])
def test_a_collated_batch_without_its_mask_is_refused(ids: list[int], trained: list[int]) -> None:
    with pytest.raises(StepError, match="lost its loss mask"):
        check_mask(torch.tensor([ids]), torch.tensor([trained]).bool(), tokens())


@pytest.mark.parametrize("ids", [[5, 6, 7], [5, 0, 0]])
def test_a_collated_batch_without_one_end_of_text_a_row_is_refused(ids: list[int]) -> None:
    with pytest.raises(StepError, match="end-of-text"):
        check_mask(torch.tensor([ids]), torch.tensor([[0, 1, 1]]).bool(), tokens())

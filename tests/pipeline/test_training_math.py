"""What the loss is made of: masks, gradients, accumulation, and the trainer's own loss against a plain forward pass."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from trl.trainer.sft_trainer import _chunked_cross_entropy_loss

from pipeline import prompts, tokenise
from pipeline.errors import StepError
from pipeline.recipe import Dpo, Lora, Precision, Sft
from pipeline.tokenise import IGNORE, TokenRow
from pipeline.trainers.plan import PairRow, Plan
from pipeline.trainers.preference import train_dpo
from pipeline.trainers.trl_trainer import check_mask, train_sft
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
    row, states = rows()[0], torch.randn(1, len(rows()[0].input_ids), 16)
    head, labels = torch.randn(tokens().raw.vocab_size, 16), torch.tensor([row.labels])
    boundary = len(row.labels) - row.trained

    def loss(hidden: Any) -> float:
        return float(_chunked_cross_entropy_loss(hidden, head, 8, labels=labels)[0])

    before = loss(states)
    inside, answer = states.clone(), states.clone()
    inside[0, : boundary - 1] += 1.0
    answer[0, boundary - 1] += 1.0  # the position that predicts the answer's first token
    assert loss(inside) == before
    assert loss(answer) != before


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


def test_the_chunked_loss_equals_the_plain_one_with_its_gradient() -> None:
    torch.manual_seed(0)
    hidden, head = torch.randn(2, 40, 16, requires_grad=True), torch.randn(50, 16)
    labels = torch.randint(0, 50, (2, 40))
    labels[:, :25] = IGNORE
    chunked = _chunked_cross_entropy_loss(hidden, head, 8, labels=labels)[0]
    chunked.backward()
    grad, hidden.grad = hidden.grad, None
    logits = (hidden @ head.T)[:, :-1].reshape(-1, 50)
    plain = torch.nn.functional.cross_entropy(logits, labels[:, 1:].reshape(-1), ignore_index=IGNORE)
    plain.backward()
    assert chunked.item() == pytest.approx(plain.item(), abs=1e-5)
    assert torch.allclose(grad, hidden.grad, atol=1e-6)


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

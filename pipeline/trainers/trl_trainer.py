"""LoRA training through TRL and PEFT: what SFT and preference training share, and SFT itself.

Rows come in as ids (`pipeline.tokenise`); TRL's own tokenising is bypassed. The model's forward pass with labels is
ours: rows without padding (`flat`), the vocabulary for response tokens only and in blocks (`head`).
"""

from __future__ import annotations

import inspect
import json
import math
import os
import shutil
import types
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import set_seed
from trl import SFTConfig, SFTTrainer
from trl.trainer.sft_trainer import _ChunkedCELMHeadOutput as LossOutput

from pipeline.errors import StepError, Stopped
from pipeline.models.load import Tokens
from pipeline.recipe import Dpo, Lora, Precision, Sft
from pipeline.tokenise import IGNORE, TokenRow
from pipeline.trainers.arithmetic import trains_wide, widen
from pipeline.trainers.callbacks import StepCallback, newest_complete
from pipeline.trainers.flat import response_logps, use_rows
from pipeline.trainers.plan import Plan
from pipeline.trainers.watch import Watch

LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def train_sft(model: Any, tokens: Tokens, rows: Sequence[TokenRow], sft: Sft, lora: Lora, plan: Plan) -> dict[str, Any]:
    """Fine-tune a fresh LoRA adapter on the response tokens of `rows`; returns the run's summary.

    Raises:
        StepError: a row bears no loss, the collated batch lost its mask, or the loss is not a number.
        Stopped: the run was asked to stop; a checkpoint was written first.
    """
    _check_rows(rows)
    set_seed(plan.seed % 2**32)  # before the adapter is made: its initial values are draws too
    model = get_peft_model(ready(model, plan), lora_config(lora))
    return fit_sft(model, tokens, rows, sft, plan, "chunked_nll")


def fit_sft(
    model: Any, tokens: Tokens, rows: Sequence[TokenRow], sft: Sft, plan: Plan, loss_type: str
) -> dict[str, Any]:
    """Train the adapter that `model` carries; `loss_type` is TRL's name for -mean log p of the response tokens."""
    data = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in rows])
    arguments = SFTConfig(
        **common(plan, sft, model.device.type),
        loss_type=loss_type,
        max_length=None,
        packing=False,
        padding_free=False,
        completion_only_loss=True,
    )
    watch = Watch(plan.reporter)
    callback = StepCallback(plan.reporter, watch, plan.checkpoint_minutes, sft.checkpoint_steps, plan.deadline)
    trainer = SFTTrainer(model, arguments, train_dataset=data, processing_class=tokens.raw, callbacks=[callback])
    if loss_type == "chunked_nll":
        answer_loss(trainer.model.get_base_model())
    batch = next(iter(trainer.get_train_dataloader()))
    check_mask(batch["input_ids"], batch["labels"] != IGNORE, tokens)
    return run(trainer, callback, plan, sft)


def answer_loss(model: Any) -> None:
    """Let a causal language model, called with labels, give -mean log p of its answers.

    It takes the place of the forward pass that TRL's `chunked_nll` puts there (that one rounds the response tokens up
    to whole chunks and computes padding, prompts' attention and the softmax twice) and keeps its contract.
    """
    plain = model.forward

    def forward(
        self: Any, input_ids: Any = None, attention_mask: Any = None, labels: Any = None,
        num_items_in_batch: Any = None, **rest: Any,
    ) -> Any:  # fmt: skip
        if labels is None:
            return plain(input_ids=input_ids, attention_mask=attention_mask, **rest)
        trained = labels != IGNORE
        logps, entropies, best = response_logps(self, input_ids, attention_mask, trained, pairs=False)
        count = trained[:, 1:].sum()
        return LossOutput(
            loss=-logps.sum() / (count if num_items_in_batch is None else num_items_in_batch),
            num_correct_tokens=best.sum(),
            entropy_sum=entropies.sum(),
            num_valid_tokens=count,
        )

    forward.__signature__ = inspect.signature(plain)  # type: ignore[attr-defined]
    model.forward = types.MethodType(forward, model)


def ready(model: Any, plan: Plan) -> Any:
    """Quantised weights frozen and their norms in fp32; bf16 ones computed with in fp32 where bf16 is emulated; layers
    that attend row by row where they can."""
    if plan.precision in (Precision.NF4, Precision.INT8):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=plan.gradient_checkpointing)
    elif trains_wide(plan.precision, model.device):
        widen(model)
    use_rows(model)
    return model


def common(plan: Plan, section: Sft | Dpo, device: str) -> dict[str, Any]:
    """Arguments of every trainer, which stays on the model's `device`. `batch` rows make an update, `micro_batch` of
    them go through the model at a time."""
    ranks = int(os.environ.get("WORLD_SIZE", "1"))
    micro = section.micro_batch or max(1, section.batch // ranks)
    return {
        "use_cpu": device == "cpu",
        "output_dir": str(plan.out / "checkpoints"),
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": max(1, section.batch // (micro * ranks)),
        "num_train_epochs": section.epochs,
        "learning_rate": section.learning_rate,
        "lr_scheduler_type": section.schedule,
        "warmup_steps": section.warmup,  # a fraction of all steps
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # the callback asks for checkpoints
        "save_total_limit": 2,
        "report_to": [],
        "seed": plan.seed % 2**32,
        "data_seed": plan.seed % 2**32,
        "bf16": plan.precision is not Precision.FP32 and not trains_wide(plan.precision, torch.device(device)),
        "gradient_checkpointing": plan.gradient_checkpointing,
        "gradient_checkpointing_kwargs": {"use_reentrant": False},
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "optim": "adamw_torch",
        "ddp_find_unused_parameters": False,
        "ddp_backend": ("gloo" if device == "cpu" else "nccl") if ranks > 1 else None,
    }


def lora_config(lora: Lora) -> Any:
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(LINEAR_LAYERS),
        task_type="CAUSAL_LM",
    )


def _check_rows(rows: Sequence[TokenRow]) -> None:
    if not rows:
        raise StepError("there is nothing to train on: no row survived the filter")
    if any(r.trained == 0 for r in rows):
        raise StepError("a training row bears no loss: every token is masked")


def check_mask(ids: Any, trained: Any, tokens: Tokens) -> None:
    """What the trainer will really use: prompts masked, every response closed by one end-of-text id.

    Args:
        ids, trained: [rows, seq] of the first collated batch; `trained` says which positions bear loss.
    """
    for row, marks in zip(ids.tolist(), trained.tolist(), strict=True):
        response = [i for i, mark in zip(row, marks, strict=True) if mark]
        if not response or marks[0]:
            raise StepError("the collated batch lost its loss mask; refuse to train on prompts")
        if response[-1] != tokens.eos or response.count(tokens.eos) != 1:
            raise StepError("the collated batch lost its end-of-text ids; the model would never learn to stop")


def widen_adapter(model: Any) -> None:
    """Trained weights in fp32: over quantised weights TRL makes them bf16, whose last digit is larger than an update
    (a weight of 0.01 has steps of 4e-5, a learning rate of 5e-6 moves it by less, and it would never move)."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.to(torch.float32)


def _check_batch(trainer: Any, section: Sft | Dpo) -> None:
    used = trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps * trainer.args.world_size
    if used != section.batch:
        raise StepError(
            f"an update would use {used} rows, the recipe says {section.batch}; train on a number of devices that"
            " divides it (hardware.gpus, micro_batch)"
        )


def _save_adapter(model: Any, plan: Plan) -> None:
    """Write the adapter with the base model's name in place of its path here: equal runs are equal bytes anywhere."""
    folder = plan.out / "adapter"
    model.save_pretrained(folder, selected_adapters=["default"])
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = plan.base_id
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    (folder / "README.md").unlink(missing_ok=True)  # a form to fill in; the run's cards say it all


def run(trainer: Any, callback: StepCallback, plan: Plan, section: Sft | Dpo) -> dict[str, Any]:
    """Train to the end, from the newest whole checkpoint where there is one; writes adapter and metrics.

    Raises:
        StepError: a watch said so, or the recipe's batch cannot be had.
        Stopped: the run was asked to stop.
    """
    _check_batch(trainer, section)
    widen_adapter(trainer.model)
    checkpoint = newest_complete(plan.out / "checkpoints")
    with plan.times.count("computing"):
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if callback.stopped and trainer.state.global_step < trainer.state.max_steps:
        raise Stopped
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    if not history or not all(math.isfinite(entry["loss"]) for entry in history):
        raise StepError("the training loss is not a number; lower the learning rate")
    trainer.accelerator.wait_for_everyone()
    if trainer.is_world_process_zero():
        (plan.out / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
        _save_adapter(trainer.model, plan)
        shutil.rmtree(plan.out / "checkpoints", ignore_errors=True)  # the adapter is the result; the rest is not
    return {
        "steps": trainer.state.global_step,
        "loss_first": history[0]["loss"],
        "loss_last": history[-1]["loss"],
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "resumed_from": checkpoint.name if checkpoint else None,
        "devices": trainer.args.world_size,
        "computed_in": "bf16" if trainer.args.bf16 else "fp32",
        "watch": callback.watch.summary(),
    }

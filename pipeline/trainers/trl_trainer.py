"""LoRA training through TRL and PEFT: SFT on response tokens, then DPO against a frozen copy of the SFT adapter.

Rows come in as ids (`pipeline.tokenise`); TRL's own tokenising is bypassed on both paths. The vocabulary-sized logits
are computed for response positions only, in chunks, by TRL's own chunked losses.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import set_seed
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer
from trl.trainer import sft_trainer

from pipeline.errors import StepError, Stopped
from pipeline.models.load import Tokens
from pipeline.recipe import Dpo, Lora, Precision, Sft
from pipeline.steps.base import Reporter
from pipeline.tokenise import IGNORE, TokenRow
from pipeline.trainers.callbacks import StepCallback, newest_complete

CHUNK_TOKENS = 64
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, slots=True)
class PairRow:
    """One preference as ids; `chosen` and `rejected` end in the end-of-text id."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


@dataclass(frozen=True, slots=True)
class Plan:
    """What both trainers need besides their data. `out` gets `adapter/`, `checkpoints/` and `metrics.jsonl`; `base_id`
    is the base model's name as the recipe says it, for the adapter's configuration."""

    out: Path
    base_id: str
    seed: int
    precision: Precision
    checkpoint_minutes: float
    reporter: Reporter


def train_sft(model: Any, tokens: Tokens, rows: Sequence[TokenRow], sft: Sft, lora: Lora, plan: Plan) -> dict[str, Any]:
    """Fine-tune a fresh LoRA adapter on the response tokens of `rows`; returns the run's summary.

    Raises:
        StepError: a row bears no loss, the collated batch lost its mask, or the loss is not a number.
        Stopped: the run was asked to stop; a checkpoint was written first.
    """
    _check_rows(rows)
    set_seed(plan.seed % 2**32)  # before the adapter is made: its initial values are draws too
    if plan.precision in (Precision.NF4, Precision.INT8):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    model = get_peft_model(model, _lora_config(lora))
    data = Dataset.from_list([{"input_ids": r.input_ids, "labels": r.labels} for r in rows])
    arguments = SFTConfig(
        **_common(plan, sft.batch, sft.epochs, sft.learning_rate, sft.schedule, sft.warmup),
        loss_type="chunked_nll",
        max_length=None,
        packing=False,
        padding_free=False,
        completion_only_loss=True,
    )
    callback = StepCallback(plan.reporter, plan.checkpoint_minutes, sft.checkpoint_steps)
    # TRL rounds the response tokens of a batch up to whole chunks of 256 and pays the vocabulary for the padding too:
    # short answers filled a quarter of one chunk (measured: 4.6 s a step of 8 rows, 2.7 s with chunks of 64).
    sft_trainer._CHUNKED_LM_HEAD_CHUNK_SIZE = CHUNK_TOKENS
    trainer = SFTTrainer(model, arguments, train_dataset=data, processing_class=tokens.raw, callbacks=[callback])
    _check_first_batch(trainer, tokens)
    return _run(trainer, callback, plan)


def train_dpo(
    model: Any, tokens: Tokens, adapter: Path, pairs: Sequence[PairRow], dpo: Dpo, plan: Plan
) -> dict[str, Any]:
    """Go on training the SFT adapter on preferences, with its frozen copy as reference (DPO, arXiv 2305.18290).

    At step 0 policy and reference are equal, so the preference term must be ln 2; anything else means that the
    reference is another model.

    Raises:
        StepError: the preference term at step 0 is not ln 2, or the loss is not a number.
        Stopped: as in `train_sft`.
    """
    set_seed(plan.seed % 2**32)
    if plan.precision in (Precision.NF4, Precision.INT8):
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    where = model.config._name_or_path
    model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
    model.peft_config["default"].base_model_name_or_path = where  # a name would be looked up at a hub when saving
    arguments = DPOConfig(
        **_common(plan, dpo.batch, dpo.epochs, dpo.learning_rate, dpo.schedule, dpo.warmup),
        beta=dpo.beta,
        loss_type=list(dpo.loss),
        loss_weights=list(dpo.loss_weights),
        max_length=None,
        precompute_ref_log_probs=True,
        padding_free=False,
    )
    data = Dataset.from_list(
        [{"prompt_ids": p.prompt_ids, "chosen_ids": p.chosen_ids, "rejected_ids": p.rejected_ids} for p in pairs]
    )
    callback = StepCallback(plan.reporter, plan.checkpoint_minutes, dpo.checkpoint_steps)
    trainer = _IdDpoTrainer(
        model, args=arguments, train_dataset=data, processing_class=tokens.raw, callbacks=[callback]
    )
    summary = _run(trainer, callback, plan)
    _check_step_zero(trainer.state.log_history, dpo.beta, 1e-3 if plan.precision is Precision.FP32 else 0.1)
    return summary


class _IdDpoTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO on rows that are ids already, with the chunked log-probabilities that TRL offers beside its full logits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # TRL couples its chunked path to the presence of the liger package, which the path itself does not use.
        self.use_liger_kernel = True

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Restore the policy. With a second adapter beside it (the reference), transformers restores only that one;
        the reference itself comes from the SFT adapter, never from a checkpoint."""
        weights = load_file(Path(resume_from_checkpoint) / "adapter_model.safetensors")
        set_peft_model_state_dict(model or self.model, weights, adapter_name="default")


def _common(plan: Plan, batch: int, epochs: float, rate: float, schedule: str, warmup: float) -> dict[str, Any]:
    return {
        "output_dir": str(plan.out / "checkpoints"),
        "per_device_train_batch_size": batch,
        "num_train_epochs": epochs,
        "learning_rate": rate,
        "lr_scheduler_type": schedule,
        "warmup_steps": warmup,  # a fraction of all steps
        "max_grad_norm": 1.0,
        "weight_decay": 0.0,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "no",  # the callback asks for checkpoints
        "save_total_limit": 2,
        "report_to": [],
        "seed": plan.seed % 2**32,
        "data_seed": plan.seed % 2**32,
        "bf16": plan.precision is not Precision.FP32,
        "gradient_checkpointing": False,
        "disable_tqdm": True,
        "dataloader_pin_memory": False,
        "optim": "adamw_torch",
    }


def _lora_config(lora: Lora) -> Any:
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


def _check_first_batch(trainer: Any, tokens: Tokens) -> None:
    """The labels the trainer will really use: prompts masked, every response closed by one end-of-text id."""
    batch = next(iter(trainer.get_train_dataloader()))
    for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
        trained = [i for i, label in zip(ids, labels, strict=True) if label != IGNORE]
        if not trained or labels[0] != IGNORE:
            raise StepError("the collated batch lost its loss mask; refuse to train on prompts")
        if trained[-1] != tokens.eos or trained.count(tokens.eos) != 1:
            raise StepError("the collated batch lost its end-of-text ids; the model would never learn to stop")


def _check_step_zero(history: Sequence[dict[str, Any]], beta: float, tolerance: float) -> None:
    """Raises when chosen and rejected already differ from the reference before the first update.

    `tolerance` is in nats of a whole answer's log-probability: the reference was computed in batches of other widths,
    so the last bits differ (measured in fp32: up to 7e-5), and the logged margin multiplies that by beta.
    """
    first = next((entry for entry in history if "rewards/margins" in entry), None)
    if first is None:
        raise StepError("DPO logged no step; its reference cannot be checked")
    margin = first["rewards/margins"]
    if not abs(margin) / beta <= tolerance:
        term = math.log1p(math.exp(-margin)) if abs(margin) < 700 else math.nan
        raise StepError(f"DPO starts from {term:.4f} instead of ln 2 = 0.6931: its reference is not the SFT adapter")


def _save_adapter(model: Any, plan: Plan) -> None:
    """Write the adapter with the base model's name in place of its path here: equal runs are equal bytes anywhere."""
    folder = plan.out / "adapter"
    model.save_pretrained(folder, selected_adapters=["default"])
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = plan.base_id
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True))
    (folder / "README.md").unlink(missing_ok=True)  # a form to fill in; the run's cards say it all


def _run(trainer: Any, callback: StepCallback, plan: Plan) -> dict[str, Any]:
    checkpoint = newest_complete(plan.out / "checkpoints")
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if callback.stopped and trainer.state.global_step < trainer.state.max_steps:
        raise Stopped
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    if not history or not all(math.isfinite(entry["loss"]) for entry in history):
        raise StepError("the training loss is not a number; lower the learning rate")
    (plan.out / "metrics.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in history))
    _save_adapter(trainer.model, plan)
    shutil.rmtree(plan.out / "checkpoints", ignore_errors=True)  # the adapter is the result; optimizer state is not
    return {
        "steps": trainer.state.global_step,
        "loss_first": history[0]["loss"],
        "loss_last": history[-1]["loss"],
        "trainable_parameters": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "resumed_from": checkpoint.name if checkpoint else None,
    }

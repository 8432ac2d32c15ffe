"""Preference training through TRL: DPO and its relatives against a frozen reference, ORPO without one.

The reference is a frozen copy of the SFT adapter; where no SFT came before, the adapter is fresh and the reference is
the model with the adapter switched off.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, load_from_disk
from peft import PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from transformers import set_seed
from trl import DPOConfig, DPOTrainer
from trl.models.utils import _ForwardRedirection

from pipeline.errors import StepError
from pipeline.models.errors import ModelError
from pipeline.models.load import Tokens
from pipeline.recipe import Dpo, Lora, Precision
from pipeline.trainers import losses
from pipeline.trainers.callbacks import StepCallback
from pipeline.trainers.flat import response_logps
from pipeline.trainers.plan import PairRow, Plan
from pipeline.trainers.trl_trainer import check_mask, common, lora_config, ready, run, widen_adapter
from pipeline.trainers.watch import StartCheck, Watch


def train_dpo(
    model: Any, tokens: Tokens, adapter: Path | None, pairs: Sequence[PairRow], dpo: Dpo, lora: Lora, plan: Plan
) -> dict[str, Any]:
    """Train `adapter` on (None: a fresh one) by preferences; returns the run's summary.

    Raises:
        StepError: policy and reference differ before the first update, or a watch said so.
        Stopped: the run was asked to stop; a checkpoint was written first.
    """
    set_seed(plan.seed % 2**32)
    model, fresh = ready(model, plan), None
    if adapter is None:
        fresh = lora_config(lora)
    else:
        where = model.config._name_or_path
        model = PeftModel.from_pretrained(model, adapter, is_trainable=True)
        model.peft_config["default"].base_model_name_or_path = where  # a name would be looked up at a hub when saving
    return fit_dpo(model, fresh, tokens, pairs, dpo, plan)


def fit_dpo(model: Any, fresh: Any, tokens: Tokens, pairs: Sequence[PairRow], dpo: Dpo, plan: Plan) -> dict[str, Any]:
    """Train the adapter that `model` carries, or one made as `fresh` says; without padding where `ready` saw to it."""
    if not pairs:
        raise StepError("there is nothing to train on: no pair is left")
    watch = _watch(dpo, plan)
    watch.lengths(pairs)
    callback = StepCallback(plan.reporter, watch, plan.checkpoint_minutes, dpo.checkpoint_steps, plan.deadline)
    data = Dataset.from_list(
        [{"prompt_ids": p.prompt_ids, "chosen_ids": p.chosen_ids, "rejected_ids": p.rejected_ids} for p in pairs]
    )
    make = _orpo if dpo.loss[0] == "orpo" else _dpo
    with plan.times.count("computing"):  # the reference is read while the trainer is made
        trainer = make(model, fresh, tokens, data, dpo, plan, callback)
    ids, trained = trainer.masks(next(iter(trainer.get_train_dataloader())))
    check_mask(ids, trained, tokens)
    return run(trainer, callback, plan, dpo)


def _watch(dpo: Dpo, plan: Plan) -> Watch:
    start = losses.start_value(dpo)
    if start is None:
        return Watch(plan.reporter)
    tolerance = 1e-3 if plan.precision is Precision.FP32 else 0.1
    return StartCheck(plan.reporter, dpo.beta, plan.on_displacement, start, tolerance)


def _dpo(model: Any, fresh: Any, tokens: Tokens, data: Any, dpo: Dpo, plan: Plan, callback: StepCallback) -> Any:
    arguments = DPOConfig(
        **common(plan, dpo, model.device.type),
        **losses.arguments(dpo),
        max_length=None,
        precompute_ref_log_probs=True,
        padding_free=False,
    )
    return _IdDpoTrainer(
        model,
        args=arguments,
        train_dataset=data,
        processing_class=tokens.raw,
        callbacks=[callback],
        peft_config=fresh,
        sft_weight=losses.sft_weight(dpo),
        referenced=lambda done: callback.prepared(done, len(data), _reference_share(dpo, plan)),
    )


def _reference_share(dpo: Dpo, plan: Plan) -> float:
    """Of all forward passes those of the reference; a trained pair costs two of them, three where layers are
    recomputed."""
    return 1 / (1 + dpo.epochs * (3 if plan.gradient_checkpointing else 2))


class _IdDpoTrainer(DPOTrainer):  # type: ignore[misc]
    """DPO on rows that are ids already. TRL's log-probabilities without full logits are replaced by ours, which read a
    pair's prompt once and pass over the vocabulary once.

    An update's loss is the mean over all its pairs, and the `sft` term the mean over all its chosen tokens, however
    the pairs are dealt to micro-batches.
    """

    def __init__(self, *args: Any, sft_weight: float, referenced: Callable[[int], None], **kwargs: Any) -> None:
        self.sft_weight, self._referenced, self._read = sft_weight, referenced, 0
        self._logps: Any = None
        super().__init__(*args, **kwargs)

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def _precompute_ref_logps(self, dataset: Any, *args: Any, **kwargs: Any) -> Any:
        """Called by TRL in its constructor, after it has made the reference."""
        # TRL couples its chunked path to the presence of the liger package, which the path itself does not use.
        self.use_liger_kernel = True
        self._forward_redirection = _ForwardRedirection()  # through which several devices reach that path
        _undo_rounding(self.model)
        if self.accelerator.num_processes > 1:
            dataset = self._shared(dataset)
        return super()._precompute_ref_logps(dataset, *args, **kwargs)

    def _shared(self, dataset: Any) -> Any:
        """The pairs from one file: TRL leaves what the reference says of them beside it, for all ranks."""
        folder = Path(self.args.output_dir) / "pairs"
        if self.accelerator.is_main_process:
            dataset.save_to_disk(folder)
        self.accelerator.wait_for_everyone()
        return load_from_disk(folder)

    def compute_ref_log_probs(self, model: Any, inputs: Any) -> Any:
        """Called by TRL for each batch of pairs."""
        found = super().compute_ref_log_probs(model, inputs)
        self._read += len(inputs["input_ids"]) // 2 * self.accelerator.num_processes
        self._referenced(self._read)
        return found

    @staticmethod
    def masks(batch: Any) -> tuple[Any, Any]:
        return batch["input_ids"], batch["completion_mask"].bool()

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        samples, count = super().get_batch_samples(*args, **kwargs)
        self._parts = len(samples)
        rows = sum(len(batch["input_ids"]) // 2 for batch in samples)
        tokens = sum(int(batch["completion_mask"].chunk(2)[0].sum()) for batch in samples)
        whole = torch.tensor([rows, tokens], dtype=torch.float64, device=self.accelerator.device)
        self._rows, self._tokens = self.accelerator.reduce(whole, "mean").tolist()  # gradients are averaged over ranks
        return samples, count

    def _get_per_token_logps_and_entropies(self, model: Any, model_kwargs: Any, ids: Any, trained: Any) -> Any:
        inner = self.accelerator.unwrap_model(model).get_base_model()
        with self.accelerator.autocast():
            logps, entropies, _ = response_logps(inner, ids, model_kwargs["attention_mask"], trained, pairs=True)
        if torch.is_grad_enabled():  # the policy's, not the reference's
            self._logps = logps
        return logps, entropies, None

    def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
        """TRL's preference term, weighted by this micro-batch's share of the update, and the `sft` term.

        The trainer divides by the number of micro-batches afterwards.
        """
        term = super()._compute_loss(model, inputs, return_outputs)
        rows = len(inputs["input_ids"]) // 2
        loss = term * (rows * self._parts / self._rows)
        chosen = inputs["completion_mask"].chunk(2)[0][:, 1:].bool()
        nll = -self._logps.chunk(2)[0][chosen].sum()
        told = torch.stack([term.detach() / self.loss_weights[0], nll.detach() / chosen.sum()])
        preference, sft = self.accelerator.reduce(told, "mean").tolist()
        self._metrics["train"]["preference"].append(preference)
        self._metrics["train"]["sft"].append(sft)
        return loss + self.sft_weight * nll * (self._parts / self._tokens)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """Restore the policy. With a second adapter beside it (the reference), transformers restores only that one;
        the reference itself comes from the SFT adapter, never from a checkpoint."""
        load_policy(model or self.model, Path(resume_from_checkpoint))


def load_policy(model: Any, folder: Path) -> None:
    """Put a saved adapter's weights into the adapter that is trained."""
    weights = load_file(folder / "adapter_model.safetensors")
    set_peft_model_state_dict(model, weights, adapter_name="default")


def _undo_rounding(model: Any) -> None:
    """Over quantised weights TRL rounds the policy to bf16 after it has copied the reference: make them equal again."""
    widen_adapter(model)
    if "ref" in model.peft_config:
        for name, parameter in model.named_parameters():
            if ".default." in name:
                parameter.data.copy_(model.get_parameter(name.replace(".default.", ".ref.")).data)


def _orpo(model: Any, fresh: Any, tokens: Tokens, data: Any, dpo: Dpo, plan: Plan, callback: StepCallback) -> Any:
    """ORPO through TRL's experimental trainer; `beta` is the paper's λ."""
    try:
        from trl.experimental.orpo import ORPOConfig

        from pipeline.trainers.orpo import IdOrpoTrainer
    except ImportError as error:
        raise ModelError(f"this TRL has no ORPO trainer ({error})", "choose another train.dpo.loss") from error
    if plan.ranks > 1:
        raise StepError("ORPO trains on one device; set hardware.gpus to 1")
    if fresh is not None:
        model = get_peft_model(model, fresh)
    arguments = ORPOConfig(
        **common(plan, dpo, model.device.type), beta=dpo.beta, max_length=dpo.max_length, padding_value=tokens.pad
    )
    return IdOrpoTrainer(model, args=arguments, train_dataset=data, processing_class=tokens.raw, callbacks=[callback])

"""ORPO (arXiv 2403.07691) on rows that are ids already: TRL's experimental trainer with our mask.

TRL's own puts its likelihood term on the prompt as well; here it is the mean -log p of each chosen answer, as the paper
has it, so the loss is a mean over pairs and does not depend on micro-batches.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trl.experimental.orpo import ORPOTrainer

from pipeline.tokenise import IGNORE
from pipeline.trainers.flat import response_logps


class IdOrpoTrainer(ORPOTrainer):  # type: ignore[misc]
    """Rows hold `prompt_ids`, `chosen_ids` and `rejected_ids`."""

    @staticmethod
    def tokenize_row(feature: Mapping[str, list[int]]) -> dict[str, list[int]]:
        """A static method, since TRL hands it to `Dataset.map`, which would pickle the model with a bound one."""
        prompt, row = feature["prompt_ids"], {}
        for side in ("chosen", "rejected"):
            response = feature[f"{side}_ids"]
            row[f"{side}_input_ids"] = prompt + response
            row[f"{side}_attention_mask"] = [1] * (len(prompt) + len(response))
            row[f"{side}_labels"] = [IGNORE] * len(prompt) + response
        return row

    @staticmethod
    def masks(batch: Any) -> tuple[Any, Any]:
        return batch["chosen_input_ids"], batch["chosen_labels"] != IGNORE

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        samples, count = super().get_batch_samples(*args, **kwargs)
        self._parts = len(samples)
        self._rows = sum(len(batch["chosen_labels"]) for batch in samples)
        return samples, count

    def concatenated_forward(self, model: Any, batch: Any) -> Any:
        """(chosen, rejected mean log p a token [rows], nothing of their logits, the likelihood term)."""
        both = self.concatenated_inputs(batch, padding_value=self.padding_value, device=self.accelerator.device)
        rows, trained = len(batch["chosen_labels"]), both["concatenated_labels"] != IGNORE
        inner = self.accelerator.unwrap_model(model).get_base_model()
        with self.accelerator.autocast():
            ids, attended = both["concatenated_input_ids"], both["concatenated_attention_mask"]
            sums = response_logps(inner, ids, attended, trained, pairs=True)[0].sum(1)
        logps = sums / trained[:, 1:].sum(1)
        none = logps.new_zeros(())
        return logps[:rows], logps[rows:], none, none, -logps[:rows].mean()

    def store_metrics(self, metrics: dict[str, float], train_eval: Any = "train") -> None:
        """Without the mean logit, which nobody computed."""
        super().store_metrics({k: v for k, v in metrics.items() if "logits/" not in k}, train_eval)

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        loss = super().compute_loss(model, inputs, *args, **kwargs)
        return loss * (len(inputs["chosen_labels"]) * self._parts / self._rows)

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """None: the run's own cards say it all."""

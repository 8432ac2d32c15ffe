"""The same training through unsloth, on CUDA, in a fresh process of its own. Has not been run: it is written to the
library's documented interface, and needs a machine with an accelerator.

unsloth must be imported before transformers and TRL, rewrites their classes, and writes a compiled cache into the
working directory: hence a new interpreter in a scratch directory, told everything in one file, answering by a pipe.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.recipe import Precision, Train
from pipeline.trainers import apart

if TYPE_CHECKING:
    from pipeline.tokenise import TokenRow
    from pipeline.trainers.plan import PairRow, Plan

MODULE = "pipeline.trainers.unsloth_trainer"
SCRATCH = ".unsloth"
"""Hidden, so that nothing in it counts as an output of the step."""


def spawn_sft(weights: Path, rows: Sequence[TokenRow], train: Train, plan: Plan) -> dict[str, Any]:
    """`trl_trainer.train_sft` in a process of its own."""
    return apart.spawn(MODULE, SCRATCH, {"kind": "sft", "rows": [asdict(r) for r in rows]}, weights, train, plan)


def spawn_dpo(
    weights: Path, adapter: Path | None, pairs: Sequence[PairRow], train: Train, plan: Plan
) -> dict[str, Any]:
    """`preference.train_dpo` in a process of its own."""
    job = {"kind": "dpo", "rows": [asdict(p) for p in pairs], "adapter": str(adapter) if adapter else None}
    return apart.spawn(MODULE, SCRATCH, job, weights, train, plan)


def _train(job: Mapping[str, Any], train: Train, plan: Plan) -> dict[str, Any]:
    from unsloth import FastLanguageModel  # type: ignore[import-not-found, unused-ignore] # isort: skip (comes first)

    from pipeline.models.load import load_tokens
    from pipeline.tokenise import TokenRow
    from pipeline.trainers import preference, trl_trainer
    from pipeline.trainers.plan import PairRow

    weights = Path(job["weights"])
    longest = max(train.sft.max_length, train.dpo.max_length)
    with plan.times.count("loading"):
        model, _ = FastLanguageModel.from_pretrained(
            model_name=str(weights),
            max_seq_length=longest,
            dtype=None,
            load_in_4bit=plan.precision is Precision.NF4,
            load_in_8bit=plan.precision is Precision.INT8,
        )
    model = FastLanguageModel.get_peft_model(
        model,
        r=train.lora.r,
        lora_alpha=train.lora.alpha,
        lora_dropout=train.lora.dropout,
        target_modules=list(trl_trainer.LINEAR_LAYERS),
        bias="none",
        use_gradient_checkpointing="unsloth" if plan.gradient_checkpointing else False,
        random_state=plan.seed % 2**32,
    )
    tokens = load_tokens(weights)
    if job["kind"] == "sft":
        return trl_trainer.fit_sft(model, tokens, [TokenRow(**r) for r in job["rows"]], train.sft, plan, "nll")
    if job["adapter"]:
        preference.load_policy(model, Path(job["adapter"]))
    return preference.fit_dpo(model, None, tokens, [PairRow(**r) for r in job["rows"]], train.dpo, plan)


if __name__ == "__main__":
    apart.serve(Path(sys.argv[1]), _train)

"""The same training on several devices of one machine, a process each, under torch's distributed data parallelism.

A global batch stays what the recipe says: each rank takes its part of it. Where the rows are no multiple of it, the
last update of an epoch is filled up with rows of the epoch's beginning, which one device would not do.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.recipe import Train
from pipeline.tokenise import TokenRow
from pipeline.trainers import apart
from pipeline.trainers.plan import PairRow

if TYPE_CHECKING:
    from pipeline.trainers.plan import Plan

MODULE = "pipeline.trainers.several"
SCRATCH = ".ranks"
"""Hidden, so that nothing in it counts as an output of the step."""


def spawn_sft(weights: Path, device: str, rows: Sequence[TokenRow], train: Train, plan: Plan) -> dict[str, Any]:
    """`trl_trainer.train_sft` on `plan.ranks` devices of one kind."""
    job = {"kind": "sft", "device": device, "rows": [asdict(r) for r in rows]}
    return apart.spawn(MODULE, SCRATCH, job, weights, train, plan, plan.ranks)


def spawn_dpo(
    weights: Path, device: str, adapter: Path | None, pairs: Sequence[PairRow], train: Train, plan: Plan
) -> dict[str, Any]:
    """`preference.train_dpo` on `plan.ranks` devices of one kind."""
    rows = [asdict(p) for p in pairs]
    job = {"kind": "dpo", "device": device, "rows": rows, "adapter": str(adapter) if adapter else None}
    return apart.spawn(MODULE, SCRATCH, job, weights, train, plan, plan.ranks)


def _train(job: Mapping[str, Any], train: Train, plan: Plan) -> dict[str, Any]:
    weights, device = Path(job["weights"]), job["device"]
    if device == "cpu":
        os.environ["ACCELERATE_TORCH_DEVICE"] = device  # else it is "cpu:0", to which torch loads no checkpoint
    else:
        device = f"{device}:{os.environ['LOCAL_RANK']}"
    from pipeline.models.load import load_model, load_tokens
    from pipeline.trainers import preference, trl_trainer

    with plan.times.count("loading"):
        model, tokens = load_model(weights, plan.precision, device), load_tokens(weights)
    if job["kind"] == "sft":
        rows = [TokenRow(**r) for r in job["rows"]]
        return trl_trainer.train_sft(model, tokens, rows, train.sft, train.lora, plan)
    adapter, pairs = job["adapter"], [PairRow(**r) for r in job["rows"]]
    return preference.train_dpo(model, tokens, Path(adapter) if adapter else None, pairs, train.dpo, train.lora, plan)


if __name__ == "__main__":
    apart.serve(Path(sys.argv[1]), _train)

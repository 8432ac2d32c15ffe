"""What every trainer takes besides its data. No torch here: steps read this before they load a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pipeline.recipe import Precision
from pipeline.steps.base import Reporter, StepContext
from pipeline.times import Times


@dataclass(frozen=True, slots=True)
class PairRow:
    """One preference as ids; `chosen` and `rejected` end in the end-of-text id."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


@dataclass(frozen=True, slots=True)
class Plan:
    """`out` gets `adapter/`, `checkpoints/` and `metrics.jsonl`; `base_id` is the base model's name as the recipe says
    it, for the adapter's configuration. `deadline` (unix seconds) is when the run will be stopped, None for never."""

    out: Path
    base_id: str
    seed: int
    precision: Precision
    checkpoint_minutes: float
    reporter: Reporter
    deadline: float | None = None
    on_displacement: Literal["warn", "stop"] = "warn"
    gradient_checkpointing: bool = False
    ranks: int = 1  # devices that train together
    times: Times = field(default_factory=Times)


def plan_of(ctx: StepContext) -> Plan:
    """The plan of a training step."""
    train = ctx.recipe.train
    return Plan(
        ctx.out,
        ctx.recipe.model.id,
        ctx.seed(),
        ctx.recipe.precision.train,
        train.checkpoint_minutes,
        ctx.reporter,
        ctx.deadline,
        train.on_displacement,
        train.gradient_checkpointing,
        ctx.recipe.hardware.gpus,
        ctx.times,
    )

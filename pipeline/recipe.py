"""A recipe: every number that may change a result, typed, with its one default, in one YAML file.

`RUNTIME_FIELDS` cannot change a result and stay out of step keys. Reading the file, and refusing unknown fields with
the nearest valid name, is `recipe_load`'s.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import PipelineError

RECIPE_NAMES = (
    "smoke",
    "demo",
    "bootstrap-270m",
    "qwen2.5-32b-a100-pilot",
    "qwen2.5-32b-a100",
    "qwen2.5-32b-h200",
)

RUNTIME_FIELDS = ("runtime",)


class RecipeError(PipelineError):
    """The recipe (or constitution) cannot be used: file, line, field, remedy. A usage error (exit code 2)."""

    exit_code = 2


class Precision(StrEnum):
    """Number format in which a model's weights are held. Two evaluations are compared only at one precision."""

    NF4 = "nf4"
    INT8 = "int8"
    BF16 = "bf16"
    FP32 = "fp32"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Section):
    """The base model."""

    id: str  # hub id · local path · pypi:NAME · tiny
    revision: str | None = None  # hub ids only: a pinned commit


class PrecisionPlan(_Section):
    """Precision of each kind of work."""

    train: Precision = Precision.BF16
    generate: Precision = Precision.BF16
    evaluate: Precision = Precision.BF16


class Data(_Section):
    """How many, how sampled, how filtered. Counts are totals over all families; remainders go to the first ones."""

    families: tuple[str, ...] = ()  # () = every family of the stage
    instructions: int = Field(default=1000, ge=1)  # kept after dedupe
    pool_seeds: int = Field(default=7, ge=1)  # existing items shown to the model when it writes a new one
    few_shot: int = Field(default=4, ge=1)  # examples before an answer
    instruction_temperature: float = 0.9
    answer_temperature: float = 0.7
    top_p: float = 0.95
    answers: int = Field(default=4, ge=1)  # samples per instruction; the first is greedy
    filter: Literal["self", "verified"] = "self"
    calibration_items: int = Field(default=120, ge=10)
    critic_orders: int = Field(default=3, ge=1)  # few-shot orders, each in both label orders
    accept_precision: float = 0.9  # precision asked of the critics on the calibration block
    min_accept: float = 0.5  # share of the instructions that must keep an answer
    max_runaway: float = 0.05  # most answers that may run on into a new turn
    max_length_limit: float = 0.10  # most answers that the token limit may cut
    rouge_limit: float = 0.7
    pairs: int = Field(default=500, ge=0)
    pair_margin: float = 0.1
    corruption_share: float = Field(default=0.5, ge=0, le=1)  # most pairs whose rejected side is a corruption


class Lora(_Section):
    """Low-rank adapters (LoRA, arXiv 2106.09685) on all seven linear modules."""

    r: int = 32
    alpha: int = 32
    dropout: float = 0.0


class Sft(_Section):
    """Supervised fine-tuning on response tokens and EOS only."""

    learning_rate: float = 1e-4
    epochs: float = 2.0
    batch: int = 8  # effective
    warmup: float = 0.03
    schedule: str = "cosine"
    max_length: int = 1024  # longer rows are dropped and counted, never cut
    checkpoint_steps: int | None = None  # besides the wall-clock rule


class Dpo(_Section):
    """Preference optimisation; the SFT adapter continued, its frozen copy as reference (DPO, arXiv 2305.18290)."""

    enabled: bool = True
    loss: tuple[str, ...] = ("sigmoid_norm", "sft")
    loss_weights: tuple[float, ...] = (1.0, 0.2)
    beta: float = 5.0
    learning_rate: float = 5e-6
    epochs: float = 1.0
    batch: int = 8
    warmup: float = 0.1
    schedule: str = "linear"
    max_length: int = 1024
    checkpoint_steps: int | None = None


class Train(_Section):
    lora: Lora = Lora()
    sft: Sft = Sft()
    dpo: Dpo = Dpo()
    checkpoint_minutes: float = 30.0


class Evaluation(_Section):
    """The frozen held-out set and the gate on it (experiment section 6)."""

    items: int = Field(default=600, ge=1)
    few_shot: int = Field(default=4, ge=1)
    threshold: float | None = None  # None = the stage's own
    rule: Literal["default", "strict"] = "default"
    alpha: float = 0.01
    margin: float = 0.03  # Wilson lower bound may lie this far below the threshold
    curtail: bool = False
    aa_items: int = 50
    train_despite_no_headroom: bool = False


class Hardware(_Section):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None  # CPU threads a worker; None = measured once a run and recorded
    gpus: int = 1


class Budget(_Section):
    usd: float | None = None
    deadline_hours: float | None = None


class Runtime(_Section):
    """What cannot change a result."""

    generate_tokens: int = 8192  # tokens in one planned batch


class Recipe(_Section):
    name: str
    description: str
    seed: int = 0
    stages: tuple[int, ...] = (1,)
    model: Model
    precision: PrecisionPlan = PrecisionPlan()
    data: Data = Data()
    train: Train = Train()
    evaluation: Evaluation = Evaluation()
    hardware: Hardware = Hardware()
    budget: Budget = Budget()
    runtime: Runtime = Runtime()

    def digest(self) -> str:
        """sha256 over everything that may change a result."""
        body = self.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

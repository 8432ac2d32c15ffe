"""A recipe: every number that may change a result, typed, with its one default, in one YAML file.

`RUNTIME_FIELDS` cannot change a result and stay out of step keys. Reading the file, and refusing unknown fields with
the nearest valid name, is `recipe_load`'s.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

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


Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10**9)]
Rank = Annotated[int, Field(ge=1, le=512)]
Length = Annotated[int, Field(ge=16, le=131072)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("the same value stands there twice")
    return values


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

    families: Annotated[tuple[str, ...], AfterValidator(_different)] = ()  # () = every family of the stage
    instructions: Count = 1000  # kept after dedupe
    pool_seeds: Annotated[int, Field(ge=1, le=40)] = 7  # existing items shown to the model when it writes a new one
    few_shot: Annotated[int, Field(ge=1, le=40)] = 4  # examples before an answer
    instruction_temperature: Positive = 0.9
    answer_temperature: Positive = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    answers: Annotated[int, Field(ge=1, le=1000)] = 4  # samples per instruction; the first is greedy
    filter: Literal["self", "verified"] = "self"
    calibration_items: Annotated[int, Field(ge=10, le=100_000)] = 120
    critic_orders: Annotated[int, Field(ge=1, le=24)] = 3  # few-shot orders, each in both label orders
    accept_precision: Share = 0.9  # precision asked of the critics on the calibration block
    min_accept: Share = 0.5  # share of the instructions that must keep an answer
    max_runaway: Share = 0.05  # most answers that may run on into a new turn
    max_length_limit: Share = 0.10  # most answers that the token limit may cut
    rouge_limit: Share = 0.7
    pairs: Annotated[int, Field(ge=0, le=10**9)] = 500
    pair_margin: Share = 0.1
    corruption_share: Share = 0.5  # most pairs whose rejected side is a corruption


class Lora(_Section):
    """Low-rank adapters (LoRA, arXiv 2106.09685) on all seven linear modules."""

    r: Rank = 32
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    dropout: Rate = 0.0


class Sft(_Section):
    """Supervised fine-tuning on response tokens and EOS only."""

    learning_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1e-4
    epochs: Positive = 2.0
    batch: Annotated[int, Field(ge=1, le=65536)] = 8  # effective
    warmup: Rate = 0.03
    schedule: str = "cosine"
    max_length: Length = 1024  # longer rows are dropped and counted, never cut
    checkpoint_steps: Count | None = None  # besides the wall-clock rule


class Dpo(_Section):
    """Preference optimisation; the SFT adapter continued, its frozen copy as reference (DPO, arXiv 2305.18290)."""

    enabled: bool = True
    loss: tuple[str, ...] = ("sigmoid_norm", "sft")
    loss_weights: tuple[float, ...] = (1.0, 0.2)
    beta: Positive = 5.0
    learning_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 5e-6
    epochs: Positive = 1.0
    batch: Annotated[int, Field(ge=1, le=65536)] = 8
    warmup: Rate = 0.1
    schedule: str = "linear"
    max_length: Length = 1024
    checkpoint_steps: Count | None = None


class Train(_Section):
    lora: Lora = Lora()
    sft: Sft = Sft()
    dpo: Dpo = Dpo()
    checkpoint_minutes: Positive = 30.0


class Evaluation(_Section):
    """The frozen held-out set and the gate on it (experiment section 6)."""

    items: int = Field(default=600, ge=1)
    few_shot: Annotated[int, Field(ge=1, le=40)] = 4
    threshold: Share | None = None  # None = the stage's own
    rule: Literal["default", "strict"] = "default"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    margin: Share = 0.03  # Wilson lower bound may lie this far below the threshold
    curtail: bool = False
    aa_items: Count = 50
    train_despite_no_headroom: bool = False


class Hardware(_Section):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = (
        None  # CPU threads a worker; None = measured once a run and recorded
    )
    gpus: Annotated[int, Field(ge=1, le=1024)] = 1


class Budget(_Section):
    usd: Positive | None = None
    deadline_hours: Positive | None = None


class Runtime(_Section):
    """What cannot change a result."""

    generate_tokens: Annotated[int, Field(ge=64)] = 8192  # tokens in one planned batch


class Recipe(_Section):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    description: str
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    stages: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_different)] = (1,)
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

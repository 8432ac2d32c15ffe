"""A recipe: every number that may change a result, typed, with its one default, in one YAML file.

`RUNTIME_FIELDS` cannot change a result and stay out of step keys. Reading the file, and refusing unknown fields with
the nearest valid name, is `recipe_load`'s.
"""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipeline.errors import PipelineError

RECIPE_NAMES = (
    "smoke",
    "demo",
    "bootstrap-270m",
    "qwen2.5-32b-a100-pilot",
    "qwen2.5-32b-a100",
    "qwen2.5-32b-h200",
)

RUNTIME_FIELDS = ("runtime", "budget")
"""Sections that cannot change a result: how the work is cut up, and how much of it may be paid for."""


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
Rounds = Annotated[int, Field(ge=0, le=4)]
Rank = Annotated[int, Field(ge=1, le=512)]
Length = Annotated[int, Field(ge=16, le=131072)]
Epochs = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0.01, le=100, allow_inf_nan=False)]
Schedule = Literal[
    "linear", "cosine", "cosine_with_restarts", "polynomial", "constant", "constant_with_warmup", "inverse_sqrt"
]
"""How the learning rate falls, by the names of transformers; those that need no further setting."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) != len(values):
        raise ValueError("the same value stands there twice")
    return values


class Model(_Section):
    """The base model."""

    id: Annotated[str, Field(min_length=1)]  # hub id · local path · pypi:NAME · tiny
    revision: str | None = None  # hub ids only: a pinned commit


LLAMA_GUARD_CATEGORIES = (
    "S1: Violent Crimes.", "S2: Non-Violent Crimes.", "S3: Sex Crimes.", "S4: Child Exploitation.", "S5: Defamation.",
    "S6: Specialized Advice.", "S7: Privacy.", "S8: Intellectual Property.", "S9: Indiscriminate Weapons.",
    "S10: Hate.", "S11: Self-Harm.", "S12: Sexual Content.", "S13: Elections.", "S14: Code Interpreter Abuse.",
)  # fmt: skip
"""What Llama Guard 3 was trained to tell apart, in its own words."""
Policy = Annotated[str, Field(pattern=r"^[A-Z]\d{1,2}: \S[^<>]*$")]


def _different_codes(lines: tuple[str, ...]) -> tuple[str, ...]:
    _different(tuple(line.partition(":")[0] for line in lines))
    return lines


class Safety(_Section):
    """A model of the Llama Guard family (arXiv 2312.06674) that judges what was generated, before it is trained on."""

    model: Annotated[str, Field(min_length=1)]  # an id as in `model.id`
    revision: str | None = None
    categories: Annotated[tuple[Policy, ...], Field(min_length=1), AfterValidator(_different_codes)] = (
        LLAMA_GUARD_CATEGORIES  # "CODE: what is unsafe"
    )
    threshold: Annotated[float, Field(gt=0, le=1)] = 0.5  # p(unsafe), of both labels, from which a text is unsafe

    @property
    def guard(self) -> Model:
        return Model(id=self.model, revision=self.revision)


class PrecisionPlan(_Section):
    """Precision of each kind of work."""

    train: Precision = Precision.BF16
    generate: Precision = Precision.BF16
    evaluate: Precision = Precision.BF16


NOT_RETRIED = frozenset(
    ("families", "filter", "min_accept", "max_length_limit", "max_runaway", "max_shortcut", "retries", "safety")
)
"""Fields of `data` that say what is made, what may be kept and how bad it may be. An automatic retry makes the same
data in another way; were it to change these, limits would give way by themselves."""


def _makes_data_anew(settings: tuple[str, ...]) -> tuple[str, ...]:
    for setting in settings:
        section, _, name = setting.partition("=")[0].strip().partition(".")
        if section != "data" or name.partition(".")[0] in NOT_RETRIED:
            raise ValueError(f"a retry changes how data are made (data.answer_temperature=0.5), not {section}.{name}")
    return settings


Retry = Annotated[tuple[str, ...], AfterValidator(_makes_data_anew)]


class Data(_Section):
    """How many, how sampled, how filtered. Counts are totals over all families; remainders go to the first ones."""

    families: Annotated[tuple[str, ...], AfterValidator(_different)] = ()  # () = every family of the stage
    instructions: Count = 1000  # kept after dedupe
    pool_seeds: Annotated[int, Field(ge=1, le=40)] = 7  # existing items shown to the model when it writes a new one
    few_shot: Annotated[int, Field(ge=1, le=40)] = 4  # examples before an answer
    instruction_temperature: Temperature = 0.9
    answer_temperature: Temperature = 0.7
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
    max_shortcut: Share = 0.95  # most pairs that "the shorter one" or "not the refusal" may decide
    revision_rounds: Rounds | dict[int, Rounds] | None = None  # of every stage, or by stage; None = the stage's own
    rehearsal: Rate | None = None  # share of earlier stages' rows in the training data; None = the stage's own
    safety: Safety | None = None  # None = nothing is judged for safety
    retries: Annotated[tuple[Retry, ...], Field(max_length=2)] = (
        ("data.answer_temperature=0.5",),
        ("data.answer_temperature=0.3", "data.instruction_temperature=0.7"),
    )  # settings changed, one group an automatic retry, when a data set breaches its limits


PREFERENCE_LOSSES = ("sigmoid_norm", "sigmoid", "ipo", "robust", "orpo")


def _whole_micro_batches(section: Any) -> Any:
    if section.micro_batch and section.batch % section.micro_batch:
        raise ValueError(f"micro_batch {section.micro_batch} does not divide batch {section.batch}")
    return section


class Lora(_Section):
    """Low-rank adapters (LoRA, arXiv 2106.09685) on all seven linear modules."""

    r: Rank = 32
    alpha: Annotated[int, Field(ge=1, le=4096)] = 32
    dropout: Rate = 0.0


class Sft(_Section):
    """Supervised fine-tuning on response tokens and EOS only."""

    enabled: bool = True  # False: preference training starts from a fresh adapter
    learning_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 1e-4
    epochs: Epochs = 2.0
    batch: Annotated[int, Field(ge=1, le=65536)] = 8  # effective
    micro_batch: Count | None = None  # rows that go through the model at a time; None = the whole batch
    warmup: Rate = 0.03
    schedule: Schedule = "cosine"
    max_length: Length = 1024  # longer rows are dropped and counted, never cut
    checkpoint_steps: Count | None = None  # besides the wall-clock rule

    _whole_parts = model_validator(mode="after")(_whole_micro_batches)


class Dpo(_Section):
    """Preference optimisation; the SFT adapter continued, its frozen copy as reference (DPO, arXiv 2305.18290)."""

    enabled: bool = True
    loss: tuple[str, ...] = ("sigmoid_norm", "sft")
    loss_weights: tuple[float, ...] = (1.0, 0.2)
    beta: Positive = 5.0
    learning_rate: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = 5e-6
    epochs: Epochs = 1.0
    batch: Annotated[int, Field(ge=1, le=65536)] = 8
    micro_batch: Count | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=0.5)] = 0.0  # `robust` only: the measured share of flipped labels
    warmup: Rate = 0.1
    schedule: Schedule = "linear"
    max_length: Length = 1024
    checkpoint_steps: Count | None = None

    _whole_parts = model_validator(mode="after")(_whole_micro_batches)

    @model_validator(mode="after")
    def _known_loss(self) -> Self:
        if not self.loss or self.loss[0] not in PREFERENCE_LOSSES or self.loss[1:] not in ((), ("sft",)):
            known = ", ".join(PREFERENCE_LOSSES)
            raise ValueError(f"loss must be one of {known}, alone or followed by sft; got {list(self.loss)}")
        if len(self.loss_weights) != len(self.loss) or min(self.loss_weights) <= 0:
            raise ValueError(f"loss_weights must hold a number above 0 for each of {list(self.loss)}")
        if self.loss[0] == "orpo" and (len(self.loss) > 1 or self.loss_weights != (1.0,)):
            raise ValueError("orpo holds a likelihood term already: loss must be [orpo], loss_weights [1.0]")
        if self.label_smoothing and self.loss[0] != "robust":
            raise ValueError(f"label_smoothing is for the loss robust; {self.loss[0]} does not read it")
        return self


class Train(_Section):
    lora: Lora = Lora()
    sft: Sft = Sft()
    dpo: Dpo = Dpo()
    checkpoint_minutes: Positive = 30.0
    gradient_checkpointing: bool = False  # less memory, about a third more time
    on_displacement: Literal["warn", "stop"] = "warn"  # chosen answers grow less likely than under the reference
    backend: Literal["auto", "trl", "unsloth"] = "auto"  # auto: unsloth where it is installed and there is CUDA
    merge_last: bool = True  # whether the chain's last model is merged and checked too; nothing starts from it

    @model_validator(mode="after")
    def _trains_something(self) -> Self:
        if not self.sft.enabled and not self.dpo.enabled:
            raise ValueError("sft and dpo are both switched off: nothing would be trained")
        return self


class Evaluation(_Section):
    """The frozen held-out set and the gate on it (experiment section 6)."""

    items: int = Field(default=600, ge=1)
    few_shot: Annotated[int, Field(ge=1, le=40)] = 4
    threshold: Share | None = None  # None = the stage's own
    keep: Share | None = None  # level of every earlier stage's set; None = the stage's own
    keep_delta: Share = 0.02  # most that an earlier set may certainly have lost
    on_fail: Literal["stop", "continue"] = "stop"  # continue: the chain goes on, marked everywhere, and ends with 5
    ifeval_items: Annotated[int, Field(ge=0, le=10_000)] = 0  # external check beside the gate, never gating
    rule: Literal["default", "strict"] = "default"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.01
    margin: Share = 0.03  # Wilson lower bound may lie this far below the threshold
    curtail: bool = False
    aa_items: Count = 50
    train_despite_no_headroom: bool = False
    reference: Model | None = None  # measured beside the base, deciding nothing; an instruct model may stand here
    alt_base: Model | None = None  # another base model, likewise


class Hardware(_Section):
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] | None = (
        None  # CPU threads a worker; None = measured once a run and recorded
    )
    gpus: Annotated[int, Field(ge=1, le=1024)] = 1
    engine: Literal["transformers", "vllm"] = "transformers"  # what generates and scores; vllm only where installed


class Budget(_Section):
    usd: Positive | None = None
    deadline_hours: Positive | None = None


class Runtime(_Section):
    """What cannot change a result."""

    generate_tokens: Annotated[int, Field(ge=64)] = 8192  # tokens in one planned batch
    reuse: bool = True  # take over steps that a run beside this one has finished under the same key


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

    @property
    def further_models(self) -> dict[str, Model]:
        """Models beside the one that is trained, by the field that names them."""
        guard = self.data.safety.guard if self.data.safety else None
        found = {
            "data.safety": guard,
            "evaluation.reference": self.evaluation.reference,
            "evaluation.alt_base": self.evaluation.alt_base,
        }
        return {field: model for field, model in found.items() if model is not None}

    def digest(self) -> str:
        """sha256 over everything that may change a result."""
        body = self.model_dump(mode="json", exclude=set(RUNTIME_FIELDS))
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def earlier_stages(chain: tuple[int, ...], stage: int) -> tuple[int, ...]:
    """The stages that come before `stage` in a recipe's chain; none for the baseline."""
    return chain[: chain.index(stage)] if stage in chain else ()

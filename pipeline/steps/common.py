"""What the steps share: opening the one model a step holds, and generating with every batch committed as it ends."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.engines.base import Completion, Request
from pipeline.journal import Journal
from pipeline.recipe import Precision, Recipe
from pipeline.stages.base import Family, Gate, Item, Namespace, Stage
from pipeline.steps.base import StepContext

if TYPE_CHECKING:
    from pipeline.engines.transformers_engine import TransformersEngine
    from pipeline.models.load import Tokens

ENGINE_MODULES = (
    "pipeline.engines",
    "pipeline.models",
    "pipeline.prompts",
    "pipeline.steps.common",
    "pipeline.records",
)
"""Code that can change whatever a model writes or scores."""


@dataclass(frozen=True)
class Opened:
    """The model of this step. `digest` names its weights, an adapter included; `base` those without one."""

    engine: TransformersEngine
    tokens: Tokens
    digest: str
    base: str


def open_engine(ctx: StepContext, precision: Precision, adapter: Path | None = None) -> Opened:
    """Load the recipe's base model, with an adapter on top where one is named."""
    from pipeline.engines.transformers_engine import TransformersEngine
    from pipeline.models.load import attach_adapter

    model, tokens, base = load_base(ctx, precision)
    digest = base
    if adapter is not None:
        model = attach_adapter(model, adapter)
        digest = adapter_digest(base, adapter)
    return Opened(TransformersEngine(model, tokens, _batch_tokens(ctx)), tokens, digest, base)


def _batch_tokens(ctx: StepContext) -> int:
    """The batch size this step began with: a resumed step must plan the very batches that it began."""
    from pipeline.artifacts import write_atomic

    note = ctx.out / ".batch_tokens"
    if not note.exists():
        write_atomic(note, str(ctx.recipe.runtime.generate_tokens).encode())
    return int(note.read_text())


def load_base(ctx: StepContext, precision: Precision) -> tuple[Any, Tokens, str]:
    """(model, tokens, digest of the weights) of the recipe's base model."""
    from pipeline.models.load import device_of, load_model, load_tokens
    from pipeline.models.resolve import resolve

    found = resolve(ctx.recipe.model)
    model = load_model(found.path, precision, device_of(ctx.recipe.hardware.device))
    return model, load_tokens(found.path), found.digest


def adapter_digest(base: str, adapter: Path) -> str:
    """One digest for base plus adapter."""
    from pipeline.artifacts import sha256_file, sha256_json

    return sha256_json([base, sha256_file(adapter / "adapter_model.safetensors")])


def last_adapter(ctx: StepContext) -> Path | None:
    """The adapter that the stage ended with: DPO's, else SFT's, else None where nothing was trained."""
    for step in ("dpo", "sft"):
        folder = ctx.input(f"stage-{ctx.stage}/{step}") / "adapter"
        if (folder / "adapter_model.safetensors").exists():
            return folder
    return None


def generate(
    ctx: StepContext,
    opened: Opened,
    requests: Sequence[Request],
    part: str,
    to_row: Callable[[int, Completion], Mapping[str, Any]],
    unit: str = "answers",
    before: int = 0,
    total: int | None = None,
) -> list[Mapping[str, Any]]:
    """Rows of all requests in their order. Each planned batch is committed to `<part>.part` and never done twice.

    Progress counts from `before` (done by earlier calls of this step) to `total` (default: these requests).
    """
    planned = len(requests) if total is None else total

    with Journal(ctx.out / f"{part}.part") as journal:

        def tell(ended: int) -> None:
            ctx.reporter.progress(before + len(journal) + ended, planned, unit)

        for batch in opened.engine.plan(requests):
            if not journal.complete(batch):
                ctx.checkpoint()
                done = opened.engine.generate([requests[i] for i in batch], tell)
                journal.append((i, to_row(i, completion)) for i, completion in zip(batch, done, strict=True))
                ctx.reporter.tokens(sum(c.tokens for c in done))
            tell(0)
        return journal.rows()


def stage_of(ctx: StepContext) -> Stage:
    """The declared stage; the baseline (stage 0) measures stage 1's held-out set."""
    from pipeline.stages.registry import stage

    return stage(max(1, ctx.stage))


def families_of(recipe: Recipe, stage: Stage) -> tuple[Family, ...]:
    """The families a recipe works on, in the stage's order."""
    from pipeline.evals.items import chosen_families

    return chosen_families(stage, recipe.data.families)


def example_pool(family: Family, seed: int, count: int = 48) -> list[Item]:
    """Training-side items for few-shot prompts: one draw a run, the same for every step."""
    from pipeline.evals.items import build

    return build(Stage(0, "pool", (family,), Gate(0.0)), Namespace.TRAIN, count, seed)


def draw(pool: Sequence[Item], count: int, seed: int, avoid: str = "") -> list[Item]:
    """`count` different items of a pool, by a seed of their own; never the instruction that is being answered."""
    usable = [item for item in pool if item.instruction != avoid]
    return random.Random(seed).sample(usable, min(count, len(usable)))

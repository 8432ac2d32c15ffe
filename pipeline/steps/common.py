"""What the steps share: a stage and its held-out sets, and generating with every batch committed as it ends."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import sha256_json, write_atomic
from pipeline.codehash import module_digest
from pipeline.data.leakage import Guard, Words, words_of
from pipeline.engines.base import Completion, Request
from pipeline.eta import BatchWork, Costs
from pipeline.journal import Journal
from pipeline.protocol import RunPaths
from pipeline.recipe import Recipe
from pipeline.stages.base import Family, Gate, Item, Namespace, Stage
from pipeline.steps.base import StepContext
from pipeline.steps.weights import Opened

ENGINE_MODULES = (
    "pipeline.engines",
    "pipeline.models",
    "pipeline.prompts",
    "pipeline.steps.common",
    "pipeline.steps.weights",
    "pipeline.records",
)
"""Code that can change whatever a model writes or scores."""

Inside = Callable[[int, int], float]


def generate(
    ctx: StepContext,
    opened: Opened,
    requests: Sequence[Request],
    part: str,
    to_row: Callable[[int, Completion], Mapping[str, Any]],
    unit: str = "answers",
    before: int = 0,
    total: int | None = None,
    span: tuple[float, float] | None = None,
) -> list[Mapping[str, Any]]:
    """Rows of all requests in their order. Each planned batch is committed to `<part>.part` and never done twice; of a
    shard only its own batches, and then only their rows come back.

    Progress counts from `before` (done by earlier calls of this step) to `total` (default: these requests). `span` is
    the part of the step's work that this call is (default: by its rows).
    """
    planned = len(requests) if total is None else total
    if span is None and planned:
        span = before / planned, (before + len(requests)) / planned
    begin, end = span or (0.0, 1.0)
    costs, batches = costs_of(opened), opened.engine.plan(requests)
    works = [_work_of(opened, [requests[i] for i in batch]) for batch in batches]
    whole, done = sum(w.cost(costs) for w in works), 0.0
    if end > begin:
        ctx.reporter.foresee(whole / (end - begin))

    with Journal(ctx.out / f"{part}.part") as journal:

        def tell(ended: int, share: float) -> None:
            inside = (done + share) / whole if whole else 1.0
            ctx.reporter.progress(before + len(journal) + ended, planned, unit, begin + inside * (end - begin))

        tell(0, 0.0)
        for number, (batch, work) in enumerate(zip(batches, works, strict=True)):
            mine = ctx.shard is None or ctx.shard.has(number)
            if mine and not journal.complete(batch):
                ctx.checkpoint()
                inside, cost = work.progress(costs), work.cost(costs)

                def inside_it(ended: int, read: int, inside: Inside = inside, cost: float = cost) -> None:
                    tell(ended, inside(ended, read) * cost)

                answers = opened.engine.generate([requests[i] for i in batch], inside_it)
                journal.append((i, to_row(i, completion)) for i, completion in zip(batch, answers, strict=True))
                ctx.reporter.tokens(sum(c.tokens for c in answers), read=round(work.prompt))
            done += work.cost(costs)
            tell(0, 0.0)
        return journal.rows()


def _work_of(opened: Opened, requests: Sequence[Request]) -> BatchWork:
    limits = [r.max_new_tokens for r in requests]
    return BatchWork.of([r.prompt_ids for r in requests], limits, opened.engine.rows(requests))


def costs_of(opened: Opened) -> Costs:
    """What a token and a pass cost by the model's shape; those of a GPU where it does not say."""
    model = getattr(opened.engine, "model", None)
    config = getattr(model, "config", None)
    names = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size")
    sizes = [getattr(config, name, None) for name in names]
    device = getattr(getattr(model, "device", None), "type", "cuda") if config is not None else "cuda"
    if not all(sizes):
        return Costs()
    shape = (int(size or 0) for size in sizes)
    return Costs.on_cpu(*shape) if device == "cpu" else Costs.of(*shape)


def after_stage(earlier: Sequence[int]) -> tuple[str, ...]:
    """The steps behind the weights that a stage starts from: the merge of the stage before."""
    return tuple(f"stage-{k}/merge" for k in earlier[-1:])


def stage_of(ctx: StepContext) -> Stage:
    """The declared stage of a step; KeyError for the baseline, which has none."""
    from pipeline.stages.registry import stage

    return stage(ctx.stage)


def families_of(recipe: Recipe, stage: Stage) -> tuple[Family, ...]:
    """The families a recipe works on, in the stage's order."""
    from pipeline.evals.items import chosen_families

    return chosen_families(stage, recipe.data.families)


def held_out(ctx: StepContext, number: int) -> list[Item]:
    """The frozen items on which stage `number` is measured in its present attempt."""
    from pipeline.evals.items import frozen_set

    return frozen_set(ctx.recipe, number, ctx.block(number))


def guard_of(ctx: StepContext) -> Guard:
    """Every frozen item of the whole chain, whatever the block: no stage may teach any of them, and a later attempt
    finds its block untouched."""
    return held_out_index(ctx.recipe.stages, RunPaths(ctx.run_dir).scratch)


@functools.lru_cache(maxsize=1)
def held_out_index(stages: tuple[int, ...], scratch: Path) -> Guard:
    """The index of `guard_of`, built once a process: a fork server that has it hands it on."""
    from pipeline.evals.items import frozen_blocks
    from pipeline.stages.registry import stage

    items = [item for number in stages for item in frozen_blocks(number)]
    families = {f.name: f for number in stages for f in stage(number).families}
    return Guard(items, families.values(), _known_words(items, stages, scratch))


def _known_words(items: Sequence[Item], stages: Sequence[int], scratch: Path) -> list[Words]:
    """The items' words, worked out once a run, since not every machine can fork: named by all that they depend on."""
    code = [module_digest(f"pipeline.{name}") for name in ("data.leakage", "data.dedup", "stages")]
    path = scratch / f"words-{sha256_json([code, stages])[:16]}.json"
    try:
        known: list[Words] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        known = []
    if len(known) != len(items):
        known = [words_of(item) for item in items]
        write_atomic(path, json.dumps(known).encode())
    return known


def example_pool(family: Family, seed: int, count: int = 48) -> list[Item]:
    """Training-side items for few-shot prompts: one draw a run, the same for every step."""
    from pipeline.evals.items import build

    return build(Stage(0, "pool", (family,), Gate(0.0)), Namespace.TRAIN, count, seed)


def draw(pool: Sequence[Item], count: int, seed: int, avoid: str = "") -> list[Item]:
    """`count` different items of a pool, by a seed of their own; never the instruction that is being answered."""
    usable = [item for item in pool if item.instruction != avoid]
    return random.Random(seed).sample(usable, min(count, len(usable)))

"""The base model writes instructions: some existing ones are shown as a numbered list, it goes on with the next.

Duplicates, near-duplicates and anything that touches a held-out item are dropped before a single answer is paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import prompts
from pipeline.data.dedup import Deduper, normalise
from pipeline.data.leakage import Guard
from pipeline.engines.base import Completion, Request
from pipeline.errors import DataQualityError
from pipeline.evals.items import split
from pipeline.records import Instruction, canonical, write_records
from pipeline.stages.base import Family, Item
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import (
    ENGINE_MODULES,
    after_stage,
    draw,
    example_pool,
    families_of,
    generate,
    guard_of,
    stage_of,
)
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.weights import Opened, open_role

MAX_ROUNDS = 6
ENOUGH = 0.96
"""Share of the wanted instructions at which no further round is paid for: small batches cost as much as full ones."""
LEFT = 0.1
"""Of the work, what is foreseen for the rounds after one, of which most runs need none."""
SAMPLES_PER_PROMPT = 4
MAX_TOKENS = 40


@dataclass
class _Harvest:
    """What is kept so far of one family, and how much of it is wanted. `taken` holds what any family has kept: a model
    also writes instructions of another family than the one it was shown."""

    family: Family
    pool: list[Item]
    wanted: int
    seen: Deduper
    taken: set[str]
    kept: list[Instruction]


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    families = families_of(ctx.recipe, stage)
    guard = guard_of(ctx)
    opened = open_role(ctx, stage.roles.writer, ctx.recipe.precision.generate)
    taken: set[str] = set()
    harvests = [
        _Harvest(f, example_pool(f, ctx.recipe.seed), wanted, Deduper(ctx.recipe.data.rouge_limit), taken, [])
        for f, wanted in zip(families, split(ctx.recipe.data.instructions, len(families)), strict=True)
    ]
    for harvest in harvests:
        for item in harvest.pool:  # an instruction that was shown is no new one
            harvest.seen.add(item.instruction)
    rejected: list[Instruction] = []
    rounds = 0
    while _missing(harvests) > (1 - ENOUGH) * ctx.recipe.data.instructions * min(rounds, 1) and rounds < MAX_ROUNDS:
        rejected += _round(ctx, opened, harvests, guard, rounds)
        rounds += 1
    kept = [row for h in harvests for row in h.kept]
    if not kept:
        raise DataQualityError("the model wrote no usable instruction; rejected.jsonl says why each was dropped")
    write_records(ctx.out / "records.jsonl", kept)
    write_records(ctx.out / "rejected.jsonl", _unique(rejected))
    short = {h.family.name: h.wanted - len(h.kept) for h in harvests if len(h.kept) < h.wanted}
    if short:
        ctx.reporter.warn("instructions_short", f"fewer new instructions than wanted: {short}", "see rejected.jsonl")
    return {"kept": len(kept), "rejected": len(rejected), "rounds": rounds, "short": short}


def _round(
    ctx: StepContext,
    opened: Opened,
    harvests: Sequence[_Harvest],
    guard: Guard,
    number: int,
) -> Iterator[Instruction]:
    """One pass over the families that still lack instructions; yields what was rejected."""
    asked: list[tuple[_Harvest, str, int]] = []
    for harvest in harvests:
        missing = harvest.wanted - len(harvest.kept)
        for p in range(_prompts(missing)):
            seed = ctx.seed(harvest.family.name, number, p)
            text = prompts.numbered([i.instruction for i in draw(harvest.pool, ctx.recipe.data.pool_seeds, seed)])
            asked += [(harvest, text, ctx.seed(harvest.family.name, number, p, k)) for k in range(SAMPLES_PER_PROMPT)]
    data = ctx.recipe.data
    requests = [
        Request(
            prompt_ids=tuple(opened.tokens.prompt(text)),
            max_new_tokens=MAX_TOKENS,
            stops=("\n",),
            temperature=data.instruction_temperature,
            top_p=data.top_p,
            seed=seed,
            logprobs=False,
        )
        for _, text, seed in asked
    ]

    def row(i: int, done: Completion) -> Mapping[str, Any]:
        harvest, text, seed = asked[i]
        return _record(ctx, opened, harvest, text, seed, done).to_row()

    begin, end = (1 - LEFT**k for k in (number, number + 1))
    rows = generate(ctx, opened, requests, f"round-{number}", row, "instructions", span=(begin, end))
    records = [Instruction.from_row(raw) for raw in rows]
    texts = [(r.id, r.instruction) for r in records]
    leaks = {hit.row for hit in guard.hits(texts)}
    for (harvest, _, _), record in zip(asked, records, strict=True):
        reason = "held-out item" if record.id in leaks else _reason(record, harvest, opened)
        if reason is None:
            harvest.kept.append(record)
        else:
            fields = {**record.to_row(), "rejected": reason}
            yield Instruction.make(**{k: v for k, v in fields.items() if k != "id"})


def _missing(harvests: Sequence[_Harvest]) -> int:
    return sum(max(0, h.wanted - len(h.kept)) for h in harvests)


def _prompts(missing: int) -> int:
    """How many list prompts to ask for so many missing instructions: about a quarter more than that are sampled."""
    return -(-5 * max(0, missing) // (4 * SAMPLES_PER_PROMPT))


def _record(ctx: StepContext, opened: Opened, harvest: _Harvest, text: str, seed: int, done: Completion) -> Instruction:
    data = ctx.recipe.data
    return Instruction.make(
        stage=ctx.stage,
        family=harvest.family.name,
        seed=seed,
        decoding=canonical({"temperature": data.instruction_temperature, "top_p": data.top_p}),
        model=opened.digest,
        parents=[],
        prompt=text,
        text_raw=done.raw,
        text=done.text.strip(),
        finish_reason=done.finish,
        tokens=done.tokens,
        instruction=done.text.strip(),
    )


def _reason(record: Instruction, harvest: _Harvest, opened: Opened) -> str | None:
    """Why an instruction is dropped; None keeps it. Cheap tests first; the deduper remembers what passed."""
    text = record.instruction
    if len(harvest.kept) >= harvest.wanted:
        return "surplus"
    if record.finish_reason == "length":  # a trained model ends its line with the end of text instead of a new line
        return "unfinished"
    if not 3 <= len(text.split()) <= 40 or not text[0].isalnum():
        return "not an instruction"
    if any(turn.strip() in text for turn in prompts.TURNS):
        return "turn marker"
    if not opened.tokens.is_plain(text):
        return "special token"
    if normalise(text) in harvest.taken:
        return "duplicate of another family's"
    reason = harvest.seen.add(text)
    if reason is None:
        harvest.taken.add(normalise(text))
    return reason


def _unique(records: Sequence[Instruction]) -> list[Instruction]:
    return list({r.id: r for r in records}.values())


STEP = Step(
    name="generate",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda _stage, earlier: ("stage-0/evaluate", *after_stage(earlier)),
    reads=(
        "model", "stages", "precision.generate", "data.families", "data.instructions", "data.pool_seeds",
        "data.instruction_temperature", "data.top_p", "data.rouge_limit",
    ),
    modules=(
        *ENGINE_MODULES, "pipeline.steps.generate", "pipeline.data.dedup", "pipeline.data.leakage",
        "pipeline.evals.items", "pipeline.stages",
    ),
    holds_model=True,
    time_limit_s=7200.0,
)  # fmt: skip

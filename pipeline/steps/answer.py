"""The base model answers its own instructions, few-shot, several times each; and a labelled calibration block.

Sample 0 is greedy. The calibration block carries programmatic truth and never becomes training data: on it the critics
are measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import prompts
from pipeline.constitution import load
from pipeline.engines.base import Completion, Request
from pipeline.evals.items import build
from pipeline.records import Answer, Instruction, canonical, read_records, write_records
from pipeline.stages.base import Family, Item, Namespace, Stage
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import (
    ENGINE_MODULES,
    after_stage,
    draw,
    example_pool,
    families_of,
    generate,
    stage_of,
)
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.weights import Opened, open_role


@dataclass(frozen=True)
class _Asked:
    """One answer to be sampled."""

    family: Family
    instruction: str
    prompt: str
    parent: str
    position: int  # of the instruction, by which principles are dealt
    sample: int
    seed: int
    temperature: float


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    families = {f.name: f for f in families_of(ctx.recipe, stage)}
    pools = {name: example_pool(f, ctx.recipe.seed) for name, f in families.items()}
    opened = open_role(ctx, stage.roles.answerer, ctx.recipe.precision.generate)
    own = read_records(ctx.input(f"stage-{ctx.stage}/generate") / "records.jsonl", Instruction)
    asked = [
        a for i, r in enumerate(own) for a in _asked(ctx, families[r.family], pools[r.family], r.instruction, r.id, i)
    ]
    labelled = [
        a
        for k, i in enumerate(calibration(ctx, stage))
        for a in _asked(ctx, families[i.family], pools[i.family], i.instruction, i.id, k)
    ]
    total = len(asked) + len(labelled)
    kept = _answer(ctx, opened, asked, "records", 0, total)
    _answer(ctx, opened, labelled, "calibration", len(asked), total)
    return {"answers": len(kept), "calibration": len(labelled)}


def calibration(ctx: StepContext, stage: Stage) -> list[Item]:
    """The labelled block, built from names and numbers that neither training nor evaluation uses."""
    chosen = Stage(stage.number, stage.name, families_of(ctx.recipe, stage), stage.gate)
    return build(chosen, Namespace.CALIBRATION, ctx.recipe.data.calibration_items, ctx.recipe.seed)


def _asked(
    ctx: StepContext, family: Family, pool: Sequence[Item], instruction: str, parent: str, position: int
) -> list[_Asked]:
    shown = draw(pool, ctx.recipe.data.few_shot, ctx.seed("examples", parent), avoid=instruction)
    prompt = prompts.few_shot([prompts.Example(i.instruction, i.answer) for i in shown], instruction)
    hot = ctx.recipe.data.answer_temperature
    return [
        _Asked(family, instruction, prompt, parent, position, k, ctx.seed("answer", parent, k), hot if k else 0.0)
        for k in range(ctx.recipe.data.answers)
    ]


def _answer(
    ctx: StepContext, opened: Opened, asked: Sequence[_Asked], name: str, before: int, total: int
) -> list[Answer]:
    constitution, categories = load(), stage_of(ctx).principles
    requests = [
        Request(
            prompt_ids=tuple(opened.tokens.prompt(a.prompt)),
            max_new_tokens=a.family.max_new_tokens,
            stops=(prompts.TERMINATOR, *prompts.TURNS),
            temperature=a.temperature,
            top_p=ctx.recipe.data.top_p,
            seed=a.seed,
        )
        for a in asked
    ]

    def row(i: int, done: Completion) -> Mapping[str, Any]:
        a = asked[i]
        principle = constitution.deal(ctx.recipe.seed, a.position, 0, categories).id
        return _record(ctx, opened, a, principle, done).to_row()

    rows = [Answer.from_row(r) for r in generate(ctx, opened, requests, name, row, f"answers ({name})", before, total)]
    write_records(ctx.out / f"{name}.jsonl", rows)
    return rows


def _record(ctx: StepContext, opened: Opened, asked: _Asked, principle: str, done: Completion) -> Answer:
    return Answer.make(
        stage=ctx.stage,
        family=asked.family.name,
        seed=asked.seed,
        decoding=canonical({"temperature": asked.temperature, "top_p": ctx.recipe.data.top_p}),
        model=opened.digest,
        parents=[asked.parent],
        prompt=asked.prompt,
        text_raw=done.raw,
        text=done.text.strip(),
        finish_reason=done.finish,
        tokens=done.tokens,
        instruction=asked.instruction,
        sample=asked.sample,
        principles=[principle],
        mean_logprob=done.mean_logprob,
    )


STEP = Step(
    name="answer",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, earlier: (f"stage-{stage}/generate", *after_stage(earlier)),
    reads=(
        "model", "stages", "precision.generate", "data.families", "data.few_shot", "data.answers",
        "data.answer_temperature", "data.top_p", "data.calibration_items",
    ),
    modules=(
        *ENGINE_MODULES, "pipeline.steps.answer", "pipeline.stages", "pipeline.constitution", "pipeline.evals.items",
    ),
    holds_model=True,
    time_limit_s=7200.0,
    shards=True,
    extra={"files": ["constitution.yaml"]},
)  # fmt: skip

"""Answers every held-out item under each prompt condition and scores it twice, strictly and leniently.

Stage 0 measures the base model (three conditions, the scorers' audit, the A/A check); a later stage measures its tuned
model on the same frozen items. Greedy decoding throughout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import prompts
from pipeline.artifacts import write_atomic
from pipeline.engines.base import Completion, Request
from pipeline.evals import scorers
from pipeline.evals.audit import audit
from pipeline.evals.items import frozen_set, set_hash
from pipeline.records import EvalResult, canonical, write_records
from pipeline.stages.base import Family, Item
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import (
    ENGINE_MODULES,
    Opened,
    draw,
    example_pool,
    families_of,
    generate,
    last_adapter,
    open_engine,
    stage_of,
)
from pipeline.steps.headroom import teaching

DECODING = {"method": "greedy"}


@dataclass(frozen=True)
class Condition:
    """How an item is put to the model. `taught` is the stop string that the prompt itself demonstrates, if any."""

    name: str
    prompt: Callable[[Item], str]
    taught: str | None = None


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    families = {f.name: f for f in families_of(ctx.recipe, stage)}
    items = frozen_set(ctx.recipe, stage.number)
    adapter = last_adapter(ctx) if ctx.stage else None
    opened = open_engine(ctx, ctx.recipe.precision.evaluate, adapter)
    conditions = (
        _base_conditions(ctx, families)
        if not ctx.stage
        else [Condition("tuned", lambda i: prompts.bare(i.instruction))]
    )
    summary: dict[str, Any] = {"conditions": {}}
    total = len(conditions) * len(items) + (0 if ctx.stage else min(ctx.recipe.evaluation.aa_items, len(items)))
    for k, condition in enumerate(conditions):
        rows = _measure(ctx, opened, families, items, condition, condition.name, k * len(items), total)
        write_records(ctx.out / f"{condition.name}.jsonl", rows)
        summary["conditions"][condition.name] = {
            "strict": sum(r.strict for r in rows),
            "lenient": sum(r.lenient for r in rows),
            "trials": len(rows),
            "fingerprint": _fingerprint(ctx, opened, items, condition),
        }
        ctx.reporter.metric(f"strict/{condition.name}", sum(r.strict for r in rows) / len(rows), len(rows))
        ctx.reporter.metric(f"lenient/{condition.name}", sum(r.lenient for r in rows) / len(rows), len(rows))
    if not ctx.stage:
        summary["aa"] = _same_twice(ctx, opened, families, items, total)
        summary["audit"] = audit(families.values()).as_dict()
    write_atomic(ctx.out / "summary.json", json.dumps(summary, indent=1, sort_keys=True).encode())
    return {
        "conditions": {n: {k: c[k] for k in ("strict", "lenient", "trials")} for n, c in summary["conditions"].items()}
    }


def _base_conditions(ctx: StepContext, families: Mapping[str, Family]) -> list[Condition]:
    pools = {name: example_pool(family, ctx.recipe.seed) for name, family in families.items()}

    def few_shot(item: Item) -> str:
        shown = draw(pools[item.family], ctx.recipe.evaluation.few_shot, ctx.seed("few-shot", item.id))
        return prompts.few_shot([prompts.Example(i.instruction, i.answer) for i in shown], item.instruction)

    return [
        Condition("base-raw", lambda item: prompts.raw(item.instruction)),
        Condition("base-formatted", lambda item: prompts.bare(item.instruction)),
        Condition("base-few-shot", few_shot, taught=prompts.TERMINATOR),
    ]


def _measure(
    ctx: StepContext,
    opened: Opened,
    families: Mapping[str, Family],
    items: Sequence[Item],
    condition: Condition,
    part: str,
    before: int,
    total: int,
) -> list[EvalResult]:
    texts = [condition.prompt(item) for item in items]
    requests = [
        Request(
            prompt_ids=tuple(opened.tokens.prompt(text)),
            max_new_tokens=families[item.family].max_new_tokens,
            stops=(condition.taught,) if condition.taught else (),
            over=_settled,
            logprobs=False,
        )
        for item, text in zip(items, texts, strict=True)
    ]

    def row(i: int, completion: Completion) -> Mapping[str, Any]:
        return _result(ctx, opened, families[items[i].family], items[i], condition, texts[i], completion).to_row()

    rows = generate(ctx, opened, requests, part, row, f"answers ({part})", before, total)
    return [EvalResult.from_row(r) for r in rows]


def _result(
    ctx: StepContext, opened: Opened, family: Family, item: Item, condition: Condition, prompt: str, done: Completion
) -> EvalResult:
    stopped = done.finish == "eos" or (done.stop is not None and done.stop == condition.taught)
    strict, lenient = scorers.score(family, item, done.text, done.finish, stopped)
    return EvalResult.make(
        stage=ctx.stage,
        family=family.name,
        seed=0,
        decoding=canonical(DECODING),
        model=opened.digest,
        parents=[item.id],
        prompt=prompt,
        text_raw=done.raw,
        text=scorers.cut(done.text),
        finish_reason=done.finish,
        tokens=done.tokens,
        item=item.id,
        template=item.template,
        condition=condition.name,
        instruction=item.instruction,
        strict=strict.passed,
        strict_reason=strict.reason,
        lenient=lenient.passed,
        lenient_reason=lenient.reason,
        scorer=scorers.fingerprint(),
    )


def _settled(text: str) -> bool:
    """Whether the scores are decided: something stands behind the end of the answer, so more text changes nothing."""
    return scorers.runs_on(text) or scorers.cut(text) != text.strip()


def _fingerprint(ctx: StepContext, opened: Opened, items: Sequence[Item], condition: Condition) -> dict[str, str]:
    return {
        "precision": str(ctx.recipe.precision.evaluate),
        "condition": condition.name,
        "decoding": canonical(DECODING),
        "scorer": scorers.fingerprint(),
        "set_hash": set_hash(items),
        "model": opened.digest,
    }


def _same_twice(
    ctx: StepContext, opened: Opened, families: Mapping[str, Family], items: Sequence[Item], total: int
) -> dict[str, int]:
    """A/A: the base against itself in other batches; an outcome that flips is the engine's noise, not a model's."""
    chosen = list(items)[: ctx.recipe.evaluation.aa_items]
    condition = Condition("base-formatted", lambda item: prompts.bare(item.instruction))
    again = _measure(ctx, opened, families, chosen, condition, "aa", total - len(chosen), total)
    before = {}
    for line in (ctx.out / "base-formatted.jsonl").read_text().splitlines():
        row = json.loads(line)
        before[row["item"]] = (row["strict"], row["lenient"])
    return {"items": len(again), "flips": sum(before[r.item] != (r.strict, r.lenient) for r in again)}


STEP = Step(
    name="evaluate",
    run=teaching(run),
    inputs=lambda stage: (f"stage-{stage}/sft", f"stage-{stage}/dpo") if stage else (),
    reads=(
        "model",
        "precision.evaluate",
        "data.families",
        "evaluation.items",
        "evaluation.few_shot",
        "evaluation.aa_items",
    ),
    modules=(*ENGINE_MODULES, "pipeline.steps.evaluate", "pipeline.evals", "pipeline.stages"),
    holds_model=True,
)

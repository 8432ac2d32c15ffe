"""A second opinion: the model before this stage judges by label what the checkers have scored, and decides nothing.

First the labelled answers of the scorers' audit, which say what the judge is worth; then the candidate's answers and,
for comparison, those of the model before it and of the base, as the evaluations left them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.artifacts import write_atomic
from pipeline.evals.agreement import CONFIDENT, agreement
from pipeline.evals.items import opinion_families
from pipeline.gate_input import BASE, PREVIOUS, TUNED
from pipeline.records import EvalResult, Opinion, read_records, side, write_records
from pipeline.stages.base import Family
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, after_stage, stage_of
from pipeline.steps.headroom import base_folder, nothing_to_teach
from pipeline.steps.judging import Judge, Judged
from pipeline.steps.weights import Opened, open_engine

FIXTURE = "fixture"
CONDITIONS = (TUNED, PREVIOUS, BASE)
_QUESTION = "second opinion"


def run(ctx: StepContext) -> Mapping[str, Any]:
    wanted = stage_of(ctx).second_opinion
    families = {f.name: f for f in opinion_families(stage_of(ctx), ctx.recipe.data.families)}
    if wanted is None or not families:
        return {"skipped": "this stage wants no second opinion on any of the recipe's families"}
    opened = open_engine(ctx, ctx.recipe.precision.evaluate)
    judge = Judge(ctx, opened, families, {_QUESTION: wanted.question})
    labelled = [row for row in _labelled(ctx, families.values()) if row["instruction"] not in judge.shown]
    opinions = _opinions(opened, judge, [*labelled, *_answers(ctx, families)])
    write_records(ctx.out / "records.jsonl", opinions)
    by_condition = {
        name: agreement(own) for name in (FIXTURE, *CONDITIONS) if (own := [o for o in opinions if o.condition == name])
    }
    body = {
        "judge": opened.digest,
        "after_stage": ctx.previous,
        "question": wanted.question,
        "families": list(families),
        "confident_at": CONFIDENT,
        "conditions": by_condition,
        "by_family": {name: _by_family(opinions, name) for name in by_condition},
    }
    write_atomic(ctx.out / "summary.json", json.dumps(body, indent=1, sort_keys=True).encode())
    _warn_if_blind(ctx, by_condition.get(FIXTURE, {}))
    shown = ("judged", "agree", "kappa", "auc")
    return {name: {key: found[key] for key in shown} for name, found in by_condition.items()}


Row = dict[str, Any]
"""The fields of an opinion that are known before the judge is asked."""


def _labelled(ctx: StepContext, families: Sequence[Family] | Any) -> Iterator[Row]:
    """The labelled answers of the scorers' audit, each once."""
    for family in families:
        seen = {(f.item.id, f.text): f for f in family.fixtures()}
        for fixture in seen.values():
            yield {
                "stage": ctx.stage,
                "family": family.name,
                "parents": [fixture.item.id],
                "instruction": fixture.item.instruction,
                "response": fixture.text,
                "item": fixture.item.id,
                "template": fixture.item.template,
                "condition": FIXTURE,
                "checker": fixture.passed,
                "checker_reason": fixture.kind,
            }


def _answers(ctx: StepContext, families: Mapping[str, Family]) -> Iterator[Row]:
    """What was answered to these families' held-out items, cut as the lenient score cut it."""
    own, base = ctx.input(f"stage-{ctx.stage}/evaluate"), base_folder(ctx, ctx.stage)
    for condition in CONDITIONS:
        path = (base if condition == BASE else own) / f"set-{ctx.stage}" / f"{condition}.jsonl"
        for row in read_records(path, EvalResult) if path.exists() else ():
            if row.family in families:
                yield {
                    "stage": ctx.stage,
                    "family": row.family,
                    "parents": [row.id],
                    "instruction": row.instruction,
                    "response": row.text,
                    "item": row.item,
                    "template": row.template,
                    "condition": condition,
                    "checker": row.lenient,
                    "checker_reason": row.lenient_reason,
                }


def _opinions(opened: Opened, judge: Judge, rows: Sequence[Row]) -> list[Opinion]:
    """An opinion on every row. Equal answers are asked about once; empty and unreadable ones not at all."""
    said = [(row["family"], row["instruction"], row["response"]) for row in rows]
    asked = [
        Judged(family, instruction, response, _QUESTION, (), None, None)
        for family, instruction, response in dict.fromkeys(said)
        if response.strip() and opened.tokens.is_plain(response)
    ]
    heard = {(j.family, j.instruction, j.response): j for j in judge.judge(asked, "opinions")}
    found = []
    for row, key in zip(rows, said, strict=True):
        j = heard.get(key)
        found.append(
            Opinion.make(
                **row,
                seed=0,
                decoding=None,
                model=opened.digest,
                prompts=j.prompts if j else (),
                principle=None,
                orders=j.orders if j else (),
                logp_a=j.logp_a if j else (),
                logp_b=j.logp_b if j else (),
                margin=j.margin if j else None,
                right=side(j.margin if j else None),
            )
        )
    return found


def _by_family(opinions: Sequence[Opinion], condition: str) -> dict[str, dict[str, int]]:
    """Family -> how many were judged, how many of them each side holds for right, and on how many they agree."""
    table: dict[str, dict[str, int]] = {}
    for o in opinions:
        if o.condition == condition and o.right is not None:
            row = table.setdefault(o.family, {"judged": 0, "checker_right": 0, "judge_right": 0, "agree": 0})
            row["judged"] += 1
            row["checker_right"] += o.checker
            row["judge_right"] += o.right
            row["agree"] += o.right == o.checker
    return table


def _warn_if_blind(ctx: StepContext, labelled: Mapping[str, Any]) -> None:
    if labelled.get("blind"):
        text = f"the judge cannot tell right from wrong: its AUC on labelled answers is {labelled['auc']:.2f}"
        ctx.reporter.warn("blind_judge", text, "read its opinions as noise; no gate looks at them")


STEP = Step(
    name="judge",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, earlier: ("stage-0/evaluate", f"stage-{stage}/evaluate", *after_stage(earlier)),
    reads=("model", "stages", "precision.evaluate", "data.families", "data.critic_orders"),
    modules=(
        *ENGINE_MODULES, "pipeline.steps.judge", "pipeline.comparisons", "pipeline.conditions", "pipeline.gate_input",
        "pipeline.gates", "pipeline.steps.judging", "pipeline.steps.headroom", "pipeline.data.critics",
        "pipeline.evals", "pipeline.stages", "pipeline.stats", "pipeline.constitution",
    ),
    holds_model=True,
    on_block=True,
)  # fmt: skip

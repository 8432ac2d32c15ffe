"""Keeps the best accepted answer of each instruction as training data; everything else is kept as rejected, with why.

The default is self-filtered: programmatic truth selects nothing, it is only counted for the report. `verified` is a
marked ablation. The hard limits of data quality are enforced here.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from pipeline import prompts
from pipeline.artifacts import write_atomic
from pipeline.constitution import load
from pipeline.data import filters, safety
from pipeline.errors import DataQualityError
from pipeline.evals.items import split
from pipeline.records import Answer, Judgement, RejectedRow, SftRow, read_records, write_records
from pipeline.stages.base import Family
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import families_of, guard_of, stage_of
from pipeline.steps.critique import revisions_of
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.safety import verdicts_of


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    families = {f.name: f for f in families_of(ctx.recipe, stage)}
    answers = list(read_records(ctx.input(f"stage-{ctx.stage}/answer") / "records.jsonl", Answer))
    judged = list(read_records(ctx.input(f"stage-{ctx.stage}/critique") / "records.jsonl", Judgement))
    guard = guard_of(ctx)
    verdicts = verdicts_of(ctx)
    kept, rejected = _select(ctx, judged, families, verdicts)
    leaks = guard.hits((r.id, r.instruction) for r in kept)
    leaked = {hit.row for hit in leaks}
    clean = [row for row in kept if row.id not in leaked]
    rehearsed = rehearsal(ctx, len(clean))
    touched = {hit.row for hit in guard.hits((r.id, r.instruction) for r in rehearsed)}
    rehearsed = [row for row in rehearsed if row.id not in touched]
    write_records(ctx.out / "sft.jsonl", clean)
    write_records(ctx.out / "rehearsal.jsonl", rehearsed)
    write_records(ctx.out / "rejected.jsonl", rejected)
    coverage = _coverage(answers, stage.principles)
    quality = _quality(ctx, answers, clean, coverage["unused"])
    screened = {} if verdicts is None else {"safety": _screened(verdicts, judged)}
    remaining = guard.hits((r.id, r.instruction) for r in (*clean, *rehearsed))
    _write(ctx, "coverage.json", coverage)
    _write(ctx, "leaks.json", {"removed": [asdict(h) for h in leaks], "remaining": [asdict(h) for h in remaining]})
    _write(ctx, "qc.json", {**quality, **screened})
    if quality["breaches"]:
        raise DataQualityError("the training data breach their limits: " + "; ".join(quality["breaches"]))
    known = [r.known_right for r in clean if r.known_right is not None]
    return {
        "kept": len(clean),
        "rehearsed": len(rehearsed),
        "characters": sum(len(row.prompt) + len(row.completion) for row in (*clean, *rehearsed)),
        "rejected": len(rejected),
        "leaks_removed": len(leaked),
        "known": len(known),
        "known_wrong": known.count(False),
        "unused_principles": coverage["unused"],
        **screened,
    }


def _screened(verdicts: Mapping[str, safety.Verdict], judged: Sequence[Judgement]) -> dict[str, Any]:
    """The guard's verdicts by category, and how many candidates they cost."""
    dropped = sum(safety.concern(j.parents, verdicts) is not None for j in judged)
    return {**safety.counts(verdicts.values()), "dropped": dropped}


def rehearsal(ctx: StepContext, own: int) -> list[SftRow]:
    """Rows of earlier stages to be trained on again, so that `share` of the whole is theirs, equally many of each."""
    wanted = ctx.recipe.data.rehearsal
    share = stage_of(ctx).rehearsal if wanted is None else wanted
    count = round(own * share / (1 - share))
    if not ctx.earlier or not count:
        return []
    drawn = []
    for number, some in zip(ctx.earlier, split(count, len(ctx.earlier)), strict=True):
        path = ctx.input(f"stage-{number}/filter") / "sft.jsonl"
        rows = list(read_records(path, SftRow)) if path.exists() else []  # a stage with nothing to teach has none
        drawn += random.Random(ctx.seed("rehearsal", number)).sample(rows, min(some, len(rows)))
    return drawn


def known_right(families: Mapping[str, Family], family: str, instruction: str, response: str) -> bool | None:
    """What programmatic truth says of a self-made instruction; None where the family cannot read it."""
    item = families[family].parse(instruction)
    return None if item is None else families[family].check(item, response.strip()).passed


def _select(
    ctx: StepContext,
    judged: Sequence[Judgement],
    families: Mapping[str, Family],
    verdicts: Mapping[str, safety.Verdict] | None = None,
) -> tuple[list[SftRow], list[RejectedRow]]:
    by_instruction: dict[str, list[Judgement]] = defaultdict(list)
    for judgement in judged:
        by_instruction[judgement.parents[0]].append(judgement)
    kept: list[SftRow] = []
    rejected: list[RejectedRow] = []
    for group in by_instruction.values():
        best: Judgement | None = None
        for judgement in sorted(group, key=lambda j: (-(j.score or 0.0), j.id)):
            right = known_right(families, judgement.family, judgement.instruction, judgement.response)
            unsafe = None if verdicts is None else safety.concern(judgement.parents, verdicts)
            reason = unsafe or _rejection(ctx, judgement, right, best is not None)
            if reason is None:
                best = judgement
                kept.append(_row(judgement, right))
            else:
                rejected.append(_rejected(judgement, right, reason))
    return kept, rejected


def _rejection(ctx: StepContext, judgement: Judgement, right: bool | None, have_better: bool) -> str | None:
    if filters.markers_in(judgement.response):
        return "marker"
    if filters.banned_in(judgement.response) or filters.banned_in(judgement.instruction):
        return "banned text"
    if ctx.recipe.data.filter == "verified":
        if right is not True:
            return "not verified"
    elif not judgement.accepted:
        return "critics unsure"
    return "a better answer was kept" if have_better else None


def _row(judgement: Judgement, right: bool | None) -> SftRow:
    return SftRow.make(
        stage=judgement.stage,
        family=judgement.family,
        seed=judgement.seed,
        decoding=None,
        model=judgement.model,
        parents=[judgement.id, *judgement.parents],
        prompt=prompts.bare(judgement.instruction),
        completion=prompts.completion(judgement.response),
        instruction=judgement.instruction,
        principles=[judgement.principle] if judgement.principle else [],
        score=judgement.score,
        known_right=right,
    )


def _rejected(judgement: Judgement, right: bool | None, reason: str) -> RejectedRow:
    return RejectedRow.make(
        stage=judgement.stage,
        family=judgement.family,
        seed=judgement.seed,
        decoding=None,
        model=judgement.model,
        parents=[judgement.id, *judgement.parents],
        instruction=judgement.instruction,
        response=judgement.response,
        reason=reason,
        score=judgement.score,
        known_right=right,
    )


def _quality(
    ctx: StepContext, answers: Sequence[Answer], kept: Sequence[SftRow], unused: Sequence[str]
) -> dict[str, Any]:
    finish = {r.id: r.finish_reason for r in (*answers, *revisions_of(ctx))}
    generated = [filters.Sample(a.instruction, a.text, a.finish_reason) for a in answers]
    # a row's parents are its judgement, its instruction and the samples or the revision that said it
    samples = [filters.Sample(r.instruction, r.completion, finish[r.parents[2]]) for r in kept]
    quality = filters.measure(generated, samples)
    data = ctx.recipe.data
    limits = filters.Thresholds(
        min_acceptance=data.min_accept, max_runaway_rate=data.max_runaway, max_length_limit_rate=data.max_length_limit
    )
    breaches = [str(b) for b in filters.check(quality, limits)]
    if unused:
        breaches.append(f"principles never used: {', '.join(unused)}")
    return {
        **asdict(quality),
        "limits": asdict(limits),
        "breaches": breaches,
        "by_family": Counter(r.family for r in kept),
    }


def _coverage(answers: Sequence[Answer], categories: Sequence[str]) -> dict[str, Any]:
    """How often each principle was dealt; `unused` names those of the stage's categories that never were."""
    counts = Counter(p for a in answers for p in a.principles)
    constitution = load()
    wanted = {p.id for p in constitution.principles if not categories or p.category in categories}
    return {
        "constitution": constitution.digest,
        "counts": {p.id: counts.get(p.id, 0) for p in constitution.principles},
        "unused": [name for name in constitution.coverage(counts) if name in wanted],
    }


def _write(ctx: StepContext, name: str, body: Mapping[str, Any]) -> None:
    write_atomic(ctx.out / name, json.dumps(body, indent=1, sort_keys=True, ensure_ascii=False).encode())


STEP = Step(
    name="filter",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, earlier: (
        *(f"stage-{k}/filter" for k in earlier),
        *(f"stage-{stage}/{kind}" for kind in ("answer", "revise", "critique")),
    ),
    reads=("stages", "data"),
    modules=(
        "pipeline.steps.filter",
        "pipeline.steps.answer",
        "pipeline.steps.common",
        "pipeline.steps.judging",
        "pipeline.steps.safety",
        "pipeline.steps.critique",
        "pipeline.constitution",
        "pipeline.data",
        "pipeline.prompts",
        "pipeline.records",
        "pipeline.stages",
        "pipeline.evals",
    ),
    holds_model=False,
    extra={"files": ["constitution.yaml"]},
)

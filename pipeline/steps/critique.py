"""The base model judges its own answers; the critics are first measured on the labelled calibration block.

Three critics: the A/B margin, the answer's own mean log-probability, and agreement among its samples. They are combined
into one probability, and the acceptance threshold is chosen on the block for the precision the recipe asks for.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import write_atomic
from pipeline.data.critics import Calibration, Evidence, calibrate
from pipeline.data.dedup import normalise
from pipeline.errors import StepError
from pipeline.evals import scorers
from pipeline.records import Answer, Judgement, Revision, read_records, write_records
from pipeline.steps.answer import calibration
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, after_stage, families_of, stage_of
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.judging import Judge, Judged
from pipeline.steps.weights import open_role

if TYPE_CHECKING:
    from pipeline.models.load import Tokens


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    families = {f.name: f for f in families_of(ctx.recipe, stage)}
    answers = ctx.input(f"stage-{ctx.stage}/answer")
    opened = open_role(ctx, stage.roles.critic, ctx.recipe.precision.generate)
    block = distinct(read_records(answers / "calibration.jsonl", Answer), opened.tokens)
    own = distinct(read_records(answers / "records.jsonl", Answer), opened.tokens)
    own += rewritten(own, revisions_of(ctx), opened.tokens)
    judged = Judge(ctx, opened, families).judge([*block, *own], "judgements")  # together: they share their prefixes
    judged_block, judged_own = judged[: len(block)], judged[len(block) :]
    items = {item.id: item for item in calibration(ctx, stage)}
    truth = [families[b.family].check(items[b.parents[0]], b.response).passed for b in block]
    model = _calibrated(ctx, judged_block, truth)
    scored = [_scored(j, model) for j in judged_own]
    write_records(ctx.out / "records.jsonl", scored)
    write_records(ctx.out / "calibration.jsonl", [_scored(j, model) for j in judged_block])
    write_atomic(ctx.out / "calibration.json", json.dumps(model.as_dict(), indent=1, sort_keys=True).encode())
    return {
        "judged": len(scored),
        "accepted": sum(bool(j.accepted) for j in scored),
        "auc": model.as_dict()["overall"]["auc"],
        "threshold": model.threshold,
        "precision": model.precision,
    }


def distinct(answers: Iterable[Answer], tokens: Tokens) -> list[Judged]:
    """One entry for each different usable answer to each instruction, with the share of samples that agree with it.

    Answers that never ended, ran on, are empty or hold a literal special token are not worth a judgement; the filter
    counts them. `parents` holds the
    instruction's id first, then the samples' ids.
    """
    samples: dict[tuple[str, str], list[Answer]] = defaultdict(list)
    for answer in answers:
        samples[answer.parents[0], answer.instruction].append(answer)
    found = []
    for (parent, instruction), group in samples.items():
        same: dict[str, list[Answer]] = defaultdict(list)
        for answer in group:
            same[normalise(answer.text)].append(answer)
        for text, members in same.items():
            usable = [a for a in members if a.finish_reason != "length" and not scorers.runs_on(a.text)]
            if text and usable and tokens.is_plain(usable[0].text):
                first = usable[0]
                found.append(
                    Judged(
                        family=first.family,
                        instruction=instruction,
                        response=first.text,
                        principle=first.principles[0],
                        parents=(parent, *(a.id for a in usable)),
                        mean_logprob=first.mean_logprob,
                        agreement=len(members) / len(group),
                    )
                )
    return found


def revisions_of(ctx: StepContext) -> list[Revision]:
    """What the revise step wrote; nothing where the stage has no rounds."""
    path = ctx.input(f"stage-{ctx.stage}/revise") / "records.jsonl"
    return list(read_records(path, Revision)) if path.exists() else []


def rewritten(known: Sequence[Judged], revisions: Iterable[Revision], tokens: Tokens) -> list[Judged]:
    """One entry for each usable revision that says something new about its instruction. How likely it was or how many
    samples agree is no evidence here: it was written in another context than the labelled block."""
    seen = {(j.parents[0], normalise(j.response)) for j in known}
    found = []
    for revision in revisions:
        said = revision.parents[0], normalise(revision.text)
        usable = revision.finish_reason != "length" and not scorers.runs_on(revision.text)
        if said in seen or not said[1] or not usable or not tokens.is_plain(revision.text):
            continue
        seen.add(said)
        found.append(
            Judged(
                family=revision.family,
                instruction=revision.instruction,
                response=revision.text,
                principle=revision.principle,
                parents=(revision.parents[0], revision.id),
                mean_logprob=None,
                agreement=None,
            )
        )
    return found


def evidence(judgement: Judgement, right: bool | None = None) -> Evidence:
    """A judgement as the critics' numbers."""
    return Evidence(judgement.family, judgement.margin, judgement.mean_logprob, judgement.agreement, right)


def _calibrated(ctx: StepContext, block: Sequence[Judgement], truth: Sequence[bool]) -> Calibration:
    if len(block) < 10 or not any(truth):
        raise StepError(
            f"the critics cannot be measured: {len(block)} labelled answers, {sum(truth)} of them right; "
            "raise data.calibration_items"
        )
    if all(truth):
        ctx.reporter.warn(
            "critics_unmeasured",
            f"all {len(block)} labelled answers are right: whether the critics would notice a wrong one is not known",
            "what scores lower than all of them is rejected; raise data.answer_temperature for wrong ones to show",
        )
    model = calibrate([evidence(j, t) for j, t in zip(block, truth, strict=True)], ctx.recipe.data.accept_precision)
    blind = sorted(name for name, row in model.table["families"].items() if row["blind"])
    if blind:
        ctx.reporter.warn(
            "blind_critics", f"no critic tells right from wrong in: {', '.join(blind)}", "see calibration.json"
        )
    if model.precision is None or model.precision < ctx.recipe.data.accept_precision:
        ctx.reporter.warn(
            "critic_precision",
            f"the critics' precision on labelled answers is {_share(model.precision)}, "
            f"{ctx.recipe.data.accept_precision:.2f} was asked",
            "the report says what share of the kept data is wrong wherever truth is known",
        )
    return model


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _scored(judgement: Judgement, model: Calibration) -> Judgement:
    score = model.score(evidence(judgement))
    fields = {**judgement.to_row(), "score": score, "accepted": score >= model.threshold}
    return Judgement.make(**{k: v for k, v in fields.items() if k != "id"})


STEP = Step(
    name="critique",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, earlier: (f"stage-{stage}/answer", f"stage-{stage}/revise", *after_stage(earlier)),
    reads=(
        "model", "stages", "precision.generate", "data.families", "data.critic_orders", "data.accept_precision",
        "data.calibration_items",
    ),
    modules=(
        *ENGINE_MODULES, "pipeline.steps.critique", "pipeline.steps.answer", "pipeline.data.dedup",
        "pipeline.steps.judging", "pipeline.data.critics", "pipeline.stages", "pipeline.constitution",
        "pipeline.evals",
    ),
    holds_model=True,
    time_limit_s=7200.0,
    extra={"files": ["constitution.yaml"]},
)  # fmt: skip

"""Preference pairs for DPO: the kept answer against a worse sample of the tuned model, or against a named corruption.

The tuned model samples; the untouched base model judges, so no candidate is its own critic. The score is the one that
the calibration block justified.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from pipeline import prompts, tokenise
from pipeline.data.critics import Calibration
from pipeline.data.dedup import normalise
from pipeline.data.filters import banned_in, markers_in
from pipeline.engines.base import Completion, Request
from pipeline.errors import DataQualityError
from pipeline.records import Answer, Judgement, Pair, SftRow, canonical, read_records, write_records
from pipeline.stages.base import Family
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, families_of, generate, stage_of
from pipeline.steps.critique import distinct, evidence, revisions_of
from pipeline.steps.filter import known_right
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.judging import Judge
from pipeline.steps.weights import Opened, open_engine, tuned_adapter

MAX_SIMILARITY = 0.95
SAMPLING = 0.4
"""Of the work, what sampling is; the rest is judging what differs."""
MIN_FOR_RULES = 20
"""Pairs below which no rule can be told from chance."""
CORRUPTIONS = (("refusal", 0.30), ("format", 0.25), ("wrong", 0.20), ("off_topic", 0.15), ("vague", 0.10))
REFUSALS = ("I cannot help with that.", "I am sorry, but I will not answer this.", "That is not something I can do.")
VAGUE = ("It depends on many things.", "There are several possible answers.", "That is a good question.")


def run(ctx: StepContext) -> Mapping[str, Any]:
    stage = stage_of(ctx)
    families = {f.name: f for f in families_of(ctx.recipe, stage)}
    rows = list(read_records(ctx.input(f"stage-{ctx.stage}/filter") / "sft.jsonl", SftRow))
    opened = open_engine(ctx, ctx.recipe.precision.generate, tuned_adapter(ctx))
    pairs = _revised(ctx, rows, families) if stage.pairs == "revisions" else []
    told = {p.instruction for p in pairs}
    rest = [r for r in rows if r.instruction not in told]
    judged = _judged_samples(ctx, opened, rest, families)
    pairs += _sampled(ctx, rest, judged, families)
    pairs = pairs[: ctx.recipe.data.pairs]
    wanted = min(ctx.recipe.data.pairs, len(rows)) - len(pairs)
    share = ctx.recipe.data.corruption_share
    most = int(len(pairs) * share / (1 - share)) if share < 1 else wanted
    used = {p.instruction for p in pairs}
    spare = [r for r in rows if r.instruction not in used]
    pairs += _corrupted(ctx, spare, families, max(0, min(wanted, most if pairs else wanted)))
    pairs = [p for p in (_measured(opened, p) for p in pairs) if p is not None]
    write_records(ctx.out / "pairs.jsonl", pairs)
    return {**_summary(pairs), **_check(ctx, pairs, min(ctx.recipe.data.pairs, len(rows)))}


def _revised(ctx: StepContext, rows: Sequence[SftRow], families: Mapping[str, Family]) -> list[Pair]:
    """A kept revision over the answer it began from."""
    revisions = {r.id: r for r in revisions_of(ctx)}
    path = ctx.input(f"stage-{ctx.stage}/answer") / "records.jsonl"
    answers = {a.id: a for a in read_records(path, Answer)}
    found = []
    for row in rows:
        revision = revisions.get(row.parents[2])  # behind the judgement and the instruction
        original = answers.get(revision.parents[1]) if revision else None
        if original is not None and original.text and _differ(row.completion.strip(), original.text):
            found.append(_pair(row, row.completion.strip(), original.text, "revision", families))
    return found


def _judged_samples(
    ctx: StepContext, opened: Opened, rows: Sequence[SftRow], families: Mapping[str, Family]
) -> dict[str, list[Judgement]]:
    """Judgements of the tuned model's samples that differ from the kept answer, by the training row they belong to.

    Their scores rank answers to one instruction; they are no calibrated probabilities, since the block was answered by
    the base model.
    """
    answers = _sample(ctx, opened, rows, families)
    kept = {row.id: normalise(row.completion) for row in rows}
    new = [a for a in distinct(answers, opened.tokens) if normalise(a.response) != kept[a.parents[0]]]
    judged: dict[str, list[Judgement]] = {}
    with opened.without_adapter() as frozen:
        for j in Judge(ctx, frozen, families).judge(new, "samples", span=(SAMPLING, 1.0)):
            judged.setdefault(j.parents[0], []).append(j)
    write_records(ctx.out / "judgements.jsonl", [j for group in judged.values() for j in group])
    return judged


def _sample(ctx: StepContext, opened: Opened, rows: Sequence[SftRow], families: Mapping[str, Family]) -> list[Answer]:
    data = ctx.recipe.data
    asked = [(row, k) for row in rows for k in range(data.answers)]
    requests = [
        Request(
            prompt_ids=tuple(opened.tokens.prompt(row.prompt)),
            max_new_tokens=families[row.family].max_new_tokens,
            stops=prompts.TURNS,
            temperature=1.0,
            top_p=data.top_p,
            seed=ctx.seed(row.id, k),
        )
        for row, k in asked
    ]

    def record(i: int, done: Completion) -> Mapping[str, Any]:
        row, k = asked[i]
        return Answer.make(
            stage=ctx.stage, family=row.family, seed=requests[i].seed, model=opened.digest, parents=[row.id],
            decoding=canonical({"temperature": 1.0, "top_p": data.top_p}), prompt=row.prompt, text_raw=done.raw,
            text=done.text.strip(), finish_reason=done.finish, tokens=done.tokens, instruction=row.instruction,
            sample=k, principles=row.principles, mean_logprob=done.mean_logprob,
        ).to_row()  # fmt: skip

    texts = generate(ctx, opened, requests, "samples-text", record, "samples", span=(0.0, SAMPLING))
    answers = [Answer.from_row(r) for r in texts]
    write_records(ctx.out / "samples.jsonl", answers)
    return answers


def _sampled(
    ctx: StepContext, rows: Sequence[SftRow], judged: Mapping[str, Sequence[Judgement]], families: Mapping[str, Family]
) -> list[Pair]:
    """Best-of-N pairs: the best scored text of an instruction over its worst, where the margin is large enough."""
    model = _calibration(ctx)
    found = []
    for row in rows:
        scored = [(model.score(evidence(j)), j.response) for j in judged.get(row.id, ())]
        scored.append((row.score or 0.0, row.completion.strip()))
        fit = [one for one in scored if not (markers_in(one[1]) or banned_in(one[1]))]  # as its own answer had to be
        if not fit:
            continue
        best, worst = max(fit), min(scored)
        if best[0] - worst[0] >= ctx.recipe.data.pair_margin and _differ(best[1], worst[1]):
            found.append(_pair(row, best[1], worst[1], "best_of_n", families, best[0], worst[0]))
    found.sort(key=lambda p: (-(p.margin or 0.0), p.id))
    return found[: ctx.recipe.data.pairs]


def _calibration(ctx: StepContext) -> Calibration:
    raw = json.loads((ctx.input(f"stage-{ctx.stage}/critique") / "calibration.json").read_text())
    return Calibration.from_dict(raw)


def _corrupted(ctx: StepContext, rows: Sequence[SftRow], families: Mapping[str, Family], count: int) -> list[Pair]:
    """Pairs against principled corruptions of the kept answer, kinds in fixed shares."""
    rng = random.Random(ctx.seed("corruptions"))
    chosen = rng.sample(list(rows), min(count, len(rows)))
    kinds = rng.choices([k for k, _ in CORRUPTIONS], [w for _, w in CORRUPTIONS], k=len(chosen))
    made = []
    for row, kind in zip(chosen, kinds, strict=True):
        bad = _corrupt(kind, row, rows, families[row.family], rng)
        if bad and _differ(row.completion.strip(), bad):
            made.append(_pair(row, row.completion.strip(), bad, f"corruption:{kind}", families))
    return made


def _corrupt(kind: str, row: SftRow, rows: Sequence[SftRow], family: Family, rng: random.Random) -> str | None:
    answer = row.completion.strip()
    if kind == "refusal":
        return rng.choice(REFUSALS)
    if kind == "vague":
        return rng.choice(VAGUE)
    if kind == "format":
        return f"{answer}\nInstruction: {rng.choice(list(rows)).instruction}"
    if kind == "off_topic":
        others = [r.completion.strip() for r in rows if r.family != row.family]
        return rng.choice(others) if others else None
    item = family.parse(row.instruction)
    return family.corrupt(item, rng) if item is not None else None


def _pair(
    row: SftRow, chosen: str, rejected: str, source: str, families: Mapping[str, Family],
    chosen_score: float | None = None, rejected_score: float | None = None,
) -> Pair:  # fmt: skip
    margin = None if chosen_score is None or rejected_score is None else chosen_score - rejected_score
    return Pair.make(
        stage=row.stage, family=row.family, seed=row.seed, decoding=None, model=row.model, parents=[row.id],
        prompt=row.prompt, chosen=prompts.completion(chosen), rejected=prompts.completion(rejected),
        instruction=row.instruction, source=source, chosen_score=chosen_score, rejected_score=rejected_score,
        margin=margin, chosen_known_right=known_right(families, row.family, row.instruction, chosen),
        rejected_known_right=known_right(families, row.family, row.instruction, rejected),
    )  # fmt: skip


def _differ(a: str, b: str) -> bool:
    return normalise(a) != normalise(b) and SequenceMatcher(None, a, b).ratio() <= MAX_SIMILARITY


def _measured(opened: Opened, pair: Pair) -> Pair | None:
    """The pair with its token lengths; None where a side cannot be tokenised behind its prompt."""
    chosen = tokenise.split(opened.tokens, pair.prompt, pair.chosen)
    rejected = tokenise.split(opened.tokens, pair.prompt, pair.rejected)
    if isinstance(chosen, str) or isinstance(rejected, str):
        return None
    fields = {**pair.to_row(), "chosen_tokens": len(chosen[1]), "rejected_tokens": len(rejected[1])}
    return Pair.make(**{k: v for k, v in fields.items() if k != "id"})


def _check(ctx: StepContext, pairs: Sequence[Pair], wanted: int) -> dict[str, float | None]:
    """Enough pairs, and none of the rules that need no understanding tells chosen from rejected.

    Raises DataQualityError naming the number and its limit.
    """
    data = ctx.recipe.data
    found = {
        "acceptance": len(pairs) / wanted if wanted else None,
        "shorter_is_chosen": _rule(pairs, lambda p: (p.rejected_tokens or 0) - (p.chosen_tokens or 0)),
        "refusal_is_rejected": _rule(pairs, lambda p: _refuses(p.rejected) - _refuses(p.chosen)),
    }
    breaches = []
    if wanted and len(pairs) < data.min_accept * wanted:
        breaches.append(f"{len(pairs)} of {wanted} wanted pairs were made, the limit is {data.min_accept:.0%}")
    for rule in ("shorter_is_chosen", "refusal_is_rejected"):
        share = found[rule]
        if share is not None and max(share, 1 - share if rule.startswith("shorter") else 0) > data.max_shortcut:
            breaches.append(f"{rule.replace('_', ' ')} in {share:.0%} of the pairs: it could be learnt instead")
    if breaches:
        raise DataQualityError("the preference pairs breach their limits: " + "; ".join(breaches))
    return found


def _rule(pairs: Sequence[Pair], advantage: Callable[[Pair], int]) -> float | None:
    """Share of pairs that a blind rule decides for the chosen side, ties counted half; None for too few to say."""
    if len(pairs) < MIN_FOR_RULES:
        return None
    signs = [advantage(pair) for pair in pairs]
    return sum(1.0 if s > 0 else 0.5 if s == 0 else 0.0 for s in signs) / len(signs)


def _refuses(text: str) -> int:
    return int(text.strip() in REFUSALS)


def _summary(pairs: Sequence[Pair]) -> dict[str, Any]:
    sources: dict[str, int] = {}
    for pair in pairs:
        sources[pair.source] = sources.get(pair.source, 0) + 1
    chosen = sum(p.chosen_tokens or 0 for p in pairs)
    rejected = sum(p.rejected_tokens or 0 for p in pairs)
    return {
        "pairs": len(pairs),
        "characters": sum(2 * len(p.prompt) + len(p.chosen) + len(p.rejected) for p in pairs),
        "sources": sources,
        "mean_chosen_tokens": chosen / len(pairs) if pairs else None,
        "mean_rejected_tokens": rejected / len(pairs) if pairs else None,
        "token_ratio": chosen / rejected if rejected else None,
    }


STEP = Step(
    name="pairs",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, _earlier: tuple(
        f"stage-{stage}/{kind}" for kind in ("answer", "revise", "filter", "critique", "sft")
    ),
    reads=("model", "stages", "precision.generate", "data"),
    modules=(
        *ENGINE_MODULES, "pipeline.steps.pairs", "pipeline.steps.answer", "pipeline.steps.filter",
        "pipeline.constitution", "pipeline.evals.scorers", "pipeline.steps.judging", "pipeline.steps.critique",
        "pipeline.data", "pipeline.stages", "pipeline.tokenise",
    ),
    holds_model=True,
    time_limit_s=7200.0,
    extra={"files": ["constitution.yaml"]},
)  # fmt: skip

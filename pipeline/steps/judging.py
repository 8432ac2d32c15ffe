"""Asks the base model for A/B judgements of answers: next-token log-probabilities of the labels, never sampled.

Each answer is judged under its principle, in several few-shot orders and in both label orders; prompts that share
everything but the answer share one computed prefix.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import prompts
from pipeline.engines.base import ChoiceRequest
from pipeline.journal import Journal
from pipeline.records import Judgement, ab_margin
from pipeline.stages.base import Family, Item
from pipeline.steps.base import StepContext
from pipeline.steps.common import Opened

SHOWN = 6
"""Labelled examples in one judgement prompt, half of them right."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One distinct answer to one instruction, to be judged once however often it was sampled."""

    family: str
    instruction: str
    response: str
    principle: str
    parents: tuple[str, ...]
    mean_logprob: float | None
    agreement: float | None


@dataclass(frozen=True, slots=True)
class _Asking:
    """One of the prompts under which an answer is judged."""

    order: int
    good: str  # the letter that means "yes"

    @property
    def bad(self) -> str:
        return "B" if self.good == "A" else "A"

    @property
    def name(self) -> str:
        return f"{self.order}:{self.good}"


def judge(
    ctx: StepContext,
    opened: Opened,
    principles: Mapping[str, str],
    families: Mapping[str, Family],
    pools: Mapping[str, Sequence[Item]],
    answers: Sequence[Judged],
    part: str,
) -> list[Judgement]:
    """A record for each answer, in order; one planned batch is one commit."""
    askings = [_Asking(o, good) for o in range(ctx.recipe.data.critic_orders) for good in ("A", "B")]
    groups: dict[str, list[int]] = defaultdict(list)
    for i, answer in enumerate(answers):
        groups[answer.principle].append(i)
    cells = [(principle, asking) for principle in sorted(groups) for asking in askings]
    total = len(answers) * len(askings)
    with Journal(ctx.out / f"{part}.part") as journal:
        for c, (principle, asking) in enumerate(cells):
            examples = _examples(ctx, families, pools, asking.order)
            prefix = prompts.judgement_prefix(principles[principle], examples, asking.good, asking.bad)
            members = groups[principle]
            _ask(ctx, opened, journal, prefix, asking, [(i, answers[i]) for i in members], c, len(answers))
            ctx.reporter.progress(len(journal), total, "judgements")
        rows = {int(row["slot"]): row for row in journal.rows()}
    return [
        _record(ctx, opened, principles, families, pools, answers, i, askings, rows, cells) for i in range(len(answers))
    ]


def _ask(
    ctx: StepContext,
    opened: Opened,
    journal: Journal,
    prefix: str,
    asking: _Asking,
    members: Sequence[tuple[int, Judged]],
    cell: int,
    count: int,
) -> None:
    tokens = opened.tokens
    items = [ChoiceRequest(tuple(tokens.encode(prompts.judgement_tail(a.instruction, a.response)))) for _, a in members]
    labels = [label_ids(tokens, letter) for letter in ("A", "B")]
    for batch in opened.engine.plan_choices(items):
        slots = [cell * count + members[k][0] for k in batch]
        if journal.complete(slots):
            continue
        ctx.checkpoint()
        scores = opened.engine.score_choices(tokens.prompt(prefix), [items[k] for k in batch], labels)
        journal.append((slot, {"slot": slot, "a": a, "b": b}) for slot, (a, b) in zip(slots, scores, strict=True))
        ctx.reporter.tokens(sum(len(items[k].tail_ids) for k in batch))


def label_ids(tokens: Any, letter: str) -> list[int]:
    """Token variants of a label: with and without a leading space, where they are one token."""
    found = {ids[0] for text in (letter, f" {letter}") if len(ids := tokens.encode(text)) == 1}
    return sorted(found)


def _examples(
    ctx: StepContext, families: Mapping[str, Family], pools: Mapping[str, Sequence[Item]], order: int
) -> list[tuple[prompts.Example, bool]]:
    """Labelled examples of different families; the order is what changes between askings."""
    rng = random.Random(ctx.recipe.seed * 1000 + 17)
    names = rng.sample(sorted(families), min(SHOWN, len(families)))
    shown = []
    for k, name in enumerate(names):
        item = rng.choice(list(pools[name]))
        right = k % 2 == 0
        shown.append(
            (prompts.Example(item.instruction, item.answer if right else families[name].corrupt(item, rng)), right)
        )
    random.Random(order).shuffle(shown)
    return shown


def _record(
    ctx: StepContext,
    opened: Opened,
    principles: Mapping[str, str],
    families: Mapping[str, Family],
    pools: Mapping[str, Sequence[Item]],
    answers: Sequence[Judged],
    i: int,
    askings: Sequence[_Asking],
    rows: Mapping[int, Mapping[str, Any]],
    cells: Sequence[tuple[str, _Asking]],
) -> Judgement:
    answer = answers[i]
    slots = [cells.index((answer.principle, asking)) * len(answers) + i for asking in askings]
    orders = [asking.name for asking in askings]
    logp_a, logp_b = [rows[s]["a"] for s in slots], [rows[s]["b"] for s in slots]
    used = [
        prompts.judgement_prefix(principles[answer.principle], _examples(ctx, families, pools, a.order), a.good, a.bad)
        + prompts.judgement_tail(answer.instruction, answer.response)
        for a in askings
    ]
    return Judgement.make(
        stage=ctx.stage,
        family=answer.family,
        seed=0,
        decoding=None,
        model=opened.digest,
        parents=list(answer.parents),
        instruction=answer.instruction,
        response=answer.response,
        prompts=used,
        principle=answer.principle,
        orders=orders,
        logp_a=logp_a,
        logp_b=logp_b,
        margin=ab_margin(orders, logp_a, logp_b),
        mean_logprob=answer.mean_logprob,
        agreement=answer.agreement,
    )

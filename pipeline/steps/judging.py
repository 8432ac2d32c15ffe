"""Asks a model for A/B judgements of answers: next-token log-probabilities of the labels, never sampled.

Each answer is judged under one question (its principle's, where no other is given), in several few-shot orders and in
both label orders; prompts that share everything but the answer share one computed prefix.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline import prompts
from pipeline.constitution import load
from pipeline.engines.base import ChoiceRequest
from pipeline.journal import Journal
from pipeline.records import Judgement, ab_margin
from pipeline.stages.base import Family, Item
from pipeline.steps.base import StepContext
from pipeline.steps.common import costs_of, example_pool
from pipeline.steps.weights import Opened

CHARS_PER_TOKEN = 4
SHOWN = 4
"""Labelled examples in one judgement prompt, half of them right."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One distinct answer to one instruction, to be judged once however often it was sampled. `principle` names the
    question it is judged under."""

    family: str
    instruction: str
    response: str
    principle: str
    parents: tuple[str, ...]
    mean_logprob: float | None
    agreement: float | None


@dataclass(frozen=True, slots=True)
class Asking:
    """One of the prompts under which an answer is judged: a few-shot order and the letter that means "yes"."""

    order: int
    good: str

    @property
    def bad(self) -> str:
        return "B" if self.good == "A" else "A"

    @property
    def name(self) -> str:
        return f"{self.order}:{self.good}"


class Judge:
    """A model as a judge within one step; every planned batch is committed as it ends. `families` lend the labelled
    examples; `questions` are by name, the constitution's principles where none are given."""

    def __init__(
        self,
        ctx: StepContext,
        opened: Opened,
        families: Mapping[str, Family],
        questions: Mapping[str, str] | None = None,
    ) -> None:
        self.ctx, self.opened = ctx, opened
        self.askings = [Asking(o, good) for o in range(ctx.recipe.data.critic_orders) for good in ("A", "B")]
        asked = questions or {p.id: prompts.by_principle(p.text) for p in load().principles}
        shown = {asking.order: _examples(ctx, families, asking.order) for asking in self.askings}
        self.shown = frozenset(example.instruction for examples in shown.values() for example, _ in examples)
        self._prefixes = {
            (name, a): prompts.judgement_prefix(text, shown[a.order], a.good, a.bad)
            for name, text in asked.items()
            for a in self.askings
        }
        self._labels = [label_ids(opened.tokens, letter) for letter in ("A", "B")]

    def judge(self, answers: Sequence[Judged], part: str, span: tuple[float, float] = (0.0, 1.0)) -> list[Judgement]:
        """A record for each answer, in order. `part` names the journal of this call, `span` its part of the step's
        work."""
        groups: dict[str, list[int]] = defaultdict(list)
        for i, answer in enumerate(answers):
            groups[answer.principle].append(i)
        width = len(self.askings)
        progress = _Progress(self.ctx, len(answers) * width, span)
        whole = sum(self._cost(principle, a, answers, groups[principle]) for principle in groups for a in self.askings)
        if span[1] > span[0]:
            self.ctx.reporter.foresee(whole / CHARS_PER_TOKEN / (span[1] - span[0]))
        with Journal(self.ctx.out / f"{part}.part") as journal:
            progress.tell(len(journal), 0.0)
            for principle in sorted(groups):
                members = [(i, answers[i]) for i in groups[principle]]
                for k, asking in enumerate(self.askings):
                    part_of_it = self._cost(principle, asking, answers, groups[principle]) / whole
                    for read in self._ask(journal, principle, asking, [(i * width + k, a) for i, a in members]):
                        progress.tell(len(journal), read * part_of_it)
            return [
                self._record(answer, [journal.row(i * width + k) for k in range(width)])
                for i, answer in enumerate(answers)
            ]

    def _cost(self, principle: str, asking: Asking, answers: Sequence[Judged], members: Sequence[int]) -> float:
        """The work of one prefix and its answers: characters read, and two passes."""
        read = sum(len(answers[i].instruction) + len(answers[i].response) for i in members)
        return len(self._prefixes[principle, asking]) + read + 2 * costs_of(self.opened).step * CHARS_PER_TOKEN

    def _ask(
        self, journal: Journal, principle: str, asking: Asking, members: Sequence[tuple[int, Judged]]
    ) -> Iterator[float]:
        """One prefix, all its answers, and after each batch the share of them that it was. `members` carries each
        answer's position in the journal."""
        tokens, engine = self.opened.tokens, self.opened.engine
        tails = [prompts.judgement_tail(a.instruction, a.response) for _, a in members]
        items = [ChoiceRequest(tuple(tokens.encode(tail))) for tail in tails]
        prefix = tokens.prompt(self._prefixes[principle, asking])
        whole = sum(len(item.tail_ids) for item in items)
        for batch in engine.plan_choices(items):
            positions, read = [members[k][0] for k in batch], sum(len(items[k].tail_ids) for k in batch)
            if not journal.complete(positions):
                self.ctx.checkpoint()
                scores = engine.score_choices(prefix, [items[k] for k in batch], self._labels)
                journal.append((p, {"a": a, "b": b}) for p, (a, b) in zip(positions, scores, strict=True))
                self.ctx.reporter.tokens(read, read=len(prefix))
            yield read / whole

    def _record(self, answer: Judged, rows: Sequence[Mapping[str, Any]]) -> Judgement:
        tail = prompts.judgement_tail(answer.instruction, answer.response)
        orders = [asking.name for asking in self.askings]
        logp_a, logp_b = [row["a"] for row in rows], [row["b"] for row in rows]
        return Judgement.make(
            stage=self.ctx.stage,
            family=answer.family,
            seed=0,
            decoding=None,
            model=self.opened.digest,
            parents=list(answer.parents),
            instruction=answer.instruction,
            response=answer.response,
            prompts=[self._prefixes[answer.principle, asking] + tail for asking in self.askings],
            principle=answer.principle,
            orders=orders,
            logp_a=logp_a,
            logp_b=logp_b,
            margin=ab_margin(orders, logp_a, logp_b),
            mean_logprob=answer.mean_logprob,
            agreement=answer.agreement,
        )


class _Progress:
    """Tells how much is judged, in answers and in work."""

    def __init__(self, ctx: StepContext, total: int, span: tuple[float, float]) -> None:
        self.ctx, self.total, self.span = ctx, total, span
        self.share = 0.0

    def tell(self, done: int, share: float) -> None:
        self.share += share
        begin, end = self.span
        self.ctx.reporter.progress(done, self.total, "judgements", begin + min(1.0, self.share) * (end - begin))


def label_ids(tokens: Any, letter: str) -> list[int]:
    """Token variants of a label: with and without a leading space, where they are one token."""
    found = {ids[0] for text in (letter, f" {letter}") if len(ids := tokens.encode(text)) == 1}
    return sorted(found)


def _examples(ctx: StepContext, families: Mapping[str, Family], order: int) -> list[tuple[prompts.Example, bool]]:
    """Labelled examples of different families; the order is what changes between askings."""
    rng = random.Random(ctx.recipe.seed * 1000 + 17)
    names = rng.sample(sorted(families), min(SHOWN, len(families)))
    shown = []
    for k, name in enumerate(names):
        item: Item = rng.choice(example_pool(families[name], ctx.recipe.seed))
        right = k % 2 == 0
        response = item.answer if right else families[name].corrupt(item, rng)
        shown.append((prompts.Example(item.instruction, response), right))
    random.Random(order).shuffle(shown)
    return shown

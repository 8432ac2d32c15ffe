"""How much a recipe asks of a model, step by step, in tokens: computed from the recipe and its stages, before anything
ran. Where a number depends on what the model will write, a stated mean stands for it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from statistics import fmean

from pipeline.constitution import load as load_constitution
from pipeline.evals.items import chosen_families, opinion_families, split
from pipeline.forecast.shapes import Shape
from pipeline.models import parity
from pipeline.plan import PlannedStep
from pipeline.recipe import Precision, Recipe, earlier_stages
from pipeline.stages import registry
from pipeline.stages.base import Family, Namespace

SAMPLED = 1.8  # instructions asked for each one kept: a quarter more are asked, and a third of them are duplicates
SURPLUS_ROUNDS = 2  # rounds in which they are asked
DISTINCT = 0.35  # further samples of an instruction that say something new
KEPT = 0.7  # instructions that keep an answer
USABLE = 0.9  # greedy answers that can be revised
NEW_REVISIONS = 0.6  # revisions that say something new
RUNS_ON = 0.8  # of its limit an untaught model writes before it is stopped; and the longest row of a taught one
LONGER = 1.3  # model's answers over right answers in tokens: those that are cut count in full
EXTERNAL_LIMIT = 256  # tokens of an answer of the external check, which is asked without a terminator
CRITIQUE, PRINCIPLE, FRAME = 25, 22, 6  # tokens of a critique, of a principle, and of the words around one text
LIST_LIMIT, LIST_FRAME = 40, 12  # new tokens of a written instruction; words before a list of them
SHOWN = 4  # worked examples in a prompt of critique or judgement
FIXTURES = 40  # labelled answers of a family in the scorers' audit
GUARD_FRAME = 130  # tokens of a guard's prompt beside its policy and the conversation
UNSAFE, CODES = 0.05, 24  # share of rows that a guard calls unsafe; new tokens in which it says why
SAMPLES_PER_PROMPT = 4
HELD_TOKENS = 2048  # of a batch of answers that are read again to check a merge
ITEMS_SEEN = 4  # drawn of each family to learn its lengths


@dataclass(frozen=True, slots=True)
class Work:
    """What a step asks of a model. Tokens are without padding; `batches` are forward passes over prompts or tails,
    `steps` forward passes for one further token of every row, `widest` the tokens that the largest batch has in its
    cache, `active` those of its widest pass, `rows` its rows. `examples` are the rows that an earlier step is expected
    to leave it; all else is in proportion to them. `loads` counts reading the weights, `rewrites` writing them,
    `plain_s` seconds without a model. `of` is the recipe's field of a further model that is asked; empty: its own.
    """

    read: float = 0.0
    written: float = 0.0
    trained: float = 0.0
    passes: float = 1.0  # of a trained token through the weights, in forward passes
    batches: float = 0.0
    steps: float = 0.0
    updates: float = 0.0
    widest: float = 0.0
    active: float = 0.0
    rows: float = 0.0
    examples: float = 0.0
    context: float = 0.0  # mean tokens before a written one
    loads: float = 0.0
    rewrites: float = 0.0
    plain_s: float = 0.0
    precision: Precision | None = None
    of: str = ""

    def __add__(self, other: Work) -> Work:
        """Both after one another in the same process; the first says the precision and the model."""
        written = self.written + other.written
        mean = (self.context * self.written + other.context * other.written) / written if written else 0.0
        summed = {
            name: getattr(self, name) + getattr(other, name)
            for name in ("read", "written", "trained", "batches", "steps", "updates", "loads", "rewrites", "plain_s")
        }
        return Work(
            **summed, context=mean, passes=max(self.passes, other.passes), widest=max(self.widest, other.widest),
            active=max(self.active, other.active), rows=max(self.rows, other.rows),
            examples=max(self.examples, other.examples), precision=self.precision or other.precision,
            of=self.of or other.of,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lengths:
    """Mean tokens of a stage's instructions and right answers; its families' limits, mean and highest."""

    instruction: float
    answer: float
    limit: float
    highest: float

    @property
    def example(self) -> float:
        return self.instruction + self.answer + FRAME


def works(recipe: Recipe, plan: tuple[PlannedStep, ...], shape: Shape) -> dict[str, Work]:
    """The work of each planned step of a model of this shape by its name; a kind that is not ours is left out."""
    known = _Recipe(recipe, shape)
    return {p.name: known.work(p) for p in plan if p.kind in _KINDS}


class _Recipe:
    """One recipe with the lengths of its stages."""

    def __init__(self, recipe: Recipe, shape: Shape) -> None:
        self.recipe, self.data, self.shape, self.chars = recipe, recipe.data, shape, shape.chars_per_token
        self._lengths: dict[int, Lengths] = {}

    def work(self, planned: PlannedStep) -> Work:
        return _KINDS[planned.kind](self, planned.stage)

    def lengths(self, number: int) -> Lengths:
        if number not in self._lengths:
            families = chosen_families(registry.stage(number), self.data.families)
            seen = [_seen(family) for family in families]
            limits = [family.max_new_tokens for family in families]
            self._lengths[number] = Lengths(
                fmean(s[0] for s in seen) / self.chars, fmean(s[1] for s in seen) / self.chars + 1,
                fmean(limits), max(limits),
            )  # fmt: skip
        return self._lengths[number]

    def asked(self, rows: float, prompts: float, prompt: float, new: float, limit: float, longest: float) -> Work:
        """`rows` texts of `new` tokens behind `prompts` different prompts of `prompt` tokens."""
        if rows <= 0:
            return Work()
        budget = self.recipe.runtime.generate_tokens
        batches = max(1.0, rows * (prompt + limit) / budget)
        held = min(rows, budget / (prompt + limit))
        return Work(
            read=prompts * prompt, written=rows * new, batches=batches, steps=batches * longest,
            widest=held * (prompt + limit), active=held * prompt * prompts / rows, rows=held, context=prompt + new / 2,
        )  # fmt: skip

    def judged(self, answers: float, at: Lengths, questions: int | None = None) -> Work:
        """Answers under their principles (or so many other questions), in every order and with both labels."""
        askings = 2 * self.data.critic_orders
        prefix = PRINCIPLE + 4 * FRAME + SHOWN * (at.example + 3)
        asked = len(load_constitution().principles) if questions is None else questions
        return self.labelled(answers * askings, min(answers, asked) * askings, prefix, at.example)

    def labelled(self, rows: float, groups: float, prefix: float, tail: float) -> Work:
        """Labels scored after `rows` tails in `groups` that share their beginnings."""
        per_batch = max(1.0, self.recipe.runtime.generate_tokens / 4 / tail)
        batches = max(groups, rows / per_batch)
        held = min(per_batch, rows / groups if groups else 0.0)
        return Work(
            read=rows * tail + batches * prefix,
            batches=2 * batches,
            widest=held * (tail + prefix),
            active=max(prefix, held * tail),
            rows=held,
        )

    def opened(self, precision: Precision, loads: float = 1.0, of: str = "") -> Work:
        return Work(loads=loads, precision=precision, of=of)

    def generate(self, stage: int) -> Work:
        at, asked = self.lengths(stage), SAMPLED * self.data.instructions
        prompt = LIST_FRAME + self.data.pool_seeds * (at.instruction + 3)
        done = self.asked(
            asked, asked / SAMPLES_PER_PROMPT, prompt, at.instruction + 1, LIST_LIMIT, RUNS_ON * LIST_LIMIT
        )
        extra = Work(steps=(SURPLUS_ROUNDS - 1) * RUNS_ON * LIST_LIMIT, plain_s=2e-3 * asked)
        return self.opened(self.recipe.precision.generate) + done + extra

    def answer(self, stage: int) -> Work:
        at, questions = self.lengths(stage), self.data.instructions + self.data.calibration_items
        prompt = self.data.few_shot * at.example + at.instruction + FRAME
        rows = questions * self.data.answers
        done = self.asked(rows, questions, prompt, LONGER * at.answer, at.limit, RUNS_ON * at.highest)
        return self.opened(self.recipe.precision.generate) + done

    def rounds(self, stage: int) -> int:
        wanted, own = self.data.revision_rounds, registry.stage(stage).revision_rounds
        if isinstance(wanted, dict):
            return wanted.get(stage, own)
        return own if wanted is None else wanted

    def revise(self, stage: int) -> Work:
        rounds = self.rounds(stage)
        if not rounds:
            return Work()
        at, rows = self.lengths(stage), USABLE * self.data.instructions
        case = at.example + PRINCIPLE + 2 * FRAME
        prompt = SHOWN * (case + CRITIQUE + at.answer + FRAME) + case
        critique = self.asked(rows, rows, prompt, CRITIQUE, 64, 64)
        revision = self.asked(rows, rows, prompt + CRITIQUE, LONGER * at.answer, at.highest, RUNS_ON * at.highest)
        done = self.opened(self.recipe.precision.generate)
        for _ in range(rounds):
            done = done + critique + revision
        return done

    def distinct(self, stage: int) -> float:
        """Different answers of one instruction, revisions among them."""
        return 1 + DISTINCT * (self.data.answers - 1) + NEW_REVISIONS * self.rounds(stage)

    def critique(self, stage: int) -> Work:
        own = self.data.instructions * self.distinct(stage)
        block = self.data.calibration_items * (1 + DISTINCT * (self.data.answers - 1))
        return self.opened(self.recipe.precision.generate) + self.judged(own + block, self.lengths(stage))

    def safety(self, stage: int) -> Work:
        """A guard over every instruction, answer and revision; prompts of one role share the policy."""
        rules, at = self.data.safety, self.lengths(stage)
        if rules is None:
            return Work()
        policy = GUARD_FRAME + sum(map(len, rules.categories)) / self.chars
        rows, tail = self.data.instructions * (1 + self.distinct(stage)), at.example
        codes = self.asked(UNSAFE * rows, UNSAFE * rows, policy + tail, CODES, CODES, CODES)
        heard = self.labelled(rows, 2, policy, tail)
        return self.opened(self.recipe.precision.generate, of="data.safety") + heard + codes

    def filter(self, stage: int) -> Work:
        return Work(plain_s=0.5 + 2e-3 * self.data.instructions * self.distinct(stage))

    def kept(self, stage: int) -> float:
        """Rows that a stage trains on, those rehearsed included."""
        share = registry.stage(stage).rehearsal if self.data.rehearsal is None else self.data.rehearsal
        old = share if earlier_stages(self.recipe.stages, stage) else 0.0
        return KEPT * self.data.instructions / (1 - old)

    def sft(self, stage: int) -> Work:
        train, at, rows = self.recipe.train, self.lengths(stage), self.kept(stage)
        if not train.sft.enabled:
            return Work()
        held = min(rows, train.sft.micro_batch or train.sft.batch)
        done = Work(
            trained=rows * train.sft.epochs * at.example, passes=_passes(train.gradient_checkpointing),
            updates=max(1.0, rows * train.sft.epochs / train.sft.batch), rows=held, examples=rows,
            widest=held * min(train.sft.max_length, at.instruction * 1.5 + at.highest + FRAME),
        )  # fmt: skip
        return self.opened(self.recipe.precision.train) + done

    def pairs(self, stage: int) -> Work:
        at, rows = self.lengths(stage), KEPT * self.data.instructions
        if registry.stage(stage).pairs == "revisions":
            rows /= 2
        prompt = at.instruction + FRAME
        sampled = self.asked(rows * self.data.answers, rows, prompt, LONGER * at.answer, at.limit, RUNS_ON * at.highest)
        new = rows * DISTINCT * self.data.answers
        expected = Work(examples=KEPT * self.data.instructions)
        return self.opened(self.recipe.precision.generate) + sampled + self.judged(new, at) + expected

    def dpo(self, stage: int) -> Work:
        train, at = self.recipe.train, self.lengths(stage)
        rows = min(float(self.data.pairs), KEPT * self.data.instructions)
        if not train.dpo.enabled or not rows:
            return Work()
        held = 2 * min(rows, train.dpo.micro_batch or train.dpo.batch)
        done = Work(
            trained=2 * rows * train.dpo.epochs * at.example, passes=1 + _passes(train.gradient_checkpointing),
            updates=max(1.0, 2 * rows * train.dpo.epochs / train.dpo.batch), rows=held, examples=rows,
            widest=held * min(train.dpo.max_length, at.instruction * 1.5 + at.highest + FRAME),
        )  # fmt: skip
        return self.opened(self.recipe.precision.train) + done

    def condition(self, number: int, count: float, few_shot: bool, taught: bool) -> Work:
        """One held-out set under one prompt condition."""
        at = self.lengths(number)
        prompt = at.instruction + FRAME + few_shot * self.recipe.evaluation.few_shot * at.example
        new = LONGER * at.answer if taught else RUNS_ON * at.limit
        return self.asked(count, count, prompt, new, at.limit, at.highest * (RUNS_ON if taught else 1.0))

    def base(self, number: int) -> Work:
        items = self.recipe.evaluation.items
        raw, shown = self.condition(number, items, False, False), self.condition(number, items, True, True)
        return raw + raw + shown

    def external(self) -> Work:
        count = self.recipe.evaluation.ifeval_items
        return self.asked(count, count, 60, RUNS_ON * EXTERNAL_LIMIT, EXTERNAL_LIMIT, EXTERNAL_LIMIT)

    def evaluate(self, stage: int) -> Work:
        evaluation, done = self.recipe.evaluation, self.opened(self.recipe.precision.evaluate)
        if not stage:
            counts = split(evaluation.aa_items, len(self.recipe.stages))
            for number, again in zip(self.recipe.stages, counts, strict=True):
                done = done + self.base(number) + self.condition(number, again, False, False)
            return done + self.external()
        earlier = earlier_stages(self.recipe.stages, stage)
        for number in (stage, *earlier):
            done = done + self.condition(number, evaluation.items, False, True)
        if earlier:
            done = done + self.condition(stage, evaluation.items, False, True)
        return done + self.external()

    def baseline(self, stage: int) -> Work:
        return self.opened(self.recipe.precision.evaluate) + self.base(stage)

    def beside(self, stage: int, of: str) -> Work:
        """A further model on the sets on which the base is measured, once; it was never taught to end its answers."""
        done = self.opened(self.recipe.precision.evaluate, of=of)
        for number in (stage,) if stage else self.recipe.stages:
            done = done + self.condition(number, self.recipe.evaluation.items, False, False)
        return done

    def reference(self, stage: int) -> Work:
        return self.beside(stage, "evaluation.reference")

    def alt_base(self, stage: int) -> Work:
        return self.beside(stage, "evaluation.alt_base")

    def judge(self, stage: int) -> Work:
        """Labelled answers, and those of the candidate, the model before it and the base, under one question."""
        declared = registry.stage(stage)
        names = [f.name for f in chosen_families(declared, self.data.families)]
        wanted = {f.name for f in opinion_families(declared, self.data.families)}
        counts = dict(zip(names, split(self.recipe.evaluation.items, len(names)), strict=True))
        models = 3 if earlier_stages(self.recipe.stages, stage) else 2
        answers = models * sum(counts[name] for name in wanted) + FIXTURES * len(wanted)
        return self.opened(self.recipe.precision.evaluate) + self.judged(answers, self.lengths(stage), questions=1)

    def gate(self, stage: int) -> Work:
        sets = 1 + len(earlier_stages(self.recipe.stages, stage))
        return Work(plain_s=0.3 + 1e-3 * self.recipe.evaluation.items * sets)

    def merge(self, stage: int) -> Work:
        """Read, add, write, then the base and the result once more for the parity check."""
        full = parity.checked_in(self.shape.weight_bytes(Precision.BF16))
        at, rows = self.lengths(stage), (4 if full is Precision.FP32 else 3) * parity.PROMPTS
        read, written = rows * at.example, rows * at.answer
        return Work(loads=3, rewrites=1, precision=full, batches=read / HELD_TOKENS, read=read, written=written)


_KINDS: Mapping[str, Callable[[_Recipe, int], Work]] = {
    name: getattr(_Recipe, name)
    for name in (
        "evaluate", "baseline", "reference", "alt_base", "generate", "answer", "revise", "safety", "critique", "filter",
        "sft", "pairs", "dpo", "judge", "gate", "merge",
    )
}  # fmt: skip


def _passes(checkpointing: bool) -> float:
    """Forward passes that a trained token costs under LoRA: forward, gradients of the inputs, recomputed layers."""
    return 3.0 if checkpointing else 2.0


@cache
def _seen(family: Family) -> tuple[float, float]:
    """Mean characters of a family's instructions and right answers, over a few items."""
    wordings = family.templates(Namespace.TRAIN)
    items = [family.build(Namespace.TRAIN, random.Random(k), wordings[k % len(wordings)]) for k in range(ITEMS_SEEN)]
    return fmean(len(i.instruction) for i in items), fmean(len(i.answer) for i in items)

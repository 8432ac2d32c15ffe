"""Critique, then revision: the model says what in an answer falls short of one principle, and writes a better one.

Several rounds in a row, each under a principle of its own; every round's revision is a candidate for the training data
(Constitutional AI, arXiv 2212.08073, section 3). What a revision is worth is for the critics to say, not for this step.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline import prompts
from pipeline.constitution import Constitution, load
from pipeline.engines.base import Completion, Request
from pipeline.evals import scorers
from pipeline.records import Answer, Critique, Revision, canonical, read_records, write_records
from pipeline.stages.base import Family, Item
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, after_stage, draw, example_pool, families_of, generate, stage_of
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.weights import Opened, open_role

SHOWN = 4
"""Worked dialogues in one prompt, half of them on answers that need no change."""
CRITIQUE_TOKENS = 64


@dataclass(frozen=True)
class _Draft:
    """An answer on its way through the rounds: what it says now, and the rows it came from."""

    position: int
    family: Family
    instruction: str
    text: str
    parents: tuple[str, ...]


def rounds_of(ctx: StepContext) -> int:
    """How often each answer is revised: the recipe's number, else the stage's own."""
    wanted, own = ctx.recipe.data.revision_rounds, stage_of(ctx).revision_rounds
    if isinstance(wanted, dict):
        return wanted.get(ctx.stage, own)
    return own if wanted is None else wanted


def run(ctx: StepContext) -> Mapping[str, Any]:
    rounds = rounds_of(ctx)
    if not rounds:
        return {"skipped": "no revision rounds in this stage", "rounds": 0}
    stage = stage_of(ctx)
    families = {f.name: f for f in families_of(ctx.recipe, stage)}
    opened = open_role(ctx, stage.roles.reviser, ctx.recipe.precision.generate)
    answers = read_records(ctx.input(f"stage-{ctx.stage}/answer") / "records.jsonl", Answer)
    usable = (a for a in answers if a.sample == 0 and _usable(opened, a.finish_reason, a.text))
    drafts = [_Draft(i, families[a.family], a.instruction, a.text, (a.parents[0], a.id)) for i, a in enumerate(usable)]
    rewriting = _Rewriting(ctx, opened, families, 2 * rounds * len(drafts))
    for number in range(1, rounds + 1):
        drafts = rewriting.round(drafts, number)
    write_records(ctx.out / "critiques.jsonl", rewriting.critiques)
    write_records(ctx.out / "records.jsonl", rewriting.revisions)
    changed = sum(r.text != r.response for r in rewriting.revisions)
    return {"rounds": rounds, "revisions": len(rewriting.revisions), "changed": changed}


class _Rewriting:
    """The rounds of one step. `critiques` and `revisions` fill as they are written."""

    def __init__(self, ctx: StepContext, opened: Opened, families: Mapping[str, Family], total: int) -> None:
        self.ctx, self.opened, self.total = ctx, opened, total
        self.constitution: Constitution = load()
        self.categories = stage_of(ctx).principles
        self.pools = {name: example_pool(f, ctx.recipe.seed) for name, f in families.items()}
        self.critiques: list[Critique] = []
        self.revisions: list[Revision] = []

    def round(self, drafts: Sequence[_Draft], number: int) -> list[_Draft]:
        """One critique and one revision of every draft; a draft whose revision is unusable stays as it was."""
        principles = [self.constitution.deal(self.ctx.recipe.seed, d.position, number, self.categories) for d in drafts]
        asked = [
            prompts.critique_request(self._shown(d, number), d.instruction, d.text, p.text)
            for d, p in zip(drafts, principles, strict=True)
        ]
        said = self._write(f"critique-{number}", drafts, asked, ("\n",), CRITIQUE_TOKENS, number, principles, Critique)
        critiques = [Critique.from_row(row) for row in said]
        self.critiques += critiques
        wanted = [
            f"{prompt} {prompts.one_line(c.text) or 'Nothing.'}{prompts.revision_request()}"
            for prompt, c in zip(asked, critiques, strict=True)
        ]
        limit = max(d.family.max_new_tokens for d in drafts) if drafts else 1
        begun = [replace(d, parents=(*d.parents, c.id)) for d, c in zip(drafts, critiques, strict=True)]
        stops = (prompts.TERMINATOR, *prompts.TURNS)
        rows = self._write(f"revision-{number}", begun, wanted, stops, limit, number, principles, Revision)
        revisions = [Revision.from_row(row) for row in rows]
        self.revisions += revisions
        return [
            replace(d, text=r.text) if _usable(self.opened, r.finish_reason, r.text) else d
            for d, r in zip(drafts, revisions, strict=True)
        ]

    def _write(
        self, part: str, drafts: Sequence[_Draft], asked: Sequence[str], stops: tuple[str, ...], limit: int,
        number: int, principles: Sequence[Any], kind: type[Critique] | type[Revision],
    ) -> list[Mapping[str, Any]]:  # fmt: skip
        data = self.ctx.recipe.data
        seeds = [self.ctx.seed(part, draft.parents[1]) for draft in drafts]
        requests = [
            Request(
                prompt_ids=tuple(self.opened.tokens.prompt(text)),
                max_new_tokens=limit,
                stops=stops,
                temperature=data.answer_temperature,
                top_p=data.top_p,
                seed=seed,
                logprobs=False,
            )
            for text, seed in zip(asked, seeds, strict=True)
        ]

        def row(i: int, done: Completion) -> Mapping[str, Any]:
            draft = drafts[i]
            return kind.make(
                stage=self.ctx.stage, family=draft.family.name, seed=seeds[i], model=self.opened.digest,
                decoding=canonical({"temperature": data.answer_temperature, "top_p": data.top_p}),
                parents=list(draft.parents), prompt=asked[i], text_raw=done.raw, text=done.text.strip(),
                finish_reason=done.finish, tokens=done.tokens, instruction=draft.instruction, response=draft.text,
                principle=principles[i].id, round=number,
            ).to_row()  # fmt: skip

        before = len(self.critiques) + len(self.revisions)
        return generate(self.ctx, self.opened, requests, part, row, "critiques and revisions", before, self.total)

    def _shown(self, draft: _Draft, number: int) -> list[prompts.Dialogue]:
        """Worked dialogues of the draft's own family: wrong answers put right, and right ones left alone."""
        seed = self.ctx.seed("dialogues", draft.parents[1], number)
        rng = random.Random(seed)
        items = draw(self.pools[draft.family.name], SHOWN, seed, avoid=draft.instruction)
        shown = [self._dialogue(draft.family, item, place % 2 == 0, rng) for place, item in enumerate(items)]
        rng.shuffle(shown)
        return shown

    def _dialogue(self, family: Family, item: Item, wrong: bool, rng: random.Random) -> prompts.Dialogue:
        response = family.corrupt(item, rng) if wrong else item.answer
        principle = rng.choice([p for p in self.constitution.principles if _fits(p.category, self.categories)])
        return prompts.Dialogue(
            item.instruction, response, principle.text, family.critique(item, response, not wrong), item.answer
        )


def _fits(category: str, categories: Sequence[str]) -> bool:
    return not categories or category in categories


def _usable(opened: Opened, finish: str, text: str) -> bool:
    return bool(text.strip()) and finish != "length" and not scorers.runs_on(text) and opened.tokens.is_plain(text)


STEP = Step(
    name="revise",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, earlier: (f"stage-{stage}/answer", *after_stage(earlier)),
    reads=(
        "model", "stages", "precision.generate", "data.families", "data.revision_rounds", "data.answer_temperature",
        "data.top_p",
    ),
    modules=(
        *ENGINE_MODULES, "pipeline.steps.revise", "pipeline.stages", "pipeline.constitution", "pipeline.evals.items",
        "pipeline.evals.scorers",
    ),
    holds_model=True,
    time_limit_s=7200.0,
    extra={"files": ["constitution.yaml"]},
)  # fmt: skip

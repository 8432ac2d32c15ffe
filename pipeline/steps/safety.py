"""A guard model judges every self-written instruction, answer and revision, where the recipe names one.

The verdict is read from the labels' log-probabilities; only for what is unsafe the guard then writes, greedily, which
categories it sees. What becomes of an unsafe row is the filter's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.data import safety
from pipeline.data.safety import Frame, Kind, Role, Verdict
from pipeline.engines.base import ChoiceRequest, Completion, Request
from pipeline.errors import StepError
from pipeline.journal import Journal
from pipeline.recipe import Safety
from pipeline.records import Answer, Instruction, canonical, read_records, write_records
from pipeline.steps.base import Step, StepContext
from pipeline.steps.common import ENGINE_MODULES, generate
from pipeline.steps.critique import revisions_of
from pipeline.steps.headroom import nothing_to_teach
from pipeline.steps.weights import Opened, open_model

CODES_TOKENS = 24
"""New tokens for the line of codes."""

VERDICTS = 0.9
"""Of the step's work, the verdicts; the codes of what is unsafe, which nobody knows before, take the rest."""

_Said = tuple[Role, str, str]
"""Whose message is judged, the instruction, the response."""


@dataclass(frozen=True, slots=True)
class _Row:
    """One generated row to be judged."""

    kind: Kind
    id: str
    family: str
    instruction: str
    response: str

    @property
    def said(self) -> _Said:
        return safety.role_of(self.kind), self.instruction, self.response


@dataclass(frozen=True, slots=True)
class _Heard:
    """The guard's numbers on one text."""

    prompt: str
    logp_safe: float
    logp_unsafe: float
    said: str | None = None


def run(ctx: StepContext) -> Mapping[str, Any]:
    rules = ctx.recipe.data.safety
    if rules is None:
        raise StepError("the recipe names no guard model; set data.safety.model, or leave this step out")
    rows = list(_rows(ctx))
    opened = open_model(ctx, rules.guard, ctx.recipe.precision.generate, chat=True)
    heard = _Guard(ctx, opened, rules).hear(list(dict.fromkeys(row.said for row in rows)))
    verdicts = [_verdict(ctx, opened, rules, row, heard.get(row.said)) for row in rows]
    write_records(ctx.out / "records.jsonl", verdicts)
    return {"guard": opened.digest, "threshold": rules.threshold, **safety.counts(verdicts)}


def verdicts_of(ctx: StepContext) -> dict[str, Verdict] | None:
    """This stage's verdicts by the id of the row they judge; None where the recipe names no guard."""
    if ctx.recipe.data.safety is None:
        return None
    path = ctx.input(f"stage-{ctx.stage}/safety") / "records.jsonl"
    return {verdict.parents[0]: verdict for verdict in read_records(path, Verdict)}


def _rows(ctx: StepContext) -> Iterator[_Row]:
    made = ctx.input(f"stage-{ctx.stage}/generate") / "records.jsonl"
    for asked in read_records(made, Instruction):
        yield _Row("instruction", asked.id, asked.family, asked.instruction, "")
    for answer in read_records(ctx.input(f"stage-{ctx.stage}/answer") / "records.jsonl", Answer):
        yield _Row("answer", answer.id, answer.family, answer.instruction, answer.text)
    for revision in revisions_of(ctx):
        yield _Row("revision", revision.id, revision.family, revision.instruction, revision.text)


class _Guard:
    """The guard within one step; every planned batch is committed as it ends."""

    def __init__(self, ctx: StepContext, opened: Opened, rules: Safety) -> None:
        self.ctx, self.opened, self.policy, self.threshold = ctx, opened, rules.categories, rules.threshold
        self.frame: Frame = safety.frame_of(opened.tokens.raw.get_vocab())
        self.labels = safety.label_ids(opened.tokens)

    def hear(self, texts: Sequence[_Said]) -> dict[_Said, _Heard]:
        """What the guard says of each text; those that cannot be shown to it are left out."""
        shown = [text for text in texts if safety.readable(self.opened.tokens, text[1], text[2])]
        asked = [safety.question(self.frame, self.policy, *text) for text in shown]
        ids = [self.opened.tokens.framed(text, self.frame.before, self.frame.after) for text in asked]
        scores = self._scores([text[0] for text in shown], ids)
        found = {}
        for text, body, (safe, unsafe) in zip(shown, asked, scores, strict=True):
            found[text] = _Heard(self.frame.before + body + self.frame.after, safe, unsafe)
        bad = [
            (text, prompt)
            for text, prompt in zip(shown, ids, strict=True)
            if safety.verdict_of(found[text].logp_safe, found[text].logp_unsafe, self.threshold) == "unsafe"
        ]
        for (text, _), said in zip(bad, self._codes([prompt for _, prompt in bad]), strict=True):
            before = found[text]
            found[text] = _Heard(before.prompt, before.logp_safe, before.logp_unsafe, said)
        return found

    def _scores(self, roles: Sequence[Role], ids: Sequence[list[int]]) -> list[tuple[float, float]]:
        """(log p(safe), log p(unsafe)) after each prompt. Prompts on one role share their policy, computed once."""
        groups = {role: [i for i, r in enumerate(roles) if r == role] for role in sorted(set(roles))}
        prefixes = {role: _shared([ids[i] for i in members]) for role, members in groups.items()}
        whole, read = sum(map(len, ids)) - sum((len(groups[r]) - 1) * prefixes[r] for r in groups), 0
        self.ctx.reporter.foresee(whole / VERDICTS)
        with Journal(self.ctx.out / "verdicts.part") as journal:
            for role, members in groups.items():
                shared = prefixes[role]
                tails = [ChoiceRequest(tuple(ids[i][shared:])) for i in members]
                read += shared
                for batch in self.opened.engine.plan_choices(tails):
                    self._ask(journal, list(ids[members[0]][:shared]), tails, batch, [members[k] for k in batch])
                    read += sum(len(tails[k].tail_ids) for k in batch)
                    self.ctx.reporter.progress(len(journal), len(ids), "verdicts", VERDICTS * read / whole)
            return [(journal.row(i)["safe"], journal.row(i)["unsafe"]) for i in range(len(ids))]

    def _ask(
        self,
        journal: Journal,
        prefix: Sequence[int],
        tails: Sequence[ChoiceRequest],
        batch: Sequence[int],
        positions: Sequence[int],
    ) -> None:
        """One planned batch, unless it is committed already."""
        if journal.complete(positions):
            return
        self.ctx.checkpoint()
        scores = self.opened.engine.score_choices(prefix, [tails[k] for k in batch], self.labels)
        journal.append((p, {"safe": s, "unsafe": u}) for p, (s, u) in zip(positions, scores, strict=True))
        self.ctx.reporter.tokens(sum(len(tails[k].tail_ids) for k in batch))

    def _codes(self, prompts: Sequence[Sequence[int]]) -> list[str]:
        """The line after the label unsafe, written greedily."""
        label = self.opened.tokens.encode(f"{safety.UNSAFE}\n")
        requests = [Request((*ids, *label), CODES_TOKENS, stops=("\n",), logprobs=False) for ids in prompts]

        def row(_: int, done: Completion) -> Mapping[str, Any]:
            return {"said": done.text}

        span = (VERDICTS, 1.0)
        found = generate(self.ctx, self.opened, requests, "codes", row, "lines of codes", span=span)
        return [str(r["said"]) for r in found]


def _shared(prompts: Sequence[list[int]]) -> int:
    """Length of the beginning that all prompts have in common; one token at least is left of each."""
    first, last = min(prompts), max(prompts)  # what these two share, all share
    most = min(len(prompt) for prompt in prompts) - 1
    return next((k for k in range(most) if first[k] != last[k]), most)


def _verdict(ctx: StepContext, opened: Opened, rules: Safety, row: _Row, heard: _Heard | None) -> Verdict:
    verdict = safety.verdict_of(heard.logp_safe, heard.logp_unsafe, rules.threshold) if heard else "unreadable"
    said = heard.said if heard else None
    return Verdict.make(
        stage=ctx.stage,
        family=row.family,
        seed=0,
        decoding=None if said is None else canonical({"method": "greedy"}),
        model=opened.digest,
        parents=[row.id],
        kind=row.kind,
        instruction=row.instruction,
        response=row.response,
        verdict=verdict,
        threshold=rules.threshold,
        prompt=heard.prompt if heard else None,
        logp_safe=heard.logp_safe if heard else None,
        logp_unsafe=heard.logp_unsafe if heard else None,
        codes=[] if said is None else list(safety.codes_in(said, rules.categories)),
        said=said,
    )


STEP = Step(
    name="safety",
    run=run,
    skipped=nothing_to_teach,
    inputs=lambda stage, _earlier: tuple(f"stage-{stage}/{kind}" for kind in ("generate", "answer", "revise")),
    reads=("stages", "precision.generate", "data.safety"),
    modules=(
        *ENGINE_MODULES,
        "pipeline.steps.safety",
        "pipeline.steps.answer",
        "pipeline.steps.judging",
        "pipeline.data.critics",
        "pipeline.data.dedup",
        "pipeline.evals.scorers",
        "pipeline.steps.critique",
        "pipeline.data.safety",
    ),
    holds_model=True,
    time_limit_s=7200.0,
)

"""Answers the items of held-out sets under one prompt condition after another and scores every answer twice.

Greedy decoding throughout. One file a set and condition: `set-K/<condition>.jsonl`; the counts and the fingerprints, by
which two evaluations are found comparable or not, stand in `summary.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import prompts
from pipeline.artifacts import write_atomic
from pipeline.comparisons import ConditionResult, Fingerprint
from pipeline.engines.base import Completion, Request
from pipeline.eta import planned_cost
from pipeline.evals import scorers
from pipeline.evals.items import set_hash
from pipeline.records import EvalResult, canonical, read_records, write_records
from pipeline.stages.base import Family, Item
from pipeline.steps import ifeval
from pipeline.steps.base import StepContext
from pipeline.steps.common import costs_of, draw, example_pool, families_of, generate, held_out
from pipeline.steps.weights import Opened

DECODING = {"method": "greedy"}
CHARS_PER_TOKEN = 4
CHUNK = 50
"""Items measured between two looks at whether the verdict can still change."""


Settled = Callable[[Sequence[EvalResult]], str]
"""Why the rest of a set cannot matter any more; empty while it can."""


@dataclass(frozen=True)
class Condition:
    """How an item is put to the model. `taught` is the stop string that the prompt itself demonstrates, if any."""

    name: str
    prompt: Callable[[Item], str]
    taught: str | None = None


@dataclass(frozen=True)
class HeldOut:
    """The frozen set of one stage and the families that judge it."""

    stage: int
    items: tuple[Item, ...]
    families: Mapping[str, Family]

    @property
    def folder(self) -> str:
        return f"set-{self.stage}"


def set_of(ctx: StepContext, number: int) -> HeldOut:
    """The held-out set of stage `number`, in the block of its present attempt."""
    from pipeline.stages.registry import stage

    families = families_of(ctx.recipe, stage(number))
    return HeldOut(number, tuple(held_out(ctx, number)), {f.name: f for f in families})


def zero_shot(name: str) -> Condition:
    """The training format without examples, under whatever name the model goes by."""
    return Condition(name, lambda item: prompts.bare(item.instruction))


def base_conditions(ctx: StepContext, families: Mapping[str, Family]) -> list[Condition]:
    """How the untrained base is asked: raw, formatted, few-shot."""
    pools = {name: example_pool(family, ctx.recipe.seed) for name, family in families.items()}

    def few_shot(item: Item) -> str:
        shown = draw(pools[item.family], ctx.recipe.evaluation.few_shot, ctx.seed("few-shot", item.id))
        return prompts.few_shot([prompts.Example(i.instruction, i.answer) for i in shown], item.instruction)

    return [
        Condition("base-raw", lambda item: prompts.raw(item.instruction)),
        zero_shot("base-formatted"),
        Condition("base-few-shot", few_shot, taught=prompts.TERMINATOR),
    ]


@dataclass
class Measuring:
    """One evaluation step: measures set after set, and says at the end what was measured. `total` counts answers."""

    ctx: StepContext
    total: int
    done: int = 0
    sets: dict[str, dict[str, Any]] = field(default_factory=dict)
    external: dict[str, dict[str, Any]] = field(default_factory=dict)
    foreseen: float = 0.0  # work of everything that was announced
    worked: float = 0.0

    def expect(
        self, opened: Opened, sets: Sequence[HeldOut], conditions: Callable[[HeldOut], Sequence[Condition]]
    ) -> None:
        """Announce what will be measured, so that the time left can be told from the first answer on."""
        for held in sets:
            for condition in conditions(held):
                self.foreseen += self._cost(opened, held, [condition.prompt(item) for item in held.items])

    def _cost(self, opened: Opened, held: HeldOut, texts: Sequence[str]) -> float:
        limits = [held.families[item.family].max_new_tokens for item in held.items]
        lengths = [len(text) // CHARS_PER_TOKEN for text in texts]
        return planned_cost(lengths, limits, self.ctx.recipe.runtime.generate_tokens, costs_of(opened))

    def _span(self, cost: float) -> tuple[float, float] | None:
        """The part of this step's work that comes next; None where nothing was announced."""
        if not self.foreseen:
            return None
        begin = min(1.0, self.worked / self.foreseen)
        self.worked += cost
        return begin, min(1.0, self.worked / self.foreseen)

    def measure(
        self, opened: Opened, held: HeldOut, condition: Condition, settled: Settled | None = None
    ) -> list[EvalResult]:
        """Answer and score a set; writes its file and notes its counts. With `settled` the items are taken in their
        frozen order, some at a time, until it says why nothing that follows can matter any more."""
        part = f"{held.folder}.{condition.name}"
        why = ""
        if settled is None:
            rows = self.answers(opened, held, condition, part)
        else:
            rows, why = self._until(opened, held, condition, part, settled)
        folder = self.ctx.out / held.folder
        folder.mkdir(exist_ok=True)
        write_records(folder / f"{condition.name}.jsonl", rows)
        strict, lenient = sum(r.strict for r in rows), sum(r.lenient for r in rows)
        noted = self.sets.setdefault(str(held.stage), {"conditions": {}})["conditions"]
        noted[condition.name] = {
            "strict": strict,
            "lenient": lenient,
            "trials": len(rows),
            "curtailed": bool(why),
            "curtailed_because": why,
            "fingerprint": self._fingerprint(opened, held, condition),
        }
        self.ctx.reporter.metric(f"strict/{held.folder}/{condition.name}", strict / len(rows), len(rows))
        self.ctx.reporter.metric(f"lenient/{held.folder}/{condition.name}", lenient / len(rows), len(rows))
        return rows

    def _until(
        self, opened: Opened, held: HeldOut, condition: Condition, part: str, settled: Settled
    ) -> tuple[list[EvalResult], str]:
        rows: list[EvalResult] = []
        for begin in range(0, len(held.items), CHUNK):
            some = HeldOut(held.stage, held.items[begin : begin + CHUNK], held.families)
            rows += self.answers(opened, some, condition, f"{part}.{begin}")
            why = settled(rows)
            if why and len(rows) < len(held.items):
                return rows, why
        return rows, ""

    def results(self, held: HeldOut) -> dict[str, ConditionResult]:
        """What this step has measured of a set so far."""
        noted = self.sets.get(str(held.stage), {"conditions": {}})["conditions"]
        return {
            name: ConditionResult.from_rows(
                name, Fingerprint.from_dict(facts["fingerprint"]), _rows(self.ctx.out / held.folder / f"{name}.jsonl")
            )
            for name, facts in noted.items()
        }

    def ifeval(self, opened: Opened, name: str) -> None:
        """The external check of one model, where the recipe asks for it."""
        span = self._span(self._external_cost(opened))
        found = ifeval.measure(self.ctx, opened, name, self.done, self.total, span)
        if found is not None:
            self.external[name] = found
            self.done += self.ctx.recipe.evaluation.ifeval_items

    def expect_ifeval(self, opened: Opened) -> None:
        """Announce the external check, where the recipe asks for it."""
        self.foreseen += self._external_cost(opened)

    def _external_cost(self, opened: Opened) -> float:
        return ifeval.planned_cost(self.ctx.recipe, costs_of(opened))

    def answers(self, opened: Opened, held: HeldOut, condition: Condition, part: str) -> list[EvalResult]:
        """Answer and score, keeping only the journal."""
        texts = [condition.prompt(item) for item in held.items]
        span = self._span(self._cost(opened, held, texts))
        requests = [
            Request(
                prompt_ids=tuple(opened.tokens.prompt(text)),
                max_new_tokens=held.families[item.family].max_new_tokens,
                stops=(condition.taught,) if condition.taught else (),
                over=scorers.decided,
                logprobs=False,
            )
            for item, text in zip(held.items, texts, strict=True)
        ]

        def row(i: int, completion: Completion) -> Mapping[str, Any]:
            return self._result(opened, held, held.items[i], condition, texts[i], completion).to_row()

        unit = f"answers ({held.folder} {condition.name})"
        rows = generate(self.ctx, opened, requests, part, row, unit, self.done, self.total, span)
        self.done += len(rows)
        return [EvalResult.from_row(r) for r in rows]

    def publish(self, **more: Any) -> Mapping[str, Any]:
        """Write `summary.json`; returns the counts for the manifest."""
        body = {"sets": self.sets, "ifeval": self.external, **more}
        write_atomic(self.ctx.out / "summary.json", json.dumps(body, indent=1, sort_keys=True).encode())
        counts = ("strict", "lenient", "trials")
        return {
            "sets": {
                number: {name: {k: c[k] for k in counts} for name, c in held["conditions"].items()}
                for number, held in self.sets.items()
            }
        }

    def _result(
        self, opened: Opened, held: HeldOut, item: Item, condition: Condition, prompt: str, done: Completion
    ) -> EvalResult:
        stopped = done.finish == "eos" or (done.stop is not None and done.stop == condition.taught)
        strict, lenient = scorers.score(held.families[item.family], item, done.text, done.finish, stopped)
        return EvalResult.make(
            stage=self.ctx.stage,
            family=item.family,
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

    def _fingerprint(self, opened: Opened, held: HeldOut, condition: Condition) -> dict[str, str]:
        return {
            "precision": str(self.ctx.recipe.precision.evaluate),
            "condition": condition.name,
            "decoding": canonical(DECODING),
            "scorer": scorers.fingerprint(),
            "set_hash": set_hash(held.items),
            "model": opened.digest,
        }


def read_rows(folder: Path, held: HeldOut, condition: str) -> dict[str, tuple[bool, bool]]:
    """(strict, lenient) by item of a set that this step has measured already."""
    rows = _rows(folder / held.folder / f"{condition}.jsonl")
    return {row["item"]: (row["strict"], row["lenient"]) for row in rows}


def _rows(path: Path) -> list[dict[str, Any]]:
    return [row.to_row() for row in read_records(path, EvalResult)]


def first(held: HeldOut, count: int) -> HeldOut:
    """The first `count` items of a set."""
    return HeldOut(held.stage, held.items[:count], held.families)


def planned_answers(sets: Sequence[HeldOut], conditions: int) -> int:
    """Answers that so many conditions on these sets need."""
    return conditions * sum(len(held.items) for held in sets)

"""The external check beside the gates: verifiable instructions in the sense of IFEval, strictly and loosely.

Strictly counts only an answer that ended by itself; loosely, what stands before a new turn. It decides nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pipeline import eta, prompts
from pipeline.artifacts import write_atomic
from pipeline.engines.base import Completion, Request
from pipeline.eta import Costs
from pipeline.evals import ifeval, scorers
from pipeline.evals.items import set_hash
from pipeline.recipe import Recipe
from pipeline.stages.base import Item
from pipeline.steps.base import StepContext
from pipeline.steps.common import generate
from pipeline.steps.weights import Opened

MAX_TOKENS = 256
FOLDER = "ifeval"
MODULES = ("pipeline.steps.ifeval",)


def planned_cost(recipe: Recipe, costs: Costs) -> float:
    """The work of the prompts that a recipe asks for."""
    lengths = [len(item.instruction) // 4 for item in ifeval.ifeval_items(recipe.evaluation.ifeval_items)]
    return eta.planned_cost(lengths, [MAX_TOKENS] * len(lengths), recipe.runtime.generate_tokens, costs)


def measure(
    ctx: StepContext, opened: Opened, name: str, done: int, total: int, span: tuple[float, float] | None = None
) -> dict[str, Any] | None:
    """Answer the recipe's prompts in the training format; writes `ifeval/<name>.jsonl`. Returns the rates and what they
    were measured with; None where the recipe asks for none.

    done, total: answers of this step before these, and altogether; span: these answers' part of the step's work.
    """
    items = ifeval.ifeval_items(ctx.recipe.evaluation.ifeval_items)
    if not items:
        return None
    texts = [prompts.bare(item.instruction) for item in items]
    requests = [
        Request(tuple(opened.tokens.prompt(text)), MAX_TOKENS, stops=prompts.TURNS, logprobs=False) for text in texts
    ]

    def row(i: int, completion: Completion) -> Mapping[str, Any]:
        return {"prompt": texts[i], **_row(items[i], completion)}

    rows = generate(ctx, opened, requests, f"ifeval.{name}", row, f"answers (IFEval, {name})", done, total, span)
    (ctx.out / FOLDER).mkdir(exist_ok=True)
    lines = "".join(json.dumps(r, sort_keys=True, ensure_ascii=False) + "\n" for r in rows)
    write_atomic(ctx.out / FOLDER / f"{name}.jsonl", lines.encode())
    scores = [ifeval.IfevalScore(tuple(r["strict"]), tuple(r["loose"])) for r in rows]
    rates = ifeval.rates(zip(items, scores, strict=True)).as_dict()
    return {**rates, "scorer": ifeval.fingerprint(), "set_hash": set_hash(items), "model": opened.digest}


def _row(item: Item, done: Completion) -> dict[str, Any]:
    text = done.text.strip()
    score = ifeval.check(item, text)
    stopped = done.finish == "eos" and not scorers.runs_on(done.raw)
    return {
        "item": item.id,
        "instruction": item.instruction,
        "kinds": [kind for kind, _ in ifeval.instructions(item)],
        "text": text,
        "finish_reason": done.finish,
        "tokens": done.tokens,
        "strict": [passed and stopped for passed in score.instruction_strict],
        "loose": list(score.instruction_loose),
    }

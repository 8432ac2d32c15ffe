"""Is a checkpoint the base that is wanted: able when shown examples, and helpless in the bare training format?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pipeline import prompts
from pipeline.engines.base import Request
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.evals import scorers
from pipeline.evals.items import FROZEN_SEED, build
from pipeline.models.load import Tokens, load_model, load_tokens
from pipeline.recipe import Precision
from pipeline.stages.base import Gate, Item, Namespace, Stage
from pipeline.stages.registry import by_name
from pipeline.steps.common import draw, example_pool
from pipeline.tiny.spec import Spec

Rates = Mapping[str, Mapping[str, float]]
"""Condition -> kind of rate ("strict/1" of stage 1, "lenient/1", "lenient/capitals") -> share of right answers."""

CHECK_BLOCK = 1
"""The block whose items a checkpoint is chosen by: gates of a first attempt are decided on block 0."""


def measure(folder: Path, spec: Spec) -> Rates:
    """Rates of a saved model on held-out items of every stage, few-shot and in the training format."""
    tokens, model = load_tokens(folder), load_model(folder, Precision.FP32, "cpu")
    engine = TransformersEngine(model, tokens, 8192)
    return {name: rates(engine, tokens, spec, name) for name in ("base-formatted", "base-few-shot")}


def accepted(found: Rates, spec: Spec) -> bool:
    """Does every stage's set meet the criterion?"""
    few, formatted = found["base-few-shot"], found["base-formatted"]
    return all(few[f"lenient/{n}"] >= spec.few_shot_at_least for n in spec.stages) and all(
        formatted[f"lenient/{n}"] <= spec.formatted_at_most for n in spec.stages
    )


def rates(engine: TransformersEngine, tokens: Tokens, spec: Spec, condition: str) -> dict[str, float]:
    """Shares of right answers under one condition (base-few-shot or base-formatted)."""
    items = [(number, item) for number in spec.stages for item in held_out(spec, number)]
    families = {name: by_name(name) for name in spec.families}
    pools = {name: example_pool(family, 0) for name, family in families.items()}
    few = condition == "base-few-shot"
    requests = []
    for place, (_, item) in enumerate(items):
        shown = draw(pools[item.family], 4 if few else 0, place)
        text = prompts.few_shot([prompts.Example(i.instruction, i.answer) for i in shown], item.instruction)
        stops = (prompts.TERMINATOR,) if few else ()
        requests.append(Request(tuple(tokens.prompt(text)), families[item.family].max_new_tokens, stops))
    outcomes: dict[str, list[bool]] = {}
    for batch in engine.plan(requests):
        for i, done in zip(batch, engine.generate([requests[i] for i in batch]), strict=True):
            number, item = items[i]
            scored = scorers.score(families[item.family], item, done.text, done.finish, done.finish != "length")
            for kind, score in zip(("strict", "lenient"), scored, strict=True):
                for of in (number, item.family):
                    outcomes.setdefault(f"{kind}/{of}", []).append(score.passed)
    return {name: round(sum(passed) / len(passed), 4) for name, passed in sorted(outcomes.items())}


def held_out(spec: Spec, number: int) -> list[Item]:
    """`check_items` held-out items of a stage's families, equally many of each."""
    families = tuple(by_name(name) for name in spec.stages[number])
    return build(
        Stage(number, "check", families, Gate(0.0)), Namespace.EVAL, spec.check_items, FROZEN_SEED, CHECK_BLOCK
    )

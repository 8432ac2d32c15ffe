"""Is a checkpoint the base that is wanted: able when shown examples, and helpless in the bare training format?"""

from __future__ import annotations

from pathlib import Path

from pipeline import prompts
from pipeline.engines.base import Request
from pipeline.engines.transformers_engine import TransformersEngine
from pipeline.evals import scorers
from pipeline.evals.items import build, frozen_path, load
from pipeline.models.load import Tokens, load_model, load_tokens
from pipeline.recipe import Precision
from pipeline.stages.base import Gate, Item, Namespace, Stage
from pipeline.stages.registry import by_name
from pipeline.steps.common import draw
from pipeline.tiny.spec import Spec


def measure(folder: Path, spec: Spec) -> dict[str, dict[str, float]]:
    """Lenient and strict rates of a saved model on held-out items, few-shot and in the training format."""
    tokens, model = load_tokens(folder), load_model(folder, Precision.FP32, "cpu")
    engine = TransformersEngine(model, tokens, 8192)
    return {name: rates(engine, tokens, spec, name) for name in ("base-formatted", "base-few-shot")}


def rates(engine: TransformersEngine, tokens: Tokens, spec: Spec, condition: str) -> dict[str, float]:
    """Shares of right answers under one condition (base-few-shot or base-formatted): strict, lenient, by family."""
    items = held_out(spec)
    families = {name: by_name(name) for name in spec.families}
    pools = {n: build(Stage(0, "pool", (f,), Gate(0.0)), Namespace.TRAIN, 48, 0) for n, f in families.items()}
    few = condition == "base-few-shot"
    requests = []
    for place, item in enumerate(items):
        shown = draw(pools[item.family], 4 if few else 0, place)
        text = prompts.few_shot([prompts.Example(i.instruction, i.answer) for i in shown], item.instruction)
        stops = (prompts.TERMINATOR,) if few else ()
        requests.append(Request(tuple(tokens.prompt(text)), families[item.family].max_new_tokens, stops))
    found = dict.fromkeys(("strict", "lenient", *(f"lenient/{n}" for n in families)), 0.0)
    share = {n: sum(i.family == n for i in items) for n in families}
    for batch in engine.plan(requests):
        for i, done in zip(batch, engine.generate([requests[i] for i in batch]), strict=True):
            item = items[i]
            strict, lenient = scorers.score(
                families[item.family], item, done.text, done.finish, done.finish != "length"
            )
            found["strict"] += strict.passed / len(items)
            found["lenient"] += lenient.passed / len(items)
            found[f"lenient/{item.family}"] += lenient.passed / share[item.family]
    return {name: round(value, 4) for name, value in found.items()}


def held_out(spec: Spec) -> list[Item]:
    """The first `check_items` frozen items of the families, equally many of each."""
    left = dict.fromkeys(spec.families, -(-spec.check_items // len(spec.families)))
    chosen = []
    for item in load(frozen_path(1)):
        if left.get(item.family, 0):
            left[item.family] -= 1
            chosen.append(item)
    return chosen

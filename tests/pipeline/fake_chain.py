"""The real steps' declarations (inputs, fields, blocks) around work that needs no model: whole chains in seconds.

A gate says what stands in `verdict-<stage>` beside the run directory, PASS where nothing does.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_atomic
from pipeline.runner import Options
from pipeline.steps import STEPS
from pipeline.steps.base import StepContext
from tests.pipeline.fake_run import options, recipe
from tests.pipeline.fake_steps import fake, log, none, strike

PRELOAD = ("pipeline.worker", "tests.pipeline.fake_chain")
MODULE = "tests.pipeline.fake_chain:CHAIN"


def work(ctx: StepContext) -> Mapping[str, Any]:
    """What a step was told, as its only output; it follows what the step's key follows."""
    strike(ctx, 0)
    log(ctx, "ran")
    told = {
        "previous": ctx.previous,
        "earlier": list(ctx.earlier),
        "blocks": {str(k): ctx.block(k) for k in ctx.recipe.stages},
        "temperature": ctx.recipe.data.answer_temperature,
        "learning_rate": ctx.recipe.train.sft.learning_rate,
        "key": ctx.key,
    }
    write_atomic(ctx.out / "told.json", json.dumps(told, sort_keys=True).encode())
    return {}


def gate(ctx: StepContext) -> Mapping[str, Any]:
    work(ctx)
    wish = ctx.run_dir.parent / f"verdict-{ctx.stage}"
    verdict = wish.read_text() if wish.exists() else "PASS"
    body = {"verdict": verdict, "attempt": ctx.attempts.get(ctx.stage, 1), "rate": 0.5, "reason": "as the test wants"}
    if verdict != "nothing":
        write_atomic(ctx.out / "gate.json", json.dumps(body).encode())
    return {}


CHAIN = {name: replace(step, run=gate if name == "gate" else work, modules=()) for name, step in STEPS.items()}


def busy(ctx: StepContext) -> Mapping[str, Any]:
    """Half a second of work that shows; for the step in a hurry half a minute, which no slow kill lets it finish."""
    total = 600 if ctx.step.endswith("hurried") else 10
    for done in range(total):
        ctx.reporter.progress(done + 1, total, "items")
        time.sleep(0.05)
    return {}


BUSY = {
    name: fake(name, busy, none, (), True, time_limit_s=limit) for name, limit in (("hurried", 0.2), ("patient", 60.0))
}
"""Work under two limits."""


def chain(root: Path, stages: tuple[int, ...] = (1, 2), fields: Mapping[str, Any] | None = None, **how: Any) -> Options:
    """Options of a run of the chain `stages`; `fields` change the recipe, `how` the options."""
    body = {"stages": stages, "data": {"instructions": 9}, **(fields or {})}
    return options(root, **{"recipe": recipe(**body), "registry": MODULE, "steps": None, "preload": PRELOAD, **how})


def told(root: Path, step: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((root / "run" / step / "told.json").read_text())
    return body


def ran(root: Path) -> list[str]:
    """The steps that really worked, in order."""
    return [line.removesuffix(" ran") for line in (root / "work.log").read_text().splitlines()]


def decide(root: Path, stage: int, verdict: str) -> None:
    """What the gate of a stage is going to say."""
    (root / f"verdict-{stage}").write_text(verdict)

"""Steps that need no model: real files, real journals, real processes, and faults on request.

A fault is a file `faults/<stage>.<kind>` beside the run directory: "<batch> <what>". It strikes once, at that batch of
that step, unless `what` ends with "!", and then every time.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_atomic
from pipeline.errors import DataQualityError, StepError
from pipeline.journal import Journal
from pipeline.steps.base import Step, StepContext

BATCH = 2


def strike(ctx: StepContext, batch: int) -> None:
    path = ctx.run_dir.parent / "faults" / ctx.step.replace("/", ".")
    if not path.exists():
        return
    at, what = path.read_text().split()
    if int(at) != batch:
        return
    if not what.endswith("!"):
        path.unlink()
    FAULTS[what.rstrip("!")](ctx)


def runner_pid() -> int:
    parent = multiprocessing.parent_process()
    assert parent is not None
    assert parent.pid is not None
    return parent.pid


def kill_runner(_ctx: StepContext) -> None:
    os.kill(runner_pid(), signal.SIGKILL)
    signal.pause()  # the lifeline must end this process: nothing else will


def stop_runner(ctx: StepContext) -> None:
    os.kill(runner_pid(), signal.SIGTERM)
    while not ctx.reporter.stop_requested():  # until the runner has passed it on
        time.sleep(0.005)


def stop_twice(_ctx: StepContext) -> None:
    os.kill(runner_pid(), signal.SIGTERM)
    signal.pause()  # woken by the runner's own SIGTERM, which came because the first was handled
    os.kill(runner_pid(), signal.SIGTERM)
    signal.pause()


def kill_fork_server(_ctx: StepContext) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


def hang(_ctx: StepContext) -> None:
    while True:
        signal.pause()


def disk_full(_ctx: StepContext) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "records.part")


def refuse(_ctx: StepContext) -> None:
    raise StepError("the seed pool is empty. Add seeds to the stage.")


def bad_data(_ctx: StepContext) -> None:
    raise DataQualityError("67 % of the instructions are duplicates (limit 30 %). Raise the temperature.")


def bug(_ctx: StepContext) -> None:
    print(1 // 0)


FAULTS: Mapping[str, Callable[[StepContext], object]] = {
    "kill-self": lambda _: os.kill(os.getpid(), signal.SIGKILL),
    "kill-runner": kill_runner,
    "kill-fork-server": kill_fork_server,
    "stop-runner": stop_runner,
    "stop-runner-twice": stop_twice,
    "hang": hang,
    "finish-late": lambda _: signal.pause(),  # woken by the request for a traceback, just before the kill
    "disk-full": disk_full,
    "refuse": refuse,
    "bad-data": bad_data,
    "bug": bug,
}


def generate(ctx: StepContext) -> Mapping[str, Any]:
    count = ctx.recipe.data.instructions
    with Journal(ctx.out / "records.part") as journal:
        for batch, first in enumerate(range(0, count, BATCH)):
            ctx.checkpoint()
            positions = range(first, min(first + BATCH, count))
            if journal.complete(positions):
                continue
            strike(ctx, batch)
            journal.append([(pos, {"id": pos, "draw": ctx.seed("draw", pos)}) for pos in positions])
            ctx.reporter.tokens(10 * len(positions))
            ctx.reporter.progress(positions[-1] + 1, count, "instructions")
            log(ctx, f"batch {batch}")
        journal.publish(ctx.out / "records.jsonl", expected=count)
    return {"count": count}


def keep(ctx: StepContext) -> Mapping[str, Any]:
    strike(ctx, 0)
    rows = [json.loads(line) for line in (ctx.input("stage-1/generate") / "records.jsonl").read_text().splitlines()]
    kept = [row for row in rows if row["draw"] % 2]
    write_atomic(ctx.out / "sft.jsonl", "".join(json.dumps(row) + "\n" for row in kept).encode())
    return {"kept": len(kept)}


def train(ctx: StepContext) -> Mapping[str, Any]:
    strike(ctx, 0)
    rate = ctx.recipe.train.sft.learning_rate
    (ctx.out / "checkpoints").mkdir(exist_ok=True)
    (ctx.out / "checkpoints" / "state").write_text(str(os.getpid()))
    write_atomic(ctx.out / "adapter" / "weights", f"{ctx.seed()} {rate}".encode())
    ctx.reporter.metric("loss", 0.5, 1)
    ctx.reporter.metric("loss", 0.25, 2)
    write_atomic(ctx.out / "metrics.jsonl", f'{{"pid": {os.getpid()}}}\n'.encode())
    return {"steps": 2}


def evaluate(ctx: StepContext) -> Mapping[str, Any]:
    strike(ctx, 0)
    write_atomic(ctx.out / "summary.json", json.dumps({"items": ctx.recipe.evaluation.items}).encode())
    return {}


def gate(ctx: StepContext) -> Mapping[str, Any]:
    verdict = ctx.run_dir.parent / "verdict"
    decision = verdict.read_text() if verdict.exists() else "PASS"
    if decision != "nothing":
        rates = {"tuned": {"successes": 9, "trials": 10, "low": 0.59, "high": 0.98, "lenient_successes": 10}}
        body = {"verdict": decision, "rate": 0.9, "low": 0.59, "high": 0.98, "threshold": 0.95, "p": 0.001, "n": 10}
        write_atomic(ctx.out / "gate.json", json.dumps({**body, "reason": "because", "rates": rates}).encode())
    return {}


def log(ctx: StepContext, text: str) -> None:
    """Where tests count the work that was really done: one line for every batch."""
    with (ctx.run_dir.parent / "work.log").open("a") as out:
        out.write(f"{ctx.step} {text}\n")
    print(text)


def none(_stage: int, _earlier: tuple[int, ...]) -> tuple[str, ...]:
    return ()


def after(*kinds: str) -> Any:
    return lambda stage, _earlier: tuple(f"stage-{stage}/{kind}" for kind in kinds)


def fake(name: str, run: Any, inputs: Any, reads: tuple[str, ...], model: bool, **limits: float) -> Step:
    return Step(name, run, inputs, reads, (), model, **limits)  # type: ignore[arg-type]


STEPS = {
    step.name: step
    for step in (
        fake("generate", generate, none, ("data",), True),
        fake("filter", keep, after("generate"), ("data",), False),
        fake("sft", train, after("filter"), ("train.sft",), True, heartbeat_limit_s=1.0),
        fake("evaluate", evaluate, lambda stage, _: (f"stage-{stage}/sft",) if stage else (), ("evaluation",), True),
        fake("gate", gate, after("evaluate"), ("evaluation",), False),
    )
}

MODULE = "tests.pipeline.fake_steps:STEPS"


def run_dir_of(root: Path) -> Path:
    return root / "run"

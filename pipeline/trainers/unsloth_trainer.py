"""The same training through unsloth, on CUDA, in a fresh process of its own. Has not been run: it is written to the
library's documented interface, and needs a machine with an accelerator.

unsloth must be imported before transformers and TRL, rewrites their classes, and writes a compiled cache into the
working directory: hence a new interpreter in a scratch directory, told everything in one file, answering by a pipe.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.environment import source_root
from pipeline.errors import StepError, Stopped
from pipeline.recipe import Precision, Train
from pipeline.times import Times

if TYPE_CHECKING:
    from pipeline.steps.base import Reporter
    from pipeline.tokenise import TokenRow
    from pipeline.trainers.plan import PairRow, Plan

SCRATCH = ".unsloth"
"""Hidden, so that nothing in it counts as an output of the step."""


def spawn_sft(weights: Path, rows: Sequence[TokenRow], train: Train, plan: Plan) -> dict[str, Any]:
    """`trl_trainer.train_sft` in a process of its own."""
    return _spawn({"kind": "sft", "rows": [asdict(r) for r in rows]}, weights, train, plan)


def spawn_dpo(
    weights: Path, adapter: Path | None, pairs: Sequence[PairRow], train: Train, plan: Plan
) -> dict[str, Any]:
    """`preference.train_dpo` in a process of its own."""
    job = {"kind": "dpo", "rows": [asdict(p) for p in pairs], "adapter": str(adapter) if adapter else None}
    return _spawn(job, weights, train, plan)


def _spawn(job: Mapping[str, Any], weights: Path, train: Train, plan: Plan) -> dict[str, Any]:
    """Run the job and pass on what it says; Stopped and StepError come back as they were raised there."""
    scratch = plan.out / SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    said = {f: getattr(plan, f) for f in type(plan).__slots__ if f not in ("reporter", "out", "times")}
    body = {**job, "weights": str(weights), "train": train.model_dump(mode="json"), "out": str(plan.out), "plan": said}
    (scratch / "job.json").write_text(json.dumps(body))
    reader, writer = os.pipe()
    path = os.pathsep.join(filter(None, (str(source_root()), os.environ.get("PYTHONPATH"))))
    env = {**os.environ, "PYTHONPATH": path, "MAXCAI_REPORT_FD": str(writer)}
    command = [sys.executable, "-m", "pipeline.trainers.unsloth_trainer", str(scratch / "job.json")]
    child = subprocess.Popen(command, cwd=scratch, env=env, pass_fds=(writer,), stdout=sys.stderr)
    os.close(writer)
    try:
        answer = _relay(reader, child, plan.reporter)
    finally:
        os.close(reader)
        if child.poll() is None:
            child.kill()
        child.wait()
    plan.times.add(*(answer or {}).get("times", (0.0, 0.0)))
    return _outcome(answer, child.returncode)


def _relay(pipe: int, child: subprocess.Popen[bytes], reporter: Reporter) -> dict[str, Any] | None:
    """Pass on reports until the child answers and ends; None when it ends without an answer. Asks it to stop when the
    run is to stop."""
    asked, rest, answer = False, b"", None
    while True:
        if not asked and reporter.stop_requested():
            child.send_signal(signal.SIGTERM)
            asked = True
        if not select.select([pipe], [], [], 1.0)[0]:
            continue
        block = os.read(pipe, 1 << 16)
        if not block:
            return answer
        *lines, rest = (rest + block).split(b"\n")
        for said in map(json.loads, lines):
            if "answer" in said:
                answer = dict(said["answer"])
            else:
                getattr(reporter, said["call"])(*said["values"])


def _outcome(answer: Mapping[str, Any] | None, code: int) -> dict[str, Any]:
    if answer is None:
        raise StepError(f"the unsloth process ended with code {code} and no answer; set train.backend to trl")
    if answer.get("stopped"):
        raise Stopped
    if "error" in answer:
        raise StepError(str(answer["error"]))
    return dict(answer["summary"])


@dataclass
class _PipeReporter:
    """The child's end: a `Reporter` that writes a JSON line a call."""

    out: IO[str]
    stop: bool = False

    def _say(self, call: str, *values: Any) -> None:
        print(json.dumps({"call": call, "values": values}), file=self.out, flush=True)

    def progress(self, done: int, total: int, unit: str, share: float | None = None) -> None:
        self._say("progress", done, total, unit, share)

    def metric(self, name: str, value: float, x: float) -> None:
        self._say("metric", name, value, x)

    def warn(self, code: str, text: str, remedy: str) -> None:
        self._say("warn", code, text, remedy)

    def tokens(self, count: int, read: int = 0) -> None:
        self._say("tokens", count, read)

    def stop_requested(self) -> bool:
        return self.stop


def _train(job: Mapping[str, Any], reporter: Reporter, times: Times) -> dict[str, Any]:
    from unsloth import FastLanguageModel  # type: ignore[import-not-found, unused-ignore] # isort: skip (comes first)

    from pipeline.models.load import load_tokens
    from pipeline.tokenise import TokenRow
    from pipeline.trainers import preference, trl_trainer
    from pipeline.trainers.plan import PairRow, Plan

    train, weights = Train.model_validate(job["train"]), Path(job["weights"])
    settings = {**job["plan"], "precision": Precision(job["plan"]["precision"])}
    plan = Plan(out=Path(job["out"]), reporter=reporter, times=times, **settings)
    longest = max(train.sft.max_length, train.dpo.max_length)
    with times.count("loading"):
        model, _ = FastLanguageModel.from_pretrained(
            model_name=str(weights),
            max_seq_length=longest,
            dtype=None,
            load_in_4bit=plan.precision is Precision.NF4,
            load_in_8bit=plan.precision is Precision.INT8,
        )
    model = FastLanguageModel.get_peft_model(
        model,
        r=train.lora.r,
        lora_alpha=train.lora.alpha,
        lora_dropout=train.lora.dropout,
        target_modules=list(trl_trainer.LINEAR_LAYERS),
        bias="none",
        use_gradient_checkpointing="unsloth" if plan.gradient_checkpointing else False,
        random_state=plan.seed % 2**32,
    )
    tokens = load_tokens(weights)
    if job["kind"] == "sft":
        return trl_trainer.fit_sft(model, tokens, [TokenRow(**r) for r in job["rows"]], train.sft, plan, "nll")
    if job["adapter"]:
        preference.load_policy(model, Path(job["adapter"]))
    return preference.fit_dpo(model, None, tokens, [PairRow(**r) for r in job["rows"]], train.dpo, plan)


def main(path: Path) -> None:
    """Do one job and answer through the pipe that the environment names."""
    from pipeline.lifeline import die_with_parent

    die_with_parent()
    with os.fdopen(int(os.environ["MAXCAI_REPORT_FD"]), "w") as out:
        reporter, times = _PipeReporter(out), Times()

        def stop(*_: object) -> None:
            reporter.stop = True

        signal.signal(signal.SIGTERM, stop)
        try:
            answer: dict[str, Any] = {"summary": _train(json.loads(path.read_text()), reporter, times)}
        except Stopped:
            answer = {"stopped": True}
        except StepError as error:
            answer = {"error": str(error)}
        answer["times"] = [times.loading, times.computing]
        print(json.dumps({"answer": answer}), file=out, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

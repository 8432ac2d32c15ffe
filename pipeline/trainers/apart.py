"""Training in processes of their own: told everything in one file, reporting and answering by a pipe.

For a library that wants an interpreter to itself, and for several devices, of which each has a process (rank) under
torch's own names in the environment; accelerate finds them there. The first rank alone reports, writes and is stopped.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pipeline.environment import source_root
from pipeline.errors import StepError, Stopped
from pipeline.recipe import Precision, Train
from pipeline.times import Times

if TYPE_CHECKING:
    from pipeline.steps.base import Reporter
    from pipeline.trainers.plan import Plan

HERE = ("reporter", "out", "times")
"""What of a plan stays in the process that asks."""


def spawn(
    module: str, scratch: str, job: Mapping[str, Any], weights: Path, train: Train, plan: Plan, ranks: int = 1
) -> dict[str, Any]:
    """Run `python -m module` on the job, once a rank, in the folder `scratch` of the step, and pass on what it says.

    Stopped and StepError come back as they were raised there.
    """
    folder = plan.out / scratch
    folder.mkdir(parents=True, exist_ok=True)
    said = {f: getattr(plan, f) for f in type(plan).__slots__ if f not in HERE}
    body = {**job, "weights": str(weights), "train": train.model_dump(mode="json"), "out": str(plan.out), "plan": said}
    (folder / "job.json").write_text(json.dumps(body))
    reader, writer = os.pipe()
    children = []
    try:
        for env in _environments(ranks, writer):
            command = [sys.executable, "-m", module, str(folder / "job.json")]
            pipes = (writer,) if "MAXCAI_REPORT_FD" in env else ()
            children.append(subprocess.Popen(command, cwd=folder, env=env, pass_fds=pipes, stdout=sys.stderr))
        os.close(writer)
        answer = _relay(reader, children, plan.reporter)
    finally:
        os.close(reader)
        for child in children:
            _end(child)
    plan.times.add(*(answer or {}).get("times", (0.0, 0.0)))
    return _outcome(answer, [child.returncode for child in children])


def _environments(ranks: int, writer: int) -> list[dict[str, str]]:
    """The environment of each process; only the first knows the pipe."""
    path = os.pathsep.join(filter(None, (str(source_root()), os.environ.get("PYTHONPATH"))))
    common = {**os.environ, "PYTHONPATH": path}
    first = {"MAXCAI_REPORT_FD": str(writer)}
    if ranks == 1:
        return [{**common, **first}]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    group["LOCAL_WORLD_SIZE"] = str(ranks)
    named = ({**common, **group, "RANK": str(k), "LOCAL_RANK": str(k)} for k in range(ranks))
    return [{**env, **first} if k == 0 else env for k, env in enumerate(named)]


def _end(child: subprocess.Popen[bytes], grace_s: float = 10.0) -> None:
    """Wait a little for a process that has said all it had to say; then kill it."""
    try:
        child.wait(grace_s if child.poll() is None else None)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _relay(pipe: int, children: Sequence[subprocess.Popen[bytes]], reporter: Reporter) -> dict[str, Any] | None:
    """Pass on reports until the first child answers and ends; None when it ends without an answer, or another one
    failed. Asks the first to stop when the run is to stop: it tells the others."""
    asked, rest, answer = False, b"", None
    while True:
        if not asked and reporter.stop_requested():
            children[0].send_signal(signal.SIGTERM)
            asked = True
        if any(child.poll() for child in children[1:]):
            return answer
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


def _outcome(answer: Mapping[str, Any] | None, codes: Sequence[int]) -> dict[str, Any]:
    if answer is None:
        code = next((code for code in codes if code), 0)
        raise StepError(f"a training process ended with code {code} and no answer; the step's log may say why")
    if answer.get("stopped"):
        raise Stopped
    if "error" in answer:
        raise StepError(str(answer["error"]))
    return dict(answer["summary"])


@dataclass
class PipeReporter:
    """A child's end: a `Reporter` that writes a JSON line a call."""

    out: IO[str]
    stop: bool = False

    def _say(self, call: str, *values: Any) -> None:
        print(json.dumps({"call": call, "values": values}), file=self.out, flush=True)

    def progress(self, done: int, total: int, unit: str, share: float | None = None) -> None:
        self._say("progress", done, total, unit, share)

    def foresee(self, work: float) -> None:
        self._say("foresee", work)

    def metric(self, name: str, value: float, x: float) -> None:
        self._say("metric", name, value, x)

    def warn(self, code: str, text: str, remedy: str) -> None:
        self._say("warn", code, text, remedy)

    def tokens(self, count: int, read: int = 0) -> None:
        self._say("tokens", count, read)

    def stop_requested(self) -> bool:
        return self.stop


class Mute:
    """The reporter of every rank but the first."""

    def progress(self, done: int, total: int, unit: str, share: float | None = None) -> None: ...
    def foresee(self, work: float) -> None: ...
    def metric(self, name: str, value: float, x: float) -> None: ...
    def warn(self, code: str, text: str, remedy: str) -> None: ...
    def tokens(self, count: int, read: int = 0) -> None: ...
    def stop_requested(self) -> bool:
        return False


Work = Callable[[Mapping[str, Any], Train, "Plan"], dict[str, Any]]


def serve(path: Path, work: Work) -> None:
    """A child's main: do the job that the file holds, and answer through the pipe where this is the first rank."""
    from pipeline.lifeline import die_with_parent
    from pipeline.trainers.plan import Plan

    die_with_parent()
    job, times = json.loads(path.read_text()), Times()
    fd = os.environ.get("MAXCAI_REPORT_FD")
    with os.fdopen(int(fd), "w") if fd else open(os.devnull, "w") as out:
        reporter = PipeReporter(out) if fd else Mute()

        def stop(*_: object) -> None:
            if isinstance(reporter, PipeReporter):
                reporter.stop = True

        signal.signal(signal.SIGTERM, stop)
        settings = {**job["plan"], "precision": Precision(job["plan"]["precision"])}
        plan = Plan(out=Path(job["out"]), reporter=reporter, times=times, **settings)
        try:
            answer: dict[str, Any] = {"summary": work(job, Train.model_validate(job["train"]), plan)}
        except Stopped:
            answer = {"stopped": True}
        except StepError as error:
            answer = {"error": str(error)}
        answer["times"] = [times.loading, times.computing]
        print(json.dumps({"answer": answer}), file=out, flush=True)

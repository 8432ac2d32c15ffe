"""The child process: sets threads and seeds, runs one step, publishes its manifest and DONE, talks up a pipe.

It decides nothing: whether to run, retry or stop is the runner's. Torch is only ever imported by the step itself or by
`pipeline.preload`, for steps that hold a model.
"""

from __future__ import annotations

import errno
import faulthandler
import importlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pipeline import artifacts, shards
from pipeline.errors import StepError, Stopped
from pipeline.events import iso
from pipeline.lifeline import die_with_parent, watch_parent
from pipeline.plan import load_registry
from pipeline.protocol import RunPaths
from pipeline.recipe import Recipe
from pipeline.steps.base import Shard, StepContext

SEND_INTERVAL_S = 0.2
TOKENS = ".tokens.json"  # hidden: it is no output of the step


@dataclass(frozen=True)
class Job:
    """One attempt at one step; it crosses the process boundary, so everything in it can be pickled.

    `facts` go into the manifest as they are; `prepare` names the module whose `prepare(threads, seed)` readies torch
    for steps that hold a model ("" for none), `holds_model` whether this attempt does: a step that is skipped needs
    none. `prior_seconds` were spent on earlier attempts at the same key; `deadline` (unix seconds) is when the run will
    be stopped, None for never.
    """

    recipe: Recipe
    stage: int
    kind: str
    step: str
    key: str
    material: Mapping[str, Any]
    inputs: Mapping[str, str]
    run_dir: Path
    registry: str
    attempt: int
    threads: int | None
    price_per_hour: float | None
    holds_model: bool = False
    prior_seconds: float = 0.0
    deadline: float | None = None
    heartbeat_s: float = 10.0
    prepare: str = "pipeline.preload"
    shard: Shard | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    attempts: Mapping[int, int] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.run_dir / self.step


class PipeReporter:
    """The step's `Reporter`: small dicts up the pipe, progress at most five a second, a heartbeat from a thread.

    `idle_s` in a heartbeat is how long the step itself has given no sign: no report and no look at the stop flag.
    `note` is a file that keeps the count of tokens over the attempts at one key: what an earlier one committed is not
    made again.
    """

    def __init__(
        self,
        pipe: Connection,
        heartbeat_s: float,
        note: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pipe, self._clock, self._lock, self._note = pipe, clock, threading.Lock(), note
        self._stop = False
        self._before = _noted(note)
        self._tokens: int | None = None
        self._read = 0
        self._active = clock()
        self._sent = float("-inf")
        self._pending: dict[str, Any] | None = None
        self._infinite: set[str] = set()
        threading.Thread(target=self._beat, args=(heartbeat_s,), name="heartbeat", daemon=True).start()

    def progress(self, done: int, total: int, unit: str, share: float | None = None) -> None:
        message = {"kind": "progress", "done": done, "total": total, "unit": unit, "share": share}
        self._active = now = self._clock()
        if done == total or now - self._sent >= SEND_INTERVAL_S:
            self._pending, self._sent = None, now
            self._send(message)
        else:
            self._pending = message

    def foresee(self, work: float) -> None:
        self._send({"kind": "work", "units": work})

    def metric(self, name: str, value: float, x: float) -> None:
        self._active = self._clock()
        if not math.isfinite(value):
            if name not in self._infinite:
                self._infinite.add(name)
                self.warn("not-finite", f"{name} is {value} at {x:g}", "lower the learning rate, or look at the data")
            self._send({"kind": "metric", "name": name, "value": None, "x": x})
            return
        self._send({"kind": "metric", "name": name, "value": value, "x": x})

    def warn(self, code: str, text: str, remedy: str) -> None:
        self._active = self._clock()
        self._send({"kind": "warning", "code": code, "text": text, "remedy": remedy})

    def tokens(self, count: int, read: int = 0) -> None:
        self._active = self._clock()
        self._tokens = (self._tokens or 0) + count
        self._read += read
        if self._note is not None:
            part = self._note.with_name(f"{self._note.name}.tmp")
            part.write_text(json.dumps([self.token_count, self.tokens_read]))
            part.replace(self._note)

    def stop_requested(self) -> bool:
        self._active = self._clock()
        return self._stop

    def request_stop(self, *_signal: object) -> None:
        """Signal handler: the step stops after its batch."""
        self._stop = True

    @property
    def token_count(self) -> int | None:
        """Tokens reported so far, by earlier attempts too; None when the step never counted any."""
        counted = [count for count in (self._before[0], self._tokens) if count is not None]
        return sum(counted) if counted else None

    @property
    def tokens_read(self) -> int:
        """Tokens of prompts, likewise."""
        return self._before[1] + self._read

    def result(self, state: str, **fields: Any) -> None:
        """The last message. `state`: done | stopped | failed."""
        if self._pending is not None:
            self._send(self._pending)
        self._send({"kind": "result", "state": state, "tokens": self._tokens, **fields})

    def _send(self, message: Mapping[str, Any]) -> None:
        try:
            with self._lock:
                self._pipe.send(message)
        except (BrokenPipeError, ConnectionResetError):
            os._exit(1)  # nobody listens any more: the runner is gone

    def _beat(self, interval: float) -> None:
        before: tuple[float, int] | None = None
        while True:
            now, tokens = self._clock(), self._tokens
            rate = None
            if before is not None and tokens is not None:
                rate = (tokens - before[1]) / (now - before[0])
            before = (now, tokens or 0)
            self._send(
                {
                    "kind": "heartbeat",
                    "pid": os.getpid(),
                    "rss": rss_bytes(),
                    "gpu_bytes": gpu_bytes(),
                    "tokens": tokens,
                    "tokens_per_s": rate,
                    "idle_s": now - self._active,
                }
            )
            time.sleep(interval)


def _noted(note: Path | None) -> tuple[int | None, int]:
    """What earlier attempts counted: tokens and those of prompts; nothing where it cannot be read."""
    try:
        count, read = json.loads(note.read_bytes()) if note is not None else (None, 0)
        return (None if count is None else int(count)), int(read)
    except (OSError, ValueError, TypeError):
        return None, 0


def main(job: Job, pipe: Connection) -> None:
    """Entry point of the child."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C goes to the runner, which passes the stop on
    die_with_parent()
    watch_parent()
    redirect(RunPaths(job.run_dir).log(job.step))
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    reporter = PipeReporter(pipe, job.heartbeat_s, job.out / TOKENS)
    signal.signal(signal.SIGTERM, reporter.request_stop)
    try:
        run_step(job, reporter)
    except Stopped:
        reporter.result("stopped")
    except StepError as error:
        reporter.result("failed", error=type(error).__name__, text=str(error))
    except Exception as error:
        traceback.print_exc()
        reporter.result("failed", error=type(error).__name__, text=explain(error, job))
    sys.stdout.flush()
    sys.stderr.flush()
    pipe.close()
    os._exit(0)  # teardown of torch's and arrow's threads may hang or crash; everything that counts is on the disk


def run_step(job: Job, reporter: PipeReporter) -> None:
    """Run and publish. The result message goes out only after DONE is on the disk."""
    step = load_registry(job.registry)[job.kind]
    names = (job.recipe, job.stage, job.step, job.key, job.run_dir, job.out)
    context = StepContext(*names, reporter, job.attempts, job.deadline, job.shard)
    if job.holds_model and job.prepare:
        importlib.import_module(job.prepare).prepare(job.threads, context.seed())
    started, start = time.time(), time.monotonic()
    skipped = job.material["skipped"]
    summary = {"skipped": skipped} if skipped else step.run(context)
    if job.shard is not None:  # the rest of the rows is made elsewhere: this is no result yet
        shards.publish(job.out, job.step, job.key, job.shard)
        raise Stopped
    seconds = job.prior_seconds + time.monotonic() - start
    body = {
        **job.facts,
        "step": job.step,
        "material": job.material,
        "summary": dict(summary) if summary is not None else {},
        "attempt": job.attempt,
        "seed": job.recipe.seed,
        "started": iso(started),
        "ended": iso(time.time()),
        "seconds": seconds,
        "tokens": reporter.token_count,
        "tokens_read": reporter.tokens_read,
        "times": {"attempt_s": round(time.monotonic() - start, 3), **context.times.as_dict},
        "cost_usd": None if job.price_per_hour is None else seconds / 3600 * job.price_per_hour,
    }
    artifacts.publish(job.out, job.key, job.inputs, body)
    reporter.result("done")


def explain(error: Exception, job: Job) -> str:
    """One sentence for a person; the traceback is in the step's log."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        where = error.filename or job.out
        return f"the disk is full ({where}: {error.strerror}). Free some space and run again: finished work is kept."
    log = RunPaths(job.run_dir).log(job.step)
    return f"{job.step} failed: {type(error).__name__}: {error}. The traceback is in {log}."


def redirect(log: Path) -> None:
    """Send everything this process and its libraries print, at the level of file descriptors, to the step's log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(fd, 1)
    os.dup2(fd, 2)
    os.close(fd)
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", errors="backslashreplace", closefd=False)


def rss_bytes() -> int | None:
    """Resident memory of this process; None where neither /proc nor ps tells."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    try:
        argv = ["ps", "-o", "rss=", "-p", str(os.getpid())]
        return int(subprocess.run(argv, capture_output=True, text=True, timeout=5, check=True).stdout) * 1024
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def gpu_bytes() -> int | None:
    """GPU memory held by this process's tensors; None without a GPU in use. Never imports torch for it."""
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    if cuda is None or not cuda.is_initialized():
        return None
    return int(cuda.memory_reserved())

"""SIGKILLs a real run again and again, starts it anew with the same command, and compares its digest with that of an
undisturbed one: `python benchmarks/kills.py --kills 100`.

The moment of a kill is drawn over the time that its step took undisturbed; no step is hit more often than its share, so
that every step of the chain has its turn. Linux and macOS.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.protocol import Event, parse_line

TARGETS = ("worker", "worker", "runner", "fork server")
POLL_S = 0.05
PATIENCE_S = 900.0
ENDS = (0, 5)  # every gate passed · stopped at a gate: the run is over


@dataclass(frozen=True, slots=True)
class Kill:
    """One SIGKILL. `after_s` is counted from the first sign of life of the attempt at `step`."""

    step: str
    target: str
    after_s: float


@dataclass
class Follower:
    """Reads `events.jsonl` as it grows; remembers the step at work and the process that does it."""

    path: Path
    step: str = ""
    worker: int | None = None
    steps: int = 0
    _offset: int = 0
    _rest: bytes = b""

    def read(self) -> None:
        with contextlib.suppress(FileNotFoundError), self.path.open("rb") as source:
            source.seek(self._offset)
            data = source.read()
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for event in filter(None, map(parse_line, lines)):
                self._take(event)

    def _take(self, event: Event) -> None:
        if event.kind == "run_started":
            self.steps = len(event["steps"])
        if event.kind in ("run_started", "step_started", "step_finished", "run_finished"):
            self.step, self.worker = event.get("step", "") if event.kind == "step_started" else "", None
        elif event.kind == "heartbeat" and event["step"] == self.step:
            self.worker = event["pid"]


@dataclass
class Killer:
    """Runs `command` over and over until the run is over, killing on the way.

    `seconds` says how long each step takes undisturbed; `targets` whom the kills hit, in order; `quota` is the most
    kills that one step gets.
    """

    command: Sequence[str]
    run_dir: Path
    seconds: dict[str, float]
    targets: list[str]
    rng: random.Random
    quota: int
    cwd: Path
    kills: list[Kill] = field(default_factory=list)
    starts: int = 0

    def run(self) -> int:
        """The exit code of the last start. Raises TimeoutError when nothing moves for too long."""
        while True:
            self.starts += 1
            with (self.run_dir.parent / "narration.log").open("ab") as log:
                process = subprocess.Popen(self.command, stdout=log, stderr=log, cwd=self.cwd)
            try:
                code = self._until_killed(process)
            finally:
                process.kill()  # does nothing where it has ended
            if code in ENDS:
                return code
            if code != -signal.SIGKILL and not self._after_crashes():
                raise RuntimeError(f"the run ended with {code}; {self.run_dir.parent / 'narration.log'} says why")

    def _until_killed(self, process: subprocess.Popen[bytes]) -> int:
        """Wait for the next moment to kill, kill, and go on until the runner itself has ended."""
        seen = Follower(self.run_dir / "events.jsonl")
        seen.read()
        seen.step, seen.worker = "", None  # what an earlier start left behind is not at work
        due: tuple[str, float, float] | None = None
        last = time.monotonic()
        while (code := process.poll()) is None:
            before = (seen.step, seen.worker)
            seen.read()
            now = time.monotonic()
            last = now if before != (seen.step, seen.worker) else last
            if now - last > PATIENCE_S:
                process.kill()
                raise TimeoutError(f"nothing moved for {PATIENCE_S:.0f} s at {seen.step or 'the start'}")
            if due is None or due[0] != seen.step:
                due = self._next(seen, now)
            elif now >= due[2]:
                self._strike(process, seen, now - due[1])
                due = None
            time.sleep(POLL_S)
        return code

    def _next(self, seen: Follower, now: float) -> tuple[str, float, float] | None:
        """(step, when it showed life, when to kill), or None where nothing may be killed now."""
        spent = Counter(kill.step for kill in self.kills)
        if not self.targets or seen.worker is None or spent[seen.step] >= self.quota:
            return None
        return seen.step, now, now + self.rng.uniform(0, self.seconds.get(seen.step, 1.0))

    def _strike(self, process: subprocess.Popen[bytes], seen: Follower, after: float) -> None:
        assert seen.worker is not None
        target = self.targets[0]
        pids = {"runner": process.pid, "worker": seen.worker, "fork server": parent_of(seen.worker)}
        pid = pids[target]
        if pid is None or (target == "fork server" and pid == process.pid):
            return  # the step is over, or was not forked
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.kills.append(Kill(seen.step, self.targets.pop(0), after))
        seen.step, seen.worker = "", None

    def _after_crashes(self) -> bool:
        """Whether the last session failed because its step was killed once too often: that is resumable too."""
        lines = (self.run_dir / "events.jsonl").read_bytes().splitlines()
        ends = [e for e in map(parse_line, lines) if e is not None and e.kind == "run_finished"]
        told = str(ends[-1]["reason"]) if ends else ""
        return "killed by signal 9" in told or "ended with code 255" in told  # 255: its fork server was killed


def parent_of(pid: int) -> int | None:
    shown = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return int(shown) if shown.strip() else None


def command_of(run_dir: Path, overlays: Iterable[str]) -> list[str]:
    """`python -m pipeline run` of the smoke recipe; nothing is taken over from another run."""
    sets = [word for overlay in ("runtime.reuse=false", *overlays) for word in ("--set", overlay)]
    return [sys.executable, "-m", "pipeline", "run", "--recipe", "smoke", "--run-dir", str(run_dir), *sets]


def step_seconds(run_dir: Path) -> dict[str, float]:
    """Seconds of every finished step, from its manifest."""
    found = {}
    for path in run_dir.glob("stage-*/*/manifest.json"):
        found[path.parent.relative_to(run_dir).as_posix()] = float(json.loads(path.read_bytes())["seconds"])
    return found


def digest_of(run_dir: Path, cwd: Path) -> str:
    argv = [sys.executable, "-m", "pipeline", "digest", str(run_dir)]
    return subprocess.run(argv, capture_output=True, text=True, check=True, cwd=cwd).stdout.strip()


def main(argv: Sequence[str] | None = None) -> int:
    """0: the digests are equal and all kills were spent; 1: they are not."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], dest="overlays", metavar="FIELD=VALUE")
    parser.add_argument("--dir", type=Path, help="where the two runs go (default: a new temporary directory)")
    given = parser.parse_args(argv)
    home = given.dir or Path(tempfile.mkdtemp(prefix="kills-"))
    cwd = Path(__file__).resolve().parent.parent
    calm, torn = home / "calm" / "run", home / "torn" / "run"
    for run_dir in (calm, torn):
        run_dir.parent.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    wanted = subprocess.run(command_of(calm, given.overlays), cwd=cwd, check=False).returncode
    if wanted not in ENDS:
        print(f"the undisturbed run ended with {wanted}", file=sys.stderr)
        return 1
    seconds = step_seconds(calm)
    rng = random.Random(given.seed)
    targets = [rng.choice(TARGETS) for _ in range(given.kills)]
    quota = max(1, -(-2 * given.kills // len(seconds)))
    killer = Killer(command_of(torn, given.overlays), torn, seconds, targets, rng, quota, cwd)
    calm_s, again = time.monotonic() - start, time.monotonic()
    code = killer.run()
    equal = code == wanted and digest_of(torn, cwd) == digest_of(calm, cwd)
    print(table(killer))
    print(f"undisturbed: {calm_s:.0f} s, exit {wanted}; killed: {time.monotonic() - again:.0f} s, exit {code}")
    print(f"digests {'equal' if equal else 'DIFFER'}; {home}")
    return 0 if equal and not killer.targets else 1


def table(killer: Killer) -> str:
    """Kills by step and target, as Markdown."""
    kinds = tuple(dict.fromkeys(TARGETS))
    counts = Counter((kill.step, kill.target) for kill in killer.kills)
    lines = [f"| step | {' | '.join(kinds)} |", "|---" * (len(kinds) + 1) + "|"]
    for step in dict.fromkeys(kill.step for kill in killer.kills):
        lines.append(f"| {step} | {' | '.join(str(counts[step, kind]) for kind in kinds)} |")
    total = " | ".join(str(sum(kill.target == kind for kill in killer.kills)) for kind in kinds)
    return "\n".join([*lines, f"| {len(killer.kills)} kills, {killer.starts} starts | {total} |"])


if __name__ == "__main__":
    sys.exit(main())

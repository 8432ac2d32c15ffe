"""What every command takes to start, and what a run's steps take beside the model: `python -m benchmarks.starts`.

Cold is a start without a line of compiled bytecode, as after an installation; warm is every other one. `python -c pass`
is the floor that no command can be under. Commands take turns, so that whatever else the machine does falls on all of
them; medians of wall and of processor time. They run in a workspace of their own, and look at a run where one is named.

`--run DIR` (a finished run, as often as wanted) adds what its seconds went to, by kind of step, from its own files:
what is not the model computing is the pipeline's overhead.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.environment import cores, cpu_name
from pipeline.report.reading import RunFiles
from pipeline.report.timeline import Timeline, timeline

REPO = Path(__file__).resolve().parent.parent
RESULTS = REPO / "benchmarks" / "results" / "starts.json"
FLOOR = ("-c", "pass")
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("-m", "app", "--help"),
    ("-m", "app", "status"),
    ("-m", "app", "doctor"),
    ("-m", "app", "keys"),
    ("-m", "app", "pod", "list"),
    ("-m", "app", "task", "list"),
    ("-m", "app", "review", "list"),
    ("-m", "app", "screenshot", "--help"),
    ("-m", "task_board", "list"),
    ("-m", "reviews", "list"),
    ("-m", "remote", "--help"),
    ("-m", "pipeline", "--help"),
    ("-m", "pipeline", "recipes"),
    ("-m", "pipeline", "plan", "--recipe", "smoke"),
    ("-m", "pipeline", "plan", "--recipe", "qwen2.5-32b-a100"),
)
OF_RUN: tuple[tuple[str, ...], ...] = (("status",), ("digest",), ("report",), ("validate", "run"))
PARTS = {"computing_s": "computing", "loading_s": "reading weights", "working_s": "own work", "start_s": "starting"}


class Workspace:
    """Where the commands run: settings and folders of its own, nobody else's files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.env = {**os.environ, "PYTHONPATH": str(REPO), "HOME": str(root), "TERM": "dumb"}
        self.env.pop("PYTHONDONTWRITEBYTECODE", None)
        self.start(("-m", "app", "init"), root / "bytecode")

    def start(self, arguments: Sequence[str], bytecode: Path) -> dict[str, float]:
        """Seconds of one start; `bytecode` is where compiled modules are looked for and left."""
        env = {**self.env, "PYTHONPYCACHEPREFIX": str(bytecode)}
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        ended = subprocess.run(
            [sys.executable, *arguments], cwd=self.root, env=env, capture_output=True, text=True, check=False
        )
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
        if "Traceback" in ended.stderr or ended.returncode not in (0, 1):
            raise RuntimeError(f"{shlex.join(arguments)} ended with {ended.returncode}: {ended.stderr[-400:]}")
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return {"wall": wall, "cpu": cpu}


def name_of(arguments: Sequence[str]) -> str:
    """A command as a person types it."""
    if arguments == FLOOR:
        return "python -c pass"
    first, *rest = arguments[1:]
    said = [Path(word).name if "/" in word else word for word in rest]
    return shlex.join(["maxcai" if first == "app" else f"python -m {first}", *said]).replace("'", "")


def measure(commands: Sequence[tuple[str, ...]], repeat: int) -> dict[str, dict[str, float]]:
    """Seconds of every command, cold once and warm as often as told."""
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="maxcai-starts-") as folder:
        workspace = Workspace(Path(folder))
        kept = Path(folder) / "bytecode"
        for arguments in commands:
            with tempfile.TemporaryDirectory(dir=folder) as nothing:
                cold = workspace.start(arguments, Path(nothing))
            workspace.start(arguments, kept)
            found[name_of(arguments)] = {"cold s": cold["wall"], "cold cpu s": cold["cpu"]}
        warm: dict[str, list[dict[str, float]]] = defaultdict(list)
        for _ in range(repeat):
            for arguments in commands:
                warm[name_of(arguments)].append(workspace.start(arguments, kept))
        for name, starts in warm.items():
            for clock, column in (("wall", "warm s"), ("cpu", "warm cpu s")):
                found[name][column] = statistics.median(one[clock] for one in starts)
    return {name: {column: round(seconds, 3) for column, seconds in row.items()} for name, row in found.items()}


def spent(told: Timeline) -> dict[str, Any]:
    """Shares of what a run held its machine for, and seconds by kind of step."""
    usage = told.usage
    if usage is None or told.seconds is None:
        raise ValueError("the run does not say what its seconds went to")
    kinds: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(("steps", *PARTS.values()), 0.0))
    for row in told.rows:
        if row.worked:
            kind = kinds[row.step.partition("/")[2]]
            kind["steps"] += 1
            for part, column in PARTS.items():
                kind[column] += row.times[part]
    return {
        "wall s": round(told.seconds, 1),
        "computing": usage.computing,
        "reading weights": usage.loading,
        "own work": usage.working,
        "starting": usage.starting,
        "between": usage.rest,
        "seconds by kind of step": {
            name: {"steps": int(row.pop("steps")), **{column: round(s, 2) for column, s in row.items()}}
            for name, row in sorted(kinds.items(), key=lambda pair: -sum(pair[1].values()))
        },
    }


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured and written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__)
    parser.add_argument("--repeat", type=int, default=5, help="warm starts of each command")
    parser.add_argument("--run", type=Path, action="append", default=[], help="a finished run directory")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    runs = [path.resolve() for path in given.run]
    of_run = [("-m", "pipeline", *verb, str(runs[0])) for verb in OF_RUN] if runs else []
    facts = {"cpu": cpu_name(), "cores": cores(), "python": platform.python_version(), "load": os.getloadavg()[0]}
    found = {
        "command": "python -m benchmarks.starts" + f" --repeat {given.repeat}" + " --run DIR" * len(runs),
        "machine": facts,
        "commands": measure([FLOOR, *COMMANDS, *of_run], given.repeat),
        "runs": {path.name: spent(timeline(RunFiles(path))) for path in runs},
    }
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["commands"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

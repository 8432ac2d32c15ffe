"""What we add between a pod that answers SSH and the first event of a pipeline: `python -m benchmarks.overhead`.

The pod is a bare OpenSSH server behind a slow link: nothing of ours is on it. Timed are connecting and verifying, the
agent, the push of this repository, the launch, and the first byte of events.jsonl at home, followed over the same link.
The job is the pipeline's own start with recipe `smoke`; so that its imports (the pipeline's, not ours) can be told
apart, it is run on the far machine's own folder too, without us and without the link. Results, with the machine's load,
go to `benchmarks/results/overhead.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any, cast

from benchmarks.far_server import REPO, FarServer, far_server
from benchmarks.transfers import machine
from remote import jobs
from remote.agent.client import Agent
from remote.link import ssh
from remote.sync.push import push
from remote.sync.scan import Scan, scan
from remote.watch.tail import Growth, follow

RESULTS = Path(__file__).parent / "results" / "overhead.json"
PACKAGES = ("app", "pipeline", "remote", "task_board", "reviews")


def sources() -> list[tuple[Path, str]]:
    """What of this repository travels, as `maxcai push` sends it from a workspace."""
    return [(REPO / name, name) for name in (*PACKAGES, "constitution.yaml", "pyproject.toml")]


def job(tree: str | None, run_dir: str) -> tuple[str, ...]:
    """The pipeline, started as the panel starts it."""
    where = [] if tree is None else ["env", f"PYTHONPATH={tree}"]
    return (*where, sys.executable, "-m", "pipeline", "run", "--recipe", "smoke", "--run-dir", run_dir)


async def once(far: FarServer, state: Path, spool: Path) -> dict[str, float]:
    """Seconds of each part of one start on a pod that has nothing of ours."""
    marks = [("begin", time.monotonic())]
    found: Scan = await asyncio.to_thread(scan, sources(), state)
    marks.append(("scan", time.monotonic()))
    async with ssh.connect(far.pod, far, state) as connection:  # type: ignore[arg-type]
        marks.append(("connect and verify", time.monotonic()))
        agent = Agent(connection)
        await agent.hello()
        marks.append(("agent", time.monotonic()))
        await push(agent, found, state, force=True)
        marks.append(("push", time.monotonic()))
        run_id = jobs.new_run_id(time.time())
        argv = job(agent.tree_dir(found.tree_id), agent.run_dir(run_id))
        await jobs.launch(agent, jobs.LaunchSpec(run_id, 1, argv, cwd_tree=found.tree_id))
        marks.append(("launch", time.monotonic()))
        stream = follow(agent, run_id, spool / run_id, ["events.jsonl"])
        async with aclosing(cast("AsyncGenerator[Growth, None]", stream)) as growths:
            async for _growth in growths:
                break
        marks.append(("first event", time.monotonic()))
        await jobs.cancel(agent, run_id, 0.0)
    parts = {name: round(at - before, 3) for (_, before), (name, at) in itertools.pairwise(marks)}
    return {**parts, "whole": round(marks[-1][1] - marks[0][1], 3)}


def alone(work: Path) -> float:
    """Seconds until the same job writes its first event when it is started here, without pod, link and agent."""
    run = work / f"alone-{time.monotonic_ns()}"
    begin = time.monotonic()
    process = subprocess.Popen(
        job(None, str(run)), cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not (run / "events.jsonl").exists() or not (run / "events.jsonl").stat().st_size:
            if process.poll() is not None:
                raise RuntimeError(f"the pipeline ended with {process.returncode} and no event")
            time.sleep(0.01)
        return round(time.monotonic() - begin, 3)
    finally:
        os.killpg(process.pid, 9)
        process.wait()


async def measure(given: argparse.Namespace) -> dict[str, Any]:
    rows: list[dict[str, float]] = []
    for turn in range(given.repeat):
        with tempfile.TemporaryDirectory(prefix="overhead-", dir=given.dir, ignore_cleanup_errors=True) as name:
            work = Path(name)
            (work / "far").mkdir()
            with far_server(work / "far", work / "state", given.rtt_ms / 2) as far:
                rows.append(await once(far, work / "state", work / "spool"))
            rows[-1]["the pipeline alone"] = await asyncio.to_thread(alone, work)
        rows[-1]["ours"] = round(rows[-1]["whole"] - rows[-1]["the pipeline alone"], 3)
        print(f"{turn + 1}/{given.repeat}  {rows[-1]}", file=sys.stderr, flush=True)
    medians = {name: round(statistics.median(row[name] for row in rows), 3) for name in rows[0]}
    return {"seconds": rows, "medians": medians}


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured and written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overhead", description=__doc__)
    parser.add_argument("--rtt-ms", type=float, default=80.0, help="round trip of the link")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="where the files lie meanwhile (default: the system's choice)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    command = shlex.join(["python", "-m", "benchmarks.overhead", *(argv or sys.argv[1:])])
    found = {"command": command, "rtt_ms": given.rtt_ms, "machine": machine(), **asyncio.run(measure(given))}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["medians"], indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

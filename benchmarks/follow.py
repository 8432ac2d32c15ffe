"""Is a log that is written fast, rotated, and followed over a bad link the same here: `python -m benchmarks.follow`.

The pod is an OpenSSH server behind the chaos proxy. A job on it writes 50,000 lines a second and rotates its log, by
renaming and by copying and emptying in turn, while the link is cut at random bytes (RST and FIN) and goes silent with
its connections half open. What arrived, all generations one after another, is compared by SHA-256 with what the job
says it wrote. Results, with the machine's load, go to `benchmarks/results/follow.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import resource
import shlex
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from benchmarks.far_server import FarServer, far_server
from benchmarks.transfers import machine
from remote import jobs
from remote.agent.client import Agent
from remote.errors import SshError
from remote.link import ssh
from remote.watch.tail import Growth, follow

RESULTS = Path(__file__).parent / "results" / "follow.json"
WRITER = Path(__file__).with_name("log_writer.py")
RUN, LOG = "fast", "logs/train.log"


@dataclass(frozen=True, slots=True)
class Trial:
    """What is written (`rate` lines/s for `seconds`, rotated each `rotate_s`) and what the link does meanwhile.

    Cuts come after a random number of bytes, `cut_bytes` on average; a silence begins every `silence_s` and lasts until
    it was noticed, which takes 4 x `keepalive_s`.
    """

    rate: int = 50_000
    seconds: float = 60.0
    rotate_s: float = 4.0
    cut_bytes: int = 12_000_000
    silence_s: float = 25.0
    keepalive_s: float = 5.0
    seed: int = 0


@dataclass(slots=True)
class Seen:
    """What happened on the way. `gaps` counts generations that began after bytes were lost: there must be none."""

    broken: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    generations: int = 0
    growths: int = 0
    done: bool = False


async def spoil(far: FarServer, trial: Trial, seen: Seen) -> dict[str, int]:
    """Cut and silence the link until everything is here; how often. The end of a silence is the next connection's."""
    dice, told = random.Random(trial.seed), {"reset": 0, "finished": 0, "silent": 0}
    silence_at = time.monotonic() + trial.silence_s / 2
    while not seen.done:
        kind = dice.choice(("reset", "finished"))
        far.tell(do="cut_after", count=dice.randrange(1, 2 * trial.cut_bytes), with_reset=kind == "reset")
        before, growths = sum(seen.broken.values()), seen.growths
        while not seen.done and (calm := sum(seen.broken.values()) == before):
            if time.monotonic() >= silence_at and seen.growths > growths:  # in the middle of a follow
                break
            await asyncio.sleep(0.02)
        if seen.done:
            break
        if not calm:
            told[kind] += 1
            continue
        far.tell(do="cut_after", count=1 << 50)  # the cut that was due is called off
        far.tell(do="blackhole")
        while not seen.done and sum(seen.broken.values()) == before:
            await asyncio.sleep(0.02)
        far.tell(do="reset")
        far.tell(do="heal")
        told["silent"] += 1
        silence_at = time.monotonic() + trial.silence_s
    return told


async def take(far: FarServer, state: Path, spool: Path, trial: Trial, seen: Seen) -> None:
    """Follow to the end of the job, over as many connections as it takes."""
    while not seen.done:
        try:
            async with ssh.connect(far.pod, far, state, keepalive_s=trial.keepalive_s) as link:  # type: ignore[arg-type]
                stream = follow(Agent(link), RUN, spool, [LOG], until_exit=True)
                async with aclosing(cast("AsyncGenerator[Growth, None]", stream)) as growths:
                    async for growth in growths:
                        seen.growths += 1
                        seen.gaps += growth.gap
                        seen.generations = max(seen.generations, growth.generation + 1)
                seen.done = True
        except SshError as error:
            kind = getattr(error, "why", type(error).__name__)
            seen.broken[kind] = seen.broken.get(kind, 0) + 1
            await asyncio.sleep(0.2)


def arrived(spool: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of all generations, one after another."""
    here, digest, size = spool / RUN / LOG, hashlib.sha256(), 0
    asides = sorted(here.parent.glob(f"{here.name}.~*"), key=lambda path: int(path.suffix[2:]))
    for path in (*asides, here):
        with path.open("rb") as file:
            while data := file.read(1 << 20):
                digest.update(data)
                size += len(data)
    return size, digest.hexdigest()


async def perform(trial: Trial, work: Path) -> dict[str, Any]:
    """One trial in the folder `work`: what was written, what arrived, and what it took."""
    state, spool, seen = work / "state", work / "spool", Seen()
    (work / "far").mkdir()
    with far_server(work / "far", state, delay_ms=5.0) as far:
        async with ssh.connect(far.pod, far, state) as link:  # type: ignore[arg-type]
            agent = Agent(link)
            words = ["--rate", trial.rate, "--seconds", trial.seconds, "--rotate-s", trial.rotate_s]
            argv = (sys.executable, str(WRITER), *(str(word) for word in words))
            await jobs.launch(agent, jobs.LaunchSpec(RUN, 1, argv))
            run = Path(agent.run_dir(RUN))
        begin, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
        spoiling = asyncio.create_task(spoil(far, trial, seen))
        await take(far, state, spool, trial, seen)
        took, now = time.monotonic() - begin, resource.getrusage(resource.RUSAGE_SELF)
        told = await spoiling
    written = json.loads((run / "written.json").read_text())
    size, digest = arrived(spool)
    return {
        "written": written, "lines_per_s": round(written["lines"] / written["seconds"]),
        "arrived": {"bytes": size, "sha256": digest, "generations": seen.generations, "gaps": seen.gaps},
        "equal": (size, digest) == (written["bytes"], written["sha256"]),
        "link": told, "noticed_as": seen.broken,
        "seconds": round(took, 2), "cpu_seconds": round(now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime, 2),
        "peak_rss_mib": now.ru_maxrss // 1024,
    }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """0: every byte is here; 1: not."""
    usual = Trial()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.follow", description=__doc__)
    parser.add_argument("--rate", type=int, default=usual.rate, help="lines a second")
    parser.add_argument("--seconds", type=float, default=usual.seconds)
    parser.add_argument("--seed", type=int, default=usual.seed)
    parser.add_argument("--dir", type=Path, help="where the files lie meanwhile (default: the system's choice)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    command = shlex.join(["python", "-m", "benchmarks.follow", *(argv or sys.argv[1:])])
    facts = {"command": command, "machine": machine()}
    with tempfile.TemporaryDirectory(prefix="follow-", dir=given.dir) as name:
        found = asyncio.run(perform(Trial(given.rate, given.seconds, seed=given.seed), Path(name)))
    given.out.write_text(json.dumps({**facts, **found}, indent=1) + "\n")
    print(json.dumps(found, indent=1))
    return 0 if found["equal"] else 1


if __name__ == "__main__":
    sys.exit(main())

"""Pushes and pulls over a slow link, side by side with rsync over ssh and sftp: `python -m benchmarks.transfers`.

All go through the same chaos proxy to the same OpenSSH server, in turns, each repeated; medians and their ratios go to
`benchmarks/results/transfers.json`. Ratios are what counts: client, proxy and server share one machine. What each
number includes stands beside it. `--cuts 50 --cut-mb 1024` instead cuts a pull at random bytes and counts what came
twice.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import platform
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from benchmarks.far_server import FarServer, far_server
from remote.agent.client import Agent
from remote.errors import SshError
from remote.link import ssh
from remote.sync.pull import pull, unpulled
from remote.sync.push import push
from remote.sync.scan import scan

RESULTS = Path(__file__).parent / "results" / "transfers.json"
MIB = 1 << 20

WHAT = {
    "push/ours": "2,000 files, 17 MB of Python source, into an empty pod over the connection that stands, scan and all",
    "push/ours with connect": "the same with connecting and verifying the host key first",
    "push/rsync": "rsync -az of the same folder into an empty one; it connects anew each time, as it must",
    "push/sftp (100 files)": "sftp put -r of 100 of the files into an empty folder; 2,000 take twenty times as long",
    "push/tar": "tar cz piped through ssh: one stream, no check, no knowledge of what is there",
    "no change/ours": "the same folder again over the connection that stands, scan and all",
    "no change/ours with connect": "the same with connecting first",
    "no change/rsync": "rsync -az of the same folder again",
    "pull/ours": "MIB of random bytes in four files over the connection that stands; hashed on the pod and here",
    "pull/ours with connect": "the same with connecting first",
    "pull/one default channel": "asyncssh with its defaults: cat of the same files through one channel, not written",
    "pull/rsync": "rsync -a of the same files",
    "pull/sftp": "sftp get -r of the same files",
}


class Bench:
    """One far server, a folder to push, a run to pull, and who moves them."""

    def __init__(self, far: FarServer, work: Path, state: Path) -> None:
        self.far, self.work, self.state = far, work, state
        self.source, self.run = work / "source", far.home / ".maxcai/runs/bench"
        self.stack, self.agent = AsyncExitStack(), None

    async def connect(self) -> Agent:
        """Over the connection that stands, or a new one."""
        if self.agent is None:
            connection = await self.stack.enter_async_context(ssh.connect(self.far.pod, self.far, self.state))  # type: ignore[arg-type]
            self.agent = Agent(connection)
            await self.agent.hello()
        return self.agent

    async def hang_up(self) -> None:
        await self.stack.aclose()
        self.agent = None

    async def push(self) -> None:
        agent = await self.connect()
        await push(agent, scan([(self.source, "")], self.state), self.state, force=True)

    async def pull(self) -> None:
        agent, home = await self.connect(), self.work / "home"
        await pull(agent, "bench", home)
        if await unpulled(agent, "bench", home):
            raise RuntimeError("the pull is not complete")

    async def default_channel(self) -> None:
        import asyncssh

        async with asyncssh.connect(
            "127.0.0.1", self.far.port, client_keys=[str(self.far.key)], known_hosts=None, config=None
        ) as link:
            paths = " ".join(shlex.quote(str(path)) for path in sorted(self.run.rglob("*.bin")))
            async with link.create_process(f"cat {paths}", encoding=None) as process:
                while await process.stdout.read(MIB):
                    pass

    async def command(self, *argv: str, stdin: bytes = b"", shell: bool = False) -> None:
        words = ["sh", "-c", argv[0]] if shell else list(argv)
        done = await asyncio.to_thread(subprocess.run, words, input=stdin, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{argv[0]}: {done.stderr.decode(errors='replace')[-500:]}")

    async def rsync(self, flags: str, source: str, target: str) -> None:
        await self.command("rsync", flags, "-e", shlex.join(self.far.ssh), source, target)

    async def sftp(self, batch: str) -> None:
        ssh_words = self.far.ssh
        port = ssh_words.index("-p")
        words = ["sftp", *ssh_words[1:port], "-P", str(self.far.port), *ssh_words[port + 2 :], "-b", "-"]
        await self.command(*words, self.far.destination, stdin=batch.encode())

    def at(self, name: str) -> str:
        return f"{self.far.destination}:{self.far.home}/{name}"

    def forget_push(self) -> None:
        """The pod has neither content nor trees; the laptop keeps its cache of hashes, as it would."""
        for name in ("cas", "trees"):
            shutil.rmtree(self.far.home / ".maxcai" / name, ignore_errors=True)
        (self.state / "last_push.json").unlink(missing_ok=True)

    def forget_pull(self) -> None:
        shutil.rmtree(self.work / "home", ignore_errors=True)
        (self.run / ".agent/hashes.json").unlink(missing_ok=True)


def wipe(path: Path) -> Callable[[], None]:
    def empty() -> None:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(parents=True)

    return empty


def contests(bench: Bench) -> dict[str, tuple[Callable[[], Any], Callable[[], Awaitable[None]], bool]]:
    """Name → (what is done before the clock starts, what is measured, whether it begins without a connection)."""
    far, work = bench.far, bench.work
    run = bench.at(".maxcai/runs/bench/")
    copy, few = far.home / "rsync", work / "few"
    tar = f"tar -C {bench.source} -cz . | {shlex.join(bench.far.ssh)} {far.destination} 'tar -C {far.home}/tar -xz'"
    return {
        "push/ours": (bench.forget_push, bench.push, False),
        "push/ours with connect": (bench.forget_push, bench.push, True),
        "push/rsync": (wipe(copy), lambda: bench.rsync("-az", f"{bench.source}/", bench.at("rsync/")), True),
        "push/tar": (wipe(far.home / "tar"), lambda: bench.command(tar, shell=True), True),
        "push/sftp (100 files)": (wipe(far.home / "sftp"), lambda: bench.sftp(f"put -r {few} {far.home}/sftp\n"), True),
        "no change/ours": (int, bench.push, False),
        "no change/ours with connect": (int, bench.push, True),
        "no change/rsync": (int, lambda: bench.rsync("-az", f"{bench.source}/", bench.at("rsync/")), True),
        "pull/ours": (bench.forget_pull, bench.pull, False),
        "pull/ours with connect": (bench.forget_pull, bench.pull, True),
        "pull/one default channel": (int, bench.default_channel, True),
        "pull/rsync": (wipe(work / "got"), lambda: bench.rsync("-a", run, f"{work}/got/"), True),
        "pull/sftp": (wipe(work / "got"), lambda: bench.sftp(f"get -r {bench.run} {work}/got\n"), True),
    }  # fmt: skip


async def measure(bench: Bench, repeat: int, only: str) -> dict[str, list[float]]:
    """Seconds of every contest, in turns, so that what else the machine does hits all alike."""
    seconds: dict[str, list[float]] = {}
    for turn in range(repeat):
        for name, (before, act, cold) in contests(bench).items():
            if only not in name:
                continue
            if cold:
                await bench.hang_up()
            else:
                await bench.connect()
            before()
            begin = time.monotonic()
            await act()
            seconds.setdefault(name, []).append(round(time.monotonic() - begin, 3))
            print(f"{turn + 1}/{repeat}  {name:32} {seconds[name][-1]:8.2f} s", file=sys.stderr, flush=True)
    await bench.hang_up()
    return seconds


def make_source(folder: Path, few: Path) -> None:
    """2,000 files of 8.5 kB of the standard library's source, in 40 folders; and 100 of them."""
    text = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    for number in range(2000):
        data = b"# %d\n" % number + text[(number * 8500) % (len(text) - 8500) :][:8500]
        for base in (folder, few) if number < 100 else (folder,):
            path = base / f"package_{number // 50}/module_{number}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)


def make_run(run: Path, mib: int) -> None:
    """Four files of random bytes, as adapters and optimizer states are."""
    dice = random.Random(0)
    for number in range(4):
        path = run / f"stage-1/sft/checkpoint-{number}/state.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            for _ in range(mib // 4):
                out.write(dice.randbytes(MIB))
    (run / ".agent").mkdir(exist_ok=True)


async def cut(bench: Bench, cuts: int, mib: int, seed: int) -> dict[str, Any]:
    """A pull that is cut again and again, each time at a random byte; how much travelled for what was needed."""
    dice, home, done = random.Random(seed), bench.work / "home", 0
    attempts = travelled = 0
    begin = time.monotonic()
    while True:
        attempts += 1
        if done < cuts:
            bench.far.tell(do="cut_after", count=dice.randrange(1, max(2, 2 * mib * MIB // cuts)), direction="down")
        try:
            await pull(await bench.connect(), "bench", home)
            break
        except SshError:
            done += 1
        await bench.hang_up()
    state: Any = bench.far.tell(do="state")
    travelled = int(state["passed"]["down"])
    same = all(digest(path) == digest(home / path.relative_to(bench.run)) for path in bench.run.rglob("*.bin"))
    await bench.hang_up()
    return {
        "cuts": done, "attempts": attempts, "mib": mib, "equal": same, "seconds": round(time.monotonic() - begin, 1),
        "bytes_needed": mib * MIB, "bytes_on_the_wire": travelled,
    }  # fmt: skip


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def ratios(medians: dict[str, float]) -> dict[str, float]:
    """How many times as long the others take, for the contests that promises are made about."""
    pairs = [
        ("push/rsync", "push/ours"), ("push/rsync", "push/ours with connect"), ("push/tar", "push/ours with connect"),
        ("no change/rsync", "no change/ours"), ("no change/rsync", "no change/ours with connect"),
        ("pull/rsync", "pull/ours"), ("pull/rsync", "pull/ours with connect"), ("pull/sftp", "pull/ours"),
        ("pull/one default channel", "pull/ours"),
    ]  # fmt: skip
    return {f"{a} : {b}": round(medians[a] / medians[b], 2) for a, b in pairs if a in medians and b in medians}


def machine() -> dict[str, Any]:
    """What the numbers were measured on."""
    versions = {
        name: (done.stdout + done.stderr).decode().splitlines()[0]
        for name, argv in (("ssh", ["ssh", "-V"]), ("rsync", ["rsync", "--version"]))
        if (done := subprocess.run(argv, capture_output=True, check=False))
    }
    import asyncssh

    return {
        "system": platform.platform(), "processor": platform.machine(), "cores": os.cpu_count(),
        "load_at_start": os.getloadavg()[0], "python": platform.python_version(), "asyncssh": asyncssh.__version__,
        **versions,
    }  # fmt: skip


async def perform(given: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="transfers-", dir=given.dir) as name:
        work = Path(name)
        state = work / "state"
        (work / "far").mkdir()
        with far_server(work / "far", state, given.rtt_ms / 2, given.rate) as far:
            bench = Bench(far, work, state)
            make_run(bench.run, given.cut_mb if given.cuts else given.mib)
            if given.cuts:
                return {"cut": await cut(bench, given.cuts, given.cut_mb, given.seed)}
            make_source(bench.source, work / "few")
            seconds = await measure(bench, given.repeat, given.only)
    medians = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    return {"seconds": seconds, "medians": medians, "ratios": ratios(medians)}


def main(argv: Sequence[str] | None = None) -> int:
    """0: measured and written."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transfers", description=__doc__)
    parser.add_argument("--rtt-ms", type=float, default=80.0, help="round trip of the link")
    parser.add_argument("--rate", type=float, help="bytes/s of the link (default: no limit)")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--mib", type=int, default=200, help="size of the run that is pulled")
    parser.add_argument("--only", default="", help="contests whose name holds this")
    parser.add_argument("--cuts", type=int, default=0)
    parser.add_argument("--cut-mb", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dir", type=Path, help="where the files lie meanwhile (default: the system's choice)")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(argv)
    conditions = {"command": shlex.join(["python", "-m", "benchmarks.transfers", *(argv or sys.argv[1:])])}
    facts = {**conditions, "rtt_ms": given.rtt_ms, "rate": given.rate, "pull_mib": given.mib, "machine": machine()}
    found = {**facts, **asyncio.run(perform(given)), "what": WHAT}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found.get("cut") or {"medians": found["medians"], "ratios": found["ratios"]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())

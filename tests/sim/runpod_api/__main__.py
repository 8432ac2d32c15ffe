"""The simulator as a process: serves until SIGTERM or SIGINT and prints one JSON line with its addresses."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import cast

from tests.sim.pods.base import PodFactory
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.harness import Simulator, write_key
from tests.sim.runpod_api.model import BootTimes


def factory(tier: str, folder: Path) -> PodFactory | None:
    """The pod factory of a tier; None for "none". What it says of tiers that do not work goes to stderr."""
    if tier == "none":
        return None
    from tests.sim.pods import choose

    return cast(PodFactory, choose(tier, folder))


async def serve(arguments: argparse.Namespace) -> None:
    """Serve until asked to end."""
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    folder = arguments.state_dir or Path(tempfile.mkdtemp(prefix="runpod-sim-"))
    sim = Simulator(
        factory(arguments.tier, folder), VirtualClock.scaled(arguments.scale), port=arguments.port,
        admin_port=arguments.admin_port, balance=arguments.balance,
        boot=BootTimes.instant() if arguments.instant else None,
    )  # fmt: skip
    async with sim:
        key_file = write_key(folder, sim.key)
        print(json.dumps({"url": sim.url, "admin_url": sim.admin_url, "key_file": str(key_file)}), flush=True)
        await ending.wait()


def main(argv: list[str] | None = None) -> int:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.runpod_api", description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--admin-port", type=int, default=0)
    parser.add_argument("--tier", default="auto", help="none, auto or a tier of tests.sim.pods")
    parser.add_argument("--state-dir", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="virtual seconds per real second; 0: only by /_sim")
    parser.add_argument("--instant", action="store_true", help="pods boot in no time")
    parser.add_argument("--balance", default="100", help="USD")
    asyncio.run(serve(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    sys.exit(main())

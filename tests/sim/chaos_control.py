"""The chaos proxy as a process, and the control port that calls its methods."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from typing import Any

from tests.sim.chaos import LOOPBACK, ChaosProxy, Link

_CALLS = ("set", "retarget", "stall", "blackhole", "heal", "reset", "finish", "cut_after", "corrupt")


def obey(proxy: ChaosProxy, line: bytes) -> dict[str, Any]:
    """Do what one line asks; {"do": "state"} changes nothing. The answer says how things stand, or what was wrong."""
    try:
        request = json.loads(line)
        call = request.pop("do")
        if call in _CALLS:
            getattr(proxy, call)(**request)
        elif call != "state":
            raise ValueError(f"no call {call!r}; there are {', '.join(_CALLS)}, state")
    except (ValueError, TypeError, AttributeError, KeyError) as exc:
        return {"ok": False, "error": str(exc)}
    link = {field.name: getattr(proxy.link, field.name) for field in fields(Link)}
    state = {"connections": proxy.connections, "passed": proxy.passed, "stalled": sorted(proxy.stalled)}
    return {"ok": True, "target": list(proxy.target), "link": link, **state}


async def answer(proxy: ChaosProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection to the control port: a line in, a line out."""
    with contextlib.suppress(OSError, ValueError):
        while line := await reader.readline():
            writer.write(json.dumps(obey(proxy, line)).encode() + b"\n")
            await writer.drain()
    writer.close()


async def serve(options: argparse.Namespace) -> None:
    """Serve until TERM or INT."""
    host, _, port = options.target.rpartition(":")
    link = Link(options.delay_ms / 1000, options.jitter_ms / 1000, options.rate)
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with ChaosProxy((host, int(port)), link, options.port) as proxy:
        control = await asyncio.start_server(partial(answer, proxy), LOOPBACK, options.control)
        print(json.dumps({"port": proxy.port, "control": control.sockets[0].getsockname()[1]}), flush=True)
        await stopping.wait()
        control.close()


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of `python -m tests.sim.chaos`."""
    parser = argparse.ArgumentParser(prog="python -m tests.sim.chaos", description="A TCP proxy that breaks links.")
    parser.add_argument("--target", required=True, metavar="HOST:PORT")
    parser.add_argument("--port", type=int, default=0, help="where to listen; 0 for any")
    parser.add_argument("--control", type=int, default=0, help="control port; 0 for any")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="one way, half a round trip")
    parser.add_argument("--jitter-ms", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=None, help="bytes per second")
    asyncio.run(serve(parser.parse_args(argv)))

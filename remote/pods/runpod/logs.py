"""A pod's log over server-sent events: what there is of it, and what comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from datetime import UTC, datetime

import httpx

from remote.errors import ProviderUnavailable, RateLimited
from remote.pods.model import LogLine
from remote.pods.runpod import wire
from remote.pods.runpod.client import Client, Failure, Repeat, Timing
from remote.pods.runpod.errors import Op
from remote.pods.runpod.sse import Parser

TAIL = 5000
"""Lines that the provider gives at most."""

_LONGEST_S = 20.0  # of collecting what there is: a chatty log has no quiet moment
_MOST = 200_000  # lines


def stamped(line: LogLine) -> str:
    """The line as text, behind its time where the provider told it, so that earlier starts can be told apart."""
    if line.at is None:
        return line.text
    return f"{moment(line.at)} {line.text}"


def moment(at: float) -> str:
    """Unix seconds in RunPod's form of a time."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


async def collect(client: Client, op: Op, path: str, source: str) -> list[LogLine]:
    """The last `TAIL` lines. The stream stays open after them, so that a moment of silence counts as its end."""
    timing = client.timing

    async def once() -> list[LogLine] | Failure:
        found: list[LogLine] = []
        try:
            async with (
                client.stream(op, path, {"source": source, "tail": str(TAIL)}, {}) as response,
                aclosing(_lines(response)) as lines,
            ):
                await _drain(lines, found, timing)
        except ProviderUnavailable as error:
            return Failure(error, left=True)
        return found

    return await client.repeating(op, Repeat.FREELY, once)


async def _drain(lines: AsyncIterator[LogLine], found: list[LogLine], timing: Timing) -> None:
    with suppress(TimeoutError, StopAsyncIteration):
        async with asyncio.timeout(_LONGEST_S):
            while len(found) < _MOST:
                async with asyncio.timeout(timing.quiet_s if found else timing.first_line_s):
                    found.append(await anext(lines))


async def follow(client: Client, op: Op, path: str, source: str, after: str | None) -> AsyncIterator[LogLine]:
    """The log as it grows, from position `after` or the last lines on, over as many connections as it takes.

    Raises ProviderError when the provider refuses, or cannot be reached several times in a row.
    """
    last, seen = after, None
    failures = empty = 0
    while True:
        got = False
        try:
            async with (
                client.stream(op, path, *_from(source, last, seen)) as response,
                aclosing(_lines(response)) as lines,
            ):
                async for line in lines:
                    got, failures, empty = True, 0, 0
                    if (line.id is not None and line.id == last) or (line.id is None and line == seen):
                        continue  # said again after a reconnection
                    last, seen = line.id or last, line
                    yield line
            empty += not got
        except (ProviderUnavailable, RateLimited):
            failures += 1
            if failures >= client.timing.tries:
                raise
        await client.sleep(client.pause_s(max(failures, empty, 1) - 1))


def _from(source: str, last: str | None, seen: LogLine | None) -> tuple[dict[str, str], dict[str, str]]:
    """Query and headers that continue after a position, or after a line where the provider gives no positions."""
    if last is not None:
        return {"source": source}, {"Last-Event-ID": last}
    if seen is not None and seen.at is not None:
        return {"source": source, "since": moment(seen.at)}, {}
    return {"source": source, "tail": str(TAIL if seen is None else 0)}, {}


async def _lines(response: httpx.Response) -> AsyncGenerator[LogLine, None]:
    """The lines of one connection; it ends when the provider closes it or is silent for long."""
    parser = Parser()
    async for chunk in response.aiter_bytes():
        for event in parser.feed(chunk):
            yield wire.log_line(event.data, event.id)

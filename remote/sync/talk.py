"""A conversation with the agent over one channel, in which silence has an end: lines one way, frames the other.

Which verbs are spoken, and what the bytes mean, is left to `push` and `pull`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from remote.agent.client import Agent, Frames
from remote.errors import AgentFailed, ConnectionLost, SshError
from remote.link.connection import RemoteProcess

STALL_S = 30.0
"""Seconds without one byte of progress after which a transfer counts as broken."""

_PIECE = 64 << 10  # bytes after which a slow uplink has shown progress
_NEVER_RAN = (1, 2, 127)  # exit codes of an interpreter, or a shell, that found no agent to run

Result = TypeVar("Result")


class Watched:
    """A RemoteProcess whose reads and writes end with ConnectionLost when nothing moves for `stall_s` seconds."""

    def __init__(self, process: RemoteProcess, stall_s: float) -> None:
        self._process, self.stall_s = process, stall_s
        self.patience_s = stall_s
        self.heard = False

    async def read(self, limit: int = 1 << 20) -> bytes:
        data = await self._within(self._process.read(limit))
        self.heard = self.heard or bool(data)
        return data

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), _PIECE):
            await self._within(self._process.write(data[start : start + _PIECE]))

    async def close_stdin(self) -> None:
        await self._process.close_stdin()

    async def wait(self) -> int:
        return await self._within(self._process.wait())

    async def stderr(self) -> bytes:
        return await self._within(self._process.stderr())

    async def _within(self, moving: Awaitable[Result]) -> Result:
        try:
            async with asyncio.timeout(self.patience_s):
                return await moving
        except TimeoutError:
            raise ConnectionLost(
                f"Nothing moved for {self.patience_s:.0f} seconds on a channel of the pod.",
                "Connect again; what arrived is kept.",
                why="stalled",
            ) from None


class Talk:
    """Says lines and bytes, hears frames."""

    def __init__(self, process: Watched) -> None:
        self._process = process
        self.frames = Frames(process)

    @classmethod
    def over(cls, process: RemoteProcess, stall_s: float = STALL_S) -> Talk:
        return cls(Watched(process, stall_s))

    async def say(self, value: Mapping[str, Any]) -> None:
        """One line."""
        await self.send(json.dumps(value, separators=(",", ":")).encode() + b"\n")

    async def send(self, data: bytes) -> None:
        """Bytes. When the agent ended without reading them, its reason is raised."""
        try:
            await self._process.write(data)
        except ConnectionLost:
            raise
        except (SshError, OSError) as error:
            await self.hear()
            raise AgentFailed("The agent stopped listening in the middle of a push.") from error

    async def hear(self, patience_s: float | None = None) -> dict[str, Any]:
        """The next answer, its bytes as `payload`; `patience_s` for one that takes longer than a transfer may stall.

        Raises what the agent refused with, or ConnectionLost.
        """
        self._process.patience_s = patience_s or self._process.stall_s
        frame = await self.frames.next()
        self._process.patience_s = self._process.stall_s
        return {"end": True} if frame is None else {**frame[0], "payload": frame[1]}

    async def finish(self) -> None:
        """Nothing more will be said."""
        await self._process.close_stdin()


@asynccontextmanager
async def conversation(
    agent: Agent, verb: str, first: Mapping[str, Any], stall_s: float = STALL_S
) -> AsyncIterator[tuple[Talk, dict[str, Any]]]:
    """Open a channel, say `first`, and hear the answer; the agent is put on the pod if it is not there."""
    for last in (False, True):
        async with agent.conn.open(agent.argv(verb)) as process:
            watched = Watched(process, stall_s)
            talk = Talk(watched)
            answer = await _begin(talk, watched, first, last)
            if answer is not None:
                yield talk, answer
                return
        await agent.install()


async def _begin(talk: Talk, watched: Watched, first: Mapping[str, Any], last: bool) -> dict[str, Any] | None:
    """The answer to the first line; None when there was no agent to give one, unless this is the `last` try."""
    try:
        await talk.say(first)
        return await talk.hear()
    except ConnectionLost as lost:
        if watched.heard or last or lost.why == "stalled":
            raise
        if await watched.wait() not in _NEVER_RAN:
            raise
        return None


async def in_thread(work: Callable[..., Result], *arguments: Any) -> Result:
    """Like asyncio.to_thread, but when cancelled it waits for the thread: nothing is written after we have gone."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        raise


def first_of(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """The failure that a person should be told of a group of them: the first that is no mere broken link, if any."""
    flat = list(_flat(failures))
    return next((failure for failure in flat if not isinstance(failure, ConnectionLost)), flat[0])


def _flat(failure: BaseException) -> list[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        return [one for inner in failure.exceptions for one in _flat(inner)]
    return [failure]

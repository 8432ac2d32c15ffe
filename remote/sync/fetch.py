"""Fetches files over several channels at once, in the order given. Each channel asks ahead, so that none waits idle.

What is home already, and what to do about damage, is left to `pull`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from msgspec import Struct

from remote.agent.client import Agent, RemoteFile
from remote.errors import HashMismatch, SyncError
from remote.sync.arriving import Target
from remote.sync.part import chunk_digest
from remote.sync.talk import STALL_S, Talk, conversation, first_of, in_thread

CHANNELS, CHANNELS_WHILE_RUNNING = 5, 2

_ASK_BYTES, _ASK_ROWS = 8 << 20, 200
_AHEAD = 3  # requests under way on one channel
_WORTH = 4 << 20  # bytes for which one more channel pays its set-up
_RAW_LIMIT = 64 << 20


class Terms(Struct, frozen=True):
    """How to fetch: at most `channels` at once, at most `rate` bytes/s over all of them (None: as fast as it goes);
    `stall_s` seconds without a byte end a channel."""

    channels: int = CHANNELS
    rate: float | None = None
    stall_s: float = STALL_S


class _Request(Struct, frozen=True):
    rows: list[dict[str, Any]]
    targets: list[Target]


class Fetch:
    """Brings `files` here.

    `prepare` says where a file's bytes go, called in a thread when its turn comes; `on_bytes` hears of each piece that
    became safe, `on_target` of each file of which everything was asked and answered, which it finishes.
    """

    def __init__(
        self,
        agent: Agent,
        run_id: str,
        prepare: Callable[[RemoteFile], Target],
        on_bytes: Callable[[Target, int], None],
        on_target: Callable[[Target], Awaitable[None]],
        terms: Terms,
    ) -> None:
        self.agent, self.run_id, self.terms = agent, run_id, terms
        self.prepare, self.on_bytes, self.on_target = prepare, on_bytes, on_target
        self.fetched = 0
        self._files: deque[RemoteFile] = deque()
        self._rows: deque[dict[str, Any]] = deque()
        self._current: Target | None = None
        self._open: dict[str, Target] = {}
        self._turn = asyncio.Lock()

    async def all(self, files: Iterable[RemoteFile]) -> None:
        """Fetch them, in this order as far as channels run abreast. The first failure ends all channels."""
        self._files.extend(files)
        size, count = sum(file.size for file in self._files), len(self._files)
        channels = max(1, min(self.terms.channels, size // _WORTH + count // _ASK_ROWS))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(channels if count else 0):
                    group.create_task(self._channel(channels))
        except BaseExceptionGroup as failures:
            raise first_of(failures) from None

    async def _channel(self, channels: int) -> None:
        request = await self._next()
        if request is None:
            return
        first = {"run_id": self.run_id, "serve": True, "zip": True, "ranges": request.rows}
        if self.terms.rate is not None:
            first["rate"] = self.terms.rate / channels
        asked = deque([request])
        async with conversation(self.agent, "read", first, self.terms.stall_s) as (talk, _answer):
            while asked:
                await self._ask_ahead(talk, asked)
                frame = await talk.frames.next()
                if frame is None:
                    await self._answered(asked.popleft())
                else:
                    await self._arrived(*frame)
            await talk.finish()

    async def _ask_ahead(self, talk: Talk, asked: deque[_Request]) -> None:
        while len(asked) < _AHEAD and (request := await self._next()) is not None:
            asked.append(request)
            await talk.say({"ranges": request.rows})

    async def _next(self) -> _Request | None:
        """The next ranges to ask for, None when everything was asked."""
        async with self._turn:
            rows: list[dict[str, Any]] = []
            targets: list[Target] = []
            size = 0
            while size < _ASK_BYTES and len(rows) < _ASK_ROWS:
                target = self._current if self._rows else await self._begin()
                if target is None:
                    break
                row = self._rows.popleft()
                rows.append(row)
                size += row["length"]
                if target not in targets:
                    targets.append(target)
                    target.pending += 1
                target.asked = not self._rows
            return _Request(rows, targets) if rows else None

    async def _begin(self) -> Target | None:
        """Take up the next file of which something is missing."""
        while self._files:
            target = await in_thread(self.prepare, self._files.popleft())
            self.on_bytes(target, target.here())
            path = target.file.path
            self._rows.extend({"path": path, **span} for span in target.ranges())
            if self._rows:
                self._current = self._open[path] = target
                return target
            await self.on_target(target)
        return None

    async def _arrived(self, head: dict[str, Any], data: bytes) -> None:
        target = self._open.get(str(head.get("f")))
        if target is None:
            raise SyncError("The pod sent a file that was not asked for.")
        self.fetched += len(data)
        safe = await in_thread(_take, target, head, data)
        self.on_bytes(target, safe)
        if target.complete():
            await self._close(target)

    async def _answered(self, request: _Request) -> None:
        for target in request.targets:
            target.pending -= 1
            if target.asked and not target.pending:
                await self._close(target)

    async def _close(self, target: Target) -> None:
        """Once: by the channel that brought the last bytes, or, when some never came, that heard the last answer."""
        if not target.closed:
            target.closed = True
            await self.on_target(target)


def _take(target: Target, head: dict[str, Any], data: bytes) -> int:
    """Put one frame where it belongs, after checking that it is what the pod read; how many bytes are now safe."""
    if "z" in head:
        data = _unpacked(target.file.path, data, head["z"])
    digest = str(head.get("h"))
    if data and chunk_digest(data) != digest:
        raise HashMismatch(f"A piece of {target.file.path} arrived damaged.", "Pull again; what is verified is kept.")
    return target.take(int(head.get("o", -1)), data, digest)


def _unpacked(path: str, data: bytes, size: Any) -> bytes:
    unpack = zlib.decompressobj()
    try:
        if not isinstance(size, int) or not 0 <= size <= _RAW_LIMIT:
            raise ValueError
        plain = unpack.decompress(data, size + 1)
    except (ValueError, zlib.error):
        plain = b""
    if len(plain) != size:
        raise HashMismatch(f"A piece of {path} arrived damaged.", "Pull again; what is verified is kept.")
    return plain

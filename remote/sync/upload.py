"""Carries content to the pod: cut into batches, text packed, over as many channels as its size is worth.

Which content, and what becomes of it there, is left to `push`.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import FileIO
from pathlib import Path

from msgspec import Struct

from remote.agent.client import Agent
from remote.errors import HashMismatch, SyncError
from remote.sync.scan import Entry
from remote.sync.talk import STALL_S, Talk, first_of, in_thread

CHANNELS = 5
"""Most channels of one upload, the one that makes the tree among them."""

BATCH = 1 << 20
"""Bytes of content in one batch; larger content comes in pieces, which may take different channels."""

_WORTH = 12 << 20  # bytes for which one more channel pays its set-up: three round trips and an interpreter
_PIECE = struct.Struct(">64sQQI")  # sha256 of the whole content, its size, offset of the piece, its length
_PROBE = 16 << 10
_END = struct.pack(">cI", b"e", 0)

Progress = Callable[[int, int], None]
"""Called with (bytes sent, bytes to send)."""


class Piece(Struct, frozen=True):
    """`length` bytes of a content from `offset` on."""

    entry: Entry
    offset: int
    length: int


class Upload:
    """The content of some entries on its way. One object may be served by several channels, each taking the next batch.

    Raises SyncError when a file is not any more as long as it was when it was hashed. That its bytes are others is
    found by the pod, which hashes them in any case; `blame` then says which file it was.
    """

    def __init__(self, wanted: Sequence[Entry], sources: Mapping[str, Path], progress: Progress | None) -> None:
        self.wanted, self.sources, self.progress = wanted, sources, progress
        self.total, self.sent = sum(entry.size for entry in wanted), 0
        self._batches = _batches(wanted)

    @property
    def pieced(self) -> list[str]:
        """Hashes of what travels in more than one piece, to be verified as a whole at the end."""
        return [entry.sha256 for entry in self.wanted if entry.size > BATCH]

    async def over(self, agent: Agent, talk: Talk, channels: int = CHANNELS, stall_s: float = STALL_S) -> None:
        """Send everything: over the channel of `talk` (left after the last batch) and, where it pays, over others."""
        more = min(channels - 1, self.total // _WORTH)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(more):
                    group.create_task(self._aside(agent, stall_s))
                group.create_task(self._through(talk))
        except BaseExceptionGroup as failures:
            raise first_of(failures) from None

    async def _aside(self, agent: Agent, stall_s: float) -> None:
        """Batches over a channel of their own."""
        async with agent.conn.open(agent.argv("blobs")) as process:
            talk = Talk.over(process, stall_s)
            await talk.send(b"{}\n")
            await self._batched(talk)
            await talk.hear()

    async def _through(self, talk: Talk) -> None:
        await talk.say({"batches": True})
        await self._batched(talk)

    async def _batched(self, talk: Talk) -> None:
        while (batch := next(self._batches, None)) is not None:
            count = sum(piece.length for piece in batch)
            await talk.send(await in_thread(self._packed, batch))
            self.sent += count
            if self.progress is not None:
                self.progress(self.sent, self.total)
        await talk.send(_END)

    def _packed(self, batch: Sequence[Piece]) -> bytes:
        """A batch as it travels. Runs in a thread."""
        plain = b"".join(part for piece in batch for part in (_head(piece), self._read(piece)))
        packed = zlib.compress(plain, 1) if len(zlib.compress(plain[:_PROBE], 1)) < 0.8 * len(plain[:_PROBE]) else plain
        return struct.pack(">cI", b"r" if packed is plain else b"z", len(packed)) + packed

    def _read(self, piece: Piece) -> bytes:
        entry = piece.entry
        try:
            with self.sources[entry.path].open("rb", buffering=0) as file:
                data = _exactly(file, piece)
        except OSError as error:
            raise SyncError(f"{entry.path} cannot be read any more: {error.strerror}.", "Push again.") from error
        if len(data) != piece.length:
            raise changed(entry)
        return data

    def blame(self, error: HashMismatch) -> SyncError:
        """What to say when the pod found a content damaged: did a file change here, or did bytes change on the way?"""
        for entry in self.wanted:
            if _sha256(self.sources[entry.path]) != entry.sha256:
                return changed(entry)
        return error


def changed(entry: Entry) -> SyncError:
    return SyncError(f"{entry.path} changed while it was being pushed.", "Push again.")


def _exactly(file: FileIO, piece: Piece) -> bytes:
    """The piece's bytes, and one more where the file ends with it and has become longer."""
    file.seek(piece.offset)
    most = piece.length + (piece.offset + piece.length == piece.entry.size)
    data = file.read(most) or b""
    while len(data) < piece.length and (more := file.read(most - len(data))):
        data += more
    return data


def _sha256(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def _head(piece: Piece) -> bytes:
    return _PIECE.pack(piece.entry.sha256.encode(), piece.entry.size, piece.offset, piece.length)


def _batches(wanted: Sequence[Entry]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    held = 0
    for entry in wanted:
        for offset in range(0, max(1, entry.size), BATCH):
            piece = Piece(entry, offset, min(BATCH, entry.size - offset))
            if batch and held + piece.length > BATCH:
                yield batch
                batch, held = [], 0
            batch.append(piece)
            held += piece.length
    if batch:
        yield batch

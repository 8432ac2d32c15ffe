"""Where the frames of one file go while it arrives: into a verified part, or onto the end of a growing prefix."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from remote.agent.client import RemoteFile
from remote.errors import SyncError
from remote.sync.part import Part, disk_full_named


class Arriving:
    """A final file: its frames are collected to whole chunks of its part."""

    def __init__(self, file: RemoteFile, part: Part) -> None:
        self.file, self.part = file, part
        self._buffers: dict[int, bytearray] = {}

    def here(self) -> int:
        """Bytes that are safe already."""
        return sum(self.part.span(index)[1] for index in self.part.done)

    def complete(self) -> bool:
        return not self.part.missing()

    def ranges(self) -> Iterator[dict[str, int]]:
        """The chunks that are not here yet."""
        for index in self.part.missing():
            offset, length = self.part.span(index)
            yield {"offset": offset, "length": length}

    def take(self, offset: int, data: bytes) -> int:
        """Add a piece; returns how many bytes are now safe that were not before."""
        index = offset // self.part.chunk
        if not data or not 0 <= index < self.part.chunks:
            return 0  # shorter on the pod than it was listed; the hole shows in `part.missing()`
        buffer = self._buffers.setdefault(index, bytearray())
        if offset - index * self.part.chunk != len(buffer):
            raise SyncError(f"{self.file.path}: the pod sent its bytes out of order.")
        buffer += data
        length = self.part.span(index)[1]
        if len(buffer) < length:
            return 0
        self.part.write(index, bytes(self._buffers.pop(index)))
        return length


class Growing:
    """A file that only gets longer: its local size is the offset. One that is shorter on the pod starts anew."""

    def __init__(self, file: RemoteFile, final: Path) -> None:
        self.file, self.final = file, final
        final.parent.mkdir(parents=True, exist_ok=True)
        self.size = final.stat().st_size if final.is_file() else 0
        if self.size > file.size:
            os.truncate(final, 0)
            self.size = 0
        self._out: BinaryIO | None = None

    def here(self) -> int:
        return self.size

    def complete(self) -> bool:
        return self.size >= self.file.size

    def ranges(self) -> Iterator[dict[str, int]]:
        if self.size < self.file.size:
            yield {"offset": self.size, "length": self.file.size - self.size}

    def take(self, offset: int, data: bytes) -> int:
        if offset != self.size:
            raise SyncError(f"{self.file.path}: the pod sent its bytes out of order.")
        with disk_full_named(self.final):
            if self._out is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._out = os.fdopen(os.open(self.final, flags, 0o600), "ab")
            self._out.write(data)
            self._out.flush()
        self.size += len(data)
        return len(data)

    def close(self) -> None:
        if self._out is not None:
            os.fsync(self._out.fileno())
            self._out.close()

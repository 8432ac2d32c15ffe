"""Where the frames of one file go while it arrives: a small file at once, a large one in verified chunks, a growing one
onto the end of its prefix."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from remote.agent.client import RemoteFile
from remote.errors import HashMismatch, SyncError
from remote.sync.part import Part, disk_full_named, write_whole


class Target:
    """One file on its way here.

    `pending` counts the requests that are not answered yet, `asked` says that all of the file was asked for, `closed`
    that `finish` has decided or is about to. Frames of different chunks may come over different channels.
    """

    def __init__(self, file: RemoteFile) -> None:
        self.file = file
        self.pending = 0
        self.asked = self.closed = False

    def here(self) -> int:
        """Bytes that are safe already."""
        raise NotImplementedError

    def complete(self) -> bool:
        """Whether every byte is here."""
        raise NotImplementedError

    def ranges(self) -> Iterator[dict[str, int]]:
        """What is not here yet."""
        raise NotImplementedError

    def take(self, offset: int, data: bytes, digest: str) -> int:
        """Add a piece that has this digest; returns how many bytes are now safe that were not before."""
        raise NotImplementedError

    def finish(self, final: Path) -> bool:
        """Put the whole file in its place; False when what came is not what was promised, and it is dropped."""
        raise NotImplementedError

    def out_of_order(self) -> SyncError:
        return SyncError(f"{self.file.path}: the pod sent its bytes out of order.")


class Small(Target):
    """A final file of at most one chunk: held in memory until it is whole."""

    def __init__(self, file: RemoteFile, sha256: str, temporary: Path) -> None:
        super().__init__(file)
        self.sha256, self.temporary = sha256, temporary
        self._data = bytearray()

    def here(self) -> int:
        return 0

    def complete(self) -> bool:
        return len(self._data) >= self.file.size

    def ranges(self) -> Iterator[dict[str, int]]:
        if self.file.size:
            yield {"offset": 0, "length": self.file.size}

    def take(self, offset: int, data: bytes, digest: str) -> int:  # noqa: ARG002
        if data and offset != len(self._data):
            raise self.out_of_order()
        self._data += data
        return len(data)

    def finish(self, final: Path) -> bool:
        if hashlib.sha256(self._data).hexdigest() != self.sha256:
            return False
        write_whole(self.temporary, final, bytes(self._data))
        return True


class Large(Target):
    """A final file of several chunks: its frames are collected to whole chunks of its part."""

    def __init__(self, file: RemoteFile, part: Part) -> None:
        super().__init__(file)
        self.part = part
        self._buffers: dict[int, bytearray] = {}

    def here(self) -> int:
        return sum(self.part.span(index)[1] for index in self.part.done)

    def complete(self) -> bool:
        return len(self.part.done) == self.part.chunks

    def ranges(self) -> Iterator[dict[str, int]]:
        for index in self.part.missing():
            offset, length = self.part.span(index)
            yield {"offset": offset, "length": length}

    def take(self, offset: int, data: bytes, digest: str) -> int:
        index = offset // self.part.chunk
        if not data or not 0 <= index < self.part.chunks:
            return 0  # shorter on the pod than it was listed; the hole shows in `part.missing()`
        begin, length = self.part.span(index)
        if offset == begin and len(data) == length:
            self.part.write(index, data, digest)
            return length
        buffer = self._buffers.setdefault(index, bytearray())
        if offset - begin != len(buffer):
            raise self.out_of_order()
        buffer += data
        if len(buffer) < length:
            return 0
        self.part.write(index, bytes(self._buffers.pop(index)))
        return length

    def finish(self, final: Path) -> bool:
        try:
            if not self.part.missing():
                self.part.finish(final)
                return True
        except HashMismatch:
            pass
        self.part.drop()  # damaged, or shorter on the pod than it was listed
        return False


class Growing(Target):
    """A file that only gets longer: its local size is the offset. One that is shorter on the pod starts anew, beside
    the longer one, which is put aside as `.NAME.1`, `.NAME.2`, …"""

    def __init__(self, file: RemoteFile, final: Path) -> None:
        super().__init__(file)
        self.final = final
        final.parent.mkdir(parents=True, exist_ok=True)
        self.size = final.stat().st_size if final.is_file() else 0
        if self.size > file.size:
            asides = (final.with_name(f".{final.name}.{number}") for number in itertools.count(1))
            os.replace(final, next(path for path in asides if not path.exists()))
            self.size = 0
        self._out: BinaryIO | None = None

    def here(self) -> int:
        return self.size

    def complete(self) -> bool:
        return self.size >= self.file.size

    def ranges(self) -> Iterator[dict[str, int]]:
        if self.size < self.file.size:
            yield {"offset": self.size, "length": self.file.size - self.size}

    def take(self, offset: int, data: bytes, digest: str) -> int:  # noqa: ARG002
        if offset != self.size:
            raise self.out_of_order()
        with disk_full_named(self.final):
            if self._out is None:
                flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                self._out = os.fdopen(os.open(self.final, flags, 0o600), "ab")
            self._out.write(data)
            self._out.flush()
        self.size += len(data)
        return len(data)

    def finish(self, final: Path) -> bool:  # noqa: ARG002
        if self._out is not None:
            os.fsync(self._out.fileno())
            self._out.close()
            self._out = None
        return True

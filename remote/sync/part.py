"""A file that is arriving in chunks: the bytes so far, and a list of which chunks arrived with which digest.

Survives any cut: what the list claims is checked against the bytes before it is believed. Fetching is left to `pull`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remote.errors import DiskFull, HashMismatch
from remote.files import private_dir, sync_dir

CHUNK = 2 << 20
"""Bytes fetched and verified as one. A cut loses at most one chunk of each channel."""


@contextmanager
def disk_full_named(path: Path) -> Iterator[None]:
    """Turn "no space left" into DiskFull naming `path`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            hint = "Free space on this disk and pull again; what arrived is kept."
            raise DiskFull(f"No space is left to write {path}.", hint, where=str(path)) from error
        raise


def write_whole(temporary: Path, final: Path, data: bytes) -> None:
    """Put a whole small file in its place: written beside, made durable, renamed. Raises DiskFull."""
    try:
        with disk_full_named(final):
            private_dir(temporary.parent)
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(fd, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(fd)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(temporary, final)
            sync_dir(final.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def part_key(path: str) -> str:
    """The name, in the working folder, of what arrives for `path`."""
    return hashlib.sha256(path.encode()).hexdigest()[:32]


def chunk_digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Part:
    """`<folder>/<key>.part` and `<key>.map` for one file of `size` bytes whose content has the hash `sha256`."""

    def __init__(self, folder: Path, path: str, size: int, sha256: str, chunk: int = CHUNK) -> None:
        key = part_key(path)
        self.data, self.map = folder / f"{key}.part", folder / f"{key}.map"
        self.size, self.sha256, self.chunk = size, sha256, chunk
        with disk_full_named(folder):
            private_dir(folder)
        self._head = {"path": path, "size": size, "sha256": sha256, "chunk": chunk}
        self.done = self._resume()

    @property
    def chunks(self) -> int:
        return -(-self.size // self.chunk)

    def span(self, index: int) -> tuple[int, int]:
        """(offset, length) of a chunk."""
        offset = index * self.chunk
        return offset, min(self.chunk, self.size - offset)

    def missing(self) -> list[int]:
        return [index for index in range(self.chunks) if index not in self.done]

    def _resume(self) -> set[int]:
        """Chunks whose bytes are there and have the digest noted for them. Another file's remains are dropped."""
        done = self._checked()
        if done is None:
            with disk_full_named(self.data):
                self.map.write_bytes(json.dumps(self._head).encode() + b"\n")
                self.data.unlink(missing_ok=True)
                self.data.touch(mode=0o600)
        return done or set()

    def _checked(self) -> set[int] | None:
        try:
            lines = self.map.read_bytes().split(b"\n")
            head = json.loads(lines[0])
            size = self.data.stat().st_size
        except (OSError, ValueError):
            return None
        if head != self._head or size > self.size:
            return None
        done: set[int] = set()
        with self.data.open("rb") as file:
            for line in lines[1:-1]:  # the last one is empty or torn
                number, _, digest = line.decode("ascii", "replace").partition(" ")
                if not number.isdigit() or int(number) >= self.chunks:
                    continue
                offset, length = self.span(int(number))
                file.seek(offset)
                data = file.read(length)
                if len(data) == length and chunk_digest(data) == digest:
                    done.add(int(number))
                else:
                    done.discard(int(number))
        return done

    def adopt(self, prefix: Path) -> None:
        """Start from a file that holds the beginning: its whole chunks are taken over; `finish` decides if rightly."""
        with prefix.open("rb") as file:
            for index in range(self.chunks):
                data = file.read(self.span(index)[1])
                if len(data) < self.span(index)[1]:
                    return
                self.write(index, data)

    def write(self, index: int, data: bytes, digest: str | None = None) -> None:
        """Put one whole chunk in its place, then note it with its `digest`, where that was checked. Raises DiskFull."""
        offset, length = self.span(index)
        if len(data) != length:
            raise HashMismatch(f"{self._head['path']}: chunk {index} arrived with {len(data)} of {length} bytes.")
        with disk_full_named(self.data):
            fd = os.open(self.data, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                view = memoryview(data)
                while view:
                    count = os.pwrite(fd, view, offset)
                    view, offset = view[count:], offset + count
            finally:
                os.close(fd)
            with self.map.open("ab") as notes:
                notes.write(f"{index} {digest or chunk_digest(data)}\n".encode())
        self.done.add(index)

    def finish(self, final: Path) -> None:
        """Verify the whole, make it durable, rename it to `final`. Else HashMismatch, and the bytes are dropped."""
        if sha256_file(self.data) != self.sha256:
            self.drop()
            raise HashMismatch(f"{self._head['path']} arrived damaged.", "Pull again.")
        with disk_full_named(final):
            with self.data.open("rb") as file:
                os.fsync(file.fileno())
            final.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.data, final)
            sync_dir(final.parent)
        self.map.unlink(missing_ok=True)

    def drop(self) -> None:
        self.data.unlink(missing_ok=True)
        self.map.unlink(missing_ok=True)
        self.done = set()

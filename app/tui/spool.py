"""Read-only access to one spool file by line: follows its growth, reads single lines, notices replacement.

Holds no text, only the line index and one open file. Drawing belongs to the log view, filling to `remote.tail`.
"""

from __future__ import annotations

import os
from pathlib import Path

from app.tui.index import LineIndex
from app.tui.lines import Line, parse

WINDOW = 64 * 1024
"""Of a single line never more than this is read (bytes)."""

STEP = 4 * 1024 * 1024
"""Bytes indexed in one go (about 5 ms)."""


class Spool:
    """One log on this machine. `generation` counts up when the file was replaced or became smaller."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index = LineIndex()
        self.generation = 0
        self._fd: int | None = None
        self._inode: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def advance(self, limit: int = STEP) -> bool:
        """Index up to `limit` new bytes; True if the visible lines changed. A missing file is an empty one."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        fresh = self._inode != (found.st_dev, found.st_ino) or found.st_size < self.index.size
        if fresh:
            self._reopen()
        if self._fd is None:
            return fresh
        chunk = os.pread(self._fd, min(limit, max(0, os.fstat(self._fd).st_size - self.index.size)), self.index.size)
        if chunk:
            self.index.feed(chunk)
        return fresh or bool(chunk)

    @property
    def behind(self) -> int:
        """Bytes in the file that are not indexed yet."""
        try:
            return max(0, os.fstat(self._fd).st_size - self.index.size) if self._fd is not None else 0
        except OSError:
            return 0

    def raw(self, line: int) -> bytes:
        """Bytes of a line; of a very long one the last rewrite after a carriage return, else its beginning."""
        if self._fd is None:
            return b""
        start, end = self.index.span(line)
        if end - start <= WINDOW:
            return os.pread(self._fd, end - start, start)
        tail = os.pread(self._fd, WINDOW, end - WINDOW).rstrip(b"\r")
        if b"\r" in tail:
            return tail[tail.rfind(b"\r") + 1 :]
        return os.pread(self._fd, WINDOW, start)

    def line(self, number: int) -> Line:
        """A line as it is shown."""
        return parse(self.raw(number))

    def block(self, first: int, last: int) -> bytes:
        """Raw bytes of lines `[first, last)` with their newlines between them."""
        if self._fd is None or last <= first:
            return b""
        start, end = self.index.span(first)[0], self.index.span(last - 1)[1]
        return os.pread(self._fd, end - start, start)

    def close(self) -> None:
        """Give the file back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _reopen(self) -> None:
        self.close()
        self.index = LineIndex()
        self.generation += 1
        try:
            self._fd = os.open(self.path, os.O_RDONLY)
            found = os.fstat(self._fd)
            self._inode = (found.st_dev, found.st_ino)
        except OSError:
            self._fd = self._inode = None

"""Read-only access to one spool file by line: follows its growth, reads single lines, notices replacement.

Of a big file the end is indexed at once and the rest by `index_head`, beside the screen. Holds no text, only the line
index and one open file. Drawing belongs to the log view, filling to `remote.tail`.
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


BIG = 8 * 1024 * 1024
"""A file above this size (bytes) is shown from its end before the rest is indexed."""

TAIL = 1024 * 1024
"""Bytes of a big file that are indexed at once."""


class Spool:
    """One log on this machine.

    `generation` counts up when the file was replaced or became smaller; `shift` is how many lines have since come to
    stand before those that were there at first; `epoch` counts up with both, so that line numbers of different epochs
    do not belong together.
    """

    def __init__(self, path: Path, *, big: int = BIG, tail: int = TAIL) -> None:
        self.path = path
        self.index = LineIndex()
        self.generation = self.shift = self.epoch = 0
        self.partial = False  # the beginning is not indexed yet
        self._big, self._tail = big, tail
        self._head: tuple[int, LineIndex] | None = None  # made by `index_head`, taken in by `advance`
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
            self._reopen(found.st_size)
        fresh = self._take_head() or fresh
        if self._fd is None:
            return fresh
        chunk = os.pread(self._fd, min(limit, max(0, os.fstat(self._fd).st_size - self.index.size)), self.index.size)
        if chunk:
            self.index.feed(chunk)
        return fresh or bool(chunk)

    def index_head(self) -> None:
        """Index what lies before the end of a big file; for a thread of its own. `advance` takes it in."""
        generation, base, head = self.generation, self.index.base, LineIndex()
        try:
            with self.path.open("rb") as file:
                while head.size < base and generation == self.generation and self._fd is not None:
                    chunk = file.read(min(STEP, base - head.size))
                    if not chunk:
                        return
                    head.feed(chunk)
        except OSError:
            return
        if head.size == base:
            self._head = generation, head

    def _take_head(self) -> bool:
        if self._head is None:
            return False
        (generation, head), self._head = self._head, None
        if generation != self.generation:
            return False
        self.index = self.index.after(head)
        self.shift, self.partial = head.complete, False
        self.epoch += 1
        return True

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

    def _reopen(self, size: int) -> None:
        self.close()
        self.index = LineIndex()
        self.generation += 1
        self.epoch += 1
        self.shift, self.partial = 0, False
        try:
            self._fd = os.open(self.path, os.O_RDONLY)
            found = os.fstat(self._fd)
            self._inode = (found.st_dev, found.st_ino)
            if size > self._big:
                begin = max(0, size - self._tail)
                before = os.pread(self._fd, self._tail, begin).find(b"\n")
                if before >= 0:  # else one line fills it all: begin at the beginning
                    self.index = LineIndex(begin + before + 1)
                    self.partial = True
        except OSError:
            self._fd = self._inode = None

"""Read-only access to one spool file by line: follows its growth, reads single lines, notices replacement.

Of a big file the end is indexed at once and the rest by `index_head`, beside the screen. Holds no text, only the line
index and one open file. Lines are known by the byte offset they begin at, which stays when more lines come to stand
before them. Drawing belongs to the log view, filling to `remote.watch.tail`.
"""

from __future__ import annotations

import os
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from app.tui.index import LineIndex
from app.tui.levels import Tally
from app.tui.lines import Line, parse
from app.tui.scan import SLAB, Slab

WINDOW = 64 * 1024
"""Of a single line never more than this is read (bytes)."""

STEP = 4 * 1024 * 1024
"""Bytes indexed in one go (about 5 ms)."""

HEAD_STEP = 16 * 1024 * 1024
"""Bytes of the beginning of a big file that are indexed in one go (about 5 ms of the interpreter): a thread waits for
the interpreter after every step, so that fewer are sooner done beside a screen that is drawn."""

BIG = 8 * 1024 * 1024
"""A file above this size (bytes) is shown from its end before the rest is indexed."""

TAIL = 1024 * 1024
"""Bytes of a big file that are indexed at once."""

ANCHOR = 64
"""Last indexed bytes that are remembered: if they differ later, the file was rewritten in place."""


class Mark(Struct, frozen=True):
    """A line of the panel's own that stands before the line at `offset`."""

    offset: int
    text: str


class Spool:
    """One log on this machine.

    `generation` counts up when the file was replaced, rewritten or became smaller; `shift` is how many lines have
    since come to stand before those that were there at first. Closing and `read` may meet in two threads; all else
    belongs to the screen's.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time, *, big: int = BIG, tail: int = TAIL) -> None:
        self.path = path
        self.index = LineIndex()
        self.tally = Tally(0, 0)
        self.marks: list[Mark] = []
        self.generation = self.shift = 0
        self.partial = False  # the beginning is not indexed yet
        self.head_done = 0  # bytes of the beginning that are indexed while `partial`
        self._big, self._tail, self._clock = big, tail, clock
        self._head: tuple[int, LineIndex] | None = None  # made by `index_head`, taken in by `advance`
        self._fd: int | None = None
        self._closing = threading.Lock()
        self._inode: tuple[int, int] | None = None
        self._anchor = b""
        self._came = (array("Q"), array("d"))  # offsets and the times they came at, one pair a second at most

    def __len__(self) -> int:
        return len(self.index)

    @property
    def complete_to(self) -> int:
        """Offset after the last line that will not change any more."""
        return self.index.end

    def advance(self, limit: int = STEP) -> bool:
        """Index up to `limit` new bytes; True if the visible lines changed. A missing file is an empty one."""
        try:
            found = self.path.stat()
        except OSError:
            return False
        first = self._inode is None
        fresh = self._inode != (found.st_dev, found.st_ino) or found.st_size < self.index.size
        grown = found.st_size > self.index.size
        if fresh or (grown and self._rewritten()):
            self._reopen(found.st_size, first)
            fresh = True
        fresh = self._take_head() or fresh
        chunk = (
            self.read(self.index.size, min(limit, max(0, found.st_size - self.index.size))) if grown or fresh else b""
        )
        if chunk:
            if not fresh:
                self._note_time(self.index.size)
            self.index.feed(chunk)
            self._anchor = (self._anchor + chunk[-ANCHOR:])[-ANCHOR:]
        return fresh or bool(chunk)

    def index_head(self) -> None:
        """Index what lies before the end of a big file; for a thread of its own. `advance` takes it in."""
        generation, base, head = self.generation, self.index.base, LineIndex()
        while head.size < base and generation == self.generation:
            chunk = self.read(head.size, min(HEAD_STEP, base - head.size))
            if not chunk:
                return
            head.feed(chunk)
            self.head_done = head.size
        if head.size == base:
            self._head = generation, head

    def read(self, start: int, size: int) -> bytes:
        """Bytes of the file, fewer at its end or none once it is closed; from any thread."""
        with self._closing:
            try:
                return os.pread(self._fd, size, start) if self._fd is not None and size > 0 else b""
            except OSError:
                return b""

    def raw_at(self, offset: int) -> bytes:
        """Bytes of the line that begins at `offset`; of a very long one the last rewrite after a carriage return,
        else its beginning."""
        if offset >= self.index.base:
            start, end = self.index.span(self.index.line_at(offset))
            return self._shortened(start, end)
        head = self.read(offset, WINDOW)  # not indexed yet
        cut = head.find(b"\n")
        return head if cut < 0 else head[:cut]

    def raw(self, line: int) -> bytes:
        """The same by line number. Raises IndexError outside the file."""
        return self._shortened(*self.index.span(line))

    def line(self, number: int) -> Line:
        """A line as it is shown."""
        return parse(self.raw(number))

    def came(self, offset: int) -> float | None:
        """When the line at `offset` came here (unix seconds); None if it was here before the panel looked."""
        at = bisect_right(self._came[0], offset) - 1
        return self._came[1][at] if at >= 0 else None

    def add_mark(self, text: str) -> None:
        """Put a line of the panel's own after what is there now."""
        self.marks.append(Mark(self.index.size, text))

    def after(self, start: int, size: int = SLAB) -> Slab | None:
        """Complete lines from the line start `start` on, about `size` bytes of them; None at the end."""
        stop = self.index.end
        data = self.read(start, min(size, stop - start))
        end = data.rfind(b"\n") + 1
        if end:
            return Slab(start, data[:end], start + end)
        at = start + len(data)
        while data and at < stop:  # one line fills it all: look for its end
            data = self.read(at, min(STEP, stop - at))
            found = data.find(b"\n")
            if found >= 0:
                return self._one_line(start, at + found + 1)
            at += len(data)
        return None

    def before(self, end: int, size: int = SLAB) -> Slab | None:
        """Complete lines up to the line start `end`, about `size` bytes of them; None at the beginning."""
        begin = max(0, end - size)
        data = self.read(begin, end - begin)
        if not data or begin + len(data) < end:
            return None
        cut = data.find(b"\n") + 1 if begin else 0
        if cut < len(data):
            return Slab(begin + cut, data[cut:], end)
        while begin > 0:
            chunk = self.read(max(0, begin - STEP), min(STEP, begin))
            if not chunk:
                return None
            begin -= len(chunk)
            found = chunk.rfind(b"\n")
            if found >= 0:
                return self._one_line(begin + found + 1, end)
        return self._one_line(0, end)

    def close(self) -> None:
        """Give the file back."""
        with self._closing:
            if self._fd is not None:
                os.close(self._fd)
                self._fd = None

    def _one_line(self, start: int, end: int) -> Slab:
        return Slab(start, self._shortened(start, end - 1).replace(b"\n", b"") + b"\n", end)

    def _shortened(self, start: int, end: int) -> bytes:
        if end - start <= WINDOW:
            return self.read(start, end - start)
        tail = self.read(end - WINDOW, WINDOW).rstrip(b"\r")
        if b"\r" in tail:
            return tail[tail.rfind(b"\r") + 1 :]
        return self.read(start, WINDOW)

    def _take_head(self) -> bool:
        if self._head is None:
            return False
        (generation, head), self._head = self._head, None
        if generation != self.generation:
            return False
        self.shift, self.partial = head.complete, False
        head.extend(self.index)
        self.index = head
        return True

    def _note_time(self, offset: int) -> None:
        now = self._clock()
        if not self._came[1] or not 0 <= now - self._came[1][-1] < 1:
            self._came[0].append(offset)
            self._came[1].append(now)

    def _rewritten(self) -> bool:
        """Whether the last bytes that were indexed are no longer what they were."""
        return self.read(self.index.size - len(self._anchor), len(self._anchor)) != self._anchor

    def _reopen(self, size: int, first: bool) -> None:
        gone = len(self)
        self.close()
        self.index = LineIndex()
        self.generation += 1
        self.shift, self.partial, self.head_done, self._anchor, self.marks = 0, False, 0, b"", []
        self._came = (array("Q"), array("d"))
        if not first:
            stamp = time.strftime("%H:%M:%S", time.localtime(self._clock()))
            self.marks.append(Mark(0, f"{stamp} a new file: the {gone:,} lines before were replaced or cut off"))
            self._note_time(0)
        try:
            self._fd = os.open(self.path, os.O_RDONLY)
        except OSError:
            self._inode = None
        else:
            found = os.fstat(self._fd)
            self._inode = (found.st_dev, found.st_ino)
            if size > self._big:
                self._begin_late(size)
        self.tally = Tally(self.generation, self.index.base)

    def _begin_late(self, size: int) -> None:
        begin = max(0, size - self._tail)
        cut = self.read(begin, self._tail).find(b"\n")
        if cut >= 0:  # else one line fills it all: begin at the beginning
            self.index = LineIndex(begin + cut + 1)
            self.partial = True

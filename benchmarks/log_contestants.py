"""Ways to show a growing log file in Textual, under one interface: ours, Textual's own two widgets, and toolong's.

toolong itself cannot be imported beside the pinned Textual. `Mapped` follows its files `log_file.py`, `watcher.py` and
`log_lines.py`: a thread finds line breaks (at first from the end backwards) and posts lists of them; a line view reads
lines through `mmap`, makes them `Text` with a highlighter and keeps them in an LRU cache.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol

from rich.highlighter import RegexHighlighter
from rich.segment import Segment
from rich.text import Text
from textual.cache import LRUCache
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Log, RichLog

from app.tui.spool import Spool
from app.tui.widgets.log_view import LogView

CHUNK = 64 * 1024
POLL_S = 0.1
TURN_S = 0.05
"""Seconds a contestant may feed lines before the event loop turns again."""


class Contestant(Protocol):
    """Shows a file. `tick` is called ten times a second on the event loop."""

    widget: Widget

    def tick(self) -> None: ...
    def lines(self) -> int: ...
    def indexed(self) -> bool: ...
    def close(self) -> None: ...


class Ours:
    """`Spool` and `LogView`."""

    def __init__(self, path: Path) -> None:
        self.spool = Spool(path)
        self.view = LogView(id="log")
        self.widget: Widget = self.view

    def tick(self) -> None:
        fresh = self.spool.generation
        self.spool.advance()
        if self.spool.partial and self.spool.generation != fresh:
            threading.Thread(target=self.spool.index_head, daemon=True).start()
        self.view.open(self.spool)
        self.view.grew()

    def lines(self) -> int:
        return len(self.spool)

    def indexed(self) -> bool:
        return self.spool.generation > 0 and not self.spool.partial and self.spool.index.size >= _size(self.spool.path)

    def close(self) -> None:
        self.spool.close()


class _Fed:
    """Reads what is new at each tick and hands whole lines to `feed`, for `TURN_S` at most: the loop must turn."""

    batch = 20_000

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        self._rest = b""
        self._count = 0
        self._waiting: list[bytes] = []

    def feed(self, lines: list[str]) -> None:
        raise NotImplementedError

    def tick(self) -> None:
        if not self._waiting:
            *self._waiting, self._rest = (self._rest + self._file.read(4 << 20)).split(b"\n")
        begun, at = time.perf_counter(), 0
        while at < len(self._waiting) and time.perf_counter() - begun < TURN_S:
            some = self._waiting[at : at + self.batch]
            self.feed([line.decode("utf-8", "replace") for line in some])
            at += len(some)
        self._count += at
        del self._waiting[:at]

    def lines(self) -> int:
        return self._count

    def indexed(self) -> bool:
        return self._file.tell() >= _size(self.path) and not self._waiting

    def close(self) -> None:
        self._file.close()


class TextualLog(_Fed):
    """Textual's `Log`, a batch of lines at a time, which is its fast way."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.log = Log()
        self.widget: Widget = self.log

    def feed(self, lines: list[str]) -> None:
        self.log.write_lines(lines)


class TextualRichLog(_Fed):
    """Textual's `RichLog`, which takes one line at a time."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.log = RichLog()
        self.widget: Widget = self.log

    batch = 50

    def feed(self, lines: list[str]) -> None:
        for line in lines:
            self.log.write(line)


class _Breaks(Message):
    def __init__(self, offsets: list[int], size: int, *, tail: bool) -> None:
        self.offsets, self.size, self.tail = offsets, size, tail
        super().__init__()


class _Highlighter(RegexHighlighter):
    highlights: ClassVar[list[str]] = [
        r"(?P<repr_number>\b\d+\.?\d*\b)",
        r"(?P<repr_str>\".*?\")",
        r"(?P<logging_level_info>INFO|WARN|ERROR)",
    ]


class _MappedLines(ScrollView):
    """Draws lines out of a mapped file by their break offsets."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.breaks: list[int] = []  # after each newline
        self.file_size = 0
        self.highlight = _Highlighter()
        self._file = path.open("rb")
        self._texts: LRUCache[int, Strip] = LRUCache(1000)

    def on__breaks(self, event: _Breaks) -> None:
        if event.tail:
            self.breaks += event.offsets
        else:
            self.breaks[:0] = event.offsets[::-1]
            self._texts.clear()
        self.file_size = max(self.file_size, event.size)
        self.virtual_size = Size(200, len(self.breaks))
        self.scroll_end(animate=False, immediate=True)
        self.refresh()

    def render_line(self, y: int) -> Strip:
        row = self.scroll_offset.y + y
        if row >= len(self.breaks):
            return Strip.blank(self.size.width)
        strip = self._texts.get(row)
        if strip is None:
            start = self.breaks[row - 1] if row else 0
            raw = os.pread(self._file.fileno(), min(4096, self.breaks[row] - start), start)
            text = self.highlight(Text.from_ansi(raw.decode("utf-8", "replace").rstrip("\n")))
            strip = Strip([*(Segment(*part[:2]) for part in text.render(self.app.console))])
            self._texts[row] = strip
        return strip.crop_extend(self.scroll_offset.x, self.scroll_offset.x + self.size.width, None)


class Mapped:
    """toolong's way."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.view = _MappedLines(path)
        self.widget: Widget = self.view
        self._stop = threading.Event()
        self._scanned = False
        self._thread = threading.Thread(target=self._work, daemon=True)

    def tick(self) -> None:
        if not self._thread.ident:
            self._thread.start()

    def _work(self) -> None:
        at = _size(self.path)
        if at:
            self._scan_backwards(at)
        self._scanned = True
        with self.path.open("rb") as file:
            file.seek(at)
            while not self._stop.is_set():
                chunk = file.read(CHUNK)
                if not chunk:
                    time.sleep(POLL_S)
                    continue
                offsets = [at + n + 1 for n in _newlines(chunk)]
                at += len(chunk)
                self.view.post_message(_Breaks(offsets, at, tail=True))

    def _scan_backwards(self, size: int) -> None:
        """Breaks from the end, batch by batch: the first batch is what is seen."""
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
            batch: list[int] = []
            at, first = size, True
            while (at := mapped.rfind(b"\n", 0, at)) != -1 and not self._stop.is_set():
                batch.append(at + 1)
                if len(batch) >= (1_000 if first else 100_000):
                    self.view.post_message(_Breaks(batch, size, tail=False))
                    batch, first = [], False
            self.view.post_message(_Breaks(batch, size, tail=False))

    def lines(self) -> int:
        return len(self.view.breaks)

    def indexed(self) -> bool:
        return self._scanned and self.view.file_size >= _size(self.path)

    def close(self) -> None:
        self._stop.set()


CONTESTANTS: dict[str, Callable[[Path], Contestant]] = {
    "ours": Ours,
    "Log": TextualLog,
    "RichLog": TextualRichLog,
    "toolong's way": Mapped,
}


def _size(path: Path) -> int:
    return path.stat().st_size


def _newlines(chunk: bytes) -> list[int]:
    found, at = [], chunk.find(b"\n")
    while at >= 0:
        found.append(at)
        at = chunk.find(b"\n", at + 1)
    return found

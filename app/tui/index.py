"""Where the lines of a growing file begin: newline offsets in one `array("Q")`, 8 bytes a line, nothing decoded.

Pure: bytes are fed in, spans come out. Reading the file is left to `app.tui.spool`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

from app.tui import arrays as np


class LineIndex:
    """Line starts of everything fed so far. A last line without its newline counts once it has a byte.

    `base` is the byte offset, the beginning of a line, from which the file is fed.
    """

    def __init__(self, base: int = 0) -> None:
        self._starts = array("Q", [base])
        self.size = base

    def feed(self, chunk: bytes) -> int:
        """Take the next bytes of the file; returns how many newlines they held."""
        found = np.flatnonzero(np.frombuffer(chunk, dtype=np.uint8) == 10)
        self._starts.frombytes((found.astype(np.uint64) + np.uint64(self.size + 1)).tobytes())
        self.size += len(chunk)
        return len(found)

    def __len__(self) -> int:
        return len(self._starts) - (self._starts[-1] == self.size)

    @property
    def base(self) -> int:
        """Byte offset of the first line."""
        return self._starts[0]

    @property
    def complete(self) -> int:
        """Lines that have their newline and so will not change any more."""
        return len(self._starts) - 1

    @property
    def end(self) -> int:
        """Byte offset after the last newline."""
        return self._starts[-1]

    def span(self, line: int) -> tuple[int, int]:
        """Byte offsets `[start, end)` of a line without its newline. Raises IndexError outside the file."""
        if not 0 <= line < len(self):
            raise IndexError(f"line {line} of {len(self)}")
        start = self._starts[line]
        return start, (self._starts[line + 1] - 1 if line + 1 < len(self._starts) else self.size)

    def line_at(self, offset: int) -> int:
        """The line that holds the byte at `offset`."""
        return bisect_right(self._starts, offset) - 1

    def rank(self, offset: int) -> int:
        """How many lines begin before `offset`."""
        return bisect_left(self._starts, offset, 0, len(self))

    def extend(self, tail: LineIndex) -> None:
        """Take over the lines of `tail`, which was fed what comes after. In place: copying a big index costs 100 ms."""
        self._starts.pop()
        self._starts.extend(tail._starts)
        self.size = tail.size

"""Which row of a log view shows what: the log's lines, or those a filter lets through, with the panel's marks between.

Pure arithmetic over a spool and a filter as they are now; made anew when either has grown.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from msgspec import Struct

from app.tui.search import Matches
from app.tui.spool import Mark, Spool


class Row(Struct, frozen=True):
    """What a row shows: the line that begins at `offset`, or a mark that stands before it."""

    offset: int
    mark: str | None = None


class Rows:
    """The rows there are. `Row`s are found by number, and numbers by offset."""

    def __init__(self, spool: Spool | None, only: Matches | None) -> None:
        self._spool, self._only = spool, only
        self._marks: list[Mark] = list(spool.marks) if spool else []
        self._lines = 0 if spool is None else len(only.lines) if only is not None else len(spool)
        self._places = [self._rank(mark.offset) + n for n, mark in enumerate(self._marks)]  # rows of the marks

    def __len__(self) -> int:
        return self._lines + len(self._places)

    def row(self, number: int) -> Row:
        """What stands there. Raises IndexError outside."""
        if not 0 <= number < len(self) or self._spool is None:
            raise IndexError(f"row {number} of {len(self)}")
        marks = bisect_right(self._places, number)
        if marks and self._places[marks - 1] == number:
            mark = self._marks[marks - 1]
            return Row(mark.offset, mark.text)
        line = number - marks
        return Row(self._only.lines[line] if self._only is not None else self._spool.index.span(line)[0])

    def number(self, offset: int) -> int:
        """The row of the line at `offset`, or of the first one after it."""
        line = self._rank(offset)
        return line + bisect_right([place - n for n, place in enumerate(self._places)], line)

    def _rank(self, offset: int) -> int:
        if self._spool is None:
            return 0
        return bisect_left(self._only.lines, offset) if self._only is not None else self._spool.index.rank(offset)

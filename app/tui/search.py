"""Which lines of a spool match: for find (every line stays visible) and filter (only matches shown).

What is compared is the text a person sees, after escapes and rewritten progress are gone. Works in batches so that a
caller can run it beside the screen and stop at any time.
"""

from __future__ import annotations

import re
from array import array

from app.tui.lines import parse
from app.tui.spool import Spool

BATCH = 20_000
"""Lines looked at in one go."""

BLOCK = 4 * 1024 * 1024
"""Bytes read in one go at most; longer stretches are looked at line by line."""


class Pattern:
    """What is looked for. `literal` text ignores case unless it has a capital; a filter is a regular expression, and a
    leading `!` inverts it. Raises ValueError naming the fault of a malformed expression."""

    def __init__(self, asked: str, *, literal: bool) -> None:
        self.asked = asked
        self.inverted = not literal and asked.startswith("!")
        body = asked[1:] if self.inverted else asked
        flags = re.NOFLAG if any(char.isupper() for char in body) else re.IGNORECASE
        try:
            self._regex = re.compile(re.escape(body) if literal else body, flags)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        quick = literal and body.isascii() and body.isprintable()
        self._quick = re.compile(re.escape(body).encode(), flags) if quick and body else None

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where `text` matches, as character ranges; never an empty range."""
        return [] if self.inverted else [m.span() for m in self._regex.finditer(text) if m.end() > m.start()]

    def matches(self, text: str) -> bool:
        """Whether a visible line matches."""
        return (self._regex.search(text) is None) == self.inverted

    def maybe(self, block: bytes) -> bool:
        """False only if no line of this raw block can match: a cheap look before lines are parsed."""
        return self._quick is None or b"\x1b" in block or self._quick.search(block) is not None


class Matches:
    """Line numbers that match so far, ascending, and how far was looked."""

    def __init__(self, pattern: Pattern, epoch: int) -> None:
        self.pattern = pattern
        self.epoch = epoch
        self.lines = array("Q")
        self.upto = 0

    def advance(self, spool: Spool, batch: int = BATCH) -> bool:
        """Look at up to `batch` more complete lines; True while there are more. A replaced file ends the search."""
        last = min(self.upto + batch, spool.index.complete)
        first = self.upto
        while first < last and spool.epoch == self.epoch:
            first = self._some(spool, first, last)
        self.upto = max(self.upto, first)
        return self.upto < spool.index.complete and spool.epoch == self.epoch

    def _some(self, spool: Spool, first: int, last: int) -> int:
        """Look at lines from `first` as far as one block reaches; returns the next line."""
        start = spool.index.span(first)[0]
        end = min(last, max(first + 1, spool.index.line_at(start + BLOCK)))
        if spool.index.span(end - 1)[1] - start > BLOCK:
            found = [first] if self.pattern.matches(spool.line(first).text) else []
        else:
            block = spool.block(first, end)
            lines = block.split(b"\n") if self.pattern.maybe(block) else ()
            found = [first + i for i, raw in enumerate(lines) if self._hit(raw)]
        self.lines.extend(found)
        return end

    def _hit(self, raw: bytes) -> bool:
        return self.pattern.maybe(raw) and self.pattern.matches(parse(raw).text)

"""Which lines of a spool match: for find (every line stays visible) and filter (only matches shown).

What is compared is the text a person sees, after escapes and rewritten progress are gone. A gigabyte takes seconds
because lines are read in slabs, and only lines that hold the words a pattern cannot do without are looked at one by
one; lines with anything but printable ASCII in them always are.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from app.tui import arrays as np
from app.tui.lines import MAX_CELLS, parse
from app.tui.scan import Ends, Scan, Slab

if TYPE_CHECKING:
    from app.tui.scan import Offsets

_TOKEN = re.compile(
    r"\\(?P<escaped>.)|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<sign>[()|*+?.^$])|\{[\d,]*\}|(?P<plain>.)", re.DOTALL
)
_COLOUR = re.compile(rb"\x1b\[[0-9;:]*m")
_LEAST = 2  # characters a word must have to be worth looking for


class Pattern:
    """What is looked for. `literal` text ignores case unless it has a capital; a filter is a regular expression, and a
    leading `!` inverts it. Raises ValueError naming the fault of a malformed expression."""

    def __init__(self, asked: str, *, literal: bool) -> None:
        self.asked = asked
        self.inverted = not literal and asked.startswith("!")
        body = asked[1:] if self.inverted else asked
        self._lower = not any(char.isupper() for char in (body if literal else re.sub(r"\\.", "", body)))
        try:
            self._regex = re.compile(re.escape(body) if literal else body, re.IGNORECASE if self._lower else re.NOFLAG)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        words = (body,) if literal else required(body)
        usable = words and all(len(word) >= _LEAST and word.isascii() and word.isprintable() for word in words)
        self._words = tuple(word.encode() for word in words) if usable else ()
        self._sure = literal and bool(self._words)  # a line that holds the word matches

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where `text` matches, as character ranges; never an empty range."""
        return [] if self.inverted else [m.span() for m in self._regex.finditer(text) if m.end() > m.start()]

    def matches(self, text: str) -> bool:
        """Whether a visible line matches."""
        return (self._regex.search(text) is None) == self.inverted

    def hits(self, data: bytes) -> Offsets:
        """Where in these complete lines the matching ones begin."""
        starts = _starts(data)
        shown = _COLOUR.sub(b"", data) if b"\x1b" in data else data  # colours go, the number of lines stays
        shown = shown.replace(b"\r\n", b"\n")
        ends = np.flatnonzero(np.frombuffer(shown, dtype=np.uint8) == 10)
        short = np.diff(starts, append=len(data)) <= MAX_CELLS
        odd = np.union1d(_odd_lines(shown, ends), np.flatnonzero(~short))
        held = self._holding(shown, ends) if self._words else np.arange(len(ends))
        found = np.zeros(len(ends), dtype=bool)
        search = self._regex.search
        if self._sure:
            found[held] = True
        elif len(held):
            texts = shown.decode("latin-1").split("\n")  # one call; of lines that are not odd it is what is seen
            found[[line for line in held.tolist() if search(texts[line])]] = True
        for line, begin in zip(odd.tolist(), starts[odd].tolist(), strict=True):
            found[line] = search(parse(data[begin : data.index(b"\n", begin)]).text) is not None
        return starts[np.flatnonzero(found != self.inverted)]

    def _holding(self, shown: bytes, ends: Offsets) -> Offsets:
        """Lines with one of the words in them."""
        hay = shown.lower() if self._lower else shown
        places = [place for word in self._words for place in _places(hay, word)]
        return np.unique(np.searchsorted(ends, np.array(places, dtype=np.int64)))


class Matches(Scan["Offsets"]):
    """Where the matching lines begin, so far."""

    def __init__(self, pattern: Pattern, generation: int, anchor: int) -> None:
        super().__init__(generation, anchor)
        self.pattern = pattern
        self.lines = Ends()

    def take(self) -> tuple[int, int]:
        """Take in what was found; returns how many lines came above those known, and how many below."""
        above = below = 0
        while self._pending:
            is_below, found = self._pending.popleft()
            self.lines.add(found, below=is_below)
            above += 0 if is_below else len(found)
            below += len(found) if is_below else 0
        return above, below

    def rank(self, offset: int) -> int:
        """How many matching lines begin before `offset`."""
        return bisect_left(self.lines, offset)

    def has(self, offset: int | None) -> bool:
        """Whether the line at `offset` matches."""
        if offset is None:
            return False
        at = self.rank(offset)
        return at < len(self.lines) and self.lines[at] == offset

    def look(self, slab: Slab) -> Offsets:
        return self.pattern.hits(slab.data) + slab.start


def required(body: str) -> tuple[str, ...]:
    """Words of which a line must hold at least one to match this regular expression: the longest plain run of each
    alternative. () if that cannot be told, which is also the answer to anything unusual."""
    branches, runs, depth = [], [""], 0
    if "(?" in body.replace("(?:", ""):
        return ()
    for token in _TOKEN.finditer(body):
        sign, plain = token["sign"], token["plain"]
        if token["escaped"] is not None and not token["escaped"].isalnum():
            plain = token["escaped"]
        if depth == 0 and plain is not None:
            runs[-1] += plain
            continue
        if depth == 0 and (sign in ("*", "+", "?") or token[0].startswith("{")):
            runs[-1] = runs[-1][:-1]  # what is repeated may be absent
        depth += {"(": 1, ")": -1}.get(sign or "", 0)
        if sign == "|" and depth == 0:
            branches.append(max(runs, key=len))
            runs = []
        runs.append("")
    branches.append(max(runs, key=len))
    return tuple(branches) if depth == 0 and all(branches) else ()


def _places(hay: bytes, word: bytes) -> Iterator[int]:
    """One place of `word` on each line that has it."""
    at = hay.find(word)
    while at >= 0:
        yield at
        at = hay.find(word, hay.find(b"\n", at))


def _starts(data: bytes) -> Offsets:
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == 10)
    return np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1] + 1))


def _odd_lines(shown: bytes, ends: Offsets) -> Offsets:
    """Lines with anything but printable ASCII in them."""
    codes = np.frombuffer(shown, dtype=np.uint8)
    if shown.isascii() and np.count_nonzero(codes < 32) == len(ends) and b"\x7f" not in shown:
        return ends[:0]
    places = np.flatnonzero(((codes < 32) & (codes != 10)) | (codes > 126))
    return np.unique(np.searchsorted(ends, places))

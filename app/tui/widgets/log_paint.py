"""From a harmless line to what the terminal draws: looks, highlighted stretches, and where it wraps."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from app.tui.lines import Colour, Line, Sgr, cells, width

Stretch = tuple[int, int, Style]
"""Characters `[first, last)` that look different."""


def drawn(line: Line, base: Style, over: Sequence[Stretch]) -> Strip:
    """The whole line at its full width; of stretches that overlap the later one wins."""
    segments = []
    at = 0
    for text, look in line.spans:
        style = base + rich_style(look)
        edges = sorted({0, len(text), *(e - at for s in over for e in s[:2] if 0 < e - at < len(text))})
        for a, b in pairwise(edges):
            upon = [mark for first, last, mark in over if first <= at + a and at + b <= last]
            segments.append(Segment(text[a:b], Style.combine([style, *upon])))
        at += len(text)
    return Strip(segments, cells(line.text))


@lru_cache(maxsize=512)
def rich_style(look: Sgr) -> Style:
    """The terminal style of an SGR look; palette entries 0-15 follow the theme."""
    return Style(
        color=_colour(look.fg),
        bgcolor=_colour(look.bg),
        bold=look.bold or None,
        dim=look.dim or None,
        italic=look.italic or None,
        underline=look.underline or None,
        reverse=look.reverse or None,
        strike=look.strike or None,
    )


def pieces(text: str, room: int) -> list[tuple[int, int, int]]:
    """Where a line breaks at `room` cells: (first character, first cell, cells), at least one piece.

    A wide character that does not fit goes down whole; a combining one stays with its base."""
    room = max(2, room)
    if text.isascii():
        return [(at, at, min(room, len(text) - at)) for at in range(0, len(text), room)] or [(0, 0, 0)]
    broken, first, first_cell, column = [], 0, 0, 0
    for at, char in enumerate(text):
        wide = width(char)
        if column + wide - first_cell > room:
            broken.append((first, first_cell, column - first_cell))
            first, first_cell = at, column
        column += wide
    return [*broken, (first, first_cell, column - first_cell)]


def _colour(colour: Colour) -> Color | None:
    if colour is None:
        return None
    return Color.from_ansi(colour) if isinstance(colour, int) else Color.from_rgb(*colour)

"""A task as a card of two lines, and a file as wrapped lines. Pure; what files say is data."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.tui.boards import Card
from app.tui.lines import clean
from app.tui.picture import Picture
from app.tui.shelf import Unreadable
from app.tui.widgets.conditions import wrap
from app.tui.widgets.panel import MUTED, pack, text

_LEVEL = {0: "bold $error", 1: "bold $warning", 2: "$primary", 3: MUTED}
LINES = 2_000
"""Lines of a file that are shown beside the board."""


def card_lines(picture: Picture, card: Card, width: int) -> Sequence[Content]:
    """`P0 freeze the eval set` over the rest of a long title and `3/5 · after x`; a problem stands before both."""
    g = picture.glyphs
    flash = g.on if card.id in picture.boards.changed else " "
    title, *more = wrap(clean(card.title), width - 4)
    first = text(level_mark(card.level), " ", (flash, "bold $accent"), title)
    parts = []
    if card.problems:
        parts.append(text((f"{g.warn} {clean(card.problems[0])}", "bold $warning")))
    elif more:
        parts.append(text(" ".join(more)).truncate(max(1, width - 4), ellipsis=True))
    if card.lane != card.column:
        parts.append(text((clean(card.lane), "$accent")))
    if card.boxes:
        parts.append(text(f"{card.done}/{card.boxes}"))
    if card.after:
        parts.append(text((f"after {clean(', '.join(card.after))}", MUTED)))
    if card.review:
        parts.append(text((f"from {clean(card.review)}", MUTED)))
    if card.id in picture.boards.changed:
        parts.append(text(("changed just now", "$accent")))
    parts.append(text((clean(card.id), MUTED)))
    return [first, text("    ", pack(parts, max(1, width - 4), f" {g.dot} ") if len(parts) > 1 else parts[0])]


def level_mark(level: int | None) -> tuple[str, str]:
    """`P0` with its style; `P?` where nothing says it."""
    return ("P?", MUTED) if level is None else (f"P{level}", _LEVEL.get(level, MUTED))


def text_lines(found: str | Unreadable | None, width: int) -> list[Content]:
    """A file as lines that fit; headings stand out."""
    if found is None:
        return [text(("reading", MUTED))]
    if isinstance(found, Unreadable):
        return [text((f"cannot be read: {clean(found.why)}", "$warning"))]
    lines = []
    for raw in found.splitlines()[:LINES]:
        line = clean(raw)
        style = "bold $primary" if line.startswith("#") else ""
        lines += [text((part, style)) for part in wrap(line, width)]
    return lines

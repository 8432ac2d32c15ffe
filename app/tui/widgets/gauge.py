"""A horizontal bar with eighth-of-a-cell resolution. Pure."""

from __future__ import annotations

from textual.content import Content

from app.tui.theme import Glyphs


def gauge(fraction: float | None, width: int, glyphs: Glyphs, style: str = "$primary") -> Content:
    """`fraction` (0-1) of `width` cells filled. Unknown is an empty bar; only a full 1.0 fills the last cell."""
    width = max(1, width)
    known = min(1.0, max(0.0, fraction)) if fraction is not None else 0.0
    steps = len(glyphs.parts) + 1
    eighths = int(known * width * steps)
    full, rest = divmod(eighths, steps)
    bar = glyphs.full * full + (glyphs.parts[rest - 1] if rest else "")
    return Content.assemble((bar, style), (glyphs.empty * (width - len(bar)), "$border"))

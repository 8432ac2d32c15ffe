"""A one-line history of a series. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from textual.content import Content

from app.tui.theme import Glyphs


def buckets(values: Sequence[float], width: int) -> tuple[float, ...]:
    """Means of `width` equal stretches of `values`; fewer values than that stay as they are."""
    count = len(values)
    if count <= width:
        return tuple(values)
    edges = [index * count // width for index in range(width + 1)]
    return tuple(sum(values[a:b]) / (b - a) for a, b in pairwise(edges))


def spark(
    values: Sequence[float],
    width: int,
    glyphs: Glyphs,
    style: str = "$primary",
    low: float | None = None,
    high: float | None = None,
) -> Content:
    """The series between two bounds, by default its own smallest and largest value; a constant one is a middle line."""
    points = buckets(values, max(1, width))
    if not points:
        return Content("")
    low, high = min(points) if low is None else low, max(points) if high is None else high
    points = tuple(min(high, max(low, point)) for point in points)
    top = len(glyphs.sparks) - 1
    if high <= low:
        return Content.assemble((glyphs.sparks[top // 2] * len(points), style))
    return Content.assemble(("".join(glyphs.sparks[round((p - low) / (high - low) * top)] for p in points), style))

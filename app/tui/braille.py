"""A line through values in braille dots (2 × 4 to a cell), or in ASCII marks. Pure; no colour, no labels."""

from __future__ import annotations

from collections.abc import Sequence

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bit of each dot of a braille cell: four rows, two columns."""

Dots = set[tuple[int, int]]
"""Set dots as (row, column), from the upper left."""


def resampled(values: Sequence[float | None], columns: int) -> list[float | None]:
    """The values spread over `columns` places: means where there are more, straight lines where there are fewer."""
    count = len(values)
    if not count or columns < 1:
        return []
    if count == 1:
        return [values[0]] * columns
    if count <= columns:
        return [_between(values, place * (count - 1) / max(1, columns - 1)) for place in range(columns)]
    means: list[float | None] = []
    for place in range(columns):
        part = values[place * count // columns : (place + 1) * count // columns]
        known = [value for value in part if value is not None]
        means.append(sum(known) / len(known) if known else None)
    return means


def _between(values: Sequence[float | None], at: float) -> float | None:
    """The value at a place between two of them; unknown where either is."""
    left = int(at)
    first, second = values[left], values[min(left + 1, len(values) - 1)]
    if at == left:
        return first
    return None if first is None or second is None else first + (second - first) * (at - left)


def bounds(values: Sequence[float | None], *more: float | None) -> tuple[float, float] | None:
    """Smallest and largest of what is known; a constant line gets room on both sides. None when nothing is known."""
    known = [value for value in (*values, *more) if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    if high > low:
        return low, high
    room = abs(low) * 0.1 or 1.0
    return low - room, high + room


def dots(values: Sequence[float | None], columns: int, rows: int, low: float, high: float) -> Dots:
    """Which dots of a grid of `rows` × `columns` are set; neighbouring points are joined, unknown ones leave a gap."""
    found: Dots = set()
    before: int | None = None
    for column, value in enumerate(resampled(values, columns)):
        if value is None:
            before = None
            continue
        row = round((high - min(high, max(low, value))) / (high - low) * (rows - 1))
        first, last = (row, row) if before is None else (min(before, row), max(before, row))
        found.update((between, column) for between in range(first, last + 1))
        before = row
    return found


def braille(found: Dots, columns: int, rows: int) -> list[str]:
    """The dots as braille, four rows and two columns of them to a cell."""
    cells = [[0x2800] * -(-columns // 2) for _ in range(-(-rows // 4))]
    for row, column in found:
        cells[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    return ["".join(map(chr, line)).replace("\u2800", " ") for line in cells]


def marks(found: Dots, columns: int, rows: int) -> list[str]:
    """The dots with one mark each, for terminals without braille."""
    return ["".join("*" if (row, column) in found else " " for column in range(columns)) for row in range(rows)]

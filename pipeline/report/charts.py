"""Charts beside the plots of rates: counts as bars, a matrix of rates, and steps along the clock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.report import svg
from pipeline.report.svg import Scale, ticks


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a matrix: a rate in [0, 1]; `held` False marks one that fell below the level it must keep."""

    rate: float
    held: bool | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """One bar along the clock: seconds since the start and seconds long. `tone` picks the colour."""

    label: str
    start: float
    seconds: float
    tone: int = 0


def bar_plot(bars: Sequence[tuple[str, float]], title: str, width: int = 640) -> str:
    """Counts as horizontal bars with their numbers, in the order given; "" without bars."""
    if not bars:
        return ""
    left, top, row = 210, 32, 20
    scale = Scale(0.0, max(max(value for _, value in bars), 1.0), left, width - 56)
    parts = []
    for index, (label, value) in enumerate(bars):
        y = top + row * index
        parts.append(svg.text(left - 8, y + 13, svg.cut(label, 32), "end"))
        wide = max(scale.at(value) - left, 0.0)
        parts.append(f'<rect x="{left}" y="{y + 3}" width="{wide:.1f}" height="13" rx="2" fill="{svg.colour(0)}"/>')
        parts.append(svg.text(scale.at(value) + 6, y + 13, svg.short(value), "start"))
    told = ", ".join(f"{label} {svg.short(value)}" for label, value in bars) + "."
    return svg.document(title, told, width, top + row * len(bars) + 12, parts)


def matrix_plot(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[int, int], Cell],
    title: str,
    width: int = 640,
) -> str:
    """Rates as fields whose colour grows with them; a field that fell below its level has a thick frame and the word.
    `cells` maps (row, column) to what was measured; the others stay empty. "" when nothing was."""
    if not cells:
        return ""
    left, top, high = 130, 56, 44
    wide = min(120.0, (width - left - 16) / len(columns))
    parts = [svg.text(left + wide * (j + 0.5), top - 10, c, "middle", 600) for j, c in enumerate(columns)]
    said = []
    for i, row in enumerate(rows):
        parts.append(svg.text(left - 10, top + high * (i + 0.5) + 4, svg.cut(row, 20), "end", 600))
        for j, column in enumerate(columns):
            cell = cells.get((i, j))
            if cell is not None:
                parts += _field(cell, left + wide * j, top + high * i, wide, high)
                said.append(f"{row}, {column}: {100 * cell.rate:.1f} %{' (fell below)' if cell.held is False else ''}")
    return svg.document(title, "; ".join(said) + ".", width, top + high * len(rows) + 14, parts)


def _field(cell: Cell, x: float, y: float, wide: float, high: float) -> list[str]:
    frame = 'stroke="var(--bad,#b91c1c)" stroke-width="2.5"' if cell.held is False else 'stroke="none"'
    note = "below its level" if cell.held is False else cell.note
    return [
        f'<rect x="{x + 2:.1f}" y="{y + 2:.1f}" width="{wide - 4:.1f}" height="{high - 4:.1f}" rx="3" '
        f'fill="{svg.colour(0)}" fill-opacity="{0.08 + 0.42 * cell.rate:.2f}" {frame}/>',
        f'<text x="{x + wide / 2:.1f}" y="{y + high / 2 + (0 if note else 4):.1f}" text-anchor="middle" '
        f'font-weight="600" fill="var(--fg,#71717a)">{100 * cell.rate:.1f} %</text>',
        svg.text(x + wide / 2, y + high / 2 + 15, note, "middle", size=10) if note else "",
    ]


def span_plot(spans: Sequence[Span], title: str, width: int = 640) -> str:
    """Steps along the clock, the first one on top; "" without steps."""
    if not spans:
        return ""
    left, right, top, row = 150, width - 24, 32, 16
    marks = ticks(0.0, max(span.start + span.seconds for span in spans) / 60)
    scale = Scale(0.0, marks[-1] * 60, left, right)
    bottom = top + row * len(spans) + 4
    parts = []
    for mark in marks:
        parts.append(svg.line(scale.at(mark * 60), top, scale.at(mark * 60), bottom))
        parts.append(svg.text(scale.at(mark * 60), bottom + 16, svg.short(round(mark, 6)), "middle"))
    parts.append(svg.text((left + right) / 2, bottom + 32, "minutes since the start", "middle"))
    for index, span in enumerate(spans):
        y = top + row * index
        begin, end = scale.at(span.start), scale.at(span.start + span.seconds)
        parts.append(svg.text(left - 8, y + 12, svg.cut(span.label, 22), "end", size=11))
        parts.append(
            f'<rect x="{begin:.1f}" y="{y + 3}" width="{max(end - begin, 1.0):.1f}" height="10" rx="2" '
            f'fill="{svg.colour(span.tone)}"/>'
        )
    told = ", ".join(f"{span.label} {span.seconds:.0f} s" for span in spans) + "."
    return svg.document(title, told, width, bottom + 40, parts)

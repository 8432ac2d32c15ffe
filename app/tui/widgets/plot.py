"""A plot in a pane: the line, its scale at the left, a threshold dotted across, the last value in the title."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct
from textual.content import Content

from app.tui import fmt
from app.tui.braille import bounds, braille, dots, marks
from app.tui.picture import Picture
from app.tui.theme import Glyphs
from app.tui.widgets.panel import MUTED, Panel, text

SCALE = 7
"""Cells of the scale at the left."""


class Plot(Struct, frozen=True):
    """What to draw. `low` and `high` fix the scale; None lets the values decide. `said` replaces the last value."""

    title: str
    values: Sequence[float | None]
    threshold: float | None = None
    low: float | None = None
    high: float | None = None
    said: str = ""


def plot_lines(plot: Plot, width: int, height: int, glyphs: Glyphs, style: str = "$primary") -> list[Content]:
    """`height` lines of `width` cells; a sentence when there is nothing to draw."""
    found = bounds(plot.values, plot.threshold, plot.low, plot.high)
    columns = width - SCALE - 2
    if found is None or columns < 4 or height < 1:
        return [text(("nothing measured yet", MUTED))]
    low, high = found
    wide, tall = (1, 1) if glyphs.ascii else (2, 4)
    size = columns * wide, height * tall
    found_dots = dots(plot.values, *size, low, high)
    drawn = marks(found_dots, *size) if glyphs.ascii else braille(found_dots, *size)
    at = None if plot.threshold is None else round((high - plot.threshold) / (high - low) * (height - 1))
    lines = []
    for row, line in enumerate(drawn[:height]):
        label = _label(high) if row == 0 else _label(low) if row == height - 1 else ""
        if row == at and plot.threshold is not None:
            label = _label(plot.threshold)
        lines.append(text((f"{label:>{SCALE}} ", MUTED), *_dotted(line, glyphs, style, row == at)))
    return lines


def _label(value: float) -> str:
    """A number that fits the scale's column."""
    said = (fmt.number(value), *(f"{value:.{digits}g}" for digits in (3, 2)))
    return next((one for one in said if len(one) <= SCALE), f"{value:.0e}")


def _dotted(line: str, glyphs: Glyphs, style: str, threshold: bool) -> list[tuple[str, str]]:
    """The line's cells; on the threshold's row empty ones are dotted."""
    if not threshold:
        return [(line, style)]
    return [(glyphs.info, "$accent") if cell == " " else (cell, style) for cell in line]


class PlotPanel(Panel):
    """A pane with one plot.

    Args:
        id: of the widget.
        pick: the plot of a picture, or None when there is none to draw yet.
        empty: what to say then.
    """

    def __init__(self, pick: Callable[[Picture], Plot | None], *, id: str, title: str, empty: str) -> None:
        super().__init__(id=id)
        self.pick, self.name_of, self.empty = pick, title, empty

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        plot = self.pick(picture)
        if plot is None:
            return text((self.name_of, "bold")), text("")
        last = next((value for value in reversed(plot.values) if value is not None), None)
        gate = "" if plot.threshold is None else f" {picture.glyphs.least}{fmt.number(plot.threshold)}"
        return text((plot.title, "bold")), text((plot.said or fmt.number(last), "bold"), (gate, MUTED))

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        plot = self.pick(picture)
        if plot is None:
            return [text((self.empty, MUTED))]
        return plot_lines(plot, width, height, picture.glyphs)

"""The drawing half of a log view: rows to strips, wrapped or scrolled sideways, with gutter, times and selection.

Cost follows the rows on the screen, not the lines of the file; what was drawn is kept by line offset.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.selection import Selection
from textual.strip import Strip

from app.tui.levels import PATTERN, REACH, Level, level_of
from app.tui.lines import PLAIN, Line, parse
from app.tui.search import Matches
from app.tui.spool import Spool
from app.tui.widgets.log_paint import Stretch, drawn, pieces
from app.tui.widgets.log_rows import Row, Rows
from app.tui.widgets.scrolling import Scrolling

CACHED = 2_000
COPY_LINES = 10_000

GUTTER = 2
STAMP = 9
"""Cells before the text: level sign and cursor; the time a line came here."""


class _Drawn(NamedTuple):
    strip: Strip
    text: str
    level: Level | None


class LogCanvas(Scrolling):
    """Draws `rows` of a spool. `cursor` is the line (by its offset) that keys act on while `follow` is off."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *("log-view--error", "log-view--warning", "log-view--match", "log-view--current"),
        *("log-view--gutter", "log-view--mark"),
    }

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.spool: Spool | None = None
        self.follow = True
        self.wrap = self.stamps = False
        self.find: Matches | None = None
        self.cursor: int | None = None
        self._rows = Rows(None, None)
        self._drawn_to = 0  # bytes of the spool when it was last drawn
        self._kept: OrderedDict[int, _Drawn] = OrderedDict()
        self._laid: tuple[tuple[object, ...], list[tuple[int, int]]] = ((), [])  # what wraps where on the screen

    @property
    def rows(self) -> int:
        """Rows there are to show: all lines, or the matching ones under a filter, and the marks between them."""
        return len(self._rows)

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        base, at = self.rich_style, self._at(y)
        row = self._row(at[0]) if at else None
        if at is None or row is None:
            return Strip.blank(self._width, base)
        if row.mark is not None:
            return self._ruled(row.mark, base)
        shown = self._shown(row, at[0], base)
        before = self._before(row, shown, base, first=at[1] == 0)
        room = self._width - before.cell_length
        if self.wrap:
            first, cell, length = pieces(shown.text, room)[at[1]]
            body = shown.strip.crop(cell, cell + length).extend_cell_length(room, base).apply_offsets(first, at[0])
        else:
            x = self.scroll_offset.x
            body = shown.strip.crop_extend(x, x + room, base).apply_offsets(x, at[0])
        return Strip.join([before, body])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, at most `COPY_LINES` lines of it."""
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self.rows - 1
        out = []
        for number in range(max(0, first), min(last + 1, self.rows, first + COPY_LINES)):
            span, row = selection.get_span(number), self._row(number)
            if span is not None and row is not None:
                text = self._said(row)
                out.append(text[span[0] :] if span[1] == -1 else text[span[0] : span[1]])
        return "\n".join(out), "\n"

    def selection_updated(self, _selection: Selection | None) -> None:
        self._kept.clear()
        self.refresh()

    def notify_style_update(self) -> None:
        """Another theme: what was drawn has the colours of the one before."""
        self._kept.clear()
        super().notify_style_update()

    # where things are

    @property
    def _width(self) -> int:
        """Cells of a row without the scrollbar."""
        return self.scrollable_content_region.width

    @property
    def _room(self) -> int:
        return max(2, self._width - GUTTER - STAMP * self.stamps)

    def _row(self, number: int) -> Row | None:
        try:
            return self._rows.row(number)
        except IndexError:  # outside, or the file was replaced between two looks; the next tick starts anew
            return None

    def _at(self, y: int) -> tuple[int, int] | None:
        """Row number, and which piece of its line, at a row of the screen."""
        if not self.wrap:
            number = self.scroll_offset.y + y
            return (number, 0) if number < self.rows else None
        laid = self._layout()
        return laid[y] if y < len(laid) else None

    def _layout(self) -> list[tuple[int, int]]:
        key = (self._rows, self.scroll_offset.y, self.size, self._width, self.stamps, self._drawn_to)
        if self._laid[0] != key:
            laid: list[tuple[int, int]] = []
            for number in range(self.scroll_offset.y, self.rows):
                laid += [(number, piece) for piece in range(self._height(number))]
                if len(laid) >= self.size.height:
                    break
            self._laid = key, laid[: self.size.height]
        return self._laid[1]

    def _height(self, number: int) -> int:
        """Rows of the screen a line takes; one that wraps to more than the screen has is shown in full by enter."""
        row = self._row(number) if self.wrap else None
        if row is None or row.mark is not None:
            return 1
        kept = self._kept.get(row.offset)
        text = kept.text if kept else self._line(row).text
        return min(len(pieces(text, self._room)), max(1, self.size.height))

    def _above(self, number: int, room: int) -> int:
        """The topmost row that leaves `number` on a screen of `room` rows above and with it."""
        top, used = number, self._height(number)
        while top > 0 and used + self._height(top - 1) <= room:
            top -= 1
            used += self._height(top)
        return top

    def _window(self) -> tuple[int, int]:
        """First and last row on the screen."""
        if self.wrap:
            laid = self._layout()
            return (laid[0][0], laid[-1][0]) if laid else (0, -1)
        return self.scroll_offset.y, min(self.rows, self.scroll_offset.y + self.size.height) - 1

    # drawing

    def _line(self, row: Row) -> Line:
        try:
            return parse(self.spool.raw_at(row.offset)) if self.spool else Line("", ())
        except IndexError:
            return Line("", ())

    def _said(self, row: Row) -> str:
        return row.mark if row.mark is not None else self._line(row).text

    def _shown(self, row: Row, number: int, base: Style) -> _Drawn:
        selected = self.text_selection.get_span(number) if self.text_selection else None
        kept = self._kept.get(row.offset) if selected is None else None
        if kept is not None:
            self._kept.move_to_end(row.offset)
            return kept
        line = self._line(row)
        shown = _Drawn(drawn(line, base, self._over(line, row, selected)), line.text, level_of(line.text))
        if selected is None and self.spool is not None and row.offset < self.spool.complete_to:
            self._kept[row.offset] = shown
            if len(self._kept) > CACHED:
                self._kept.popitem(last=False)
        if not self.wrap and shown.strip.cell_length + self._width - self._room > self.virtual_size.width:
            self.call_later(self._widen, shown.strip.cell_length + self._width - self._room)
        return shown

    def _over(self, line: Line, row: Row, selected: tuple[int, int] | None) -> list[Stretch]:
        """Stretches of a line that look different: its level, matches, selection; later ones win."""
        over: list[Stretch] = []
        if all(look == PLAIN for _, look in line.spans):
            for found in PATTERN.finditer(line.text, 0, REACH):
                style = self.get_component_rich_style(f"log-view--{found.lastgroup}", partial=True)
                over.append((*found.span(), style))
        if self.find is not None:
            kind = "log-view--current" if row.offset == self.cursor else "log-view--match"
            style = self.get_component_rich_style(kind, partial=True)
            over += [(a, b, style) for a, b in self.find.pattern.spans(line.text)]
        if selected is not None:
            end = len(line.text) if selected[1] == -1 else selected[1]
            over.append((selected[0], end, self.screen.get_component_rich_style("screen--selection", partial=True)))
        return over

    def _before(self, row: Row, shown: _Drawn, base: Style, *, first: bool) -> Strip:
        """Level sign, cursor and time; under the first piece of a wrapped line nothing."""
        plain = self.screen.has_class("-ascii")
        sign = {"error": "x" if plain else "✖", "warning": "!", None: " "}[shown.level] if first else " "
        look = self.get_component_rich_style(f"log-view--{shown.level}", partial=True) if shown.level else Style()
        muted = self.get_component_rich_style("log-view--gutter", partial=True)
        here = row.offset == self.cursor and not self.follow and first
        segments = [Segment(sign, base + look), Segment((">" if plain else "▸") if here else " ", base + muted)]
        if self.stamps:
            came = self.spool.came(row.offset) if self.spool and first else None
            clock = time.strftime("%H:%M:%S ", time.localtime(came)) if came is not None else " " * STAMP
            segments.append(Segment(clock, base + muted))
        return Strip(segments, sum(len(segment.text) for segment in segments))

    def _ruled(self, text: str, base: Style) -> Strip:
        line = "-" if self.screen.has_class("-ascii") else "─"
        words = f"{line * 3} {text} "
        style = base + self.get_component_rich_style("log-view--mark", partial=True)
        return Strip([Segment(words + line * (self._width - len(words)), style)]).crop_extend(0, self._width, base)

    def _widen(self, width: int) -> None:
        if width > self.virtual_size.width and not self.wrap:
            self._resize_content(Size(width, self.virtual_size.height))

"""One log, line-drawn from its spool: follows, finds, filters and selects without holding the text.

Cost follows the rows on the screen, not the lines of the file. Reading and indexing is `app.tui.spool`'s business.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from functools import lru_cache
from itertools import pairwise

from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.content import Content
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from app.tui.lines import PLAIN, Colour, Line, Sgr, cells
from app.tui.search import Matches, Pattern
from app.tui.spool import Spool
from app.tui.widgets.chosen import Outdated

CACHED = 2_000
COPY_LINES = 10_000
_LEVEL = re.compile(r"\b(?:(?P<error>ERROR|CRITICAL|FATAL|Traceback)|(?P<warning>WARN(?:ING)?))\b")


class LogView(ScrollView, can_focus=True):
    """A followed log. `follow` ends with any move upwards and comes back at the bottom."""

    ALLOW_SELECT = True
    COMPONENT_CLASSES = {"log-view--error", "log-view--warning", "log-view--match", "log-view--current"}  # noqa: RUF012

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.spool: Spool | None = None
        self.follow = True
        self.seen = 0  # rows there were when following ended
        self.find: Matches | None = None
        self.filter: Matches | None = None
        self.current: int | None = None  # line of the match the cursor is on
        self._generation = self._epoch = self._shift = 0  # of the spool as last taken in
        self._drawn = 0  # bytes of the spool when it was last drawn
        self._strips: OrderedDict[int, Strip] = OrderedDict()
        self._searching = False
        self._found = 0
        self._jump = False  # a find was asked for; go to its last match once all lines were looked at

    @property
    def rows(self) -> int:
        """Rows there are to show: all lines, or the matching ones under a filter."""
        if self.spool is None:
            return 0
        return len(self.filter.lines) if self.filter else len(self.spool)

    @property
    def unseen(self) -> int:
        """Rows that came since following ended."""
        return 0 if self.follow else max(0, self.rows - self.seen)

    @property
    def searching(self) -> bool:
        """Lines are still being looked at: the counts may grow."""
        return self._searching

    def open(self, spool: Spool | None) -> None:
        """Show another log from its end; find and filter stay as asked."""
        if spool is not self.spool:
            self.spool, self.follow, self.current = spool, True, None
            self._renew()

    def grew(self) -> None:
        """Take in what the spool has gained; called at most ten times a second."""
        if self.spool is not None and self.spool.epoch != self._epoch:
            if self.spool.generation == self._generation:
                self._grown_upwards(self.spool.shift - self._shift)
            else:
                self._renew()
        self._search()
        if self.is_attached and self.rows != self.virtual_size.height:
            self._measure()
        elif self.follow and self.rows and self.spool is not None and self.spool.index.size != self._drawn:
            self.refresh_line(self.rows - 1 - round(self.scroll_y))  # a growing last line
        self._drawn = self.spool.index.size if self.spool is not None else 0
        if self.show_vertical_scrollbar and self.vertical_scrollbar.position != self.scroll_y:
            self.vertical_scrollbar.position = self.scroll_y  # it may have appeared after the last move

    def go_follow(self, on: bool) -> None:
        """Switch following; on means to the bottom at once."""
        self.follow = on
        self.seen = self.rows
        if on:
            self._to_the_end()
        self.post_message(Outdated())

    def look_for(self, pattern: Pattern | None) -> None:
        """Find: mark every match and count them. None ends it."""
        self.find = Matches(pattern, self._epoch) if pattern else None
        self.current, self._jump = None, pattern is not None
        self.post_message(Outdated())
        self._strips.clear()
        self._search()
        self.refresh()

    def show_only(self, pattern: Pattern | None) -> None:
        """Filter: show only matching lines. None shows all again."""
        self.filter = Matches(pattern, self._epoch) if pattern else None
        self._search()
        self._measure()
        self.go_follow(True)

    def step(self, direction: int) -> int | None:
        """Go to the next (1) or previous (-1) match; returns its number from 1, or None if there is none."""
        lines = self.find.lines if self.find else ()
        if not lines:
            return None
        here = self.current if self.current is not None else self._line(round(self.scroll_y) + self.size.height - 1) + 1
        after = [i for i, line in enumerate(lines) if line > here] if direction > 0 else []
        before = [i for i, line in enumerate(lines) if line < here] if direction < 0 else []
        number = after[0] if after else before[-1] if before else (0 if direction > 0 else len(lines) - 1)
        self._reveal(lines[number])
        return number + 1

    def counts(self) -> tuple[int, int] | None:
        """(number of the current match or 0, matches), None without a find."""
        if self.find is None:
            return None
        known = self.current is not None and self.current in self.find.lines
        at = self.find.lines.index(self.current) + 1 if known and self.current is not None else 0
        return at, len(self.find.lines)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < self.max_scroll_y and self.follow:
            self._pause()
        elif new_value > old_value and new_value >= self.max_scroll_y and not self.follow:
            self.follow = True
            self.post_message(Outdated())

    def on_resize(self, _event: events.Resize) -> None:
        self.post_message(Outdated())
        if self.follow:
            self._to_the_end()

    def on_click(self, _event: events.Click) -> None:
        if self.max_scroll_y > 0 and self.follow:
            self._pause()

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        scroll_x, scroll_y = self.scroll_offset
        base, row, width = self.rich_style, scroll_y + y, self.size.width
        if row >= self.rows:
            return Strip.blank(width, base)
        strip = self._strip(self._line(row), base, row)
        return strip.crop_extend(scroll_x, scroll_x + width, base).apply_offsets(scroll_x, row)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, at most `COPY_LINES` lines of it."""
        first = selection.start.y if selection.start else 0
        last = selection.end.y if selection.end else self.rows - 1
        out = []
        for row in range(max(0, first), min(last + 1, self.rows, first + COPY_LINES)):
            span = selection.get_span(row)
            if span is not None:
                text = self._text(self._line(row)).text
                out.append(text[span[0] :] if span[1] == -1 else text[span[0] : span[1]])
        return "\n".join(out), "\n"

    def selection_updated(self, _selection: Selection | None) -> None:
        self._strips.clear()
        self.refresh()

    def _line(self, row: int) -> int:
        return self.filter.lines[row] if self.filter and row < len(self.filter.lines) else row

    def _text(self, line: int) -> Line:
        try:
            return self.spool.line(line) if self.spool else Line("", ())
        except (OSError, IndexError):  # replaced between two looks; the next tick starts anew
            return Line("", ())

    def _strip(self, line: int, base: Style, row: int) -> Strip:
        selected = self.text_selection.get_span(row) if self.text_selection else None
        cached = self._strips.get(line) if selected is None else None
        if cached is not None:
            self._strips.move_to_end(line)
            return cached
        strip = self._draw(line, base, selected)
        if selected is None and self.spool is not None and line < self.spool.index.complete:
            self._strips[line] = strip
            if len(self._strips) > CACHED:
                self._strips.popitem(last=False)
        return strip

    def _draw(self, line: int, base: Style, selected: tuple[int, int] | None) -> Strip:
        shown = self._text(line)
        marks = self._marks(shown, line, selected)
        segments = []
        at = 0
        for text, look in shown.spans:
            style = base + rich_style(look)
            edges = sorted({0, len(text), *(e - at for s in marks for e in s[:2] if 0 < e - at < len(text))})
            for a, b in pairwise(edges):
                over = [mark for first, last, mark in marks if first <= at + a and at + b <= last]
                segments.append(Segment(text[a:b], Style.combine([style, *over])))
            at += len(text)
        strip = Strip(segments, cells(shown.text))
        if strip.cell_length > self.virtual_size.width:
            self.call_later(self._widen, strip.cell_length)
        return strip

    def _marks(self, shown: Line, line: int, selected: tuple[int, int] | None) -> list[tuple[int, int, Style]]:
        """Ranges of a line that look different: its level, matches, selection; later ones win."""
        marks = []
        if all(look == PLAIN for _, look in shown.spans):
            for found in _LEVEL.finditer(shown.text[:200]):
                style = self.get_component_rich_style(f"log-view--{found.lastgroup}", partial=True)
                marks.append((*found.span(), style))
        if self.find is not None:
            kind = "log-view--current" if line == self.current else "log-view--match"
            style = self.get_component_rich_style(kind, partial=True)
            marks += [(a, b, style) for a, b in self.find.pattern.spans(shown.text)]
        if selected is not None:
            end = len(shown.text) if selected[1] == -1 else selected[1]
            marks.append((selected[0], end, self.screen.get_component_rich_style("screen--selection", partial=True)))
        return marks

    def _widen(self, width: int) -> None:
        if width > self.virtual_size.width:
            self.virtual_size = Size(width, self.virtual_size.height)

    def _pause(self) -> None:
        self.follow, self.seen = False, self.rows
        self.post_message(Outdated())

    def _measure(self) -> None:
        self.virtual_size = Size(max(1, self.virtual_size.width), self.rows)
        if self.follow:
            self._to_the_end()
        self.refresh()

    def _to_the_end(self) -> None:
        # forced: right after a growth the scrollbar that would allow it does not exist yet
        self.scroll_to(y=self.max_scroll_y, animate=False, immediate=True, force=True)

    def _renew(self) -> None:
        self._look_again()
        self.current = None
        self.virtual_size = Size(1, 0)
        if self.is_attached:
            self._search()
            self._measure()

    def _grown_upwards(self, lines: int) -> None:
        """The beginning of a big file was indexed: every line has another number, and stays where it is seen."""
        self._look_again()
        self.current = None if self.current is None else self.current + lines
        self.seen += lines
        if self.is_attached:
            at = self.scroll_y
            self._measure()
            if not self.follow and self.filter is None:
                self.scroll_to(y=at + lines, animate=False, immediate=True, force=True)

    def _look_again(self) -> None:
        spool = self.spool
        self._generation, self._epoch, self._shift = (
            (spool.generation, spool.epoch, spool.shift) if spool else (0, 0, 0)
        )
        self._strips.clear()
        self.find = Matches(self.find.pattern, self._epoch) if self.find else None
        self.filter = Matches(self.filter.pattern, self._epoch) if self.filter else None

    def _search(self) -> None:
        """Look further where find or filter are behind: a little at once, more in a worker beside the screen."""
        if self.spool is None or self._searching:
            return
        asked = [m for m in (self.find, self.filter) if m is not None]
        before = sum(len(m.lines) for m in asked)
        behind = [m for m in asked if m.advance(self.spool, 500)]
        if self._found != (now := sum(len(m.lines) for m in asked)) or before != now:
            self._found = now
            self.post_message(Outdated())
        if behind and self.is_attached:
            self._searching = True
            self.run_worker(self._search_on, thread=True, group="search", exit_on_error=False)
        elif self._jump and not behind:
            self._jump = False
            self.step(-1)

    def _search_on(self) -> None:
        try:
            for matches in (self.find, self.filter):
                while matches is not None and matches in (self.find, self.filter) and self.is_attached:
                    if self.spool is None or not matches.advance(self.spool):
                        break
        except (OSError, IndexError):  # the file was replaced meanwhile; the next tick starts anew
            pass
        finally:
            self._searching = False

    def _reveal(self, line: int) -> None:
        """Bring a line to the middle of the view and mark it."""
        old, self.current = self.current, line
        for touched in (old, line):
            if touched is not None:
                self._strips.pop(touched, None)
        lines = self.filter.lines if self.filter else None
        row = line if lines is None else min(range(len(lines)), key=lambda i: abs(lines[i] - line), default=0)
        self.follow, self.seen = False, self.rows
        self.scroll_to(y=max(0, row - self.size.height // 2), animate=False, immediate=True, force=True)
        self.refresh()


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


def _colour(colour: Colour) -> Color | None:
    if colour is None:
        return None
    return Color.from_ansi(colour) if isinstance(colour, int) else Color.from_rgb(*colour)


def log_status(view: LogView, follow: str, paused: str) -> list[Content]:
    """`find 'loss' 3/17`, `▼ FOLLOW` or `■ PAUSED +1,234 lines`, `18,420 lines`: the parts, most wanted first."""
    parts: list[Content] = []
    counts = view.counts()
    if counts is not None and view.find is not None:
        more = "+" if view.searching else ""
        asked = view.find.pattern.asked[:20]
        parts.append(Content.assemble((f"find {asked!r} {counts[0]}/{counts[1]:,}{more}", "$accent")))
    if view.filter is not None:
        more = "+" if view.searching else ""
        parts.append(Content.assemble((f"only {view.filter.pattern.asked[:20]!r} {view.rows:,}{more}", "$accent")))
    if view.follow:
        parts.append(Content.assemble((f"{follow} FOLLOW", "bold $success")))
    else:
        parts.append(Content.assemble((f"{paused} PAUSED +{view.unseen:,} lines", "bold $warning")))
    rest = "last " if view.spool is not None and view.spool.partial else ""
    parts.append(Content(f"{rest}{len(view.spool) if view.spool else 0:,} lines"))
    return parts

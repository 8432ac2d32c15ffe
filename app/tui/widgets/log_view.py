"""One log, line-drawn from its spool: follows, finds, filters, wraps and selects without holding the text.

Cost follows the rows on the screen, not the lines of the file. Lines are known by the byte offset they begin at.
Reading and indexing is `app.tui.spool`'s business, looking for lines that of `app.tui.search`.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.worker import get_current_worker

from app.tui.search import Matches, Pattern
from app.tui.spool import Spool
from app.tui.widgets.chosen import Chosen, Outdated
from app.tui.widgets.log_canvas import LogCanvas
from app.tui.widgets.log_rows import Row, Rows

AT_ONCE = 64 * 1024
"""Bytes looked at before the next frame; the rest is a worker's."""

COUNT_AT_ONCE = 1024 * 1024
"""The same for counting levels, which is quicker."""


class LogView(LogCanvas, can_focus=True):
    """A followed log. `follow` ends with any move upwards and comes back at the bottom; `cursor` is the line (by its
    offset) that keys act on while it is off."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("h", "scroll_left", show=False),
        Binding("l", "scroll_right", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.seen = 0  # rows there were when following ended
        self.filter: Matches | None = None
        self._generation = self._shift = self._base = 0  # of the spool as last taken in
        self._searching = False
        self._moving = False  # the scroll position is being set here, not by a person
        self._jump = False  # a find was asked for; go to the match above as soon as it is known

    @property
    def unseen(self) -> int:
        """Rows that came since following ended."""
        return 0 if self.follow else max(0, self.rows - self.seen)

    @property
    def searching(self) -> bool:
        """Lines are still being looked at: the counts may grow."""
        return any(scan.behind(self.spool) for scan in (self.find, self.filter) if scan and self.spool)

    def open(self, spool: Spool | None) -> None:
        """Show another log from its end; find and filter stay as asked."""
        if spool is not self.spool:
            self.spool, self.follow = spool, True
            self._renew()

    def grew(self) -> None:
        """Take in what the spool has gained and what was found; called at most ten times a second."""
        spool = self.spool
        if spool is not None and spool.generation != self._generation:
            self._renew()
        above = self._search()
        beyond = False
        if spool is not None and spool.shift != self._shift:
            beyond = self.cursor is not None and self.cursor < self._base
            above = above if self.filter else spool.shift - self._shift
            self._shift, self._base = spool.shift, spool.index.base
        before, self._rows = self.rows, Rows(spool, self.filter)
        if self.is_attached and (self.rows != before or above):
            self._measure(above)
            if beyond and self.cursor is not None and not self.follow:
                self._reveal(Row(self.cursor))  # a match in what was not counted yet
        elif spool is not None and spool.index.size != self._drawn_to and self.is_attached:
            self._measure() if self.wrap else self.refresh_line(self.rows - 1 - round(self.scroll_y))  # last line grew
        self._drawn_to = spool.index.size if spool is not None else 0
        if self.show_vertical_scrollbar and self.vertical_scrollbar.position != self.scroll_y:
            self.vertical_scrollbar.position = self.scroll_y  # it may have appeared after the last move

    def go_follow(self, on: bool) -> None:
        """Switch following; on means to the bottom at once."""
        if on:
            self.follow, self.cursor = True, None
            self._to_the_end()
        elif self.follow:
            self._pause()
        self.refresh()
        self.post_message(Outdated())

    def toggle(self, what: str) -> bool:
        """Switch `wrap` or `stamps`; the line in sight stays in sight. True if it is on now."""
        held = self._row_in_hand()
        setattr(self, what, not getattr(self, what))
        self._measure()
        if not self.follow and held is not None:
            self._reveal(held)
        return bool(getattr(self, what))

    def look_for(self, pattern: Pattern | None) -> None:
        """Find: highlight every match and count them, from here both ways. None ends it."""
        self.find = Matches(pattern, self._generation, self._anchor()) if pattern else None
        self._jump = pattern is not None
        self._kept.clear()
        self.grew()
        self.refresh()
        self.post_message(Outdated())

    def show_only(self, pattern: Pattern | None) -> None:
        """Filter: show only matching lines. None shows all again, around the line that was in hand."""
        held = None if self.follow else self._row_in_hand()
        self.filter = Matches(pattern, self._generation, self._anchor()) if pattern else None
        self._rows = Rows(self.spool, self.filter)
        self.grew()
        self._measure()
        if pattern is None and held is not None:
            self._reveal(held)
        else:
            self.go_follow(True)

    def step(self, direction: int) -> int | None:
        """Go to the next (1) or previous (-1) match; returns its number from 1, or None if there is none."""
        if self.find is None or not len(self.find.lines):
            return None
        here = self.cursor if self.cursor is not None else self._anchor() + 1
        number = self.find.rank(here + 1) if direction > 0 else self.find.rank(here) - 1
        number %= len(self.find.lines)
        self._reveal(Row(self.find.lines[number]))
        return number + 1

    def counts(self) -> tuple[int, int] | None:
        """(number of the match under the cursor or 0, matches so far), None without a find."""
        if self.find is None:
            return None
        on_it = self.cursor is not None and self.find.has(self.cursor)
        return (self.find.rank(self.cursor or 0) + 1 if on_it else 0), len(self.find.lines)

    def in_hand(self) -> int | None:
        """Offset of the line that keys act on: the cursor's, else the lowest on the screen."""
        row = self._row_in_hand()
        return row.offset if row else None

    def text_in_hand(self) -> str | None:
        """What that line says."""
        row = self._row_in_hand()
        return self._said(row) if row else None

    def screenful(self) -> list[str]:
        """The visible lines."""
        first, last = self._window()
        return [self._said(row) for n in range(first, last + 1) if (row := self._row(n)) is not None]

    def action_move(self, by: int) -> None:
        """Move the cursor; past the last line it follows again."""
        first, last = self._window()
        at = self._rows.number(self.cursor) if self.cursor is not None else last
        target = max(first, min(last, at)) + by
        while (row := self._row(target)) is not None and row.mark is not None:
            target += by
        if row is not None:
            if self.follow:
                self._pause()
            self._point(row, target)
        elif by > 0:
            self.go_follow(True)

    def action_page_down(self) -> None:
        """A screen further; of wrapped lines a screen holds fewer than it has rows."""
        if self.wrap:
            first, last = self._window()
            self.scroll_to(y=max(first + 1, last), animate=False, force=True, immediate=True)
        else:
            super().action_page_down()

    def action_page_up(self) -> None:
        """A screen back."""
        if self.wrap:
            first, _ = self._window()
            self.scroll_to(y=min(first - 1, self._above(first, self.size.height)), animate=False, immediate=True)
        else:
            super().action_page_up()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if new_value < old_value and new_value < self.max_scroll_y and self.follow:
            self._pause()
        elif new_value > old_value and new_value >= self.max_scroll_y and not self.follow and not self._moving:
            self.follow, self.cursor = True, None  # it is there already; a second scroll would break the animation
            self.post_message(Outdated())

    def on_resize(self, _event: events.Resize) -> None:
        self.post_message(Outdated())
        self._measure()

    def on_click(self, event: events.Click) -> None:
        place = event.get_content_offset(self)
        at = self._at(place.y) if place is not None else None
        row = self._row(at[0]) if at else None
        if row is None:
            return
        if self.follow:
            self._pause()
        if row.mark is None:
            self._point(row, at[0] if at else 0)
            if event.chain == 2:
                self.post_message(Chosen("view.detail"))

    def _row_in_hand(self) -> Row | None:
        first, last = self._window()
        at = self._rows.number(self.cursor) if self.cursor is not None else last
        return self._row(max(first, min(last, at)))

    def _anchor(self) -> int:
        """The line start a search begins at."""
        if self.spool is None:
            return 0
        row = None if self.follow else self._row_in_hand()
        return min(row.offset, self.spool.complete_to) if row else self.spool.complete_to

    # moving

    def _pause(self) -> None:
        self.follow, self.seen = False, self.rows
        self.post_message(Outdated())

    def _point(self, row: Row, number: int) -> None:
        """Put the cursor on a row and bring it into sight."""
        for touched in (self.cursor, row.offset):
            if touched is not None:
                self._kept.pop(touched, None)
        self.cursor = row.offset
        first, last = self._window()
        if number <= first:
            self._scroll(number)
        elif number >= last:
            self._scroll(max(first, self._above(number, self.size.height)))
        self.refresh()

    def _reveal(self, row: Row) -> None:
        """Bring a line, or the nearest one the filter shows, to the middle of the view and mark it."""
        if self.follow:
            self._pause()
        number = min(self._rows.number(row.offset), max(0, self.rows - 1))
        self._scroll(self._above(number, max(1, self.size.height // 2)))
        self._point(row, number)

    def _scroll(self, top: int) -> None:
        # forced: right after a growth the scrollbar that would allow it does not exist yet
        self._moving = True
        self.scroll_to(y=max(0, min(top, self.max_scroll_y)), animate=False, immediate=True, force=True)
        self._moving = False

    def _to_the_end(self) -> None:
        self._scroll(self.max_scroll_y)

    def _measure(self, above: int = 0) -> None:
        """Take in how many rows there are; with `above` new ones before the first, what is seen stays."""
        rows, height = self.rows, self.size.height
        if self.wrap and rows:
            at_the_end = self._above(rows - 1, height)
            rows = at_the_end + height if at_the_end else rows
        width = 1 if self.wrap else max(1, self.virtual_size.width)
        self._resize_content(Size(width, rows))
        if above:
            self.seen += above
            self.screen.clear_selection()
        if self.follow:
            self._to_the_end()
        elif above:
            self._scroll(self.scroll_offset.y + above)
        self.refresh()

    # looking

    def _renew(self) -> None:
        """Another log or another file in its place: nothing that was known of the old one counts."""
        spool = self.spool
        known = (spool.generation, spool.shift, spool.index.base) if spool else (0, 0, 0)
        self._generation, self._shift, self._base = known
        self.cursor, self.seen = None, 0
        self._kept.clear()
        end = spool.complete_to if spool else 0
        self.find = Matches(self.find.pattern, self._generation, end) if self.find else None
        self.filter = Matches(self.filter.pattern, self._generation, end) if self.filter else None
        self._rows = Rows(spool, self.filter)
        self._resize_content(Size(1, 0))
        if self.is_attached:
            self._measure()

    def _search(self) -> int:
        """Look a little further at once, the rest in a worker, and take in what was found. Returns the rows that came
        above those shown."""
        spool = self.spool
        if spool is None:
            return 0
        scans = [scan for scan in (self.find, self.filter, spool.tally) if scan is not None]
        if not self._searching:
            for scan in scans:
                scan.advance(spool, COUNT_AT_ONCE if scan is spool.tally else AT_ONCE)
        above = self.filter.take()[0] if self.filter else 0
        news = bool(self.find and any(self.find.take())) | spool.tally.take()
        if self._jump and self.find is not None:
            self._go_to_the_match_above(self.find, spool)
        behind = any(scan.behind(spool) for scan in scans)
        if behind and not self._searching and self.is_attached:
            self._searching = True
            self.run_worker(self._look_on, thread=True, group="search", exit_on_error=False)
        if news or self._searching:
            self.post_message(Outdated())
        return above

    def _go_to_the_match_above(self, find: Matches, spool: Spool) -> None:
        if find.rank(self._anchor() + 1) or not find.behind(spool):
            self._jump = False
            self.step(-1)

    def _look_on(self) -> None:
        worker = get_current_worker()
        try:
            while (spool := self.spool) is not None and self.is_attached and not worker.is_cancelled:
                more = [scan.advance(spool) for scan in (self.find, self.filter) if scan is not None]
                if not any(more) and not spool.tally.advance(spool):
                    break
        finally:
            self._searching = False
            self.post_message(Outdated())


def log_status(view: LogView, follow: str, paused: str) -> list[Content]:
    """`find 'loss' 3/17`, `▼ FOLLOW` or `■ PAUSED +1,234 lines`, `E 0 W 12`, `18,420 lines`: most wanted first."""
    parts: list[Content] = []
    more = "+" if view.searching else ""
    if (counts := view.counts()) is not None and view.find is not None:
        asked = view.find.pattern.asked[:20]
        parts.append(Content.assemble((f"find {asked!r} {counts[0]}/{counts[1]:,}{more}", "$accent")))
    if view.filter is not None:
        asked = view.filter.pattern.asked[:20]
        parts.append(Content.assemble((f"only {asked!r} {len(view.filter.lines):,}{more}", "$accent")))
    if view.follow:
        parts.append(Content.assemble((f"{follow} FOLLOW", "bold $success")))
    else:
        parts.append(Content.assemble((f"{paused} PAUSED +{view.unseen:,} lines", "bold $warning")))
    spool = view.spool
    if spool is None:
        return [*parts, Content("0 lines")]
    tally, more = spool.tally, "+" if spool.tally.behind(spool) else ""
    errors = (f"E {tally.errors:,}{more}", "bold $error" if tally.errors else "")
    warnings = (f" W {tally.warnings:,}{more}", "bold $warning" if tally.warnings else "")
    parts.append(Content.assemble(errors, warnings))
    done = f" {spool.head_done / max(1, spool.index.base):.0%} counted" if spool.partial and spool.head_done else ""
    parts.append(Content(f"{'last ' if spool.partial else ''}{len(spool):,} lines{done}"))
    parts += [Content(word) for word, on in (("wrap", view.wrap), ("times", view.stamps)) if on]
    return parts

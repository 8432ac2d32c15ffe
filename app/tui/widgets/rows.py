"""A list drawn line by line: its cost follows the rows on the screen, not the entries. One entry has the cursor."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Region, Size
from textual.message import Message
from textual.strip import Strip
from textual.visual import RenderOptions

from app.tui.widgets.scrolling import Scrolling

Draw = Callable[[Any, int], Sequence[Content]]
"""The lines of an entry in so many cells; as many as the list's `each`, shorter ones are filled up."""


class Rows(Scrolling, can_focus=True, inherit_bindings=False):
    """Entries of `each` lines. What they are and how they look is given with `fill`. Left and right are the view's."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cursor", "rows--blurred"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", show=False),
        Binding("down,j", "move(1)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown", "page(1)", show=False),
        Binding("home", "jump(0)", show=False),
        Binding("end", "jump(-1)", show=False),
        Binding("enter", "open", show=False),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on another entry."""

        rows: Rows

        @property
        def control(self) -> Rows:
            return self.rows

    @dataclass
    class Opened(Message):
        """Somebody wants to see the entry under the cursor."""

        rows: Rows

        @property
        def control(self) -> Rows:
            return self.rows

    def __init__(self, *, id: str, each: int = 1) -> None:
        super().__init__(id=id)
        self.items: Sequence[Any] = ()
        self.each = each
        self.cursor = 0
        self._draw: Draw | None = None
        self._key: Callable[[Any], Hashable] | None = None
        self.token: object = None
        self._strips: dict[tuple[int, bool], list[Strip]] = {}
        self._common = 1, Style()

    @property
    def chosen(self) -> Any:
        """The entry under the cursor, or None in an empty list."""
        return self.items[self.cursor] if self.cursor < len(self.items) else None

    @property
    def room(self) -> int:
        """Cells of a line: without border and scrollbar."""
        return max(1, self.scrollable_content_region.width)

    def fill(
        self,
        items: Sequence[Any],
        draw: Draw,
        token: object,
        key: Callable[[Any], Hashable] | None = None,
        start: int = 0,
    ) -> None:
        """Show these entries. Nothing happens while `token` stays equal; with `key` the cursor stays on its entry,
        else at its place. `start` is where it stands in a list that was empty."""
        if token == self.token:
            return
        held = key(self.chosen) if key is not None and self.chosen is not None else None
        empty = not self.items
        self.items, self._draw, self._key, self.token = items, draw, key, token
        place = start if empty else self.cursor
        if held is not None and key is not None:
            place = next((at for at, item in enumerate(items) if key(item) == held), place)
        self.cursor = max(0, min(place, len(items) - 1))
        self._strips.clear()
        self._resize_content(Size(self.room, len(items) * self.each))
        if self.is_attached:
            self._reveal()
            self.refresh()

    def go(self, place: int) -> None:
        """Put the cursor on an entry and bring it into view."""
        place = max(0, min(place, len(self.items) - 1))
        if place != self.cursor:
            self.cursor = place
            self._reveal()
            self.refresh()
            self.post_message(self.Moved(self))

    def action_move(self, by: int) -> None:
        self.go(self.cursor + by)

    def action_page(self, by: int) -> None:
        self.go(self.cursor + by * max(1, self.size.height // self.each - 1))

    def action_jump(self, to: int) -> None:
        self.go(to if to >= 0 else len(self.items) - 1)

    def action_open(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Opened(self))

    def on_click(self, event: events.Click) -> None:
        """A click chooses an entry; a second one on it opens it."""
        at = event.get_content_offset(self)
        place = (at.y + round(self.scroll_y)) // self.each if at is not None else len(self.items)
        if place < len(self.items):
            if event.chain > 1:
                self.action_open()
            self.go(place)

    def notify_style_update(self) -> None:
        """Another theme: what was drawn is of the old one."""
        super().notify_style_update()
        self._strips.clear()

    def on_resize(self, _event: events.Resize) -> None:
        self._strips.clear()
        self._resize_content(Size(self.room, len(self.items) * self.each))
        self._reveal()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """These rows of the screen; what they have in common is asked once."""
        self._common = self.room, self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One row of the screen."""
        width, base = self._common
        place, line = divmod(round(self.scroll_y) + y, self.each)
        if place >= len(self.items) or self._draw is None:
            return Strip.blank(width, base)
        strips = self._entry(place, width)
        return strips[line] if line < len(strips) else Strip.blank(width, base)

    def _entry(self, place: int, width: int) -> list[Strip]:
        at_cursor = place == self.cursor
        cached = self._strips.get((place, at_cursor and self.has_focus))
        if cached is not None and not at_cursor:
            return cached
        assert self._draw is not None
        style = self.visual_style
        if at_cursor:
            style += self.get_visual_style("rows--cursor" if self.has_focus else "rows--blurred")
        options = RenderOptions(self._get_style, {})
        strips = []
        for content in list(self._draw(self.items[place], width))[: self.each]:
            content = content.truncate(max(1, width), ellipsis=True)
            strip = content.render_strips(width, 1, style, options)[0] if content.cell_length else Strip([])
            strips.append(strip.extend_cell_length(width, style.rich_style).crop(0, width))
        strips += [Strip.blank(width, style.rich_style)] * (self.each - len(strips))
        if not at_cursor:
            if len(self._strips) > 2_000:
                self._strips.clear()
            self._strips[place, False] = strips
        return strips

    def _reveal(self) -> None:
        """Scroll so that the whole entry under the cursor is seen."""
        top, rows = self.cursor * self.each, self.size.height
        if rows < 1:
            return
        at = round(self.scroll_y)
        wanted = top if top < at else max(at, top + self.each - rows)
        last = max(0, len(self.items) * self.each - rows)
        self.scroll_to(y=min(wanted, last), animate=False, immediate=True, force=True)

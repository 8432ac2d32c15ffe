"""The bordered box all panes are made of: draws lines from a `Picture` and repaints only when they differ.

Also the few helpers for putting coloured text side by side. Outside text must pass `app.tui.lines.clean` before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual import events
from textual.content import Content
from textual.geometry import Region
from textual.widget import Widget
from textual.widgets import Static

from app.tui.picture import Picture
from app.tui.plain import plain
from app.tui.theme import Glyphs

MUTED = "$foreground-muted"
Part = str | tuple[str, str] | Content


def fitting(content: Content, glyphs: Glyphs) -> Content:
    """`content` itself, or with ASCII glyphs the same with every other character replaced, one for one."""
    if not glyphs.ascii or content.plain.isascii():
        return content
    return Content(plain(content.plain), spans=list(content.spans))


def text(*parts: Part) -> Content:
    """One line of plain and styled parts; nothing in them is read as markup."""
    return Content.assemble(*parts)


def spread(left: Content, right: Content, width: int) -> Content:
    """`left` and `right` at the two ends of `width` cells; `right` is left out when it does not fit."""
    gap = width - left.cell_length - right.cell_length
    if gap < 1:
        return left.truncate(max(1, width), ellipsis=True)
    return Content.assemble(left, " " * gap, right)


def pack(parts: Iterable[Content], width: int, sep: str = "  ") -> Content:
    """As many whole parts as fit into `width` cells, in order; one that does not fit is passed over."""
    kept: list[Content] = []
    used = 0
    for part in parts:
        need = part.cell_length + (len(sep) if kept else 0)
        if part.cell_length and used + need <= width:
            kept.append(part)
            used += need
    return Content(sep).join(kept)


def pad(part: Content, width: int) -> Content:
    """`part` in exactly `width` cells."""
    part = part.truncate(width, ellipsis=True) if part.cell_length > width else part
    return part.pad_right(width - part.cell_length)


def border_line(left: Content, right: Content, width: int, line: str, style: str = "$border") -> Content:
    """A border title of `width` cells: `left` and `right` at its ends, the border's own line between them."""
    if not left.cell_length and not right.cell_length:
        return left
    gap = width - left.cell_length - right.cell_length - 2
    if not right.cell_length or gap < 1:
        return left.truncate(max(1, width), ellipsis=True)
    return Content.assemble(left, " ", (line * gap, style), " ", right)


def retitle(view: Widget, title: Content) -> None:
    """Its border's title, set only where it reads differently: setting it paints the whole of it."""
    if view.border_title != title.markup:
        view.border_title = title


class Panel(Static):
    """A pane. Subclasses give `heading` (title, subtitle) and `draw` (its lines)."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, markup=False)
        self.picture: Picture | None = None
        self._title: Content | None = None
        self._lines: list[Content] = []

    def show(self, picture: Picture) -> None:
        """Draw `picture`, if this pane is visible; only lines that look different from what is there are painted."""
        self.picture = picture
        width, height = self.content_size.width, self.content_size.height
        if width < 1 or height < 1:
            return
        g = picture.glyphs
        title = fitting(border_line(*self.heading(picture), width - 2, g.line), g)
        lines = [fitting(line, g) for line in list(self.draw(picture, width, height))[:height]]
        if self._title is None:
            self.border_title, self._title, self._lines = title, title, lines
            self.refresh()
            return
        rows = [y for y in range(max(len(lines), len(self._lines))) if not _same(lines, self._lines, y)]
        if not title.is_same(self._title):
            self._border_title = self._title = title  # setting `border_title` would paint the whole pane
            rows.append(-1)
        self._lines = lines
        if rows:
            self.refresh(*(Region(0, y, width, 1) for y in rows))

    def render(self) -> Content:
        """What was drawn last."""
        return Content("\n").join(self._lines)

    def on_resize(self, _event: events.Resize) -> None:
        self._title = None
        if self.picture is not None:
            self.show(self.picture)

    def heading(self, picture: Picture) -> tuple[Content, Content]:
        """What stands at the left and at the right of the upper border."""
        raise NotImplementedError

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        """The lines; those beyond `height` are not shown."""
        raise NotImplementedError


def _same(new: Sequence[Content], old: Sequence[Content], row: int) -> bool:
    return row < len(new) and row < len(old) and new[row].is_same(old[row])

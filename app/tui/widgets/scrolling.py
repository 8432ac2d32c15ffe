"""A scrolled view whose size in lines changes often."""

from __future__ import annotations

from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.widget import Widget


class Scrolling(ScrollView):
    """Its place on the screen never follows from what it holds, so that new content needs no new layout."""

    def _resize_content(self, size: Size) -> None:
        """`virtual_size = size` without a layout of the whole screen for every line that comes."""
        if size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self._scroll_update(size)

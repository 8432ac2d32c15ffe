"""A line of names of which one is chosen; a click chooses another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from app.tui.theme import Glyphs
from app.tui.widgets.panel import MUTED, fitting, spread, text


class TabLine(Static):
    """`[Rates] Plots Quality`, scrolled to the chosen one where the line is short."""

    @dataclass
    class Picked(Message):
        """Somebody clicked a name."""

        name: str

    def __init__(self, *, id: str, names: Sequence[str]) -> None:
        super().__init__(id=id, markup=False)
        self.names = tuple(names)
        self._shown: Content | None = None
        self._ends: tuple[tuple[int, str], ...] = ()

    def show(self, chosen: str, glyphs: Glyphs, right: Content | None = None) -> None:
        """Draw, if it differs from what is there."""
        width = max(1, self.size.width - 2)
        parts = [text((f"[{n}]", "bold $accent")) if n == chosen else text((f" {n} ", MUTED)) for n in self.names]
        at = self.names.index(chosen) if chosen in self.names else 0
        first = 0
        while first < at and sum(part.cell_length for part in parts[first : at + 1]) >= width - 1:
            first += 1
        ends = accumulate(part.cell_length for part in parts[first:])
        self._ends = tuple(zip(ends, self.names[first:], strict=True))
        line = fitting(spread(Content("").join(parts[first:]), right or Content(""), width), glyphs)
        if self._shown is None or not line.is_same(self._shown):
            self._shown = line
            self.update(line, layout=False)

    def on_click(self, event: events.Click) -> None:
        at = event.get_content_offset(self)
        for end, name in self._ends:
            if at is not None and at.x < end:
                self.post_message(self.Picked(name))
                return

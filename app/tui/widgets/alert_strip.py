"""One line above the notices, in every view, for as long as something needs a person: the gravest alert, and `a`."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.content import Content

from app.alerts import standing
from app.tui.lines import clean
from app.tui.picture import Picture
from app.tui.widgets.chosen import Chosen
from app.tui.widgets.panel import MUTED, Panel, spread, text


class AlertStrip(Panel):
    """Hidden while nothing needs anybody. A click opens the list."""

    def show(self, picture: Picture) -> None:
        """Appear or vanish, and draw."""
        self.set_class(bool(standing(picture.state, picture.now)), "-needed")
        super().show(picture)

    def on_click(self, _event: events.Click) -> None:
        self.post_message(Chosen("alerts"))

    def heading(self, _picture: Picture) -> tuple[Content, Content]:
        return Content(""), Content("")

    def draw(self, picture: Picture, width: int, _height: int) -> Sequence[Content]:
        found, g = standing(picture.state, picture.now), picture.glyphs
        if not found:
            return []
        first = found[0]
        glyph, style = (g.bad, "bold $error") if first.level == "error" else (g.warn, "bold $warning")
        more = f"  1 of {len(found)}" if len(found) > 1 else ""
        right = text((more, MUTED), ("  a", "bold $accent"), " acts")
        left = text((f"{glyph} ", style), (clean(first.text), style)).truncate(
            max(8, width - right.cell_length - 1), ellipsis=True
        )
        return [spread(left, right, width)]

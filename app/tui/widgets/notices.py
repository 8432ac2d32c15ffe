"""The line or lines above the keys: what is under way, then the newest notices, else the hint."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from app.state import Notice
from app.tui import fmt
from app.tui.lines import clean
from app.tui.picture import Picture
from app.tui.theme import Glyphs
from app.tui.widgets.gauge import gauge
from app.tui.widgets.panel import MUTED, Panel, text

_LEVEL = {
    "info": ("info", "$primary"),
    "ok": ("done", "$success"),
    "warn": ("warn", "bold $warning"),
    "error": ("bad", "bold $error"),
}


class Notices(Panel):
    """No border; as high as the layout gives it."""

    def heading(self, _picture: Picture) -> tuple[Content, Content]:
        return Content(""), Content("")

    def draw(self, picture: Picture, width: int, height: int) -> Sequence[Content]:
        state, g = picture.state, picture.glyphs
        acts = []
        for activity in state.activities.values():
            bar = Content("")
            if activity.done is not None and activity.total:
                share = activity.done / activity.total
                bar = text("  ", gauge(share, min(30, width // 4), g, "$accent"), f" {int(100 * share)}%")
            acts.append(text((f"{g.now} ", "bold $accent"), clean(activity.text), bar))
        room = max(0, height - len(acts))
        notes = [note_line(notice, g) for notice in state.notices[-room:]] if room else []
        lines = [*notes, *acts][-height:]
        if len(lines) < height and state.hint and state.run is not None:
            lines.insert(0, text((f"{g.info} {clean(state.hint)}", MUTED)))
        return lines


def note_line(notice: Notice, glyphs: Glyphs) -> Content:
    """`18:47:08 ✔ pushed 3 files`."""
    glyph, style = _LEVEL.get(notice.level, ("info", "$primary"))
    return text((f"{fmt.clock(notice.at)} ", MUTED), (f"{getattr(glyphs, glyph)} ", style), clean(notice.text))

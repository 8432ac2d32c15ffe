"""Logs: the followed streams at full height, with tabs for the streams."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from app.tui import fmt
from app.tui.lines import clean
from app.tui.logs import Logs
from app.tui.picture import Picture
from app.tui.views.overview import show_log
from app.tui.widgets.log_view import LogView
from app.tui.widgets.panel import MUTED, text


class LogsView(Vertical):
    """One stream at a time; `[` and `]` change it."""

    def compose(self) -> ComposeResult:
        yield Static(id="streams", markup=False)
        yield LogView(id="log-full")

    @property
    def log(self) -> LogView:  # type: ignore[override]
        return self.query_one(LogView)

    def show(self, picture: Picture, logs: Logs) -> None:
        """Draw the picture."""
        self.query_one("#streams", Static).update(stream_tabs(picture, logs, self.size.width - 2), layout=False)
        show_log(self.log, picture, logs)


def stream_tabs(picture: Picture, logs: Logs, width: int) -> Content:
    """`stage-1.generate  [stage-1.sft 12 kB]  events`, scrolled to the one shown; bytes still on the pod are told."""
    state, now = picture.state, logs.showing(picture.state)
    tabs = []
    for name in logs.names(state):
        stream = state.streams[name]
        if name != now:
            tabs.append(text((f" {clean(name)} ", MUTED)))
            continue
        behind = f" {picture.glyphs.down} {fmt.size(stream.behind)} to come" if stream.behind else ""
        auto = "" if logs.picked else " auto"
        tabs.append(text((f"[{clean(name)}]", "bold $accent"), (f" {fmt.size(stream.size)}{behind}{auto} ", MUTED)))
    if not tabs:
        return text(("no log yet", MUTED))
    shown = [name == now for name in logs.names(state)].index(True) if now else 0
    first = 0
    while first < shown and Content(" ").join(tabs[first : shown + 1]).cell_length > width:
        first += 1
    return Content(" ").join(tabs[first:]).truncate(max(1, width), ellipsis=True)

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

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._tabs = Static(id="streams", markup=False)
        self._log = LogView(id="log-full")

    def compose(self) -> ComposeResult:
        yield self._tabs
        yield self._log

    @property
    def start(self) -> LogView:
        """What has the focus first."""
        return self._log

    @property
    def log(self) -> LogView:  # type: ignore[override]
        return self._log

    def show(self, picture: Picture, logs: Logs) -> None:
        """Draw the picture; before the first frame there is nothing to draw on."""
        if self._log.is_attached:
            self._tabs.update(stream_tabs(picture, logs, self.size.width - 2), layout=False)
            show_log(self._log, picture, logs)


def short(name: str) -> str:
    """`stage-1.sft` of `logs/stage-1.sft.log`."""
    return clean(name).removeprefix("logs/").removesuffix(".log").removesuffix(".jsonl")


def stream_tabs(picture: Picture, logs: Logs, width: int) -> Content:
    """`stage-1.generate  [stage-1.sft 12 kB]  events`, scrolled to the one shown; bytes still on the pod are told."""
    state, now = picture.state, logs.showing(picture.state)
    tabs = []
    for name in logs.names(state):
        stream = state.streams[name]
        if name != now:
            tabs.append(text((f" {short(name)} ", MUTED)))
            continue
        behind = f" {picture.glyphs.down} {fmt.size(stream.behind)} to come" if stream.behind else ""
        auto = "" if logs.picked else " auto"
        tabs.append(text((f"[{short(name)}]", "bold $accent"), (f" {fmt.size(stream.size)}{behind}{auto} ", MUTED)))
    if not tabs:
        return text(("no log yet", MUTED))
    shown = [name == now for name in logs.names(state)].index(True) if now else 0
    first = 0
    while first < shown and Content(" ").join(tabs[first : shown + 1]).cell_length > width:
        first += 1
    return Content(" ").join(tabs[first:]).truncate(max(1, width), ellipsis=True)

"""Overview: is it alive, how far, how much, what needs me."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from app.tui.lines import clean
from app.tui.logs import Logs
from app.tui.picture import Picture
from app.tui.widgets.conditions import ConditionsPanel
from app.tui.widgets.cost_meter import CostMeter
from app.tui.widgets.curves import loss, rate, throughput
from app.tui.widgets.gpus import MeterPanel
from app.tui.widgets.log_view import LogView, log_status
from app.tui.widgets.metrics import MetricsPanel
from app.tui.widgets.overview_panels import CommandsPanel, LanePanel, NextPanel, ReviewPanel, SyncPanel
from app.tui.widgets.panel import MUTED, Panel, border_line, fitting, pack, retitle, text
from app.tui.widgets.plot import PlotPanel
from app.tui.widgets.pod_panel import PodPanel
from app.tui.widgets.run_panel import RunPanel
from app.tui.widgets.steps import StepsPanel


class Overview(Vertical):
    """The default view. What is seen at which size is in the style sheet."""

    _panels: tuple[Panel, ...] = ()

    def compose(self) -> ComposeResult:
        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield PodPanel(id="pod")
                yield CostMeter(id="cost")
                yield SyncPanel(id="sync")
                yield NextPanel(id="next")
                yield MetricsPanel(id="metrics")
            with Vertical(id="right"):
                yield RunPanel(id="run")
                with Horizontal(id="middle"):
                    yield StepsPanel(id="steps")
                    yield ConditionsPanel(id="conditions")
                with Horizontal(id="curves"):
                    yield PlotPanel(loss, id="curve-loss", title="loss", empty="no loss yet")
                    yield PlotPanel(throughput, id="curve-tokens", title="tokens/s", empty="no heartbeat yet")
                    yield PlotPanel(rate, id="curve-rate", title="rate", empty="no gate has decided")
                yield MeterPanel(id="meters")
                yield LogView(id="log-tail")
        yield NextPanel(id="next-below")
        with Horizontal(id="strip"):
            yield LanePanel("pending", "PENDING", id="strip-pending")
            yield LanePanel("in_progress", "IN PROGRESS", id="strip-doing")
            yield LanePanel("blocked", "BLOCKED", id="strip-blocked")
            yield ReviewPanel(id="strip-reviews")
        yield CommandsPanel(id="commands")

    @property
    def start(self) -> LogView:
        """What has the focus first."""
        return self.log

    @property
    def log(self) -> LogView:  # type: ignore[override]
        return self.query_one(LogView)

    def show(self, picture: Picture, logs: Logs) -> None:
        """Draw the picture."""
        begun = self.has_class("-no-run") and picture.run is not None
        self.set_class(picture.run is None, "-no-run")
        if begun and self.screen.focused is None:
            self.call_after_refresh(self.log.focus)  # it was hidden, and what is hidden cannot have the focus
        self._panels = self._panels or tuple(self.query(Panel))  # every second anew it was a tenth of an idle panel
        for panel in self._panels:
            panel.show(picture)
        show_log(self.log, picture, logs)


def show_log(view: LogView, picture: Picture, logs: Logs) -> None:
    """Point a log view at its stream and bring it and its border up to date."""
    name = logs.showing(picture.state)
    view.open(logs.spool(name))
    view.grew()
    g = picture.glyphs
    left = text(("LOG ", "bold"), clean(name or "").rpartition("/")[2])
    room = view.outer_size.width - 6
    parts = log_status(view, g.follow, g.off) if name else [text(("no log yet", MUTED))]
    status = pack(parts, room - left.cell_length - 3, f" {g.dot} ")
    title = fitting(border_line(left, status, room, g.line, "$primary" if view.has_focus else "$border"), g)
    retitle(view, title)

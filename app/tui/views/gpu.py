"""GPU: every card with its history, the processes on it, and the pod's machine."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical

from app.tui.logs import Logs
from app.tui.meters import RANGES
from app.tui.picture import Picture
from app.tui.widgets.chosen import Outdated
from app.tui.widgets.gpus import GpuPanel, HostPanel, ProcessPanel, host_only
from app.tui.widgets.panel import Panel
from app.tui.widgets.tabs import TabLine

NAMES = tuple(name for name, _ in RANGES)


class GpuView(Vertical, can_focus=True):
    """Left and right choose how far back the curves reach."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "stretch(-1)", show=False),
        Binding("right,l", "stretch(1)", show=False),
    ]

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._picture: Picture | None = None

    def compose(self) -> ComposeResult:
        yield TabLine(id="ranges", names=NAMES)
        yield GpuPanel(id="gpus")
        with Horizontal(id="below"):
            yield HostPanel(id="host")
            yield ProcessPanel(id="processes")

    @property
    def start(self) -> GpuView:
        """What has the focus first."""
        return self

    def show(self, picture: Picture, _logs: Logs) -> None:
        """Draw the picture."""
        self._picture = picture
        telemetry = picture.meters.telemetry
        self.set_class(host_only(picture) and not (telemetry and telemetry.newest), "-host-only")
        self.query_one(TabLine).show(NAMES[picture.meters.range], picture.glyphs)
        for panel in self.query(Panel):
            panel.show(picture)

    def action_stretch(self, by: int) -> None:
        """Look further back, or less far."""
        if self._picture is not None:
            self._picture.meters.turn(by)
            self.post_message(Outdated())

    @on(TabLine.Picked)
    def _picked(self, event: TabLine.Picked) -> None:
        if self._picture is not None:
            self.action_stretch(NAMES.index(event.name) - self._picture.meters.range)

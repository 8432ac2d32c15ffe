"""What needs somebody: each alert with the keys that answer it. `k` acknowledges one, `A` all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from app.alerts import Alert
from app.tui.lines import clean
from app.tui.widgets.conditions import wrap
from app.tui.widgets.panel import MUTED, fitting, text
from app.tui.widgets.rows import Rows

if TYPE_CHECKING:
    from app.tui.app import PanelApp


class Alerts(ModalScreen[tuple[str, dict[str, Any]] | None]):
    """Dismisses with the action that was chosen and its arguments, or None. The numbers choose an act."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,a", "close", "Back"),
        Binding("k", "acknowledge(False)", show=False, priority=True),
        Binding("A", "acknowledge(True)", show=False),
    ]

    def __init__(self, alerts: Sequence[Alert], panel: PanelApp) -> None:
        super().__init__()
        self.alerts, self.panel = tuple(alerts), panel

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large alerts") as dialog:
            dialog.border_title = Content(f"WHAT NEEDS SOMEBODY  {len(self.alerts)}")
            dialog.border_subtitle = "number: do it · k: seen · A: all seen · esc closes"
            yield Rows(id="alert-rows")
            yield Static(id="alert-acts", markup=False)

    def on_mount(self) -> None:
        self._fill()
        self.query_one(Rows).focus()

    def _fill(self) -> None:
        g, acked = self.panel.bridge.glyphs, self.panel.controller.state.acked

        def draw(alert: Alert, _width: int) -> list[Content]:
            style = "bold $error" if alert.level == "error" else "bold $warning"
            seen = text((" seen", MUTED)) if alert.id in acked else text("")
            mark = g.bad if alert.level == "error" else g.warn
            return [fitting(text((f"{mark} ", style), clean(alert.text), seen), g)]

        self.query_one(Rows).fill(self.alerts, draw, acked, key=lambda alert: alert.id)
        self._show_acts()

    def _acts(self) -> list[tuple[str, str, str | None]]:
        """(id, title, why not now) of what answers the alert under the cursor."""
        chosen = self.query_one(Rows).chosen
        known = {action.id: action for action in self.panel.offered()}
        names = [name for name in chosen.acts if name in known] if isinstance(chosen, Alert) else []
        return [(name, known[name].title, self.panel.refused(name)) for name in names]

    def _show_acts(self) -> None:
        chosen, board = self.query_one(Rows).chosen, self.query_one("#alert-acts", Static)
        width = max(20, board.size.width or 70)
        lines = [text(line) for line in wrap(clean(chosen.text), width)] if isinstance(chosen, Alert) else []
        for number, (_name, title, refused) in enumerate(self._acts(), 1):
            why = text((f"  not now: {clean(refused)}", MUTED)) if refused else text("")
            lines.append(text((f"{number}  ", "bold $accent"), title, why))
        board.update(fitting(Content("\n").join(lines), self.panel.bridge.glyphs))

    def on_rows_moved(self, _event: Rows.Moved) -> None:
        self._show_acts()

    def on_resize(self) -> None:
        self._show_acts()

    def on_rows_opened(self, _event: Rows.Opened) -> None:
        self._choose(1)

    def on_key(self, event: events.Key) -> None:
        if event.character and event.character.isdecimal():
            event.stop()
            self._choose(int(event.character))

    def _choose(self, number: int) -> None:
        acts = self._acts()
        if 1 <= number <= len(acts):
            self.dismiss((acts[number - 1][0], {}))

    def action_acknowledge(self, every: bool) -> None:
        """Say that this alert, or each of them, has been seen."""
        chosen = self.query_one(Rows).chosen
        ids = [alert.id for alert in self.alerts if every or alert is chosen]
        self.panel.do("alerts", {"ack": ids})
        if every:
            self.dismiss(None)
        else:
            self.call_later(self.set_timer, 0.2, self._fill)

    def action_close(self) -> None:
        """Do nothing."""
        self.dismiss(None)

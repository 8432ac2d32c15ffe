"""One log line in full, and its neighbours."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from app.tui.detail import full
from app.tui.widgets.chosen import Chosen
from app.tui.widgets.log_view import LogView


class LineDetail(ModalScreen[None]):
    """The line in hand of a log view. Left and right move the view's cursor, so the line is found again below."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "close", "Back"),
        Binding("left,k", "turn(-1)", show=False),
        Binding("right,j", "turn(1)", show=False),
        Binding("y", "copy", show=False),
    ]

    def __init__(self, view: LogView) -> None:
        super().__init__()
        self.view = view
        self.body: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large"), VerticalScroll():
            yield Static(id="line-text", markup=False)

    def on_mount(self) -> None:
        self._show()

    def action_turn(self, by: int) -> None:
        """To the line before or after."""
        self.view.action_move(by)
        self._show()

    def action_copy(self) -> None:
        """Copy the line as it stands in the log."""
        self.view.post_message(Chosen("view.copy"))

    def action_close(self) -> None:
        self.dismiss(None)

    def _show(self) -> None:
        spool, offset = self.view.spool, self.view.in_hand()
        if spool is None or offset is None:
            self.body = ["the log was replaced"]
        else:
            self.body = full(spool.raw_at(offset)) if offset < spool.index.size else [""]
        number = f"line {spool.index.line_at(offset) + 1:,}" if spool and offset is not None else ""
        dialog = self.query_one(".dialog")
        dialog.border_title = Content("LINE IN FULL" if spool and spool.partial else number)
        dialog.border_subtitle = Content("left right: other lines · y copies · esc closes")
        self.query_one("#line-text", Static).update(Content("\n".join(self.body)))
        self.query_one(VerticalScroll).scroll_home(animate=False)

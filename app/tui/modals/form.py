"""A few lines to fill in, one question each; `enter` in the last one gives them, `esc` gives nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from app.actions.base import Param
from app.tui.lines import clean


class Form(ModalScreen[dict[str, str] | None]):
    """Dismisses with what was written, by parameter name, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, title: str, about: str, params: Sequence[Param]) -> None:
        super().__init__()
        self.heading, self.about, self.params = clean(title), clean(about), tuple(params)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self.heading)
            dialog.border_subtitle = "enter goes on · esc closes"
            if self.about:
                yield Static(Content(self.about), classes="form-about")
            for param in self.params:
                yield Static(Content(param.asked), classes="form-label")
                yield Input(name=param.name, compact=True, classes="form-field")

    def on_mount(self) -> None:
        self.query(Input).first().focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        fields = list(self.query(Input))
        if event.input is fields[-1]:
            self.dismiss({str(field.name): field.value.strip() for field in fields})
        else:
            self.focus_next()

    def action_cancel(self) -> None:
        """Give nothing."""
        self.dismiss(None)

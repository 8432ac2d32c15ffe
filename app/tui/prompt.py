"""The one-line field for find and filter. It hides itself; `esc` clears what was asked."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Label

from app.tui.search import Pattern
from app.tui.widgets.log_view import LogView


class Prompt(Horizontal):
    """Asks, hands a pattern to a log view, and gives the focus back."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "clear", "Clear")]

    def __init__(self) -> None:
        super().__init__(id="prompt")
        self.target: LogView | None = None
        self.only = False

    def compose(self) -> ComposeResult:
        yield Label("find", id="prompt-label", markup=False)
        yield Input(id="prompt-input", compact=True)
        yield Label("", id="prompt-error", markup=False)

    def ask(self, target: LogView, *, only: bool) -> None:
        """Open for a view; what was asked before stands there, ready to be replaced."""
        self.target, self.only = target, only
        before = target.filter if only else target.find
        field = self.query_one(Input)
        self.query_one("#prompt-label", Label).update("only" if only else "find")
        self.query_one("#prompt-error", Label).update("regular expression, ! inverts" if only else "")
        field.value = before.pattern.asked if before else ""
        field.select_on_focus = True
        self.add_class("-open")
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        try:
            pattern = Pattern(event.value, literal=not self.only) if event.value else None
        except ValueError as error:
            self.query_one("#prompt-error", Label).update(str(error))
            return
        self._give(pattern)

    def action_clear(self) -> None:
        """Forget the find or filter and close."""
        self._give(None)

    def _give(self, pattern: Pattern | None) -> None:
        view = self.target
        if view is not None:
            if self.only:
                view.show_only(pattern)
            else:
                view.look_for(pattern)
            view.focus()
        self.remove_class("-open")

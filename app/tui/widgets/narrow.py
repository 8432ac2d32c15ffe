"""A field that narrows the list above it while one types; `esc` shows all again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Label


class Narrow(Horizontal):
    """Hidden until asked for."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "clear", show=False)]

    @dataclass
    class Changed(Message):
        """Another text; `over` when the field has closed."""

        over: bool

    def __init__(self) -> None:
        super().__init__(classes="narrow")
        self.value = ""

    def compose(self) -> ComposeResult:
        yield Label("only ", markup=False)
        yield Input(compact=True)

    def ask(self) -> None:
        """Open, with the text that is in force."""
        self.add_class("-open")
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self.value = event.value
        self.post_message(self.Changed(False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.set_class(bool(self.value), "-open")
        self.post_message(self.Changed(True))

    def action_clear(self) -> None:
        """Show all again."""
        self.query_one(Input).value = self.value = ""
        self.remove_class("-open")
        self.post_message(self.Changed(True))


def matches(asked: str, *texts: str) -> bool:
    """Every word of `asked` stands in one of the texts, whatever its case."""
    if not asked:
        return True
    within = " ".join(texts).lower()
    return all(word in within for word in asked.lower().split())

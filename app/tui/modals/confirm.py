"""A question with its consequences in numbers and two or three answers. `esc` is always the harmless one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from app.actions.base import Confirm
from app.tui.lines import clean


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer: the key that gives it, its label, and whether it is the dangerous one."""

    key: str
    label: str
    danger: bool = False


class Question(ModalScreen[str | None]):
    """Dismisses with the key of the chosen answer, or None. The harmless answer has the focus."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "answer('')", "Back"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
    ]

    def __init__(
        self, title: str, lines: tuple[str, ...], choices: tuple[Choice, ...], *, danger: bool = False
    ) -> None:
        super().__init__()
        self.heading, self.lines, self.choices = clean(title), tuple(clean(line) for line in lines), choices
        self.set_class(danger, "-danger")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self.heading)
            yield Static(Content("\n".join(self.lines)), markup=False, classes="dialog-text")
            with Horizontal(classes="dialog-buttons"):
                for choice in self.choices:
                    label = Content(f"{choice.key}  {choice.label}")
                    yield Button(label, variant="error" if choice.danger else "default", name=choice.key, compact=True)
                yield Button(Content("esc  Back"), variant="primary", name="", compact=True, classes="back")

    def on_mount(self) -> None:
        self.query_one(".back", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.action_answer(event.button.name or "")

    def on_key(self, event: events.Key) -> None:
        if event.character and event.character in {choice.key for choice in self.choices}:
            event.stop()
            self.action_answer(event.character)

    def action_answer(self, key: str) -> None:
        """Close with this answer."""
        self.dismiss(key or None)


def ask(confirm: Confirm) -> Question:
    """The dialog of an action's own question; `y` agrees."""
    return Question(confirm.title, confirm.lines, (Choice("y", confirm.yes, confirm.danger),), danger=confirm.danger)

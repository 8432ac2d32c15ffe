"""A question with its consequences in numbers and two or three answers. `esc` is always the harmless one."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from app.actions.base import Confirm
from app.tui.lines import clean

YES = "y"


class Choice(Struct, frozen=True):
    """One answer: the key that gives it, its label, and whether it is the dangerous one."""

    key: str
    label: str
    danger: bool = False


class Question(ModalScreen[str | None]):
    """Dismisses with the key of the chosen answer, or None.

    The harmless answer has the focus: Back, or the first choice where `safe`. With `typed` only that word, typed and
    entered, gives the first choice.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "answer('')", "Back"),
        Binding("left", "app.focus_previous", show=False),
        Binding("right", "app.focus_next", show=False),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
    ]

    def __init__(
        self, title: str, lines: tuple[str, ...], choices: tuple[Choice, ...], *, danger: bool = False,
        typed: str = "", safe: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self.heading, self.lines, self.choices = clean(title), tuple(clean(line) for line in lines), choices
        self.typed, self.safe = typed, safe
        self.asked_at = Message().time  # what was typed before is no answer
        self.set_class(danger, "-danger")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self.heading)
            dialog.border_subtitle = "enter agrees · esc goes back" if self.safe else "esc goes back"
            with VerticalScroll(classes="dialog-scroll", can_focus=False):
                yield Static(Content("\n".join(self.lines)), markup=False, classes="dialog-text")
            if self.typed:
                label = self.choices[0].label
                yield Static(Content(f"type {clean(self.typed)} and enter to {label}"), classes="dialog-typed")
                yield Input(compact=True, id="typed")
            with Horizontal(classes="dialog-buttons"):
                for choice in self.choices[1:] if self.typed else self.choices:
                    label_of = Content(f"{choice.key}  {choice.label}")
                    variant = "error" if choice.danger else "default"
                    yield Button(label_of, variant=variant, name=choice.key, compact=True)  # type: ignore[arg-type]
                yield Button(Content("esc  Back"), variant="primary", name="", compact=True, classes="back")

    def on_mount(self) -> None:
        first = "#typed" if self.typed else "Button" if self.safe else ".back"
        self.query(first).first().focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.action_answer(event.button.name or "")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() == self.typed:
            self.action_answer(self.choices[0].key)
        else:
            self.query_one(".dialog-typed", Static).update(Content(f"that is not {clean(self.typed)}; esc goes back"))

    def on_key(self, event: events.Key) -> None:
        if self.typed:
            return  # every letter belongs to the field
        if event.character and event.character in {choice.key for choice in self.choices}:
            event.stop()
            self.action_answer(event.character)

    def action_answer(self, key: str) -> None:
        """Close with this answer."""
        self.dismiss(key or None)

    def action_move(self, lines: int) -> None:
        """Scroll a long text."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def ask(confirm: Confirm) -> Question:
    """The dialog of an action's own question; `y` agrees, the other keys are its ways."""
    ways = tuple(Choice(way.key, way.label, way.danger) for way in confirm.ways)
    choices = (Choice(YES, confirm.yes, confirm.danger), *ways)
    return Question(
        confirm.title, confirm.lines, choices, danger=confirm.danger, typed=confirm.typed, safe=confirm.safe
    )

"""Help: every action with its key, command and present reason, searchable; and long texts such as a report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from app.actions.base import Action
from app.tui.keys import shown_key
from app.tui.lines import clean


class Help(ModalScreen[None]):
    """Made from the actions; nothing in it is written by hand but the keys of the screen itself."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Back"),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("pageup", "move(-10)", show=False),
    ]

    def __init__(self, actions: Sequence[Action], reason: Callable[[str], str | None]) -> None:
        super().__init__()
        self.actions, self.reason = actions, reason

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large") as dialog:
            dialog.border_title = "HELP"
            dialog.border_subtitle = "type to search · esc closes"
            yield Input(placeholder="search keys and commands", id="help-search", compact=True)
            with VerticalScroll(id="help-scroll", can_focus=False):
                yield Static(help_text(self.actions, self.reason, ""), id="help-text", markup=False)

    def on_input_changed(self, event: Input.Changed) -> None:
        self.query_one("#help-text", Static).update(help_text(self.actions, self.reason, event.value))

    def action_close(self) -> None:
        self.dismiss(None)

    def action_move(self, lines: int) -> None:
        """Scroll while the search field keeps the focus."""
        self.query_one("#help-scroll").scroll_relative(y=lines, animate=False)


class Reader(ModalScreen[None]):
    """A longer text: a report, a list, the outcome of doctor. Remote text in it is data."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter", "close", "Back")]

    def __init__(self, title: str, body: str) -> None:
        super().__init__()
        self.heading, self.body = clean(title), "\n".join(clean(line) for line in body.splitlines())

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large") as dialog:
            dialog.border_title = Content(self.heading)
            dialog.border_subtitle = "esc closes"
            with VerticalScroll():
                yield Static(Content(self.body), markup=False)

    def action_close(self) -> None:
        self.dismiss(None)


def help_text(actions: Sequence[Action], reason: Callable[[str], str | None], query: str) -> Content:
    """One line an action: keys, title, what it does, its command; matching `query` in any of them."""
    words = query.lower().split()
    lines = [line for action in actions if (line := help_line(action, reason(action.id), words)) is not None]
    return Content("\n").join(lines) if lines else Content("nothing of that name")


def help_line(action: Action, refused: str | None, words: Sequence[str]) -> Content | None:
    """The action's line, or None when a word is missing from it."""
    key = shown_key(action, every=True)
    command = " ".join(("maxcai", *action.cli)) if action.cli else ""
    if not all(word in f"{key} {action.id} {action.title} {action.help} {command}".lower() for word in words):
        return None
    return Content.assemble(
        (f"{key:<9}", "bold $accent"),
        (f"{action.title:<18} ", "bold"),
        action.help,
        (f"  {command}" if command else "", "$foreground-muted"),
        (f"\n{'':<9}not now: {refused}" if refused else "", "$warning"),
    )

"""A few lines to fill in, one question each; `enter` in the last one gives them, `esc` gives nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from app.actions.base import Param
from app.tui.lines import clean

LEAVES = {"enter": 1, "tab": 1, "down": 1, "up": -1, "shift+tab": -1}
"""Keys that leave a field, and which way."""


class Field(Input):
    """One line of a form.

    Somebody who types fast has sent the next letters before the focus has moved: keys that leave take effect at once,
    not as bindings, which come after what is behind them in the queue; and what still comes here is handed on.
    """

    async def _on_key(self, event: events.Key) -> None:
        focused = self.screen.focused
        if focused is not None and focused is not self:
            event.stop()
            event.prevent_default()
            focused._forward_event(events.Key(event.key, event.character))
        elif event.key in LEAVES:
            event.stop()
            event.prevent_default()
            cast(Form, self.screen).leave(self, event.key)
        else:
            await super()._on_key(event)


class Form(ModalScreen[dict[str, str] | None]):
    """Dismisses with what was written, by parameter name, or None. `typed`: keys from before the form was there."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "Back")]

    def __init__(self, title: str, about: str, params: Sequence[Param], typed: Sequence[events.Key] = ()) -> None:
        super().__init__()
        self.heading, self.about, self.params = clean(title), clean(about), tuple(params)
        self.typed = tuple(typed)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog") as dialog:
            dialog.border_title = Content(self.heading)
            dialog.border_subtitle = "enter goes on · esc closes"
            if self.about:
                yield Static(Content(self.about), classes="form-about")
            for param in self.params:
                yield Static(Content(param.asked), classes="form-label")
                yield Field(name=param.name, compact=True, classes="form-field")

    def on_mount(self) -> None:
        first = self.query(Field).first()
        self.set_focus(first)
        for event in self.typed:
            first._forward_event(event)

    def leave(self, field: Field, key: str) -> None:
        """What a key that leaves a field does: to another one, or with the answers from the last."""
        fields = list(self.query(Field))
        if key == "enter" and field is fields[-1]:
            self.dismiss({str(field.name): field.value.strip() for field in fields})
        else:
            self.set_focus(fields[(fields.index(field) + LEAVES[key]) % len(fields)])

    def action_cancel(self) -> None:
        """Give nothing."""
        self.dismiss(None)

"""Some lines of a list, or one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from app.tui.lines import clean
from app.tui.widgets.panel import text
from app.tui.widgets.rows import Rows

LEAST = 2


class Pick(ModalScreen[tuple[str, ...] | None]):
    """Dismisses with the marked names in the order of the list, or None. At least two must be marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Back"),
        Binding("space", "mark", show=False, priority=True),
    ]

    def __init__(self, title: str, names: Sequence[str], marked: str | None = None) -> None:
        super().__init__()
        self.heading, self.names = clean(title), tuple(names)
        self.marked: set[str] = {name for name in self.names if name == marked}

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog picker") as dialog:
            dialog.border_title = Content(self.heading)
            dialog.border_subtitle = "space marks · enter compares the marked · esc closes"
            yield Rows(id="pick-rows")

    def on_mount(self) -> None:
        self._fill()
        self.query_one(Rows).focus()

    def _fill(self) -> None:
        def draw(name: str, _width: int) -> list[Content]:
            on = name in self.marked
            return [text(("[x] " if on else "[ ] ", "bold $accent" if on else ""), clean(name))]

        self.query_one(Rows).fill(self.names, draw, tuple(sorted(self.marked)), key=lambda name: name)

    def action_mark(self) -> None:
        """Mark the one under the cursor, or take its mark away."""
        name = self.query_one(Rows).chosen
        if name is not None:
            self.marked ^= {name}
            self._fill()

    def on_rows_opened(self, _event: Rows.Opened) -> None:
        chosen = tuple(name for name in self.names if name in self.marked)
        if len(chosen) < LEAST:
            self.notify("mark two or more with space", severity="warning", markup=False)
        else:
            self.dismiss(chosen)

    def action_cancel(self) -> None:
        """Take none."""
        self.dismiss(None)


class Choose(ModalScreen[int | None]):
    """One line of several. Dismisses with its place, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "cancel", "Back")]

    def __init__(self, title: str, head: str, lines: Sequence[str], verb: str) -> None:
        super().__init__()
        self.heading, self.head, self.lines, self.verb = clean(title), clean(head), tuple(lines), verb

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog large picker") as dialog:
            dialog.border_title = Content(self.heading)
            dialog.border_subtitle = f"enter {self.verb} · esc closes"
            yield Static(Content(self.head), classes="pick-head")
            yield Rows(id="pick-rows")

    def on_mount(self) -> None:
        rows = self.query_one(Rows)
        rows.fill(range(len(self.lines)), lambda place, _width: [text(clean(self.lines[place]))], self.lines)
        rows.focus()

    def on_rows_opened(self, event: Rows.Opened) -> None:
        self.dismiss(event.rows.cursor)

    def action_cancel(self) -> None:
        """Choose none."""
        self.dismiss(None)

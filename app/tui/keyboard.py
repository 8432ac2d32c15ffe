"""Keys in the order in which they were typed, each heard by what was on the screen then.

Textual hands a key to the focused widget's queue and looks for its binding when it comes back up. What is typed fast,
or comes in one piece over a slow link, would overtake its own consequences: letters of a task's title would be keys of
the panel, and one of them might answer a question that nobody has seen.
"""

from __future__ import annotations

from collections import deque

from textual import events
from textual.widgets import Input

from app.tui.on_screen import OnScreen


class Keyboard(OnScreen):
    """The part of the panel that takes keys one after another."""

    def __init__(self) -> None:
        super().__init__()
        self.wanted = "overview"  # the view that was asked for last; it may still be in the making
        self.early: list[events.Key] | None = None  # typed while a form is on its way: they are meant for it
        self._typed: deque[events.Key] = deque()

    async def on_event(self, event: events.Event) -> None:
        """Take keys in order; everything else as always."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            self._typed.append(event)
            await self.take_keys()
        else:
            await super().on_event(event)

    async def take_keys(self) -> None:
        """Every key that is waiting, until one asks for a view that must be made first."""
        while self._typed and (len(self.screen_stack) > 1 or self.wanted == self.view):
            await self._take(self._typed.popleft())

    def heard_otherwise(self) -> bool:
        """Whether a key means something else now than what it is bound to; then that has been done."""
        return False

    async def _take(self, event: events.Key) -> None:
        if self.heard_otherwise():
            return
        alone = len(self.screen_stack) == 1
        if alone and self.early is not None:
            self.early.append(event)
        elif event.time < getattr(self.screen, "asked_at", event.time):
            return  # nobody answers a question that they have not seen
        elif not (alone and await self._bound(event)):
            await super().on_event(event)

    async def _bound(self, event: events.Key) -> bool:
        """Do at once what a key is bound to, unless it is typed into a field or ends a zoom."""
        if isinstance(self.focused, Input) or (event.key == "escape" and self.screen.maximized is not None):
            return False
        return await self._check_bindings(event.key, priority=True) or await self._check_bindings(event.key)

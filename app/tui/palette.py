"""The command palette: every action by name, with its key, and with its reason when it is refused now."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content

from app.actions.base import Action
from app.tui.keys import shown_key

if TYPE_CHECKING:
    from app.tui.app import PanelApp


class ActionProvider(Provider):
    """Finds actions; choosing one does it, or says why not."""

    @property
    def panel(self) -> PanelApp:
        from app.tui.app import PanelApp

        assert isinstance(self.app, PanelApp)
        return self.app

    async def discover(self) -> Hits:
        for action in self.panel.offered():
            yield DiscoveryHit(Content(self._title(action)), self._act(action), action.title, self._help(action))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self.panel.offered():
            score = max(matcher.match(action.title), matcher.match(action.id), matcher.match(action.help) * 0.6)
            if score > 0:
                yield Hit(score, Content(self._title(action)), self._act(action), action.title, self._help(action))

    def _act(self, action: Action) -> Callable[[], None]:
        return partial(self.panel.do, action.id)

    def _title(self, action: Action) -> str:
        key = shown_key(action, every=True)
        return f"{action.title}  {key}" if key else action.title

    def _help(self, action: Action) -> str:
        reason = self.panel.controller.reason(action.id)
        return action.help if reason is None else f"not now: {reason}"

"""Which view is on the screen, and what it holds."""

from __future__ import annotations

from textual.app import App
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from app.tui.widgets.log_view import LogView


class OnScreen(App[int]):
    """The part of the panel that finds its own views."""

    @property
    def views(self) -> ContentSwitcher:
        """What holds the views; one is made when it is first shown."""
        return self.screen_stack[0].query_one("#views", ContentSwitcher)

    @property
    def view(self) -> str:
        """Name of the view on screen, as in `app.tui.switch`."""
        return (self.views.current or "overview-view").removesuffix("-view")

    @property
    def current(self) -> Widget:
        """The view on screen."""
        return self.views.get_child_by_id(f"{self.view}-view")

    @property
    def has_log(self) -> bool:
        """Whether the view on screen shows a log."""
        return self.view in ("overview", "logs")

    @property
    def log_view(self) -> LogView:
        """The log of the view on screen. Only while `has_log`."""
        return self.current.query_one(LogView)

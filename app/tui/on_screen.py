"""Which view is on the screen, what it holds, and a word to the person before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.app import App
from textual.driver import Driver
from textual.filter import LineFilter
from textual.widget import Widget
from textual.widgets import ContentSwitcher

from app.tui.lines import clean
from app.tui.plain import AsciiOnly
from app.tui.widgets.log_view import LogView


class OnScreen(App[int]):
    """The part of the panel that finds its own views."""

    ascii_only = False

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Those of the library, and the one that leaves nothing but ASCII where that is all there may be."""
        found = super().get_line_filters()
        return [*found, AsciiOnly()] if self.ascii_only else found

    def get_driver_class(self) -> type[Driver]:
        """Textual's choice; in a terminal one that bears bytes which are no text."""
        found = super().get_driver_class()
        if found.__name__ != "LinuxDriver":
            return found
        from app.tui.typed_bytes import TolerantDriver

        return TolerantDriver

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

    def subjects(self) -> Mapping[str, str]:
        """What is under the cursor: "task", "review", "run", "step"."""
        found: Mapping[str, str] = getattr(self.current, "subjects", {})
        return found

    def say(self, text: str, severity: str = "information") -> None:
        """A toast; the text is data, never markup."""
        level = severity if severity in ("warning", "error") else "information"
        self.notify(clean(text), severity=level, markup=False, timeout=5)  # type: ignore[arg-type]

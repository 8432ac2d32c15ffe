"""The views of the panel: one line each. A view is made when it is first shown; hidden ones do no work.

A further view is one file in `app/tui/views/`, one line here, and its `view.NAME` act in `app/actions/view.py`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from textual.widget import Widget

    from app.tui.logs import Logs
    from app.tui.picture import Picture


class Shows(Protocol):
    """What every view can do: draw a picture of everything."""

    def show(self, picture: Picture, logs: Logs) -> None: ...


class View(Struct, frozen=True):
    """One view: its key, its title on the tab, its name in act ids, and where its class lies."""

    key: str
    title: str
    name: str
    home: str

    @property
    def id(self) -> str:
        """Of its widget."""
        return f"{self.name}-view"

    def make(self) -> Widget:
        """A new widget of this view; its module is imported now."""
        module, _, kind = self.home.partition(":")
        widget: Widget = getattr(import_module(module), kind)(id=self.id)
        return widget


VIEWS = (
    View("1", "Overview", "overview", "app.tui.views.overview:Overview"),
    View("2", "Run", "run", "app.tui.views.run:RunView"),
    View("3", "Logs", "logs", "app.tui.views.logs:LogsView"),
    View("4", "GPU", "gpu", "app.tui.views.gpu:GpuView"),
    View("5", "Board", "board", "app.tui.views.board:BoardView"),
    View("6", "Reviews", "reviews", "app.tui.views.reviews:ReviewsView"),
)


def counter(picture: Picture, name: str) -> int:
    """What waits in a view: tasks that are open, reviews without all their answers."""
    if name == "board":
        return picture.boards.open_tasks
    return picture.boards.open_reviews if name == "reviews" else 0

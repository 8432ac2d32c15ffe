"""From the controller's states to paints: remembers that something changed and paints at most ten times a second.

Without a change there is one look a second, for clocks and ages; widgets then repaint only what reads differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from msgspec.structs import replace

from app.state import AppState
from app.tui.boards import Boards
from app.tui.browse import Browse
from app.tui.desk import Desk
from app.tui.home import Home
from app.tui.logs import Logs
from app.tui.meters import Meters
from app.tui.picture import Picture
from app.tui.series import Series
from app.tui.theme import Glyphs

RATE_HZ = 10
BLURRED_HZ = 2


class Source(Protocol):
    """What the bridge needs of the controller."""

    @property
    def state(self) -> AppState: ...
    def subscribe(self, callback: Callable[[AppState], None]) -> Callable[[], None]: ...


class Bridge:
    """Collects changes; `tick` paints them."""

    def __init__(self, source: Source, clock: Callable[[], float], glyphs: Glyphs) -> None:
        self.source = source
        self.clock = clock
        self.glyphs = glyphs
        self.logs = Logs()
        self.series = Series()
        workspace: Any = getattr(source, "workspace", None)  # a source made for a test has neither of these
        self.boards = Boards(getattr(workspace, "root", None))
        self.home = Home(getattr(workspace, "runs_dir", None))
        supervisor: Any = getattr(source, "supervisor", None)
        self.meters = Meters(supervisor, clock)
        self.desk = Desk(supervisor)
        self.browse = Browse(workspace)
        self._dirty = True
        self._second = -1
        self._painted = 0.0
        self._leave = source.subscribe(self._changed)

    def picture(self) -> Picture:
        """The present picture."""
        return self._picture(self.source.state, self.clock())

    def _picture(self, state: AppState, now: float) -> Picture:
        return Picture(state, now, self.glyphs, self.series, self.boards, self.home, self.meters, self.desk)

    def looked_at(self, picture: Picture, view: str) -> Picture:
        """What a view is to draw: in the Run view the run that somebody has turned to."""
        if view != "run" or self.browse.picked is None:
            return picture
        return replace(picture, state=self.browse.look(picture.state))

    def again(self, then: Callable[[], None]) -> None:
        """Something was done from here: its files are read at once, and `then` may paint them."""
        self.boards.again(self.clock(), then)
        self.desk.again()

    def touch(self) -> None:
        """Something that is not in the state has changed; paint at the next tick."""
        self._dirty = True

    def tick(self, paint: Callable[[Picture], None], focused: bool = True, view: str = "overview") -> bool:
        """Paint if anything changed since the last paint or the second turned; True if it painted.

        `view` is the one on the screen: what only a hidden one shows is neither read nor measured.
        """
        state, now = self.source.state, self.clock()
        if not focused and 0 <= now - self._painted < 1 / BLURRED_HZ:
            return False
        grew = self.logs.advance(state)
        looked = self.browse.look(state) if view == "run" else state
        self.series.advance(self.logs.events_path(state) if looked is state else self.browse.events())
        came = (
            self.boards.advance(now, view in ("board", "reviews")),
            self.browse.shelf.advance(),
            self.desk.advance(now, view == "overview"),
            self.home.advance(looked, now, view == "run"),
            self.meters.advance(state, now, view in ("gpu", "overview")),
        )
        if not (self._dirty or grew or any(came) or int(now) != self._second):
            return False
        self._dirty, self._second, self._painted = False, int(now), now
        paint(self._picture(state, now))
        return True

    def close(self) -> None:
        """Stop listening and close the logs."""
        self._leave()
        self.logs.close()
        self.meters.close()
        self.desk.close()

    def _changed(self, _state: AppState) -> None:
        self._dirty = True

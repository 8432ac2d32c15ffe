"""From the controller's states to paints: remembers that something changed and paints at most ten times a second.

Without a change there is one look a second, for clocks and ages; widgets then repaint only what reads differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from app.state import AppState
from app.tui.logs import Logs
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
        self._dirty = True
        self._second = -1
        self._painted = 0.0
        self._leave = source.subscribe(self._changed)

    def picture(self) -> Picture:
        """The present picture."""
        return Picture(self.source.state, self.clock(), self.glyphs, self.series)

    def touch(self) -> None:
        """Something that is not in the state has changed; paint at the next tick."""
        self._dirty = True

    def tick(self, paint: Callable[[Picture], None], focused: bool = True) -> bool:
        """Paint if anything changed since the last paint or the second turned; True if it painted."""
        state, now = self.source.state, self.clock()
        if not focused and 0 <= now - self._painted < 1 / BLURRED_HZ:
            return False
        grew = self.logs.advance(state)
        self.series.advance(self.logs.events_path(state))
        if not (self._dirty or grew or int(now) != self._second):
            return False
        self._dirty, self._second, self._painted = False, int(now), now
        paint(Picture(state, now, self.glyphs, self.series))
        return True

    def close(self) -> None:
        """Stop listening and close the logs."""
        self._leave()
        self.logs.close()

    def _changed(self, _state: AppState) -> None:
        self._dirty = True

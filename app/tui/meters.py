"""The telemetry of the pod that keys act on, collected while a view shows it, and which stretch of it is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from app.state import AppState

if TYPE_CHECKING:
    from remote.watch.telemetry import Point, Series, Telemetry

RANGES = (("1m", 60), ("10m", 600), ("1h", 3600), ("all", None))
"""Stretches of history with their seconds; None is all there is."""

AGAIN_S = 5.0
"""Seconds until a collection that broke is begun again."""

FINE_UP_TO_S = 600
"""Longer stretches are drawn from means of ten seconds."""


class Meters:
    """One pod's telemetry.

    Args:
        supervisor: whose link is used; None: there is nothing to measure.
        clock: unix seconds.
    """

    def __init__(self, supervisor: Any = None, clock: Callable[[], float] | None = None) -> None:
        self._supervisor, self._clock = supervisor, clock
        self._task: asyncio.Task[None] | None = None
        self._ended = float("-inf")
        self._fresh = False
        self.pod: str | None = None
        self.telemetry: Telemetry | None = None
        self.trouble: str | None = None
        self.range = 0

    def advance(self, state: AppState, now: float, seen: bool) -> bool:
        """Collect while a view shows it and the link is up; True when a sample has come."""
        pod = state.pod.id if state.pod is not None and state.link.state == "up" else None
        if self._task is not None and (pod != self.pod or not seen):
            self.close()
        if pod is not None and seen and self._supervisor is not None and self._task is None:
            if pod != self.pod:
                self.telemetry = None
            if now - self._ended > AGAIN_S or pod != self.pod:
                self.pod = pod
                self._task = asyncio.get_running_loop().create_task(self._collect(pod))
        fresh, self._fresh = self._fresh, False
        return fresh

    def turn(self, by: int) -> None:
        """Look at the next or previous stretch."""
        self.range = (self.range + by) % len(RANGES)

    def points(self, series: Series, now: float) -> list[Point]:
        """The points of the chosen stretch, oldest first."""
        seconds = RANGES[self.range][1]
        if seconds is not None and seconds <= FINE_UP_TO_S:
            return [point for point in series.fine(seconds) if point.at > now - seconds]
        found = series.coarse()
        return found if seconds is None else [point for point in found if point.at > now - seconds]

    def column(self, series: Series, name: str, now: float) -> list[float | None]:
        """One value over the chosen stretch."""
        return series.column(name, self.points(series, now))

    def close(self) -> None:
        """End the collection; what was measured stays."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _collect(self, pod: str) -> None:
        from app.errors import AppError
        from remote.errors import RemoteError
        from remote.watch.telemetry import Telemetry, collect  # comes with the link, which is up by now

        assert self._clock is not None
        telemetry = self.telemetry = self.telemetry or Telemetry()
        try:
            agent = await self._supervisor.link.agent(pod)
            self.trouble = None
            await collect(agent, telemetry, self._clock, lambda _sample: self._came())
        except (RemoteError, AppError, OSError, ExceptionGroup) as error:
            self.trouble = str(error) or type(error).__name__
        finally:
            if self._task is asyncio.current_task():
                self._task, self._ended = None, self._clock()
            self._fresh = True

    def _came(self) -> None:
        self._fresh = True

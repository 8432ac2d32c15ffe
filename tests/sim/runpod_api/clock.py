"""The simulator's time: stepped by hand, scaled, or real. Everything billed or booted follows it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

EPOCH = datetime(2026, 10, 1, 12, 0, tzinfo=UTC).timestamp()
"""Where a stepped clock begins, unix seconds: a full hour, so that billing buckets are easy to read."""


class VirtualClock:
    """Unix seconds. `scale` is virtual seconds per real second: 0 (the default) moves only by `advance`, 1 is real."""

    def __init__(self, start: float = EPOCH, scale: float = 0.0) -> None:
        self._base = start
        self._scale = scale
        self._mark = time.monotonic()
        self._listeners: list[Callable[[], None]] = []

    @classmethod
    def real(cls) -> VirtualClock:
        """The wall clock's time at real speed."""
        return cls(time.time(), 1.0)

    @classmethod
    def scaled(cls, scale: float) -> VirtualClock:
        """From the wall clock's time on, `scale` times as fast."""
        return cls(time.time(), scale)

    @property
    def stepped(self) -> bool:
        """True when time stands still between calls of `advance`."""
        return self._scale == 0

    def now(self) -> float:
        """The time, unix seconds."""
        if self.stepped:
            return self._base
        return self._base + (time.monotonic() - self._mark) * self._scale

    __call__ = now

    def advance(self, seconds: float) -> float:
        """Jump ahead and return the new time. What falls due is done by the simulator before its next reply."""
        if not math.isfinite(seconds) or seconds < 0:
            raise ValueError(f"Time cannot advance by {seconds} seconds.")
        self._base += seconds
        for listener in list(self._listeners):
            listener()
        return self.now()

    async def leap(self, seconds: float) -> None:
        """A `sleep` that takes no real time: it advances the clock and lets other tasks run."""
        self.advance(max(seconds, 0.0))
        await asyncio.sleep(0)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` at every jump."""
        self._listeners.append(listener)


def stamp(at: float | None) -> str | None:
    """RFC 3339 in UTC with milliseconds, as the API writes `createdAt`; None stays None."""
    if at is None:
        return None
    return datetime.fromtimestamp(round(at, 3), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def stamp_seconds(at: float) -> str:
    """RFC 3339 in UTC with whole seconds, as log lines and billing buckets have it."""
    return datetime.fromtimestamp(math.floor(at), UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def parse(text: str) -> float:
    """Unix seconds of an RFC 3339 time. Raises ValueError."""
    at = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()

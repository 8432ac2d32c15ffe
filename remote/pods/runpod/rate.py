"""The quota of requests of one API key: what is left of it, and when the next request may leave. No I/O."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from msgspec import Struct

LOW = 0.25
"""Fraction of a quota below which pollers slow down."""

NO_HINT_S = 10.0
"""Pause after a refusal that does not say how long, in seconds."""

POLL_S, BUSY_POLL_S, IDLE_POLL_S = 12.0, 2.0, 60.0
"""Seconds between two readings of the list: usually, while a pod starts or stops, and while nobody looks."""

_LONGEST_S = 86_400.0
_LEFT = re.compile(r'"([a-z]{1,16})"\s*;\s*r=(\d{1,9})\s*;\s*t=(\d{1,9})')
_POLICY = re.compile(r'"([a-z]{1,16})"\s*;\s*q=(\d{1,9})')


class Window(Struct, frozen=True):
    """One quota: `left` of `quota` requests until `resets_at`, unix seconds."""

    name: str
    left: int
    quota: int | None
    resets_at: float


class RateBudget:
    """What the provider's replies say of the quota. Times are unix seconds of the caller's clock."""

    def __init__(self) -> None:
        self.windows: tuple[Window, ...] = ()
        self._quotas: dict[str, int] = {}
        self._until = 0.0
        self._length = 0.0

    def read(self, headers: Mapping[str, str], now: float) -> None:
        """Take over what a reply's headers say; missing or odd ones change nothing."""
        self._quotas.update({name: int(quota) for name, quota in _POLICY.findall(headers.get("RateLimit-Policy", ""))})
        found = _LEFT.findall(headers.get("RateLimit", ""))
        if found:
            self.windows = tuple(
                Window(name, int(left), self._quotas.get(name), now + int(reset)) for name, left, reset in found
            )

    def refused(self, retry_after: float | None, now: float) -> float:
        """Note a 429. Returns the seconds in which no request leaves: told, or until an empty quota refills."""
        if retry_after is None:
            empty = [window.resets_at - now for window in self.windows if window.left == 0 and window.resets_at > now]
            retry_after = max(empty, default=NO_HINT_S)
        length = min(max(retry_after, 0.0), _LONGEST_S)
        if now + length > self._until or self.wait(now) == 0.0:
            self._until, self._length = now + length, length
        return length

    def wait(self, now: float) -> float:
        """Seconds until the next request may leave; 0 when it may now. A clock set back does not prolong it."""
        return min(max(self._until - now, 0.0), self._length)

    def fraction(self, now: float) -> float | None:
        """The scarcest quota's share that is left, None when nothing current is known."""
        shares = [w.left / w.quota for w in self.windows if w.quota and now < w.resets_at]
        return min(shares, default=None)

    def poll_s(self, now: float, *, busy: bool = False, watched: bool = True) -> float:
        """Seconds until the next reading of the list is due; four times as long when the quota runs low."""
        every = BUSY_POLL_S if busy else POLL_S if watched else IDLE_POLL_S
        share = self.fraction(now)
        if share is not None and share < LOW:
            every = max(every * 4, POLL_S)
        return max(every, self.wait(now))


def retry_after(text: str | None, now: float) -> float | None:
    """Seconds of a Retry-After header, given in seconds or as a date; None when it is missing or makes no sense."""
    text = (text or "").strip()
    if re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return float(math.ceil(max(0.0, (at - datetime.fromtimestamp(now, UTC)).total_seconds())))

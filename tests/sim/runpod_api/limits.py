"""Request quotas per key and window, with the headers that tell of them."""

from __future__ import annotations

from dataclasses import dataclass, field

WINDOWS = {"minute": 60, "hour": 3600, "day": 86400}
RECORDED = {"minute": 180, "hour": 7200, "day": 86400}
"""The quotas that one account was seen to have; the specification says 60, 3,000 and 50,000."""


@dataclass
class _Window:
    start: float
    used: int = 0


@dataclass
class RateLimiter:
    """`quotas` by window name, requests. Time is the simulator's."""

    quotas: dict[str, int] = field(default_factory=lambda: dict(RECORDED))
    _windows: dict[tuple[str, str], _Window] = field(default_factory=dict)

    def take(self, key: str, now: float) -> tuple[str | None, dict[str, str]]:
        """Count one request of `key`. Returns the window that is used up, if one is, and the reply's headers."""
        windows = {name: self._window(key, name, now) for name in self.quotas}
        full = [name for name, window in windows.items() if window.used >= self.quotas[name]]
        if not full:
            for window in windows.values():
                window.used += 1
        headers = {
            "RateLimit": ", ".join(
                f'"{name}";r={max(0, self.quotas[name] - window.used)};t={self._reset(name, window, now)}'
                for name, window in windows.items()
            ),
            "RateLimit-Policy": ", ".join(f'"{name}";q={self.quotas[name]};w={WINDOWS[name]}' for name in windows),
        }
        if full:
            headers["Retry-After"] = str(max(self._reset(name, windows[name], now) for name in full))
        return (full[0] if full else None), headers

    def _window(self, key: str, name: str, now: float) -> _Window:
        window = self._windows.get((key, name))
        if window is None or now >= window.start + WINDOWS[name]:
            window = self._windows[key, name] = _Window(now)
        return window

    @staticmethod
    def _reset(name: str, window: _Window, now: float) -> int:
        return max(1, int(window.start + WINDOWS[name] - now))

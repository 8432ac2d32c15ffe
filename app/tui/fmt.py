"""Numbers as people read them. Pure; unknown (None) is a dash, never a zero."""

from __future__ import annotations

import math
import time
from decimal import Decimal

UNKNOWN = "–"


def money(usd: Decimal | None) -> str:
    """`$1.74`, `<$0.01` for less than a cent but more than nothing."""
    if usd is None:
        return UNKNOWN
    if Decimal(0) < usd < Decimal("0.01"):
        return "<$0.01"
    return f"${usd:,.2f}"


def span(seconds: float | None) -> str:
    """`0.8s`, `42s`, `3m05s`, `1h18m`, `2d03h`."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86_400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86_400}d{whole % 86_400 // 3600:02d}h"


def age(seconds: float | None) -> str:
    """Whole seconds below a minute, so that it changes once a second: `3s`, `2m10s`."""
    if seconds is None:
        return UNKNOWN
    whole = max(0, int(seconds))
    return f"{whole}s" if whole < 60 else span(whole)


def count(value: float | None) -> str:
    """`18,420`; a fraction keeps one decimal."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{round(value):,}" if float(value).is_integer() or abs(value) >= 100 else f"{value:,.1f}"


def number(value: float | None) -> str:
    """Four significant digits: `0.913`, `8.1e-05`, `12.3`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def percent(fraction: float | None, digits: int = 0) -> str:
    """`41%` of 0.41."""
    if fraction is None or not math.isfinite(fraction):
        return UNKNOWN
    return f"{100 * fraction:.{digits}f}%"


def size(octets: int | None) -> str:
    """`512 B`, `18.4 kB`, `2.1 GB` (powers of ten)."""
    if octets is None:
        return UNKNOWN
    value = float(octets)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 99.95 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def clock(at: float | None) -> str:
    """Local wall time `18:49:11`."""
    return UNKNOWN if at is None else time.strftime("%H:%M:%S", time.localtime(at))

"""A provider's JSON, read with suspicion: bounded depth, money exact, and typed readings that say None when unsure.

An unreadable value is None, never a default; what must be there and is not raises ValueError.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_DEPTH = 32
MAX_ITEMS = 10_000
"""Entries that one list of a reply may have."""

_ISO = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)")
_EARLIEST, _LATEST = 1_420_070_400.0, 4_102_444_800.0  # 2015 to 2100: others are placeholders such as the year 1
_CENT_OF_A_CENT = Decimal("0.0001")
_MOST = Decimal(1_000_000)
_FINEST = Decimal("1e-12")
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9:.-]{0,252}")


def decode(raw: bytes) -> Any:
    """The value of a JSON text. Fractions become Decimal exactly as written; NaN and the infinities become None.

    Raises ValueError when it is no JSON, or nested deeper than `MAX_DEPTH`.
    """
    try:
        value = json.loads(raw, parse_float=_decimal, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    level, depth = [value], 0
    while level := [item for value in level for item in _children(value)]:
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
    return value


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def _decimal(text: str) -> Decimal | None:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return None


def mapping(value: Any) -> Mapping[str, Any]:
    """An object; anything else reads as one without entries."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """A list; anything else reads as an empty one."""
    return value[:MAX_ITEMS] if isinstance(value, list) else []


def rows(value: Any, key: str) -> list[Any]:
    """The list that a reply holds under `key`. Raises ValueError when there is none: it must not read as empty."""
    found = mapping(value).get(key)
    if not isinstance(found, list):
        raise ValueError(f'it has no list "{key}"')
    if len(found) > MAX_ITEMS:
        raise ValueError(f'its list "{key}" has more than {MAX_ITEMS} entries')
    return found


def text(value: Any) -> str | None:
    """A string with something in it, which can be written to a file (no lone surrogates)."""
    if not isinstance(value, str) or not value:
        return None
    return value.encode("utf-8", "replace").decode("utf-8")


def identifier(value: Any) -> str:
    """An id that may stand in an address. Raises ValueError for anything else."""
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ValueError("an id is missing or malformed")
    return value


def host(value: Any) -> str | None:
    """A host name or IP address."""
    return value if isinstance(value, str) and _HOST.fullmatch(value) else None


def whole(value: Any, least: int = 0, most: int = 1_000_000_000) -> int | None:
    """An integer within bounds; 30.0 is one, true is none."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    if not least <= value <= most or value != int(value):
        return None
    return int(value)


def fraction(value: Any, most: float = 100.0) -> float | None:
    """A number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not 0 <= value <= most:
        return None
    return float(value)


def price(value: Any) -> Decimal | None:
    """USD/hour of something that costs; 0, less than 0.0001 and the absurd read as not told."""
    found = amount(value)
    return found if found is not None and found >= _CENT_OF_A_CENT else None


def amount(value: Any) -> Decimal | None:
    """USD, which may be 0 or negative where the provider says so; kept to 12 decimals."""
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)) or not -_MOST <= value <= _MOST:
        return None
    found = Decimal(value)
    return found if int(found.as_tuple().exponent) >= -12 else found.quantize(_FINEST)


def when(value: Any) -> float | None:
    """Unix seconds of an ISO 8601 time with its zone, between 2015 and 2100."""
    if not isinstance(value, str) or not _ISO.fullmatch(value):
        return None
    try:
        at = datetime.fromisoformat(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return at if _EARLIEST <= at <= _LATEST else None

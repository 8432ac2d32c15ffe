"""One line in full: harmless, and its JSON indented. Pure."""

from __future__ import annotations

import json
from itertools import islice

from app.tui.lines import clean, parse

MOST = 64 * 1024
"""Cells of a line that are shown in full."""

_TRIES = 8  # places in a line at which JSON is looked for


def full(raw: bytes) -> list[str]:
    """The line's text as lines to read. JSON after any prefix (`18:49:11 INFO {...}`) is indented; what looks like JSON
    and is not stays as it is."""
    text = parse(raw, MOST).text
    begins = (at for at, char in enumerate(text) if char in "{[")
    for at in islice(begins, _TRIES):
        try:
            value, end = json.JSONDecoder().raw_decode(text, at)
            indented = json.dumps(value, indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):  # also of numbers too long to be converted
            continue
        if isinstance(value, dict | list) and value:
            around = [clean(part.strip()) for part in (text[:at], text[end:])]
            return [*filter(None, around[:1]), *map(clean, indented.split("\n")), *filter(None, around[1:])]
    return [text]

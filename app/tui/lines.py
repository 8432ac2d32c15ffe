"""Turns raw bytes of a remote log into harmless text with colours; pure, and total over any input.

Only SGR (colour and weight) survives; every other escape sequence and control character is dropped. Turning `Sgr`
into a terminal style is left to the log view.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

MAX_CELLS = 2_000
"""A longer line is cut here, before it is parsed any further."""

CUT_MARK = "…"

Colour = int | tuple[int, int, int] | None
"""None: the theme's own · 0-255: a palette entry · three bytes: true colour."""

_ESCAPE = re.compile(
    r"""\x1b\[(?P<sgr>[0-9;:]*)m            # CSI ... m: the one that is kept
      | (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?   # any other control sequence, also a torn one
      | (?:\x1b[\]PX^_]|[\x90\x98\x9d\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?  # OSC, DCS, SOS, PM, APC strings
      | \x1b[ -/]*[0-~]?                    # two-character escapes""",
    re.VERBOSE,
)
_UNSAFE = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_TAB = 8


class Sgr(Struct, frozen=True):
    """How a stretch of text is to look."""

    fg: Colour = None
    bg: Colour = None
    bold: bool = False
    dim: bool = False
    italic: bool = False
    underline: bool = False
    reverse: bool = False
    strike: bool = False


PLAIN = Sgr()

_ON = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse", 9: "strike"}
_OFF = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("reverse",), 29: ("strike",)}


class Line(Struct, frozen=True):
    """One line as it is shown: `spans` are (text, look) in order; `text` is their concatenation."""

    text: str
    spans: tuple[tuple[str, Sgr], ...]
    cut: bool = False


def clean(text: str) -> str:
    """`text` from outside without anything a terminal would obey: escapes, control, bidi and zero-width characters.

    Line breaks and tabs become single blanks, so the result is always one line."""
    text = _ESCAPE.sub("", re.sub(r"[\t\r\n\x0b\x0c\u2028\u2029]+", " ", text))
    return _scrub(text)


def parse(raw: bytes, most: int = MAX_CELLS) -> Line:
    """The line on `raw` (without its newline), cut after `most` cells.

    Of text rewritten by carriage returns only the last version is kept, as a terminal would show it. Bytes that are
    not UTF-8 become U+FFFD. Never raises; the result holds no control character.
    """
    raw = raw.rstrip(b"\r\n")
    raw = raw[raw.rfind(b"\r") + 1 :]
    cut = len(raw) > most * 8  # room for colour codes and wide characters; the exact cut comes below
    text = raw[: most * 8].decode("utf-8", "replace")
    spans: list[tuple[str, Sgr]] = []
    look, at, column = PLAIN, 0, 0
    for found in _ESCAPE.finditer(text):
        column = _append(spans, text[at : found.start()], look, column)
        at = found.end()
        if found["sgr"] is not None:
            look = _apply(look, found["sgr"])
    column = _append(spans, text[at:], look, column)
    shown = tuple(spans)
    if cut or column > most:
        shown, cut = _cut(shown, most), True
    return Line("".join(text for text, _ in shown), shown, cut)


@lru_cache(maxsize=4096)
def width(char: str) -> int:
    """Terminal cells of one character: 0 for combining marks, 2 for wide ones, else 1."""
    if unicodedata.combining(char) or unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in ("W", "F") else 1


def cells(text: str) -> int:
    """Terminal cells of harmless text."""
    return len(text) if text.isascii() else sum(width(char) for char in text)


def _scrub(text: str) -> str:
    return _UNSAFE.sub("", text)


def _append(spans: list[tuple[str, Sgr]], text: str, look: Sgr, column: int) -> int:
    """Add text at `column`, tabs expanded; returns the column after it."""
    text = _scrub(text)
    if "\t" in text:
        out: list[str] = []
        at = column
        for part in re.split("(\t)", text):
            piece = " " * (_TAB - at % _TAB) if part == "\t" else part
            out.append(piece)
            at += cells(piece)
        text = "".join(out)
    if text:
        spans.append((text, look))
    return column + cells(text)


def _cut(spans: tuple[tuple[str, Sgr], ...], most: int) -> tuple[tuple[str, Sgr], ...]:
    """The spans up to `most` cells, with a mark at the end."""
    kept: list[tuple[str, Sgr]] = []
    left = most - 1
    for text, look in spans:
        end = 0
        for char in text:
            if width(char) > left:
                break
            left -= width(char)
            end += 1
        kept.append((text[:end], look))
        if end < len(text):
            break
    return (*kept, (CUT_MARK, PLAIN))


@lru_cache(maxsize=1024)
def _apply(look: Sgr, codes: str) -> Sgr:
    """`look` after one SGR sequence; codes that mean nothing here change nothing."""
    numbers = [min(int(part or 0), 65_535) for part in re.split("[;:]", codes[:200]) if len(part) < 7]
    at = 0
    while at < len(numbers):
        code = numbers[at]
        at += 1
        if code in (38, 48):
            colour, at = _extended(numbers, at)
            if colour is not None:
                look = replace(look, fg=colour) if code == 38 else replace(look, bg=colour)
        else:
            look = _simple(look, code)
    return look


def _simple(look: Sgr, code: int) -> Sgr:
    if code == 0:
        return PLAIN
    if code in _ON:
        return replace(look, **_flags(_ON[code], on=True))
    if code in _OFF:
        return replace(look, **_flags(*_OFF[code], on=False))
    for first, bright in ((30, 90), (40, 100)):
        field = "fg" if first == 30 else "bg"
        if first <= code <= first + 7:
            return _tinted(look, field, code - first)
        if bright <= code <= bright + 7:
            return _tinted(look, field, code - bright + 8)
        if code == first + 9:
            return _tinted(look, field, None)
    return look


def _flags(*names: str, on: bool) -> dict[str, Any]:
    return dict.fromkeys(names, on)


def _tinted(look: Sgr, field: str, colour: Colour) -> Sgr:
    return replace(look, fg=colour) if field == "fg" else replace(look, bg=colour)


def _extended(numbers: list[int], at: int) -> tuple[Colour, int]:
    """The colour of `38;5;n` or `38;2;r;g;b` and where reading goes on; None when it is torn or out of range."""
    mode = numbers[at] if at < len(numbers) else None
    if mode == 5:
        value = numbers[at + 1] if at + 1 < len(numbers) else -1
        return (value if 0 <= value <= 255 else None), at + 2
    if mode == 2:
        rgb = tuple(numbers[at + 1 : at + 4])
        if len(rgb) == 3 and all(part <= 255 for part in rgb):
            return (rgb[0], rgb[1], rgb[2]), at + 4
        return None, at + 4
    return None, at + 1

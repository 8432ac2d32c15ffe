"""How numbers and foreign text become words on a page: an unknown value is said to be missing, and text that a model
wrote cannot break a table or run as markup."""

from __future__ import annotations

import re
from typing import Any

MISSING = "not measured"
UNKNOWN = "not known"
"""Of facts that nobody measures: names, versions, dates."""
_SPECIAL = re.compile(r"([\\`*_\[\]|~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


class Markdown(str):
    """Text that is Markdown already and must not be escaped again."""

    __slots__ = ()


def percent(share: float | None, digits: int = 1) -> str:
    """0.956 -> "95.6 %"."""
    return MISSING if share is None else f"{100 * share:.{digits}f} %"


def points(share: float | None) -> str:
    """A signed difference of two rates in percentage points."""
    return MISSING if share is None else f"{100 * share:+.1f}"


def interval(low: float | None, high: float | None) -> str:
    return MISSING if low is None or high is None else f"{100 * low:.1f} – {100 * high:.1f} %"


def bounds(pair: tuple[float | None, float | None]) -> str:
    """`interval` for templates."""
    return interval(*pair)


def p_value(p: float | None) -> str:
    if p is None:
        return MISSING
    return f"{p:.3f}" if p >= 0.001 else f"{p:.1e}"


def number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return MISSING
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}g}"


def duration(seconds: float | None) -> str:
    """72.4 -> "1 min 12 s"."""
    if seconds is None:
        return MISSING
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def dollars(usd: float | None) -> str:
    """Two decimals, four under a dollar; an unknown price is not free."""
    if usd is None:
        return "price unknown"
    return f"${usd:,.4f}" if 0 < usd < 1 else f"${usd:,.2f}"


def one_line(text: Any, limit: int = 160) -> str:
    """Foreign text on one line: line ends shown as ⏎, control and direction characters as �, cut with an ellipsis."""
    if text is None:
        return MISSING
    plain = str(text) or "(empty)"
    shown = plain.replace("\r\n", "\n").replace("\n", " ⏎ ").replace("\t", " ")
    shown = _CONTROL.sub("\ufffd", shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def whole(text: Any) -> str:
    """Foreign text with its lines, for a place that keeps them: only control and direction characters are replaced."""
    if text is None:
        return MISSING
    lines = (str(text) or "(empty)").replace("\r\n", "\n").replace("\t", " ").split("\n")
    return "\n".join(_CONTROL.sub("\ufffd", line) for line in lines)


def escape_markdown(value: Any) -> Any:
    """What the Markdown templates do to every value that is not `Markdown` already: no markup, links or table bars."""
    if value is None:
        return MISSING
    if isinstance(value, Markdown) or not isinstance(value, str):
        return value
    text = _CONTROL.sub("\ufffd", value.replace("\n", " ⏎ "))
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = _SPECIAL.sub(r"\\\1", text)
    return Markdown(text.replace("://", "&#58;//").replace("www.", "www&#46;").replace("@", "&#64;"))


def code(value: Any) -> Markdown:
    """A code span that its content cannot close."""
    text = one_line(value, 400).replace("|", "\\|")
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return Markdown(f"{fence}{pad}{text}{pad}{fence}")

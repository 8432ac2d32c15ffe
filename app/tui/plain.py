"""The last word on what reaches a terminal that can show ASCII only: whatever is left becomes it, cell for cell."""

from __future__ import annotations

from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from app.tui.lines import width

_PLAIN = str.maketrans(
    {"…": "~", "–": "-", "—": "-", "×": "x", "·": "-", "’": "'", "“": '"', "”": '"', "≥": ">", "≈": "~", "→": ">"}
    | dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+") | dict.fromkeys("─━═", "-") | dict.fromkeys("│┃║", "|")
    | dict.fromkeys("█▉▊▋▌▍▎▏▕▐▇▆▅▄", "#") | dict.fromkeys("▃▂▁", "_") | {"▔": "-", "•": "*", "●": "*", "▶": ">"}
)  # fmt: skip


def plain(text: str) -> str:
    """`text` in ASCII, as wide as before."""
    if text.isascii():
        return text
    return "".join(char if char.isascii() else "?" * width(char) for char in text.translate(_PLAIN))


class AsciiOnly(LineFilter):
    """Borders, scrollbars, cut-off marks and whatever a widget of the library draws."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        return [Segment(plain(text), style, control) for text, style, control in segments]

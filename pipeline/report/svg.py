"""The pieces that every plot is made of: a standalone SVG document, text, scales and ticks. No library, no script.

Colours come from the page's CSS (`--ink`, `--grid`, `--c0` … `--c5`) with fallbacks that are readable on white and on
black, so that light and dark pages both work and a plot saved alone does too."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea", "#0891b2", "#db2777")
INK, GRID = "var(--ink,#71717a)", "var(--grid,#a1a1aa)"


@dataclass(frozen=True, slots=True)
class Scale:
    """Linear map of data [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers that cover [low, high], about `wanted` of them, at least two."""
    if high <= low:
        pad = abs(low) * 0.1 or 1.0
        low, high = low - pad, high + pad
    raw = (high - low) / wanted
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(m * unit for m in (1, 2, 2.5, 5, 10) if m * unit >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [k * step for k in range(first, last + 1)]


def text(x: float, y: float, words: str, anchor: str, weight: int = 400, size: int = 12) -> str:
    """Text at a point, escaped. `anchor`: start | middle | end."""
    bold = f' font-weight="{weight}"' if weight != 400 else ""
    larger = f' font-size="{size}"' if size != 12 else ""
    shown = escape(words, quote=True)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{bold}{larger} fill="{INK}">{shown}</text>'


def line(x1: float, y1: float, x2: float, y2: float, stroke: str = GRID, more: str = "") -> str:
    """A straight line; `more` holds further attributes of our own."""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{stroke}"{" " + more if more else ""}/>'


def short(value: float) -> str:
    return f"{value:.4g}" if value else "0"


def colour(index: int) -> str:
    return f"var(--c{index % len(_COLOURS)},{_COLOURS[index % len(_COLOURS)]})"


def cut(label: str, limit: int) -> str:
    """A label that fits its column."""
    return label if len(label) <= limit else label[: limit - 1] + "…"


def document(title: str, told: str, width: int, height: int, parts: Sequence[str]) -> str:
    """A whole picture. `title` names it, `told` says in a sentence what it shows to who cannot see it."""
    name = escape(title, quote=True)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{name}" '
        f'font-family="system-ui, sans-serif" font-size="12"><title>{name}</title>'
        f"<desc>{escape(told, quote=True)}</desc>\n{text(12, 18, title, 'start', 600, 13)}\n{body}\n</svg>"
    )

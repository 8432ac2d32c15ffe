"""Plots as standalone SVG text: curves over steps, and rates with their intervals. No library, no script; colours come
from the page's CSS (`--ink`, `--grid`, `--c0` … `--c3`) with fallbacks, so that light and dark pages both work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_COLOURS = ("#2563eb", "#d97706", "#059669", "#9333ea")


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. Points whose value is not finite are left out, and the line is broken there."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of an interval plot, all in [0, 1]: a filled dot with its interval, and a hollow one where given."""

    label: str
    value: float
    low: float
    high: float
    hollow: float | None = None


def line_plot(series: Sequence[Series], title: str, x_label: str = "step", width: int = 640, height: int = 260) -> str:
    """Curves as SVG; "" when no series has a finite point."""
    kept = [s for s in series if any(_finite(p) for p in s.points)]
    if not kept:
        return ""
    points = [p for s in kept for p in s.points if _finite(p)]
    xs, ys = ticks(min(p[0] for p in points), max(p[0] for p in points)), ticks(*_span([p[1] for p in points]))
    left, right, top, bottom = 64, width - 16, 44, height - 40
    place = _Scale(xs[0], xs[-1], left, right), _Scale(ys[0], ys[-1], bottom, top)
    parts = [_grid_y(y, place[1].at(y), left, right) for y in ys]
    parts += [_text(place[0].at(x), bottom + 18, _short(x), "middle") for x in xs]
    parts.append(_text((left + right) / 2, height - 6, x_label, "middle"))
    for index, one in enumerate(kept):
        colour = _colour(index)
        parts += [_path(run, place, colour) for run in _runs(one.points)]
        parts.append(f'<circle cx="{left + 130 * index + 5:.1f}" cy="31" r="4" fill="{colour}"/>')
        parts.append(_text(left + 130 * index + 14, 35, one.label, "start"))
    return _svg(title, width, height, parts)


def interval_plot(dots: Sequence[Dot], title: str, threshold: float | None = None, width: int = 640) -> str:
    """Rates on a 0–100 % axis with intervals, and the wanted level as a dashed line; "" without rows."""
    if not dots:
        return ""
    height = 70 + 30 * len(dots)
    left, right, top, bottom = 150, width - 24, 38, height - 32
    scale = _Scale(0.0, 1.0, left, right)
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = scale.at(share)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="var(--grid,#d4d4d8)"/>')
        parts.append(_text(x, bottom + 18, f"{100 * share:.0f} %", "middle"))
    if threshold is not None:
        x = scale.at(threshold)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{bottom}" stroke="var(--ink,#52525b)" '
            'stroke-width="1.5" stroke-dasharray="5 4"/>'
        )
    for row, dot in enumerate(dots):
        parts += _dot_row(dot, scale, top + 20 + 30 * row, left)
    return _svg(title, width, height, parts)


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


@dataclass(frozen=True, slots=True)
class _Scale:
    """Linear map of data [low, high] to pixels [start, end]."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def _finite(point: tuple[float, float]) -> bool:
    return math.isfinite(point[0]) and math.isfinite(point[1])


def _span(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def _runs(points: Sequence[tuple[float, float]]) -> list[list[tuple[float, float]]]:
    """Stretches of finite points."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if _finite(point):
            runs[-1].append(point)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _path(run: Sequence[tuple[float, float]], place: tuple[_Scale, _Scale], colour: str) -> str:
    spots = [f"{place[0].at(x):.1f},{place[1].at(y):.1f}" for x, y in run]
    if len(spots) == 1:
        x, y = spots[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
    return f'<polyline points="{" ".join(spots)}" fill="none" stroke="{colour}" stroke-width="1.8"/>'


def _dot_row(dot: Dot, scale: _Scale, y: float, left: float) -> list[str]:
    colour = _colour(0)
    parts = [
        _text(left - 10, y + 4, dot.label, "end"),
        f'<line x1="{scale.at(dot.low):.1f}" x2="{scale.at(dot.high):.1f}" y1="{y}" y2="{y}" '
        f'stroke="{colour}" stroke-width="3" stroke-linecap="round"/>',
        f'<circle cx="{scale.at(dot.value):.1f}" cy="{y}" r="5" fill="{colour}"/>',
    ]
    if dot.hollow is not None:
        spot = f'cx="{scale.at(dot.hollow):.1f}" cy="{y}" r="5"'
        parts.append(f'<circle {spot} fill="none" stroke="{_colour(1)}" stroke-width="2"/>')
    return parts


def _grid_y(value: float, y: float, left: float, right: float) -> str:
    line = f'<line x1="{left}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="var(--grid,#d4d4d8)"/>'
    return line + _text(left - 8, y + 4, _short(value), "end")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    shown = escape(text, quote=True)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="var(--ink,#52525b)">{shown}</text>'


def _short(value: float) -> str:
    return f"{value:.4g}" if value else "0"


def _colour(index: int) -> str:
    return f"var(--c{index % len(_COLOURS)},{_COLOURS[index % len(_COLOURS)]})"


def _svg(title: str, width: int, height: int, parts: Sequence[str]) -> str:
    name = escape(title, quote=True)
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{name}" '
        f'font-family="system-ui, sans-serif" font-size="12"><title>{name}</title>\n'
        f'<text x="12" y="18" font-size="13" font-weight="600" fill="var(--ink,#52525b)">{name}</text>\n{body}\n</svg>'
    )

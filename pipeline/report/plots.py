"""Plots as standalone SVG text: curves over steps, and rates with their intervals, in one group or in many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report import svg
from pipeline.report.svg import Scale, ticks


@dataclass(frozen=True, slots=True)
class Series:
    """One curve. Points whose value is not finite are left out, and the line is broken there."""

    label: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Dot:
    """One row of an interval plot, all in [0, 1]: a filled dot with its interval, and a hollow one where given.

    `low` and `high` None: a rate without an interval. `tone` picks the colour.
    """

    label: str
    value: float
    low: float | None
    high: float | None
    hollow: float | None = None
    tone: int = 0


@dataclass(frozen=True, slots=True)
class Group:
    """Rows under one heading, with the level wanted of them as a dashed line."""

    label: str
    dots: Sequence[Dot]
    threshold: float | None = None


def line_plot(series: Sequence[Series], title: str, x_label: str = "step", width: int = 640, height: int = 260) -> str:
    """Curves as SVG; "" when no series has a finite point."""
    kept = [s for s in series if any(_finite(p) for p in s.points)]
    if not kept:
        return ""
    points = [p for s in kept for p in s.points if _finite(p)]
    xs, ys = ticks(min(p[0] for p in points), max(p[0] for p in points)), ticks(*_span([p[1] for p in points]))
    left, right, top, bottom = 64, width - 16, 44, height - 40
    place = Scale(xs[0], xs[-1], left, right), Scale(ys[0], ys[-1], bottom, top)
    parts = [_grid_y(y, place[1].at(y), left, right) for y in ys]
    parts += [svg.text(place[0].at(x), bottom + 18, svg.short(x), "middle") for x in xs]
    parts.append(svg.text((left + right) / 2, height - 6, x_label, "middle"))
    for index, one in enumerate(kept):
        parts += [_path(run, place, svg.colour(index)) for run in _runs(one.points)]
        parts.append(f'<circle cx="{left + 130 * index + 5:.1f}" cy="31" r="4" fill="{svg.colour(index)}"/>')
        parts.append(svg.text(left + 130 * index + 14, 35, one.label, "start"))
    return svg.document(title, _told_curves(kept, x_label), width, height, parts)


def interval_plot(dots: Sequence[Dot], title: str, threshold: float | None = None, width: int = 640) -> str:
    """Rates on a 0–100 % axis with intervals, and the wanted level as a dashed line; "" without rows."""
    return grouped_plot([Group("", dots, threshold)], title, width)


def grouped_plot(groups: Sequence[Group], title: str, width: int = 640) -> str:
    """`interval_plot` of several groups, one above the other on one axis; "" without rows."""
    kept = [group for group in groups if group.dots]
    if not kept:
        return ""
    left, right, top, row = 150, width - 24, 34, 24
    heights = [row * len(group.dots) + (row if group.label else 6) for group in kept]
    bottom = top + sum(heights)
    scale = Scale(0.0, 1.0, left, right)
    parts = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        parts.append(svg.line(scale.at(share), top, scale.at(share), bottom))
        parts.append(svg.text(scale.at(share), bottom + 18, f"{100 * share:.0f} %", "middle"))
    y = float(top)
    for group, height in zip(kept, heights, strict=True):
        parts += _group(group, scale, y, height, row)
        y += height
    return svg.document(title, _told_rates(kept), width, bottom + 32, parts)


def _group(group: Group, scale: Scale, top: float, height: int, row: int) -> list[str]:
    parts, first = [], top + 6
    if group.label:
        parts.append(svg.text(12, top + 17, svg.cut(group.label, 90), "start", 600))
        first = top + row
    if group.threshold is not None:
        x = scale.at(group.threshold)
        parts.append(svg.line(x, first, x, top + height, svg.INK, 'stroke-width="1.5" stroke-dasharray="5 4"'))
    for index, dot in enumerate(group.dots):
        parts += _dot_row(dot, scale, first + row / 2 + row * index)
    return parts


def _dot_row(dot: Dot, scale: Scale, y: float) -> list[str]:
    colour = svg.colour(dot.tone)
    parts = [svg.text(scale.start - 10, y + 4, svg.cut(dot.label, 22), "end")]
    if dot.low is not None and dot.high is not None:
        wide = 'stroke-width="3" stroke-linecap="round"'
        parts.append(svg.line(scale.at(dot.low), y, scale.at(dot.high), y, colour, wide))
    parts.append(f'<circle cx="{scale.at(dot.value):.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
    if dot.hollow is not None:
        spot = f'cx="{scale.at(dot.hollow):.1f}" cy="{y:.1f}" r="5"'
        parts.append(f'<circle {spot} fill="none" stroke="{colour}" stroke-width="2"/>')
    return parts


def _told_curves(series: Sequence[Series], x_label: str) -> str:
    said = []
    for one in series:
        finite = [p for p in one.points if _finite(p)]
        said.append(f"{one.label} from {svg.short(finite[0][1])} to {svg.short(finite[-1][1])}")
    return f"Curves over {x_label}: " + "; ".join(said) + "."


def _told_rates(groups: Sequence[Group]) -> str:
    said = []
    for group in groups:
        rows = ", ".join(f"{dot.label} {100 * dot.value:.1f} %" for dot in group.dots)
        wanted = f" (wanted {100 * group.threshold:.1f} %)" if group.threshold is not None else ""
        said.append(f"{group.label}{wanted}: {rows}" if group.label else f"{rows}{wanted}")
    return "; ".join(said) + "."


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


def _path(run: Sequence[tuple[float, float]], place: tuple[Scale, Scale], colour: str) -> str:
    spots = [f"{place[0].at(x):.1f},{place[1].at(y):.1f}" for x, y in run]
    if len(spots) == 1:
        x, y = spots[0].split(",")
        return f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>'
    return f'<polyline points="{" ".join(spots)}" fill="none" stroke="{colour}" stroke-width="1.8"/>'


def _grid_y(value: float, y: float, left: float, right: float) -> str:
    return svg.line(left, y, right, y) + svg.text(left - 8, y + 4, svg.short(value), "end")

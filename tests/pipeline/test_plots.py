"""Plots are well-formed SVG that stay inside their frame, whatever the numbers and labels are."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.plots import Dot, Series, interval_plot, line_plot, ticks

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda x: round(x, 6))


@given(st.lists(st.tuples(st.integers(0, 10_000), numbers | st.just(math.nan) | st.just(math.inf)), max_size=30))
def test_a_curve_of_any_numbers_stays_in_its_frame(points: list[tuple[float, float]]) -> None:
    drawn = line_plot([Series("loss", points)], "t", width=640, height=260)
    if not any(math.isfinite(y) for _, y in points):
        assert drawn == ""
        return
    root = ElementTree.fromstring(drawn)
    for line in root.iter(f"{SVG}polyline"):
        for spot in line.attrib["points"].split():
            x, y = map(float, spot.split(","))
            assert 0 <= x <= 640
            assert 0 <= y <= 260


def test_a_gap_breaks_the_line_and_is_not_bridged() -> None:
    whole = line_plot([Series("loss", [(0, 2.0), (1, 1.5), (2, 1.2), (3, 1.0)])], "t")
    broken = line_plot([Series("loss", [(0, 2.0), (1, 1.5), (2, math.nan), (3, 1.0), (4, 0.9)])], "t")
    assert whole.count("<polyline") == 1
    assert broken.count("<polyline") == 2


def test_hostile_labels_cannot_leave_the_picture() -> None:
    nasty = '</text><script>alert("x")</script>'
    for drawn in (
        line_plot([Series(nasty, [(0, 1.0)])], nasty, nasty),
        interval_plot([Dot(nasty, 0.5, 0.4, 0.6)], nasty),
    ):
        root = ElementTree.fromstring(drawn)
        assert not list(root.iter(f"{SVG}script"))
        assert nasty in "".join(root.itertext())


def test_an_interval_is_drawn_to_scale() -> None:
    root = ElementTree.fromstring(interval_plot([Dot("tuned", 0.5, 0.25, 0.75, 0.9)], "t", threshold=0.75, width=640))
    bar = next(line for line in root.iter(f"{SVG}line") if line.get("stroke-width") == "3")
    wanted = next(line for line in root.iter(f"{SVG}line") if line.get("stroke-dasharray"))
    filled, hollow = list(root.iter(f"{SVG}circle"))
    assert bar.attrib["x2"] == wanted.attrib["x1"]
    assert float(filled.attrib["cx"]) * 2 == float(bar.attrib["x1"]) + float(bar.attrib["x2"])
    assert float(hollow.attrib["cx"]) > float(bar.attrib["x2"])


def test_nothing_to_draw_draws_nothing() -> None:
    assert line_plot([], "t") == ""
    assert interval_plot([], "t") == ""


@given(numbers, numbers)
def test_ticks_cover_the_data_with_few_round_numbers(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 9
    assert found == sorted(set(found))

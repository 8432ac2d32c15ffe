"""Plots are well-formed SVG that stay inside their frame, whatever the numbers and labels are."""

from __future__ import annotations

import math
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.charts import Cell, Span, bar_plot, matrix_plot, span_plot
from pipeline.report.plots import Dot, Group, Series, grouped_plot, interval_plot, line_plot
from pipeline.report.svg import ticks

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
        grouped_plot([Group(nasty, [Dot("a", 0.5, 0.4, 0.6)])], nasty),
        bar_plot([(nasty, 3)], nasty),
        matrix_plot([nasty], [nasty], {(0, 0): Cell(0.5, note=nasty)}, nasty),
        span_plot([Span(nasty, 0, 5)], nasty),
    ):
        root = ElementTree.fromstring(drawn)
        assert not list(root.iter(f"{SVG}script"))
        assert nasty in "".join(root.itertext())


def test_every_picture_has_a_title_and_says_in_words_what_it_shows() -> None:
    for drawn, told in (
        (line_plot([Series("loss", [(0, 2.0), (5, 1.0)])], "t"), "loss from 2 to 1"),
        (interval_plot([Dot("tuned", 0.5, 0.4, 0.6)], "t", 0.9), "tuned 50.0 % (wanted 90.0 %)"),
        (grouped_plot([Group("Stage 1", [Dot("tuned", 0.5, 0.4, 0.6)], 0.9)], "t"), "Stage 1 (wanted 90.0 %)"),
        (bar_plot([("clear", 3)], "t"), "clear 3"),
        (matrix_plot(["after"], ["set"], {(0, 0): Cell(0.5, held=False)}, "t"), "after, set: 50.0 % (fell below)"),
        (span_plot([Span("sft", 0, 90)], "t"), "sft 90 s"),
    ):
        root = ElementTree.fromstring(drawn)
        assert root.findtext(f"{SVG}title") == "t"
        assert told in str(root.findtext(f"{SVG}desc"))
        assert root.get("role") == "img"


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
    assert grouped_plot([Group("empty", [])], "t") == ""
    assert bar_plot([], "t") == ""
    assert matrix_plot(["a"], ["b"], {}, "t") == ""
    assert span_plot([], "t") == ""


def test_a_rate_without_an_interval_gets_none_drawn() -> None:
    drawn = interval_plot([Dot("tuned", 0.5, None, None)], "t")
    assert 'stroke-width="3"' not in drawn
    assert drawn.count("<circle") == 1


def test_each_group_has_its_own_level() -> None:
    groups = [Group("1", [Dot("a", 0.5, 0.4, 0.6)], 0.95), Group("2", [Dot("a", 0.5, 0.4, 0.6)], 0.8)]
    root = ElementTree.fromstring(grouped_plot(groups, "t"))
    wanted = [line for line in root.iter(f"{SVG}line") if line.get("stroke-dasharray")]
    first, second = ({name: float(line.attrib[name]) for name in ("x1", "y1", "y2")} for line in wanted)
    assert first["x1"] > second["x1"]
    assert first["y2"] <= second["y1"]


def test_a_field_below_its_level_says_so_and_not_by_colour_alone() -> None:
    kept = matrix_plot(["after stage 2"], ["set 1"], {(0, 0): Cell(0.9, True, "-1.0 points")}, "t")
    lost = matrix_plot(["after stage 2"], ["set 1"], {(0, 0): Cell(0.9, False, "-1.0 points")}, "t")
    assert "below its level" not in kept
    assert "-1.0 points" in kept
    assert "below its level" in lost


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5)), min_size=1, max_size=20))
def test_bars_and_spans_stay_in_their_frame(spans: list[tuple[float, float]]) -> None:
    for drawn in (
        span_plot([Span("s", start, seconds) for start, seconds in spans], "t"),
        bar_plot([("b", seconds) for _, seconds in spans], "t"),
    ):
        for bar in ElementTree.fromstring(drawn).iter(f"{SVG}rect"):
            assert float(bar.attrib["x"]) >= 0
            assert float(bar.attrib["x"]) + float(bar.attrib["width"]) <= 640


@given(numbers, numbers)
def test_ticks_cover_the_data_with_few_round_numbers(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    found = ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    assert 2 <= len(found) <= 9
    assert found == sorted(set(found))

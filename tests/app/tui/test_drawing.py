"""What the pure drawing functions say about a state: unknown is said, a gate without a result is not passed."""

from __future__ import annotations

from decimal import Decimal

import pytest
import tui_samples as samples
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.state import AppState, CostView, LinkView
from app.tui import fmt
from app.tui.picture import Picture
from app.tui.series import KEEP, Series
from app.tui.theme import ASCII, UNICODE, wants_ascii
from app.tui.widgets.compact import compact_line
from app.tui.widgets.conditions import condition_line
from app.tui.widgets.cost_meter import per_hour, spent
from app.tui.widgets.gauge import gauge
from app.tui.widgets.header import top_line
from app.tui.widgets.run_panel import floor_percent, gate_line
from app.tui.widgets.signs import link_sign, verdict_sign
from app.tui.widgets.spark import spark
from app.tui.widgets.stage_bar import stage_bar


def at(state: AppState, now: float = samples.NOW) -> Picture:
    return Picture(state, now)


def test_an_unknown_price_is_a_question_mark_and_never_zero() -> None:
    assert per_hour(CostView(), samples.pod(cost_per_hour=None)) == "$?/h"
    assert spent(None, True, UNICODE) == "–"
    assert fmt.money(Decimal("0.004")) == "<$0.01"
    assert spent(Decimal("6.214"), True, UNICODE) == "≈$6.21"


def test_a_gate_without_a_result_reads_as_not_passed() -> None:
    run = samples.training_state().run
    assert run is not None
    assert "◇" in stage_bar(run, 80, UNICODE).plain
    assert "no result yet" in gate_line(at(samples.training_state()), run).plain
    everything_done = samples.RunScript(samples.up_state()).plan().done(*samples.STEPS).state.run
    assert everything_done is not None
    assert "✔" not in stage_bar(everything_done, 80, UNICODE).plain


@pytest.mark.parametrize("verdict", ["FAIL", "INCONCLUSIVE", "REGRESSION", "INVALID", "MISSING", "something new"])
def test_only_a_passed_gate_gets_the_sign_of_passing(verdict: str) -> None:
    assert "◆" not in verdict_sign(verdict, UNICODE).plain
    run = samples.finished_state(verdict).run
    assert run is not None
    assert "◆" not in stage_bar(run, 80, UNICODE).plain
    assert "✔" not in stage_bar(run, 80, UNICODE).plain
    assert "◆" in stage_bar(samples.finished_state().run or run, 80, UNICODE).plain


def test_a_condition_shows_strict_interval_and_lenient() -> None:
    line = condition_line("tuned", samples.RATES["tuned"], 36, UNICODE, None).plain
    assert line.split() == ["tuned", "68%", "60–76", "71%"]
    assert len(line) <= 36
    assert "not measured" in condition_line("tuned", None, 36, UNICODE, None).plain
    assert "not measured" in condition_line("tuned", {**samples.RATES["tuned"], "trials": 0}, 36, UNICODE, None).plain


def test_old_data_is_called_stale_and_never_shown_as_live() -> None:
    state = samples.training_state()
    assert "stale" not in top_line(at(state), 120).plain
    assert "stale 46s" in top_line(at(state, samples.NOW + 45), 120).plain
    assert at(state, samples.NOW + 45).pod_stale
    assert at(state, samples.NOW + 45).run_stale


def test_a_lost_link_says_when_it_is_tried_again() -> None:
    link = LinkView(state="retrying", error="gone", retry_at=samples.NOW + 8)
    assert link_sign(link, samples.NOW, UNICODE).plain == "ssh ✖ retry 8s"
    assert "unverified" in link_sign(LinkView(state="up", verified=False), samples.NOW, UNICODE).plain


def test_hundred_percent_is_said_of_the_whole_only() -> None:
    assert floor_percent(374 / 375) == "99%"
    assert floor_percent(1.0) == "100%"
    assert gauge(0.999, 10, UNICODE).plain != gauge(1.0, 10, UNICODE).plain


@given(st.one_of(st.none(), st.floats()), st.integers(1, 200))
def test_a_gauge_always_has_its_width(fraction: float | None, width: int) -> None:
    for glyphs in (UNICODE, ASCII):
        known = None if fraction is not None and fraction != fraction else fraction
        assert gauge(known, width, glyphs).cell_length == width


@given(st.lists(st.floats(-1e9, 1e9), max_size=300), st.integers(1, 80))
def test_a_spark_never_exceeds_its_width(values: list[float], width: int) -> None:
    assert spark(values, width, UNICODE).cell_length == min(len(values), width)


@given(st.one_of(st.none(), st.floats()))
def test_numbers_never_raise_and_unknown_is_a_dash(value: float | None) -> None:
    for say in (fmt.span, fmt.count, fmt.number, fmt.percent):
        assert say(value)
    assert fmt.span(None) == fmt.count(None) == fmt.number(None) == fmt.percent(None) == "–"


def test_durations_read_well() -> None:
    assert [fmt.span(s) for s in (0.84, 9.96, 59.6, 185, 4680, 183_600)] == [
        "0.8s",
        "10s",
        "1m00s",
        "3m05s",
        "1h18m",
        "2d03h",
    ]


def test_the_compact_line_fits_twenty_cells() -> None:
    for state in (samples.base_state(), samples.up_state(), samples.training_state(), samples.finished_state("FAIL")):
        lines = compact_line(at(state), 20, 5).split("\n")
        assert all(line.cell_length <= 20 for line in lines)
    assert "RUNNING" in compact_line(at(samples.training_state()), 20, 1).plain


def test_hostile_names_cannot_reach_the_terminal() -> None:
    evil = "\x1b]0;owned\x07[bold]x[/bold]\n"
    state = replace(samples.up_state(), project=evil, pod=samples.pod(name=evil, gpu=evil, gpu_count=1))
    assert top_line(at(state), 160).plain.count("\x1b") == 0
    assert "[bold]x[/bold]" in top_line(at(state), 160).plain


def test_ascii_is_drawn_where_nothing_else_can_be() -> None:
    assert wants_ascii({"MAXCAI_ASCII": "1"}, "utf-8")
    assert wants_ascii({}, "ANSI_X3.4-1968")
    assert not wants_ascii({"MAXCAI_ASCII": "0"}, "ascii")
    run = samples.finished_state().run
    assert run is not None
    assert stage_bar(run, 80, ASCII).plain.isascii()


@given(st.lists(st.integers(1, 50)))
def test_a_series_is_the_same_however_its_bytes_arrive(cuts: list[int]) -> None:
    script = samples.RunScript(samples.up_state()).plan().training()
    content, at_once, in_parts = b"".join(script.lines), Series(), Series()
    at_once.feed(content)
    start = 0
    for cut in [*cuts, len(content)]:
        in_parts.feed(content[start : start + cut])
        start += cut
    assert in_parts.values("stage-1/sft loss") == at_once.values("stage-1/sft loss")
    assert len(at_once.values("stage-1/sft loss")) == 40


def test_a_long_series_keeps_its_shape_in_bounded_room() -> None:
    series = Series()
    for x in range(10_000):
        series.feed(b'{"v":1,"seq":%d,"t":"","kind":"metric","step":"s","name":"l","value":%d,"x":%d}\n' % (x, x, x))
    values = series.values("s l")
    assert len(values) <= KEEP
    assert list(values) == sorted(values)
    assert values[0] == 0
    assert values[-1] > 9_900

"""The picture: reduce is total, idempotent by seq, and never shows the unknown as something known."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.events import Failed, JobReported, LinkChanged, Noted, PodsListed, Pulled, RunFollowed, RunLine
from app.reduce import NOTICES, reduce
from app.state import AppState, CostView, LinkView, PodView
from pipeline.protocol import EVENT_FIELDS, Event

START = AppState(project="p")


def pod(status: str = "RUNNING", pod_id: str = "local") -> PodView:
    return PodView(pod_id, pod_id, "local", status, None, None, Decimal(0), "127.0.0.1", 4022, 1.0)


def line(seq: int, kind: str, **data: Any) -> RunLine:
    return RunLine("R", Event(seq, "2026-01-01T00:00:00Z", kind, data).to_line())


def following(*events: Any) -> AppState:
    state = reduce(START, RunFollowed("R", "demo", "local"))
    for event in events:
        state = reduce(state, event)
    return state


def started(seq: int = 0) -> RunLine:
    return line(seq, "run_started", run_id="R", recipe="demo", steps=["stage-1/a", "stage-1/b"])


def test_the_first_event_counts_even_when_numbering_begins_at_nought() -> None:
    run = following(started(0)).run
    assert run is not None
    assert (run.state, [s.step for s in run.steps], run.started_at) == (
        "running",
        ["stage-1/a", "stage-1/b"],
        1767225600.0,
    )


def test_an_event_read_twice_counts_once() -> None:
    warning = line(1, "warning", code="c", text="too slow", remedy="wait")
    once, twice = following(started(), warning), following(started(), warning, started(), warning)
    assert twice == once


def test_a_step_goes_from_planned_to_done_and_forgets_its_eta() -> None:
    state = following(
        started(),
        line(1, "step_started", step="stage-1/a", attempt=1, forecast_s=10),
        line(2, "progress", step="stage-1/a", done=3, total=9, unit="items", rate=1.5, eta_s=4.0),
    )
    assert state.run is not None
    step = state.run.steps[0]
    assert (step.state, step.done, step.total, step.eta_s) == ("running", 3, 9, 4.0)
    state = reduce(state, line(3, "step_finished", step="stage-1/a", state="done", seconds=6.0))
    assert state.run is not None
    assert (state.run.steps[0].state, state.run.steps[0].seconds, state.run.steps[0].eta_s) == ("done", 6.0, None)


def test_a_gate_shows_its_rates_and_leaves_out_what_is_no_rate() -> None:
    rate = {"successes": 1, "trials": 2, "low": 0.1, "high": 0.9, "lenient_successes": 2}
    state = following(
        line(0, "gate", stage=1, name="explicit", verdict="FAIL", rates={"tuned": rate, "bad": {"trials": 3}})
    )
    assert state.run is not None
    assert state.run.gates[0].verdict == "FAIL"
    assert dict(state.run.gates[0].rates) == {"tuned": rate}
    assert state.run.gates[0].threshold is None


@pytest.mark.parametrize(
    ("decides", "shown"), [({}, 0.8), ({"level_decides": True}, 0.8), ({"level_decides": False}, None)]
)
def test_a_threshold_that_decides_nothing_is_not_shown_as_one(decides: dict[str, bool], shown: float | None) -> None:
    told = line(0, "gate", stage=6, name="constitution", verdict="PASS", rate=0.3, threshold=0.8, **decides)
    state = following(told)
    assert state.run is not None
    assert state.run.gates[0].threshold == shown


def test_a_later_attempt_of_a_gate_is_shown_beside_the_first_and_a_repeat_replaces_it() -> None:
    gates = [
        line(i, "gate", stage=1, name="e", attempt=a, verdict=v)
        for i, (a, v) in enumerate([(1, "FAIL"), (2, "FAIL"), (2, "PASS")])
    ]
    state = following(*gates)
    assert state.run is not None
    assert [(g.attempt, g.verdict) for g in state.run.gates] == [(1, "FAIL"), (2, "PASS")]


def test_a_process_killed_without_a_word_is_lost_and_its_step_is_to_be_done_again() -> None:
    state = following(started(), line(1, "step_started", step="stage-1/a", attempt=1), JobReported("R", "exited", -9))
    assert state.run is not None
    assert (state.run.state, state.run.exit_code, state.run.steps[0].state) == ("lost", -9, "planned")
    assert "signal 9" in (state.run.reason or "")


def test_a_process_that_ends_with_a_code_and_no_word_has_failed() -> None:
    run = following(started(), JobReported("R", "exited", 1)).run
    assert run is not None
    assert run.state == "failed"


def test_the_runs_own_word_wins_over_the_exit_code() -> None:
    finished = line(1, "run_finished", state="finished", exit_code=5, reason="gate FAIL")
    run = following(started(), finished, JobReported("R", "exited", 5)).run
    assert run is not None
    assert (run.state, run.exit_code) == ("finished", 5)


def test_a_running_run_on_a_stopped_pod_is_lost() -> None:
    state = following(started(), PodsListed((pod("STOPPED"),), 5.0))
    assert state.run is not None
    assert (state.run.state, state.link.state) == ("lost", "down")


def test_keys_act_on_the_pod_that_is_not_off() -> None:
    """A pod that is off stays chosen only as long as no other of ours runs."""
    first, second = (replace(pod("RUNNING"), id=name, name=name) for name in ("a", "b"))
    off = replace(first, status="STOPPED")

    def chosen(state: AppState, *pods: PodView) -> tuple[AppState, str]:
        after = reduce(state, PodsListed(pods, 1.0))
        assert after.pod is not None
        return after, after.pod.id

    state, name = chosen(AppState("p"), first, second)
    assert name == "a"
    state, name = chosen(state, second, first)  # both run: the one that was shown stays
    assert name == "a"
    state, name = chosen(state, off, second)
    assert name == "b"
    state, name = chosen(state, first, second)
    assert name == "b"
    state, name = chosen(state, off, replace(second, status="RESUME_BLOCKED"))
    assert name == "b"
    state, name = chosen(state, replace(first, ours=False), replace(second, status="STOPPED"))
    assert name == "b"  # somebody else's is none of ours, whatever it does


def test_an_unknown_pod_state_leaves_the_run_alone() -> None:
    run = following(started(), PodsListed((pod("UNKNOWN"),), 5.0)).run
    assert run is not None
    assert run.state == "running"


def test_a_resumed_run_is_running_again_and_not_home() -> None:
    run = following(started(), line(1, "run_finished", state="stopped", exit_code=1), Pulled("R"), started(2)).run
    assert run is not None
    assert (run.state, run.exit_code, run.finished_at, run.pulled) == ("running", None, None, False)


def test_events_of_another_run_change_nothing() -> None:
    state = following(started())
    assert reduce(state, RunLine("other", started(9).line)) is state


def test_following_another_run_starts_from_nothing() -> None:
    state = reduce(following(started()), RunFollowed("S"))
    assert state.run is not None
    assert (state.run.run_id, state.run.steps, state.run.state) == ("S", (), "pending")


def test_the_link_shows_when_it_is_tried_again() -> None:
    state = reduce(START, Failed("link", "refused", 8.0, 100.0))
    assert (state.link.state, state.link.retry_at, state.link.error) == ("retrying", 108.0, "refused")


def test_a_service_that_fails_on_and_on_is_told_once() -> None:
    state = START
    for second in range(5):
        state = reduce(state, Failed("pods", "no answer", 1.0, float(second)))
    assert len(state.notices) == 1


def test_what_changes_nothing_returns_the_same_object() -> None:
    state = reduce(START, LinkChanged(LinkView("up")))
    assert reduce(state, LinkChanged(LinkView("up"))) is state


def test_notices_are_bounded() -> None:
    state = START
    for second in range(NOTICES + 50):
        state = reduce(state, Noted("info", str(second), float(second)))
    assert len(state.notices) == NOTICES
    assert state.notices[-1].text == str(NOTICES + 49)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted({name for fields in EVENT_FIELDS.values() for name in fields})
lines = st.builds(
    lambda seq, t, kind, data: json.dumps({**data, "v": 1, "seq": seq, "t": t, "kind": kind}).encode(),
    st.integers(-3, 30),
    st.sampled_from(["2026-01-01T00:00:00Z", "", "yesterday", "9999-12-31T23:59:59.999999Z"]),
    st.sampled_from([*EVENT_FIELDS, "unheard-of"]),
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=8),
)


@settings(deadline=None)
@given(st.lists(lines | st.binary(max_size=40), max_size=20))
def test_any_line_whatever_is_survived_and_seq_never_falls(found: list[bytes]) -> None:
    state = reduce(START, RunFollowed("R"))
    seq = -1
    for raw in found:
        state = reduce(state, RunLine("R", raw))
        assert state.run is not None
        assert state.run.seq >= seq
        seq = state.run.seq


@pytest.mark.parametrize("raw", [b'{"v":1,"seq":0,"t":"x","kind":"progress","step":"a","done":1e400}', b"[" * 100_000])
def test_hostile_numbers_and_nesting_are_survived(raw: bytes) -> None:
    assert reduce(following(), RunLine("R", raw)).run is not None


def test_the_cost_at_the_end_counts_the_disks_and_is_unknown_as_soon_as_a_part_is() -> None:
    cost = CostView(Decimal("1.5"), Decimal(1), disks=Decimal("0.5"))
    assert cost.at_end(1800.0) == 2
    assert cost.at_end(-5.0) == 1
    assert cost.at_end(None) is None
    for part in ("session", "per_hour", "disks"):
        assert replace(cost, **{part: None}).at_end(1800.0) is None

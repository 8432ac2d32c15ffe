"""Money is exact, and what is not known is never shown as nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from remote.money.billing import SETTLED_S, attribute
from remote.money.costs import Billed, Ledger, Row
from remote.money.sessions import times
from remote.pods.model import BillingRecord, LogLine, Pod, PodSession, PodStatus, VolumeKind

POD = Pod(
    "p1", "trainer", "local", PodStatus.RUNNING, "/workspace", "python3",
    gpu="A100", gpu_count=1, price_per_hour=Decimal("1.74"), started_at=1000.0,
)  # fmt: skip
STOPPED = replace(POD, status=PodStatus.STOPPED)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path)


def test_an_open_row_accrues_to_the_second_and_a_closed_one_stands_still(ledger: Ledger) -> None:
    ledger.open(POD)
    assert ledger.session_cost(POD, 1000.0) == 0
    assert ledger.session_cost(POD, 2800.0) == Decimal("0.87")
    assert ledger.session_cost(POD, 1000.1) == Decimal("1.74") * Decimal("0.1") / 3600
    assert POD.session
    ledger.close(POD.session, 4600.0, "stopped")
    ledger.close(POD.session, 9999.0, "stopped twice")
    assert ledger.session_cost(POD, 99_999.0) == Decimal("1.74")
    assert ledger.total(99_999.0) == Decimal("1.74")


def test_a_row_is_opened_once_for_a_session(ledger: Ledger) -> None:
    for _ in range(3):
        ledger.open(POD)
    ledger.open(replace(POD, started_at=5000.0))
    assert [row.session.started_at for row in ledger.rows()] == [1000.0, 5000.0]


def test_an_unknown_price_is_an_unknown_cost_never_zero(ledger: Ledger) -> None:
    unpriced = replace(POD, id="p2", price_per_hour=None)
    ledger.open(POD)
    ledger.open(unpriced)
    assert ledger.session_cost(unpriced, 2800.0) is None
    assert ledger.total(2800.0) is None
    assert ledger.known_total(2800.0) == (Decimal("0.87"), 1)
    assert ledger.session_cost(replace(POD, id="p3"), 2800.0) is None


def test_a_clock_that_went_back_costs_nothing_negative(ledger: Ledger) -> None:
    ledger.open(POD)
    assert ledger.session_cost(POD, 10.0) == 0
    assert POD.session
    ledger.close(POD.session, 10.0, "stopped")
    assert ledger.total(99.0) == 0


def test_rows_survive_a_torn_last_line(ledger: Ledger, tmp_path: Path) -> None:
    ledger.open(POD)
    path = tmp_path / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + b'{"event":"close","row":"p1@1000.0","stop')
    assert ledger.total(2800.0) == Decimal("0.87")
    assert POD.session
    ledger.close(POD.session, 4600.0, "stopped")
    assert ledger.total(99_999.0) == Decimal("1.74")
    assert path.stat().st_mode & 0o777 == 0o600


def test_reconcile_opens_a_row_for_a_running_pod_that_has_none(ledger: Ledger) -> None:
    assert ledger.reconcile([POD], 2000.0) == []
    assert ledger.session_cost(POD, 2800.0) == Decimal("0.87")


def test_reconcile_closes_a_stopped_session_when_it_stopped(ledger: Ledger) -> None:
    ledger.open(POD)
    (closed,) = ledger.reconcile([replace(STOPPED, stopped_at=4600.0)], 50_000.0)
    assert closed.stopped_at == 4600.0
    assert ledger.total(99_999.0) == Decimal("1.74")


def test_an_end_that_nobody_saw_is_an_upper_bound_and_says_so(ledger: Ledger) -> None:
    ledger.open(POD)
    (closed,) = ledger.reconcile([STOPPED], 4600.0)
    assert closed.stopped_at == 4600.0
    assert "upper bound" in (closed.why or "")


def test_a_later_session_ends_the_earlier_one(ledger: Ledger) -> None:
    ledger.open(POD)
    (closed,) = ledger.reconcile([replace(POD, started_at=4600.0)], 50_000.0)
    assert closed.stopped_at == 4600.0
    assert [row.open for row in ledger.rows()] == [False, True]


def test_one_list_without_the_pod_closes_nothing_two_do(ledger: Ledger) -> None:
    ledger.open(POD)
    assert ledger.reconcile([], 3000.0, ["local"]) == []
    assert ledger.reconcile([POD], 3500.0) == []  # it was only a bad reading
    assert ledger.reconcile([], 4600.0, ["local"]) == []
    (closed,) = ledger.reconcile([], 9000.0, ["local"])
    assert closed.stopped_at == 4600.0


def test_a_provider_that_was_not_asked_and_an_unknown_state_close_nothing(ledger: Ledger) -> None:
    ledger.open(POD)
    for now in (3000.0, 4000.0, 5000.0):
        assert ledger.reconcile([], now) == []
        assert ledger.reconcile([replace(POD, status=PodStatus.UNKNOWN, started_at=None)], now) == []
    assert [row.open for row in ledger.rows()] == [True]


def test_a_stopped_pod_without_a_row_gets_none(ledger: Ledger) -> None:
    ledger.reconcile([STOPPED, replace(POD, id="p2", status=PodStatus.STOPPED, started_at=None)], 3000.0)
    assert ledger.rows() == []
    assert ledger.total(3000.0) == 0


@pytest.mark.parametrize("damage", [b"\xff\xfe garbage", b'{"v":1,"event":}', b"[]", b"[" * 100_000, b"null"])
def test_a_damaged_line_makes_the_total_unknown_and_a_torn_one_does_not(
    ledger: Ledger, tmp_path: Path, damage: bytes
) -> None:
    ledger.open(POD)
    path = tmp_path / "ledger.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])  # a write that was interrupted
    assert ledger.damaged() == 0
    assert ledger.rows() == []
    ledger.open(POD)
    assert ledger.total(2800.0) == Decimal("0.87")
    with path.open("ab") as file:
        file.write(damage + b"\n")
    assert ledger.damaged() == 1
    assert ledger.total(2800.0) is None
    assert ledger.known_total(2800.0) == (Decimal("0.87"), 1)
    assert ledger.session_cost(POD, 2800.0) == Decimal("0.87")


@pytest.mark.parametrize(
    "nonsense",
    [
        {"price": "NaN"},
        {"price": "-1"},
        {"price": [1]},
        {"started_at": float("inf")},
        {"gpu_count": "x"},
        {"event": "close"},
    ],
)
def test_values_that_make_no_sense_never_become_money(
    ledger: Ledger, tmp_path: Path, nonsense: dict[str, object]
) -> None:
    ledger.open(POD)
    path = tmp_path / "ledger.jsonl"
    path.write_text(json.dumps({**json.loads(path.read_text()), **nonsense}) + "\n")
    assert ledger.rows() == []
    assert ledger.total(2000.0) is None


# --- disks, ends that are learned better, and what was billed ----------------------------------------------------

RENTED = replace(POD, provider="runpod", disk_gb=73, volume=VolumeKind.PERSISTENT, volume_gb=730)
HOUR = 3600.0


def test_a_rented_session_costs_its_disks_too_and_a_stopped_one_its_volume(ledger: Ledger) -> None:
    ledger.open(RENTED)
    (row,) = ledger.rows()
    now = 1000 + HOUR
    assert (row.compute(now), row.disk(now), row.cost(now)) == (Decimal("1.74"), Decimal("0.11"), Decimal("1.85"))
    ledger.close(row.session, now, "stopped")
    (row,) = ledger.rows()
    assert (row.cost(now + 9 * HOUR), row.kept(now + 10 * HOUR)) == (Decimal("1.85"), Decimal("2.0"))
    assert ledger.total(now + 10 * HOUR) == Decimal("3.85")


def test_a_stopped_volume_costs_until_the_next_start_or_the_pods_end(ledger: Ledger) -> None:
    ledger.open(RENTED)
    assert RENTED.session
    ledger.close(RENTED.session, 1000 + HOUR, "stopped")
    later = replace(RENTED, started_at=1000 + 3 * HOUR)
    ledger.open(later)
    first, second = ledger.rows()
    assert first.kept(1000 + 99 * HOUR) == Decimal("0.4")
    ledger.gone("p1", 1000 + 4 * HOUR, "terminated")
    first, second = ledger.rows()
    assert (second.stopped_at, second.kept(1000 + 99 * HOUR)) == (1000 + 4 * HOUR, 0)
    assert ledger.total(1e9) == Decimal("1.85") * 2 + Decimal("0.4")


def test_a_stopped_pod_that_vanishes_ceases_to_cost_after_two_lists_without_it(ledger: Ledger) -> None:
    ledger.open(RENTED)
    assert RENTED.session
    ledger.close(RENTED.session, 1000 + HOUR, "stopped")
    ledger.reconcile([], 1000 + 2 * HOUR, ["runpod"])
    assert ledger.rows()[0].keeps
    assert ledger.reconcile([], 1000 + 5 * HOUR, ["runpod"]) == []
    assert ledger.rows()[0].kept(1e9) == Decimal("0.2")


def test_disks_that_are_not_told_make_the_cost_unknown_unless_an_earlier_session_told_them(ledger: Ledger) -> None:
    bare = replace(RENTED, disk_gb=None, volume=None, volume_gb=None)
    ledger.open(bare)
    assert ledger.total(5000.0) is None
    assert ledger.costs(5000.0).unknown == 1
    ledger.open(replace(RENTED, id="p2"))
    ledger.open(replace(bare, id="p2", started_at=2000.0))
    assert ledger.rows()[2].disk(2000 + HOUR) == Decimal("0.11")


def test_a_price_that_is_told_later_counts_from_the_start(ledger: Ledger) -> None:
    ledger.reconcile([replace(POD, price_per_hour=None)], 1500.0)
    assert ledger.total(2000.0) is None
    ledger.reconcile([POD], 2000.0)
    assert ledger.total(2800.0) == Decimal("0.87")


def test_an_exact_end_replaces_an_upper_bound_and_never_the_other_way_round(ledger: Ledger) -> None:
    ledger.open(POD)
    assert POD.session
    ledger.reconcile([STOPPED], 9000.0)
    assert ledger.rows()[0].bound
    ledger.close(POD.session, 9500.0, "later than the bound")
    ledger.close(POD.session, 4600.0, "its watchdog says so")
    ledger.close(POD.session, 2800.0, "too late")
    (row,) = ledger.rows()
    assert (row.stopped_at, row.bound, row.why) == (4600.0, False, "its watchdog says so")


def test_a_session_that_was_closed_by_mistake_goes_on_costing(ledger: Ledger) -> None:
    ledger.open(POD)
    ledger.reconcile([], 2000.0, ["local"])
    ledger.reconcile([], 3000.0, ["local"])
    assert [row.open for row in ledger.rows()] == [False]
    ledger.reconcile([POD], 4600.0)
    assert [row.open for row in ledger.rows()] == [True]
    assert ledger.total(4600.0) == Decimal("1.74")


def test_one_late_reading_after_a_stop_reopens_nothing(ledger: Ledger) -> None:
    ledger.open(POD)
    assert POD.session
    ledger.close(POD.session, 4600.0, "stopped")
    ledger.reconcile([POD], 4602.0)
    assert ledger.total(99_999.0) == Decimal("1.74")
    ledger.reconcile([POD], 4700.0)
    assert ledger.rows()[0].open


def test_spending_since_a_time_leaves_out_what_was_before(ledger: Ledger) -> None:
    ledger.open(RENTED)
    assert RENTED.session
    ledger.close(RENTED.session, 1000 + 2 * HOUR, "stopped")
    assert ledger.spent(1000 + HOUR, 1000 + 2 * HOUR) == Decimal("1.85")
    assert ledger.spent(1000 + HOUR, 1000 + 3 * HOUR) == Decimal("2.05")
    assert ledger.spent(1000 + 2.5 * HOUR, 1000 + 3 * HOUR) == Decimal("0.1")
    assert ledger.spent(0.0, 1000 + 2 * HOUR, "p9") == 0
    assert ledger.spent(0.0, 1000 + 2 * HOUR, "p1") == Decimal("3.7")


def test_rows_of_before_disks_were_written_down_still_count(ledger: Ledger, tmp_path: Path) -> None:
    old = {"v": 1, "event": "open", "row": "p1@1000.0", "pod": "p1", "started_at": 1000.0, "provider": "local"}
    (tmp_path / "ledger.jsonl").write_text(
        json.dumps({**old, "name": "n", "gpu": None, "gpu_count": 0, "price": "1.74"}) + "\n"
    )
    assert ledger.total(4600.0) == Decimal("1.74")


# --- billing -----------------------------------------------------------------------------------------------------


def record(start: float, gpu: str, disk: str = "0", pod: str = "p1") -> BillingRecord:
    return BillingRecord(
        pod, start, start + HOUR, Decimal(gpu) + Decimal(disk), Decimal(gpu), Decimal(0), Decimal(disk)
    )


def closed(ledger: Ledger, start: float, end: float) -> Row:
    pod = replace(RENTED, started_at=start)
    ledger.open(pod)
    assert pod.session
    ledger.close(pod.session, end, "stopped")
    return next(row for row in ledger.rows() if row.session == pod.session)


def test_billed_hours_are_divided_among_the_sessions_in_them_and_stopped_disks_get_their_part(ledger: Ledger) -> None:
    first, second = closed(ledger, 0.0, 1800.0), closed(ledger, 2700.0, 5400.0)
    disks = Decimal("0.055") + Decimal("0.05") + Decimal("0.0275")
    records = [record(0.0, "1.305", str(disks)), record(HOUR, "0.87", "0.055")]
    found = attribute(ledger.rows(), records, 1e6)
    assert found.sessions[first.session].compute == Decimal("0.87")
    assert found.sessions[second.session].compute == Decimal("1.305")
    assert abs(found.sessions[first.session].disk - Decimal("0.055")) < Decimal("1e-9")
    everything = sum(billed.total for billed in found.sessions.values()) + found.storage
    assert everything == sum((one.total or 0) for one in records)


def test_billing_of_a_time_for_which_no_session_is_known_is_shown_not_dropped(ledger: Ledger) -> None:
    closed(ledger, 0.0, 1800.0)
    lost = record(9 * HOUR, "1", pod="p7")
    found = attribute(ledger.rows(), [record(0.0, "0.87"), lost, BillingRecord("p1", 0.0, HOUR, None)], 1e6)
    assert (found.stray, found.unread) == ((lost,), 1)


def test_a_session_is_settled_only_a_while_after_its_end(ledger: Ledger) -> None:
    row = closed(ledger, 0.0, 1800.0)
    for now, final in ((1800.0, False), (1800.0 + SETTLED_S, True)):
        billed = attribute(ledger.rows(), [record(0.0, "0.8")], now).sessions[row.session]
        assert billed == Billed(Decimal("0.8"), Decimal(0), final)
        ledger.note_billed(row.session, billed)
        costs = ledger.costs(1800.0)
        assert (costs.estimated, costs.billed) == (not final, Decimal("0.8") if final else 0)
    assert ledger.rows()[0].best(1e9) == Decimal("0.8")
    assert ledger.costs(1800.0).difference == Decimal("0.8") - Decimal("0.87") - Decimal("0.055")


def test_what_was_billed_is_written_once(ledger: Ledger, tmp_path: Path) -> None:
    row = closed(ledger, 0.0, 1800.0)
    for _ in range(3):
        ledger.note_billed(row.session, Billed(Decimal(1), Decimal(0), False))
    assert (tmp_path / "ledger.jsonl").read_text().count('"billed"') == 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(1, 5000), st.floats(1, 5000)), min_size=1, max_size=5), st.floats(0, 3))
def test_attributed_amounts_always_add_up_to_what_was_billed(stretches: list[tuple[float, float]], rate: float) -> None:
    rows, at = [], 0.0
    for pause, length in stretches:
        session = PodSession("p1", at + pause)
        at += pause + length
        rows.append(Row(session, "runpod", "n", None, 1, Decimal(1), at, disk_gb=10, volume=VolumeKind.NETWORK))
    records = [record(HOUR * hour, str(round(rate, 6)), "0.01") for hour in range(int(at // HOUR) + 1)]
    found = attribute(rows, records, 1e9)
    stray = sum((one.total or Decimal(0)) for one in found.stray)
    given_out = sum((billed.total for billed in found.sessions.values()), Decimal(0)) + found.storage
    assert abs(given_out + stray - sum((one.total or Decimal(0)) for one in records)) < Decimal("1e-20")


# --- the provider's own log --------------------------------------------------------------------------------------


def line(at: float, text: str) -> LogLine:
    return LogLine(text, at, "system")


def test_the_log_tells_when_a_container_began_and_ended_and_its_pull_is_not_billed(ledger: Ledger) -> None:
    row = closed(ledger, 1000.0, 5000.0)
    lines = [line(900, "stop container"), line(1000, "create container x"), line(1300, "start container"),
             line(4900, "stop container")]  # fmt: skip
    assert times(row, ledger.rows(), lines) == (1300.0, 4900.0)
    ledger.logged(row.session, 1300.0, 4900.0)
    assert ledger.rows()[0].compute(1e9) == Decimal("1.74")
    later = closed(ledger, 6000.0, 7000.0)
    assert times(row, ledger.rows(), [*lines, line(6010, "start container")]) == (1300.0, 4900.0)
    assert times(later, ledger.rows(), [*lines, line(6010, "start container")]) == (6010.0, None)
    assert times(later, ledger.rows(), lines) == (None, None)


def test_a_restart_without_a_pause_is_billed_through() -> None:
    rows = [
        Row(PodSession("p1", 1000.0), "runpod", "n", None, 1, Decimal(1), 2000.0),
        Row(PodSession("p1", 2000.0), "runpod", "n", None, 1, Decimal(1)),
    ]
    assert times(rows[1], rows, [line(2030, "start container")]) == (2000.0, None)


def test_an_open_row_is_not_closed_by_a_log(ledger: Ledger) -> None:
    ledger.open(RENTED)
    assert RENTED.session
    ledger.logged(RENTED.session, 1300.0, 4900.0)
    (row,) = ledger.rows()
    assert (row.open, row.began, row.logged) == (True, 1300.0, True)
    ledger.close(RENTED.session, 6000.0, "stopped")
    ledger.logged(RENTED.session, None, 4900.0)
    (row,) = ledger.rows()
    assert (row.stopped_at, row.began) == (4900.0, 1300.0)


def test_a_row_that_goes_on_after_its_bill_was_final_costs_again(tmp_path: Path) -> None:
    ledger, pod = Ledger(tmp_path), replace(POD, started_at=1000.0, price_per_hour=Decimal(2), disk_gb=0)
    ledger.open(pod)
    for now in (4600.0, 4640.0):  # two lists lack it
        ledger.reconcile([], now, [pod.provider])
    assert pod.session is not None
    ledger.note_billed(pod.session, Billed(Decimal(2), Decimal(0), True))
    ledger.reconcile([pod], 8200.0, [pod.provider])
    day = 1000.0 + 24 * 3600
    (row,) = ledger.rows()
    assert row.open
    assert ledger.total(day) == ledger.session_cost(pod, day) == row.cost(day)
    assert (row.cost(day) or 0) > 40

"""Money is exact, and what is not known is never shown as nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from remote.costs import Ledger
from remote.pods.model import Pod, PodStatus

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

"""What is spent, how long it lasts and what a budget allows; what is not known never looks like enough."""

from __future__ import annotations

from datetime import UTC
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from remote.errors import BudgetError, ConfigError
from remote.money.rules import (
    Budgets,
    Burn,
    Level,
    Spent,
    at_zero,
    burn,
    check,
    day_start,
    require,
    runway,
)
from remote.pods.model import Balance, Pod, PodStatus, Volume, VolumeKind

POD = Pod(
    "p1", "trainer", "runpod", PodStatus.RUNNING, "/workspace", "python3", price_per_hour=Decimal("1.74"),
    disk_gb=73, volume=VolumeKind.PERSISTENT, volume_gb=730, started_at=1000.0,
)  # fmt: skip
STOPPED = replace(POD, status=PodStatus.STOPPED)
ON_NETWORK = replace(POD, volume=VolumeKind.NETWORK, volume_id="v1", volume_gb=None)


def balance(amount: str | None, spend: str | None = None, at: float = 0.0) -> Balance:
    return Balance(
        None if amount is None else Decimal(amount), None if spend is None else Decimal(spend), Decimal(80), at
    )


def test_a_running_pod_costs_its_machine_and_both_its_disks() -> None:
    spending = burn("runpod", [POD], [])
    assert (spending.compute, spending.disks) == (Decimal("1.74"), Decimal("0.11"))
    assert spending.per_hour == Decimal("1.85")


def test_a_stopped_pod_costs_twice_for_its_own_volume_and_nothing_for_its_container() -> None:
    assert burn("runpod", [STOPPED], []).per_hour == Decimal("0.20")
    assert burn("runpod", [replace(STOPPED, volume=VolumeKind.NONE, volume_gb=None)], []).per_hour == 0
    assert burn("runpod", [replace(STOPPED, status=PodStatus.GONE)], []).per_hour == 0


def test_the_price_that_a_stopped_pod_still_shows_is_not_counted() -> None:
    assert STOPPED.price_per_hour == Decimal("1.74")
    assert burn("runpod", [STOPPED], []).compute == 0


def test_network_volumes_cost_less_beyond_the_first_terabyte() -> None:
    assert burn("runpod", [], [Volume("v", "data", 730, "EU")]).per_hour == Decimal("0.07")
    assert burn("runpod", [], [Volume("v", "data", 1730, "EU")]).volumes * 730 == 1000 * Decimal("0.07") + Decimal(
        "36.5"
    )


@pytest.mark.parametrize(
    ("pods", "volumes", "reason"),
    [
        ([replace(POD, price_per_hour=None)], [], "price of pod trainer"),
        ([replace(POD, volume=None, volume_gb=None)], [], "disks of pod trainer"),
        ([replace(POD, disk_gb=None)], [], "disks of pod trainer"),
        ([replace(POD, status=PodStatus.UNKNOWN)], [], "state of pod trainer"),
        ([POD], None, "could not be listed"),
        ([POD], [Volume("v", "fast", 10, "EU", "HIGH_PERFORMANCE")], "HIGH_PERFORMANCE"),
    ],
)
def test_what_cannot_be_counted_leaves_no_sum_and_is_named(
    pods: list[Pod], volumes: list[Volume] | None, reason: str
) -> None:
    spending = burn("runpod", pods, volumes)
    assert spending.per_hour is None
    assert reason in " ".join(spending.unknown)


def test_the_embedded_pod_costs_only_its_price() -> None:
    pod = replace(POD, provider="local", disk_gb=None, volume_gb=None, price_per_hour=Decimal(0))
    assert burn("local", [pod], None).per_hour == 0
    assert at_zero(pod) is None


def test_the_runway_is_the_balance_over_the_faster_of_both_spend_rates() -> None:
    spending = Burn(compute=Decimal("1.74"))
    assert runway(balance("1.74", "0.005"), spending, 0.0).seconds == 3600.0
    assert runway(balance("3.48", "3.48"), spending, 0.0).seconds == 3600.0
    assert runway(balance("1.74", "1.74", at=100.0), spending, 700.0).seconds == 3000.0


@pytest.mark.parametrize(
    ("amount", "level"),
    [
        ("100", Level.OK),
        ("1.01", Level.OK),
        ("1", Level.WARN),
        ("0.25", Level.STOP),
        ("0", Level.STOP),
        ("-3", Level.STOP),
    ],
)
def test_a_person_is_warned_an_hour_and_a_quarter_before_the_money_is_gone(amount: str, level: Level) -> None:
    assert runway(balance(amount, "1"), Burn(), 0.0).level is level


def test_an_unknown_balance_is_not_fine_and_the_stated_budget_stands_in() -> None:
    spending = Burn(compute=Decimal(2))
    for unread in (None, balance(None, "2")):
        assert runway(unread, spending, 0.0).level is Level.UNKNOWN
        found = runway(unread, spending, 0.0, budget_left=Decimal(4))
        assert (found.seconds, found.basis) == (7200.0, "budget")
    unknown = Burn(unknown=("the price of pod x is not told",))
    assert runway(None, unknown, 0.0, budget_left=Decimal(4)).why == "the price of pod x is not told"
    assert runway(balance("4"), unknown, 0.0).level is Level.UNKNOWN
    assert runway(balance("4", "2"), unknown, 0.0).seconds == 7200.0


def test_nothing_spent_lasts_for_ever_and_says_so() -> None:
    found = runway(balance("5", "0"), Burn(), 0.0)
    assert (found.seconds, found.endless, found.level) == (None, True, Level.OK)


def test_what_happens_at_zero_depends_on_the_volume() -> None:
    assert "terminated" in str(at_zero(POD))
    assert "terminated" in str(at_zero(STOPPED))
    assert "stopped" in str(at_zero(ON_NETWORK)) and "terminated" not in str(at_zero(ON_NETWORK))
    assert "unless" in str(at_zero(replace(POD, volume=None)))
    assert at_zero(replace(POD, status=PodStatus.GONE)) is None


@pytest.mark.parametrize(
    ("spent", "level"),
    [
        ("0", Level.OK),
        ("7.99", Level.OK),
        ("8", Level.WARN),
        ("9.99", Level.WARN),
        ("10", Level.STOP),
        (None, Level.UNKNOWN),
    ],
)
def test_budgets_warn_at_80_percent_and_stop_at_100(spent: str | None, level: Level) -> None:
    (state,) = check(Budgets(day=Decimal(10)), Spent(day=None if spent is None else Decimal(spent)))
    assert state.level is level
    if level in (Level.STOP, Level.UNKNOWN):
        with pytest.raises(BudgetError):
            require([state])
    else:
        require([state])


def test_only_budgets_that_are_set_are_watched_and_nonsense_is_refused() -> None:
    assert [state.name for state in check(Budgets(run=Decimal(1), total=Decimal(2)), Spent())] == ["run", "total"]
    assert check(Budgets(), Spent()) == ()
    for wrong in ("0", "-1", "NaN", "Infinity"):
        with pytest.raises(ConfigError):
            Budgets(total=Decimal(wrong))


def test_a_day_begins_at_midnight() -> None:
    assert day_start(86400.0 * 3 + 5.5, UTC) == 86400.0 * 3


MONEY = st.decimals(min_value=-1000, max_value=1000, allow_nan=False, allow_infinity=False, places=6)


@given(st.none() | MONEY, st.none() | MONEY, st.booleans(), MONEY)
def test_no_combination_of_readings_makes_an_unknown_runway_look_fine(
    amount: Decimal | None, spend: Decimal | None, hidden: bool, compute: Decimal
) -> None:
    spending = Burn(compute=abs(compute), unknown=("hidden",) if hidden else ())
    found = runway(Balance(amount, spend, None, 0.0), spending, 0.0)
    if amount is None or (amount > 0 and spend is None and hidden):
        assert found.level is Level.UNKNOWN
    assert not (hidden and found.endless)
    if found.level is Level.OK and not found.endless:
        assert found.seconds is not None and found.seconds > 3600

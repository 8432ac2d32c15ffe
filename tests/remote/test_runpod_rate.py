"""The quota as the headers tell it, and the silences that are kept."""

from __future__ import annotations

import pytest
from runpod_payloads import NOW, POD, RATE_HEADERS, RUNNING, ok, problem, provider

from remote.errors import RateLimited
from remote.pods.runpod.rate import NO_HINT_S, RateBudget, retry_after

HEADERS = RATE_HEADERS


async def test_a_replys_headers_fill_the_budget() -> None:
    runpod, _, _ = provider(ok(RUNNING, headers=HEADERS))
    await runpod.get(POD)
    assert [(w.name, w.left, w.quota, w.resets_at - NOW) for w in runpod.budget.windows] == [
        ("minute", 58, 60, 12), ("hour", 2800, 3000, 1812), ("day", 49500, 50000, 45012),
    ]  # fmt: skip
    assert runpod.budget.fraction(NOW) == pytest.approx(2800 / 3000)


def test_what_was_known_of_a_window_ends_with_it() -> None:
    budget = RateBudget()
    budget.read({"RateLimit": '"minute";r=3;t=12', "RateLimit-Policy": '"minute";q=60;w=60'}, NOW)
    assert budget.fraction(NOW) == pytest.approx(0.05)
    assert budget.fraction(NOW + 12) is None


@pytest.mark.parametrize(
    "odd", ["", "minute;r=1;t=1", '"minute";r=-1;t=1', '"minute";r=x;t=1', '"m";r=99999999999;t=1']
)
def test_odd_headers_change_nothing(odd: str) -> None:
    budget = RateBudget()
    budget.read({"RateLimit": odd, "RateLimit-Policy": odd}, NOW)
    assert budget.windows == ()
    assert budget.fraction(NOW) is None


def test_polling_slows_down_when_little_is_left_and_stops_in_a_silence() -> None:
    budget = RateBudget()
    assert (budget.poll_s(NOW), budget.poll_s(NOW, busy=True), budget.poll_s(NOW, watched=False)) == (12, 2, 60)
    budget.read({"RateLimit": '"minute";r=14;t=30', "RateLimit-Policy": '"minute";q=60;w=60'}, NOW)
    assert (budget.poll_s(NOW), budget.poll_s(NOW, busy=True)) == (48, 12)
    budget.refused(100.0, NOW)
    assert budget.poll_s(NOW, busy=True) == 100


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("12", 12), (" 0 ", 0), ("1.5", 1.5), ("Thu, 20 Aug 2026 06:17:00 GMT", 20), ("Thu, 20 Aug 2020 06:17:00 GMT", 0),
     (None, None), ("", None), ("-5", None), ("nan", None), ("soon", None), ("9" * 400, None)],
)  # fmt: skip
def test_retry_after_is_read_as_seconds_or_as_a_date(text: str | None, seconds: float | None) -> None:
    assert retry_after(text, NOW) == seconds


def test_a_refusal_without_a_time_waits_for_the_empty_window_or_a_while() -> None:
    budget = RateBudget()
    assert budget.refused(None, NOW) == NO_HINT_S
    budget.read({"RateLimit": '"minute";r=0;t=33, "hour";r=10;t=900'}, NOW)
    assert budget.refused(None, NOW) == 33


def test_a_clock_set_back_does_not_prolong_a_silence() -> None:
    budget = RateBudget()
    budget.refused(20.0, NOW)
    assert budget.wait(NOW - 86_400) == 20
    assert budget.wait(NOW + 20) == 0


def test_a_shorter_refusal_does_not_shorten_a_longer_silence() -> None:
    budget = RateBudget()
    budget.refused(100.0, NOW)
    budget.refused(1.0, NOW + 1)
    assert budget.wait(NOW + 1) == 99


async def test_a_storm_of_refusals_ends_after_four_requests_each_outside_the_silence() -> None:
    runpod, script, _ = provider(*[problem(429, "no", Retry_After="5")] * 4)
    with pytest.raises(RateLimited):
        await runpod.get(POD)
    gaps = [after - before for before, after in zip(script.at, script.at[1:], strict=False)]
    assert gaps == [5, 5, 5]

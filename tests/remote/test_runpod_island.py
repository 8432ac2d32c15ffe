"""The older API: balance and spot pods, little asked, and its loss shown for what it is."""

from __future__ import annotations

import time as real_time
from decimal import Decimal
from typing import Any

import httpx
import pytest
from graphql import parse
from runpod_payloads import KEY, ME, NO_INSTANCES, POD, RUNNING, WENT_WRONG, ok, page, pod, problem, provider

from remote.errors import (
    ApiRetired,
    AuthError,
    InvalidBody,
    NoCapacity,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RuleBroken,
)
from remote.pods.model import PodSpec, PodStatus
from remote.pods.runpod.island import BALANCE, SPOT, STARTED

SPEC = PodSpec(image="img", gpu="NVIDIA A40", volume_id="v1", bid=Decimal("0.30"), env={"A": 'q"u\n', "B": "$x}"})
RENTED = {"data": {"podRentInterruptable": {"id": POD, "desiredStatus": "RUNNING"}}}


def errors(message: str, code: str = "INTERNAL_SERVER_ERROR", data: Any = None) -> httpx.Response:
    return ok({"errors": [{"message": message, "extensions": {"code": code}}], "data": data})


async def test_the_balance_is_exact_and_says_when_it_was_read() -> None:
    runpod, script, time = provider(ok(ME))
    found = await runpod.balance()
    assert (found.balance, found.spend_per_hour, found.spend_limit) == (Decimal("10.07"), Decimal("0.005"), 80)
    assert found.at == time()
    assert script.sent == ["POST /graphql"]
    assert script.requests[0].headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(script.requests[0].url)
    assert "email" not in script.body()["query"]


async def test_an_absent_amount_is_unknown_and_a_zero_is_zero() -> None:
    runpod, _, _ = provider(ok({"data": {"myself": {"clientBalance": 0, "currentSpendPerHr": None}}}))
    found = await runpod.balance()
    assert (found.balance, found.spend_per_hour, found.spend_limit) == (0, None, None)


async def test_the_balance_is_asked_once_a_minute_at_most() -> None:
    runpod, script, time = provider(ok(ME), ok(ME))
    first = await runpod.balance()
    time.now += 59
    assert await runpod.balance() == first
    time.now += 2
    assert (await runpod.balance()).at == first.at + 61
    assert len(script.requests) == 2


async def test_failing_balances_are_asked_twice_a_minute_at_most() -> None:
    runpod, script, time = provider(page(502), page(502), ok(ME))
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await runpod.balance()
    with pytest.raises(RateLimited, match="2 times a minute"):
        await runpod.balance()
    assert runpod.loss is None
    time.now += 60
    await runpod.balance()
    assert len(script.requests) == 3


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(problem(429, "throttled", Retry_After="5"), RateLimited), (problem(410, "gone"), ApiRetired)],
)
async def test_after_its_loss_it_rests_ten_minutes_and_says_since_when(
    answer: httpx.Response, kind: type[ProviderError]
) -> None:
    runpod, script, time = provider(answer, ok(RUNNING), ok(ME))
    lost_at = time()
    since = real_time.strftime("%H:%M", real_time.localtime(lost_at))
    for elapsed in (0, 30, 599):
        time.now = lost_at + elapsed
        with pytest.raises(kind, match=f"balance is unknown since {since}"):
            await runpod.balance()
    assert runpod.loss is not None
    assert (runpod.loss.since, runpod.loss.until) == (lost_at, lost_at + 600)
    assert len(script.requests) == 1
    await runpod.get(POD)  # the other API goes on
    time.now = lost_at + 600
    assert runpod.loss is None
    assert (await runpod.balance()).balance == Decimal("10.07")


async def test_a_loss_that_goes_on_began_when_it_began() -> None:
    runpod, _, time = provider(problem(410, "gone"), problem(410, "gone"))
    lost_at = time()
    for elapsed in (0, 600):
        time.now = lost_at + elapsed
        with pytest.raises(ApiRetired, match="update"):
            await runpod.balance()
    assert runpod.loss is not None
    assert (runpod.loss.since, runpod.loss.until) == (lost_at, lost_at + 1200)


async def test_a_throttled_older_api_does_not_hold_up_a_stop() -> None:
    runpod, script, time = provider(problem(429, "x", Retry_After="3000"), ok(pod(status="EXITED")))
    with pytest.raises(RateLimited):
        await runpod.balance()
    await runpod.stop(POD)
    assert time.slept == []
    assert len(script.requests) == 2


@pytest.mark.parametrize("query", [BALANCE, SPOT, STARTED])
def test_the_queries_are_well_formed_and_have_no_values_in_them(query: str) -> None:
    parse(query)
    assert '"' not in query


async def test_a_spot_pod_is_rented_with_variables_and_then_read() -> None:
    runpod, script, _ = provider(ok(RENTED), ok(RUNNING))
    found = await runpod.create("maxcai-a", SPEC)
    assert found.spot is True
    assert found.id == POD
    assert script.sent == ["POST /graphql", f"GET /v2/pods/{POD}"]
    assert script.body(0)["variables"]["input"] == {
        "name": "maxcai-a", "imageName": "img", "cloudType": "SECURE", "gpuTypeId": "NVIDIA A40", "gpuCount": 1,
        "bidPerGpu": 0.3, "containerDiskInGb": 50, "volumeInGb": 0, "volumeMountPath": "/workspace", "minVcpuCount": 1,
        "minMemoryInGb": 1, "ports": "22/tcp", "dockerArgs": "", "supportPublicIp": True, "networkVolumeId": "v1",
        "env": [{"key": "A", "value": 'q"u\n'}, {"key": "B", "value": "$x}"}],
    }  # fmt: skip
    assert "NVIDIA A40" not in script.body(0)["query"]


async def test_a_rented_pod_that_cannot_be_read_is_not_lost() -> None:
    runpod, _, _ = provider(ok(RENTED), problem(404, "not yet"))
    found = await runpod.create("maxcai-a", SPEC)
    assert (found.id, found.name, found.status, found.spot) == (POD, "maxcai-a", PodStatus.CREATING, True)
    assert found.price_per_hour is None


async def test_a_pod_that_comes_with_an_error_is_a_pod() -> None:
    runpod, _, _ = provider(errors("partial", data=RENTED["data"]), ok(RUNNING))
    assert (await runpod.create("maxcai-a", SPEC)).id == POD


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (errors(NO_INSTANCES), NoCapacity),
        (errors("Your bid is too low", "BAD_USER_INPUT"), RuleBroken),
        (errors("something broke"), OutcomeUnknown),
        (ok({"errors": [{"message": "no code"}], "data": None}), OutcomeUnknown),
        (errors(WENT_WRONG), OutcomeUnknown),
        (errors("x", "UNAUTHENTICATED"), AuthError),
        (ok({"data": {"podRentInterruptable": None}}), OutcomeUnknown),
        (ok({"data": {"podRentInterruptable": {"id": "../x"}}}), OutcomeUnknown),
        (ok({}), OutcomeUnknown),
        (ok([]), OutcomeUnknown),
        (page(502), OutcomeUnknown),
        (httpx.ReadTimeout(""), OutcomeUnknown),
        (httpx.ConnectError("refused"), ProviderUnavailable),
        (problem(401, "bad key"), AuthError),
        (problem(422, "x"), InvalidBody),
        (httpx.Response(400, json={"errors": [{"message": 'Cannot query field "x" on type "User".'}]}), RuleBroken),
    ],
)
async def test_a_spot_pod_is_asked_for_once_and_its_refusals_are_told(
    answer: httpx.Response | Exception, kind: type[ProviderError]
) -> None:
    runpod, script, _ = provider(answer)
    with pytest.raises(kind) as caught:
        await runpod.create("maxcai-a", SPEC)
    assert type(caught.value) is kind
    assert len(script.requests) == 1


async def test_values_of_the_environment_do_not_come_back_in_its_errors() -> None:
    spec = PodSpec(image="i", gpu="g", volume_id="v", bid=Decimal(1), env={"S": "swordfish-of-mine"})
    runpod, _, _ = provider(errors("bad env swordfish-of-mine", "BAD_USER_INPUT"))
    with pytest.raises(RuleBroken, match="redacted") as caught:
        await runpod.create("maxcai-a", spec)
    assert "swordfish" not in str(vars(caught.value))


async def test_an_act_of_the_user_waits_for_its_turn_rather_than_being_refused() -> None:
    runpod, script, time = provider(page(502), page(502), ok(RENTED), ok(RUNNING))
    for _ in range(2):
        with pytest.raises(ProviderUnavailable):
            await runpod.balance()
    await runpod.create("maxcai-a", SPEC)
    assert script.at[2] - script.at[0] >= 60
    assert time.slept


@pytest.mark.parametrize(
    ("told", "at"),
    [("2026-08-20T06:16:19.43Z", 1787206579.43), ("2026-08-20 06:16:19.43 +0000 UTC", 1787206579.43), (None, None),
     ("yesterday", None)],
)  # fmt: skip
async def test_a_running_pod_without_a_start_time_is_asked_about_there(told: str | None, at: float | None) -> None:
    runpod, _, _ = provider(ok(pod(startedAt=None)), ok({"data": {"pod": {"id": POD, "lastStartedAt": told}}}))
    found = await runpod.get(POD)
    assert found.started_at == (None if at is None else pytest.approx(at))


async def test_a_start_time_that_cannot_be_asked_for_is_unknown() -> None:
    runpod, _, _ = provider(ok(pod(startedAt=None)), problem(410, "gone"))
    assert (await runpod.get(POD)).started_at is None

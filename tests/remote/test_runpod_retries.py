"""The retry matrix, row by row: what is sent again, what never is, and what a person is told when nothing answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import httpx
import pytest
from runpod_payloads import (
    POD,
    PULLING,
    RUNNING,
    STOPPED,
    VOLUMES,
    ok,
    page,
    pod,
    problem,
    provider,
)

from remote.errors import (
    Conflict,
    InvalidBody,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from remote.pods.model import PodSpec, PodStatus
from remote.pods.runpod.errors import Unanswered
from remote.pods.runpod.provider import RunPodProvider

SPEC = PodSpec(image="img", gpu="NVIDIA A40", volume_gb=20)
GONE_204 = httpx.Response(204)
ACTION, PATH = f"POST /v2/pods/{POD}/action", f"/v2/pods/{POD}"
LOST = [
    httpx.ReadTimeout(""), httpx.ReadError("reset"), httpx.WriteError("x"), httpx.RemoteProtocolError("cut"),
    problem(500, "boom"), problem(503, "down"), page(502), page(200), httpx.Response(200, content=b'{"id":'),
]  # fmt: skip
NEVER_LEFT = [httpx.ConnectError("refused"), httpx.ConnectTimeout(""), httpx.PoolTimeout("")]


def _fresh(answer: httpx.Response | Exception) -> httpx.Response | Exception:
    """A response can be read once only."""
    if isinstance(answer, Exception):
        return answer
    return httpx.Response(answer.status_code, content=answer.content, headers={"Content-Type": "text/plain"})


def _id(answer: httpx.Response | Exception) -> str:
    return type(answer).__name__ if isinstance(answer, Exception) else f"{answer.status_code}-{answer.content[:9]!r}"


# --- create, restart, volumes: never twice ----------------------------------------------------------------------

ONCE: list[Callable[[RunPodProvider], Awaitable[object]]] = [
    lambda runpod: runpod.create("maxcai-a", SPEC),
    lambda runpod: runpod.restart(POD),
    lambda runpod: runpod.create_volume("models", 50, "EU-RO-1"),
]


@pytest.mark.parametrize("act", ONCE, ids=["create", "restart", "volume"])
@pytest.mark.parametrize("lost", LOST, ids=_id)
async def test_what_buys_is_sent_once_and_its_outcome_is_unknown(
    act: Callable[[RunPodProvider], Awaitable[object]], lost: httpx.Response | Exception
) -> None:
    runpod, script, _ = provider(_fresh(lost))
    with pytest.raises(OutcomeUnknown) as caught:
        await act(runpod)
    assert caught.value.unconfirmed
    assert not caught.value.retryable
    assert len(script.requests) == 1


@pytest.mark.parametrize("act", ONCE, ids=["create", "restart", "volume"])
@pytest.mark.parametrize("lost", NEVER_LEFT, ids=_id)
async def test_what_never_left_took_no_effect(
    act: Callable[[RunPodProvider], Awaitable[object]], lost: Exception
) -> None:
    runpod, script, _ = provider(lost)
    with pytest.raises(ProviderUnavailable) as caught:
        await act(runpod)
    assert not caught.value.unconfirmed
    assert caught.value.exit_code == 4
    assert len(script.requests) == 1


async def test_a_create_that_was_refused_for_the_quota_is_not_sent_again() -> None:
    runpod, script, _ = provider(problem(429, "minute", Retry_After="3"))
    with pytest.raises(RateLimited) as caught:
        await runpod.create("maxcai-a", SPEC)
    assert not caught.value.unconfirmed
    assert len(script.requests) == 1


async def test_a_create_whose_reply_names_no_pod_may_have_bought_one() -> None:
    runpod, _, _ = provider(ok({"name": "maxcai-a"}, 201))
    with pytest.raises(OutcomeUnknown):
        await runpod.create("maxcai-a", SPEC)


# --- reads ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", LOST + NEVER_LEFT, ids=_id)
async def test_a_read_is_repeated_until_it_is_answered(lost: httpx.Response | Exception) -> None:
    runpod, script, time = provider(_fresh(lost), _fresh(lost), _fresh(lost), ok(RUNNING))
    assert (await runpod.get(POD)).status is PodStatus.RUNNING
    assert len(script.requests) == 4
    assert time.slept == [0.5, 2.0, 8.0]


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 410, 422])
async def test_a_refusal_is_never_repeated(status: int) -> None:
    runpod, script, _ = provider(problem(status, "no"))
    with pytest.raises(ProviderError):
        await runpod.get(POD)
    assert len(script.requests) == 1


# --- stop and terminate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", LOST + NEVER_LEFT, ids=_id)
async def test_a_stop_is_repeated_until_it_is_answered(lost: httpx.Response | Exception) -> None:
    runpod, script, _ = provider(_fresh(lost), _fresh(lost), ok(STOPPED))
    assert (await runpod.stop(POD)).status is PodStatus.STOPPED
    assert script.sent == [ACTION] * 3
    assert script.body() == {"action": "stop"}


@pytest.mark.parametrize("lost", LOST + NEVER_LEFT, ids=_id)
async def test_an_unanswered_stop_may_have_happened_unless_it_never_left(lost: httpx.Response | Exception) -> None:
    runpod, script, _ = provider(*[_fresh(lost) for _ in range(4)])
    with pytest.raises(ProviderUnavailable) as caught:
        await runpod.stop(POD)
    assert caught.value.exit_code == 4
    assert caught.value.retryable
    assert caught.value.unconfirmed is (lost not in NEVER_LEFT)
    assert len(script.requests) == 4


async def test_one_request_that_left_makes_the_outcome_unknown_whatever_followed() -> None:
    runpod, _, _ = provider(
        httpx.ReadTimeout(""), httpx.ConnectError("x"), httpx.ConnectError("x"), httpx.ConnectError("x")
    )
    with pytest.raises(Unanswered):
        await runpod.stop(POD)
    runpod, _, _ = provider(httpx.ReadTimeout(""), *[problem(429, "no", Retry_After="900")])
    with pytest.raises(Unanswered):
        await runpod.stop(POD)


@pytest.mark.parametrize("status", [401, 403, 410])
async def test_a_refusal_does_not_hide_that_an_earlier_request_was_lost(status: int) -> None:
    runpod, script, _ = provider(httpx.ReadTimeout(""), problem(status, "no"))
    with pytest.raises(Unanswered) as caught:
        await runpod.stop(POD)
    assert caught.value.unconfirmed
    assert caught.value.status == status
    assert caught.value.hint
    assert len(script.requests) == 2


async def test_a_stop_that_was_lost_and_took_effect_is_found_done() -> None:
    runpod, script, _ = provider(httpx.ReadTimeout(""), problem(409, "pod is not running"), ok(STOPPED))
    assert (await runpod.stop(POD)).status is PodStatus.STOPPED
    assert script.sent == [ACTION, ACTION, f"GET {PATH}"]


async def test_a_stop_that_is_forbidden_is_reconciled_once_and_told() -> None:
    runpod, script, _ = provider(problem(409, "the pod is locked"), ok(RUNNING))
    with pytest.raises(Conflict, match=r"locked.*It is RUNNING"):
        await runpod.stop(POD)
    assert len(script.requests) == 2


async def test_an_acknowledged_stop_is_not_yet_a_stopped_pod() -> None:
    runpod, _, _ = provider(ok(RUNNING))
    found = await runpod.stop(POD)
    assert found.status is PodStatus.STOPPING
    assert found.endpoint is None
    assert not found.status.over


async def test_stopping_a_pod_that_is_not_there_is_not_found() -> None:
    runpod, script, _ = provider(problem(404, "pod not found"))
    with pytest.raises(NotFound):
        await runpod.stop(POD)
    assert len(script.requests) == 1


@pytest.mark.parametrize("done", [GONE_204, problem(404, "pod not found")], ids=["204", "404"])
async def test_a_terminate_is_repeated_and_a_pod_that_is_gone_is_no_error(done: httpx.Response) -> None:
    runpod, script, _ = provider(httpx.ReadTimeout(""), problem(500, "x"), httpx.Response(
        done.status_code, content=done.content))  # fmt: skip
    await runpod.terminate(POD)
    assert script.sent == [f"DELETE {PATH}"] * 3


@pytest.mark.parametrize("answer", [page(200), httpx.Response(200), ok({})], ids=["page", "empty", "object"])
async def test_a_200_from_something_in_between_is_not_a_terminated_pod_either(answer: httpx.Response) -> None:
    runpod, script, _ = provider(answer, GONE_204)
    await runpod.terminate(POD)
    assert len(script.requests) == 2


@pytest.mark.parametrize("answer", [page(404), httpx.Response(404), httpx.Response(404, json={"message": "no route"})])
async def test_a_404_from_something_in_between_is_not_a_terminated_pod(answer: httpx.Response) -> None:
    runpod, _, _ = provider(*[_fresh(answer) for _ in range(4)])
    with pytest.raises(Unanswered):
        await runpod.terminate(POD)


async def test_a_terminate_that_is_forbidden_is_reconciled() -> None:
    runpod, script, _ = provider(problem(409, "cluster member"), ok(RUNNING))
    with pytest.raises(Conflict, match="cluster member"):
        await runpod.terminate(POD)
    assert len(script.requests) == 2
    for answer in (problem(404, "gone"), ok(pod(status="TERMINATED"))):
        runpod, _, _ = provider(problem(409, "already terminating"), answer)
        await runpod.terminate(POD)


# --- start ------------------------------------------------------------------------------------------------------


async def test_a_start_whose_reply_is_lost_is_looked_at_and_not_sent_again() -> None:
    runpod, script, _ = provider(httpx.ReadTimeout(""), ok(PULLING))
    assert (await runpod.start(POD)).status is PodStatus.PULLING
    assert script.sent == [ACTION, f"GET {PATH}"]
    assert script.body(0) == {"action": "start"}


async def test_a_start_that_had_no_effect_is_sent_again_after_the_look() -> None:
    runpod, script, _ = provider(problem(500, "x"), ok(STOPPED), ok(PULLING))
    assert (await runpod.start(POD)).status is PodStatus.PULLING
    assert script.sent == [ACTION, f"GET {PATH}", ACTION]


async def test_a_start_is_not_sent_again_when_the_pod_cannot_be_looked_at() -> None:
    runpod, script, _ = provider(httpx.ReadTimeout(""), *[httpx.ReadTimeout("") for _ in range(4)])
    with pytest.raises(Unanswered) as caught:
        await runpod.start(POD)
    assert caught.value.unconfirmed
    assert caught.value.exit_code == 4
    assert script.sent.count(ACTION) == 1


async def test_a_start_that_never_left_is_sent_again_without_a_look() -> None:
    runpod, script, _ = provider(httpx.ConnectError("refused"), ok(PULLING))
    await runpod.start(POD)
    assert script.sent == [ACTION, ACTION]


async def test_a_start_that_never_takes_effect_is_sent_four_times() -> None:
    answers = [answer for _ in range(4) for answer in (problem(500, "x"), ok(STOPPED))]
    runpod, script, _ = provider(*answers)
    with pytest.raises(Unanswered):
        await runpod.start(POD)
    assert script.sent.count(ACTION) == 4


async def test_starting_a_running_pod_changes_nothing() -> None:
    runpod, script, _ = provider(problem(409, "pod is running"), ok(RUNNING))
    assert (await runpod.start(POD)).status is PodStatus.RUNNING
    assert len(script.requests) == 2


async def test_a_start_that_is_forbidden_is_told_with_the_pods_state() -> None:
    runpod, _, _ = provider(problem(409, "no"), ok(pod(status="ERROR")))
    with pytest.raises(Conflict, match="It is ERROR"):
        await runpod.start(POD)


# --- others -----------------------------------------------------------------------------------------------------


async def test_a_restart_that_is_forbidden_or_malformed_is_told_at_once() -> None:
    for answer, kind in ((problem(409, "stopped"), Conflict), (problem(422, "bad"), InvalidBody)):
        runpod, script, _ = provider(answer)
        with pytest.raises(kind):
            await runpod.restart(POD)
        assert len(script.requests) == 1


async def test_pages_are_followed_and_each_is_retried_alone() -> None:
    first = {"pods": [RUNNING], "pagination": {"nextCursor": "c1", "hasNextPage": True}}
    last = {"pods": [pod(id="other")], "pagination": {"nextCursor": None, "hasNextPage": False}}
    runpod, script, _ = provider(ok(first), problem(500, "x"), ok(last))
    assert [found.id for found in await runpod.list()] == [POD, "other"]
    assert [request.url.params.get("cursor") for request in script.requests] == [None, "c1", "c1"]


@pytest.mark.parametrize(
    "pages",
    [
        [{"pods": [], "pagination": {"nextCursor": "c", "hasNextPage": True}}] * 2,
        [{"pods": [], "pagination": {"nextCursor": None, "hasNextPage": True}}] * 4,
        [{"pods": [{"name": "no id"}]}] * 4,
        [{"pods": None}] * 4,
        [{}] * 4,
    ],
    ids=["circle", "promise", "nameless", "null", "empty"],
)
async def test_half_a_list_is_refused_because_it_would_say_that_pods_are_gone(pages: list[object]) -> None:
    runpod, _, _ = provider(*[ok(data) for data in pages])
    with pytest.raises(ProviderUnavailable):
        await runpod.list()


async def test_a_list_without_pages_and_a_pod_told_twice_are_fine() -> None:
    runpod, _, _ = provider(ok({"pods": [STOPPED, RUNNING]}))
    (found,) = await runpod.list()
    assert found.status is PodStatus.RUNNING
    runpod, _, _ = provider(ok(VOLUMES))
    assert [volume.id for volume in await runpod.volumes()] == ["grvtso8ftn"]


@pytest.mark.parametrize("bad", ["../account/ssh-keys", "a/b", "", "x?y", "x y", ".."])
async def test_an_id_that_would_be_another_address_is_never_sent(bad: str) -> None:
    runpod, script, _ = provider()
    for act in (runpod.get, runpod.start, runpod.stop, runpod.restart, runpod.terminate, runpod.logs):
        with pytest.raises(NotFound):
            await act(bad)
    assert script.requests == []

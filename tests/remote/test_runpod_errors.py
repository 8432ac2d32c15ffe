"""The table of RunPod's errors, row by row: what a status or text means, and what the user is told."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from runpod_payloads import (
    KEY,
    NO_FREE_GPU,
    NO_INSTANCES,
    NO_RESOURCES,
    NO_RESUME,
    POD,
    RUNNING,
    STOPPED,
    WENT_WRONG,
    ok,
    page,
    problem,
    provider,
)

from remote.errors import (
    AccessDenied,
    ApiRetired,
    AuthError,
    ConfigError,
    InsufficientFunds,
    InvalidBody,
    NoCapacity,
    NoCapacityOnHost,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RuleBroken,
)
from remote.pods.model import PodSpec
from remote.pods.runpod.client import DEFAULT_URL, origin
from remote.pods.runpod.errors import Op, clean, from_text

SPEC = PodSpec(image="img", gpu="NVIDIA A40", volume_id="v1", env={"TOKEN_OF_MINE": "swordfish-in-env"})
INVALID = "Request validation failed."
VALUE = "$.action: value must be one of 'start', 'stop', 'restart', 'terminate'"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (problem(400, "the name is taken"), RuleBroken, "the name is taken"),
        (problem(401, "missing bearer token"), AuthError, "API key"),
        (problem(402, "insufficient balance"), InsufficientFunds, "insufficient balance"),
        (problem(403, "access denied"), AccessDenied, "access denied"),
        (httpx.Response(403, text="error code: 1010"), AccessDenied, "error code: 1010"),
        (problem(404, "pod not found"), NotFound, "pod not found"),
        (problem(405, "method not allowed"), InvalidBody, "method not allowed"),
        (problem(410, "gone"), ApiRetired, "update"),
        (problem(422, INVALID, [VALUE]), InvalidBody, "value must be one of"),
        (problem(418, "teapot"), RuleBroken, "teapot"),
        (problem(413, "too large"), InvalidBody, "too large"),
    ],
)
async def test_a_refusal_is_told_once_for_what_it_is(
    answer: httpx.Response, kind: type[ProviderError], words: str
) -> None:
    runpod, script, _ = provider(answer)
    with pytest.raises(kind, match=words) as caught:
        await runpod.get(POD)
    assert type(caught.value) is kind
    assert caught.value.status == answer.status_code
    assert caught.value.op == "get"
    assert not caught.value.unconfirmed
    assert len(script.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [
        problem(500, "boom"), problem(503, "down"), page(502), page(200), page(404), page(409), problem(408, "slow"),
        problem(400, WENT_WRONG), httpx.Response(200, content=b'{"id":"5xp'), httpx.Response(200, content=b""),
        httpx.Response(200, content=b"[1,2]"), httpx.Response(302, headers={"Location": "http://evil.invalid/"}),
        httpx.Response(404, text=""), ok({"id": "another"}), ok({"name": "no id"}),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_tried_four_times_and_then_unreachable(answer: httpx.Response) -> None:
    runpod, script, time = provider(*[lambda _, a=answer: a] * 4)
    with pytest.raises(ProviderUnavailable) as caught:
        await runpod.get(POD)
    assert caught.value.exit_code == 4
    assert not caught.value.unconfirmed
    assert script.sent == [f"GET /v2/pods/{POD}"] * 4
    assert time.slept == [0.5, 2.0, 8.0]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (httpx.ConnectError("[Errno 111] refused"), "refused"),
        (httpx.ConnectTimeout(""), "no connection in time"),
        (httpx.ReadTimeout(""), "no answer in time"),
        (httpx.ReadError("reset by peer"), "reset by peer"),
        (httpx.RemoteProtocolError("Server disconnected"), "disconnected"),
    ],
)
async def test_a_provider_that_cannot_be_reached_says_why(failure: Exception, words: str) -> None:
    runpod, script, _ = provider(*[failure] * 4)
    with pytest.raises(ProviderUnavailable, match=words) as caught:
        await runpod.list()
    assert caught.value.exit_code == 4
    assert len(script.requests) == 4


@pytest.mark.parametrize("status", [400, 404, 409, 500, 503])
@pytest.mark.parametrize("detail", [NO_INSTANCES, NO_RESOURCES, NO_INSTANCES.upper(), f"Error: {NO_RESOURCES}!"])
async def test_no_machine_is_recognised_by_its_text_whatever_the_status(status: int, detail: str) -> None:
    runpod, script, _ = provider(problem(status, detail))
    with pytest.raises(NoCapacity) as caught:
        await runpod.create("maxcai-a", SPEC)
    assert type(caught.value) is NoCapacity
    assert caught.value.retryable
    assert len(script.requests) == 1


@pytest.mark.parametrize("detail", [NO_FREE_GPU, NO_RESUME, NO_FREE_GPU.lower()])
@pytest.mark.parametrize("status", [400, 409, 500])
async def test_a_start_without_a_free_gpu_on_its_machine_is_its_own_error(status: int, detail: str) -> None:
    runpod, script, _ = provider(problem(status, detail))
    with pytest.raises(NoCapacityOnHost, match="no free GPU"):
        await runpod.start(POD)
    assert len(script.requests) == 1


async def test_the_unknown_error_is_transient_for_a_read_and_an_open_question_for_a_create() -> None:
    runpod, _, _ = provider(problem(500, WENT_WRONG), ok(RUNNING))
    assert (await runpod.get(POD)).id == POD
    runpod, script, _ = provider(problem(500, WENT_WRONG))
    with pytest.raises(OutcomeUnknown) as caught:
        await runpod.create("maxcai-a", SPEC)
    assert caught.value.unconfirmed
    assert "list" in caught.value.hint
    assert len(script.requests) == 1


@pytest.mark.parametrize("status", [401, 402, 403, 410, 422, 429])
async def test_a_clear_status_wins_over_a_text_that_somebody_put_there(status: int) -> None:
    runpod, _, _ = provider(problem(status, NO_INSTANCES, Retry_After="100"))
    with pytest.raises(ProviderError) as caught:
        await runpod.create("maxcai-a", SPEC)
    assert not isinstance(caught.value, NoCapacity)


def test_capacity_texts_mean_nothing_for_a_read() -> None:
    assert from_text(Op("list", "list the pods"), [NO_INSTANCES]) is None
    assert from_text(Op("create", "rent"), ["x", NO_INSTANCES]) is not None


async def test_a_refused_key_is_named_by_its_source_and_read_anew_the_next_time() -> None:
    environ = {"RUNPOD_API_KEY": KEY}
    runpod, script, _ = provider(problem(401, "missing bearer token"), ok(RUNNING), environ=environ)
    with pytest.raises(AuthError, match="key from environment variable RUNPOD_API_KEY") as caught:
        await runpod.get(POD)
    assert caught.value.exit_code == 1
    environ["RUNPOD_API_KEY"] = KEY[::-1]
    await runpod.get(POD)
    assert [request.headers["Authorization"] for request in script.requests] == [f"Bearer {KEY}", f"Bearer {KEY[::-1]}"]


async def test_without_a_key_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remote.secrets._from_keyring", lambda: ("", ""))
    runpod, script, _ = provider(key="")
    with pytest.raises(ConfigError, match="No RunPod API key"):
        await runpod.list()
    assert script.requests == []


async def test_a_key_that_cannot_be_a_header_is_refused_unseen() -> None:
    runpod, script, _ = provider(key="rpa_bad\u00e9key-1234\nX: y")
    with pytest.raises(ConfigError, match="characters") as caught:
        await runpod.list()
    assert "bad" not in str(caught.value)
    assert script.requests == []


async def test_no_error_repeats_the_key_or_a_value_of_the_environment() -> None:
    said = [KEY, SPEC.env["TOKEN_OF_MINE"], json.dumps('quoted "word" of mine')[1:-1], "second line here"]
    env = {**SPEC.env, "Q": 'quoted "word" of mine', "M": "first line here\nsecond line here"}
    spec = PodSpec(image="img", gpu="NVIDIA A40", volume_id="v1", env=env)
    for answer in (
        problem(422, f"env {said}", [f"$.env: {text}" for text in said]),
        problem(400, " ".join(said)),
        httpx.Response(400, text=" ".join(said)),
        problem(500, " ".join(said)),
        httpx.ReadError(" ".join(said)),
    ):
        runpod, _, _ = provider(answer)
        with pytest.raises(ProviderError) as caught:
            await runpod.create("maxcai-a", spec)
        error = caught.value
        shown = " ".join(
            [
                str(error),
                repr(error),
                error.hint,
                error.title,
                error.detail,
                *error.errors,
                repr(runpod),
                repr(vars(error)),
            ]
        )
        assert "redacted" in shown
        assert not [text for text in [*said, 'quoted "word" of mine'] if text in shown]
        assert error.__cause__ is None


async def test_a_strangers_text_stays_one_short_line() -> None:
    runpod, _, _ = provider(problem(400, "bad\x1b]52;c;x\x07 \r\n thing " + "x" * 5000))
    with pytest.raises(RuleBroken) as caught:
        await runpod.get(POD)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_cleaning_keeps_words_and_drops_control_characters() -> None:
    assert clean("a\x1b[31m  b\n\tc\u202e") == "a [31m b c"
    assert clean("x" * 20, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("errors", [[VALUE], [{"message": VALUE}], [VALUE, 7, None], "nonsense", {"a": 1}])
async def test_the_list_of_errors_is_read_in_any_form(errors: Any) -> None:
    body = {"title": 7, "status": "x", "detail": INVALID, "errors": errors}
    runpod, _, _ = provider(httpx.Response(422, json=body))
    with pytest.raises(InvalidBody) as caught:
        await runpod.get(POD)
    assert caught.value.errors == ((VALUE,) if isinstance(errors, list) else ())
    assert caught.value.title == ""


async def test_a_reply_that_never_ends_is_cut_off() -> None:
    runpod, script, _ = provider(*[httpx.Response(200, content=b"[" + b" " * (17 << 20))] * 4)
    with pytest.raises(ProviderUnavailable, match="larger than 16 MB"):
        await runpod.get(POD)
    assert len(script.requests) == 4


async def test_requests_carry_our_name_and_the_key_in_a_header_only() -> None:
    runpod, script, _ = provider(ok(STOPPED))
    await runpod.get(POD)
    (request,) = script.requests
    assert request.headers["User-Agent"].startswith("maxcai/")
    assert request.headers["Authorization"] == f"Bearer {KEY}"
    assert KEY not in str(request.url)
    assert str(request.url) == f"{DEFAULT_URL}/v2/pods/{POD}"


def test_the_address_is_ours_then_the_librarys_then_the_public_one() -> None:
    assert origin({}) == "https://api.runpod.io"
    assert origin({"RUNPOD_API_BASE_URL": "http://127.0.0.1:8080/"}) == "http://127.0.0.1:8080"
    both = {"MAXCAI_RUNPOD_URL": "http://localhost:1", "RUNPOD_API_BASE_URL": "http://127.0.0.1:2"}
    assert origin(both) == "http://localhost:1"


@pytest.mark.parametrize(
    "bad",
    ["http://api.runpod.io", "ftp://x", "api.runpod.io", "https://", "https://me:secret@host", "http://127.0.0.1:x",
     "https://host?api_key=1", "https://ho st"],
)  # fmt: skip
def test_an_address_that_would_show_the_key_to_others_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match="MAXCAI_RUNPOD_URL is no address"):
        origin({"MAXCAI_RUNPOD_URL": bad})


async def test_a_503_that_names_a_time_is_a_silence_too() -> None:
    runpod, script, time = provider(problem(503, "down", Retry_After="7"), ok(RUNNING))
    await runpod.get(POD)
    assert script.at[1] - script.at[0] >= 7
    assert sum(time.slept) >= 7


async def test_rate_limits_wait_then_resume_with_nothing_sent_meanwhile() -> None:
    runpod, script, _ = provider(
        problem(429, "rate limit exceeded for the minute window", Retry_After="12"), ok(RUNNING)
    )
    await runpod.get(POD)
    assert script.at[1] - script.at[0] == 12


async def test_a_long_silence_is_reported_and_kept() -> None:
    runpod, script, time = provider(problem(429, "hour", Retry_After="1800"), ok(RUNNING))
    with pytest.raises(RateLimited) as caught:
        await runpod.get(POD)
    assert caught.value.retry_after == 1800
    time.now += 600
    with pytest.raises(RateLimited, match="1200 s"):
        await runpod.list()
    assert len(script.requests) == 1
    time.now += 1200
    await runpod.get(POD)

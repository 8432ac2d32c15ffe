"""A pod's log arrives whole and in order, over as many connections as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import httpx
import pytest
from runpod_payloads import LOG, POD, page, problem, provider

from remote.errors import NotFound, ProviderUnavailable
from remote.pods.model import LogLine
from remote.pods.runpod.provider import RunPodProvider
from remote.pods.runpod.sse import MAX_EVENT, Event, Parser

IDS = ("2026-06-01T12:02:03Z/000000000001", "2026-06-01T12:02:04Z/000000000002")
LINES = [
    LogLine("Model loaded.", 1780315323.0, "container", IDS[0]),
    LogLine("été", 1780315324.0, "container", IDS[1]),
]


class Stream(httpx.AsyncByteStream):
    """Chunks, then an end: closed, an error, or silence for ever."""

    def __init__(self, chunks: list[bytes], end: Exception | str = "closed") -> None:
        self._chunks, self._end = chunks, end

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if isinstance(self._end, Exception):
            raise self._end
        if self._end == "silence":
            await asyncio.Event().wait()


def events(*chunks: bytes, end: Exception | str = "closed") -> httpx.Response:
    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Stream(list(chunks), end))


def event(number: int, text: str) -> bytes:
    return f'id: id-{number}\ndata: {{"ts":"2026-06-01T12:02:03Z","source":"container","line":"{text}"}}\n\n'.encode()


async def take(runpod: RunPodProvider, count: int, after: str | None = None) -> list[str]:
    found: list[str] = []
    async with aclosing(runpod.follow_logs(POD, after)) as lines:
        async for line in lines:
            found.append(line.text)
            if len(found) == count:
                break
    return found


def test_events_are_the_same_however_the_bytes_are_cut() -> None:
    whole = Parser().feed(LOG)
    assert [event.id for event in whole] == list(IDS)
    for size in (1, 2, 3, 7, 50):
        parser = Parser()
        pieces = [LOG[at : at + size] for at in range(0, len(LOG), size)]
        assert [event for piece in pieces for event in parser.feed(piece)] == whole


def test_an_event_is_read_as_the_standard_says() -> None:
    parser = Parser()
    assert parser.feed(b"\xef\xbb\xbfdata: a\ndata:b\nevent: x\nretry: 5\n:note\n\n") == [Event("a\nb", None)]
    assert parser.feed(b"id: 7\n\ndata: c\r\rdata:  d\n") == [Event("c", "7")]
    assert parser.feed(b"\n") == [Event(" d", "7")]
    assert parser.feed(b"id: a\x00b\ndata: e\n\ndata: cut off") == [Event("e", "7")]


def test_an_event_without_end_does_not_fill_the_memory() -> None:
    parser = Parser()
    for _ in range(40):
        parser.feed(b"data: " + b"x" * 100_000)
    (found,) = parser.feed(b"\n\n")
    assert len(found.data) <= MAX_EVENT


async def test_the_log_is_what_there_is_when_it_falls_silent() -> None:
    for end in ("closed", "silence"):
        runpod, script, _ = provider(events(LOG[:60], LOG[60:], end=end))
        assert await runpod.log_lines(POD) == LINES
        (request,) = script.requests
        assert request.url.path == f"/v2/pods/{POD}/logs"
        assert dict(request.url.params) == {"source": "container", "tail": "5000"}
        assert request.headers["Accept"] == "text/event-stream"


async def test_lines_stand_behind_their_time_so_that_starts_can_be_told_apart() -> None:
    runpod, _, _ = provider(events(LOG, b"data: bare\n\n"))
    assert await runpod.logs(POD) == [
        "2026-06-01T12:02:03.000Z Model loaded.",
        "2026-06-01T12:02:04.000Z été",
        "bare",
    ]


async def test_an_empty_log_is_empty() -> None:
    runpod, _, _ = provider(events(end="silence"))
    assert await runpod.logs(POD) == []


async def test_reading_the_log_is_a_read() -> None:
    runpod, script, _ = provider(problem(500, "x"), page(200), httpx.ConnectError("x"), events(LOG))
    assert len(await runpod.logs(POD)) == 2
    assert len(script.requests) == 4
    runpod, _, _ = provider(problem(404, "gone"))
    with pytest.raises(NotFound):
        await runpod.logs(POD)


async def test_following_goes_on_after_the_last_line_when_the_connection_breaks() -> None:
    runpod, script, time = provider(
        events(event(1, "one"), event(2, "two"), end=httpx.ReadError("reset")),
        events(event(3, "three"), end=httpx.ReadTimeout("idle")),
        httpx.ConnectError("refused"),
        events(event(4, "four")),
        events(event(5, "five")),
    )
    assert await take(runpod, 5) == ["one", "two", "three", "four", "five"]
    last = [request.headers.get("Last-Event-ID") for request in script.requests]
    assert last == [None, "id-2", "id-3", "id-3", "id-4"]
    assert "tail" not in script.requests[1].url.params
    assert all(pause > 0 for pause in time.slept)


async def test_following_begins_where_the_caller_stood() -> None:
    runpod, script, _ = provider(events(event(8, "eight")))
    assert await take(runpod, 1, "id-7") == ["eight"]
    assert script.requests[0].headers["Last-Event-ID"] == "id-7"


async def test_a_line_that_is_said_again_after_a_reconnection_is_given_once() -> None:
    runpod, _, _ = provider(events(event(1, "one")), events(event(1, "one"), event(2, "two")))
    assert await take(runpod, 2) == ["one", "two"]


async def test_without_ids_the_time_of_the_last_line_is_where_it_goes_on() -> None:
    bare = b'data: {"ts":"2026-06-01T12:02:03Z","source":"container","line":"one"}\n\n'
    runpod, script, _ = provider(events(bare), events(bare, bare.replace(b"one", b"two")))
    assert await take(runpod, 2) == ["one", "two"]
    assert script.requests[1].url.params["since"] == "2026-06-01T12:02:03.000Z"


async def test_a_quiet_log_is_no_failure() -> None:
    quiet = [events(end=httpx.ReadTimeout("idle")) for _ in range(10)]
    runpod, script, _ = provider(*quiet, events(event(1, "at last")))
    assert await take(runpod, 1) == ["at last"]
    assert len(script.requests) == 11


async def test_following_ends_with_the_error_after_four_failures_in_a_row() -> None:
    runpod, script, _ = provider(*[httpx.ConnectError("refused")] * 4)
    with pytest.raises(ProviderUnavailable):
        await take(runpod, 1)
    assert len(script.requests) == 4
    runpod, _, _ = provider(events(event(1, "one")), problem(404, "gone"))
    with pytest.raises(NotFound):
        await take(runpod, 2)


async def test_following_keeps_silent_as_long_as_it_was_told() -> None:
    runpod, script, _ = provider(problem(429, "minute", Retry_After="30"), events(event(1, "one")))
    assert await take(runpod, 1) == ["one"]
    assert script.at[1] - script.at[0] >= 30

"""Thousands of malformed replies: only our errors come out, no cost is made up, and no state is claimed unproven."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from functools import lru_cache
from typing import Any

import httpx
import pytest
from runpod_payloads import (
    BILLING,
    GPUS,
    LOG,
    ME,
    POD,
    PULLING,
    RATE_HEADERS,
    RUNNING,
    STOPPED,
    VOLUMES,
    provider,
)

from remote.errors import ProviderError
from remote.pods.model import Cloud, Pod, PodSpec, PodStatus
from remote.pods.runpod import wire
from remote.pods.runpod.decode import decode, rows
from remote.pods.runpod.provider import RunPodProvider
from remote.pods.runpod.sse import Parser

PODS = 12_000
EXACT = Decimal("1e-11")
CALLS = 600
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 0.0, -0.5, 1e308, 10**40, "", "x", "0.72", "RUNNING", "EXITED", "../..", "\ud800",
    "\x1b]0;x\x07", [], {}, [[]], {"id": {}}, ["RUNNING"], {"host": "h", "port": 22}, "9999-99-99T99:99:99Z",
    "2026-08-20T06:16:19Z", "é" * 300,
]  # fmt: skip
RAW = [
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999999999999999999",
    b"9" * 5000,
    b"[" * 2000,
    b'{"a":' * 500,
    b"\xff\xfe",
    b"\x00",
]


def _spots(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value inside."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from _spots(child, (*path, key))


@lru_cache(maxsize=64)
def _places(text: str) -> list[tuple[Any, ...]]:
    return list(_spots(json.loads(text)))


def _mutated(text: str, rng: random.Random) -> Any:
    """The value of a JSON text with one to three places changed, removed or doubled."""
    value = json.loads(text)
    for _ in range(rng.randint(1, 3)):
        if not (places := _places(text)):
            return rng.choice(ODD)
        *way, last = rng.choice(places)
        with suppress(KeyError, IndexError, TypeError):  # an earlier change took the place away
            inside = value
            for key in way:
                inside = inside[key]
            match rng.randrange(4):
                case 0:
                    del inside[last]
                case 1 if isinstance(inside, dict):
                    inside[str(rng.choice(ODD))] = inside[last]
                case _:
                    inside[last] = copy.copy(rng.choice(ODD))
    return value


def _bytes(text: str, rng: random.Random) -> bytes:
    """A JSON text mutated as a value, and now and then broken as bytes."""
    raw = json.dumps(_mutated(text, rng)).encode()
    match rng.randrange(12):
        case 0:
            return raw[: rng.randrange(len(raw) + 1)]
        case 1:
            at = rng.randrange(len(raw))
            return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        case 2:
            at = rng.randrange(len(raw))
            return raw[:at] + rng.choice(RAW) + raw[at:]
        case 3:
            return raw.replace(b"0.72", rng.choice(RAW))
    return raw


def _check(found: Pod, data: dict[str, Any]) -> None:
    """What was read is what the payload says, by a second and simpler reading of it."""
    cost = data.get("cost")
    told = isinstance(cost, (int, Decimal)) and not isinstance(cost, bool) and Decimal("0.0001") <= cost <= 1_000_000
    assert (found.price_per_hour is not None) == told
    assert found.price_per_hour is None or (found.price_per_hour > 0 and abs(found.price_per_hour - cost) < EXACT)
    ssh = data.get("ssh")
    direct = ssh.get("direct") if isinstance(ssh, dict) else None
    if found.status is PodStatus.RUNNING:
        assert data["status"].upper() == "RUNNING"
        assert isinstance(direct, dict)
        assert found.endpoint is not None
        assert (found.endpoint.host, found.endpoint.port) == (direct["host"], direct["port"])
    else:
        assert found.endpoint is None
    word = data.get("status")
    claims = {PodStatus.STOPPED: "EXITED", PodStatus.GONE: "TERMINATED", PodStatus.DEGRADED: "ERROR"}
    if found.status in claims:
        assert isinstance(word, str)
        assert word.upper() == claims[found.status]
    if not isinstance(word, str):
        assert found.status is PodStatus.UNKNOWN
    if found.started_at is None:
        assert found.session is None
    assert found.root.startswith("/")
    found.name.encode()


def test_twelve_thousand_malformed_pods_claim_nothing_that_is_not_there() -> None:
    rng = random.Random(20260820)
    seeds = [json.dumps(seed) for seed in (RUNNING, PULLING, STOPPED)]
    read = refused = 0
    for _ in range(PODS):
        raw = _bytes(rng.choice(seeds), rng)
        try:
            data = decode(raw)
            found = wire.pod(data)
        except ValueError:
            refused += 1
            continue
        _check(found, data)
        read += 1
    assert read > PODS // 2  # the mutations are mild enough to reach the fields
    assert refused > PODS // 100


def _offers(data: Any) -> None:
    for offer in wire.offers(data, Cloud.SECURE, 1):
        assert offer.price is None or offer.price > 0


def _volumes(data: Any) -> None:
    for row in rows(data, "networkVolumes"):
        assert wire.volume(row).size_gb == row["size"] > 0


def _bills(data: Any) -> None:
    for row in rows(data, "records"):
        record = wire.billing_record(row)
        assert record.end >= record.start
        assert record.total is None or record.total == row["totalAmount"]


@pytest.mark.parametrize(
    ("seed", "check"), [(GPUS, _offers), (VOLUMES, _volumes), (BILLING, _bills)], ids=["gpus", "volumes", "billing"]
)
def test_malformed_lists_are_refused_or_read_and_make_up_no_price(seed: Any, check: Callable[[Any], None]) -> None:
    rng, text, read = random.Random(7), json.dumps(seed), 0
    for _ in range(1_000):
        try:
            data = decode(_bytes(text, rng))
            check(data)
            wire.cursor(data)
            read += 1
        except ValueError:
            pass
    assert read > 100


def test_malformed_events_never_stop_the_reader() -> None:
    rng = random.Random(11)
    for _ in range(1_000):
        raw = bytearray(LOG)
        for _ in range(rng.randint(1, 6)):
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        parser = Parser()
        for event in [*parser.feed(bytes(raw[:90])), *parser.feed(bytes(raw[90:]))]:
            assert isinstance(wire.log_line(event.data, event.id).text, str)


SPEC = PodSpec(image="i", gpu="g", volume_id="v")
SPOT = PodSpec(image="i", gpu="g", volume_id="v", bid=Decimal(1))
ACTS: list[tuple[Callable[[RunPodProvider], Awaitable[object]], Any]] = [
    (
        lambda runpod: runpod.list(),
        {"pods": [RUNNING, STOPPED], "pagination": {"nextCursor": None, "hasNextPage": False}},
    ),
    (lambda runpod: runpod.get(POD), RUNNING),
    (lambda runpod: runpod.start(POD), PULLING),
    (lambda runpod: runpod.stop(POD), STOPPED),
    (lambda runpod: runpod.restart(POD), RUNNING),
    (lambda runpod: runpod.terminate(POD), {}),
    (lambda runpod: runpod.create("n", SPEC), PULLING),
    (lambda runpod: runpod.create("n", SPOT), {"data": {"podRentInterruptable": {"id": POD}}}),
    (lambda runpod: runpod.catalog(), GPUS),
    (lambda runpod: runpod.volumes(), VOLUMES),
    (lambda runpod: runpod.create_volume("n", 50, "d"), VOLUMES["networkVolumes"][0]),
    (lambda runpod: runpod.billing(1.0, 2.0), BILLING),
    (lambda runpod: runpod.balance(), ME),
    (lambda runpod: runpod.logs(POD), "stream"),
]


def _answers(seed: Any, rng: random.Random) -> Callable[[httpx.Request], httpx.Response]:
    """A server that answers everything with malformed replies of all statuses, or not at all."""

    def answer(request: httpx.Request) -> httpx.Response:
        if rng.randrange(10) == 0:
            raise rng.choice([httpx.ConnectError, httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError])(
                "lost"
            )
        status = rng.choice(
            [200] * 8 + [201, 204, 301, 400, 401, 402, 403, 404, 405, 409, 410, 422, 429, 500, 502, 599]
        )
        headers = {name: value.replace("r=", rng.choice(["r=", "r", "r=-"])) for name, value in RATE_HEADERS.items()}
        if status == 429:
            headers["Retry-After"] = rng.choice(["1", "0", "-1", "nan", "x" * 50, "99999999999", "5.5"])
        if seed == "stream":
            headers["Content-Type"] = rng.choice(["text/event-stream"] * 3 + ["text/html"])
            raw = bytearray(LOG)
            raw[rng.randrange(len(raw))] = rng.randrange(256)
            return httpx.Response(status, content=bytes(raw), headers=headers)
        error = {"title": "t", "status": status, "detail": "d", "errors": ["e"]}
        return httpx.Response(status, content=_bytes(json.dumps(seed if status < 300 else error), rng), headers=headers)

    return answer


@pytest.mark.parametrize("start", range(0, CALLS, 100))
async def test_whatever_is_answered_only_a_provider_error_comes_out(start: int) -> None:
    told: list[str] = []
    for number in range(start, start + 100):
        rng = random.Random(number)
        act, seed = ACTS[number % len(ACTS)]
        runpod, _, _ = provider(*[_answers(seed, rng)] * 40)
        try:
            found = await act(runpod)
        except ProviderError as error:
            found = []
            told.append(str(error))
        for pod in found if isinstance(found, list) else [found]:
            if isinstance(pod, Pod):
                assert pod.price_per_hour is None or pod.price_per_hour > 0
                assert (pod.endpoint is not None) == (pod.status is PodStatus.RUNNING)
    assert all(text.isprintable() for text in told)
    assert len(told) < 90  # most of the mutations are read, not only refused

"""What the simulator breaks on demand: quotas, lost replies, broken bodies, log streams, time, and the admin port."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.harness import Simulator, served

BODY: dict[str, Any] = {
    "name": "n", "image": "runpod/x", "gpu": {"id": "NVIDIA A40", "count": 1}, "disk": 10, "ports": ["22/tcp"]
}  # fmt: skip


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as sim:
        yield sim


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with sim.client() as client:
        yield client


async def names(http: httpx.AsyncClient) -> list[str]:
    return [pod["name"] for pod in (await http.get("/v2/pods")).json()["pods"]]


async def create(http: httpx.AsyncClient) -> str:
    return str((await http.post("/v2/pods", json=BODY)).json()["id"])


# --- quotas ------------------------------------------------------------------------------------------------------


async def test_every_reply_tells_the_quota_and_a_full_window_waits(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.set_quota(minute=2, hour=100, day=1000)
    first = await http.get("/v2/pods")
    assert first.headers["RateLimit"] == '"minute";r=1;t=60, "hour";r=99;t=3600, "day";r=999;t=86400'
    assert first.headers["RateLimit-Policy"] == '"minute";q=2;w=60, "hour";q=100;w=3600, "day";q=1000;w=86400'
    await sim.advance(18)
    assert (await http.get("/v2/nothing")).headers["RateLimit"].startswith('"minute";r=0;t=42')
    full = await http.get("/v2/pods")
    assert full.status_code == 429 and full.headers["Retry-After"] == "42"
    assert full.json()["detail"] == "rate limit exceeded for the minute window"
    assert (await http.post("/graphql", json={"query": "{ myself { id } }"})).status_code == 200
    await sim.advance(42)
    assert (await http.get("/v2/pods")).status_code == 200


# --- faults ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "made"), [("timeout-after", ["n"]), ("timeout-before", [])])
async def test_a_lost_reply_says_nothing_of_the_effect(
    sim: Simulator, http: httpx.AsyncClient, kind: str, made: list[str]
) -> None:
    sim.inject("create", kind)
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/v2/pods", json=BODY)
    assert await names(http) == made


async def test_a_client_may_give_up_first_and_the_effect_stays(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.inject("create", Fault("timeout-after", seconds=30))
    with pytest.raises(httpx.ReadTimeout):
        await http.post("/v2/pods", json=BODY, timeout=0.2)
    assert await names(http) == ["n"]


@pytest.mark.parametrize(
    ("fault", "status", "made"),
    [
        ("503", 503, []),
        (Fault("error-after"), 500, ["n"]),
        ("html-502", 502, []),
        ("html-502-after", 502, ["n"]),
        ("garbage", 200, []),
        ("empty", 200, []),
        ("truncated", 201, ["n"]),
        ("retired", 410, []),
        (Fault("429", retry_after=7), 429, []),
    ],
)
async def test_a_fault_hits_once_before_or_after_the_effect(
    sim: Simulator, http: httpx.AsyncClient, fault: Fault | str, status: int, made: list[str]
) -> None:
    sim.inject("create", fault)
    reply = await http.post("/v2/pods", json=BODY)
    assert reply.status_code == status
    if status == 429:
        assert reply.headers["Retry-After"] == "7"
    if isinstance(fault, str) and fault in ("html-502", "html-502-after", "garbage", "empty", "truncated"):
        with pytest.raises(ValueError):  # noqa: PT011  no JSON
            reply.json()
    assert await names(http) == made
    assert (await http.post("/v2/pods", json=BODY)).status_code == 201


async def test_a_fault_meets_its_operation_on_either_api(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    sim.inject("stop", "500", times=2)
    stop = {"query": f'mutation {{ podStop(input: {{podId: "{pod}"}}) {{ id }} }}'}
    assert (await http.get(f"/v2/pods/{pod}")).status_code == 200
    assert (await http.post(f"/v2/pods/{pod}/action", json={"action": "stop"})).status_code == 500
    assert (await http.post("/graphql", json=stop)).status_code == 500
    assert (await http.post("/graphql", json=stop)).status_code == 200
    sim.inject("graphql:podStop", "500", times=None)
    assert (await http.post("/graphql", json=stop)).status_code == 500
    sim.clear_faults()
    assert (await http.post("/graphql", json=stop)).status_code == 200
    with pytest.raises(ValueError, match="No fault"):
        sim.inject("stop", "explode")


async def test_a_retired_api_answers_410_to_everything(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.retire("v2")
    assert (await http.get("/v2/pods")).status_code == 410
    assert (await http.post("/graphql", json={"query": "{ myself { id } }"})).status_code == 200
    sim.retire()
    assert (await http.get("/v2/pods")).status_code == 200


async def test_requests_are_recorded_without_their_keys(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.inject("create", "timeout-after")
    with pytest.raises(httpx.RemoteProtocolError):
        await http.post("/v2/pods", json=BODY)
    await http.get("/v2/pods?limit=5")
    lost, listed = sim.requests
    assert json.loads(lost.body) == BODY and "create" in lost.names and lost.fault == "timeout-after"
    assert (listed.query, listed.status, listed.principal) == ({"limit": "5"}, 200, "account")
    assert sim.key not in json.dumps([one.as_dict() for one in sim.requests])


# --- logs --------------------------------------------------------------------------------------------------------


async def stream(
    http: httpx.AsyncClient, pod: str, count: int, query: str = "", **headers: str
) -> list[tuple[str, dict[str, Any]]]:
    """The first `count` events."""
    events: list[tuple[str, dict[str, Any]]] = []
    async with http.stream("GET", f"/v2/pods/{pod}/logs?{query}", headers=headers, timeout=5) as reply:
        assert reply.status_code == 200, await reply.aread()
        assert reply.headers["content-type"].startswith("text/event-stream")
        event_id = ""
        async for line in reply.aiter_lines():
            if line.startswith("id: "):
                event_id = line[4:]
            elif line.startswith("data: "):
                events.append((event_id, json.loads(line[6:])))
                if len(events) == count:
                    break
    return events


async def test_the_log_holds_the_host_key_of_this_start(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    events = [data for _, data in await stream(http, pod, 11)]
    assert [one["line"] for one in events if one["source"] == "system"] == [
        "create container runpod/x",
        "start container",
    ]
    container = [one["line"] for one in events if one["source"] == "container"]
    block = container.index("SSH host keys:")
    running = sim.pod(pod).running
    assert container[block + 1] == "Key: /etc/ssh/ssh_host_ed25519_key.pub"
    assert running.fingerprint in container[block + 2]  # type: ignore[union-attr]
    assert {one["ts"] for one in events if one["source"] == "container"} == {"2026-10-01T12:00:30Z"}


async def test_the_log_grows_while_it_is_read_and_resumes_where_it_broke(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    pod = await create(http)
    await sim.advance(60)
    running = sim.pod(pod).running
    following = asyncio.create_task(stream(http, pod, 3, "source=container&tail=1"))
    await asyncio.sleep(0.05)
    running.say("one")  # type: ignore[union-attr]
    running.say("two")  # type: ignore[union-attr]
    events = await following
    assert [data["line"] for _, data in events][1:] == ["one", "two"]
    again = await stream(http, pod, 1, "tail=100", **{"Last-Event-ID": events[1][0]})
    assert [data["line"] for _, data in again] == ["two"]
    sim.quirks.set(last_event_id_repeats=True)
    repeated = await stream(http, pod, 2, **{"Last-Event-ID": events[1][0]})
    assert [data["line"] for _, data in repeated] == ["one", "two"]


async def test_since_and_source_choose_lines_and_wrong_values_are_refused(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    pod = await create(http)
    await sim.advance(100)
    await http.post(f"/v2/pods/{pod}/action", json={"action": "stop"})
    assert [d["line"] for _, d in await stream(http, pod, 1, "since=2026-10-01T12:01:00Z")] == ["stop container"]
    assert [d["line"] for _, d in await stream(http, pod, 1, "source=system&tail=1")] == ["stop container"]
    for query in ("source=nowhere", "tail=5001", "tail=x", "since=yesterday"):
        assert (await http.get(f"/v2/pods/{pod}/logs?{query}")).status_code == 422
    assert (await http.get("/v2/pods/nope/logs")).status_code == 404


async def test_earlier_starts_stay_in_the_log_or_with_the_switch_do_not(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    pod = await create(http)
    await sim.advance(60)
    for action in ("stop", "start"):
        await http.post(f"/v2/pods/{pod}/action", json={"action": action})
        await sim.advance(60)
    both = [data["line"] for _, data in await stream(http, pod, 18, "source=container")]
    assert both.count("SSH host keys:") == 2
    sim.quirks.set(logs_keep_earlier_starts=False)
    assert [data["line"] for _, data in await stream(http, pod, 9, "source=container")].count("SSH host keys:") == 1


async def test_a_dropped_stream_breaks_off_after_its_events(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    sim.inject("logs", Fault("drop-sse", events=2))
    with pytest.raises(httpx.RemoteProtocolError):
        await stream(http, pod, 5)
    assert len(await stream(http, pod, 5)) == 5


async def test_a_stream_ends_with_its_pod(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    following = asyncio.create_task(stream(http, pod, 1000))
    await asyncio.sleep(0.05)
    await http.delete(f"/v2/pods/{pod}")
    assert len(await following) >= 11


# --- without an event loop of the test's own, with a clock that runs by itself, as a process ------------------------


def test_a_blocking_test_has_the_simulator_in_another_thread() -> None:
    with served() as one:
        headers = {"Authorization": f"Bearer {one.sim.key}", "User-Agent": "t"}
        with httpx.Client(base_url=one.sim.url, headers=headers, trust_env=False) as http:
            pod = http.post("/v2/pods", json=BODY).json()["id"]
            one.wait(one.sim.advance(60))
            one.do(lambda sim: sim.inject("get", "503"))
            assert [http.get(f"/v2/pods/{pod}").status_code for _ in range(2)] == [503, 200]


async def test_with_a_running_clock_things_happen_though_nobody_asks() -> None:
    async with Simulator(clock=VirtualClock.scaled(200)) as sim, sim.client() as http:
        pod = sim.pod(await create(http))
        async with asyncio.timeout(10):
            while pod.endpoint is None:
                await asyncio.sleep(0.01)
        assert pod.started_at is not None and sim.clock.now() - pod.started_at >= 55


async def test_a_terminated_pod_may_linger(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.quirks.set(terminated_lingers=True)
    pod = await create(http)
    assert (await http.delete(f"/v2/pods/{pod}")).status_code == 204
    lingering = (await http.get(f"/v2/pods/{pod}")).json()
    assert (lingering["status"], lingering["actions"]) == ("TERMINATED", [])
    assert (await http.delete(f"/v2/pods/{pod}")).status_code == 409
    await sim.advance(60)
    assert (await http.get(f"/v2/pods/{pod}")).status_code == 404


async def test_the_simulator_runs_as_a_process_and_is_steered_by_its_admin_port(tmp_path: Path) -> None:
    arguments = ["-m", "tests.sim.runpod_api", "--tier", "none", "--scale", "0", "--state-dir", str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=root, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": ""}
    )
    assert process.stdout is not None
    try:
        told = json.loads(await asyncio.wait_for(process.stdout.readline(), 60))
        key_file = Path(told["key_file"])
        assert key_file.stat().st_mode & 0o777 == 0o600
        headers = {"Authorization": f"Bearer {key_file.read_text().strip()}", "User-Agent": "t"}
        async with httpx.AsyncClient(base_url=told["url"], headers=headers, trust_env=False) as http:
            await _steer(http, told["admin_url"] + "/_sim")
    finally:
        process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 10) == 0


async def _steer(http: httpx.AsyncClient, admin: str) -> None:
    pod = await create(http)
    before = (await http.get(f"{admin}/state")).json()
    after = (await http.post(f"{admin}/clock", json={"advance": 3600})).json()
    assert after["now"] == before["now"] + 3600
    await http.post(f"{admin}/quirks", json={"cost_when_stopped": False})
    await http.post(f"{admin}/faults", json={"operation": "get", "fault": "error", "status": 503})
    assert (await http.get(f"/v2/pods/{pod}")).status_code == 503
    await http.post(f"{admin}/pods/{pod}/exit")
    assert (await http.get(f"/v2/pods/{pod}")).json()["cost"] == 0.0
    await http.post(f"{admin}/stock", json={"gpu": "NVIDIA A40", "free": 0})
    await http.post(f"{admin}/balance", json={"balance": "0.01"})
    assert (await http.post("/v2/pods", json=BODY)).status_code == 402
    await http.post(f"{admin}/quota", json={"minute": 1})
    assert (await http.get("/v2/pods")).status_code == 429
    await http.post(f"{admin}/boot", json={"port": 1})
    await http.post(f"{admin}/retire", json={"apis": ["v2"]})
    assert (await http.get("/v2/pods")).status_code == 410
    wrong = await http.post(f"{admin}/quirks", json={"no_such_thing": True})
    assert wrong.status_code == 400 and "no_such_thing" in wrong.json()["error"]
    assert len((await http.get(f"{admin}/requests")).json()) == 6

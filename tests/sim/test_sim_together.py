"""The simulated API in front of a real pod: what the API tells is what is there."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import httpx
import pytest

from tests.sim import pods
from tests.sim.pods.base import PodRequest, PodStartError
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.paper import PaperFactory, PaperPod

BODY: dict[str, Any] = {
    "name": "n",
    "image": "runpod/x",
    "gpu": {"id": "NVIDIA A40", "count": 1},
    "disk": 10,
    "ports": ["22/tcp"],
    "env": {"PUBLIC_KEY": asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()},
    "mounts": {"persistent": {"size": 10, "path": "/workspace"}},
}


@pytest.fixture
async def sim(tmp_path: Path) -> AsyncIterator[Simulator]:
    try:
        factory = pods.choose("auto", tmp_path)
    except PodStartError as exc:
        pytest.skip(f"no real pods here: {exc}")
    async with Simulator(factory) as sim:  # type: ignore[arg-type]
        yield sim


async def ready(sim: Simulator, http: httpx.AsyncClient, pod_id: str) -> dict[str, Any]:
    await sim.advance(60)
    pod: dict[str, Any] = (await http.get(f"/v2/pods/{pod_id}")).json()
    return pod


async def fingerprints_in_log(http: httpx.AsyncClient, pod: dict[str, Any]) -> list[str]:
    """The ed25519 fingerprint of every block of host keys, oldest first."""
    lines: list[str] = []
    with contextlib.suppress(httpx.ReadTimeout):  # that was all
        async with http.stream("GET", f"/v2/pods/{pod['id']}/logs?source=container&tail=5000", timeout=1) as reply:
            async for line in reply.aiter_lines():
                lines.append(line)  # one by one: the stream ends by the timeout
    blocks = [number for number, line in enumerate(lines) if "SSH host keys:" in line]
    keys = [next(line for line in lines[block:] if "(ED25519)" in line) for block in blocks]
    return [re.findall(r"SHA256:[A-Za-z0-9+/]{43}", line)[0] for line in keys]


async def key_at(pod: dict[str, Any]) -> str:
    direct = pod["ssh"]["direct"]
    key = await asyncssh.get_server_host_key(direct["host"], direct["port"], server_host_key_algs=["ssh-ed25519"])
    assert key is not None
    return key.get_fingerprint()


async def test_the_address_and_the_key_of_the_api_are_those_of_the_pod(sim: Simulator) -> None:
    async with sim.client() as http:
        made = (await http.post("/v2/pods", json=BODY)).json()
        first = await ready(sim, http, made["id"])
        assert [await key_at(first)] == await fingerprints_in_log(http, first)
        await http.post(f"/v2/pods/{made['id']}/action", json={"action": "stop"})
        with pytest.raises(OSError):  # noqa: PT011  refused, however the system words it
            await asyncio.open_connection(first["ssh"]["direct"]["host"], first["ssh"]["direct"]["port"])
        await http.post(f"/v2/pods/{made['id']}/action", json={"action": "start"})
        second = await ready(sim, http, made["id"])
        assert second["ssh"]["direct"]["port"] != first["ssh"]["direct"]["port"]
        before, now = await fingerprints_in_log(http, second)
        assert await key_at(second) == now != before


class Broken(PaperFactory):
    """Starts nothing."""

    async def start(self, request: PodRequest) -> PaperPod:
        raise PodStartError("no such image")


async def test_a_pod_that_cannot_start_is_an_error_with_its_reason() -> None:
    async with Simulator(Broken()) as sim, sim.client() as http:
        made = (await http.post("/v2/pods", json=BODY)).json()
        failed = await ready(sim, http, made["id"])
        assert (failed["status"], failed["actions"]) == ("ERROR", ["start", "terminate"])
        assert sim.pod(made["id"]).log[-1].line == "error starting container: no such image"
        assert sim.pod(made["id"]).meter.rate is None

"""The simulated account's arithmetic, to the cent and below, and what happens when it is empty."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes
from tests.sim.runpod_api.replies import violations

A100 = "NVIDIA A100-SXM4-80GB"
MONTH = Decimal(730)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator(boot=BootTimes.instant()) as sim:
        yield sim


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with sim.client() as client:
        yield client


async def create(http: httpx.AsyncClient, volume: str | None = None, **changes: Any) -> str:
    mounts: dict[str, Any] = {"persistent": {"size": 100, "path": "/workspace"}}
    if volume is not None:
        mounts = {"network": [{"volumeId": volume, "path": "/workspace"}]}
    body = {"name": "n", "image": "runpod/x", "gpu": {"id": A100, "count": 1}, "disk": 50, "mounts": mounts, **changes}
    reply = await http.post("/v2/pods", json=body)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["id"])


async def act(http: httpx.AsyncClient, pod_id: str, action: str) -> httpx.Response:
    return await http.post(f"/v2/pods/{pod_id}/action", json={"action": action})


async def billing(http: httpx.AsyncClient, query: str = "") -> dict[str, Any]:
    reply: dict[str, Any] = (await http.get(f"/v2/billing/pods?{query}")).raise_for_status().json()
    assert violations("PodBilling", reply) == []
    return reply


def spent(sim: Simulator) -> Decimal:
    return Decimal(100) - sim.state.books.balance


def exactly(value: Decimal | float, expected: Decimal | str) -> bool:
    return abs(Decimal(str(value)) - Decimal(expected)) < Decimal("0.00000001")


async def test_a_running_hour_costs_its_gpu_and_its_disks(sim: Simulator, http: httpx.AsyncClient) -> None:
    await create(http)
    await sim.advance(3600)
    disks = Decimal(150) * Decimal("0.10") / MONTH
    assert exactly(spent(sim), Decimal("1.74") + disks)
    record = (await billing(http, "bucketSize=hour"))["records"][0]
    assert exactly(record["gpuAmount"], "1.74") and exactly(record["diskAmount"], disks) and record["cpuAmount"] == 0
    assert (record["startTime"], record["endTime"]) == ("2026-10-01T12:00:00Z", "2026-10-01T13:00:00Z")


async def test_billing_is_per_second_and_settled_every_five_minutes(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http, disk=10, mounts={})
    await sim.advance(299)
    assert spent(sim) == 0
    await act(http, pod, "stop")
    await sim.advance(1)
    assert exactly(spent(sim), (Decimal("1.74") + Decimal(1) / MONTH) * 299 / 3600)
    await sim.advance(86400)
    assert exactly(spent(sim), (Decimal("1.74") + Decimal(1) / MONTH) * 299 / 3600)  # stopped: container disk is free


async def test_a_stopped_pod_pays_double_for_its_volume_disk(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await act(http, pod, "stop")
    await sim.advance(10 * 3600)
    assert exactly(spent(sim), Decimal(100) * Decimal("0.20") / MONTH * 10)
    assert (await act(http, pod, "terminate")).status_code == 204
    before = spent(sim)
    await sim.advance(10 * 3600)
    assert spent(sim) == before


@pytest.mark.parametrize(("after_pull", "seconds"), [(True, 3600 - 30), (False, 3600)])
async def test_the_bill_starts_after_the_pull_or_with_the_switch_at_once(after_pull: bool, seconds: int) -> None:
    async with Simulator() as sim, sim.client() as http:
        sim.quirks.set(bill_after_pull=after_pull)
        await create(http, mounts={}, disk=10)
        await sim.advance(3600)
        assert exactly(spent(sim), (Decimal("1.74") + Decimal(1) / MONTH) * seconds / 3600)


async def test_a_restart_goes_on_billing(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http, mounts={}, disk=10)
    await sim.advance(1800)
    await act(http, pod, "restart")
    await sim.advance(1800)
    assert exactly(spent(sim), Decimal("1.74") + Decimal(1) / MONTH)


async def test_network_volumes_are_charged_by_the_hour(sim: Simulator, http: httpx.AsyncClient) -> None:
    await http.post("/v2/network-volumes", json={"name": "big", "size": 1500, "dataCenter": "EU-RO-1"})
    hour = (Decimal(1000) * Decimal("0.07") + Decimal(500) * Decimal("0.05")) / MONTH
    assert exactly(spent(sim), hour)
    await sim.advance(3599)
    assert exactly(spent(sim), hour)
    await sim.advance(1)
    assert exactly(spent(sim), 2 * hour)
    reply = (await http.get("/v2/billing/network-volumes?bucketSize=hour")).json()
    assert [exactly(one["standardAmount"], hour) for one in reply["records"]] == [True, True]
    me = await http.post("/graphql", json={"query": "{ myself { currentSpendPerHr } }"})
    assert me.json()["data"]["myself"]["currentSpendPerHr"] == round(float(hour), 6)  # spend without any pod


async def test_buckets_are_snapped_filtered_and_never_zero(sim: Simulator, http: httpx.AsyncClient) -> None:
    one, two = await create(http, mounts={}), await create(http, mounts={})
    await sim.advance(3600)
    await act(http, one, "stop")
    await sim.advance(86400)
    hourly = await billing(
        http, f"podId={one}&startTime=2026-10-01T12:20:00Z&endTime=2026-10-01T15:10:00Z&bucketSize=hour"
    )
    assert [record["startTime"] for record in hourly["records"]] == ["2026-10-01T12:00:00Z"]
    assert hourly["metadata"]["query"]["endTime"] == "2026-10-01T16:00:00Z"
    daily = await billing(http)
    assert daily["metadata"]["uniquePodCount"] == 2 and daily["metadata"]["recordCount"] == 3
    assert {record["podId"] for record in daily["records"]} == {one, two}
    total = sum(Decimal(str(record["totalAmount"])) for record in daily["records"])
    assert exactly(total, spent(sim)) and exactly(daily["metadata"]["totals"]["totalAmount"], spent(sim))
    last = await billing(http, "lastN=1")
    assert {record["startTime"] for record in last["records"]} == {"2026-10-02T00:00:00Z"}
    assert (await http.get("/v2/billing/pods?lastN=1&startTime=2026-10-01T00:00:00Z")).status_code == 400
    assert (await http.get("/v2/billing/pods?bucketSize=minute")).status_code == 422
    assert exactly((await http.get("/v2/billing")).json()["records"][0]["podAmount"], daily_amount(daily, "2026-10-01"))


def daily_amount(reply: dict[str, Any], day: str) -> Decimal:
    days = [record for record in reply["records"] if record["startTime"].startswith(day)]
    return sum((Decimal(str(record["totalAmount"])) for record in days), Decimal(0))


async def test_an_empty_account_stops_pods_and_ends_those_without_a_network_volume(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    volume = (await http.post("/v2/network-volumes", json={"name": "v", "size": 10, "dataCenter": "EU-RO-1"})).json()
    kept, lost, stopped = await create(http, volume["id"]), await create(http), await create(http)
    await act(http, stopped, "stop")
    sim.set_balance("3.60")
    await sim.advance(3600)
    assert sim.pod(kept).status == "RUNNING" and sim.state.books.balance > 0
    await sim.advance(300)
    assert sim.pod(kept).status == "EXITED"
    assert sorted(sim.state.gone) == sorted([lost, stopped])
    assert sorted(sim.factory.destroyed) == sorted([lost, stopped])  # type: ignore[attr-defined]
    assert (await act(http, kept, "start")).status_code == 402
    body = {"name": "n", "image": "runpod/x", "gpu": {"id": A100}, "disk": 10}
    sim.set_balance("1.73")  # less than an hour of it
    assert (await http.post("/v2/pods", json=body)).status_code == 402
    sim.set_balance("1.74")
    assert (await http.post("/v2/pods", json=body)).status_code == 201


async def test_the_spend_limit_is_kept(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.set_balance(1000)
    sim.state.books.spend_limit = Decimal(2)
    await create(http)
    body = {"name": "n", "image": "runpod/x", "gpu": {"id": A100}, "disk": 10}
    assert (await http.post("/v2/pods", json=body)).status_code == 400


async def test_a_month_at_one_jump_is_the_month_in_steps() -> None:
    totals = []
    for steps in (1, 7):
        async with Simulator(boot=BootTimes.instant(), balance=10000) as sim, sim.client() as http:
            await create(http)
            for _ in range(steps):
                await sim.advance(7 * 86400 / steps)
            totals.append(sim.state.books.balance)
    assert totals[0] == totals[1]

"""GraphQL of the simulator: raw requests as the known clients send them, and the real SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.sim.runpod_api.harness import Simulator

A100 = "NVIDIA A100-SXM4-80GB"
INPUT: dict[str, Any] = {
    "name": "maxcai-spot",
    "imageName": "runpod/pytorch:test",
    "cloudType": "SECURE",
    "gpuTypeId": A100,
    "gpuCount": 1,
    "containerDiskInGb": 50,
    "volumeInGb": 20,
    "volumeMountPath": "/workspace",
    "ports": "22/tcp",
    "dockerArgs": "",
    "env": [{"key": "PUBLIC_KEY", "value": 'quotes " and\nlines'}],
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as sim:
        yield sim


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with sim.client() as client:
        yield client


async def ask(http: httpx.AsyncClient, query: str, **variables: Any) -> dict[str, Any]:
    reply = await http.post("/graphql", json={"query": query, "variables": variables})
    assert reply.status_code == 200, reply.text
    body: dict[str, Any] = reply.json()
    return body


async def spot(http: httpx.AsyncClient, bid: float = 1.0) -> dict[str, Any]:
    query = """mutation createPod($input: PodRentInterruptableInput!) {
        podRentInterruptable(input: $input) { id desiredStatus imageName env machineId machine { podHostId } } }"""
    return await ask(http, query, input={**INPUT, "bidPerGpu": bid})


async def message(http: httpx.AsyncClient, query: str, **variables: Any) -> str:
    """The error of a request that fails in its resolver: HTTP 200, no data."""
    body = await ask(http, query, **variables)
    assert body["data"] is None
    assert body["errors"][0]["extensions"] == {"code": "INTERNAL_SERVER_ERROR"}
    return str(body["errors"][0]["message"])


async def test_variables_carry_any_value(sim: Simulator, http: httpx.AsyncClient) -> None:
    made = (await spot(http))["data"]["podRentInterruptable"]
    assert made["desiredStatus"] == "RUNNING" and made["machine"]["podHostId"].startswith(made["id"])
    assert made["env"] == ['PUBLIC_KEY=quotes " and\nlines']
    one = await ask(
        http, "query pod($id: String!) { pod(input: {podId: $id}) { podType costPerHr lastStartedAt } }", id=made["id"]
    )
    assert one["data"]["pod"] == {
        "podType": "INTERRUPTABLE", "costPerHr": 1.0, "lastStartedAt": "2026-10-01T12:00:00.000Z"
    }  # fmt: skip


async def test_the_ssh_port_is_the_public_one_and_the_list_says_no_uptime(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    query = """query { myself { pods { id uptimeSeconds ports machine { gpuDisplayName }
        runtime { uptimeInSeconds ports { ip isIpPublic privatePort publicPort type } } } } }"""
    await http.post("/graphql", json={"query": _create_inline("22/tcp, 8888/http")})
    assert (await ask(http, query))["data"]["myself"]["pods"][0]["runtime"] is None
    await sim.advance(40)
    assert (await ask(http, query))["data"]["myself"]["pods"][0]["runtime"]["ports"] is None
    await sim.advance(40)
    pod = (await ask(http, query))["data"]["myself"]["pods"][0]
    assert pod["uptimeSeconds"] == 0 and pod["runtime"]["uptimeInSeconds"] == 50
    public = [port for port in pod["runtime"]["ports"] if port["privatePort"] == 22 and port["isIpPublic"]]
    assert len(public) == 1 and public[0]["ip"] == "127.0.0.1"
    assert [port["isIpPublic"] for port in pod["runtime"]["ports"] if port["type"] == "http"] == [False]
    assert pod["machine"]["gpuDisplayName"] == "A100 SXM"


def _create_inline(ports: str) -> str:
    return f"""mutation {{ podFindAndDeployOnDemand( input: {{ name: "n", imageName: "runpod/x", cloudType: SECURE,
        gpuTypeId: "{A100}", gpuCount: 1, volumeInGb: 0, containerDiskInGb: 10, dataCenterId: null, dockerArgs: "",
        ports: "{ports}", volumeMountPath: "/workspace" }} ) {{ id }} }}"""


async def test_schema_errors_are_400_and_resolver_errors_200(sim: Simulator, http: httpx.AsyncClient) -> None:
    reply = await http.post("/graphql", json={"query": "{ myself { x } }"})
    assert reply.status_code == 400
    assert reply.json()["errors"][0]["message"] == 'Cannot query field "x" on type "User".'
    for body in ({"query": "{"}, {"nothing": 1}):
        assert (await http.post("/graphql", json=body)).status_code == 400
    wrong = "mutation r($i: PodResumeInput!) { podResume(input: $i) { id } }"
    variables = {"i": {"podId": "x", "gpuCount": 1, "allowedCudaVersions": ["12.8"]}}
    reply = await http.post("/graphql", json={"query": wrong, "variables": variables})
    assert reply.status_code == 400 and "allowedCudaVersions" in reply.text
    assert (await ask(http, '{ pod(input: {podId: "nope"}) { id } }'))["data"] == {"pod": None}
    assert await message(http, 'mutation { podStop(input: {podId: "nope"}) { id } }') == "pod not found"
    async with sim.client("nobody") as stranger:
        assert (await stranger.post("/graphql", json={"query": "{ myself { id } }"})).status_code == 401


async def test_null_docker_args_fail_without_a_reason(http: httpx.AsyncClient) -> None:
    query = "mutation c($i: PodFindAndDeployOnDemandInput!) { podFindAndDeployOnDemand(input: $i) { id } }"
    assert "Something went wrong" in await message(http, query, i={**INPUT, "dockerArgs": None})


async def test_stops_resumes_and_ends_as_other_clients_send_them(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod_id = (await spot(http))["data"]["podRentInterruptable"]["id"]
    await sim.advance(60)
    stop = "mutation s($podId: String!) { podStop(input: {podId: $podId}) { id desiredStatus lastStatusChange } }"
    stopped = (await ask(http, stop, podId=pod_id))["data"]["podStop"]
    assert stopped["desiredStatus"] == "EXITED" and stopped["lastStatusChange"].startswith("Exited by User: ")
    bid = """mutation Mutation($podId: String!, $bidPerGpu: Float!, $gpuCount: Int!) {
        podBidResume(input: {podId: $podId, bidPerGpu: $bidPerGpu, gpuCount: $gpuCount}) { id desiredStatus } }"""
    resumed = await ask(http, bid, podId=pod_id, bidPerGpu=1.2, gpuCount=1)
    assert resumed["data"]["podBidResume"]["desiredStatus"] == "RUNNING"
    assert (await ask(http, f'mutation {{ podTerminate(input: {{podId: "{pod_id}"}}) }}'))["data"] == {
        "podTerminate": None
    }
    assert (await ask(http, "{ myself { pods { id } } }"))["data"]["myself"]["pods"] == []


async def test_a_spot_pod_is_evicted_and_cannot_come_back(sim: Simulator, http: httpx.AsyncClient) -> None:
    assert "no longer any instances" in (await spot(http, bid=0.1))["errors"][0]["message"]
    pod_id = (await spot(http))["data"]["podRentInterruptable"]["id"]
    await sim.advance(60)
    sim.set_stock(A100, 0)
    await sim.evict(pod_id)
    one = await ask(http, f'{{ pod(input: {{podId: "{pod_id}"}}) {{ desiredStatus runtime {{ uptimeInSeconds }} }} }}')
    assert one["data"]["pod"] == {"desiredStatus": "EXITED", "runtime": None}
    resume = f'mutation {{ podResume(input: {{podId: "{pod_id}", gpuCount: 1}}) {{ id }} }}'
    assert "not enough free GPUs" in await message(http, resume)


async def test_stop_after_does_nothing_unless_the_switch_says_otherwise(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    query = "mutation c($i: PodFindAndDeployOnDemandInput!) { podFindAndDeployOnDemand(input: $i) { id } }"
    plan = {**INPUT, "stopAfter": "2026-10-01T12:30:00Z"}
    statuses = []
    for ignored in (True, False):
        sim.quirks.set(stop_after_ignored=ignored)
        pod_id = (await ask(http, query, i=plan))["data"]["podFindAndDeployOnDemand"]["id"]
        if ignored:
            first = pod_id
    await sim.advance(3600)
    statuses = [sim.pod(one).status.value for one in (first, pod_id)]
    assert statuses == ["RUNNING", "EXITED"]


async def test_a_pods_own_key_stops_that_pod_by_graphql(sim: Simulator, http: httpx.AsyncClient) -> None:
    mine = (await spot(http))["data"]["podRentInterruptable"]["id"]
    other = (await spot(http))["data"]["podRentInterruptable"]["id"]
    await sim.advance(60)
    sim.quirks.set(watchdog_v2_refused=True)
    async with sim.client(sim.pod(mine).key) as own:
        assert "denied" in await message(own, "{ myself { id } }")
        assert "denied" in await message(own, f'mutation {{ podTerminate(input: {{podId: "{mine}"}}) }}')
        assert "denied" in await message(own, f'mutation {{ podStop(input: {{podId: "{other}"}}) {{ id }} }}')
        stop = f'mutation {{ podStop(input: {{podId: "{mine}"}}) {{ id desiredStatus }} }}'
        sim.quirks.set(watchdog_stop_refused=True)
        assert "denied" in await message(own, stop)
        sim.quirks.set(watchdog_stop_refused=False)
        assert (await ask(own, f'{{ pod(input: {{podId: "{mine}"}}) {{ id }} }}'))["data"] == {"pod": {"id": mine}}
        body = await ask(own, stop)
        assert body["data"]["podStop"] == {"id": mine, "desiredStatus": "EXITED"}


async def test_balance_and_stock_are_told(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.set_balance("10.07")
    sim.set_stock(A100, 2)
    me = await ask(http, "{ myself { id email clientBalance currentSpendPerHr spendLimit notifyLowBalance } }")
    assert me["data"]["myself"]["clientBalance"] == 10.07 and me["data"]["myself"]["spendLimit"] == 80
    query = f"""{{ gpuTypes(input: {{id: "{A100}"}}) {{ id
        lowestPrice(input: {{gpuCount: 1, secureCloud: true}}) {{ stockStatus uninterruptablePrice availableGpuCounts }}
        many: lowestPrice(input: {{gpuCount: 8}}) {{ uninterruptablePrice }} }} }}"""
    gpu = (await ask(http, query))["data"]["gpuTypes"][0]
    assert gpu["lowestPrice"] == {"stockStatus": "Low", "uninterruptablePrice": 1.74, "availableGpuCounts": [1, 2]}
    assert gpu["many"] == {"uninterruptablePrice": None}


# --- the real SDK ------------------------------------------------------------------------------------------------


@pytest.fixture
def sdk(sim: Simulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    runpod = pytest.importorskip("runpod", reason="the real SDK is not installed: extra `runpod`")
    monkeypatch.setenv("RUNPOD_API_BASE_URL", sim.url)
    monkeypatch.setattr(runpod, "api_key", sim.key)
    return runpod


async def call(function: Any, *arguments: Any, **named: Any) -> Any:
    return await asyncio.to_thread(function, *arguments, **named)


async def test_the_real_sdk_sees_the_account(sim: Simulator, http: httpx.AsyncClient, sdk: Any) -> None:
    assert (await call(sdk.get_user))["id"] == sim.state.user_id
    assert A100 in [gpu["id"] for gpu in await call(sdk.get_gpus)]
    gpu = await call(sdk.get_gpu, A100)
    assert gpu["securePrice"] == 1.74 and gpu["lowestPrice"]["uninterruptablePrice"] == 1.39
    with pytest.raises(ValueError, match="No GPU found"):
        await call(sdk.get_gpu, "NVIDIA Imaginary")
    assert await call(sdk.get_pod, "nope") is None
    with pytest.raises(sdk.error.AuthenticationError):
        await call(sdk.get_pods, api_key="wrong")


async def test_the_real_sdk_takes_a_pod_through_its_life(sim: Simulator, http: httpx.AsyncClient, sdk: Any) -> None:
    volume = sim.state.create_volume("models", 50, "EU-RO-1", "STANDARD")
    made = await call(
        sdk.create_pod, "n", "runpod/pytorch:x", A100, cloud_type="SECURE", ports="22/tcp, 8888/http",
        container_disk_in_gb=30, volume_mount_path="/workspace", env={"A": "1"}, network_volume_id=volume.id,
    )  # fmt: skip
    assert made["env"] == ["A=1"] and made["machine"]["podHostId"]
    await sim.advance(60)
    pod = await call(sdk.get_pod, made["id"])
    assert (pod["imageName"], pod["containerDiskInGb"], pod["volumeInGb"]) == ("runpod/pytorch:x", 30, 0)
    assert pod["ports"] == "22/tcp,8888/http" and pod["runtime"]["ports"][0]["privatePort"] == 22
    assert [one["id"] for one in await call(sdk.get_pods)] == [made["id"]]
    assert sim.pod(made["id"]).host.data_center == "EU-RO-1"
    assert (await call(sdk.stop_pod, made["id"]))["desiredStatus"] == "EXITED"
    assert (await call(sdk.resume_pod, made["id"], 1))["desiredStatus"] == "RUNNING"
    assert await call(sdk.terminate_pod, made["id"]) is None
    assert await call(sdk.get_pods) == []


async def test_the_real_sdk_rents_a_cpu_pod_and_hears_of_refusals(sim: Simulator, sdk: Any) -> None:
    made = await call(sdk.create_pod, "c", "runpod/base:x", instance_id="cpu3c-2-4")
    assert sim.pod(made["id"]).gpu_id is None
    sim.set_stock(A100, 0)
    with pytest.raises(sdk.error.QueryError, match="no longer any instances"):
        await call(sdk.create_pod, "n", "runpod/x", A100)


async def test_an_html_page_reaches_the_sdk_as_broken_json(sim: Simulator, sdk: Any) -> None:
    sim.inject("list", "html-502")
    with pytest.raises(ValueError):  # noqa: PT011  requests' own JSON error, whichever it is
        await call(sdk.get_pods)
    assert await call(sdk.get_pods) == []

"""REST v2 of the simulator, over raw HTTP: what the API promises, and the ways in which it is known to break it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.quirks import Quirks
from tests.sim.runpod_api.replies import violations

A100 = "NVIDIA A100-SXM4-80GB"
BODY: dict[str, Any] = {
    "name": "maxcai-one",
    "image": "runpod/pytorch:test",
    "gpu": {"id": A100, "count": 1},
    "disk": 50,
    "ports": ["22/tcp", "8888/http"],
    "env": {"PUBLIC_KEY": "ssh-ed25519 AAAA test"},
    "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
}


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as sim:
        yield sim


@pytest.fixture
async def http(sim: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    async with sim.client() as client:
        yield client


async def create(http: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    reply = await http.post("/v2/pods", json={**BODY, **changes})
    assert reply.status_code == 201, reply.text
    pod: dict[str, Any] = reply.json()
    assert violations("Pod", pod) == []
    return pod


async def act(http: httpx.AsyncClient, pod_id: str, action: str) -> httpx.Response:
    return await http.post(f"/v2/pods/{pod_id}/action", json={"action": action})


async def get(http: httpx.AsyncClient, pod_id: str) -> dict[str, Any]:
    pod: dict[str, Any] = (await http.get(f"/v2/pods/{pod_id}")).raise_for_status().json()
    assert violations("Pod", pod) == []
    return pod


def refused(reply: httpx.Response, status: int) -> dict[str, Any]:
    problem: dict[str, Any] = reply.json()
    assert reply.status_code == status == problem["status"]
    assert reply.headers["content-type"] == "application/problem+json"
    assert violations("Problem", problem) == []
    return problem


# --- the life of a pod -------------------------------------------------------------------------------------------


async def test_running_is_said_long_before_there_is_a_port(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    assert (pod["status"], pod["runtime"], pod["ssh"]["direct"]) == ("RUNNING", None, None)
    assert pod["ssh"]["proxy"]["host"] == "ssh.runpod.io"
    await sim.advance(54)
    booting = await get(http, pod["id"])
    assert booting["runtime"]["ports"] is None and booting["ssh"]["direct"] is None
    await sim.advance(1)
    ready = await get(http, pod["id"])
    assert ready["ssh"]["direct"]["host"] == "127.0.0.1"
    assert ready["runtime"]["ports"][0]["public"] == ready["ssh"]["direct"]["port"]
    assert ready["runtime"]["ports"][1]["ip"].startswith("100.65.")


async def test_by_the_specification_a_pod_is_provisioned_then_started() -> None:
    async with Simulator(quirks=Quirks.specification()) as sim, sim.client() as http:
        pod = await create(http)
        assert (pod["status"], pod["startedAt"], pod["ssh"]["proxy"]) == ("PROVISIONING", None, None)
        assert pod["actions"] == ["stop", "terminate"]
        await sim.advance(2)
        assert (await get(http, pod["id"]))["status"] == "STARTING"
        await sim.advance(28)
        running = await get(http, pod["id"])
        assert running["status"] == "RUNNING" and running["startedAt"] == "2026-10-01T12:00:30.000Z"
        assert (await act(http, pod["id"], "stop")).json()["cost"] == 0.0


async def test_a_stop_keeps_the_pod_and_every_start_is_a_new_session(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    first = await get(http, pod["id"])
    stopped = (await act(http, pod["id"], "stop")).json()
    assert (stopped["status"], stopped["runtime"], stopped["ssh"]["direct"]) == ("EXITED", None, None)
    assert stopped["actions"] == ["start", "terminate"] and stopped["cost"] == 1.74
    await sim.advance(10)
    assert (await act(http, pod["id"], "start")).json()["ssh"]["direct"] is None
    await sim.advance(60)
    second = await get(http, pod["id"])
    assert second["startedAt"] > first["startedAt"]
    assert second["ssh"]["direct"]["port"] != first["ssh"]["direct"]["port"]
    assert [request.start_index for request in sim.factory.started] == [0, 1]  # type: ignore[attr-defined]


async def test_a_restart_is_a_new_session_too(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    before = await get(http, pod["id"])
    assert (await act(http, pod["id"], "restart")).status_code == 200
    await sim.advance(60)
    assert (await get(http, pod["id"]))["startedAt"] > before["startedAt"]


async def test_actions_that_the_status_forbids_are_conflicts(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    refused(await act(http, pod["id"], "start"), 409)
    await act(http, pod["id"], "stop")
    refused(await act(http, pod["id"], "stop"), 409)
    refused(await act(http, pod["id"], "restart"), 409)


async def test_a_terminated_pod_is_gone_with_its_volume_disk(sim: Simulator, http: httpx.AsyncClient) -> None:
    one, two = await create(http), await create(http, name="other")
    assert (await act(http, one["id"], "terminate")).status_code == 204
    assert (await http.delete(f"/v2/pods/{two['id']}")).status_code == 204
    for pod in (one, two):
        refused(await http.get(f"/v2/pods/{pod['id']}"), 404)
        refused(await http.delete(f"/v2/pods/{pod['id']}"), 404)
    assert sim.factory.destroyed == [one["id"], two["id"]]  # type: ignore[attr-defined]


async def test_locked_pods_and_cluster_members_are_conflicts(sim: Simulator, http: httpx.AsyncClient) -> None:
    locked = await create(http, locked=True)
    refused(await act(http, locked["id"], "stop"), 409)
    member = await create(http)
    sim.pod(member["id"]).cluster = True
    refused(await http.delete(f"/v2/pods/{member['id']}"), 409)
    refused(await http.patch(f"/v2/pods/{member['id']}", json={"name": "x"}), 409)
    listed = [pod["id"] for pod in (await http.get("/v2/pods")).json()["pods"]]
    assert listed == [locked["id"]]
    assert len((await http.get("/v2/pods?includeClusterPods=true")).json()["pods"]) == 2


async def test_an_edit_of_a_running_pod_resets_its_container(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    before = await get(http, pod["id"])
    renamed = (await http.patch(f"/v2/pods/{pod['id']}", json={"name": "new"})).json()
    assert renamed["name"] == "new" and renamed["startedAt"] == before["startedAt"]
    edited = (await http.patch(f"/v2/pods/{pod['id']}", json={"env": {"A": "1"}})).json()
    assert edited["startedAt"] > before["startedAt"] and edited["runtime"] is None
    smaller = {"mounts": {"persistent": {"size": 10, "path": "/workspace"}}}
    refused(await http.patch(f"/v2/pods/{pod['id']}", json=smaller), 400)
    other_kind = {"mounts": {"network": [{"volumeId": "v", "path": "/workspace"}]}}
    refused(await http.patch(f"/v2/pods/{pod['id']}", json=other_kind), 400)


async def test_the_container_gets_what_the_provider_injects(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http, image="sim/minimal")
    await sim.advance(60)
    request = sim.factory.started[0]  # type: ignore[attr-defined]
    assert (request.variant, request.mount, request.volume_key) == ("minimal", "/workspace", pod["id"])
    env = request.env
    assert env["RUNPOD_POD_ID"] == pod["id"] and env["RUNPOD_GPU_COUNT"] == "1" and env["RUNPOD_DC_ID"]
    assert env["RUNPOD_API_BASE_URL"] == sim.url and env["PUBLIC_KEY"] == BODY["env"]["PUBLIC_KEY"]
    assert env["RUNPOD_API_KEY"] not in (sim.key, "")
    assert "RUNPOD_API_KEY" not in (await get(http, pod["id"]))["env"]


# --- creating ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({"name": ""}, 422, "$.name"),
        ({"name": "x" * 192}, 422, "$.name"),
        ({"colour": "red"}, 422, "$.colour: unknown property"),
        ({"disk": "50"}, 422, "$.disk"),
        ({"ports": ["ssh"]}, 422, "$.ports[0]"),
        ({"mounts": {"persistent": {"size": 9, "path": "/workspace"}}}, 422, "$.mounts.persistent.size"),
        ({"cpu": {"id": "cpu3c"}}, 400, "exactly one of gpu and cpu"),
        ({"gpu": {"id": A100, "minCudaVersion": "12.8", "allowedCudaVersions": ["12.8"]}}, 400, "exclude each other"),
        ({"mounts": {"persistent": {"size": 10, "path": "/a"}, "network": [{"volumeId": "v", "path": "/a"}]}}, 400,
         "exclude each other"),
        ({"env": {f"V{number}": "" for number in range(51)}}, 400, "at most 50"),
        ({"gpu": {"id": "NVIDIA Imaginary"}}, 400, "not found"),
        ({"gpu": {"id": A100, "minCudaVersion": "13.1"}}, 400, "There are no longer any instances"),
        ({"dataCenterIds": ["AP-JP-1"]}, 400, "There are no longer any instances"),
        ({"gpu": {"id": A100, "count": 9}}, 400, "There are no longer any instances"),
        ({"templateId": "nope"}, 404, "template"),
        ({"mounts": {"network": [{"volumeId": "nope", "path": "/a"}]}}, 404, "network volume"),
    ],
)  # fmt: skip
async def test_a_create_that_breaks_a_rule_is_refused(
    http: httpx.AsyncClient, changes: dict[str, Any], status: int, words: str
) -> None:
    problem = refused(await http.post("/v2/pods", json={**BODY, **changes}), status)
    assert words in problem["detail"] + " ".join(problem.get("errors", []))
    assert (await http.get("/v2/pods")).json()["pods"] == []


async def test_a_create_without_a_disk_is_refused_only_after_a_machine_was_found(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    body = {key: value for key, value in BODY.items() if key != "disk"}
    assert "pod configuration parameters" in refused(await http.post("/v2/pods", json=body), 400)["detail"]
    sim.set_stock(A100, 0)
    assert "no longer any instances" in refused(await http.post("/v2/pods", json=body), 400)["detail"]
    sim.set_stock(A100, 1)
    sim.quirks.set(disk_compulsory=False)
    assert (await http.post("/v2/pods", json=body)).status_code == 201


async def test_a_body_that_is_no_json_is_refused(http: httpx.AsyncClient) -> None:
    refused(await http.post("/v2/pods", content=b"{"), 400)
    refused(await http.post("/v2/pods", content=b"[]"), 422)


async def test_the_least_cuda_version_is_compared_by_number(sim: Simulator, http: httpx.AsyncClient) -> None:
    h100 = {"id": "NVIDIA H100 80GB HBM3", "count": 1}
    assert (await create(http, gpu={**h100, "minCudaVersion": "12.11"}))["cudaVersion"] == "13.0"
    for host in sim.state.market.hosts:
        host.cuda = "12.11"
    assert (await create(http, gpu={"id": A100, "minCudaVersion": "12.2"}))["cudaVersion"] == "12.11"
    refused(await http.post("/v2/pods", json={**BODY, "gpu": {**h100, "allowedCudaVersions": ["12.8"]}}), 400)


async def test_a_data_centre_is_enforced_or_with_the_switch_a_wish(sim: Simulator, http: httpx.AsyncClient) -> None:
    assert (await create(http, dataCenterIds=["EU-RO-1"]))["dataCenterId"] == "EU-RO-1"
    sim.set_stock(A100, 0, data_center="EU-RO-1")
    refused(await http.post("/v2/pods", json={**BODY, "dataCenterIds": ["EU-RO-1"]}), 400)
    sim.quirks.set(data_centers_enforced=False)
    assert (await create(http, dataCenterIds=["EU-RO-1"]))["dataCenterId"] == "US-KS-2"


async def test_a_pod_goes_where_its_network_volume_is_and_the_volume_outlives_it(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    made = await http.post("/v2/network-volumes", json={"name": "models", "size": 50, "dataCenter": "EU-RO-1"})
    assert made.status_code == 201 and violations("NetworkVolume", made.json()) == []
    mounts = {"network": [{"volumeId": made.json()["id"], "path": "/workspace"}]}
    pod = await create(http, mounts=mounts)
    assert pod["dataCenterId"] == "EU-RO-1" and pod["mounts"] == mounts
    path = f"/v2/network-volumes/{made.json()['id']}"
    refused(await http.delete(path), 409)
    await http.delete(f"/v2/pods/{pod['id']}")
    assert [one["name"] for one in (await http.get("/v2/network-volumes")).json()["networkVolumes"]] == ["models"]
    refused(await http.patch(path, json={"size": 40}), 400)
    assert (await http.patch(path, json={"size": 60})).json()["size"] == 60
    assert (await http.delete(path)).status_code == 204
    refused(await http.get(path), 404)
    refused(await http.post("/v2/network-volumes", json={"name": "m", "size": 9, "dataCenter": "EU-RO-1"}), 422)


# --- stock -------------------------------------------------------------------------------------------------------


async def test_a_start_is_refused_when_somebody_took_the_gpu(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.quirks.set(gpu_gone_after_stop=True)
    pod = await create(http)
    await sim.advance(60)
    await act(http, pod["id"], "stop")
    await sim.advance(299)
    assert (await act(http, pod["id"], "start")).status_code == 200
    await act(http, pod["id"], "stop")
    await sim.advance(301)
    detail = refused(await act(http, pod["id"], "start"), 400)["detail"]
    assert detail == "There are not enough free GPUs on the host machine to start this pod."
    assert (await get(http, pod["id"]))["status"] == "EXITED"


@pytest.mark.parametrize("shown", [False, True])
async def test_a_start_may_succeed_with_no_gpu(sim: Simulator, http: httpx.AsyncClient, shown: bool) -> None:
    pod = await create(http)
    await sim.advance(60)
    await act(http, pod["id"], "stop")
    sim.set_stock(A100, 0)
    sim.quirks.set(zero_gpu_start=True, zero_gpu_shown=shown)
    assert (await act(http, pod["id"], "start")).status_code == 200
    await sim.advance(60)
    after = await get(http, pod["id"])
    assert after["gpu"]["count"] == (0 if shown else 1) and after["runtime"]["gpus"] == []
    assert sim.factory.started[-1].gpu_count == 0  # type: ignore[attr-defined]


async def test_the_catalogue_shows_stock_and_a_create_may_be_refused_all_the_same(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    query = "/v2/catalog/gpus?include=AVAILABILITY&product=POD&cloud=SECURE"
    sim.set_stock(A100, 2, cloud="SECURE")
    reply = (await http.get(query)).json()
    assert violations("GpuTypeList", reply) == []
    assert {gpu["id"]: gpu["availability"] for gpu in reply["gpus"]}[A100] == "LOW"
    sim.quirks.set(listed_refuses=True)
    refused(await http.post("/v2/pods", json=BODY), 400)
    sim.quirks.set(listed_refuses=False)
    await create(http, gpu={"id": A100, "count": 2})
    assert next(g for g in (await http.get(query)).json()["gpus"] if g["id"] == A100)["availability"] == "LOW"
    sim.set_stock(A100, 0)
    assert next(g for g in (await http.get(query)).json()["gpus"] if g["id"] == A100)["availability"] == "NONE"


async def test_the_catalogue_minds_its_parameters(http: httpx.AsyncClient) -> None:
    assert "availability" not in (await http.get("/v2/catalog/gpus")).json()["gpus"][0]
    refused(await http.get("/v2/catalog/gpus?cloud=SECURE"), 400)
    refused(await http.get("/v2/catalog/gpus?include=AVAILABILITY"), 400)
    refused(await http.get("/v2/catalog/gpus?include=EVERYTHING&product=POD"), 422)
    refused(await http.get("/v2/catalog/gpus?include=AVAILABILITY&product=POD&count=many"), 422)
    floor = await http.get("/v2/catalog/gpus?include=AVAILABILITY&product=POD&minCudaVersion=12.9")
    assert [gpu["id"] for gpu in floor.json()["gpus"]] == ["NVIDIA H100 80GB HBM3", "NVIDIA RTX PRO 4500 Blackwell"]
    assert (await http.get("/v2/catalog/gpus/NVIDIA%20A40")).json()["memory"] == 48
    refused(await http.get("/v2/catalog/gpus/NVIDIA%20Imaginary"), 404)
    centres = (await http.get("/v2/catalog/datacenters?include=GPU_AVAILABILITY&regions=EUROPE")).json()
    assert violations("DataCenterList", centres) == [] and [one["id"] for one in centres["dataCenters"]] == ["EU-RO-1"]


async def test_an_image_nobody_has_is_pulled_first(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http, image="somebody/large:1")
    await sim.advance(301)
    assert (await get(http, pod["id"]))["runtime"] is None
    await sim.advance(1)
    assert (await get(http, pod["id"]))["runtime"] is not None


async def test_a_pod_may_stay_without_a_port_for_19_minutes(sim: Simulator, http: httpx.AsyncClient) -> None:
    sim.quirks.set(no_port=True)
    pod = await create(http)
    await sim.advance(19 * 60)
    assert (await get(http, pod["id"]))["ssh"]["direct"] is None
    await sim.advance(60)
    assert (await get(http, pod["id"]))["ssh"]["direct"] is not None


async def test_a_lost_host_is_an_error_that_a_start_can_end(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    await sim.kill(pod["id"], "error")
    lost = await get(http, pod["id"])
    assert (lost["status"], lost["actions"]) == ("ERROR", ["start", "terminate"])
    assert (await act(http, pod["id"], "start")).status_code == 200


# --- lists, keys, methods ----------------------------------------------------------------------------------------


async def test_lists_come_in_pages(sim: Simulator, http: httpx.AsyncClient) -> None:
    ids = [(await create(http, name=f"p{number}"))["id"] for number in range(5)]
    seen: list[str] = []
    cursor = ""
    while True:
        reply = (await http.get(f"/v2/pods?limit=2{cursor}")).json()
        assert violations("PodList", reply) == []
        seen += [pod["id"] for pod in reply["pods"]]
        if not reply["pagination"]["hasNextPage"]:
            break
        cursor = f"&cursor={reply['pagination']['nextCursor']}"
    assert seen == ids
    assert (await http.get("/v2/pods?limit=5")).json()["pagination"] == {"nextCursor": None, "hasNextPage": False}
    refused(await http.get("/v2/pods?limit=0"), 422)
    refused(await http.get("/v2/pods?cursor=x"), 422)
    sim.quirks.set(pagination=False)
    assert set((await http.get("/v2/pods?limit=2")).json()) == {"pods"}


async def test_unknown_query_parameters_are_ignored(http: httpx.AsyncClient) -> None:
    pod = await create(http)
    listed = (await http.get("/v2/pods?desiredStatus=EXITED&status=EXITED")).json()["pods"]
    assert [one["id"] for one in listed] == [pod["id"]]


async def test_unknown_actions_name_the_known_ones(http: httpx.AsyncClient) -> None:
    pod = await create(http)
    problem = refused(await act(http, pod["id"], "reset"), 422)
    assert problem["detail"] == "Request validation failed."
    assert problem["errors"] == ["$.action: value must be one of 'start', 'stop', 'restart', 'terminate'"]


async def test_wrong_methods_and_paths_are_problems(http: httpx.AsyncClient) -> None:
    reply = await http.put("/v2/pods", json={})
    refused(reply, 405)
    assert reply.headers["allow"] == "GET, POST"
    refused(await http.get("/v2/templates"), 404)


async def test_keys_open_what_they_should(sim: Simulator, http: httpx.AsyncClient) -> None:
    pod = await create(http)
    await sim.advance(60)
    async with httpx.AsyncClient(base_url=sim.url, headers={"User-Agent": "t"}, trust_env=False) as nobody:
        assert refused(await nobody.get("/v2/pods"), 401)["detail"] == "missing bearer token"
        refused(await nobody.get("/v2/pods", headers={"Authorization": "Bearer wrong"}), 401)
        bare = await nobody.get("/v2/pods", headers={"User-Agent": "Python-urllib/3.11"})
        assert (bare.status_code, bare.text) == (403, "error code: 1010")
    async with sim.client(sim.read_only_key) as reader:
        assert (await reader.get("/v2/pods")).status_code == 200
        refused(await act(reader, pod["id"], "stop"), 403)


async def test_a_pods_own_key_reads_and_stops_that_pod_and_nothing_else(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    pod, other = await create(http), await create(http)
    await sim.advance(60)
    async with sim.client(sim.factory.started[0].env["RUNPOD_API_KEY"]) as own:  # type: ignore[attr-defined]
        assert (await own.get(f"/v2/pods/{pod['id']}")).status_code == 200
        refused(await own.get("/v2/pods"), 403)
        refused(await own.get(f"/v2/pods/{other['id']}"), 403)
        refused(await own.post("/v2/pods", json=BODY), 403)
        refused(await own.delete(f"/v2/pods/{pod['id']}"), 403)
        for action in ("terminate", "restart", "start"):
            refused(await act(own, pod["id"], action), 403)
        sim.quirks.set(watchdog_stop_refused=True)
        refused(await act(own, pod["id"], "stop"), 403)
        sim.quirks.set(watchdog_stop_refused=False, watchdog_key_refused=True)
        refused(await own.get(f"/v2/pods/{pod['id']}"), 401)
        sim.quirks.set(watchdog_key_refused=False, watchdog_v2_refused=True)
        refused(await act(own, pod["id"], "stop"), 403)
        sim.quirks.set(watchdog_v2_refused=False)
        assert (await act(own, pod["id"], "stop")).json()["status"] == "EXITED"


async def test_ssh_keys_are_replaced_as_a_whole_and_start_ssh_uses_them(
    sim: Simulator, http: httpx.AsyncClient
) -> None:
    await http.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 A one"]})
    await http.put("/v2/account/ssh-keys", json={"keys": ["ssh-ed25519 B two"]})
    assert (await http.get("/v2/account/ssh-keys")).json() == {"keys": ["ssh-ed25519 B two"]}
    pod = await create(http, env={}, startSsh=True)
    assert pod["env"] == {"PUBLIC_KEY": "ssh-ed25519 B two"}


async def test_the_document_of_the_api_is_served(http: httpx.AsyncClient) -> None:
    document = (await http.get("/v2/openapi.json")).json()
    assert document["openapi"].startswith("3.1") and "/v2/pods/{id}/action" in document["paths"]

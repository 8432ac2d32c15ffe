"""The routes of REST v2. They translate; what happens is `world`'s business."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from aiohttp import web

from tests.sim.runpod_api import catalog, wire
from tests.sim.runpod_api.billing import pod_billing, totals_billing, volume_billing
from tests.sim.runpod_api.clock import parse
from tests.sim.runpod_api.keys import CALL, WORLD
from tests.sim.runpod_api.market import version
from tests.sim.runpod_api.model import LogEntry, Plan, Refused, SimPod
from tests.sim.runpod_api.replies import body_of, choice, invalid, names, number, problem, specification
from tests.sim.runpod_api.world import World

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_FILTERS = ("cloud", "count", "minCudaVersion", "cudaVersions", "countryCodes", "product")
_MAX_ENV = 50
_POLL_S = 0.05  # real seconds between looks at a container log that somebody follows


def routes() -> list[tuple[str, str, Handler, str]]:
    """(method, path, handler, operation) of every route."""
    return [
        ("GET", "/v2/openapi.json", openapi, "openapi"),
        ("GET", "/v2/pods", list_pods, "list"),
        ("POST", "/v2/pods", create_pod, "create"),
        ("GET", "/v2/pods/{id}", get_pod, "get"),
        ("PATCH", "/v2/pods/{id}", update_pod, "patch"),
        ("DELETE", "/v2/pods/{id}", delete_pod, "terminate"),
        ("POST", "/v2/pods/{id}/action", act_on_pod, "action"),
        ("GET", "/v2/pods/{id}/logs", follow_logs, "logs"),
        ("GET", "/v2/catalog/gpus", list_gpus, "catalog"),
        ("GET", "/v2/catalog/gpus/{id}", get_gpu, "catalog"),
        ("GET", "/v2/catalog/datacenters", list_centers, "datacenters"),
        ("GET", "/v2/catalog/datacenters/{id}", get_center, "datacenters"),
        ("GET", "/v2/network-volumes", list_volumes, "volumes"),
        ("POST", "/v2/network-volumes", create_volume, "volume_create"),
        ("GET", "/v2/network-volumes/{id}", get_volume, "volume_get"),
        ("PATCH", "/v2/network-volumes/{id}", update_volume, "volume_patch"),
        ("DELETE", "/v2/network-volumes/{id}", delete_volume, "volume_delete"),
        ("GET", "/v2/account/ssh-keys", get_keys, "ssh_keys"),
        ("PUT", "/v2/account/ssh-keys", put_keys, "ssh_keys"),
        ("GET", "/v2/billing", totals_billing, "billing"),
        ("GET", "/v2/billing/pods", pod_billing, "billing"),
        ("GET", "/v2/billing/network-volumes", volume_billing, "billing"),
    ]


async def openapi(request: web.Request) -> web.Response:
    """Our document of the API."""
    return web.json_response(specification())


def page(request: web.Request, name: str, items: Sequence[Any]) -> web.Response:
    """One page of a list. Cursors are opaque. Raises Refused (422)."""
    limit = number(request, "limit", 1, 1000) or 1000
    if not request.app[WORLD].quirks.pagination:
        return web.json_response({name: list(items)})
    cursor = request.query.get("cursor")
    if cursor is not None and not (cursor.startswith("c") and cursor[1:].isdigit()):
        raise invalid("cursor: malformed")
    start = int(cursor[1:]) if cursor else 0
    more = start + limit < len(items)
    pagination = {"nextCursor": f"c{start + limit}" if more else None, "hasNextPage": more}
    return web.json_response({name: list(items[start : start + limit]), "pagination": pagination})


# --- pods --------------------------------------------------------------------------------------------------------


async def list_pods(request: web.Request) -> web.Response:
    """Every pod; members of clusters only when asked for."""
    world = request.app[WORLD]
    members = request.query.get("includeClusterPods") == "true"
    pods = [wire.pod_v2(world, pod) for pod in world.pods.values() if members or not pod.cluster]
    return page(request, "pods", pods)


async def get_pod(request: web.Request) -> web.Response:
    """One pod."""
    world = request.app[WORLD]
    return web.json_response(wire.pod_v2(world, world.pod(request.match_info["id"])))


async def create_pod(request: web.Request) -> web.Response:
    """Rent a pod."""
    world = request.app[WORLD]
    pod = await world.create(plan_of(await body_of(request, "PodCreate")))
    return web.json_response(wire.pod_v2(world, pod), status=201)


def plan_of(body: dict[str, Any]) -> Plan:
    """A create body that its schema accepts, by the rules that a schema cannot say. Raises Refused (400)."""
    gpu, cpu, mounts = body.get("gpu"), body.get("cpu"), body.get("mounts", {})
    persistent, network = mounts.get("persistent"), mounts.get("network") or []
    env = body.get("env", {})
    rules = (
        ((gpu is None) == (cpu is None), "exactly one of gpu and cpu must be given"),
        ("image" not in body and "templateId" not in body, "image is required unless templateId is given"),
        (persistent is not None and network, "mounts.persistent and mounts.network exclude each other"),
        (len(network) > 1, "at most one network volume can be mounted"),
        (persistent is not None and gpu is None, "CPU pods have no persistent mount"),
        (len(env) > _MAX_ENV, f"at most {_MAX_ENV} environment variables are allowed"),
        (gpu is not None and {"minCudaVersion", "allowedCudaVersions"} <= set(gpu),
         "gpu.minCudaVersion and gpu.allowedCudaVersions exclude each other"),
    )  # fmt: skip
    for broken, detail in rules:
        if broken:
            raise Refused(400, detail)
    mount = network[0] if network else persistent
    gpu, cpu = gpu or {}, cpu or {}
    return Plan(
        name=body["name"], image=body.get("image"), template_id=body.get("templateId"), gpu_id=gpu.get("id"),
        gpu_count=gpu.get("count", 1), cpu_id=cpu.get("id"), vcpus=cpu.get("vcpuCount", 2 if cpu else 12),
        cloud=body.get("cloud", "SECURE"), disk=body.get("disk"),
        persistent=persistent["size"] if persistent else None, volume_id=network[0]["volumeId"] if network else None,
        mount=mount["path"] if mount else None, data_centers=tuple(body.get("dataCenterIds", ())),
        min_cuda=gpu.get("minCudaVersion"), allowed_cuda=tuple(gpu.get("allowedCudaVersions", ())), env=env,
        ports=tuple(body.get("ports", ())), args=body.get("args", ""), start_ssh=body.get("startSsh", False),
        locked=body.get("locked", False), global_networking=body.get("globalNetworking", {}).get("enabled", False),
    )  # fmt: skip


async def update_pod(request: web.Request) -> web.Response:
    """Edit a pod. A running one gets a new container."""
    world = request.app[WORLD]
    body = await body_of(request, "PodUpdate")
    pod = world.pod(request.match_info["id"])
    if pod.cluster:
        raise Refused(409, "pod is a member of a cluster")
    _edit_mounts(pod, body.pop("mounts", {}))
    container = set(body) & {"image", "args", "disk", "ports", "env", "registry"}
    pod.name = body.get("name", pod.name)
    pod.image = body.get("image", pod.image)
    pod.args = body.get("args", pod.args)
    pod.disk = body.get("disk", pod.disk)
    pod.ports = tuple(body.get("ports", pod.ports))
    pod.env = body.get("env", pod.env)
    pod.locked = body.get("locked", pod.locked)
    pod.global_networking = body.get("globalNetworking", {"enabled": pod.global_networking})["enabled"]
    if container and pod.status.active:
        await world.machine.reset(pod, "Edited by User")
    world.machine.bill(pod)
    return web.json_response(wire.pod_v2(world, pod))


def _edit_mounts(pod: SimPod, mounts: dict[str, Any]) -> None:
    network, persistent = mounts.get("network"), mounts.get("persistent")
    if network is not None:
        if pod.volume_id is None or [one["volumeId"] for one in network] != [pod.volume_id]:
            raise Refused(400, "the kind of a mount and its network volume cannot be changed")
        pod.mount = network[0]["path"]
    if persistent is not None:
        if pod.persistent is None:
            raise Refused(400, "the kind of a mount and its network volume cannot be changed")
        if persistent["size"] < pod.persistent:
            raise Refused(400, "a volume disk cannot shrink")
        pod.persistent, pod.mount = persistent["size"], persistent["path"]


async def delete_pod(request: web.Request) -> web.Response:
    """Terminate a pod."""
    await request.app[WORLD].terminate(request.match_info["id"])
    return web.Response(status=204)


async def act_on_pod(request: web.Request) -> web.Response:
    """Start, stop, restart or terminate."""
    world = request.app[WORLD]
    action = (await body_of(request, "PodAction"))["action"]
    pod_id = request.match_info["id"]
    if action == "terminate":
        await world.terminate(pod_id)
        return web.Response(status=204)
    acts = {"start": world.start, "stop": world.stop, "restart": world.restart}
    return web.json_response(wire.pod_v2(world, await acts[action](pod_id)))


# --- logs --------------------------------------------------------------------------------------------------------


async def follow_logs(request: web.Request) -> web.StreamResponse:
    """The log as a stream of events that ends when the pod is gone. Called without the world's lock."""
    world = request.app[WORLD]
    source = choice(request, "source", ("container", "system"))
    async with world.lock:
        await world.settle()
        pod = world.pod(request.match_info["id"])
        entries = _first(world, pod, request)
    seen = pod.log[-1].sequence if pod.log else 0
    response = web.StreamResponse(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
    response.content_type = "text/event-stream"
    await response.prepare(request)
    fault = CALL.get().fault
    left = fault.events if fault is not None and fault.kind == "drop-sse" else math.inf
    with contextlib.suppress(ConnectionResetError):  # the client has gone
        while pod.id in world.pods:
            for entry in (one for one in entries if source in (None, one.source)):
                if left <= 0:
                    break
                await _send(response, entry)
                left -= 1
            if left <= 0:
                _cut(request)
                break
            entries, seen = await _more(world, pod, seen)
    return response


def _first(world: World, pod: SimPod, request: web.Request) -> list[LogEntry]:
    tail = number(request, "tail", 0, 5000)
    log = [
        one
        for one in pod.log
        if world.quirks.logs_keep_earlier_starts or one.start_index == pod.start_index or one.source == "system"
    ]
    last_id = request.headers.get("Last-Event-ID")
    if last_id is not None:
        position = last_id.rpartition("/")[2]
        if not position.isdigit():
            raise invalid("Last-Event-ID: malformed")
        after = int(position) - (1 if world.quirks.last_event_id_repeats else 0)
        return [one for one in log if one.sequence > after]
    since = request.query.get("since")
    if since is not None:
        try:
            begin = parse(since)
        except ValueError:
            raise invalid("since: expected an RFC 3339 time") from None
        return [one for one in log if one.at >= begin]
    source = request.query.get("source")
    shown = [one for one in log if source in (None, one.source)]
    count = 100 if tail is None else tail
    return shown[-count:] if count else []


async def _more(world: World, pod: SimPod, seen: int) -> tuple[list[LogEntry], int]:
    try:
        await asyncio.wait_for(pod.grown.wait(), _POLL_S)
    except TimeoutError:
        async with world.lock:
            await world.settle()
    fresh = [one for one in pod.log if one.sequence > seen]
    return fresh, (fresh[-1].sequence if fresh else seen)


async def _send(response: web.StreamResponse, entry: LogEntry) -> None:
    event_id, data = wire.log_event(entry)
    await response.write(f"id: {event_id}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode())


def _cut(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.close()


# --- catalogue ---------------------------------------------------------------------------------------------------


async def list_gpus(request: web.Request) -> web.Response:
    """Every GPU type that passes the filters."""
    world = request.app[WORLD]
    found = [gpu for gpu in catalog.GPUS if _passes(world, request, gpu)]
    cloud, stock = request.query.get("cloud"), "include" in request.query
    return page(request, "gpus", [wire.gpu_v2(world, gpu, cloud, stock) for gpu in found])


async def get_gpu(request: web.Request) -> web.Response:
    """One GPU type."""
    world = request.app[WORLD]
    gpu = catalog.gpu_type(request.match_info["id"])
    if gpu is None:
        raise Refused(404, "gpu type not found")
    _passes(world, request, gpu)
    return web.json_response(wire.gpu_v2(world, gpu, request.query.get("cloud"), "include" in request.query))


def _passes(world: World, request: web.Request, gpu: catalog.GpuType) -> bool:
    include = choice(request, "include", ("AVAILABILITY",))
    cloud = choice(request, "cloud", ("SECURE", "COMMUNITY"))
    product = choice(request, "product", ("POD", "SERVERLESS", "CLUSTER"))
    count = number(request, "count", 1, 8)
    if include is None and any(name in request.query for name in _FILTERS):
        raise Refused(400, "filters are valid only with include")
    if include is not None and product is None:
        raise Refused(400, "product is required with include")
    price = {"SECURE": gpu.secure, "COMMUNITY": gpu.community, None: gpu.secure or gpu.community}[cloud]
    floor = request.query.get("minCudaVersion")
    try:
        new_enough = floor is None or any(version(one) >= version(floor) for one in gpu.cuda)
    except ValueError:
        raise invalid("minCudaVersion: expected a version such as 12.8") from None
    exact, countries = names(request, "cudaVersions"), names(request, "countryCodes")
    where = [center for center in catalog.DATA_CENTERS if center.id in gpu.data_centers]
    return (
        price is not None
        and new_enough
        and (not exact or bool(set(exact) & set(gpu.cuda)))
        and (not countries or any(center.country in countries for center in where))
        and (count is None or count <= gpu.max_count)
    )


async def list_centers(request: web.Request) -> web.Response:
    """Every data centre that passes the filters."""
    world = request.app[WORLD]
    stock = choice(request, "include", ("GPU_AVAILABILITY",)) is not None
    regions, kinds = names(request, "regions"), names(request, "networkVolumeTypes")
    rules, connected = names(request, "compliance"), request.query.get("globalNetwork")
    found = [
        center
        for center in catalog.DATA_CENTERS
        if (not regions or center.region in regions)
        and set(kinds) <= set(center.volume_types)
        and set(rules) <= set(center.compliance)
        and (connected is None or center.global_network == (connected == "true"))
    ]
    return page(request, "dataCenters", [wire.center_v2(world, center, stock) for center in found])


async def get_center(request: web.Request) -> web.Response:
    """One data centre."""
    center = catalog.data_center(request.match_info["id"])
    if center is None:
        raise Refused(404, "data center not found")
    return web.json_response(wire.center_v2(request.app[WORLD], center, "include" in request.query))


# --- network volumes and account ---------------------------------------------------------------------------------


async def list_volumes(request: web.Request) -> web.Response:
    """Every network volume."""
    return page(request, "networkVolumes", [wire.volume_v2(one) for one in request.app[WORLD].volumes.values()])


async def create_volume(request: web.Request) -> web.Response:
    """Make a network volume."""
    body = await body_of(request, "NetworkVolumeCreate")
    kind = body.get("type", "STANDARD")
    volume = request.app[WORLD].create_volume(body["name"], body["size"], body["dataCenter"], kind)
    return web.json_response(wire.volume_v2(volume), status=201)


async def get_volume(request: web.Request) -> web.Response:
    """One network volume."""
    return web.json_response(wire.volume_v2(request.app[WORLD].volume(request.match_info["id"])))


async def update_volume(request: web.Request) -> web.Response:
    """Rename or enlarge a network volume."""
    volume = request.app[WORLD].volume(request.match_info["id"])
    body = await body_of(request, "NetworkVolumeUpdate")
    if body.get("size", volume.size) < volume.size:
        raise Refused(400, "a network volume cannot shrink")
    volume.size = body.get("size", volume.size)
    volume.name = body.get("name", volume.name)
    return web.json_response(wire.volume_v2(volume))


async def delete_volume(request: web.Request) -> web.Response:
    """Remove a network volume."""
    await request.app[WORLD].delete_volume(request.match_info["id"])
    return web.Response(status=204)


async def get_keys(request: web.Request) -> web.Response:
    """The account's SSH keys."""
    return web.json_response({"keys": request.app[WORLD].ssh_keys})


async def put_keys(request: web.Request) -> web.Response:
    """Replace the account's SSH keys, all of them."""
    world = request.app[WORLD]
    world.ssh_keys = (await body_of(request, "SshKeys"))["keys"]
    return web.json_response({"keys": world.ssh_keys})


async def nothing_here(request: web.Request) -> web.Response:
    """What an unknown path answers."""
    return problem(404, f"no route for {request.method} {request.path}")

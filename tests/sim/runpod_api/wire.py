"""How the simulated things look on the wire: REST v2 objects and GraphQL objects, with the quirks applied."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.sim.runpod_api import catalog
from tests.sim.runpod_api.clock import stamp, stamp_seconds
from tests.sim.runpod_api.model import LogEntry, NetworkVolume, SimPod, Status
from tests.sim.runpod_api.quirks import Quirks
from tests.sim.runpod_api.world import World

_HTTP_IP = "100.65.14.155"
_HTTP_PORT = 60821
Json = dict[str, Any]


def shown_status(pod: SimPod, quirks: Quirks) -> str:
    """The pod's status as v2 words it."""
    if quirks.create_replies_running and pod.status in (Status.PROVISIONING, Status.STARTING):
        return Status.RUNNING.value
    return pod.status.value


def actions(pod: SimPod, quirks: Quirks) -> list[str]:
    """What the pod's status allows."""
    status = shown_status(pod, quirks)
    if status == Status.TERMINATED:
        return []
    if status == Status.RUNNING:
        return ["stop", "restart", "terminate"]
    if status in (Status.EXITED, Status.ERROR):
        return ["start", "terminate"]
    if status == Status.PROVISIONING and quirks.provisioning_example:
        return ["start", "terminate"]
    return ["stop", "terminate"]


def pod_v2(world: World, pod: SimPod) -> Json:
    """The Pod object of REST v2."""
    quirks = world.quirks
    stopped = not pod.status.active
    body: Json = {
        "id": pod.id,
        "name": pod.name,
        "status": shown_status(pod, quirks),
        "actions": actions(pod, quirks),
        "image": pod.image,
        "args": pod.args,
        "env": dict(pod.env),
        "disk": pod.disk,
        "mounts": _mounts(pod),
        "ports": list(pod.ports),
        "registry": None,
        "cloud": pod.cloud,
        "dataCenterId": pod.host.data_center,
        "cudaVersion": pod.host.cuda or None,
        "ssh": _ssh(pod, quirks),
        "template": pod.template_id,
        "cost": 0.0 if stopped and not quirks.cost_when_stopped else float(pod.price),
        "locked": pod.locked,
        "createdAt": stamp(pod.created_at),
        "startedAt": stamp(pod.started_at),
        "globalNetworking": {"enabled": pod.global_networking},
    }
    if pod.gpu_id is not None:
        body["gpu"] = {"id": pod.gpu_id, "count": _gpu_count(pod, quirks)}
    else:
        body["cpu"] = {"id": pod.cpu_id, "vcpuCount": pod.vcpus}
    runtime = _runtime(world, pod)
    if runtime is not None or not quirks.runtime_missing:
        body["runtime"] = runtime
    if pod.cluster:
        body["cluster"] = {"id": "cluster0000001"}
    return body


def _gpu_count(pod: SimPod, quirks: Quirks) -> int:
    started_without = pod.status.active and pod.gpu_count > 0 and pod.gpus_held == 0
    return 0 if started_without and quirks.zero_gpu_shown else pod.gpu_count


def _mounts(pod: SimPod) -> Json:
    if pod.volume_id is not None:
        return {"network": [{"volumeId": pod.volume_id, "path": _mount(pod)}]}
    return {"persistent": {"size": pod.persistent, "path": _mount(pod)}} if pod.persistent else {}


def _mount(pod: SimPod) -> str | None:
    """Where the volume is: a pod of a lesser tier cannot have it where it was asked for, and clients must find it."""
    return pod.running.root if pod.running is not None and pod.running.root else pod.mount


def _runtime(world: World, pod: SimPod) -> Json | None:
    if pod.container_at is None:
        example = pod.status is Status.PROVISIONING and world.quirks.provisioning_example
        return {} if example else None
    return {
        "uptime": int(world.at - pod.container_at),
        "ports": [_port(pod, spec) for spec in pod.ports] if pod.endpoint else None,
        "gpus": [{"util": 0, "memoryUtil": 0} for _ in range(pod.gpus_held)],
        "cpu": {"util": 0},
        "memory": {"util": 0},
    }


def _port(pod: SimPod, spec: str) -> Json:
    number, kind = spec.split("/")
    if kind == "http":
        return {"ip": _HTTP_IP, "private": int(number), "public": _HTTP_PORT, "type": "http"}
    host, public = pod.endpoint if pod.endpoint and spec == "22/tcp" else (None, None)
    return {"ip": host, "private": int(number), "public": public, "type": "tcp"}


def _ssh(pod: SimPod, quirks: Quirks) -> Json:
    proxy = direct = None
    if quirks.proxy_always_filled or pod.container_at is not None:
        command = f"ssh {pod.proxy_user}@ssh.runpod.io"
        proxy = {"command": command, "host": "ssh.runpod.io", "port": 22, "username": pod.proxy_user}
    if pod.endpoint is not None and pod.running is not None and "22/tcp" in pod.ports:
        (host, port), user = pod.endpoint, pod.running.username
        direct = {"command": f"ssh {user}@{host} -p {port}", "host": host, "port": port, "username": user}
    return {"direct": direct, "proxy": proxy}


def volume_v2(volume: NetworkVolume) -> Json:
    """The network volume of REST v2."""
    return {
        "id": volume.id,
        "name": volume.name,
        "size": volume.size,
        "dataCenter": volume.data_center,
        "type": volume.type,
    }


def log_event(entry: LogEntry) -> tuple[str, Json]:
    """The id and the data of one server-sent event."""
    at = stamp_seconds(entry.at)
    return f"{at}/{entry.sequence:012d}", {"ts": at, "source": entry.source, "line": entry.line}


def gpu_v2(world: World, gpu: catalog.GpuType, cloud: str | None, with_stock: bool) -> Json:
    """One GPU type of the catalogue."""
    prices = {"secure": gpu.secure, "community": gpu.community}
    body: Json = {
        "id": gpu.id,
        "name": gpu.name,
        "pool": gpu.pool,
        "manufacturer": "NVIDIA",
        "memory": gpu.memory,
        "secure": gpu.secure is not None,
        "community": gpu.community is not None,
        "price": {name: float(price) for name, price in prices.items() if price is not None},
        "maxCount": {name: gpu.max_count for name, price in prices.items() if price is not None},
    }
    if with_stock:
        stock = world.market.stock
        body["availability"] = catalog.availability(stock(gpu.id, cloud))
        body["dataCenters"] = [
            {
                "id": center.id,
                "name": center.name,
                "availability": catalog.availability(stock(gpu.id, cloud, center.id)),
            }
            for center in catalog.DATA_CENTERS
            if center.id in gpu.data_centers
        ]
        body["cudaVersions"] = [{"version": one, "available": stock(gpu.id, cloud) > 0} for one in gpu.cuda]
    return body


def center_v2(world: World, center: catalog.DataCenter, with_stock: bool) -> Json:
    """One data centre of the catalogue."""
    body: Json = {
        "id": center.id,
        "name": center.name,
        "region": center.region,
        "globalNetwork": center.global_network,
        "networkVolumeTypes": list(center.volume_types),
        "compliance": list(center.compliance),
    }
    if with_stock:
        body["gpuAvailability"] = [
            {
                "id": gpu.id,
                "name": gpu.name,
                "availability": catalog.availability(world.market.stock(gpu.id, None, center.id)),
            }
            for gpu in catalog.GPUS
            if center.id in gpu.data_centers
        ]
    return body


def pod_graphql(world: World, pod: SimPod) -> Json:
    """The Pod object of GraphQL; resolvers pick from it what was asked for."""
    gpu = catalog.gpu_type(pod.gpu_id) if pod.gpu_id else None
    uptime = 0 if pod.container_at is None else int(world.at - pod.container_at)
    when = datetime.fromtimestamp(pod.started_at or pod.created_at, UTC)
    return {
        "id": pod.id,
        "name": pod.name,
        "containerDiskInGb": pod.disk,
        "costPerHr": 0.0 if not pod.status.active and not world.quirks.cost_when_stopped else float(pod.price),
        "createdAt": stamp(pod.created_at),
        "desiredStatus": desired_status(pod),
        "dockerArgs": pod.args,
        "dockerId": None,
        "env": [f"{name}={value}" for name, value in pod.env.items()],
        "gpuCount": _gpu_count(pod, world.quirks),
        "imageName": pod.image,
        "lastStatusChange": f"{pod.changed}: {when:%a %b %d %Y %H:%M:%S} GMT+0000 (Coordinated Universal Time)",
        "lastStartedAt": stamp(pod.started_at),
        "locked": pod.locked,
        "machineId": pod.host.id,
        "memoryInGb": 62,
        "networkVolumeId": pod.volume_id,
        "podType": "INTERRUPTABLE" if pod.spot else "RESERVED",
        "port": None,
        "ports": ",".join(pod.ports),
        "templateId": pod.template_id,
        "uptimeSeconds": 0 if world.quirks.list_uptime_zero else uptime,
        "vcpuCount": pod.vcpus,
        "volumeInGb": pod.persistent or 0,
        "volumeMountPath": _mount(pod),
        "runtime": _runtime_graphql(world, pod, uptime),
        "machine": {
            "podHostId": pod.proxy_user,
            "gpuDisplayName": gpu.name if gpu else None,
            "gpuTypeId": pod.gpu_id,
            "dataCenterId": pod.host.data_center,
            "secureCloud": pod.cloud == "SECURE",
        },
    }


def desired_status(pod: SimPod) -> str:
    """GraphQL's status, which is what is wanted and not what is."""
    if pod.status is Status.TERMINATED:
        return "TERMINATED"
    return "EXITED" if pod.stopping or not pod.status.active else "RUNNING"


def _runtime_graphql(world: World, pod: SimPod, uptime: int) -> Json | None:
    if pod.container_at is None:
        return None
    ports = None
    if pod.endpoint is not None:
        ports = [
            {
                "ip": one["ip"],
                "isIpPublic": one["type"] == "tcp",
                "privatePort": one["private"],
                "publicPort": one["public"],
                "type": one["type"],
            }
            for one in (_port(pod, spec) for spec in pod.ports)
            if one["public"] is not None
        ]
    gpus = [{"id": f"GPU-{number}", "gpuUtilPercent": 0, "memoryUtilPercent": 0} for number in range(pod.gpus_held)]
    load = {"cpuPercent": 0, "memoryPercent": 0}
    return {"uptimeInSeconds": uptime, "ports": ports, "gpus": gpus, "container": load}

"""RunPod's own library's spelling of pods, GPU types and volumes, to and from ours. No I/O here.

It speaks GraphQL and says less than the REST API: what it does not say stays None.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from remote.errors import ConfigError
from remote.pods.model import Cloud, Endpoint, Offer, Pod, PodSpec, PodStatus, Volume, VolumeKind
from remote.pods.runpod.asking import PORTS, check, cuda_from
from remote.pods.runpod.decode import host, identifier, items, mapping, price, rows, text, whole
from remote.pods.runpod.wire import MOUNT, NAME, PYTHON, USER, volume

_PORT = 22
_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_STARTED = re.compile(
    r"(?:Rented|Resumed|Started)\b[^:]*: [A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d{2}) (\d{4}) (\d{2}):(\d{2}):(\d{2})"
    r" GMT([+-])(\d{2})(\d{2})"
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ACTIONS = {
    "EXITED": frozenset({"start", "terminate"}),
    "TERMINATED": frozenset[str](),
}
_USUAL_ACTIONS = frozenset({"stop", "terminate"})


class Reading(Struct, frozen=True):
    """A pod as the library told it, without a start time; `told` is when it last said that the pod was started."""

    pod: Pod
    told: float | None  # unix seconds


def read_pod(raw: Any) -> Reading:
    """One element of `get_pods`, or what `get_pod` returns. Raises ValueError when it has no usable id."""
    data = mapping(raw)
    word, runtime, mount = (
        text(data.get("desiredStatus")),
        mapping(data.get("runtime")),
        text(data.get("volumeMountPath")),
    )
    endpoint = _endpoint(runtime)
    status, detail = _status(word, bool(runtime), endpoint is not None)
    gpu_count, volume_gb = whole(data.get("gpuCount"), most=1024), whole(data.get("volumeInGb"))
    gpu = text(mapping(data.get("machine")).get("gpuDisplayName"))
    if gpu_count == 0 and gpu and status is PodStatus.RUNNING:
        detail = "it runs without a GPU"
    pod = Pod(
        id=identifier(data.get("id")),
        name=text(data.get("name")) or "",
        provider=NAME,
        status=status,
        root=mount if mount and mount.startswith("/") else MOUNT,
        python=PYTHON,
        gpu=gpu,  # a name for people, not the id that one asks for
        gpu_count=gpu_count,
        price_per_hour=price(data.get("costPerHr")),
        endpoint=endpoint if status is PodStatus.RUNNING else None,
        image=text(data.get("imageName")),
        detail=detail,
        provider_status=word,
        actions=None if word is None else _ACTIONS.get(word, _USUAL_ACTIONS),
        disk_gb=whole(data.get("containerDiskInGb")),
        volume=VolumeKind.PERSISTENT if volume_gb else None,
        volume_gb=volume_gb or None,
        spot={"INTERRUPTABLE": True, "RESERVED": False}.get(text(data.get("podType")) or ""),
    )
    return Reading(pod, _told(data.get("lastStatusChange")))


def read_pods(raw: Any) -> list[Reading]:
    """What `get_pods` returns. Raises ValueError, as a list that leaves a pod out would say that it is gone."""
    return [read_pod(item) for item in rows({"pods": raw}, "pods")]


def deployment(name: str, spec: PodSpec, data_center: str | None) -> dict[str, Any]:
    """The arguments of `create_pod`, every one, as its own defaults are not ours; strings escaped as it pastes them.

    Raises ConfigError for what the library or RunPod would refuse or silently change.
    """
    check(name, spec)
    _check_library(spec)
    return {
        "name": escaped(name),
        "image_name": escaped(spec.image),
        "gpu_type_id": escaped(spec.gpu or ""),
        "cloud_type": spec.cloud.value,
        "support_public_ip": True,
        "start_ssh": False,  # it would let the account's keys in; ours travels in PUBLIC_KEY
        "data_center_id": None if data_center is None else escaped(data_center),
        "country_code": None,
        "gpu_count": spec.gpu_count,
        "volume_in_gb": spec.volume_gb or 0,
        "container_disk_in_gb": spec.disk_gb,
        "min_vcpu_count": 1,
        "min_memory_in_gb": 1,
        "docker_args": "",
        "ports": ",".join(PORTS),
        "volume_mount_path": escaped(spec.mount),
        "env": {key: escaped(value) for key, value in spec.env.items()},
        "template_id": escaped(spec.template_id) if spec.template_id else None,
        "network_volume_id": escaped(spec.volume_id) if spec.volume_id else None,
        "allowed_cuda_versions": None if spec.min_cuda is None else cuda_from(spec.min_cuda),
        "min_download": None,
        "min_upload": None,
        "instance_id": None,
    }


def escaped(text: str) -> str:
    """`text` as the inside of a GraphQL string: the library pastes strings into its queries as they are.

    Raises ConfigError for text that no string can hold.
    """
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise ConfigError("A text for RunPod holds a character that cannot be sent.", "Remove it.")
    return json.dumps(text)[1:-1]


def read_volumes(raw: Any) -> list[Volume]:
    """The network volumes in the reply to `get_user`. Raises ValueError."""
    return [volume({**mapping(row), "type": None}) for row in rows(raw, "networkVolumes")]


def read_offers(raw: Any, count: int) -> list[Offer]:
    """One GPU type of `get_gpu`, in each cloud that has it, `count` at a time. Raises ValueError when it has no id.

    What `get_gpus` tells of a type is read too: it names neither clouds nor prices, so both clouds have it, unpriced.
    """
    data = mapping(raw)
    gpu = text(data.get("id"))
    if gpu is None:
        raise ValueError("a GPU type has no id")
    most = whole(data.get("maxGpuCount"), most=1024)
    if most is not None and most < count:
        return []
    return [
        Offer(
            gpu=gpu,
            name=text(data.get("displayName")) or gpu,
            cloud=cloud,
            memory_gb=whole(data.get("memoryInGb"), 1),
            price=price(data.get(f"{cloud.value.lower()}Price")),
            stock=None,
            max_count=most,
        )
        for cloud in Cloud
        if data.get(f"{cloud.value.lower()}Cloud") is not False
    ]


def _status(word: str | None, runtime: bool, endpoint: bool) -> tuple[PodStatus, str | None]:
    """Our state and a remark, from the intent that RunPod notes and from what it shows of the container."""
    said = (word or "").upper()
    if said == "TERMINATED":
        return PodStatus.GONE, None
    if said == "EXITED":
        return (PodStatus.STOPPING if runtime else PodStatus.STOPPED), None
    if said not in ("CREATED", "RUNNING", "RESTARTING"):
        return PodStatus.UNKNOWN, "RunPod does not say its state" if word is None else "RunPod reports an unknown state"
    if endpoint and said == "RUNNING":
        return PodStatus.RUNNING, None
    if runtime:
        return PodStatus.BOOTING, "its container is there, its SSH address is not"
    return PodStatus.PULLING, "its container is not there yet"


def _endpoint(runtime: Mapping[str, Any]) -> Endpoint | None:
    """The public address of the SSH port; the private addresses of proxied ports are none."""
    for entry in map(mapping, items(runtime.get("ports"))):
        if entry.get("privatePort") != _PORT or entry.get("isIpPublic") is not True:
            continue
        name, port = host(entry.get("ip")), whole(entry.get("publicPort"), 1, 65535)
        if name is not None and port is not None:
            return Endpoint(name, port, USER)
    return None


def _told(text: Any) -> float | None:
    """When the pod was last started, from a remark like "Rented by User: Fri Jul 12 2024 15:14:40 GMT-0400 (…)"."""
    match = _STARTED.match(text) if isinstance(text, str) else None
    if match is None or match[1] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[part]) for part in range(2, 7))
    offset = timedelta(hours=int(match[8]), minutes=int(match[9])) * (1 if match[7] == "+" else -1)
    try:
        local = datetime(year, _MONTHS.index(match[1]) + 1, day, hour, minute, second, tzinfo=UTC)
        return (local - offset).timestamp()
    except (ValueError, OverflowError):
        return None


def _check_library(spec: PodSpec) -> None:
    """Raise ConfigError for what the REST API takes and the library does not."""
    lacking = {
        "rent spot pods": spec.bid is not None,
        "rent pods without a GPU on a network volume": spec.gpu is None,
        "ask for one of several data centres": len(spec.data_centers) > 1,
    }
    for what, asked in lacking.items():
        if asked:
            raise ConfigError(f"RunPod's own library cannot {what}.", "Use the transport v2, or do without.")
    for name in spec.env:
        if not _ENV_NAME.fullmatch(name):
            raise ConfigError(
                f"{json.dumps(name)} is no name of an environment variable that RunPod's own library can send.",
                "Use capital letters, digits and underscores.",
            )

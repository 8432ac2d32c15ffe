"""RunPod's REST replies as our records. Extra fields are ignored, absent ones stay None, states follow from evidence.

A list with an entry that has no id is refused as a whole: leaving that entry out would say that its pod is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remote.pods.model import (
    BillingRecord,
    Cloud,
    Endpoint,
    GpuUse,
    LogLine,
    Offer,
    Pod,
    PodStatus,
    Stock,
    Volume,
    VolumeKind,
)
from remote.pods.runpod.decode import (
    amount,
    decode,
    fraction,
    host,
    identifier,
    items,
    mapping,
    price,
    rows,
    text,
    when,
    whole,
)

NAME = "runpod"
MOUNT = "/workspace"
PYTHON = "python3"
USER = "root"

_COMING_UP = frozenset({"PROVISIONING", "STARTING", "RUNNING"})
_ACTIONS = frozenset({"start", "stop", "restart", "terminate"})


def pod(data: Any) -> Pod:
    """One pod of the REST API. Raises ValueError when it has no usable id."""
    data = mapping(data)
    runtime, ssh, gpu = (mapping(data.get(key)) for key in ("runtime", "ssh", "gpu"))
    direct = _endpoint(ssh.get("direct"))
    status, detail = _status(text(data.get("status")), bool(runtime), direct is not None)
    kind, volume_id, volume_gb, mount = _volume(data.get("mounts"))
    gpu_count = whole(gpu.get("count"), most=1024) if gpu else (0 if mapping(data.get("cpu")) else None)
    if gpu_count == 0 and gpu and status is PodStatus.RUNNING:
        detail = "it runs without a GPU"
    return Pod(
        id=identifier(data.get("id")),
        name=text(data.get("name")) or "",
        provider=NAME,
        status=status,
        root=mount or MOUNT,
        python=PYTHON,
        gpu=text(gpu.get("id")),
        gpu_count=gpu_count,
        price_per_hour=price(data.get("cost")),
        endpoint=direct if status is PodStatus.RUNNING else None,
        started_at=when(data.get("startedAt")),
        image=text(data.get("image")),
        detail=detail,
        provider_status=text(data.get("status")),
        actions=_actions(data.get("actions")),
        cloud=_cloud(data.get("cloud")),
        data_center=text(data.get("dataCenterId")),
        disk_gb=whole(data.get("disk")),
        volume=kind,
        volume_id=volume_id,
        volume_gb=volume_gb,
        created_at=when(data.get("createdAt")),
        proxy=_endpoint(ssh.get("proxy")),
        use=tuple(_use(mapping(card)) for card in items(runtime.get("gpus"))[:64]),
    )


def _status(word: str | None, runtime: bool, direct: bool) -> tuple[PodStatus, str | None]:
    """Our state and a remark, from the provider's word and from what it shows of the container.

    Its RUNNING alone proves nothing: it is said of pods whose image is still being fetched.
    """
    said = (word or "").upper()
    if said == "EXITED":
        return PodStatus.STOPPED, None
    if said == "TERMINATED":
        return PodStatus.GONE, None
    if said == "ERROR":
        return PodStatus.DEGRADED, "RunPod reports an error; it may still cost money"
    if said not in _COMING_UP:
        return PodStatus.UNKNOWN, "RunPod does not say its state" if word is None else "RunPod reports an unknown state"
    if direct and said == "RUNNING":
        return PodStatus.RUNNING, None
    if runtime:
        return PodStatus.BOOTING, "its container is there, its SSH address is not"
    return PodStatus.PULLING, "its container is not there yet"


def _endpoint(data: Any) -> Endpoint | None:
    data = mapping(data)
    name, port = host(data.get("host")), whole(data.get("port"), 1, 65535)
    if name is None or port is None:
        return None
    user = text(data.get("username")) or USER
    return Endpoint(name, port, user if user.isprintable() and not user.startswith("-") else USER)


def _volume(data: Any) -> tuple[VolumeKind | None, str | None, int | None, str | None]:
    """What of the disk is kept: kind, id and size of the volume, and where it is mounted.

    The kind is None when the reply does not tell, which must not be taken for "nothing is kept".
    """
    if not isinstance(data, dict):
        return None, None, None, None
    network, persistent = data.get("network"), data.get("persistent")
    if network not in (None, []):
        first = mapping(items(network)[0]) if items(network) else {}
        volume_id = text(first.get("volumeId"))
        return (VolumeKind.NETWORK if volume_id else None), volume_id, None, _mount(first)
    if persistent not in (None, {}):
        size = whole(mapping(persistent).get("size"))
        if size == 0:
            return VolumeKind.NONE, None, None, None
        return (VolumeKind.PERSISTENT if mapping(persistent) else None), None, size, _mount(mapping(persistent))
    return VolumeKind.NONE, None, None, None


def _mount(data: Mapping[str, Any]) -> str | None:
    path = text(data.get("path"))
    if path is None or not path.startswith("/") or not path.isprintable() or ".." in path.split("/"):
        return None
    return path.rstrip("/") or None


def _actions(data: Any) -> frozenset[str] | None:
    if not isinstance(data, list):
        return None
    return frozenset(action for action in items(data) if isinstance(action, str) and action in _ACTIONS)


def _cloud(data: Any) -> Cloud | None:
    return Cloud(data) if isinstance(data, str) and data in Cloud.__members__ else None


def _use(card: Mapping[str, Any]) -> GpuUse:
    return GpuUse(util=fraction(card.get("util")), memory=fraction(card.get("memoryUtil")))


def stock(data: Any) -> Stock | None:
    """How much is free; None when not told."""
    return Stock[data.upper()] if isinstance(data, str) and data.upper() in Stock.__members__ else None


def offers(data: Any, cloud: Cloud, count: int) -> list[Offer]:
    """The GPU types of a catalogue reply that `cloud` has, `count` at a time where it tells the most of them."""
    found = []
    for row in rows(data, "gpus"):
        if not isinstance(row, dict) or (gpu := text(row.get("id"))) is None:
            continue  # what cannot be named cannot be rented
        key = cloud.value.lower()
        most = whole(mapping(row.get("maxCount")).get(key), most=1024)
        if row.get(key) is False or (most is not None and most < count):
            continue
        found.append(
            Offer(
                gpu=gpu,
                name=text(row.get("name")) or gpu,
                cloud=cloud,
                memory_gb=whole(row.get("memory"), 1),
                price=price(mapping(row.get("price")).get(key)),
                stock=stock(row.get("availability")),
                max_count=most,
                data_centers=_data_centers(row.get("dataCenters")),
                cuda_versions=_cuda_versions(row.get("cudaVersions")),
            )
        )
    return found


def _data_centers(data: Any) -> dict[str, Stock | None]:
    centers = [mapping(row) for row in items(data)]
    return {name: stock(row.get("availability")) for row in centers if (name := text(row.get("id")))}


def _cuda_versions(data: Any) -> tuple[str, ...]:
    versions = [mapping(row) for row in items(data)]
    return tuple(name for row in versions if row.get("available") is True and (name := text(row.get("version"))))


def volume(data: Any) -> Volume:
    """One network volume. Raises ValueError when it has no id or no size."""
    data = mapping(data)
    size = whole(data.get("size"), 1)
    if size is None:
        raise ValueError("a volume has no size")
    center = text(data.get("dataCenter")) or text(data.get("dataCenterId"))
    volume_id = identifier(data.get("id"))
    return Volume(volume_id, text(data.get("name")) or volume_id, size, center, text(data.get("type")))


def billing_record(data: Any) -> BillingRecord:
    """What one bucket cost. Raises ValueError when it does not say of which time it is."""
    data = mapping(data)
    start, end = when(data.get("startTime")), when(data.get("endTime"))
    if start is None or end is None or end < start:
        raise ValueError("a billing record has no time")
    total, gpu, cpu, disk = (amount(data.get(f"{part}Amount")) for part in ("total", "gpu", "cpu", "disk"))
    return BillingRecord(text(data.get("podId")), start, end, total, gpu=gpu, cpu=cpu, disk=disk)


def cursor(data: Any) -> str | None:
    """Where the next page of a list begins, None after the last. Raises ValueError when a page is promised, not named.

    Replies without pages are legal.
    """
    pages = mapping(mapping(data).get("pagination"))
    following = text(pages.get("nextCursor"))
    if pages.get("hasNextPage") is True and following is None:
        raise ValueError("it promises a next page without saying where")
    return None if pages.get("hasNextPage") is False else following


def log_line(payload: str, event_id: str | None) -> LogLine:
    """One event of a pod's log. What is not in the documented form is kept as bare text."""
    try:
        data = decode(payload.encode("utf-8", "replace"))
    except ValueError:
        data = None
    line = data.get("line") if isinstance(data, dict) else None
    if not isinstance(line, str):
        return LogLine(payload, id=event_id)
    line = text(line) or ""
    return LogLine(line, at=when(data.get("ts")), source=text(data.get("source")), id=event_id)

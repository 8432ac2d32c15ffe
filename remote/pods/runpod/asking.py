"""What we send to rent a pod, for both APIs, and the refusal of what RunPod would refuse, before anything is sent."""

from __future__ import annotations

import re
from typing import Any

from remote.errors import ConfigError
from remote.pods.model import PodSpec

PORTS = ("22/tcp",)
CPU = "cpu3c"  # the family that `instanceId: "cpu3c-2-4"` of the older API names
MAX_NAME = 191
MAX_ENV = 50
MIN_VOLUME_GB = 10
MAX_VOLUME_GB = 4096

_CUDA = re.compile(r"(\d{1,3})\.(\d{1,3})")
_CUDA_MINORS = {11: 8, 12: 9, 13: 9}
"""The last minor version that is asked for of each CUDA version, where exact versions are taken and no floor."""


def check(name: str, spec: PodSpec) -> None:
    """Raises ConfigError for a pod that RunPod would not take, or that it would give no SSH or no disk."""
    for broken, remedy in _broken(name, spec):
        raise ConfigError(f"This pod cannot be rented at RunPod: {broken}.", remedy)


def _broken(name: str, spec: PodSpec) -> list[tuple[str, str]]:
    """Every broken rule, with what to do."""
    rules = [
        (not 0 < len(name) <= MAX_NAME, f"its name has {len(name)} characters", f"Use 1 to {MAX_NAME}."),
        (not spec.image and not spec.template_id, "it has neither image nor template", "Name one."),
        (spec.gpu == "", "it has no GPU type", 'Name RunPod\'s id of one, such as "NVIDIA A100-SXM4-80GB".'),
        (
            spec.gpu is None and spec.volume_gb is not None,
            "one without a GPU has no kept disk on its host",
            "Name a GPU, or give it a network volume.",
        ),
        (spec.gpu_count < 1, f"it asks for {spec.gpu_count} GPUs", "Ask for 1 or more."),
        (spec.disk_gb < 1, f"its container disk has {spec.disk_gb} GB", "Give 1 GB or more."),
        (not spec.mount.startswith("/"), f'"{spec.mount}" is no absolute path', "Mount the volume at /workspace."),
        (
            spec.min_cuda is not None and not _CUDA.fullmatch(spec.min_cuda),
            f'"{spec.min_cuda}" is no CUDA version',
            'Give one such as "12.8".',
        ),
        (not all(spec.data_centers), "a data centre has no name", 'Name it, for example "EU-RO-1".'),
    ]
    return [(what, remedy) for broken, what, remedy in [*rules, *_volume(spec), *_env(spec), *_spot(spec)] if broken]


def _volume(spec: PodSpec) -> list[tuple[bool, str, str]]:
    return [
        (
            spec.volume_id is not None and spec.volume_gb is not None,
            "it asks for a network volume and a volume disk",
            "Choose one of them.",
        ),
        (spec.volume_id == "", "its network volume has no id", "Name it, or leave it out."),
        (
            spec.volume_gb is not None and spec.volume_gb < MIN_VOLUME_GB,
            f"its volume disk has {spec.volume_gb} GB",
            f"Give {MIN_VOLUME_GB} GB or more.",
        ),
        (
            spec.volume_id is None and spec.volume_gb is None and not spec.ephemeral,
            "nothing of it would survive a stop",
            "Give it a volume, or say that it is ephemeral.",
        ),
    ]


def _env(spec: PodSpec) -> list[tuple[bool, str, str]]:
    """Rules for the environment; messages show names only."""
    bad = [name for name in spec.env if not name or "=" in name or "\0" in name or not name.isprintable()]
    nul = [name for name, value in spec.env.items() if "\0" in value]
    return [
        (len(spec.env) > MAX_ENV, f"it has {len(spec.env)} environment variables", f"Use {MAX_ENV} at most."),
        (bool(bad), f"{bad[:1]!r} is no name of an environment variable", "Rename it."),
        (bool(nul), f"the value of {''.join(nul[:1])} has a zero byte", "Take it out."),
    ]


def _spot(spec: PodSpec) -> list[tuple[bool, str, str]]:
    """Rules of the older API, the only one that rents spot pods."""
    if spec.bid is None:
        return []
    return [
        (spec.gpu is None, "the spot market has no pods without a GPU", "Leave out the bid."),
        (not spec.bid.is_finite() or spec.bid <= 0, f"its bid is {spec.bid}", "Bid USD per hour and GPU above 0."),
        (
            len(spec.data_centers) > 1,
            "the spot market takes one data centre at most",
            "Name one data centre, or none.",
        ),
    ]


def body(name: str, spec: PodSpec) -> dict[str, Any]:
    """The REST request that rents this pod. Sizes in GB."""
    asked: dict[str, Any] = {
        "name": name,
        **_processor(spec),
        "cloud": spec.cloud.value,
        "disk": spec.disk_gb,
        "ports": list(PORTS),
        "env": dict(spec.env),
    }
    if spec.image:
        asked["image"] = spec.image
    if spec.template_id:
        asked["templateId"] = spec.template_id
    if spec.data_centers:
        asked["dataCenterIds"] = list(spec.data_centers)
    if spec.volume_id is not None:
        asked["mounts"] = {"network": [{"volumeId": spec.volume_id, "path": spec.mount}]}
    elif spec.volume_gb is not None:
        asked["mounts"] = {"persistent": {"size": spec.volume_gb, "path": spec.mount}}
    return asked


def _processor(spec: PodSpec) -> dict[str, Any]:
    """What computes: graphics cards, or, to reach the data on a network volume, two of the cheapest processors."""
    if spec.gpu is None:
        return {"cpu": {"id": CPU, "vcpuCount": 2}}
    gpu: dict[str, Any] = {"id": spec.gpu, "count": spec.gpu_count}
    if spec.min_cuda is not None:
        gpu["minCudaVersion"] = spec.min_cuda
    return {"gpu": gpu}


def spot_input(name: str, spec: PodSpec) -> dict[str, Any]:
    """The GraphQL input that rents it as a spot pod. Its machine is asked to have a public address, for SSH."""
    asked: dict[str, Any] = {
        "name": name,
        "cloudType": spec.cloud.value,
        "gpuTypeId": spec.gpu,
        "gpuCount": spec.gpu_count,
        "bidPerGpu": float(spec.bid or 0),
        "containerDiskInGb": spec.disk_gb,
        "volumeInGb": spec.volume_gb or 0,
        "volumeMountPath": spec.mount,
        "minVcpuCount": 1,
        "minMemoryInGb": 1,
        "ports": ",".join(PORTS),
        "dockerArgs": "",  # null makes the API fail with an unknown error
        "supportPublicIp": True,
        "env": [{"key": key, "value": value} for key, value in spec.env.items()],
    }
    if spec.min_cuda is not None:
        asked["allowedCudaVersions"] = cuda_from(spec.min_cuda)  # it takes exact versions, no floor
    if spec.image:
        asked["imageName"] = spec.image
    if spec.template_id:
        asked["templateId"] = spec.template_id
    if spec.data_centers:
        asked["dataCenterId"] = spec.data_centers[0]
    if spec.volume_id is not None:
        asked["networkVolumeId"] = spec.volume_id
    return asked


def cuda_from(floor: str) -> list[str]:
    """Every CUDA version from `floor` ("12.8") on that is known to be asked for. Raises ConfigError for none."""
    match = _CUDA.fullmatch(floor)
    if match is None or int(match[1]) not in _CUDA_MINORS:
        known = ", ".join(str(major) for major in _CUDA_MINORS)
        raise ConfigError(f'"{floor}" is no CUDA version of the series {known}.', "Write it like 12.8.")
    least = (int(match[1]), int(match[2]))
    versions = [(major, minor) for major, last in _CUDA_MINORS.items() for minor in range(last + 1)]
    return [f"{major}.{minor}" for major, minor in versions if (major, minor) >= least]


def check_volume(name: str, size_gb: int, data_center: str) -> None:
    """Raises ConfigError for a network volume that RunPod would not make."""
    if not name or not data_center:
        raise ConfigError("A network volume needs a name and a data centre.")
    if not MIN_VOLUME_GB <= size_gb <= MAX_VOLUME_GB:
        raise ConfigError(
            f"A network volume of {size_gb} GB cannot be made at RunPod.",
            f"It takes {MIN_VOLUME_GB} to {MAX_VOLUME_GB} GB.",
        )

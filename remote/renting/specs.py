"""What a pod is to be: is it sound, how is it written in the journal, and what of a pod it tells.

Buying one is `remote.renting.creating`'s.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from msgspec.structs import replace

from remote.errors import ConfigError, VolumelessStop
from remote.journal import Intent
from remote.pods.model import Cloud, Pod, PodSpec, VolumeKind

KEY = "PUBLIC_KEY"
"""The variable through which the pod learns our SSH key."""

_MAX_ENV = 50  # RunPod's limit
_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*", re.IGNORECASE)


def check(spec: PodSpec) -> None:
    """Refuse what cannot work or would lose data unasked. Raises ConfigError, or VolumelessStop for no kept disk."""
    if not (spec.image or spec.template_id):
        raise ConfigError("No image is named for the pod.", "Name an image or a template.")
    if spec.gpu is not None and spec.gpu_count < 1:
        raise ConfigError(f"{spec.gpu_count} GPUs cannot be rented.", "Ask for one or more.")
    if spec.volume_id is not None and spec.volume_gb is not None:
        raise ConfigError("A pod has a network volume or a disk on its host, not both.", "Name one of them.")
    if spec.gpu is None and spec.volume_gb is not None:
        raise ConfigError("A pod without a GPU cannot have a kept disk on its host.", "Use a network volume.")
    if spec.disk_gb < 1 or (spec.volume_gb is not None and spec.volume_gb < 10):
        raise ConfigError("A disk is too small.", "The container disk needs 1 GB, a kept disk 10 GB or more.")
    if KEY in spec.env:
        raise ConfigError(f"{KEY} is ours to set: it lets us in.", f"Take {KEY} out of the pod's environment.")
    if wrong := [name for name in spec.env if not _ENV_NAME.fullmatch(name)]:
        raise ConfigError(f'"{wrong[0]}" is no name for an environment variable.', "Use letters, digits and _.")
    if len(spec.env) >= _MAX_ENV:
        raise ConfigError(f"A pod takes at most {_MAX_ENV - 1} environment variables from us.", "Use fewer.")
    if spec.volume_id is None and spec.volume_gb is None and not spec.ephemeral:
        raise VolumelessStop(
            "This pod would keep nothing: a stop destroys all its data.",
            "Give it a network volume or a kept disk, or say that it is ephemeral.",
        )


def kept_by(spec: PodSpec) -> VolumeKind:
    """What of such a pod survives a stop."""
    if spec.volume_id is not None:
        return VolumeKind.NETWORK
    return VolumeKind.NONE if spec.volume_gb is None else VolumeKind.PERSISTENT


def describe(spec: PodSpec) -> dict[str, Any]:
    """A spec as JSON for the journal; of the environment only the names."""
    return {
        "image": spec.image,
        "gpu": spec.gpu,
        "gpu_count": spec.gpu_count,
        "cloud": spec.cloud.value,
        "disk_gb": spec.disk_gb,
        "volume_id": spec.volume_id,
        "volume_gb": spec.volume_gb,
        "mount": spec.mount,
        "data_centers": list(spec.data_centers),
        "min_cuda": spec.min_cuda,
        "bid": None if spec.bid is None else str(spec.bid),
        "ephemeral": spec.ephemeral,
        "template_id": spec.template_id,
        "env": sorted(spec.env),
    }


def spec_hash(spec: PodSpec) -> str:
    """12 hex digits that differ for specs that differ in anything but the values of the environment."""
    return hashlib.sha256(json.dumps(describe(spec), sort_keys=True).encode()).hexdigest()[:12]


def spec_of(intent: Intent) -> PodSpec | None:
    """The spec of a create in the journal, without its environment; None when its line is damaged."""
    facts = intent.facts.get("spec")
    if not isinstance(facts, Mapping):
        return None
    plain = {name: value for name, value in facts.items() if name != "env"}
    try:
        bid = plain["bid"]
        return PodSpec(
            **{
                **plain,
                "cloud": Cloud(plain["cloud"]),
                "data_centers": tuple(plain["data_centers"]),
                "bid": None if bid is None else Decimal(bid),
            }
        )
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None


def completed(pod: Pod, spec: PodSpec) -> Pod:
    """The pod with what its provider does not tell filled in from what was ordered: sizes, volume, GPU."""
    told = pod.volume is not None
    return replace(
        pod,
        gpu=pod.gpu or spec.gpu,
        gpu_count=spec.gpu_count if pod.gpu_count is None and spec.gpu else pod.gpu_count,
        disk_gb=spec.disk_gb if pod.disk_gb is None else pod.disk_gb,
        volume=pod.volume if told else kept_by(spec),
        volume_id=pod.volume_id if told else spec.volume_id,
        volume_gb=pod.volume_gb if told or pod.volume_gb is not None else spec.volume_gb,
    )

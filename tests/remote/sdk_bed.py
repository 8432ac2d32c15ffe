"""What the tests of RunPod's own library share: a pod to ask for, and the provider against the simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remote.pods.model import PodSpec
from remote.pods.runpod.sdk import SdkProvider
from tests.sim.runpod_api.harness import Simulator

GPU = "NVIDIA A100-SXM4-80GB"
SPEC = PodSpec(image="runpod/pytorch:1.0.2", gpu=GPU, volume_gb=20, env={"PUBLIC_KEY": "ssh-ed25519 AAAA maxcai"})


def make(sim: Simulator, tmp_path: Path, **environ: str) -> SdkProvider:
    return SdkProvider(tmp_path / ".maxcai", sim.clock.now, {**sim.environ(), **environ}, sleep=sim.clock.leap)


def sent(sim: Simulator, operation: str) -> int:
    return sum(operation in seen.names for seen in sim.requests)


def spec(**changes: Any) -> PodSpec:
    values = {name: getattr(SPEC, name) for name in PodSpec.__struct_fields__}
    return PodSpec(**{**values, **changes})

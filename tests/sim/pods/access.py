"""How a test gets into a pod without a provider: the endpoint as a `remote` pod, and host keys from its log."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from remote import identity
from remote.link import ssh
from remote.link.connection import Connection
from remote.pods.model import Endpoint, Pod, PodStatus
from remote.pods.provider import Capability, Provider
from tests.sim.pods.base import PodRequest, RunningPod

_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = (20000 + 64 * _WORKER, 20063 + 64 * _WORKER)
"""Each test process hands out ports of its own: one's pod is not found where another's was."""


def request(
    state_dir: Path,
    pod_id: str = "pod1",
    start_index: int = 0,
    *,
    variant: str = "official",
    volume: str | None = "vol1",
    gpu_count: int = 1,
    env: Mapping[str, str] | None = None,
    ports: tuple[int, int] = PORTS,
) -> PodRequest:
    """A request for a pod that lets the key of `state_dir` in."""
    public = {"PUBLIC_KEY": identity.ensure(state_dir).public}
    mount = None if volume is None else "/workspace"
    return PodRequest(
        pod_id, start_index, "runpod/pytorch", {**public, **(env or {})}, mount, volume, gpu_count, ports, variant
    )


class LogOnly:
    """What `remote.link.ssh.connect` asks of a provider: the container log, and that it can show one."""

    name = "sim"
    capabilities = frozenset({Capability.LOGS, Capability.STARTED_AT})

    def __init__(self, pod: RunningPod) -> None:
        self._pod = pod

    async def logs(self, pod_id: str) -> list[str]:
        """The container log, without times."""
        return self._pod.log_lines()


def as_remote(pod: RunningPod, pod_id: str, started_at: float) -> Pod:
    """The running pod as `remote` sees pods. `started_at`, unix seconds, tells its starts apart."""
    return Pod(
        pod_id, pod_id, "sim", PodStatus.RUNNING, pod.root, pod.python or "python3",
        endpoint=Endpoint(pod.host, pod.port, pod.username), started_at=started_at,
    )  # fmt: skip


@asynccontextmanager
async def connected(
    pod: RunningPod, state_dir: Path, pod_id: str = "pod1", started_at: float | None = None
) -> AsyncIterator[Connection]:
    """A verified connection to the pod."""
    there = as_remote(pod, pod_id, time.time() if started_at is None else started_at)
    async with ssh.connect(there, cast(Provider, LogOnly(pod)), state_dir, pin_wait_s=5.0) as connection:
        yield connection

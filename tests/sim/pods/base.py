"""What the RunPod simulator asks of whoever runs its pods: start a real SSH server, stop it, forget a volume.

The tiers `namespaces`, `rootless` and `embedded` keep this promise, each as closely to a rented pod as this machine
permits; `choose` takes the best that works here. Nothing in this module starts anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

VARIANTS = ("official", "minimal", "no-ssh", "no-python", "slow-boot", "full-disk")


@dataclass(frozen=True, slots=True)
class PodRequest:
    """One start of one pod.

    `start_index` counts the starts of this pod from 0. `env` is the pod's environment as the user asked for it plus
    what the provider injects; `PUBLIC_KEY` is the client key let in. `mount` is where the kept volume shall appear
    ("/workspace"), None for a pod with a container disk only. `volume_key` names what survives a stop: the network
    volume's id, or the pod's own id for a volume disk. `port_range` is (first, last), both included.
    """

    pod_id: str
    start_index: int
    image: str
    env: Mapping[str, str]
    mount: str | None
    volume_key: str | None
    gpu_count: int
    port_range: tuple[int, int]
    variant: str = "official"

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise ValueError(f"No image variant {self.variant!r}; there are {', '.join(VARIANTS)}.")
        if (self.mount is None) != (self.volume_key is None):
            raise ValueError("A mount needs a volume to show, and a volume a mount.")


class PodStartError(Exception):
    """The pod could not be started here; the message says why."""


@runtime_checkable
class RunningPod(Protocol):
    """A started pod. `host` and `port` are where its SSH server listens; on "no-ssh" nothing ever does. `username` is
    who may log in: root, but on tier `rootless` the machine's own user.

    `root` is the path of the kept volume as commands on the pod see it: the asked mount in tier `namespaces`, a folder
    elsewhere in the others, which have no root directory of their own; without a volume, a folder that a stop wipes.
    `python` is the pod's interpreter, None on "no-python".
    """

    host: str
    port: int
    username: str
    root: str
    python: str | None

    @property
    def alive(self) -> bool:
        """Whether the pod's first process still runs."""
        ...

    @property
    def gpu_control(self) -> Path:
        """The file, on this machine, whose text steers the pod's nvidia-smi: values, n/a, hang or vanish."""
        ...

    def log_lines(self) -> list[str]:
        """The container log of this start, oldest first, complete lines only.

        The lines carry no times: whoever serves the log stamps them by its own clock.
        """
        ...

    def pids(self) -> list[int]:
        """The pod's processes, as pids of this machine."""
        ...

    async def stop(self) -> None:
        """End every process of the pod and wipe its container disk; the volume stays. Doing it twice does no harm."""
        ...


class PodFactory(Protocol):
    """A way to run pods on this machine."""

    name: str

    @staticmethod
    def why_not() -> str | None:
        """None when this way works here, else the reason, to be said loudly."""
        ...

    async def start(self, request: PodRequest) -> RunningPod:
        """Start a pod; returns when its SSH server answers (at once for "no-ssh" and "slow-boot").

        Raises PodStartError when it cannot be started.
        """
        ...

    async def destroy_volume(self, key: str) -> None:
        """Delete a volume and what it holds; one that does not exist is fine."""
        ...

    async def close(self) -> None:
        """Stop every pod of this factory and delete its volumes."""
        ...

"""What the tiers share: a folder of their own, volumes, ports, and the order in which a pod is started."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from tests.sim.pods import janitor
from tests.sim.pods.base import PodRequest, PodStartError
from tests.sim.pods.image import checked_name, interpreter
from tests.sim.pods.ports import PortPool
from tests.sim.pods.process import ProcessPod


class Factory(ABC):
    """Implements `PodFactory` but for how one pod comes up.

    `parent` is where its folder is made; `slow_boot_s` how long images of the variant "slow-boot" wait before they set
    up SSH; `full_disk_bytes` the size of the volumes of "full-disk"; `container_bytes` that of container disks, where
    the tier can limit them. Pods end with the thread that started them, volumes with the factory.
    """

    name: str

    def __init__(
        self,
        parent: Path | None = None,
        *,
        slow_boot_s: float = 2.0,
        full_disk_bytes: int = 8 << 20,
        container_bytes: int = 2 << 30,
    ) -> None:
        self.slow_boot_s = slow_boot_s
        self.full_disk_bytes = full_disk_bytes
        self.container_bytes = container_bytes
        self._parent = parent or janitor.default_parent()
        self._home: Path | None = None
        self._ports = PortPool(janitor.default_parent() / "ports")  # one for all of this machine
        self._pods: list[ProcessPod] = []

    @staticmethod
    @abstractmethod
    def why_not() -> str | None:
        """None when this way works here, else the reason, to be said loudly."""

    @abstractmethod
    async def _launch(self, request: PodRequest, folder: Path, volume: Path | None, port: int) -> ProcessPod:
        """Start the pod's first process in its folder. The port is given back when the pod stops."""

    def _make_small_volume(self, folder: Path) -> None:
        """Make a volume of `full_disk_bytes`. Raises PodStartError where this tier cannot."""
        raise PodStartError(f"Tier {self.name} cannot make a small disk: that takes the right to mount.")

    @property
    def home(self) -> Path:
        """This factory's folder, made at the first use."""
        if self._home is None:
            self._home = janitor.make_home(self._parent)
        return self._home

    async def start(self, request: PodRequest) -> ProcessPod:
        """Start a pod; what dead factories left is removed before the first one. Raises PodStartError."""
        if self._home is None:
            await janitor.sweep()
        folder = self._seed(request)
        volume = self._volume(request)
        port = self._ports.take(request.pod_id, *request.port_range)
        try:
            pod = await self._launch(request, folder, volume, port)
        except BaseException:
            self._ports.give_back(port)
            raise
        self._pods.append(pod)
        if request.variant != "slow-boot":
            await pod.booted()
        return pod

    def _seed(self, request: PodRequest) -> Path:
        """The folder of one start, with what is in every image."""
        folder = self.home / "pods" / f"{checked_name(request.pod_id)}.{request.start_index}"
        try:
            (folder / "gpu").mkdir(parents=True)
        except FileExistsError:
            raise PodStartError(f"Pod {request.pod_id} was already started as number {request.start_index}.") from None
        folder.chmod(0o755)
        (folder / "gpu" / "control").write_text("values\n")
        (folder / "python3").symlink_to(interpreter())
        return folder

    def _volume(self, request: PodRequest) -> Path | None:
        if request.volume_key is None:
            return None
        folder = self.volume(request.volume_key)
        if not folder.exists():
            folder.mkdir()
            if request.variant == "full-disk":
                self._make_small_volume(folder)
        return folder

    def volume(self, key: str) -> Path:
        """Where a volume lies on this machine; it exists from the first start that mounts it."""
        return self.home / "volumes" / checked_name(key)

    async def destroy_volume(self, key: str) -> None:
        """Delete a volume and what it holds; one that does not exist is fine."""
        folder = self.volume(key)
        for point in janitor.mounts_under(folder):
            janitor.unmount(point)
        shutil.rmtree(folder, ignore_errors=True)

    async def close(self) -> None:
        """Stop every pod of this factory and delete its volumes."""
        for pod in self._pods:
            await pod.stop()
        self._pods.clear()
        self._ports.close()
        if self._home is not None:
            await janitor.remove_home(self._home)
            self._home = None

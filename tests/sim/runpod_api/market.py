"""Hosts and their GPUs: what is free, and where a create is placed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tests.sim.runpod_api import catalog
from tests.sim.runpod_api.model import Host, Plan, SimPod

_PER_HOST = 8


class Market:
    """Every host. `pods` gives the pods that may hold GPUs."""

    def __init__(self, pods: Callable[[], Iterable[SimPod]]) -> None:
        self._pods = pods
        self.hosts: list[Host] = []
        for gpu in catalog.GPUS:
            for center in gpu.data_centers:
                for cloud, price in (("SECURE", gpu.secure), ("COMMUNITY", gpu.community)):
                    if price is not None:
                        self.add(Host(self._name(), gpu.id, center, cloud, _PER_HOST, gpu.cuda[-1]))
        self.cpu_host = Host("cpuhost00001", "", "US-KS-2", "SECURE", 0, "")

    def _name(self) -> str:
        return f"host{len(self.hosts) + 1:08d}"

    def add(self, host: Host) -> Host:
        """One more machine."""
        self.hosts.append(host)
        return host

    def free(self, host: Host) -> int:
        """GPUs of a host that nobody holds."""
        return max(0, host.total - host.others - sum(pod.gpus_held for pod in self._pods() if pod.host is host))

    def stock(self, gpu_id: str, cloud: str | None = None, center: str | None = None) -> int:
        """The most GPUs of this type that one host has free."""
        hosts = [
            host
            for host in self.hosts
            if host.gpu_id == gpu_id and cloud in (None, host.cloud) and center in (None, host.data_center)
        ]
        return max((self.free(host) for host in hosts), default=0)

    def set_stock(self, gpu_id: str, free: int, cloud: str | None = None, center: str | None = None) -> None:
        """Leave `free` GPUs of this type on every matching host; other customers take or release the rest."""
        for host in self.hosts:
            if host.gpu_id == gpu_id and cloud in (None, host.cloud) and center in (None, host.data_center):
                host.others = 0
                host.others = max(0, self.free(host) - free)

    def take(self, host: Host, count: int) -> None:
        """Other customers rent `count` more GPUs of this host, as far as there are any."""
        host.others += min(count, self.free(host))

    def place(self, plan: Plan, centers_enforced: bool, volume_center: str | None) -> Host | None:
        """The host for a create, the emptiest first; None when no host fits."""
        fits = [host for host in self.hosts if self._fits(host, plan)]
        if volume_center is not None:
            fits = [host for host in fits if host.data_center == volume_center]
        if plan.data_centers:
            wished = [host for host in fits if host.data_center in plan.data_centers]
            fits = wished if wished or centers_enforced else fits
        return max(fits, key=self.free, default=None)

    def _fits(self, host: Host, plan: Plan) -> bool:
        center = catalog.data_center(host.data_center)
        return (
            host.gpu_id == plan.gpu_id
            and plan.cloud in (None, host.cloud)
            and self.free(host) >= plan.gpu_count
            and (not plan.countries or (center is not None and center.country in plan.countries))
            and (plan.min_cuda is None or version(host.cuda) >= version(plan.min_cuda))
            and (not plan.allowed_cuda or host.cuda in plan.allowed_cuda)
        )


def version(text: str) -> tuple[int, ...]:
    """A CUDA version for comparison by number: 12.11 > 12.2. Raises ValueError."""
    return tuple(int(part) for part in text.split("."))

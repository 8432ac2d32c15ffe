"""Pods coming up and going down: the boot's steps, the pod factory, container logs, and what the meter reads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.sim.pods.base import VARIANTS, PodFactory, PodRequest, RunningPod
from tests.sim.runpod_api import catalog
from tests.sim.runpod_api.model import BootTimes, SimPod, Status

if TYPE_CHECKING:
    from tests.sim.runpod_api.world import World

_PORTLESS_S = 19 * 60.0
_PATIENCE_S = 5.0  # real seconds that a stepped clock waits for a pod that should be up by now
_PORT_RANGE = (42000, 42063)
_WARM = ("runpod/", "sim/")


class Machine:
    """Starts and stops pods of one world through a pod factory."""

    def __init__(self, world: World, factory: PodFactory, times: BootTimes) -> None:
        self._world = world
        self.factory = factory
        self.times = times
        self.failures: list[str] = []

    # --- up ------------------------------------------------------------------------------------------------------

    def boot(self, pod: SimPod, first: bool = False) -> None:
        """Begin a start; its steps follow as time goes by."""
        world, times = self._world, self.times
        pod.status = Status.PROVISIONING if first else Status.STARTING
        pod.start_index += 1
        pod.container_at = pod.port_due = pod.endpoint = None
        pod.stopping = False
        pod.log_seen = 0
        pod.started_at = world.at if world.quirks.create_replies_running else None
        pod.no_port = world.quirks.no_port
        delay = times.resume
        if first:
            pod.cold = not pod.image.startswith(_WARM) and pod.image not in pod.host.images
            delay = times.provision + (times.cold_pull if pod.cold else times.pull)
            self._step(pod, times.provision, self._provisioned)
        pod.write(world.at, "system", f"create container {pod.image}")
        self._step(pod, delay, self._container)
        self.bill(pod)

    def _step(self, pod: SimPod, delay: float, step: Callable[[SimPod], Awaitable[None]]) -> None:
        start_index = pod.start_index

        async def event() -> None:
            if pod.start_index == start_index and pod.status.active:
                await step(pod)

        self._world.schedule(self._world.at + delay, event)

    async def _provisioned(self, pod: SimPod) -> None:
        if pod.status is Status.PROVISIONING:
            pod.status = Status.STARTING

    async def _container(self, pod: SimPod) -> None:
        world = self._world
        pod.status = Status.RUNNING
        pod.host.images.add(pod.image)
        pod.container_at = world.at
        pod.started_at = pod.started_at if pod.started_at is not None else world.at
        pod.port_due = world.at + (_PORTLESS_S if pod.no_port else self.times.port)
        pod.write(world.at, "system", "start container")
        pod.starting = asyncio.create_task(self.factory.start(self._request(pod)))
        self.bill(pod)

    def _request(self, pod: SimPod) -> PodRequest:
        named = pod.image.removeprefix("sim/").split(":")[0] if pod.image.startswith("sim/") else "official"
        return PodRequest(
            pod_id=pod.id, start_index=pod.start_index, image=pod.image, env=self.environment(pod),
            mount=pod.mount if pod.volume_key else None, volume_key=pod.volume_key, gpu_count=pod.gpus_held,
            port_range=_PORT_RANGE, variant=named if named in VARIANTS else "official",
        )  # fmt: skip

    def environment(self, pod: SimPod) -> dict[str, str]:
        """What the container sees: the user's variables and the injected ones, the pod-scoped key among them."""
        injected = {
            "RUNPOD_POD_ID": pod.id,
            "RUNPOD_DC_ID": pod.host.data_center,
            "RUNPOD_POD_HOSTNAME": pod.proxy_user,
            "RUNPOD_GPU_COUNT": str(pod.gpus_held),
            "RUNPOD_CPU_COUNT": str(pod.vcpus),
            "RUNPOD_API_KEY": pod.key,
            "RUNPOD_API_BASE_URL": self._world.origin,
            "CUDA_VERSION": pod.host.cuda,
        }
        if pod.volume_id:
            injected["RUNPOD_VOLUME_ID"] = pod.volume_id
        return {**injected, **pod.env}

    async def collect(self) -> None:
        """Take over pods whose start ended, hand out the ports that are due, read new log lines."""
        for pod in list(self._world.pods.values()):
            due = pod.port_due is not None and pod.port_due <= self._world.at
            if pod.starting is not None:
                if self._world.clock.stepped:
                    await asyncio.wait({pod.starting}, timeout=_PATIENCE_S if due else 0)
                self._take_over(pod)
            if pod.running is not None:
                if due and pod.endpoint is None and pod.status is Status.RUNNING:
                    pod.endpoint = (pod.running.host, pod.running.port)
                self.read_log(pod)

    def _take_over(self, pod: SimPod) -> None:
        task = pod.starting
        if task is None or not task.done():
            return
        pod.starting = None
        error = task.exception()
        if error is None:
            pod.running = task.result()
            return
        self.failures.append(f"{pod.id}: {error}")
        pod.write(self._world.at, "system", f"error starting container: {error}")
        pod.status = Status.ERROR
        pod.gpus_held = 0
        pod.container_at = None
        self.bill(pod)

    def read_log(self, pod: SimPod) -> None:
        """Append what the container printed since the last look, stamped with the simulator's time."""
        if pod.running is None or (pod.endpoint is None and not self._world.quirks.logs_before_ssh):
            return
        lines = pod.running.log_lines()
        at = self._world.at if pod.log_seen or pod.container_at is None else pod.container_at
        for line in lines[pod.log_seen :]:
            pod.write(at, "container", line)
        pod.log_seen = len(lines)

    # --- down ----------------------------------------------------------------------------------------------------

    async def stop(self, pod: SimPod, why: str) -> None:
        """Begin a stop: at once, or after the time that a stop takes."""
        pod.stopping = True
        pod.changed = why
        if self.times.stop <= 0:
            await self.halt(pod, why)
            return

        async def halt(one: SimPod) -> None:
            await self.halt(one, why)

        self._step(pod, self.times.stop, halt)

    async def halt(self, pod: SimPod, why: str) -> None:
        """The container ends now; its disk is wiped, its GPUs are free again. A pod that does not run stays so."""
        was_active, count = pod.status.active, pod.gpus_held
        await self._end_container(pod)
        pod.changed = why
        pod.stopping = False
        pod.gpus_held = 0
        if was_active:
            pod.status = Status.EXITED
            pod.write(self._world.at, "system", "stop container")
            self._world.left(pod, count)
        self.bill(pod)

    async def reset(self, pod: SimPod, why: str) -> None:
        """A new container on the same machine: what a restart or an edit does."""
        await self._end_container(pod)
        pod.changed = why
        self.boot(pod)
        await self.collect()

    async def _end_container(self, pod: SimPod) -> None:
        running: RunningPod | None = pod.running
        if pod.starting is not None:
            with contextlib.suppress(Exception):
                running = await pod.starting
        if running is not None:
            self.read_log(pod)
            try:
                await running.stop()
            except Exception as error:  # for the pod it is over; who looks after the machine is told
                self.failures.append(f"{pod.id} did not end: {error!r}")
        pod.starting = pod.running = pod.endpoint = pod.container_at = pod.port_due = None

    async def close(self) -> None:
        """End every container; volumes are the factory's."""
        for pod in self._world.pods.values():
            await self._end_container(pod)
        await self.factory.close()

    # --- money ---------------------------------------------------------------------------------------------------

    def bill(self, pod: SimPod) -> None:
        """Set the pod's meter to what its state costs."""
        zero = Decimal(0)
        if pod.status in (Status.TERMINATED, Status.ERROR):
            pod.meter.set(self._world.at, zero, zero, zero)
            return
        kept = Decimal(pod.persistent or 0)
        if not pod.status.active:
            pod.meter.set(self._world.at, zero, zero, kept * catalog.VOLUME_DISK_STOPPED / catalog.MONTH_HOURS)
            return
        rate = pod.meter.rate
        pulling = pod.container_at is None and self._world.quirks.bill_after_pull
        if pulling and (rate is None or not (rate.gpu or rate.cpu)):
            return
        disk = (pod.disk + kept) * catalog.DISK_RUNNING / catalog.MONTH_HOURS
        gpu = pod.price if pod.gpus_held else zero
        cpu = zero if pod.gpus_held else (pod.price if pod.gpu_id is None else catalog.CPU_PRICE)
        pod.meter.set(self._world.at, gpu, cpu, disk)

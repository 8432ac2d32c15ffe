"""The simulated account: pods and volumes, what is done to them, and what time does to them.

Everything that falls due is an event; `settle` lets the events up to the clock's time happen, in order, each at its
own time, so that bills are exact however far the clock jumped. The two APIs only translate.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import secrets
from collections.abc import Awaitable, Callable
from decimal import Decimal

from tests.sim.pods.base import PodFactory
from tests.sim.runpod_api import catalog
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.machine import Machine
from tests.sim.runpod_api.market import Market
from tests.sim.runpod_api.model import (
    NO_CONFIGURATION,
    NO_FREE_GPUS,
    NO_INSTANCES,
    BootTimes,
    Host,
    NetworkVolume,
    Plan,
    Refused,
    SimPod,
    Status,
)
from tests.sim.runpod_api.money import Books, Charge, volume_hour
from tests.sim.runpod_api.quirks import Quirks

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_GONE_S = 300.0  # how long after a stop somebody else takes the GPU, with that quirk
_LINGER_S = 60.0
_HOUR_S = 3600.0


class World:
    """The account and its resources. Every public coroutine expects `lock` to be held and `settle` to be done."""

    def __init__(
        self, clock: VirtualClock, factory: PodFactory, quirks: Quirks, boot: BootTimes, balance: Decimal, seed: int
    ) -> None:
        self.clock = clock
        self.quirks = quirks
        self.lock = asyncio.Lock()
        self.at = clock.now()
        self.random = random.Random(seed)
        self.origin = ""  # set once the server listens
        self.user_id = f"user_{self.identifier(20)}"
        self.ssh_keys: list[str] = []
        self.pods: dict[str, SimPod] = {}
        self.gone: dict[str, SimPod] = {}
        self.volumes: dict[str, NetworkVolume] = {}
        self.market = Market(self.pods.values)
        self.books = Books(balance, self.at)
        self.machine = Machine(self, factory, boot)
        self._events: list[tuple[float, int, Callable[[], Awaitable[None]]]] = []
        self._count = 0
        self.schedule(Books.next_settlement(self.at), self._settle_books)

    # --- time ----------------------------------------------------------------------------------------------------

    def schedule(self, due: float, event: Callable[[], Awaitable[None]]) -> None:
        """Let `event` happen at `due`, unix seconds."""
        self._count += 1
        heapq.heappush(self._events, (due, self._count, event))

    async def settle(self) -> None:
        """Do everything that is due by now."""
        now = self.clock.now()
        while self._events and self._events[0][0] <= now:
            due, _, event = heapq.heappop(self._events)
            self.at = max(self.at, due)
            await event()
        self.at = max(self.at, now)
        await self.machine.collect()

    def next_due(self) -> float | None:
        """When the next event falls due, unix seconds."""
        return self._events[0][0] if self._events else None

    async def _settle_books(self) -> None:
        meters = [(pod.id, pod.meter) for pod in (*self.pods.values(), *self.gone.values())]
        self.books.settle(meters, self.at)
        if self.books.balance <= 0:
            await self._broke()
        self.schedule(Books.next_settlement(self.at), self._settle_books)

    async def _broke(self) -> None:
        """No money left: every pod stops, and those without a network volume are terminated."""
        for pod in [pod for pod in self.pods.values() if pod.status is not Status.TERMINATED]:
            if pod.volume_id is None:
                await self._remove(pod, "Terminated by RunPod: balance exhausted")
            elif pod.status.active:
                await self.machine.halt(pod, "Exited by RunPod: balance exhausted")

    # --- looking -------------------------------------------------------------------------------------------------

    def identifier(self, length: int) -> str:
        """A fresh id of the API's looks."""
        return "".join(self.random.choices(_LETTERS, k=length))

    def pod(self, pod_id: str) -> SimPod:
        """One pod. Raises Refused (404)."""
        if pod_id not in self.pods:
            raise Refused(404, "pod not found")
        return self.pods[pod_id]

    def volume(self, volume_id: str) -> NetworkVolume:
        """One network volume. Raises Refused (404)."""
        if volume_id not in self.volumes:
            raise Refused(404, "network volume not found")
        return self.volumes[volume_id]

    def spend_per_hour(self) -> Decimal:
        """USD/hour over all resources at this moment."""
        total = Decimal(0)
        for pod in self.pods.values():
            rate = pod.meter.rate
            if rate is not None and (pod.status.active or self.quirks.spend_includes_storage):
                total += rate.gpu + rate.cpu + rate.disk
        if self.quirks.spend_includes_storage:
            total += sum((sum(volume_hour(one.size, one.type)) for one in self.volumes.values()), Decimal(0))
        return total

    # --- pods ----------------------------------------------------------------------------------------------------

    async def create(self, plan: Plan) -> SimPod:
        """Rent a pod. Raises Refused."""
        from_template = catalog.template(plan.template_id) if plan.template_id else None
        if plan.template_id and from_template is None:
            raise Refused(404, "template not found")
        volume = self.volume(plan.volume_id) if plan.volume_id else None
        price = self._price(plan)
        self._afford(price)
        host = self._place(plan, volume)
        disk = plan.disk or (from_template.disk if from_template else None)
        if disk is None and self.quirks.disk_compulsory:
            raise Refused(400, NO_CONFIGURATION)
        image = plan.image or (from_template.image if from_template else "")
        pod = self._new(plan, host, image, disk or 10, price)
        self.pods[pod.id] = pod
        pod.changed = "Rented by User"
        self.machine.boot(pod, first=True)
        self._schedule_ends(pod, plan)
        await self.machine.collect()
        return pod

    async def start(self, pod_id: str, gpu_count: int | None = None, bid: Decimal | None = None) -> SimPod:
        """Start a stopped pod on its machine. Raises Refused: 409 by its status, 400 when no GPU is free there."""
        pod = self.pod(pod_id)
        self._allowed(pod, "start", pod.status in (Status.EXITED, Status.ERROR))
        wanted = gpu_count or pod.gpu_count
        self._afford(pod.price)
        held = wanted if pod.gpu_id is not None else 0
        if held > self.market.free(pod.host):
            if not self.quirks.zero_gpu_start:
                raise Refused(400, NO_FREE_GPUS)
            held = 0
        pod.gpus_held = held
        pod.bid = bid if bid is not None else pod.bid
        pod.changed = "Resumed by User"
        self.machine.boot(pod)
        await self.machine.collect()
        return pod

    async def stop(self, pod_id: str) -> SimPod:
        """Stop a pod. Raises Refused (409) when it does not run."""
        pod = self.pod(pod_id)
        self._allowed(pod, "stop", pod.status.active)
        await self.machine.stop(pod, "Exited by User")
        return pod

    async def restart(self, pod_id: str) -> SimPod:
        """Restart a running pod's container. Raises Refused (409)."""
        pod = self.pod(pod_id)
        running = pod.status is Status.RUNNING or (pod.status.active and self.quirks.create_replies_running)
        self._allowed(pod, "restart", running and not pod.stopping)
        await self.machine.reset(pod, "Restarted by User")
        return pod

    async def terminate(self, pod_id: str) -> None:
        """Remove a pod with its volume disk. Raises Refused: 404, or 409 for cluster members and locked pods."""
        pod = self.pod(pod_id)
        if pod.cluster:
            raise Refused(409, "pod is a member of a cluster")
        self._allowed(pod, "terminate", pod.status is not Status.TERMINATED)
        await self._remove(pod, "Terminated by User")

    async def _remove(self, pod: SimPod, why: str) -> None:
        await self.machine.halt(pod, why)
        pod.status = Status.TERMINATED
        self.machine.bill(pod)
        pod.write(self.at, "system", "remove container")
        if pod.persistent:
            await self.machine.factory.destroy_volume(pod.id)

        async def forget() -> None:
            self.gone[pod.id] = self.pods.pop(pod.id)

        if self.quirks.terminated_lingers:
            self.schedule(self.at + _LINGER_S, forget)
        else:
            await forget()

    # --- what others do ------------------------------------------------------------------------------------------

    async def evict(self, pod_id: str) -> None:
        """Somebody outbids a spot pod: it stops and its GPUs are theirs. Raises Refused for a pod nobody can outbid."""
        pod = self.pod(pod_id)
        if not pod.spot:
            raise Refused(400, "not a spot pod")
        count = pod.gpus_held
        await self.machine.halt(pod, "Exited by RunPod: outbid")
        self.market.take(pod.host, count)

    async def kill(self, pod_id: str, how: str = "exit") -> None:
        """Let a pod end by itself: "exit" (as if stopped), "error" (its host failed) or "gone" (removed)."""
        pod = self.pod(pod_id)
        if how == "gone":
            await self._remove(pod, "Terminated by RunPod")
            return
        await self.machine.halt(pod, "Exited by RunPod")
        if how == "error":
            pod.status = Status.ERROR
            self.machine.bill(pod)

    def left(self, pod: SimPod, count: int) -> None:
        """A pod gave its GPUs back; with that quirk somebody else has them five minutes later."""

        async def rented() -> None:
            if not pod.status.active and self.quirks.gpu_gone_after_stop:
                self.market.take(pod.host, self.market.free(pod.host))

        if count and self.quirks.gpu_gone_after_stop:
            self.schedule(self.at + _GONE_S, rented)

    # --- network volumes -----------------------------------------------------------------------------------------

    def create_volume(self, name: str, size: int, center: str, kind: str) -> NetworkVolume:
        """Make a network volume; its first hour is charged now. Raises Refused."""
        where = catalog.data_center(center)
        if where is None or kind not in where.volume_types:
            raise Refused(400, f"data center {center} does not offer {kind} network volumes")
        volume = NetworkVolume(self.identifier(10), name, size, center, kind, self.at, self.at)
        self.volumes[volume.id] = volume
        self._charge_volume(volume)
        return volume

    async def delete_volume(self, volume_id: str) -> None:
        """Remove a network volume and its data. Raises Refused (409) while a pod uses it."""
        volume = self.volume(volume_id)
        if any(pod.volume_id == volume.id and pod.status is not Status.TERMINATED for pod in self.pods.values()):
            raise Refused(409, "network volume is in use by a pod")
        del self.volumes[volume.id]
        await self.machine.factory.destroy_volume(volume.id)

    def _charge_volume(self, volume: NetworkVolume) -> None:
        standard, high = volume_hour(volume.size, volume.type)
        end = volume.next_charge + _HOUR_S
        self.books.charge(
            Charge(volume.next_charge, end, volume_id=volume.id, standard=standard, high_performance=high)
        )
        volume.next_charge = end

        async def again() -> None:
            if volume.id in self.volumes:
                self._charge_volume(volume)

        self.schedule(end, again)

    # --- helpers -------------------------------------------------------------------------------------------------

    def _allowed(self, pod: SimPod, act: str, by_status: bool) -> None:
        if pod.cluster:
            raise Refused(409, "pod is a member of a cluster")
        if pod.locked and act in ("stop", "terminate"):
            raise Refused(409, "pod is locked")
        if not by_status:
            raise Refused(409, f"cannot {act} a pod with status {pod.status}")

    def _price(self, plan: Plan) -> Decimal:
        """USD/hour for all GPUs. Raises Refused for a GPU type that there is not."""
        if plan.gpu_id is None:
            return catalog.CPU_PRICE
        gpu = catalog.gpu_type(plan.gpu_id)
        if gpu is None:
            raise Refused(400, f"gpu type {plan.gpu_id!r} not found")
        prices = {"SECURE": gpu.secure, "COMMUNITY": gpu.community}
        offered = [price for cloud, price in prices.items() if price is not None and plan.cloud in (None, cloud)]
        if not offered:
            raise Refused(400, NO_INSTANCES)
        if plan.bid is not None and plan.bid < min(offered) / 2:  # half the price is the lowest bid; ours
            raise Refused(400, NO_INSTANCES)
        return (plan.bid if plan.bid is not None else min(offered)) * plan.gpu_count

    def _afford(self, price: Decimal) -> None:
        if self.books.balance < price:
            raise Refused(402, "insufficient balance: at least one hour of credit is needed to deploy this pod")
        if self.spend_per_hour() + price > self.books.spend_limit:
            raise Refused(400, "the spend limit per hour of this account would be exceeded")

    def _place(self, plan: Plan, volume: NetworkVolume | None) -> Host:
        if plan.gpu_id is None:
            return self.market.cpu_host
        if self.quirks.listed_refuses:
            raise Refused(400, NO_INSTANCES)
        host = self.market.place(plan, self.quirks.data_centers_enforced, volume.data_center if volume else None)
        if host is None:
            raise Refused(400, NO_INSTANCES)
        return host

    def _new(self, plan: Plan, host: Host, image: str, disk: int, price: Decimal) -> SimPod:
        env = dict(plan.env)
        if plan.start_ssh and self.ssh_keys:
            env.setdefault("PUBLIC_KEY", "\n".join(self.ssh_keys))
        pod_id = self.identifier(14)
        return SimPod(
            id=pod_id, name=plan.name, image=image, args=plan.args, env=env, ports=plan.ports, disk=disk,
            persistent=plan.persistent, volume_id=plan.volume_id, mount=plan.mount, gpu_id=plan.gpu_id,
            gpu_count=plan.gpu_count if plan.gpu_id else 0, cpu_id=plan.cpu_id, vcpus=plan.vcpus, cloud=host.cloud,
            host=host, price=price, created_at=self.at, key=f"rpa_{secrets.token_hex(20)}",
            proxy_user=f"{pod_id}-{self.identifier(8)}", template_id=plan.template_id, bid=plan.bid,
            locked=plan.locked, global_networking=plan.global_networking,
            gpus_held=plan.gpu_count if plan.gpu_id else 0,
        )  # fmt: skip

    def _schedule_ends(self, pod: SimPod, plan: Plan) -> None:
        if self.quirks.stop_after_ignored:
            return

        async def stop() -> None:
            if pod.id in self.pods and pod.status.active:
                await self.machine.halt(pod, "Exited by RunPod: stopAfter")

        async def end() -> None:
            if pod.id in self.pods and pod.status is not Status.TERMINATED:
                await self._remove(pod, "Terminated by RunPod: terminateAfter")

        for due, event in ((plan.stop_after, stop), (plan.terminate_after, end)):
            if due is not None:
                self.schedule(due, event)

"""The provider `runpod`: pods rented through RunPod's REST API. Journalling, money and the choice of pods are others'.

What may be sent twice and what never is decided here: reads, stop and terminate are repeated; a start only after a
look at the pod; creating, restarting and buying a volume never.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import httpx
from msgspec.structs import replace

from remote import secrets
from remote.errors import ConfigError, Conflict, NotFound, OutcomeUnknown, ProviderError
from remote.pods.limited import Limited
from remote.pods.model import Balance, Cloud, LogLine, Offer, Pod, PodSpec, PodStatus, Volume
from remote.pods.provider import BillingRecords, Capability, LogLines, Offers, Volumes
from remote.pods.runpod import asking, logs, wire
from remote.pods.runpod.client import Client, Repeat, Sleep, Timing, origin
from remote.pods.runpod.decode import decode, identifier, rows
from remote.pods.runpod.errors import Op, not_understood
from remote.pods.runpod.hiding import Hiding
from remote.pods.runpod.island import Island, Loss
from remote.pods.runpod.rate import RateBudget

CONTAINER = "container"
MAX_PAGES = 100
_PAGE = {"limit": "1000"}

Lines = list[LogLine]
T = TypeVar("T")
_UP = frozenset({PodStatus.PULLING, PodStatus.BOOTING, PodStatus.RUNNING})


class RunPodProvider(Limited):
    """Implements `remote.pods.provider.Provider` over REST v2.

    `state_dir` is the `.maxcai` of the workspace whose `.env.runpod` may hold the key, `clock` gives unix seconds,
    `environ` (default: ours) supplies the key and the API's address. `timing`, `sleep`, `chance` and `transport` are
    there for tests. Raises ConfigError for an address that is none; a missing key shows at the first request.
    """

    name = wire.NAME
    capabilities = frozenset(Capability)

    def __init__(
        self,
        state_dir: Path,
        clock: Callable[[], float],
        environ: Mapping[str, str] | None = None,
        *,
        timing: Timing | None = None,
        sleep: Sleep = asyncio.sleep,
        chance: Callable[[], float] = random.random,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._hide = Hiding(environ)
        workspace = state_dir.absolute().parent
        self._client = Client(
            origin(environ),
            lambda: secrets.require_runpod_key(workspace, environ),
            self._hide,
            clock,
            timing=timing,
            sleep=sleep,
            chance=chance,
            transport=transport,
        )
        self._island = Island(self._client, self._hide, clock)

    @property
    def budget(self) -> RateBudget:
        """The quota of requests, for pollers that pace themselves by it."""
        return self._client.budget

    @property
    def clock_offset_s(self) -> float | None:
        """RunPod's clock less ours in seconds, by its last reply; None before one came."""
        return self._client.clock_offset_s

    @property
    def loss(self) -> Loss | None:
        """Since when the older API, and with it the balance, cannot be used; None while it can."""
        return self._island.loss

    async def aclose(self) -> None:
        """Give its connections back."""
        await self._client.aclose()

    # --- pods --------------------------------------------------------------------------------------------------

    async def list(self) -> list[Pod]:
        """Every pod of the account, over all pages."""
        found = await _pages(self._client, Op("list", "list the pods"), "/v2/pods", "pods", wire.pod, _PAGE)
        return [*{pod.id: pod for pod in found}.values()]  # one that moved between pages is there twice

    async def get(self, pod_id: str) -> Pod:
        """One pod. Raises NotFound."""
        op = Op("get", f"read pod {pod_id}")
        pod = await self._client.ask(op, "GET", _path(op, pod_id), _pod(pod_id))
        if pod.status is PodStatus.RUNNING and pod.started_at is None:
            pod = replace(pod, started_at=await self._started_at(pod_id))
        return pod

    async def create(self, name: str, spec: PodSpec) -> Pod:
        """Rent a pod, on the spot market when the spec bids. Sent once.

        Raises ConfigError for what RunPod would refuse anyway, NoCapacity, and OutcomeUnknown when it may exist.
        """
        asking.check(name, spec)
        self._hide.learn(spec.env.values())
        if spec.bid is not None:
            return await self._created_spot(name, await self._island.create_spot(name, spec))
        op = Op("create", f"rent the pod {name}")
        return await self._client.ask(
            op,
            "POST",
            "/v2/pods",
            lambda raw: wire.pod(decode(raw)),
            repeat=Repeat.NEVER,
            json=asking.body(name, spec),
            read_s=self._client.timing.create_s,
        )

    async def start(self, pod_id: str) -> Pod:
        """Start a stopped pod; sent again only when a look at the pod shows that it did not start.

        Raises NoCapacityOnHost, and Unanswered when it may start all the same.
        """
        op = Op("start", f"start pod {pod_id}")

        async def started() -> Pod | None:
            pod = await self.get(pod_id)
            return pod if pod.status in _UP else None

        try:
            return await self._act(op, pod_id, "start", Repeat.SAFELY, started)
        except Conflict as conflict:
            return await self._reconciled(conflict, pod_id, _UP)

    async def start_spot(self, pod_id: str, bid: Decimal, gpu_count: int) -> Pod:
        """Start a stopped spot pod by a bid. Sent once; without an answer a look at the pod tells.

        Raises NoCapacityOnHost, and OutcomeUnknown when it may start all the same.
        """
        pod = await self.get(pod_id)
        if pod.status not in _UP:
            try:
                await self._island.start_spot(pod_id, bid, gpu_count)
            except OutcomeUnknown:
                if (await self.get(pod_id)).status not in _UP:
                    raise
            pod = await self.get(pod_id)
        return replace(pod, spot=True)

    async def stop(self, pod_id: str) -> Pod:
        """Stop it. The reply acknowledges; the pod has stopped once it reads so."""
        op = Op("stop", f"stop pod {pod_id}")
        try:
            pod = await self._act(op, pod_id, "stop", Repeat.SAFELY)
        except Conflict as conflict:
            return await self._reconciled(conflict, pod_id, frozenset(s for s in PodStatus if s.over))
        return pod if pod.status.over else replace(pod, status=PodStatus.STOPPING, endpoint=None)

    async def restart(self, pod_id: str) -> Pod:
        """Restart it. Sent once: each restart wipes the container disk and ends what runs."""
        return await self._act(Op("restart", f"restart pod {pod_id}"), pod_id, "restart", Repeat.NEVER)

    async def terminate(self, pod_id: str) -> None:
        """Remove it with its data; a network volume stays. A pod that is gone is no error."""
        op = Op("terminate", f"terminate pod {pod_id}")
        path = _path(op, pod_id)
        try:
            await self._client.ask(op, "DELETE", path, lambda _: None, repeat=Repeat.SAFELY, only=204)
        except NotFound:
            return
        except Conflict as conflict:
            try:
                await self._reconciled(conflict, pod_id, frozenset({PodStatus.GONE}))
            except NotFound:
                return

    # --- logs --------------------------------------------------------------------------------------------------

    async def logs(self, pod_id: str) -> LogLines:
        """The last lines of the container's log, each behind its time: "2026-06-01T12:02:03.000Z text"."""
        return [logs.stamped(line) for line in await self.log_lines(pod_id)]

    async def log_lines(self, pod_id: str, source: str = CONTAINER) -> Lines:
        """The same as records; `source` "system" gives what RunPod itself did to the container."""
        op = Op("logs", f"read the log of pod {pod_id}")
        return await logs.collect(self._client, op, _path(op, pod_id) + "/logs", source)

    async def follow_logs(self, pod_id: str, after: str | None = None) -> AsyncIterator[LogLine]:
        """The container's log as it grows, after the position `after`, over as many connections as it takes."""
        op = Op("logs", f"follow the log of pod {pod_id}")
        async for line in logs.follow(self._client, op, _path(op, pod_id) + "/logs", CONTAINER, after):
            yield line

    # --- what can be rented, and what it costs -----------------------------------------------------------------

    async def catalog(self, count: int = 1) -> Offers:
        """GPU types of both clouds, `count` at a time, with price and stock."""
        if count < 1:
            raise ConfigError(f"Nobody can rent {count} GPUs.", "Ask for 1 or more.")
        op = Op("catalog", "list what can be rented")
        found: list[Offer] = []
        for cloud in Cloud:
            params = {"include": "AVAILABILITY", "product": "POD", "cloud": cloud.value, "count": str(count)}
            found += await self._client.ask(op, "GET", "/v2/catalog/gpus", _offers(cloud, count), params=params)
        return found

    async def volumes(self) -> Volumes:
        """The account's network volumes."""
        op = Op("volumes", "list the network volumes")
        return await _pages(self._client, op, "/v2/network-volumes", "networkVolumes", wire.volume, _PAGE)

    async def create_volume(self, name: str, size_gb: int, data_center: str) -> Volume:
        """Make a network volume. Sent once: it costs money until it is removed."""
        asking.check_volume(name, size_gb, data_center)
        return await self._client.ask(
            Op("create_volume", f"make the network volume {name}"),
            "POST",
            "/v2/network-volumes",
            lambda raw: wire.volume(decode(raw)),
            repeat=Repeat.NEVER,
            json={"name": name, "size": size_gb, "dataCenter": data_center},
            read_s=self._client.timing.create_s,
        )

    async def billing(self, start: float, end: float, pod_id: str | None = None) -> BillingRecords:
        """What was billed between two unix times, by hour; hours without cost may be missing."""
        if not start < end:
            raise ConfigError("The billed time ends before it begins.")
        op = Op("billing", "read what was billed")
        params = {"startTime": logs.moment(start), "endTime": logs.moment(end), "bucketSize": "hour"}
        if pod_id is not None:
            _path(op, pod_id)
            params["podId"] = pod_id
        return await _pages(self._client, op, "/v2/billing/pods", "records", wire.billing_record, params)

    async def balance(self) -> Balance:
        """What the account holds and spends. Raises ProviderError saying since when that is unknown."""
        return await self._island.balance()

    # --- helpers -----------------------------------------------------------------------------------------------

    async def _act(
        self, op: Op, pod_id: str, action: str, repeat: Repeat, again: Callable[[], Any] | None = None
    ) -> Pod:
        path = _path(op, pod_id) + "/action"
        return await self._client.ask(
            op, "POST", path, _pod(pod_id), repeat=repeat, json={"action": action}, again=again
        )

    async def _reconciled(self, conflict: Conflict, pod_id: str, wanted: frozenset[PodStatus]) -> Pod:
        """The pod when it already is what was asked for; else the refusal, with the state that is its reason."""
        pod = await self.get(pod_id)
        if pod.status in wanted:
            return pod
        conflict.message = f"{conflict.message} It is {pod.provider_status or 'in an unknown state'}."
        raise conflict

    async def _started_at(self, pod_id: str) -> float | None:
        """When a running pod was started, from the older API; None when that does not tell either."""
        try:
            return await self._island.last_started_at(pod_id)
        except ProviderError:
            return None

    async def _created_spot(self, name: str, pod_id: str) -> Pod:
        """The rented pod as REST shows it; what cannot be read yet is rented all the same."""
        try:
            return replace(await self.get(pod_id), spot=True)
        except ProviderError:  # it exists all the same, and costs money
            return Pod(
                id=pod_id,
                name=name,
                provider=self.name,
                status=PodStatus.CREATING,
                root=wire.MOUNT,
                python=wire.PYTHON,
                detail="it is rented, and cannot be read yet",
                spot=True,
            )


async def _pages(
    client: Client, op: Op, path: str, key: str, read: Callable[[Any], T], params: Mapping[str, str] | None = None
) -> list[T]:
    """Every entry of a list. Raises ProviderUnavailable when it does not come to an end: half a list misleads."""

    def page(raw: bytes) -> tuple[list[T], str | None]:
        data = decode(raw)
        return [read(row) for row in rows(data, key)], wire.cursor(data)

    found: list[T] = []
    seen: set[str] = set()
    query = dict(params or {})
    for _ in range(MAX_PAGES):
        entries, following = await client.ask(op, "GET", path, page, params=query)
        found += entries
        if following is None:
            return found
        if following in seen:
            raise not_understood(op, "its pages go round in a circle")
        seen.add(following)
        query["cursor"] = following
    raise not_understood(op, f"it has more than {MAX_PAGES} pages")


def _path(op: Op, pod_id: str) -> str:
    """The pod's address. Raises NotFound for what cannot be a pod's id and would be another address."""
    try:
        return f"/v2/pods/{identifier(pod_id)}"
    except ValueError:
        raise NotFound(f"RunPod has no pod with such an id: it could not {op.doing}.", op=op.name) from None


def _pod(pod_id: str) -> Callable[[bytes], Pod]:
    def read(raw: bytes) -> Pod:
        pod = wire.pod(decode(raw))
        if pod.id != pod_id:
            raise ValueError("it is about another pod")
        return pod

    return read


def _offers(cloud: Cloud, count: int) -> Callable[[bytes], list[Offer]]:
    return lambda raw: wire.offers(decode(raw), cloud, count)

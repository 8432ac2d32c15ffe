"""RunPod through its own Python library, pinned to 1.12: the same provider as over REST, with less to tell.

It has no balance, spot pods, restarts, logs, stock, bills or start times; `sdk_notes` holds what can be known instead.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from msgspec.structs import replace

from remote.errors import (
    AuthError,
    ConfigError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    RateLimited,
    RuleBroken,
)
from remote.pods.limited import Limited
from remote.pods.model import Pod, PodSpec, PodStatus
from remote.pods.provider import Capability, LogLines, Offers, Volumes
from remote.pods.runpod import sdk_wire
from remote.pods.runpod.client import Client, Repeat, Sleep, Timing, origin
from remote.pods.runpod.decode import mapping, rows, text
from remote.pods.runpod.errors import Op, not_understood
from remote.pods.runpod.hiding import Hiding
from remote.pods.runpod.rate import LOW
from remote.pods.runpod.sdk_call import Sdk
from remote.pods.runpod.sdk_notes import Notes
from remote.pods.runpod.wire import NAME
from remote.secrets import Secret, require_runpod_key

T = TypeVar("T")
_PRICES_S = 600.0  # how long prices are taken for current: reading them takes one request a GPU type


class SdkProvider(Limited):
    """Implements `remote.pods.provider.Provider` for the account of the API key, which is looked up at the first call.

    `state_dir` is the `.maxcai` of the workspace, `clock` gives unix seconds, `environ` (default: ours) may hold the
    key and the API's address. `timing` and `sleep` are there for tests. Raises ConfigError for an address that is none.
    """

    name = NAME
    capabilities = frozenset({Capability.CREATE, Capability.TERMINATE, Capability.CATALOG, Capability.VOLUMES})

    def __init__(
        self,
        state_dir: Path,
        clock: Callable[[], float],
        environ: Mapping[str, str] | None = None,
        *,
        timing: Timing | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        environ, workspace = os.environ if environ is None else environ, state_dir.absolute().parent
        self._find_key = lambda: require_runpod_key(workspace, environ)  # closed over: nothing here prints the key
        self._clock = clock
        self._hide = Hiding(environ)
        self._secret: Secret | None = None
        address = origin(environ)
        self._pace = Client(address, lambda: self._secret, self._hide, clock, timing=timing, sleep=sleep)
        self._sdk = Sdk(address, self._pace.budget, self._hide, clock)
        self._notes = Notes(state_dir.absolute(), clock)
        self._prices: dict[tuple[str, int], tuple[float, Any]] = {}

    async def list(self) -> list[Pod]:
        """Every pod of the account. Start times are as far as they can be known; `detail` says where they are not."""
        op = Op("list", "list pods")
        raw = await self._ask(op, "get_pods")
        return await self._notes.complete(_understood(op, sdk_wire.read_pods, raw))

    async def get(self, pod_id: str) -> Pod:
        """One pod. Raises NotFound."""
        op = Op("get", f"read pod {pod_id}")
        raw = await self._ask(op, "get_pod", {"pod_id": sdk_wire.escaped(pod_id)})
        if raw is None:
            raise NotFound(f"RunPod could not {op.doing}: there is no such pod for this API key.", op=op.name)
        reading = _understood(op, sdk_wire.read_pod, raw)
        if reading.pod.id != pod_id:
            raise not_understood(op, "it is about another pod")
        (pod,) = await self._notes.complete([reading])
        return pod

    async def create(self, name: str, spec: PodSpec) -> Pod:
        """Rent a pod: one request, never repeated. A network volume's data centre is looked up before.

        The library can ask for exact CUDA versions only, so a lowest one becomes a list of those known.
        """
        op = Op("create", f"create pod {name}")
        sdk_wire.deployment(name, spec, None)  # refused before anything is looked up
        data_center = await self._data_center(spec)
        arguments = sdk_wire.deployment(name, spec, data_center)
        self._hide.learn(spec.env.values())
        await self._notes.planned(name, spec, data_center)
        raw = await self._ask(op, "create_pod", arguments, Repeat.NEVER)
        pod_id = text(mapping(raw).get("id"))
        if pod_id is None:
            raise OutcomeUnknown(
                f"Nobody knows whether RunPod did {op.doing}: its answer names no pod.",
                "Look at the list of pods before anything else: it may exist and cost money.",
                op=op.name,
            )
        started_at = await self._notes.started(pod_id)
        try:
            return await self.get(pod_id)
        except ProviderError as error:  # it exists all the same, and costs money
            return Pod(
                pod_id, name, NAME, PodStatus.CREATING, spec.mount, "python3", gpu=spec.gpu, started_at=started_at,
                detail=f"created; it could not be read yet: {error.message}",
            )  # fmt: skip

    async def start(self, pod_id: str) -> Pod:
        """Start a stopped pod with as many GPUs as it had. Raises NoCapacityOnHost."""
        pod = await self.get(pod_id)
        if pod.status is not PodStatus.STOPPED:
            return pod
        made = self._notes.asked(pod.name)
        count = made.gpu_count if made else pod.gpu_count or 1  # one started without GPUs would stay without
        op = Op("start", f"start pod {pod_id}")
        arguments = {"pod_id": sdk_wire.escaped(pod_id), "gpu_count": count}

        async def running() -> bool | None:
            return (await self.get(pod_id)).status is not PodStatus.STOPPED or None

        await self._act(op, pod_id, "resume_pod", arguments, lambda pod: pod.status is not PodStatus.STOPPED, running)
        await self._notes.started(pod_id)
        return await self.get(pod_id)

    async def stop(self, pod_id: str) -> Pod:
        """Stop it. Stopping a stopped pod changes nothing."""
        pod = await self.get(pod_id)
        if pod.status.over:
            return pod
        op = Op("stop", f"stop pod {pod_id}")
        await self._act(op, pod_id, "stop_pod", {"pod_id": sdk_wire.escaped(pod_id)}, lambda pod: pod.status.over)
        await self._notes.stopped(pod_id)
        pod = await self.get(pod_id)
        return pod if pod.status.over else replace(pod, status=PodStatus.STOPPING, endpoint=None)

    async def terminate(self, pod_id: str) -> None:
        """Remove it with its data. A pod that is gone is no error."""
        op = Op("terminate", f"terminate pod {pod_id}")
        try:
            await self._act(op, pod_id, "terminate_pod", {"pod_id": sdk_wire.escaped(pod_id)}, _gone)
        except NotFound:
            return

    async def logs(self, pod_id: str) -> LogLines:  # noqa: ARG002
        """Not to be had from the library. Raises ConfigError."""
        self._cannot("read a pod's log, so its host keys cannot be verified")

    async def catalog(self, count: int = 1) -> Offers:
        """GPU types with prices, without stock. A type has no price while that would use up the quota of requests."""
        op = Op("catalog", "list what can be rented")
        types = _understood(op, lambda raw: rows({"gpus": raw}, "gpus"), await self._ask(op, "get_gpus"))
        found: Offers = []
        for brief in types:
            detailed = await self._priced(op, brief, count)
            found += _understood(op, lambda raw: sdk_wire.read_offers(raw, count), detailed)
        return found

    async def volumes(self) -> Volumes:
        """The account's network volumes."""
        op = Op("volumes", "list network volumes")
        return _understood(op, sdk_wire.read_volumes, await self._ask(op, "get_user"))

    async def aclose(self) -> None:
        """Nothing stays open between two calls."""
        await self._pace.aclose()

    async def _priced(self, op: Op, brief: Any, count: int) -> Any:
        """What `get_gpu` tells of a type that `get_gpus` names, at most ten minutes old; else what that one told."""
        gpu, now = text(mapping(brief).get("id")) or "", self._clock()
        at, known = self._prices.get((gpu, count), (-math.inf, brief))
        left = self._pace.budget.fraction(now)
        if 0 <= now - at < _PRICES_S or (left is not None and left < LOW):
            return known
        try:
            known = await self._ask(op, "get_gpu", {"gpu_id": sdk_wire.escaped(gpu), "gpu_quantity": count})
        except (RateLimited, RuleBroken):
            return known
        self._prices[(gpu, count)] = (now, known)
        return known

    async def _data_center(self, spec: PodSpec) -> str | None:
        """Where the pod must be: a network volume is reachable in its own data centre only."""
        wanted = spec.data_centers[0] if spec.data_centers else None
        if spec.volume_id is None:
            return wanted
        volume = next((volume for volume in await self.volumes() if volume.id == spec.volume_id), None)
        if volume is None:
            raise ConfigError(f'RunPod has no network volume "{spec.volume_id}" for this API key.', "List the volumes.")
        if wanted is not None and volume.data_center not in (None, wanted):
            raise ConfigError(
                f"Network volume {volume.id} is in {volume.data_center}, and the pod is asked for in {wanted}.",
                "Leave out the data centre, or choose another volume.",
            )
        return volume.data_center or wanted

    async def _act(
        self,
        op: Op,
        pod_id: str,
        function: str,
        arguments: Mapping[str, Any],
        done: Callable[[Pod], bool],
        again: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        """Do something to a pod that does no harm twice. A refusal counts only while the pod is not as it should be."""
        try:
            await self._ask(op, function, arguments, Repeat.SAFELY, again)
        except (RuleBroken, Conflict, NotFound):  # this API's refusals have no codes: look
            if not done(await self.get(pod_id)):
                raise

    async def _ask(
        self,
        op: Op,
        function: str,
        arguments: Mapping[str, Any] | None = None,
        repeat: Repeat = Repeat.FREELY,
        again: Callable[[], Awaitable[Any]] | None = None,
    ) -> Any:
        """What the library's `function` returns, asked for again as far as `repeat` allows."""
        key = await self._key()

        async def once() -> Any:
            return await self._sdk.call(op, key, function, arguments or {})

        try:
            return await self._pace.repeating(op, repeat, once, again)
        except AuthError:
            self._secret = None  # it may be put right meanwhile
            raise

    async def _key(self) -> Secret:
        if self._secret is None:
            secret = await asyncio.to_thread(self._find_key)
            self._hide.learn([secret.value])
            if not (secret.value.isascii() and secret.value.isprintable()) or " " in secret.value:
                raise ConfigError(f"The RunPod API key from {secret.source} has characters that no key has.")
            self._secret = secret
        return self._secret

    def _cannot(self, what: str) -> NoReturn:
        raise ConfigError(f"RunPod's own library cannot {what}.", "Use the transport v2, or RunPod's console.")


def _understood(op: Op, read: Callable[[Any], T], raw: Any) -> T:
    """What `read` makes of the library's answer. Raises ProviderUnavailable when it makes no sense."""
    try:
        return read(raw)
    except ValueError as exc:
        why = str(exc)
    raise not_understood(op, why)


def _gone(pod: Pod) -> bool:
    return pod.status is PodStatus.GONE

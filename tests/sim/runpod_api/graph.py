"""The GraphQL API as far as the project's documents show it. Queries are parsed, never compared as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from aiohttp import web
from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    execute,
    parse,
    validate,
)

from tests.sim.runpod_api import catalog, wire
from tests.sim.runpod_api import clock as clocks
from tests.sim.runpod_api.graph_schema import SDL
from tests.sim.runpod_api.keys import CALL, WORLD, Principal
from tests.sim.runpod_api.model import SOMETHING_WRONG, Plan, Refused, SimPod
from tests.sim.runpod_api.world import World

OPERATIONS = {
    "podFindAndDeployOnDemand": "create", "podRentInterruptable": "create", "deployCpuPod": "create",
    "podStop": "stop", "podResume": "start", "podBidResume": "start", "podTerminate": "terminate",
    "pod": "get", "gpuTypes": "gpus", "updateUserSettings": "ssh_keys",
}  # fmt: skip
"""Root fields by the operation they are, as faults name them; `myself` is "list" or "balance" by what it asks for."""
Json = dict[str, Any]

if TYPE_CHECKING:
    Info = GraphQLResolveInfo[Any]  # generic since graphql-core 3.3 only


@cache
def schema() -> GraphQLSchema:
    """The schema."""
    return build_schema(SDL)


def fields_of(text: str) -> list[tuple[str, str]]:
    """(root field, operation) of every root field of a document; [] when it does not parse."""
    try:
        document = parse(text)
    except GraphQLError:
        return []
    found = []
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            for field in definition.selection_set.selections:
                if isinstance(field, FieldNode):
                    found.append((field.name.value, _operation(field)))
    return found


def _operation(field: FieldNode) -> str:
    name = field.name.value
    if name != "myself":
        return OPERATIONS.get(name, name)
    asked = {one.name.value for one in (field.selection_set.selections if field.selection_set else ())
             if isinstance(one, FieldNode)}  # fmt: skip
    if "pods" in asked:
        return "list"
    return "balance" if asked & {"clientBalance", "currentSpendPerHr"} else "myself"


@dataclass
class Context:
    """What resolvers see."""

    world: World
    principal: Principal


async def graphql(request: web.Request) -> web.Response:
    """Answer one GraphQL request: schema errors are 400, resolver errors 200."""
    try:
        body = json.loads(await request.read())
        text, variables = body["query"], body.get("variables") or {}
    except (ValueError, KeyError, TypeError, AttributeError):
        return _errors(400, ["POST body missing, invalid Content-Type, or JSON object has no keys."])
    try:
        document = parse(text)
    except GraphQLError as exc:
        return _errors(400, [exc.message], "GRAPHQL_PARSE_FAILED")
    wrong = validate(schema(), document)
    if wrong:
        return _errors(400, [one.message.replace("'", '"') for one in wrong], "GRAPHQL_VALIDATION_FAILED")
    return await _execute(request, document, variables, body.get("operationName"))


async def _execute(
    request: web.Request, document: DocumentNode, variables: Json, operation: str | None
) -> web.Response:
    principal = CALL.get().principal
    assert principal is not None
    context = Context(request.app[WORLD], principal)
    outcome = execute(
        schema(), document, root_value=_ROOT, context_value=context, variable_values=variables, operation_name=operation
    )
    result = outcome if not hasattr(outcome, "__await__") else await outcome
    if not result.errors:
        return web.json_response({"data": result.data})
    if result.data is None and any(error.path is None for error in result.errors):
        return _errors(400, [error.message for error in result.errors], "BAD_USER_INPUT")
    errors = [
        {"message": error.message, "path": error.path, "extensions": {"code": "INTERNAL_SERVER_ERROR"}}
        for error in result.errors
    ]
    data = result.data if result.data and any(value is not None for value in result.data.values()) else None
    return web.json_response({"errors": errors, "data": data})


def _errors(status: int, messages: list[str], code: str = "BAD_REQUEST") -> web.Response:
    errors = [{"message": message, "extensions": {"code": code}} for message in messages]
    return web.json_response({"errors": errors}, status=status)


# --- resolvers ---------------------------------------------------------------------------------------------------


def _account(info: Info, writes: bool = False) -> World:
    """The world, for a key of the account. Raises Refused for pod-scoped and read-only keys."""
    context: Context = info.context
    if context.principal.pod_id is not None or (writes and not context.principal.writes):
        raise Refused(403, "access denied")
    return context.world


def _own(info: Info, pod_id: str, writes: bool) -> World:
    """The world, for the account or for the pod itself."""
    context: Context = info.context
    who = context.principal
    if who.pod_id not in (None, pod_id) or (writes and not who.writes):
        raise Refused(403, "access denied")
    if who.pod_id is not None and writes and context.world.quirks.watchdog_stop_refused:
        raise Refused(403, "access denied")
    return context.world


def _myself(info: Info) -> Json:
    world = _account(info)
    return {
        "id": world.user_id,
        "email": "somebody@example.org",
        "pubKey": "\n".join(world.ssh_keys),
        "clientBalance": float(round(world.books.balance, 6)),
        "currentSpendPerHr": float(round(world.spend_per_hour(), 6)),
        "spendLimit": float(world.books.spend_limit),
        "notifyPodsStale": True,
        "notifyPodsGeneral": True,
        "notifyLowBalance": True,
        "networkVolumes": [
            {"id": one.id, "name": one.name, "size": one.size, "dataCenterId": one.data_center}
            for one in world.volumes.values()
        ],
        "pods": [wire.pod_graphql(world, pod) for pod in world.pods.values() if not pod.cluster],
    }


def _pod(info: Info, input: Json) -> Json | None:
    world = _own(info, input["podId"], writes=False)
    pod = world.pods.get(input["podId"])
    return None if pod is None else wire.pod_graphql(world, pod)


def _gpu_types(info: Info, input: Json | None = None) -> list[Json]:
    world = _account(info)
    wanted = (input or {}).get("id")
    return [_gpu(world, gpu) for gpu in catalog.GPUS if wanted in (None, gpu.id)]


def _gpu(world: World, gpu: catalog.GpuType) -> Json:
    def lowest(info: Info, input: Json | None = None) -> Json:
        asked = input or {}
        secure = asked.get("secureCloud")
        cloud = None if secure is None else "SECURE" if secure else "COMMUNITY"
        free = world.market.stock(gpu.id, cloud)
        prices = [one for one in (gpu.secure if secure is not False else None, gpu.community if not secure else None)
                  if one is not None]  # fmt: skip
        enough = free >= asked.get("gpuCount", 1) and prices
        price = float(min(prices)) if enough else None
        return {
            "minimumBidPrice": None if price is None else round(price / 2, 3),
            "uninterruptablePrice": price,
            "stockStatus": catalog.availability(free).capitalize(),
            "availableGpuCounts": list(range(1, free + 1)),
        }

    def half(price: Decimal | None) -> float | None:
        return None if price is None else float(price / 2)

    return {
        "id": gpu.id, "displayName": gpu.name, "memoryInGb": gpu.memory, "manufacturer": "Nvidia",
        "maxGpuCount": gpu.max_count, "cudaCores": gpu.cuda_cores, "secureCloud": gpu.secure is not None,
        "communityCloud": gpu.community is not None, "securePrice": float(gpu.secure or 0),
        "communityPrice": float(gpu.community or 0), "oneMonthPrice": None, "threeMonthPrice": None,
        "oneWeekPrice": None, "communitySpotPrice": half(gpu.community), "secureSpotPrice": half(gpu.secure),
        "lowestPrice": lowest,
    }  # fmt: skip


async def _deploy(info: Info, input: Json) -> Json:
    world = _account(info, writes=True)
    if world.quirks.null_docker_args_fail and input.get("dockerArgs", "") is None:
        raise Refused(500, SOMETHING_WRONG)
    pod = await world.create(plan_of(input))
    return wire.pod_graphql(world, pod)


def plan_of(asked: Mapping[str, Any]) -> Plan:
    """A create input. `ports` is one comma string, `env` a list of key and value."""
    size = asked.get("volumeInGb") or 0
    volume = asked.get("networkVolumeId")
    cloud = asked.get("cloudType") or "ALL"
    bid = asked.get("bidPerGpu")
    kept = volume is not None or size > 0
    return Plan(
        name=asked.get("name") or "my pod", image=asked.get("imageName") or None, template_id=asked.get("templateId"),
        gpu_id=asked.get("gpuTypeId"), gpu_count=asked.get("gpuCount") or 1, cpu_id=asked.get("instanceId"),
        vcpus=12 if asked.get("gpuTypeId") else 2, cloud=None if cloud == "ALL" else cloud,
        disk=asked.get("containerDiskInGb"), persistent=size if size and volume is None else None, volume_id=volume,
        mount=(asked.get("volumeMountPath") or "/workspace") if kept else None,
        data_centers=(asked["dataCenterId"],) if asked.get("dataCenterId") else (),
        countries=(asked["countryCode"],) if asked.get("countryCode") else (),
        min_cuda=asked.get("minCudaVersion"), allowed_cuda=tuple(asked.get("allowedCudaVersions") or ()),
        env={one["key"]: one["value"] for one in asked.get("env") or ()},
        ports=tuple(one.strip() for one in (asked.get("ports") or "").split(",") if one.strip()),
        args=asked.get("dockerArgs") or "", start_ssh=bool(asked.get("startSsh")),
        bid=None if bid is None else Decimal(str(bid)), stop_after=_time(asked.get("stopAfter")),
        terminate_after=_time(asked.get("terminateAfter")),
    )  # fmt: skip


def _time(text: str | None) -> float | None:
    try:
        return None if text is None else clocks.parse(text)
    except ValueError:
        raise Refused(400, f"{text!r} is no time") from None


async def _stop(info: Info, input: Json) -> Json:
    world = _own(info, input["podId"], writes=True)
    pod = world.pod(input["podId"])
    if pod.status.active and not pod.stopping:
        await world.stop(pod.id)
    return wire.pod_graphql(world, pod)


async def _resume(info: Info, input: Json) -> Json:
    return await _start(info, input["podId"], input.get("gpuCount"), None)


async def _bid_resume(info: Info, input: Json) -> Json:
    return await _start(info, input["podId"], input.get("gpuCount"), Decimal(str(input["bidPerGpu"])))


async def _start(info: Info, pod_id: str, count: int | None, bid: Decimal | None) -> Json:
    world = _account(info, writes=True)
    pod: SimPod = await world.start(pod_id, count, bid)
    return wire.pod_graphql(world, pod)


async def _terminate(info: Info, input: Json) -> None:
    await _account(info, writes=True).terminate(input["podId"])


def _settings(info: Info, input: Json) -> Json:
    world = _account(info, writes=True)
    world.ssh_keys = [line for line in (input.get("pubKey") or "").splitlines() if line.strip()]
    return _myself(info)


_ROOT: Json = {
    "myself": _myself,
    "pod": _pod,
    "gpuTypes": _gpu_types,
    "podFindAndDeployOnDemand": _deploy,
    "podRentInterruptable": _deploy,
    "deployCpuPod": _deploy,
    "podStop": _stop,
    "podResume": _resume,
    "podBidResume": _bid_resume,
    "podTerminate": _terminate,
    "updateUserSettings": _settings,
}

"""The application: authentication, quotas, faults and the record of requests around the two APIs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.sim.runpod_api import graph, v2
from tests.sim.runpod_api.clock import stamp
from tests.sim.runpod_api.faults import Fault, FaultBook
from tests.sim.runpod_api.keys import CALL, WORLD, Call, Principal
from tests.sim.runpod_api.limits import RateLimiter
from tests.sim.runpod_api.model import Refused
from tests.sim.runpod_api.replies import problem
from tests.sim.runpod_api.world import World

_HIDDEN = ("authorization", "cookie")
_CDN_BLOCKS = "python-urllib"
_HTML = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>cloudflare</center>\r\n</body>\r\n</html>\r\n"
)


@dataclass
class Seen:
    """One request as it came in. `names` are its operation's names; `status` None when no reply was sent."""

    at: float
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: str
    names: frozenset[str]
    principal: str | None = None
    status: int | None = None
    fault: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the dump."""
        return {**vars(self), "names": sorted(self.names), "at": stamp(self.at)}


@dataclass
class Front:
    """What stands before the world: keys, quotas, faults, the record."""

    world: World
    keys: dict[str, Principal]
    limiter: RateLimiter = field(default_factory=RateLimiter)
    faults: FaultBook = field(default_factory=FaultBook)
    seen: list[Seen] = field(default_factory=list)
    retired: set[str] = field(default_factory=set)  # "v2", "graphql"
    crashes: list[Exception] = field(default_factory=list)  # our own bugs, for the harness to complain about

    def application(self) -> web.Application:
        """The server's application."""
        app = web.Application(middlewares=[self._middleware])
        app[WORLD] = self.world
        for method, path, handler, _ in v2.routes():
            app.router.add_route(method, path, handler)
        app.router.add_post("/graphql", graph.graphql)
        return app

    @web.middleware
    async def _middleware(self, request: web.Request, handler: v2.Handler) -> web.StreamResponse:
        body = await request.read()
        seen = self._record(request, body)
        self.seen.append(seen)
        call = Call()
        CALL.set(call)
        try:
            response = await self._answer(request, handler, seen, call)
        except Refused as refusal:
            response = problem(refusal.status, refusal.detail, refusal.errors)
        except web.HTTPMethodNotAllowed as exc:
            response = problem(405, "method not allowed", headers={"Allow": ", ".join(sorted(exc.allowed_methods))})
        except web.HTTPNotFound:
            response = await v2.nothing_here(request)
        except ConnectionResetError:
            return web.Response(status=499)  # the client has gone; nobody reads this
        except Exception as exc:
            self.crashes.append(exc)
            response = problem(500, f"the simulator failed: {exc!r}")
        for name, value in call.rate.items():
            if not response.prepared:
                response.headers[name] = value
        response = await self._spoil(request, response, call.fault)
        seen.status = response.status if request.transport is not None else None
        return response

    async def _answer(self, request: web.Request, handler: v2.Handler, seen: Seen, call: Call) -> web.StreamResponse:
        api = "graphql" if request.path == "/graphql" else "v2"
        agent = request.headers.get("User-Agent", "").lower()
        if self.world.quirks.blocks_bare_agents and (not agent or agent.startswith(_CDN_BLOCKS)):
            return web.Response(status=403, text="error code: 1010")
        if api in self.retired:
            return problem(410, "This API version has been retired.")
        principal = self._principal(request, api)
        call.principal = principal
        seen.principal = principal.name
        if api == "v2":
            async with self.world.lock:
                await self.world.settle()
            full, call.rate = self.limiter.take(principal.name, self.world.at)
            if full is not None:
                raise Refused(429, f"rate limit exceeded for the {full} window")
        fault = self.faults.take(seen.names)
        call.fault = fault
        if fault is not None:
            seen.fault = fault.kind
            early = await _before(request, fault)
            if early is not None:
                return early
        if api == "v2":
            self._permit(request, principal, seen)
        if "v2:logs" in seen.names:
            return await handler(request)  # a stream lives long and takes the lock by itself
        async with self.world.lock:
            await self.world.settle()
            return await handler(request)

    def _principal(self, request: web.Request, api: str) -> Principal:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            raise Refused(401, "missing bearer token")
        if key in self.keys:
            return self.keys[key]
        for pod in self.world.pods.values():
            if pod.key == key and not self.world.quirks.watchdog_key_refused:
                if api == "v2" and self.world.quirks.watchdog_v2_refused:
                    raise Refused(403, "access denied")
                return Principal(f"pod {pod.id}", pod.id)
        raise Refused(401, "invalid bearer token")

    def _permit(self, request: web.Request, principal: Principal, seen: Seen) -> None:
        """Raises Refused (403) for what a pod-scoped or read-only key may not do."""
        if not principal.writes and request.method != "GET":
            raise Refused(403, "access denied")
        if principal.pod_id is None:
            return
        own = request.match_info.get("id") == principal.pod_id
        stops = "v2:stop" in seen.names and not self.world.quirks.watchdog_stop_refused
        if not own or not (stops or "v2:get" in seen.names):
            raise Refused(403, "access denied")

    def _record(self, request: web.Request, body: bytes) -> Seen:
        headers = {name: ("(hidden)" if name.lower() in _HIDDEN else value) for name, value in request.headers.items()}
        return Seen(
            self.world.clock.now(), request.method, request.path, dict(request.query), headers,
            body.decode(errors="replace"), _names(request, body),
        )  # fmt: skip

    async def _spoil(
        self, request: web.Request, response: web.StreamResponse, fault: Fault | None
    ) -> web.StreamResponse:
        """What happens to a reply on its way, after the effect."""
        if fault is None or fault.before or response.prepared:
            return response
        if fault.kind == "timeout-after":
            await asyncio.sleep(fault.seconds)
            return _cut(request)
        if fault.kind == "html-502-after":
            return web.Response(status=502, text=_HTML, content_type="text/html")
        if fault.kind == "error-after":
            return problem(fault.status, fault.detail)
        if fault.kind == "truncated" and isinstance(response, web.Response) and isinstance(response.body, bytes):
            response.body = response.body[: len(response.body) // 2]
        return response


async def _before(request: web.Request, fault: Fault) -> web.Response | None:
    """The reply of a fault that keeps the operation from happening; None when it shall go on."""
    if fault.kind == "latency":
        await asyncio.sleep(fault.seconds)
        return None
    if fault.kind == "timeout-before":
        await asyncio.sleep(fault.seconds)
        return _cut(request)
    if fault.kind == "429":
        headers = {"Retry-After": str(fault.retry_after)}
        return problem(429, "rate limit exceeded for the minute window", headers=headers)
    if fault.kind == "error":
        return problem(fault.status, fault.detail)
    if fault.kind == "html-502":
        return web.Response(status=502, text=_HTML, content_type="text/html")
    if fault.kind == "garbage":
        return web.Response(text="{oops", content_type="application/json")
    if fault.kind == "empty":
        return web.Response(body=b"", content_type="application/json")
    return problem(410, "This API version has been retired.") if fault.kind == "retired" else None


def _cut(request: web.Request) -> web.Response:
    """Break the connection; nobody sees the reply."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _names(request: web.Request, body: bytes) -> frozenset[str]:
    """Every name that a fault may call this request by."""
    if request.path == "/graphql":
        fields = graph.fields_of(_json(body).get("query", ""))
        return frozenset(["graphql"]).union(*({f"graphql:{one}", operation} for one, operation in fields))
    route = request.match_info.route.resource
    canonical = route.canonical if route is not None else ""
    operation = next(
        (name for method, path, _, name in v2.routes() if (method, path) == (request.method, canonical)), "nothing"
    )
    if operation == "action":
        operation = str(_json(body).get("action", "action"))
    return frozenset(["v2", f"v2:{operation}", operation])


def _json(body: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

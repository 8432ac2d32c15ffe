"""The admin port: `/_sim/…` for tests that run the simulator as a process of its own. Loopback only, no key."""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.sim.runpod_api import wire
from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.model import BootTimes, Refused

if TYPE_CHECKING:
    from tests.sim.runpod_api.harness import Simulator


class Admin:
    """The handlers. Bodies and replies are JSON; a wrong body is 400 with one sentence."""

    def __init__(self, sim: Simulator) -> None:
        self._sim = sim

    def application(self) -> web.Application:
        """The admin application."""
        app = web.Application(middlewares=[_plain_errors])
        app.router.add_routes([
            web.get("/_sim/state", self.state),
            web.get("/_sim/requests", self.requests),
            web.post("/_sim/clock", self.clock),
            web.post("/_sim/quirks", self.quirks),
            web.post("/_sim/faults", self.faults),
            web.delete("/_sim/faults", self.no_faults),
            web.post("/_sim/stock", self.stock),
            web.post("/_sim/balance", self.balance),
            web.post("/_sim/quota", self.quota),
            web.post("/_sim/boot", self.boot),
            web.post("/_sim/retire", self.retire),
            web.post("/_sim/pods/{id}/{act}", self.pod),
        ])  # fmt: skip
        return app

    async def state(self, request: web.Request) -> web.Response:
        """Time, money, quirks, pods (those that are gone too) and volumes."""
        await self._sim.settle()
        world = self._sim.state
        return web.json_response({
            "now": world.at,
            "balance": str(world.books.balance),
            "spend_per_hour": str(world.spend_per_hour()),
            "quirks": self._sim.quirks.as_dict(),
            "pods": [self._pod(pod.id) for pod in world.pods.values()],
            "gone": sorted(world.gone),
            "volumes": [wire.volume_v2(one) for one in world.volumes.values()],
            "failures": world.machine.failures,
            "hosts": [{**vars(host), "images": sorted(host.images)} for host in world.market.hosts],
        })  # fmt: skip

    def _pod(self, pod_id: str) -> dict[str, Any]:
        pod = self._sim.state.pods[pod_id]
        running = pod.running
        pids = running.pids() if running is not None else []
        extra = {"host": pod.host.id, "gpus_held": pod.gpus_held, "spot": pod.spot, "pids": pids}
        return {**wire.pod_v2(self._sim.state, pod), "_sim": extra}

    async def requests(self, request: web.Request) -> web.Response:
        """Every request received."""
        return web.json_response([one.as_dict() for one in self._sim.requests])

    async def clock(self, request: web.Request) -> web.Response:
        """{"advance": seconds}."""
        await self._sim.advance(float((await request.json())["advance"]))
        return web.json_response({"now": self._sim.state.at})

    async def quirks(self, request: web.Request) -> web.Response:
        """{"name": true|false, …}."""
        self._sim.quirks.set(**await request.json())
        return web.json_response(self._sim.quirks.as_dict())

    async def faults(self, request: web.Request) -> web.Response:
        """{"operation", "fault", "times"?, and the fault's own fields}."""
        body = await request.json()
        operation, kind, times = body.pop("operation"), body.pop("fault"), body.pop("times", 1)
        self._sim.inject(operation, Fault(kind, **body) if body else Fault.named(kind), times)
        return web.json_response({})

    async def no_faults(self, request: web.Request) -> web.Response:
        """Forget every fault."""
        self._sim.clear_faults()
        return web.json_response({})

    async def stock(self, request: web.Request) -> web.Response:
        """{"gpu", "free", "cloud"?, "data_center"?}."""
        self._sim.set_stock(**await request.json())
        return web.json_response({})

    async def balance(self, request: web.Request) -> web.Response:
        """{"balance": USD}."""
        self._sim.set_balance(Decimal(str((await request.json())["balance"])))
        return web.json_response({})

    async def quota(self, request: web.Request) -> web.Response:
        """{"minute"?, "hour"?, "day"?}."""
        self._sim.set_quota(**await request.json())
        return web.json_response({})

    async def boot(self, request: web.Request) -> web.Response:
        """Boot times by name, virtual seconds."""
        times, known = self._sim.state.machine.times, {field.name for field in fields(BootTimes)}
        for name, value in (await request.json()).items():
            if name not in known:
                raise ValueError(f"no boot time {name!r}")
            setattr(times, name, float(value))
        return web.json_response(vars(times))

    async def retire(self, request: web.Request) -> web.Response:
        """{"apis": ["v2", "graphql"]}."""
        self._sim.retire(*(await request.json())["apis"])
        return web.json_response({})

    async def pod(self, request: web.Request) -> web.Response:
        """`evict`, `exit`, `error` or `gone` for one pod."""
        pod_id, act = request.match_info["id"], request.match_info["act"]
        if act == "evict":
            await self._sim.evict(pod_id)
        elif act in ("exit", "error", "gone"):
            await self._sim.kill(pod_id, act)
        else:
            raise ValueError(f"no act {act!r}")
        return web.json_response({})


def admin_application(sim: Simulator) -> web.Application:
    """The application of the admin port."""
    return Admin(sim).application()


@web.middleware
async def _plain_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except (ValueError, KeyError, TypeError, Refused) as exc:
        return web.json_response({"error": str(exc)}, status=400)
    return response

"""Who may do what, and what is known of the request being answered."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp import web

from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.world import World

WORLD = web.AppKey("world", World)


@dataclass(frozen=True)
class Principal:
    """Who a request's key belongs to: the account, or with `pod_id` one pod. `writes` False for a read-only key."""

    name: str
    pod_id: str | None = None
    writes: bool = True


@dataclass
class Call:
    """One request on its way through; `rate` are the quota headers of its reply."""

    principal: Principal | None = None
    fault: Fault | None = None
    rate: dict[str, str] = field(default_factory=dict)


CALL: ContextVar[Call] = ContextVar("call")
"""The request that this task answers."""

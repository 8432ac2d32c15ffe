"""The billing routes: what was settled so far, in buckets. Zero buckets are left out, as was seen live."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any

from aiohttp import web

from tests.sim.runpod_api.clock import parse, stamp_seconds
from tests.sim.runpod_api.keys import WORLD
from tests.sim.runpod_api.model import Refused
from tests.sim.runpod_api.money import BUCKETS, Charge, after, back, edge
from tests.sim.runpod_api.replies import choice, invalid, number

_DEFAULT_DAYS = 30
Amounts = dict[str, Decimal]


async def pod_billing(request: web.Request) -> web.Response:
    """Amounts by pod and bucket."""
    start, end, size = _window(request)
    wanted = request.query.get("podId")
    charges = [one for one in _within(request, start, end) if one.pod_id and wanted in (None, one.pod_id)]
    records = _records(charges, size, lambda one: {"podId": one.pod_id}, _pod_amounts)
    query = {**_query(start, end, size), **({"podId": wanted} if wanted else {})}
    zero = dict.fromkeys(("totalAmount", "gpuAmount", "cpuAmount", "diskAmount"), Decimal(0))
    metadata = {
        "query": query,
        "recordCount": len(records),
        "uniquePodCount": len({one.pod_id for one in charges}),
        "totals": _numbers(_sum((_pod_amounts(one) for one in charges), zero)),
    }
    return web.json_response({"records": records, "metadata": metadata})


async def volume_billing(request: web.Request) -> web.Response:
    """Amounts by network volume and bucket."""
    start, end, size = _window(request)
    charges = [one for one in _within(request, start, end) if one.volume_id]
    records = _records(charges, size, lambda one: {"networkVolumeId": one.volume_id}, _volume_amounts)
    metadata = {"query": _query(start, end, size), "recordCount": len(records)}
    return web.json_response({"records": records, "metadata": metadata})


async def totals_billing(request: web.Request) -> web.Response:
    """Amounts over all resources by bucket; the names of its parts are ours."""
    start, end, size = _window(request)
    records = _records(_within(request, start, end), size, lambda _: {}, _all_amounts)
    metadata = {"query": _query(start, end, size), "recordCount": len(records)}
    return web.json_response({"records": records, "metadata": metadata})


def _window(request: web.Request) -> tuple[datetime, datetime, str]:
    """The window, snapped outwards to bucket edges. Raises Refused: 400 for a contradiction, 422 for bad values."""
    size = choice(request, "bucketSize", BUCKETS) or "day"
    last = number(request, "lastN", 1, 10000)
    given = [name for name in ("startTime", "endTime") if name in request.query]
    if last is not None and given:
        raise Refused(400, "lastN excludes startTime and endTime")
    now = request.app[WORLD].at
    if last is not None:
        newest = edge(now, size)
        return back(newest, size, last - 1), after(newest, size), size
    times = {}
    for name in given:
        try:
            times[name] = parse(request.query[name])
        except ValueError:
            raise invalid(f"{name}: expected an RFC 3339 time") from None
    end = times.get("endTime", now)
    start = times.get("startTime", end - _DEFAULT_DAYS * 86400.0)
    if start > end:
        raise Refused(400, "startTime is after endTime")
    last_edge = edge(end, size)
    exact = "endTime" in times and last_edge.timestamp() == end
    return edge(start, size), last_edge if exact else after(last_edge, size), size


def _within(request: web.Request, start: datetime, end: datetime) -> list[Charge]:
    charges = request.app[WORLD].books.charges
    return [one for one in charges if start.timestamp() <= one.start < end.timestamp()]


def _records(
    charges: Iterable[Charge],
    size: str,
    owner: Callable[[Charge], dict[str, Any]],
    amounts: Callable[[Charge], Amounts],
) -> list[dict[str, Any]]:
    sums: dict[tuple[float, tuple[tuple[str, Any], ...]], Amounts] = defaultdict(dict)
    for charge in charges:
        key = (edge(charge.start, size).timestamp(), tuple(owner(charge).items()))
        sums[key] = _sum([amounts(charge)], sums[key])
    records = []
    for (begin, who), total in sorted(sums.items()):
        if total["totalAmount"]:
            ends = after(edge(begin, size), size).timestamp()
            times = {"startTime": stamp_seconds(begin), "endTime": stamp_seconds(ends)}
            records.append({**times, **dict(who), **_numbers(total)})
    return records


def _pod_amounts(charge: Charge) -> Amounts:
    return {
        "totalAmount": charge.total, "gpuAmount": charge.gpu, "cpuAmount": charge.cpu, "diskAmount": charge.disk
    }  # fmt: skip


def _volume_amounts(charge: Charge) -> Amounts:
    return {
        "totalAmount": charge.total,
        "standardAmount": charge.standard,
        "highPerformanceAmount": charge.high_performance,
    }


def _all_amounts(charge: Charge) -> Amounts:
    pod = charge.total if charge.pod_id else Decimal(0)
    return {"totalAmount": charge.total, "podAmount": pod, "networkVolumeAmount": charge.total - pod}


def _sum(parts: Iterable[Amounts], start: Amounts) -> Amounts:
    total = dict(start)
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, Decimal(0)) + value
    return total


def _numbers(amounts: Amounts) -> dict[str, float]:
    return {name: float(round(value, 8)) for name, value in amounts.items()}


def _query(start: datetime, end: datetime, size: str) -> dict[str, str]:
    return {
        "startTime": stamp_seconds(start.timestamp()), "endTime": stamp_seconds(end.timestamp()), "bucketSize": size
    }  # fmt: skip

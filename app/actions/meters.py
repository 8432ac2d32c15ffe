"""Money and machines in numbers: what was and is spent, what the GPUs do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from app.actions.base import Action, Args, Context, Param, Scope
from app.actions.pod import POD
from app.actions.sync import pod_is_up
from app.events import AppEvent, Output

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.watch.telemetry import Telemetry

FIRST_S = 15.0
"""Seconds to wait for the first samples of all GPUs."""


async def _cost(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app import spending

    found = await spending.read(context.supervisor, bill=not args["no_bill"])
    yield Output(spending.text(found), spending.data(found))


async def _gpu(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from remote.watch.telemetry import Telemetry, collect

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    agent = await supervisor.link.agent(pod.id)
    seen, fresh = Telemetry(), asyncio.Event()
    task = asyncio.create_task(collect(agent, seen, context.clock, lambda _sample: fresh.set()))
    try:
        await _first(seen, task, fresh, pod.gpu_count)
        yield _sampled(seen, context.clock())
        while args["follow"] and not task.done():
            await asyncio.sleep(1.0)
            yield _sampled(seen, context.clock())
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _first(seen: Telemetry, task: asyncio.Task[None], fresh: asyncio.Event, count: int | None) -> None:
    """Wait until every GPU and the machine were sampled, or what is wrong is known. Raises SshError."""

    def enough() -> bool:
        return seen.machine is not None and (len(seen.newest) >= max(1, count or 1) or seen.trouble is not None)

    try:
        async with asyncio.timeout(FIRST_S):
            while not enough():
                changed = asyncio.create_task(fresh.wait())
                await asyncio.wait((changed, task), return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
                fresh.clear()
                if task.done():
                    task.result()
                    return
    except TimeoutError:
        return  # what is missing is shown as such


def _sampled(seen: Telemetry, now: float) -> Output:
    from msgspec.structs import asdict

    stale = seen.staleness(now)
    lines = []
    for index, one in sorted(seen.newest.items()):
        memory = f"{_n(one.memory_used)} of {_n(one.memory_total)} MiB"
        lines.append(
            f"gpu {index} {one.name or 'unknown'}  {_n(one.util)} %  {memory}  {_n(one.temperature)} °C  "
            f"{_n(one.power)} of {_n(one.power_limit)} W  {_n(one.clock)} MHz  {one.pstate or '?'}"
        )
    lines += [stale] if stale else []
    host = seen.machine
    if host is not None:
        lines.append(
            f"host  cpu {_n(host.cpu, 1)} of {_n(host.cpus)}  memory {_gib(host.memory)} of {_gib(host.memory_limit)} "
            f"GiB  free {_gib(host.free_root)} GiB on the volume, {_gib(host.free_system)} GiB on the container disk"
            + ("" if host.volume_answers else "  THE VOLUME DOES NOT ANSWER")
        )
    for process in seen.processes or ():
        lines.append(f"process {process.pid}  {_n(process.memory)} MiB  {process.name}")
    data: dict[str, Any] = {
        "gpus": [asdict(one) for _, one in sorted(seen.newest.items())],
        "host": None if host is None else asdict(host),
        "processes": None if seen.processes is None else [asdict(one) for one in seen.processes],
        "trouble": stale or None,
    }
    return Output("\n".join(lines), data)


def _n(value: float | None, digits: int = 0) -> str:
    return "?" if value is None else f"{value:.{digits}f}"


def _gib(value: float | None) -> str:
    return "?" if value is None else f"{value / 1024**3:.1f}"


async def probe(supervisor: Supervisor, pod_id: str) -> None:
    """One word to the pod's agent: what `status` says of the link and the GPUs comes from it."""
    agent = await supervisor.link.agent(pod_id)
    supervisor.link.heard(pod_id, len((await agent.hello()).gpus))


ACTIONS: tuple[Action, ...] = (
    Action(
        "cost", ("cost",), "Cost", "session, total, burn, disks, runway, and what was billed; unknown stays unknown",
        "$", Scope.GLOBAL, _cost, writes=False, prints=True,
        params=(Param("no_bill", "do not ask what was billed"),),
    ),
    Action(
        "gpu", ("gpu",), "GPUs", "one sample of every GPU and of the machine", "", Scope.POD, _gpu, writes=False,
        enabled=pod_is_up, prints=True,
        params=(POD, Param("follow", "one each second", short="-f")),
    ),
)  # fmt: skip

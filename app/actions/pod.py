"""List, start and stop pods. The stop guard lives in `app.risk`; money and journal in `app.fleet`."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.actions.base import Action, Args, Confirm, Context, Param, Reason, Scope
from app.errors import Refused
from app.events import AppEvent, Output
from app.reduce import ALIVE, OFF
from app.state import AppState

_POD = Param("pod", "pod id or name; default: the first one", kind="positional", metavar="POD")


async def _list(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.text import pod_row, table

    views = await context.supervisor.pods()
    rows = [pod_row(view) for view in views]
    data = [
        {
            "id": v.id,
            "name": v.name,
            "provider": v.provider,
            "status": v.status,
            "gpu": v.gpu,
            "gpu_count": v.gpu_count,
            "cost_per_hour": None if v.cost_per_hour is None else float(v.cost_per_hour),
            "ssh": None if v.host is None or v.port is None else {"host": v.host, "port": v.port},
            "started_at": v.started_at,
        }
        for v in views
    ]
    yield Output(table(("ID", "NAME", "PROVIDER", "STATUS", "GPU", "$/H", "SSH"), rows), data)


async def _start(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    supervisor = context.supervisor
    pod = await supervisor.start_pod(args["pod"])
    supervisor.say("ok", f"pod {pod.id} is {pod.status}")
    yield Output(pod.id, {"id": pod.id, "status": str(pod.status)})


async def _stop(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.risk import at_risk

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    if not pod.status.over:
        risks = () if args["force"] else await at_risk(supervisor, pod)
        if risks:
            raise Refused(
                f"pod {pod.id} is not stopped: " + "; ".join(risks),
                "`maxcai pull RUN` and `maxcai run cancel RUN` make it safe; --force stops it all the same.",
            )
        pod = await supervisor.stop_pod(pod)
    supervisor.say("ok", f"pod {pod.id} is {pod.status}")
    yield Output(pod.id, {"id": pod.id, "status": str(pod.status)})


def _can_start(state: AppState) -> Reason | None:
    if state.pod is not None and state.pod.status == "RUNNING":
        return Reason(f"pod {state.pod.id} is running already")
    return None


def _can_stop(state: AppState) -> Reason | None:
    if state.pods_at is not None and (state.pod is None or state.pod.status in OFF):
        return Reason("no pod is running")
    return None


def _stop_confirm(state: AppState) -> Confirm | None:
    """Ask only when something is at risk; the numbers are those of the state shown."""
    run = state.run
    if run is None or (run.pulled and run.state not in ALIVE):
        return None
    lines = []
    if run.state in ALIVE:
        lines.append(f"run {run.run_id} is {run.state}: it ends now and can be resumed from its last checkpoint")
    if not run.pulled:
        lines.append(f"results of run {run.run_id} are not home yet")
    price = state.cost.per_hour
    saved = "saves an unknown amount per hour" if price is None else f"saves ${price:.2f}/h"
    lines.append(f"stopping {saved}; the disk is kept and may go on costing")
    return Confirm("Stop the pod?", tuple(lines), "stop", danger=True, args={"force": True})


ACTIONS: tuple[Action, ...] = (
    Action(
        "pod.list", ("pod", "list"), "List pods", "every pod with state, price and address", "", Scope.POD, _list,
        writes=False, prints=True,
    ),
    Action(
        "pod.start", ("pod", "start"), "Start the pod", "start the pod and wait until it answers", "s", Scope.GLOBAL,
        _start, enabled=_can_start, params=(_POD,), prints=True,
    ),
    Action(
        "pod.stop", ("pod", "stop"), "Stop the pod", "stop the pod; refused while a run lives or results are not home",
        "x", Scope.GLOBAL, _stop, enabled=_can_stop, confirm=_stop_confirm, prints=True,
        params=(_POD, Param("force", "stop although something is at risk")),
    ),
)  # fmt: skip

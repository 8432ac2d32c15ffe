"""List, start, stop, restart and remove pods. The stop guard lives in `app.risk`, renting in `app.actions.rent`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from app.actions.base import AGREED, Action, Args, Confirm, Context, Param, Reason, Scope
from app.errors import AppError, Refused, Unagreed, UsageError
from app.events import AppEvent, Output
from app.reduce import OFF
from app.state import AppState

if TYPE_CHECKING:
    from remote.pods.model import Pod

POD = Param(
    "pod", "pod id or name; default: the first one that is not off", kind="positional", metavar="POD", subject="pod"
)


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
    yield Output(table(("ID", "NAME", "PROVIDER", "STATUS", "GPU", "$/H", "SSH", "NOTE"), rows), data)


async def _start(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app import rent
    from app.arming import arm_as_it_is
    from app.ready import reach

    supervisor = context.supervisor
    if supervisor.fleet.rented and args["pod"] is None:
        await supervisor.pod(None)  # `pod start` rents nothing: without a pod it says so
    try:
        if supervisor.fleet.rented and (args["wait"] or args["new"] or args["rescue"]):
            pod = await _around(context, args)
        else:
            pod = await supervisor.start_pod(args["pod"], agreed=args["agreed"])
    except rent.ResumeBlocked as error:
        found = error.blocked
        ways = [{"way": str(one.way), "text": one.text, "loses": one.loses or None} for one in found.choices]
        data = {"id": found.pod.id, "status": "RESUME_BLOCKED", "attempts": found.attempts}
        yield Output("RESUME_BLOCKED", {**data, "next_try": found.next_try, "choices": ways})
        raise
    if supervisor.fleet.rented:
        await arm_as_it_is(supervisor, pod, await reach(supervisor, pod))
    supervisor.say("ok", f"pod {pod.id} is {pod.status}")
    yield Output(pod.id, {"id": pod.id, "status": str(pod.status)})


async def _around(context: Context, args: Args) -> Pod:
    """What the person chose for a start that may be blocked."""
    from app import rent

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    if args["new"] or args["rescue"]:
        return await rent.instead(supervisor, pod, "new_pod" if args["new"] else "rescue", agreed=args["agreed"])
    if pod.status.over:
        await rent.agree_to_start(supervisor, pod, args["agreed"])
    return await rent.keep_trying(supervisor, pod)


async def _stop(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.risk import leave_to_stop

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    if not pod.status.over:
        if args["safely"]:
            await _make_safe(context, pod)
        permit = await leave_to_stop(supervisor, pod, args["force"])
        pod = await supervisor.stop_pod(pod, permit)
    supervisor.say("ok", f"pod {pod.id} is {pod.status}")
    yield Output(pod.id, {"id": pod.id, "status": str(pod.status)})


async def _keep(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    """Call a counted-down stop off. Where a budget was the reason, the pod's own watchdog must know of it too."""
    from app import arming
    from app.errors import sentence
    from remote.errors import RemoteError

    supervisor, minutes = context.supervisor, args["minutes"]
    if minutes is not None and not 0 < minutes < float("inf"):
        raise UsageError(f"{minutes:g} minutes are no time to keep a pod", "Give a number above zero.")
    ended = await supervisor.keeper.keep(None if minutes is None else 60.0 * minutes)
    for one in ended:
        if one.rule == "budget":
            try:
                await arming.arm_again(supervisor, await supervisor.pod(one.pod))
            except (RemoteError, AppError) as error:
                supervisor.say("warn", f"the pod's own watchdog may stop it all the same: {sentence(error)}")
    said = "\n".join(f"pod {one.name} is kept ({one.rule})" for one in ended) or "no stop is being counted down"
    yield Output(said, [{"pod": one.pod, "rule": one.rule, "until": one.kept} for one in ended])


async def _ssh(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    import asyncio
    import shlex

    from remote.link.shell import shell

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    connection = await supervisor.link.connection(pod.id)
    found = shell(connection, context.workspace.state_dir)
    if args["print"]:
        yield Output(shlex.join(found.argv), {"argv": list(found.argv)})
        return
    child = await asyncio.create_subprocess_exec(*found.argv, cwd=found.cwd, env=found.env)
    code = await child.wait()
    supervisor.say("info", f"the shell on pod {pod.name} is closed" + (f" (exit code {code})" if code else ""))


async def _make_safe(context: Context, pod: Pod) -> None:
    """End what runs on the pod after a checkpoint, and bring home what its runs of this workspace wrote."""
    from app.launch import CHECKPOINT_S, cancel_run
    from remote import jobs
    from remote.sync.pull import unpulled

    supervisor = context.supervisor
    agent = await supervisor.link.agent(pod.id)
    known = {entry.run_id: entry for entry in supervisor.book.entries()}
    for job in await jobs.runs(agent):
        entry = known.get(job.run_id)
        if entry is None:
            continue  # the guard says what it thinks of it
        if job.state.alive:
            await cancel_run(supervisor, entry, CHECKPOINT_S)
        if await unpulled(agent, job.run_id, supervisor.workspace.run_dir(job.run_id)):
            await supervisor.pull(entry)


async def _restart(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.arming import arm
    from app.ready import reach
    from app.risk import look
    from remote.renting.permits import loses_data, may_stop

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    if pod.status.over:
        raise UsageError(f"pod {pod.name} is {pod.status}", "Start it: `maxcai pod start`.")
    risk = await look(supervisor, pod)
    if risk.alive and not args["force"]:
        raise Refused(
            f"pod {pod.name} is not restarted: " + "; ".join(risk.alive),
            "`maxcai run cancel RUN` ends it after a checkpoint; --force restarts all the same.",
        )
    if loses_data(pod) and not args["force"]:
        may_stop(pod, risk.unpulled)  # its data go with the container, as at a stop
    # What the pod could not be asked about is overridden too: nobody knows that nothing was alive.
    overridden = (risk.alive or (risk.clauses if risk.unpulled is None else ())) if args["force"] else ()
    if not args["agreed"] and supervisor.fleet.rented:
        lines = ("its container disk is wiped, its port and host key change; the kept volume stays", *overridden)
        raise Unagreed(f"Restart pod {pod.name}?", lines, "restart")
    for clause in overridden:
        supervisor.say("warn", f"overridden: {clause}")
    with supervisor.activity("pod.restart", f"restarting pod {pod.name}"):
        await supervisor.link.close(pod.id)
        pod = await supervisor.fleet.restart(pod, overridden)
    await supervisor.look()
    if supervisor.fleet.rented:
        await arm(supervisor, pod, await reach(supervisor, pod))
    supervisor.say("ok", f"pod {pod.id} is {pod.status}, at a new address")
    ssh = None if pod.endpoint is None else {"host": pod.endpoint.host, "port": pod.endpoint.port}
    yield Output(pod.id, {"id": pod.id, "status": str(pod.status), "ssh": ssh, "started_at": pod.started_at})


async def _terminate(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.risk import look
    from remote.renting.permits import may_terminate

    supervisor = context.supervisor
    if args["name"] is None:
        raise UsageError("no pod is named", "Type its whole name: `maxcai pod terminate NAME`; see `maxcai pod list`.")
    pod = await supervisor.pod(args["name"])
    missing = None if pod.status.over else (await look(supervisor, pod, removing=True)).unpulled
    permit = may_terminate(pod, missing, args["name"], override=args["force"])
    lines = [f"pod {pod.name} is removed with everything on its disks; a network volume stays"]
    lines += [f"lost: {path}" for path in permit.overridden]
    if not args["agreed"]:
        raise Unagreed(f"Remove pod {pod.name} for good?", tuple(lines), "remove", danger=True)
    with supervisor.activity("pod.terminate", f"removing pod {pod.name}"):
        await supervisor.link.close(pod.id)
        await supervisor.fleet.terminate(permit)
    await supervisor.look()
    supervisor.say("ok", f"pod {pod.name} is gone")
    yield Output(pod.id, {"id": pod.id, "terminated": True, "overridden": list(permit.overridden)})


def _can_start(state: AppState) -> Reason | None:
    if state.pod is not None and state.pod.status == "RUNNING":
        return Reason(f"pod {state.pod.id} is running already")
    return None


def can_stop(state: AppState) -> Reason | None:
    """Reason when no pod is known to run."""
    if state.pods_at is not None and (state.pod is None or state.pod.status in OFF):
        return Reason("no pod is running")
    return None


def _counted_down(state: AppState) -> Reason | None:
    """Reason when no stop is being counted down."""
    if state.pods_at is not None and state.countdown is None:
        return Reason("no stop is being counted down")
    return None


def _has_pod(state: AppState) -> Reason | None:
    """Reason when the provider has told that there is no pod at all."""
    return Reason("there is no pod") if state.pods_at is not None and not state.pods else None


async def _before_start(context: Context, args: Args) -> Confirm | None:
    from app.asking import before_start

    return await before_start(context, args)


async def _before_stop(context: Context, args: Args) -> Confirm | None:
    from app.asking import before_stop

    return await before_stop(context, args)


async def _before_terminate(context: Context, args: Args) -> Confirm | None:
    from app.asking import before_terminate

    return await before_terminate(context, args)


ACTIONS: tuple[Action, ...] = (
    Action(
        "pod.list", ("pod", "list"), "List pods", "every pod with state, price and address", "", Scope.POD, _list,
        writes=False, prints=True,
    ),
    Action(
        "pod.start", ("pod", "start"), "Start the pod", "start the pod and wait until it answers", "s", Scope.GLOBAL,
        _start, enabled=_can_start, confirm=_before_start, prints=True,
        params=(
            POD, Param("wait", "no free GPU on its machine: try again in 1, 2, 5, then every 10 minutes"),
            Param("new", "rent a new pod of the same kind instead"),
            Param("rescue", "rent a pod without a GPU on the same network volume, to pull from"), AGREED,
        ),
    ),
    Action(
        "pod.stop", ("pod", "stop"), "Stop the pod", "stop the pod; refused while a run lives or results are not home",
        "x", Scope.GLOBAL, _stop, enabled=can_stop, confirm=_before_stop, asks=True, waits_s=5.0, prints=True,
        params=(
            POD, Param("force", "stop although something is at risk; it is journalled"),
            Param("safely", "end its run after a checkpoint and pull what is not home first"),
        ),
    ),
    Action(
        "pod.keep", ("pod", "keep"), "Keep the pod", "call off the stop for idleness or budget that is counted down",
        "", Scope.POD, _keep, enabled=_counted_down, prints=True,
        params=(Param("minutes", "for so long; default: the idle time, or an hour over budget", "option",
                      metavar="N", type=float),),
    ),
    Action(
        "pod.restart", ("pod", "restart"), "Restart the pod", "a new container: new port and host key, volume kept",
        "", Scope.POD, _restart, enabled=can_stop, prints=True,
        params=(POD, Param("force", "restart although a run is alive"), AGREED),
    ),
    Action(
        "pod.ssh", ("pod", "ssh"), "Shell on the pod", "a shell over ssh, host key checked; the panel waits meanwhile",
        "S", Scope.GLOBAL, _ssh, enabled=can_stop, terminal=True,
        params=(POD, Param("print", "show the command instead of running it")),
    ),
    Action(
        "pod.terminate", ("pod", "terminate"), "Remove a pod for good", "refused while its results are not home", "X",
        Scope.GLOBAL, _terminate, enabled=_has_pod, confirm=_before_terminate, prints=True,
        params=(
            Param("name", "the pod's whole name, typed", kind="positional", metavar="NAME"),
            Param("force", "although files are lost; it is journalled"), AGREED,
        ),
    ),
)  # fmt: skip

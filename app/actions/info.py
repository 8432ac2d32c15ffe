"""Set up a workspace, look at it, start the day with it, follow logs, run the demo."""

from __future__ import annotations

from collections.abc import AsyncIterator

from app.actions.base import Action, Args, Context, Param, Scope
from app.errors import AppError, Refused, UsageError
from app.events import Acknowledged, AppEvent, Output, OutputBytes


async def _init(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.workspace import init

    made: dict[str, bool] = {}
    init(context.workspace, made.__setitem__)
    for name, new in made.items():
        context.supervisor.say("info", f"{'made' if new else 'kept'} {name}")
    yield Output(
        str(context.workspace.root), {"root": str(context.workspace.root), "made": [n for n, m in made.items() if m]}
    )


async def _doctor(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.doctor import examine

    checks = examine(context.workspace, context.supervisor.settings)
    if context.supervisor.fleet.rented:
        from app.checkup import account

        checks += await account(context.supervisor)
    lines = [
        f"{check.mark} {check.name}: {check.text}" + (f" → {check.remedy}" if check.remedy else "") for check in checks
    ]
    yield Output("\n".join(lines), [check.as_dict() for check in checks])
    failed = [check.name for check in checks if check.level == "fail"]
    if failed:
        raise AppError(
            f"{len(failed)} check{'s' * (len(failed) > 1)} failed: {', '.join(failed)}", "The remedies are above."
        )


async def _status(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.status import data, gather, text

    found = await gather(context.supervisor)
    yield Output(text(found), data(found))


async def _alerts(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.alerts import alerts
    from app.seen import acknowledge, acknowledged
    from app.status import alert_lines, gather

    supervisor, state_dir = context.supervisor, context.workspace.state_dir
    fresh = supervisor.serving  # then the state is as new as can be
    found = alerts(context.state(), context.clock()) if fresh else (await gather(supervisor)).alerts
    asked = [args["ack"]] if isinstance(args["ack"], str) else list(args["ack"] or ())
    wanted = {one.id for one in found} if asked == ["all"] else set(asked)
    if unknown := sorted(wanted - {one.id for one in found}):
        raise UsageError(f"no alert {unknown[0]!r} stands", "`maxcai alerts --json` has their ids.")
    acknowledge(state_dir, sorted(wanted), context.clock())
    acked = acknowledged(state_dir)
    yield Acknowledged(acked)
    data = [{"id": one.id, "level": one.level, "text": one.text, "seen": one.id in acked} for one in found]
    yield Output("\n".join(alert_lines(found, acked)) or "nothing needs anybody", data)


async def _brief(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.brief import data, gather, text

    found = await gather(context.supervisor)
    yield Output(text(found), data(found))


async def _logs(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.logs import LogReader

    supervisor = context.supervisor
    entry = supervisor.book.find(args["run"])
    if entry is None:
        raise UsageError("there is no run in this workspace", "Start one: `maxcai run start`.")
    reader = LogReader(context.workspace, entry, args["stream"])
    if not args["follow"]:
        await supervisor.try_catch_up(entry)
        for chunk in reader.fresh():
            yield OutputBytes(chunk)
        reader.refuse_if_empty()
        return
    async for _grown in supervisor.growth(entry):
        for chunk in reader.fresh():
            yield OutputBytes(chunk)


async def _refresh(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    context.supervisor.refresh()
    context.supervisor.say("info", "reconnecting and refreshing everything")
    return
    yield  # makes this an async generator


async def _demo(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.demo import run_demo

    summary = await run_demo(context.supervisor)
    yield Output(summary.text, summary.data)
    if summary.kept:
        raise Refused(
            f"the pod goes on: {summary.kept}", "Bring it home with `maxcai pull RUN`, then `maxcai pod stop`."
        )
    if not summary.reached:
        raise AppError(
            "the demo ended without a verdict", "The run's own words are above; `maxcai logs` has all of them."
        )


ACTIONS: tuple[Action, ...] = (
    Action(
        "init", ("init",), "Make a workspace", "write settings, constitution and folders here; overwrites nothing", "",
        Scope.GLOBAL, _init, prints=True,
    ),
    Action(
        "doctor", ("doctor",), "Doctor", "check this installation and say how to mend it", "", Scope.GLOBAL, _doctor,
        writes=False, prints=True,
    ),
    Action(
        "status", ("status",), "Status", "pod, run, gate and money in a few lines", "", Scope.GLOBAL, _status,
        writes=False, prints=True,
    ),
    Action(
        "alerts", ("alerts",), "Alerts", "what needs somebody now: act on it or acknowledge it", "a", Scope.GLOBAL,
        _alerts, prints=True, looks=lambda args: not args["ack"],
        params=(Param("ack", "acknowledge this one, or all; it is not told again", "option", metavar="ID"),),
    ),
    Action(
        "brief", ("brief",), "Brief", "starting the day: tasks, reviews, pods, cost, last verdict, what waits", "",
        Scope.GLOBAL, _brief, writes=False, prints=True,
    ),
    Action(
        "logs", ("logs",), "Print logs", "what the run's processes wrote", "", Scope.GLOBAL, _logs, writes=False,
        params=(
            Param("run", "run id or its beginning; default: the newest", kind="positional", metavar="RUN"),
            Param("follow", "go on until the run is over", short="-f"),
            Param("stream", "only this log, byte for byte", kind="option", metavar="NAME"),
        ),
    ),
    Action(
        "demo", ("demo",), "Demo", "the whole loop on the local pod with a small real model", "", Scope.GLOBAL, _demo,
        params=(Param("plain", "progress lines instead of the panel"),), prints=True,
    ),
    Action(
        "refresh", ("refresh",), "Refresh", "reconnect and read everything again now", "R", Scope.GLOBAL, _refresh,
        writes=False,
    ),
)  # fmt: skip

"""What can be rented, renting it, its log, its set-up, its watchdog. How each is done lives in `app.rent`,
`app.ready` and `app.arming`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from app.actions.base import AGREED, Action, Args, Context, Param, Reason, Scope
from app.actions.pod import POD, can_stop
from app.errors import UsageError
from app.events import AppEvent, Output, OutputBytes
from app.state import AppState
from remote.pods.provider import Capability

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.guard.watchdog import Report

GUARD_LOOKS = ("show", "check")
GUARD_VERBS = (*GUARD_LOOKS, "arm", "renew", "disarm")


def _to_rent(state: AppState) -> Reason | None:
    """Reason where nothing can be rented."""
    if state.provider == "local":
        return Reason("the embedded pod need not be rented", 'set provider = "runpod" in maxcai.toml')
    return None


def _need(supervisor: Supervisor, what: Capability, doing: str) -> None:
    fleet = supervisor.fleet
    if what not in fleet.provider.capabilities:
        raise UsageError(f"provider {fleet.name} cannot {doing}", "Use --provider runpod.")


async def _offers(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.rent import usd
    from app.text import table

    supervisor = context.supervisor
    _need(supervisor, Capability.CATALOG, "list what can be rented")
    wished = supervisor.settings.runpod.gpus
    count = _whole(args["gpu_count"], supervisor.settings.runpod.gpu_count)
    found = await supervisor.fleet.provider.catalog(count)
    shown = [one for one in found if args["all"] or one.max_count is None or one.max_count >= count]
    shown.sort(key=lambda one: (one.gpu not in wished, one.price is None, one.price or 0, one.gpu))
    data: list[dict[str, Any]] = [
        {
            "gpu": one.gpu, "cloud": str(one.cloud), "memory_gb": one.memory_gb, "price": usd(one.price),
            "spot_price": usd(one.spot_price), "stock": None if one.stock is None else str(one.stock),
            "max_count": one.max_count, "wished": one.gpu in wished, "cuda": list(one.cuda_versions),
            "data_centers": {name: None if stock is None else str(stock) for name, stock in one.data_centers.items()},
        }
        for one in shown
    ]  # fmt: skip
    rows = [
        (
            "*" if row["wished"] else "", row["gpu"], row["cloud"], f"{row['memory_gb'] or '?'} GB",
            "unknown" if row["price"] is None else f"{row['price']:.2f}", row["stock"] or "unknown",
            " ".join(name for name, stock in row["data_centers"].items() if stock != "none") or "–",
        )
        for row in data
    ]  # fmt: skip
    yield Output(table(("", "GPU", "CLOUD", "MEMORY", "$/H", "STOCK", "WHERE"), rows), data)


def _whole(text: str | None, otherwise: int) -> int:
    if text is None:
        return otherwise
    if not text.isdecimal() or len(text) > 3 or int(text) < 1:
        raise UsageError(f"{text} is no number of GPUs", "Give 1 or more.")
    return int(text)


async def _create(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app import rent
    from app.arming import arm
    from app.ready import reach

    supervisor = context.supervisor
    gpus = tuple(one.strip() for one in args["gpu"].split(",") if one.strip()) if args["gpu"] else None
    spec = replace(
        rent.wanted(supervisor.settings),
        gpu_count=_whole(args["gpu_count"], supervisor.settings.runpod.gpu_count),
    )
    spec = replace(spec, ephemeral=spec.ephemeral or args["ephemeral"])
    names = supervisor.settings.runpod.gpus if gpus is None else gpus
    spec = replace(spec, gpu=None)  # the candidates say which
    if args["dry_run"]:
        offer = await rent.quote(supervisor, spec, names)
        yield Output("\n".join(offer.lines()), _quoted(offer))
        return
    pod = await rent.create(
        supervisor, agreed=args["agreed"], word=args["word"], spec=spec, gpus=names, wait=not args["no_wait"]
    )  # fmt: skip
    if not args["no_wait"]:
        await arm(supervisor, pod, await reach(supervisor, pod))
    data = {
        "id": pod.id, "name": pod.name, "status": str(pod.status), "gpu": pod.gpu, "gpu_count": pod.gpu_count,
        "cost_per_hour": rent.usd(pod.price_per_hour),
        "ssh": None if pod.endpoint is None else {"host": pod.endpoint.host, "port": pod.endpoint.port},
    }  # fmt: skip
    yield Output(pod.id, data)


def _quoted(offer: Any) -> dict[str, Any]:
    from app.rent import usd
    from remote.renting.specs import describe

    found = offer.estimate
    return {
        "spec": describe(found.spec),
        "candidates": [
            {
                "gpu": one.gpu, "cloud": str(one.cloud), "price": usd(one.price),
                "stock": None if one.stock is None else str(one.stock),
            }
            for one in offer.choices
        ],
        "per_hour": usd(found.per_hour),
        "balance": None if found.balance is None else usd(found.balance.balance),
        "notes": list(found.notes),
    }  # fmt: skip


async def _volumes(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from app.rent import usd
    from app.text import table
    from remote.money.rules import HOURS_PER_MONTH, volume_per_hour

    supervisor = context.supervisor
    _need(supervisor, Capability.VOLUMES, "list network volumes")
    rows, data = [], []
    for one in await supervisor.fleet.provider.volumes():
        hour = volume_per_hour(supervisor.fleet.name, one)
        month = None if hour is None else hour * HOURS_PER_MONTH
        rows.append(
            (
                one.id,
                one.name,
                f"{one.size_gb} GB",
                one.data_center or "–",
                one.kind or "–",
                "unknown" if month is None else f"{month:.2f}",
            )
        )
        data.append({"id": one.id, "name": one.name, "size_gb": one.size_gb, "data_center": one.data_center,
                     "kind": one.kind, "per_month": usd(month)})  # fmt: skip
    yield Output(table(("ID", "NAME", "SIZE", "WHERE", "KIND", "$/MONTH"), rows), data)


async def _logs(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    supervisor = context.supervisor
    _need(supervisor, Capability.LOGS, "show a pod's own log")
    pod = await supervisor.pod(args["pod"])
    provider = supervisor.fleet.provider
    if not args["follow"]:
        for text in await provider.logs(pod.id):
            yield OutputBytes(text.encode() + b"\n")
        return
    _need(supervisor, Capability.FOLLOW_LOGS, "follow a pod's own log")
    async for line in provider.follow_logs(pod.id):
        yield OutputBytes(line.text.encode() + b"\n")


async def _setup(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.launch import push_code
    from app.ready import make_ready, reach, wish

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    agent = await reach(supervisor, pod, patience_s=10.0)
    recipe = args["recipe"] or supervisor.settings.recipe
    report = await push_code(supervisor, pod.id)
    if args["dry_run"]:
        from remote.setup.run import plan

        planned = await plan(agent, wish(supervisor, report.tree_id, recipe))
        steps = [{"step": one.name, "done": one.done, "text": one.text} for one in planned.steps]
        lines = [f"{'✔' if one.done else '·'} {one.name}: {one.text}" for one in planned.steps]
        yield Output("\n".join(lines), {"done": planned.done, "steps": steps, "environment": planned.lock_hash})
        return
    done = await make_ready(supervisor, pod, report.tree_id, recipe, force=args["force"])
    session = done.session
    data = {
        "interpreter": session.interpreter, "python": session.python, "torch": session.torch, "cuda": session.cuda,
        "gpus": list(session.gpus), "driver": session.driver, "environment": session.environment,
        "tree": session.tree, "skipped": done.skipped, "seconds": done.seconds,
        "checks": [{"name": c.name, "level": str(c.level), "text": c.text, "remedy": c.remedy} for c in done.checks],
    }  # fmt: skip
    yield Output(session.interpreter, data)


async def _guard(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app import arming
    from app.keeper import Keeper

    supervisor, what = context.supervisor, args["what"]
    if what not in GUARD_VERBS:
        raise UsageError(f"pod guard knows no {what}", f"It is one of {', '.join(GUARD_VERBS)}.")
    if what == "check":
        keeper = Keeper(supervisor)
        if supervisor.fleet.rented:
            await keeper.money()
        decisions = await keeper.decisions()
        rows = [{"pod": d.pod.id, "act": str(d.act), "rule": str(d.rule), "why": d.why} for d in decisions]
        yield Output("\n".join(f"{r['act']} {r['pod']}: {r['why']}" for r in rows) or "nothing to do", rows)
        return
    pod = await supervisor.pod(args["pod"])
    if what == "arm":
        report = await arming.arm_again(supervisor, pod)
    else:
        report = await arming.ask(supervisor, pod, "report" if what == "show" else what)
    yield Output(_armed_text(report, context.clock()), _armed(report, context.clock()))


def _armed_text(report: Report, now: float) -> str:
    from app.text import duration, moment

    lines = [f"watchdog {report.level}: {report.reason}"]
    if report.rules:
        lines.append(f"stops the pod at {moment(report.until(now))} at the latest, as things are")
    lines += [f"  {rule.name} in {duration(rule.left_s)}" for rule in report.rules]
    if report.low_disk:
        lines.append(f"nearly full: {', '.join(report.low_disk)}")
    return "\n".join(lines)


def _armed(report: Report, now: float) -> dict[str, Any]:
    return {
        "level": str(report.level), "reason": report.reason, "armed": report.armed, "running": report.running,
        "until": report.until(now), "rules": [{"rule": one.name, "left_s": one.left_s} for one in report.rules],
        "phase": report.phase, "fired": report.fired, "tries": report.tries, "idle_s": report.idle_s,
        "paths": list(report.paths), "proven": list(report.proven), "low_disk": list(report.low_disk),
    }  # fmt: skip


async def _trust(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from app.errors import Unagreed
    from remote.link.hostkeys import PinStore

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    if not args["agreed"]:
        lines = ("another machine may answer at its address, and would get what is sent; the pod stays marked",)
        raise Unagreed(f"Trust the first host key that pod {pod.name} shows?", lines, "trust", danger=True)
    await PinStore(context.workspace.state_dir).agree(pod.id)
    supervisor.say("warn", f"the first key that pod {pod.name} shows is trusted where its log shows none")
    yield Output(pod.id, {"id": pod.id, "trusted": True})


_GPU = Param("gpu", "GPU ids in the order to be tried, separated by commas; default: the settings'", "option",
             metavar="IDS")  # fmt: skip
_COUNT = Param("gpu_count", "GPUs in one pod; default: the settings'", "option", metavar="N")

ACTIONS: tuple[Action, ...] = (
    Action(
        "pod.offers", ("pod", "offers"), "What can be rented", "GPU types with price, stock and place", "O",
        Scope.GLOBAL, _offers, enabled=_to_rent, writes=False, prints=True,
        params=(_COUNT, Param("all", "also those that lack so many in one pod")),
    ),
    Action(
        "pod.create", ("pod", "create"), "Rent a pod", "rent what [runpod] describes; the price is agreed to first",
        "", Scope.POD, _create, enabled=_to_rent, prints=True,
        params=(
            Param("word", "part of its name; default: the workspace's", "option", metavar="WORD"), _GPU, _COUNT,
            Param("ephemeral", "it keeps nothing: a stop destroys its data"),
            Param("dry_run", "only say what it would be and cost"),
            Param("no_wait", "do not wait until it answers; its watchdog is not armed then"), AGREED,
        ),
    ),
    Action(
        "pod.volumes", ("pod", "volumes"), "Network volumes", "the account's network volumes and what they cost", "",
        Scope.POD, _volumes, writes=False, prints=True,
    ),
    Action(
        "pod.logs", ("pod", "logs"), "Container log", "what the pod's container printed, host keys among it", "",
        Scope.POD, _logs, writes=False, params=(POD, Param("follow", "go on as it grows", short="-f")),
    ),
    Action(
        "pod.setup", ("pod", "setup"), "Set the pod up", "check it, build the environment, fetch the model; skips "
        "what is done", "", Scope.POD, _setup, enabled=can_stop, prints=True,
        params=(
            POD, Param("recipe", "whose model is fetched; default: the settings' one", "option", "-r", "NAME"),
            Param("force", "although a check failed"), Param("dry_run", "only say what would be done"),
        ),
    ),
    Action(
        "pod.guard", ("pod", "guard"), "Automatic stop", "show, arm, renew or disarm the pod's own watchdog; check: "
        "what the local guard would do", "", Scope.POD, _guard, prints=True,
        looks=lambda args: args["what"] in GUARD_LOOKS,
        params=(
            Param("what", f"{', '.join(GUARD_VERBS)}; default: show", "positional", metavar="WHAT", default="show"),
            POD,
        ),
    ),
    Action(
        "pod.trust", ("pod", "trust"), "Trust a pod's first key", "for images whose log shows no host keys", "",
        Scope.POD, _trust, prints=True, params=(POD, AGREED),
    ),
)  # fmt: skip

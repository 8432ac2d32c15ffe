"""What a person is shown before an act that costs, sends or ends something: the consequences in numbers.

Each question is put together by looking, at the pod and at the files here; nothing is changed. None: nothing to show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from app.actions.base import Args, Confirm, Context, Way
from app.arming import auto_stop
from app.text import duration, money

if TYPE_CHECKING:
    from app.risk import Risk
    from app.supervisor import Supervisor
    from remote.pods.model import Pod
    from remote.sync.push import Plan

SHOWN = 12
"""Files of a plan that a question names; deletions come first."""


async def before_start(context: Context, args: Args) -> Confirm | None:
    """GPU, price, automatic stop and what the account holds. Raises BudgetError and InsufficientFunds."""
    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    if args["agreed"] or not pod.status.over or args["wait"] or args["new"] or args["rescue"]:
        return None
    lines = [_machine(pod), _price(supervisor, pod), auto_stop(supervisor)]
    if supervisor.fleet.rented:
        lines += await _account(supervisor, pod)
    ways, told = await asyncio.to_thread(_ways_out, supervisor, pod)
    return Confirm(f"Start pod {pod.name}?", (*lines, *told), "start", args={"agreed": True}, ways=ways, safe=True)


def _machine(pod: Pod) -> str:
    if pod.gpu_count == 0:
        return "no GPU"
    return f"GPU  {pod.gpu_count or 1}× {pod.gpu}" if pod.gpu else "GPU  unknown"


def _price(supervisor: Supervisor, pod: Pod) -> str:
    from remote.money.rules import disks_of

    price = pod.price_per_hour
    if not supervisor.fleet.rented and not price:
        return "price  nothing: it runs on this machine"
    disks = disks_of(pod, running=True)
    more = f", its disks {money(disks, 3)}/h" if disks else "" if disks == 0 else ", its disks unknown"
    return f"price  {money(price)}/h while it runs{more}"


async def _account(supervisor: Supervisor, pod: Pod) -> list[str]:
    """Balance and budgets; raises where an hour is not covered."""
    from app.rent import lasting, within_budget
    from remote.renting import creating

    found = await within_budget(supervisor)
    price, balance = pod.price_per_hour, None if found.balance is None else found.balance.balance
    lines = [f"balance  {money(balance)}"]
    if balance is not None and found.balance is not None:
        note = creating.covers(found.balance, price)
        lines = [lines[0] + lasting(found.balance, price), *([note] if note else [])]
    return lines + [f"budget {one.name}  {money(one.spent)} of {money(one.limit)}" for one in found.budgets]


def _ways_out(supervisor: Supervisor, pod: Pod) -> tuple[tuple[Way, ...], list[str]]:
    """What else can be done where the pod's machine had no free GPU, and that it had none."""
    from remote.renting import resuming

    found = resuming.blocked(pod, supervisor.fleet.journal) if supervisor.fleet.rented else None
    if found is None:
        return (), []
    keys = {"wait": ("w", "wait"), "new_pod": ("n", "new"), "rescue": ("g", "rescue")}
    usable = [one for one in found.choices if str(one.way) == "wait" or one.spec is not None]
    ways = tuple(Way(keys[str(one.way)][0], str(one.way).replace("_", " "), {keys[str(one.way)][1]: True})
                 for one in usable)  # fmt: skip
    told = [f"its machine had no free GPU {found.attempts} times (RESUME_BLOCKED)"]
    return ways, told + [f"{keys[str(one.way)][0]}: {one.text}" for one in usable]


async def before_stop(context: Context, args: Args) -> Confirm | None:
    """What a stop puts at risk and what it saves; None when nothing is at risk."""
    from app.risk import look

    supervisor = context.supervisor
    pod = await supervisor.pod(args["pod"])
    if pod.status.over or args["force"] or args["safely"]:
        return None
    risk = await look(supervisor, pod)
    if not risk.clauses:
        return None
    lines = [*(_first_up(clause) for clause in risk.clauses), *_saves(supervisor, pod), *_lost_by_stop(pod)]
    if risk.alive:
        lines.insert(len(risk.clauses), _checkpoint(supervisor))
    ways = (Way("p", _safely(risk), {"safely": True}),) if risk.alive or risk.unpulled else ()
    return Confirm(f"Stop pod {pod.name}?", tuple(lines), "stop now", True, {"force": True}, ways)


def _safely(risk: Risk) -> str:
    return "checkpoint, pull, stop" if risk.alive else "pull, then stop"


def _first_up(text: str) -> str:
    return text[:1].upper() + text[1:]


def _saves(supervisor: Supervisor, pod: Pod) -> list[str]:
    from remote.money.rules import disks_of

    price = pod.price_per_hour
    if not supervisor.fleet.rented:
        return [f"stopping saves {money(price)}/h"] if price else ["stopping saves nothing: this pod costs nothing"]
    disks = disks_of(pod, running=False)
    kept = "an unknown amount" if disks is None else f"{money(disks, 3)}/h"
    saved = "an unknown amount per hour" if price is None else f"{money(price)}/h"
    return [f"stopping saves {saved}; its kept disk goes on costing {kept}",
            "somebody else may get its GPU meanwhile: a later start can be refused"]  # fmt: skip


def _lost_by_stop(pod: Pod) -> list[str]:
    from remote.renting.permits import loses_data

    return ["A STOP DESTROYS WHAT IS ON IT: it has no disk that is kept"] if loses_data(pod) else []


def _checkpoint(supervisor: Supervisor) -> str:
    """How much work of the newest run is safe here."""
    from remote.sync.ledger import checkpoint_age

    entry = supervisor.book.find(None)
    age = None if entry is None else checkpoint_age(supervisor.workspace.run_dir(entry.run_id), supervisor.clock())
    if age is None:
        return "no checkpoint of it is home: what it has not committed on the pod is done again"
    return f"its newest checkpoint at home is {duration(age)} old; later work is done again when it is resumed"


async def before_terminate(context: Context, args: Args) -> Confirm | None:
    """Everything that would be lost; agreed to by typing the pod's name."""
    from app.history import is_home
    from app.risk import look
    from remote.renting.permits import waiting

    supervisor, state = context.supervisor, context.state()
    if args["agreed"]:
        return None
    pod = await supervisor.pod(args["name"] or (state.pod.id if state.pod else None))
    lines = [f"{pod.name} is removed for good, with everything on its disks; a network volume stays"]
    if pod.status.over:
        entries = [one for one in supervisor.book.entries() if one.pod == pod.id]
        away = [one.run_id for one in entries if not is_home(supervisor.workspace, one)]
        known = f"not home: results of run {', '.join(away)}" if away else "every run of it known here is home"
        lines += ["it is stopped, so its files cannot be looked at", known]
        force = True
    else:
        risk = await look(supervisor, pod, removing=True)
        lines += [_first_up(clause) for clause in risk.clauses] or ["everything of its runs is home, verified"]
        lines += [_first_up(waiting(risk.unpulled))] if risk.unpulled is None else []
        force = risk.unpulled != ()
    given = {"name": pod.name, "agreed": True, "force": force}
    return Confirm(f"Remove pod {pod.name}?", tuple(lines), "remove", True, given, typed=pod.name)


async def before_push(context: Context, args: Args) -> Confirm | None:
    """What differs from the last push, deletions first. Raises SecretFound."""
    from app.ready import sources
    from remote.errors import UnsafePush
    from remote.sync.push import check, plan
    from remote.sync.scan import scan

    supervisor = context.supervisor
    if args["dry_run"] or args["force"]:
        return None
    state_dir = supervisor.workspace.state_dir
    found = await asyncio.to_thread(scan, sources(supervisor), state_dir)
    planned = await asyncio.to_thread(plan, found, state_dir)
    lines = plan_lines(planned, len(found.entries), found.bytes)
    try:
        check(found, planned)
    except UnsafePush as error:
        return Confirm("Push all the same?", (error.message, *lines), "push", True, {"force": True})
    return Confirm("Push the code?", tuple(lines), "push", safe=True)


def plan_lines(planned: Plan, files: int, size: int) -> list[str]:
    """`12 files, 41 kB; 1 new, 2 changed, 1 deleted`, and the first paths, deletions first."""
    if planned.same:
        return [f"{files} files, {size:,} bytes: nothing differs from the last push"]
    counts = f"{len(planned.added)} new, {len(planned.changed)} changed, {len(planned.deleted)} deleted"
    head = f"{files} files, {size:,} bytes; {'never pushed from here' if planned.first else counts}"
    marked = [
        *(f"- {path}" for path in planned.deleted),
        *(f"~ {path}" for path in planned.changed),
        *(f"+ {path}" for path in planned.added if not planned.first),
    ]
    return [head, *_some(marked)]


def _some(lines: Sequence[str]) -> list[str]:
    more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [*lines[:SHOWN], *more]


async def before_run(context: Context, args: Args) -> Confirm | None:
    """Which recipe, on which pod, at what price; and, where a run waits to go on, that it could."""
    supervisor = context.supervisor
    if args["agreed"]:
        return None
    recipe = args["recipe"] or supervisor.settings.recipe
    lines = [f"recipe  {recipe}", *await _where(supervisor), auto_stop(supervisor)]
    lines += await asyncio.to_thread(_review, supervisor, recipe)
    return Confirm(
        "Start a new run?", tuple(lines), "new run", args={"agreed": True}, ways=_go_on(context, args["step"]),
        safe=True,
    )  # fmt: skip


async def _where(supervisor: Supervisor) -> list[str]:
    """The pod it would run on, or what would be rented."""
    from app.fleet import NoPod
    from app.rent import quote

    try:
        pod = await supervisor.pod(None)
    except NoPod:
        offer = await quote(supervisor)
        return ["no pod yet, so one is rented:", *offer.lines()]
    begun = "is started first" if pod.status.over else f"is {pod.status}"
    lines = [f"pod  {pod.name} {begun}, {_machine(pod)}", _price(supervisor, pod)]
    return lines + (await _account(supervisor, pod) if supervisor.fleet.rented and pod.status.over else [])


def _review(supervisor: Supervisor, recipe: str) -> list[str]:
    """What the deployment gate says; raises Refused where it would refuse."""
    from app.clearance import clear

    cleared = clear(supervisor, recipe)
    return [f"approved by review {cleared.review}"] if cleared.review else []


def _go_on(context: Context, step: str | None) -> tuple[Way, ...]:
    """The run that is over could go on where it ended, or from the step under the cursor. What its pod costs is asked
    then: it may be another one."""
    run = context.state().run
    if run is None or run.state in ("running", "pending"):
        return ()
    ways = []
    if run.state != "finished":
        ways.append(Way("c", f"go on with {run.run_id[-10:]}", {"run": run.run_id}, act="run.resume"))
    if step is not None:
        given = {"run": run.run_id, "step": step}
        ways.append(Way("f", f"redo from {step.removeprefix('stage-')}", given, act="run.retry"))
    return tuple(ways)


async def before_kill(context: Context, _args: Args) -> Confirm | None:
    """What is lost by not waiting for a checkpoint."""
    state = context.state()
    name = state.run.run_id if state.run else "the run"
    lines = (f"{name} is killed at once: work since its last checkpoint is done again", _checkpoint(context.supervisor))
    return Confirm("Cancel now?", lines, "cancel now", danger=True)


async def before_override(context: Context, args: Args) -> Confirm | None:
    """That an override is marked for ever."""
    if args["agreed"]:
        return None
    run = context.state().run
    gate = run.gates[-1] if run is not None and run.gates else None
    verdict = "" if gate is None else f"stage {gate.stage} {gate.name}: {gate.verdict}. {gate.reason}"
    lines = (verdict, "the chain goes on behind it; run.json, every later manifest and every page of the report say so",
             "the run ends with exit code 5 whatever follows")  # fmt: skip
    return Confirm("Pass over the gate?", tuple(filter(None, lines)), "pass over", True, {"agreed": True})

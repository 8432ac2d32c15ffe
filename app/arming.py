"""The pod's own watchdog as the front door uses it: its policy from the settings, armed loudly, shown as it is."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from app.errors import AppError, sentence
from app.events import WatchReported
from app.state import WatchView
from app.text import moment
from remote.errors import AgentError, GuardError, JobError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.supervisor import Supervisor
    from remote.agent.client import Agent
    from remote.guard.watchdog import Policy, Report
    from remote.pods.model import Pod


def auto_stop(supervisor: Supervisor) -> str:
    """One line for a person who is to agree to a start: when the pod stops by itself, by the settings."""
    guard, settings = supervisor.settings.guard, supervisor.settings
    rules = ["once the run is over and home"] if settings.stop_after_run else []
    if supervisor.fleet.rented:
        rules += [f"after {guard.max_hours:g} hours"] if guard.max_hours else []
        rules += [f"after {guard.idle_minutes:g} idle minutes"] if guard.idle_minutes else []
        if guard.after_exit == "stop":
            rules.append(f"{guard.pull_grace_minutes:g} minutes after a run's end")
    if not rules and not supervisor.fleet.rented:
        return "auto-stop  none: it runs until somebody stops it, on this machine"
    return "auto-stop  " + ("; ".join(rules) or "NONE: it runs and costs until somebody stops it")


def policy(supervisor: Supervisor, pod: Pod, runs: Sequence[str] = ()) -> Policy | None:
    """What the settings ask of the pod; None when every rule is switched off. `runs`: whose end ends the pod."""
    from remote.guard.watchdog import AfterExit, Policy

    guard, now = supervisor.settings.guard, supervisor.clock()
    exits = AfterExit.STOP if runs and guard.after_exit == "stop" else AfterExit.KEEP
    limit, price = _session_budget(supervisor, pod, now, runs)
    found = Policy(
        max_hours=guard.max_hours,
        idle_minutes=guard.idle_minutes,
        after_exit=exits,
        pull_grace_minutes=guard.pull_grace_minutes,
        lease_minutes=guard.lease_minutes,
        min_free_gb=guard.min_free_gb,
        budget_usd=limit,
        price_per_hour=price,
        publish_minutes=guard.publish_minutes,
        elapsed_s=0.0 if pod.started_at is None else max(0.0, now - pod.started_at),
        runs=tuple(runs),
        tick_s=guard.tick_seconds,
    )
    rules = (found.max_hours, found.idle_minutes, found.lease_minutes, found.budget_usd)
    return None if exits is AfterExit.KEEP and all(rule is None for rule in rules) else found


def _session_budget(
    supervisor: Supervisor, pod: Pod, now: float, runs: Sequence[str] = ()
) -> tuple[Decimal | None, Decimal | None]:
    """What this pod session may cost in all, USD, by the tightest budget; and USD/hour with its disks.

    The pod waits for the countdown at home, which begins up to two rounds after the budget is used up, and for as long
    as somebody there has kept it beyond that. What an earlier run spent is not counted for `runs`, which begin.
    """
    from app.keeper import GUARD_S, MONEY_S
    from remote.money.rules import disks_of

    fleet = supervisor.fleet
    disks = disks_of(pod, running=True)
    price = None if pod.price_per_hour is None else pod.price_per_hour + (disks or 0)
    states = () if fleet.account is None else fleet.account.budgets
    newest = supervisor.book.find(None)
    begins = bool(runs) and (newest is None or newest.run_id not in runs)
    left = [state.left for state in states if state.left is not None and not (begins and state.name == "run")]
    if supervisor.settings.budget.run is not None:
        left.append(supervisor.settings.budget.run)
    spent = fleet.ledger.session_cost(pod, now)
    if not left or not price or spent is None:
        return None, price or None
    kept = _kept_s(supervisor, pod, now)
    limit = max(spent + min(left), Decimal("0.01")) if kept is None else max(spent, spent + min(left))
    counted = 60 * supervisor.settings.guard.countdown_minutes
    hours = ((kept or 0.0) + (counted + MONEY_S + GUARD_S if counted else 0.0)) / 3600
    return limit + price * Decimal(str(round(hours, 4))), price


def _kept_s(supervisor: Supervisor, pod: Pod, now: float) -> float | None:
    """For how much longer a person keeps the pod although its budget is used up; None: nobody does."""
    if pod.session is None:
        return None
    until = supervisor.keeper.countdowns.kept_until(pod.session.key, "budget", now)
    return None if until is None else until - now


async def arm(supervisor: Supervisor, pod: Pod, agent: Agent, runs: Sequence[str] = ()) -> Report | None:
    """Arm the pod's watchdog and say what that is worth. None: it could not even be asked.

    Raises NotArmed (or VolumelessStop) when it is not armed and `[guard] required` is set.
    """
    from remote.errors import NotArmed
    from remote.guard import watchdog

    required = supervisor.settings.guard.required
    try:
        await _ask_money(supervisor)
        wish = policy(supervisor, pod, runs)
        if wish is None:
            raise NotArmed("Every rule of [guard] is switched off.", "Give it max_hours or idle_minutes.")
        known = watchdog.remembered(supervisor.workspace.state_dir, pod.provider)
        with supervisor.activity("pod.guard", "arming the pod's own watchdog"):
            report = await watchdog.arm(agent, wish, pod.volume, supervisor.settings.guard.accept_loss, known)
    except (GuardError, AgentError, JobError) as error:
        _tell(supervisor, WatchView("red", error.message, pod.id, at=supervisor.clock()))
        supervisor.say("error", f"AUTOMATIC STOP IS NOT ARMED: {sentence(error)}")
        if required:
            raise
        return None
    heard(supervisor, pod, report)
    _say(supervisor, pod, report)
    if required:
        report.require_armed()
    return report


async def _ask_money(supervisor: Supervisor) -> None:
    """The budgets of a day and of everything, where nobody has asked for them yet: a single command has not."""
    from app.rent import budgets
    from remote.errors import RemoteError

    wanted, fleet = budgets(supervisor.settings), supervisor.fleet
    if fleet.account is not None or not fleet.rented or (wanted.run, wanted.day, wanted.total) == (None, None, None):
        return
    try:
        await fleet.read_account(wanted, supervisor.keeper.measured_run())
    except RemoteError as error:
        supervisor.say(
            "warn", f"what is left of the budgets is not known, the watchdog has no limit: {sentence(error)}"
        )


def _say(supervisor: Supervisor, pod: Pod, report: Report) -> None:
    level = str(report.level)
    if level == "red":
        supervisor.say("error", f"AUTOMATIC STOP IS NOT ARMED: {report.reason}. Stop pod {pod.name} yourself.")
        return
    first = report.first
    when = "" if first is None else f" until {moment(report.until(supervisor.clock()))} ({first.name})"
    supervisor.say("ok" if level == "green" else "warn", f"watchdog armed{when}, {level}: {report.reason}")


def heard(supervisor: Supervisor, pod: Pod, report: Report) -> WatchView:
    """Show a report and remember what it proves."""
    from remote.guard import watchdog

    if report.proven:
        watchdog.remember(supervisor.workspace.state_dir, pod.provider, report)
    now, first = supervisor.clock(), report.first
    rule = report.fired or (None if first is None else first.name)
    found = WatchView(str(report.level), report.reason, pod.id, report.until(now), rule, now, tuple(report.low_disk))
    _tell(supervisor, found)
    return found


def _tell(supervisor: Supervisor, watch: WatchView) -> None:
    supervisor.emit(WatchReported(watch))


async def ask(supervisor: Supervisor, pod: Pod, what: str = "report") -> Report:
    """Ask the pod's watchdog: "report", "renew" or "disarm"; what it says is shown."""
    from remote.guard import watchdog

    agent = await supervisor.link.agent(pod.id)
    known = watchdog.remembered(supervisor.workspace.state_dir, pod.provider)
    report = await {"report": watchdog.report, "renew": watchdog.renew, "disarm": watchdog.disarm}[what](agent, known)
    heard(supervisor, pod, report)
    return report


async def arm_as_it_is(supervisor: Supervisor, pod: Pod, agent: Agent) -> Report | None:
    """`arm`, for the runs that are alive on the pod: one that was armed to end it goes on doing so."""
    from remote import jobs

    known = {entry.run_id for entry in supervisor.book.entries()}
    try:
        told = await jobs.runs(agent)
    except (AgentError, JobError):
        told = ()  # nor will it arm, and that is said
    return await arm(supervisor, pod, agent, [job.run_id for job in told if job.state.alive and job.run_id in known])


async def arm_again(supervisor: Supervisor, pod: Pod) -> Report:
    """Arm on a person's word. Raises AppError when it is not armed."""
    agent = await supervisor.link.agent(pod.id)
    entry = supervisor.book.find(None)
    runs = (entry.run_id,) if entry is not None and entry.pod == pod.id else ()
    report = await arm(supervisor, pod, agent, runs)
    if report is None:
        raise AppError("automatic stop is not armed", "The reason is above.")
    return report

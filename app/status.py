"""The `status` command: pods, link, watchdog, run and money of one moment. What cannot be asked stays unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import replace

from app.alerts import Alert, alerts
from app.errors import AppError, sentence
from app.history import last_word, run_there, run_view
from app.seen import acknowledged
from app.state import CostView, PodView, RunView, WatchView
from app.text import duration, harmless, moment, money, status_data, status_text
from remote.errors import RemoteError

if TYPE_CHECKING:
    from app.runs import RunEntry
    from app.supervisor import Supervisor
    from remote.pods.model import Pod

PATIENCE_S = 45.0
"""Seconds after which a running pod that does not answer is left alone."""


class Status(Struct, frozen=True):
    """The picture. `verified`: whether the pod's host key was proven by its own log; `checkpoint_age_s`: of the newest
    verified checkpoint at home; `projected`: USD of this pod session by the run's end."""

    project: str
    pods: tuple[PodView, ...]
    run: RunView | None
    cost: CostView
    rented: bool
    up: bool
    verified: bool | None
    watch: WatchView | None
    checkpoint_age_s: float | None
    projected: Decimal | None
    alerts: tuple[Alert, ...] = ()
    acked: frozenset[str] = frozenset()


async def gather(supervisor: Supervisor) -> Status:
    """Look at everything once. Raises what listing the pods raises; the rest is told and left out."""
    from app.spending import projected

    fleet = supervisor.fleet
    await supervisor.look()
    entry = supervisor.book.find(None)
    running = [pod for pod in fleet.pods if fleet.is_ours(pod) and pod.status == "RUNNING"]
    if fleet.rented:
        await _ask_money(supervisor)
    if fleet.rented:
        await asyncio.gather(*(_ask_pod(supervisor, pod) for pod in running))
    shown = supervisor.state().pod
    if entry is not None and any(pod.id == entry.pod for pod in running):
        await last_word(supervisor, entry)
    fleet.review()
    run = None if entry is None else run_there(fleet, run_view(supervisor.workspace, entry))
    cost = fleet.cost(supervisor.clock())
    state = replace(supervisor.state(), run=run, cost=cost, pods=_views(supervisor))
    return Status(
        project=supervisor.workspace.root.name, pods=_views(supervisor), run=run, cost=cost, rented=fleet.rented,
        up=bool(running), verified=None if shown is None else supervisor.link.verified(shown.id),
        watch=supervisor.state().watch,
        checkpoint_age_s=_checkpoint_age(supervisor, entry),
        projected=projected(supervisor, cost) if fleet.rented else None,
        alerts=alerts(state, supervisor.clock()), acked=acknowledged(supervisor.workspace.state_dir),
    )  # fmt: skip


def _views(supervisor: Supervisor) -> tuple[PodView, ...]:
    from app.fleet import views

    return views(supervisor.fleet)


async def _ask_money(supervisor: Supervisor) -> None:
    from app.rent import budgets

    await supervisor.fleet.read_account(budgets(supervisor.settings), supervisor.keeper.measured_run())


async def _ask_pod(supervisor: Supervisor, pod: Pod) -> None:
    """The agent's word and the watchdog's."""
    from app import arming

    try:
        async with asyncio.timeout(PATIENCE_S):
            agent = await supervisor.link.agent(pod.id)
            supervisor.link.heard(pod.id, len((await agent.hello()).gpus))
            await arming.ask(supervisor, pod)
    except TimeoutError:
        supervisor.say("warn", f"pod {pod.id} did not answer within {PATIENCE_S:.0f} s")
    except (RemoteError, AppError) as error:
        supervisor.say("warn", f"pod {pod.id} could not be asked: {sentence(error)}")


def _checkpoint_age(supervisor: Supervisor, entry: RunEntry | None) -> float | None:
    if entry is None:
        return None
    from remote.sync.ledger import checkpoint_age

    return checkpoint_age(supervisor.workspace.run_dir(entry.run_id), supervisor.clock())


def text(found: Status) -> str:
    """For a person."""
    lines = [status_text(found.project, found.pods, found.run, found.cost)]
    if found.up and found.rented:
        key = {True: "verified", False: "NOT VERIFIED", None: "not looked at"}[found.verified]
        lines += [f"host key {key}", _watch(found.watch)]
    if found.checkpoint_age_s is not None:
        lines.append(f"newest verified checkpoint at home is {duration(found.checkpoint_age_s)} old")
    elif found.rented and found.run is not None and found.run.state in ("running", "lost"):
        lines.append(f"run {found.run.run_id} is {found.run.state}: no checkpoint of it is at home")
    if found.rented:
        lines += _money(found)
    waiting = [one for one in found.alerts if one.id not in found.acked]
    lines += ["needs somebody:", *alert_lines(waiting, found.acked)] if waiting else []
    return "\n".join(lines)


def alert_lines(found: Sequence[Alert], acked: Container[str]) -> list[str]:
    """One line each: how bad, what, and whether somebody has seen it."""
    return [f"  {one.level}: {harmless(one.text)}" + (" (seen)" if one.id in acked else "") for one in found]


def _watch(watch: WatchView | None) -> str:
    if watch is None:
        return "watchdog: unknown, the pod could not be asked"
    if watch.level == "red":
        return f"watchdog NOT ARMED (red): {watch.reason}"
    until = "" if watch.until is None else f" until {moment(watch.until)} ({watch.rule})"
    return f"watchdog armed{until} ({watch.level}): {watch.reason}"


def _money(found: Status) -> list[str]:
    cost = found.cost
    lasts = "unknown" if cost.runway_s is None else f"{duration(cost.runway_s)} (h:mm:ss)"
    lasts = "endless: nothing is being spent" if cost.runway_endless else lasts
    why = f": {cost.runway_why}" if cost.runway_why and cost.runway_s is None else ""
    lines = [f"balance {money(cost.balance)}, burn {money(cost.burn, 4)}/h, runway {lasts}{why}"]
    for budget in cost.budgets:
        mark = "" if budget.level == "ok" else f" ({budget.level})"
        lines.append(f"budget {budget.name}: {money(budget.spent)} of {money(budget.limit)}{mark}")
    if found.projected is not None:
        lines.append(f"this session at the run's end: ≈{money(found.projected)}")
    return lines


def data(found: Status) -> dict[str, Any]:
    """For --json."""

    def number(usd: Decimal | None) -> float | None:
        return None if usd is None else float(usd)

    watch, cost = found.watch, found.cost
    plain = status_data(found.project, found.pods, found.run, cost)
    plain["cost"] |= {
        "burn_per_hour": number(cost.burn), "balance": number(cost.balance), "runway_s": cost.runway_s,
        "runway_endless": cost.runway_endless, "runway_why": cost.runway_why, "projected": number(found.projected),
        "budgets": [
            {"name": one.name, "limit": number(one.limit), "spent": number(one.spent), "level": one.level}
            for one in cost.budgets
        ],
    }  # fmt: skip
    armed = None if watch is None else {
        "armed": watch.level != "red", "level": watch.level, "reason": watch.reason, "until": watch.until,
        "rule": watch.rule,
    }  # fmt: skip
    return {
        **plain,
        "verified": found.verified,
        "watchdog": armed,
        "checkpoint_age_s": found.checkpoint_age_s,
        "alerts": [
            {"id": one.id, "level": one.level, "text": one.text, "seen": one.id in found.acked} for one in found.alerts
        ],
    }

"""The `cost` command: our reckoning beside the bill, what is spent an hour, how long it lasts. Unknown is null."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.errors import sentence
from app.rent import budgets, usd
from app.state import CostView
from app.text import duration, harmless, moment, money, reckoned, table
from remote.errors import ProviderError

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.money.account import Account
    from remote.money.costs import Row


class Spending(Struct, frozen=True):
    """Money as of `now`. `stray`: USD billed for times in which no session is known. `projected`: at the run's end."""

    now: float
    cost: CostView
    account: Account
    rows: Sequence[Row]
    stray: Decimal | None
    projected: Decimal | None
    notes: tuple[str, ...]


async def read(supervisor: Supervisor, *, bill: bool = True) -> Spending:
    """Ask provider and ledger. What cannot be read becomes a note."""
    from remote.money import billing

    fleet, notes = supervisor.fleet, []
    await supervisor.look()
    stray: Decimal | None = None
    if bill:
        try:
            found = await billing.reconcile(fleet.provider, fleet.state_dir, supervisor.clock)
            if found is not None:
                stray = sum((record.total or Decimal(0) for record in found.stray), Decimal(0))
        except ProviderError as error:
            notes.append(f"what was billed could not be read: {sentence(error)}")
    account = await fleet.read_account(budgets(supervisor.settings), supervisor.keeper.measured_run())
    now = supervisor.clock()
    cost = fleet.cost(now)
    rows = [row for row in fleet.ledger.rows() if row.provider == fleet.name]
    return Spending(now, cost, account, rows, stray, projected(supervisor, cost), (*notes, *account.notes))


def projected(supervisor: Supervisor, cost: CostView) -> Decimal | None:
    """USD of this pod session by the end of the newest run, by its own forecast; None when a part is unknown."""
    from app.history import run_view
    from app.progress import remaining

    entry = supervisor.book.find(None)
    if entry is None:
        return None
    view = run_view(supervisor.workspace, entry)
    return cost.at_end(remaining(view)) if view.state == "running" else None


def data(found: Spending) -> dict[str, Any]:
    """For --json: USD as numbers, null for what is not known."""
    account, cost = found.account, found.cost
    lasts, costs = account.runway, account.costs
    return {
        "at": found.now,
        "per_hour": usd(cost.per_hour),
        "session": usd(cost.session),
        "total": usd(cost.total),
        "estimated": cost.estimated,
        "burn_per_hour": usd(account.burn.per_hour),
        "burn": {
            "compute": usd(account.burn.compute), "disks": usd(account.burn.disks),
            "volumes": usd(account.burn.volumes), "unknown": list(account.burn.unknown),
        },
        "storage": usd(costs.storage),
        "billed": usd(costs.billed),
        "billed_difference": usd(costs.difference),
        "billed_without_session": usd(found.stray),
        "unknown_sessions": costs.unknown,
        "balance": None if account.balance is None else usd(account.balance.balance),
        "runway_s": lasts.seconds,
        "runway_endless": lasts.endless,
        "runway_basis": lasts.basis,
        "runway_why": lasts.why or None,
        "budgets": [
            {"name": one.name, "limit": usd(one.limit), "spent": usd(one.spent), "left": usd(one.left),
             "level": str(one.level)}
            for one in account.budgets
        ],
        "projected": usd(found.projected),
        "sessions": [_session(row, found.now) for row in found.rows],
        "notes": list(found.notes),
    }  # fmt: skip


def _session(row: Row, now: float) -> dict[str, Any]:
    return {
        "pod": row.session.pod_id, "name": row.name, "gpu": row.gpu, "started_at": row.session.started_at,
        "stopped_at": row.stopped_at, "upper_bound": row.bound, "seconds": float(row.seconds(now)),
        "price": usd(row.price), "compute": usd(row.compute(now)), "disk": usd(row.disk(now)),
        "storage": usd(row.kept(now)), "local": usd(row.cost(now)),
        "billed": None if row.billed is None else usd(row.billed.total),
        "final": row.billed is not None and row.billed.final,
    }  # fmt: skip


def text(found: Spending) -> str:
    """The same for a person."""
    account, cost = found.account, found.cost
    lines = [
        f"this session {reckoned(cost.session, cost)} at {money(cost.per_hour)}/h, in all {reckoned(cost.total, cost)}",
        f"burn {_per_hour(account.burn.per_hour)}: compute {money(account.burn.compute, 4)}, disks "
        f"{money(account.burn.disks, 4)}, network volumes {money(account.burn.volumes, 4)}",
        _balance(account),
        *(f"budget: {state}" + ("" if state.level == "ok" else f" ({state.level})") for state in account.budgets),
    ]
    if found.projected is not None:
        lines.append(f"at the end of the run, by its own forecast: ≈{money(found.projected)}")
    if found.rows:
        lines.append(table(("POD", "STARTED", "RAN", "$/H", "LOCAL $", "DISK KEPT $", "BILLED $"), _rows(found)))
    if found.stray:
        lines.append(f"billed for times in which no session is known: {money(found.stray, 4)}")
    return "\n".join([*lines, *(f"unknown: {harmless(note)}" for note in found.notes)])


def _per_hour(amount: Decimal | None) -> str:
    return "an unknown amount" if amount is None else f"{money(amount, 4)}/h"


def _balance(account: Account) -> str:
    lasts = account.runway
    held = None if account.balance is None else account.balance.balance
    if lasts.endless:
        return f"balance {money(held)}; nothing is being spent"
    if lasts.seconds is None:
        return f"balance {money(held)}; how long it lasts is unknown: {lasts.why}"
    return f"balance {money(held)}, lasts {duration(lasts.seconds)} (h:mm:ss) by the {lasts.basis}"


def _rows(found: Spending) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in found.rows:
        billed = "–" if row.billed is None else f"{row.billed.total:.4f}" + ("" if row.billed.final else " so far")
        local = row.cost(found.now)
        kept = row.kept(found.now)
        rows.append((
            row.name, moment(row.session.started_at), duration(float(row.seconds(found.now))),
            "unknown" if row.price is None else f"{row.price:.2f}", "unknown" if local is None else f"≈{local:.4f}",
            "unknown" if kept is None else f"{kept:.4f}", billed,
        ))  # fmt: skip
    return rows

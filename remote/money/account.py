"""The money side of one provider as it is now: balance, what is spent an hour, how long it lasts, budgets.

What cannot be read is missing with a note; nothing is guessed in its place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from msgspec import Struct

from remote.errors import ProviderError
from remote.money.costs import Costs, Ledger
from remote.money.rules import (
    Budgets,
    BudgetState,
    Burn,
    Runway,
    Spent,
    burn,
    check,
    day_start,
    runway,
)
from remote.pods.model import Balance, Pod, Volume
from remote.pods.provider import Capability, Provider


class Account(Struct, frozen=True):
    """Money as of one moment; `notes` say what could not be read. USD and USD/hour."""

    balance: Balance | None
    burn: Burn
    runway: Runway
    costs: Costs
    spent: Spent
    budgets: tuple[BudgetState, ...]
    notes: tuple[str, ...]


async def read(
    provider: Provider,
    state_dir: Path,
    clock: Callable[[], float],
    pods: Sequence[Pod],
    budgets: Budgets | None = None,
    *,
    run: tuple[str, float] | None = None,
) -> Account:
    """Ask the provider what it tells and put it beside the ledger.

    `pods` is its present list. `run` is the pod of the run that the run budget is about, and when it began (unix
    seconds). A failing request becomes a note.
    """
    budgets = budgets or Budgets()
    notes: list[str] = []
    balance = await _balance(provider, notes)
    spending = burn(provider.name, pods, await _volumes(provider, notes))
    ledger, now = Ledger(state_dir), clock()
    spent = Spent(
        run=ledger.spent(run[1], now, run[0]) if run else None,
        day=ledger.spent(day_start(now), now),
        total=ledger.total(now),
    )
    states = check(budgets, spent)
    left = [state.left for state in states]
    known = [amount for amount in left if amount is not None]
    smallest: Decimal | None = min(known) if known and len(known) == len(left) else None
    lasts = runway(balance, spending, now, smallest)
    return Account(balance, spending, lasts, ledger.costs(now), spent, states, (*notes, *spending.unknown))


async def _balance(provider: Provider, notes: list[str]) -> Balance | None:
    if Capability.BALANCE not in provider.capabilities:
        return None
    try:
        return await provider.balance()
    except ProviderError as error:
        notes.append(f"the balance could not be read: {error}")
        return None


async def _volumes(provider: Provider, notes: list[str]) -> list[Volume] | None:
    if Capability.VOLUMES not in provider.capabilities:
        return None
    try:
        return await provider.volumes()
    except ProviderError as error:
        notes.append(f"the network volumes could not be listed: {error}")
        return None

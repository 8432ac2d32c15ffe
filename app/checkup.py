"""What `doctor` asks of a rented provider: key, permissions, clock, quota, price, balance. Reads only; shows no key."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

from app.doctor import Check
from app.errors import sentence
from app.rent import WORD, quote, wanted
from app.text import duration, money
from remote.errors import (
    AccessDenied,
    ApiRetired,
    AuthError,
    BudgetError,
    ConfigError,
    GuardError,
    InsufficientFunds,
    ProviderError,
    RemoteError,
)
from remote.pods.provider import Capability

if TYPE_CHECKING:
    from app.supervisor import Supervisor

CLOCK_S = 5.0
"""Seconds by which the provider's clock may differ from ours before it is told."""


async def account(supervisor: Supervisor) -> list[Check]:
    """Every check, in the order in which one would mend things; after the first failure of the way there, no more."""
    found: list[Check] = []
    async for check in _checks(supervisor):
        found.append(check)
    return found


async def _checks(supervisor: Supervisor) -> AsyncIterator[Check]:
    reached = await _reach(supervisor)
    yield reached
    if reached.level == "fail":
        return
    yield await _clock(supervisor)
    for name, ask in (("balance", _balance), ("price", _price), ("volumes", _volumes), ("bill", _bill)):
        yield await _asked(name, ask, supervisor)


async def _reach(supervisor: Supervisor) -> Check:
    """Whether the provider answers and takes the key."""
    began = time.monotonic()
    try:
        await supervisor.look()
    except AuthError as error:
        return Check("key accepted", "fail", error.message, error.hint)
    except AccessDenied as error:
        return Check("key may read", "fail", error.message, error.hint)
    except ApiRetired as error:
        return Check("provider", "fail", error.message, "Update maxcai: pip install -U maximalcai.")
    except (ConfigError, ProviderError) as error:
        return Check("provider", "fail", error.message, error.hint or "Check the network.")
    fleet = supervisor.fleet
    ours = sum(fleet.is_ours(pod) for pod in fleet.pods)
    text = f"the key is accepted; {len(fleet.pods)} pods, {ours} of this workspace; {time.monotonic() - began:.1f} s"
    return Check("provider", "ok", text)


async def _clock(supervisor: Supervisor) -> Check:
    """Our clock against the provider's, by the Date of a reply: costs and host keys go by it."""
    offset = getattr(supervisor.fleet.provider, "clock_offset_s", None)
    if offset is None:
        return Check("clock", "ok", "the provider does not tell the time this way")
    text = f"{abs(offset):.0f} s {'behind' if offset > 0 else 'ahead of'} the provider's"
    if abs(offset) <= CLOCK_S:
        return Check("clock", "ok", f"agrees with the provider's to {CLOCK_S:.0f} s")
    return Check("clock", "warn", text, "Set this machine's clock (NTP): costs and host keys go by it.")


async def _asked(name: str, ask: Callable[[Supervisor], Awaitable[Check]], supervisor: Supervisor) -> Check:
    try:
        return await ask(supervisor)
    except AccessDenied as error:
        return Check(name, "warn", error.message, error.hint)
    except RemoteError as error:
        return Check(name, "warn", sentence(error), "Without it that is shown as unknown.")


async def _balance(supervisor: Supervisor) -> Check:
    from app.rent import budgets

    found = await supervisor.fleet.read_account(budgets(supervisor.settings))
    held = None if found.balance is None else found.balance.balance
    if held is None:
        return Check("balance", "warn", "unknown: " + "; ".join(found.notes or ("it is not told",)), "See the console.")
    lasts = found.runway
    if lasts.endless or lasts.seconds is None:
        return Check("balance", "ok" if held > 0 else "warn", money(held), "" if held > 0 else "Add credit.")
    level = {"ok": "ok", "warn": "warn", "stop": "fail"}.get(str(lasts.level), "warn")
    return Check("balance", level, f"{money(held)}, lasts {duration(lasts.seconds)} (h:mm:ss) at the present rate",
                 "" if level == "ok" else "Add credit, or stop what runs.")  # fmt: skip


async def _price(supervisor: Supervisor) -> Check:
    """What the wished pod would cost now, and whether there is any."""
    asked = supervisor.settings.runpod
    if Capability.CATALOG not in supervisor.fleet.provider.capabilities:
        return Check("price", "ok", "this provider has no catalogue")
    wished = ", ".join(asked.gpus) or f"a CPU {WORD}"
    try:
        offer = await quote(supervisor)
    except (GuardError, ConfigError, BudgetError, InsufficientFunds) as error:
        return Check("wished pod", "warn", error.message, error.hint)
    if offer.estimate.per_hour is None and all(one.price is None for one in offer.choices):
        near = "See `maxcai pod offers` for the ids."
        return Check("wished pod", "warn", f"{asked.gpu_count}× {wished}: not in the catalogue, price unknown", near)
    spec, first = wanted(supervisor.settings), offer.choices[0]
    stock = "" if first.stock is None else f", stock {first.stock}"
    text = (
        f"{spec.gpu_count}× {first.gpu}: {money(first.price)}/h{stock}; ≈{money(offer.estimate.per_hour)}/h with disks"
    )
    return Check("wished pod", "ok", text)


async def _volumes(supervisor: Supervisor) -> Check:
    if Capability.VOLUMES not in supervisor.fleet.provider.capabilities:
        return Check("network volumes", "ok", "this transport does not list them")
    return Check("network volumes", "ok", f"{len(await supervisor.fleet.provider.volumes())}")


async def _bill(supervisor: Supervisor) -> Check:
    if Capability.BILLING not in supervisor.fleet.provider.capabilities:
        return Check("bill", "ok", "this transport does not tell what was billed: costs stay our own reckoning")
    now = supervisor.clock()
    await supervisor.fleet.provider.billing(now - 3600, now)
    return Check("bill", "ok", "can be read")

"""What a rented pod will cost, agreed to before anything is bought; renting one, starting one, one that is blocked.

How exactly one pod comes of one request is `remote.renting.creating`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from app.errors import AppError, Unagreed, UsageError
from app.fleet import NoPod
from app.settings import Settings
from app.text import duration, money
from remote.errors import VolumelessStop
from remote.money.rules import Budgets
from remote.pods.model import Balance, Cloud, Pod, PodSpec, PodStatus
from remote.renting.creating import Candidate, Estimate

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.money.account import Account
    from remote.renting.resuming import Blocked

WORD = "pod"
"""What a pod is called when the workspace's name cannot be part of a name."""


class ResumeBlocked(AppError):
    """The stopped pod's machine has no free GPU. `blocked` has the ways out."""

    def __init__(self, blocked: Blocked) -> None:
        ways = {"wait": "--wait", "new_pod": "--new", "rescue": "--rescue"}
        hints = [
            f"{ways[str(one.way)]}: {one.text}" + (f" ({one.loses})" if one.loses else "") for one in blocked.choices
        ]
        super().__init__(
            f"pod {blocked.pod.name} cannot be resumed: its machine has no free GPU (RESUME_BLOCKED, refused "
            f"{blocked.attempts} times)",
            f"`maxcai pod start` with {'; with '.join(hints)}.",
        )
        self.blocked = blocked


class Quote(Struct, frozen=True):
    """What would be rented: the spec, what is tried in which order, what it costs, what could not be checked, and
    pods of this workspace that run `already`."""

    spec: PodSpec
    choices: tuple[Candidate, ...]
    estimate: Estimate
    already: tuple[Pod, ...] = ()

    def lines(self) -> tuple[str, ...]:
        """For a person who is to agree to it."""
        spec = self.estimate.spec
        kept = (
            f"network volume {spec.volume_id}" if spec.volume_id
            else f"{spec.volume_gb} GB kept disk" if spec.volume_gb else "NOTHING IS KEPT when it stops"
        )  # fmt: skip
        tried = "; then ".join(_tried(one, spec) for one in self.choices)
        hour = self.estimate.per_hour
        lines = [
            tried,
            f"image {spec.image}, {spec.disk_gb} GB container disk, {kept}" + f" at {spec.mount}",
            f"≈{money(hour)}/h with its disks" + ("" if hour is None else f", ≈{money(hour * 10)} for ten hours"),
        ]
        balance = self.estimate.balance
        if balance is not None and balance.balance is not None:
            lines.append(f"balance {money(balance.balance)}{lasting(balance, hour)}")
        lines += [f"pod {pod.name} runs already, at {money(pod.price_per_hour)}/h" for pod in self.already]
        return (*lines, *self.estimate.notes)


def lasting(balance: Balance, price: Decimal | None) -> str:
    """For how long the balance pays this price (USD per hour) and all that is spent already; "" when nobody knows."""
    if balance.balance is None or not price:
        return ""
    spent = balance.spend_per_hour
    seconds = float(balance.balance / (price + (spent or 0))) * 3600
    told = "" if spent == 0 else " for it alone" if spent is None else f" with the {money(spent)}/h spent already"
    return f", enough for {duration(seconds)} (h:mm:ss){told}"


def _tried(one: Candidate, spec: PodSpec) -> str:
    what = "a CPU pod" if one.gpu is None else f"{spec.gpu_count}× {one.gpu}"
    price = "price unknown" if one.price is None else f"{money(one.price)}/h"
    stock = "" if one.stock is None else f", stock {one.stock}"
    return f"{what} ({one.cloud.lower()}, {price}{stock})"


def wanted(settings: Settings) -> PodSpec:
    """The pod that the settings describe."""
    asked = settings.runpod
    return PodSpec(
        image=asked.image,
        gpu=asked.gpus[0] if asked.gpus else None,
        gpu_count=asked.gpu_count,
        cloud=Cloud(asked.cloud),
        disk_gb=asked.disk_gb,
        volume_id=asked.volume_id,
        volume_gb=asked.volume_gb,
        mount=asked.mount,
        data_centers=asked.data_centers,
        min_cuda=asked.min_cuda if asked.gpus else None,
        bid=asked.bid,
        ephemeral=asked.ephemeral,
    )


def budgets(settings: Settings) -> Budgets:
    """What may be spent."""
    limits = settings.budget
    whole = [one for one in (limits.total, settings.budget_usd or None) if one is not None]
    return Budgets(run=limits.run, day=limits.day, total=min(whole, default=None))


async def quote(supervisor: Supervisor, spec: PodSpec | None = None, gpus: Sequence[str] | None = None) -> Quote:
    """What renting would buy, with everything checked that can be. Raises ConfigError, VolumelessStop,
    InsufficientFunds, BudgetError, and what the provider raises. Buys nothing."""
    from remote.renting import creating, specs

    fleet, settings = supervisor.fleet, supervisor.settings
    if not fleet.rented:
        raise UsageError("the embedded pod need not be rented", "Rent with --provider runpod.")
    if gpus is None:
        gpus = settings.runpod.gpus if spec is None else tuple(name for name in (spec.gpu,) if name)
    names, spec = list(gpus), spec or wanted(settings)
    spec = replace(spec, gpu=names[0] if names else None, min_cuda=spec.min_cuda if names else None)
    try:
        specs.check(spec)
    except VolumelessStop as error:
        hint = "Set volume_id or volume_gb in [runpod] of maxcai.toml, or say --ephemeral."
        raise VolumelessStop(error.message, hint) from None
    choices: tuple[Candidate, ...] = (Candidate(None, spec.cloud),)
    if names:
        offers = await fleet.provider.catalog(spec.gpu_count)
        choices = creating.candidates(
            offers, names, count=spec.gpu_count, cloud=spec.cloud, data_centers=spec.data_centers,
            spot=spec.bid is not None,
        )  # fmt: skip
    await within_budget(supervisor)
    already = tuple(pod for pod in fleet.pods if fleet.is_ours(pod) and not pod.status.over)
    return Quote(spec, choices, await creating.estimate(fleet.provider, spec, choices), already)


async def within_budget(supervisor: Supervisor) -> Account:
    """Raises BudgetError when a budget is used up or cannot be computed."""
    from remote.money import rules

    await supervisor.fleet.list()
    limits = budgets(supervisor.settings)
    found = await supervisor.fleet.read_account(Budgets(day=limits.day, total=limits.total))
    rules.require(found.budgets)
    return found


async def create(
    supervisor: Supervisor, *, agreed: bool, word: str | None = None, spec: PodSpec | None = None,
    gpus: Sequence[str] | None = None, wait: bool = True,
) -> Pod:  # fmt: skip
    """Rent a pod and wait for its address. Raises Unagreed with the price before anything is bought."""
    from app.arming import auto_stop
    from remote.renting import creating, lifecycle

    fleet = supervisor.fleet
    offer = await quote(supervisor, spec, gpus)
    if not agreed:
        raise Unagreed("Rent a pod?", (*offer.lines(), auto_stop(supervisor)), "rent")
    for line in offer.lines():
        supervisor.say("info", line)
    with supervisor.activity("pod.create", "renting a pod"):
        made = await creating.create(
            fleet.provider, offer.estimate.spec, fleet.state_dir, supervisor.clock,
            word=word or _word(supervisor.workspace.root.name), choices=offer.choices,
        )  # fmt: skip
    for refused in made.refused:
        supervisor.say("warn", f"not to be had: {refused}")
    found = " (its answer had been lost; it was found by its name)" if made.adopted else ""
    supervisor.say("ok", f"pod {made.pod.name} is rented, id {made.pod.id}{found}")
    await supervisor.look()
    if not wait:
        return made.pod
    with supervisor.activity("pod.boot", f"waiting for pod {made.pod.name} to boot; a cold image takes minutes"):
        pod = await lifecycle.await_address(fleet.provider, made.pod, supervisor.clock)
    await supervisor.look()
    return pod


def _word(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:20].strip("-") or WORD


async def ensure(supervisor: Supervisor, name: str | None, *, agreed: bool) -> Pod:
    """A rented pod that runs and has an address: the named one or ours, started if need be; without any, a new one.

    Raises Unagreed before anything that costs, ResumeBlocked, and as `create` does.
    """
    from remote.errors import NoCapacityOnHost
    from remote.renting import lifecycle

    try:
        pod = await supervisor.pod(name)
    except NoPod:
        if name is not None:
            raise
        return await create(supervisor, agreed=agreed)
    if pod.status is PodStatus.RUNNING and pod.endpoint is not None:
        return pod
    if pod.status.over:
        await agree_to_start(supervisor, pod, agreed)
    with supervisor.activity("pod.start", f"starting pod {pod.name}"):
        if not pod.status.over:
            pod = await lifecycle.await_address(supervisor.fleet.provider, pod, supervisor.clock)
            await supervisor.look()
            return pod
        try:
            pod = await supervisor.fleet.start(pod.id)
        except NoCapacityOnHost:
            raise await start_blocked(supervisor, pod) from None
    await supervisor.look()
    return pod


async def agree_to_start(supervisor: Supervisor, pod: Pod, agreed: bool) -> None:
    """Before a stopped rented pod is started: budgets, an hour's balance, and somebody's word.

    Raises BudgetError, InsufficientFunds, Unagreed.
    """
    from app.arming import auto_stop
    from remote.renting import creating

    found = await within_budget(supervisor)
    price, balance = pod.price_per_hour, found.balance
    unknown = None
    if balance is not None and balance.balance is not None:
        unknown = creating.covers(balance, price)
    if agreed:
        return
    lasts = f"balance {money(None if balance is None else balance.balance)}"
    lines = (f"{money(price)}/h while it runs", auto_stop(supervisor), lasts, *([unknown] if unknown else ()))
    raise Unagreed(f"Start pod {pod.name}?", lines, "start")


async def start_blocked(supervisor: Supervisor, pod: Pod) -> ResumeBlocked:
    """What is told of a start that its machine had no GPU for."""
    from remote.renting import resuming

    found = resuming.blocked(await supervisor.pod(pod.id), supervisor.fleet.journal)
    if found is None:
        raise AppError(f"pod {pod.name} was not started", "Try again.")
    return ResumeBlocked(found)


async def keep_trying(supervisor: Supervisor, pod: Pod) -> Pod:
    """Start a blocked pod, trying again in 1, 2, 5 and then every 10 minutes. Raises BudgetError when a budget is used
    up meanwhile."""
    from remote.renting import resuming

    def waiting(found: Blocked) -> None:
        pause = found.next_try - supervisor.clock()
        supervisor.say("warn", f"no free GPU on its machine; try {found.attempts + 1} in {duration(pause)}")

    with supervisor.activity("pod.start", f"starting pod {pod.name}, as often as it takes"):
        pod = await resuming.keep_trying(
            supervisor.fleet.provider, pod.id, supervisor.fleet.state_dir, supervisor.clock, waiting=waiting,
            permitted=lambda: within_budget(supervisor),
        )  # fmt: skip
    await supervisor.look()
    return pod


async def instead(supervisor: Supervisor, pod: Pod, way: str, *, agreed: bool) -> Pod:
    """Another pod in place of a blocked one: "new_pod" or "rescue" of `remote.renting.resuming`.

    Raises UsageError when there is no such way out for this pod.
    """
    from remote.renting import resuming

    for choice in resuming.choices(pod, supervisor.fleet.journal):
        if str(choice.way) == way and choice.spec is not None:
            if choice.loses:
                supervisor.say("warn", choice.loses)
            return await create(supervisor, agreed=agreed, spec=choice.spec)
    raise UsageError(
        f"pod {pod.name} has no such way out", "A rescue by a pod without a GPU needs a network volume: see `--wait`."
    )


def usd(amount: Decimal | None) -> float | None:
    """Money for JSON; unknown is null."""
    return None if amount is None else float(amount)

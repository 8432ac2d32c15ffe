"""Renting a pod so that exactly one exists: journal line, list, request, answer; a lost answer is looked for by name.

What to rent and whether a person agreed to the price is the caller's business.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from remote import identity
from remote.errors import (
    AccessDenied,
    AuthError,
    ConfigError,
    Conflict,
    DiskFull,
    InsufficientFunds,
    NoCapacity,
    Occupied,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RemoteError,
    RuleBroken,
)
from remote.files import locked
from remote.journal import Intent, Journal, Phase
from remote.money.costs import Ledger
from remote.money.rules import disks_per_hour
from remote.pods.model import Balance, Cloud, Offer, Pod, PodSpec, PodStatus, Stock
from remote.pods.provider import Capability, Provider
from remote.renting.specs import KEY, check, completed, describe, kept_by, spec_hash, spec_of

Clock = Callable[[], float]
Sleep = Callable[[float], Awaitable[None]]
CREATE = "pod.create"
PREFIX = "maxcai-"

LOST_S = 60.0
"""Seconds after a lost answer during which the pod may still appear in the list."""

APART_S = 30.0
"""Seconds between two lists that must both lack a pod before it counts as never made."""

_POLL_S = 3.0
_WORD = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_STOCK = {Stock.HIGH: 0, Stock.MEDIUM: 1, Stock.LOW: 2, None: 3, Stock.NONE: 4}


class Candidate(Struct, frozen=True):
    """One thing to try to rent. `price` is USD/hour for the whole pod, None when not told; `gpu` None is a CPU pod."""

    gpu: str | None
    cloud: Cloud
    price: Decimal | None = None
    stock: Stock | None = None


class Estimate(Struct, frozen=True):
    """What a person is asked to agree to. `per_hour` is USD for the dearest candidate with its disks, None unknown.

    `notes` are sentences about what could not be checked.
    """

    spec: PodSpec
    per_hour: Decimal | None
    balance: Balance | None
    notes: tuple[str, ...]


class Created(Struct, frozen=True):
    """The pod, its name, and whether it was found after its answer was lost. `refused` says what was tried before."""

    pod: Pod
    adopted: bool
    refused: tuple[str, ...]


def candidates(
    offers: Iterable[Offer],
    wanted: Sequence[str],
    *,
    count: int = 1,
    cloud: Cloud = Cloud.SECURE,
    data_centers: Sequence[str] = (),
    spot: bool = False,
) -> tuple[Candidate, ...]:
    """What to try, in this order: the user's list (all of the catalogue when empty), then price, then stock.

    The catalogue's stock orders and never excludes: it is known to be wrong both ways. A wanted type that the catalogue
    lacks is tried all the same, without a known price.
    """
    fit = [offer for offer in offers if offer.cloud is cloud and (offer.max_count is None or offer.max_count >= count)]
    found = [_candidate(offer, count, data_centers, spot) for offer in fit if not wanted or offer.gpu in wanted]
    listed = {offer.gpu for offer in fit}
    found += [Candidate(gpu, cloud) for gpu in dict.fromkeys(wanted) if gpu not in listed]
    order = {gpu: place for place, gpu in reversed(list(enumerate(wanted)))}
    return tuple(sorted(found, key=lambda one: (order.get(str(one.gpu), 0), *_appeal(one))))


def _candidate(offer: Offer, count: int, data_centers: Sequence[str], spot: bool) -> Candidate:
    each = offer.spot_price if spot else offer.price
    stock = offer.stock
    if data_centers and offer.data_centers:
        stock = min((offer.data_centers.get(name, Stock.NONE) for name in data_centers), key=lambda one: _STOCK[one])
    return Candidate(offer.gpu, offer.cloud, None if each is None else each * count, stock)


def _appeal(one: Candidate) -> tuple[bool, Decimal, int, str]:
    return one.price is None, one.price or Decimal(0), _STOCK[one.stock], str(one.gpu)


async def estimate(provider: Provider, spec: PodSpec, choices: Sequence[Candidate] = ()) -> Estimate:
    """Look before anything is bought: the spec is sound, its volume exists, and the balance covers one hour.

    Returns the spec with its data centre set to the volume's. Raises ConfigError, VolumelessStop, InsufficientFunds,
    and what the provider raises.
    """
    check(spec)
    if provider.name == "local":
        raise ConfigError("The embedded pod need not be made.", "Start it: python -m remote start")
    notes: list[str] = []
    if spec.volume_id is not None:
        spec = await _at_volume(provider, spec, notes)
    per_hour = _dearest(provider, spec, choices or (Candidate(spec.gpu, spec.cloud),))
    if per_hour is None:
        notes.append("what the pod will cost is not known before it is made")
    balance = await _balance(provider, notes)
    if balance is None or balance.balance is None:
        notes.append("the account's balance is not known")
    elif why := covers(balance, per_hour):
        notes.append(why)
    return Estimate(spec, per_hour, balance, tuple(notes))


async def _balance(provider: Provider, notes: list[str]) -> Balance | None:
    """None where nobody tells: RunPod's only API that does is being retired, and pods are rented without it."""
    if Capability.BALANCE not in provider.capabilities:
        return None
    try:
        return await provider.balance()
    except AuthError:
        raise
    except ProviderError as error:
        notes.append(str(error))
        return None


async def _at_volume(provider: Provider, spec: PodSpec, notes: list[str]) -> PodSpec:
    if Capability.VOLUMES not in provider.capabilities:
        notes.append("whether the network volume exists is not known")
        return spec
    for volume in await provider.volumes():
        if volume.id != spec.volume_id:
            continue
        if volume.data_center is None:
            return spec
        if spec.data_centers and volume.data_center not in spec.data_centers:
            raise ConfigError(
                f"Network volume {volume.id} lies in {volume.data_center}, not in {', '.join(spec.data_centers)}.",
                "A pod can only be where its volume is.",
            )
        return replace(spec, data_centers=(volume.data_center,))
    raise ConfigError(f"There is no network volume {spec.volume_id}.", "See `python -m remote volumes`.")


def _dearest(provider: Provider, spec: PodSpec, choices: Sequence[Candidate]) -> Decimal | None:
    prices = [one.price for one in choices]
    known = [price for price in prices if price is not None]
    disks = disks_per_hour(provider.name, spec.disk_gb, kept_by(spec), spec.volume_gb, running=True)
    return None if len(known) < len(prices) or disks is None else max(known) + disks


def covers(balance: Balance, per_hour: Decimal | None) -> str | None:
    """Why it cannot be told that an hour of this pod and of all else that runs is there; None when it is.

    Raises InsufficientFunds when what is known of that hour is not there.
    """
    assert balance.balance is not None
    hour = (per_hour or Decimal(0)) + (balance.spend_per_hour or Decimal(0))
    if balance.balance <= 0 or balance.balance < hour:
        raise InsufficientFunds(
            f"The balance is ${balance.balance:.2f}; the first hour takes ${hour:.2f}.",
            "Add credit, or choose something cheaper.",
            op="create",
        )
    unknown = ["the pod's price"] if per_hour is None else []
    unknown += ["what else is spent an hour"] if balance.spend_per_hour is None else []
    return f"whether the balance covers an hour is not known: {' and '.join(unknown)} is not told" if unknown else None


async def create(
    provider: Provider,
    spec: PodSpec,
    state_dir: Path,
    clock: Clock,
    *,
    word: str,
    choices: Sequence[Candidate] = (),
    sleep: Sleep = asyncio.sleep,
    entropy: Callable[[int], bytes] = os.urandom,
) -> Created:
    """Rent one pod: the first of `choices` (default: what `spec` names) that is to be had.

    `word` becomes part of its name. Raises Occupied while an earlier request is still unsettled, OutcomeUnknown when
    nobody can tell whether this one took effect, ProviderUnavailable when it certainly did not, NoCapacity when
    nothing was free, and what the provider raises.
    """
    check(spec)
    if not _WORD.fullmatch(word):
        raise ConfigError(f'"{word}" cannot be part of a pod\'s name.', "Use up to 32 of a-z, 0-9 and -.")
    key = await asyncio.to_thread(identity.ensure, state_dir)
    spec = replace(spec, env={**spec.env, KEY: key.public})
    buyer = _Buyer(provider, state_dir, clock, sleep)
    refused: list[str] = []
    errors: list[ProviderError] = []
    async with locked(state_dir / "create.lock", "renting a pod"):
        await buyer.nothing_open()
        for choice in choices or (Candidate(spec.gpu, spec.cloud),):
            name = f"{PREFIX}{word}-{entropy(3).hex()}"
            try:
                pod, adopted = await buyer.buy(name, replace(spec, gpu=choice.gpu, cloud=choice.cloud))
            except (NoCapacity, AccessDenied, RuleBroken) as error:
                errors.append(error)
                refused.append(f"{choice.gpu or 'CPU'}: {error}")
                continue
            return Created(pod, adopted, tuple(refused))
    raise _refusal(errors, refused)


def _refusal(errors: Sequence[ProviderError], refused: Sequence[str]) -> ProviderError:
    """One error for all candidates. When all broke a rule, the last one says which."""
    last = errors[-1]
    if len(errors) == 1 or not any(isinstance(error, NoCapacity) for error in errors):
        return last
    return NoCapacity(
        f"None of {len(errors)} candidates could be rented. {' '.join(refused)}",
        "Try again in some minutes, or name more GPU types or data centres.",
        op="create",
    )


class _Buyer:
    """One create after the other at one provider, each by the protocol."""

    def __init__(self, provider: Provider, state_dir: Path, clock: Clock, sleep: Sleep) -> None:
        self._provider, self._clock, self._sleep = provider, clock, sleep
        self._journal = Journal(state_dir, clock)
        self._ledger = Ledger(state_dir)

    async def nothing_open(self) -> None:
        """Settle what earlier requests left open. Raises Occupied while one of them may still yield a pod."""
        if not open_creates(self._journal, self._provider.name):
            return
        settle(self._journal, self._ledger, self._provider.name, await self._provider.list(), self._clock())
        if left := open_creates(self._journal, self._provider.name):
            raise Occupied(
                f"An earlier request for a pod ({left[0].facts.get('name')}) is not settled yet.",
                "List the pods in a minute: it is found, or known not to exist. Then try again.",
            )

    async def buy(self, name: str, spec: PodSpec) -> tuple[Pod, bool]:
        """One intent, one request. Returns the pod and whether it had to be looked for."""
        facts = {"provider": self._provider.name, "name": name, "spec": describe(spec), "spec_hash": spec_hash(spec)}
        intent = self._journal.intent(CREATE, **facts)
        await self._unused(intent, name)
        self._journal.sent(intent)
        adopted = False
        try:
            pod = await self._provider.create(name, spec)
        except RemoteError as error:
            if not error.unconfirmed:
                self._journal.failed(intent, str(error), error=type(error).__name__)
                raise
            self._journal.unknown(intent, str(error), lost_at=self._clock())
            pod, adopted = await self._find(intent, name, error), True
        except BaseException as error:
            self._journal.unknown(intent, f"left by {type(error).__name__}")
            raise
        self._note(intent, completed(pod, spec), adopted)
        return pod, adopted

    def _note(self, intent: str, pod: Pod, adopted: bool) -> None:
        """Write down what was rented. Raises DiskFull, or ConfigError, that says so: it costs money all the same."""
        try:
            self._ledger.open(pod)
            self._journal.acked(intent, pod=pod.id, status=pod.status.value, started_at=pod.started_at, adopted=adopted)
        except (DiskFull, ConfigError) as error:
            price = "an unknown amount" if pod.price_per_hour is None else f"${pod.price_per_hour:.2f}"
            error.message = f"Pod {pod.id} ({pod.name}) is rented and costs {price} an hour. {error.message}"
            error.hint = f"{error.hint} Then list the pods: it is found by its name. Stop it if you do not need it."
            error.args = (error.message,)
            raise

    async def _unused(self, intent: str, name: str) -> None:
        try:
            pods = await self._provider.list()
        except BaseException as error:
            self._journal.failed(intent, f"not sent: {type(error).__name__}")
            raise
        if any(pod.name == name for pod in pods):
            self._journal.failed(intent, "not sent: the name is taken")
            raise Conflict(f"A pod called {name} exists already.", "Try again: the next name is another.", op="create")

    async def _find(self, intent: str, name: str, cause: RemoteError) -> Pod:
        """The pod of a request whose answer was lost."""
        end, lacking = self._clock() + LOST_S, []
        while True:
            try:
                pods = await self._provider.list()
            except ProviderError as error:
                if not (error.retryable or error.unconfirmed):
                    break
            else:
                if pod := _named(name, pods):
                    return pod
                lacking.append(self._clock())
            if self._clock() >= end:
                break
            await self._sleep(_POLL_S)
        if lacking and lacking[-1] - lacking[0] >= APART_S and self._clock() >= end:
            self._journal.failed(intent, "not listed after the answer was lost")
            raise ProviderUnavailable(
                f"The pod {name} was not made: {cause}", "Nothing was bought; try again.", op="create"
            ) from cause
        raise OutcomeUnknown(
            f"Whether the pod {name} was made is not known: {cause}",
            "Nothing is bought again before that is clear: list the pods when the provider answers.",
            op="create",
        ) from cause


# --- after a crash -----------------------------------------------------------------------------------------------


def open_creates(journal: Journal, provider: str) -> list[Intent]:
    """Requests for pods at this provider whose outcome is not written down yet."""
    return [one for one in journal.open_intents() if one.op == CREATE and one.facts.get("provider") == provider]


def settle(journal: Journal, ledger: Ledger, provider: str, pods: Sequence[Pod], now: float) -> None:
    """Write down what became of requests that nobody is at work on, by what is listed `now`. Nothing is sent.

    A pod with the name of a request that had counted as failed is adopted too: it came late.
    """
    for intent in journal.intents():
        if intent.op != CREATE or intent.facts.get("provider") != provider or intent.phase is Phase.ACKED:
            continue
        if not intent.phase.settled and not intent.abandoned:
            continue
        if pod := _named(str(intent.facts.get("name")), pods):
            _adopt(journal, ledger, intent, pod)
        elif not intent.phase.settled:
            _lacking(journal, intent, now)


def _adopt(journal: Journal, ledger: Ledger, intent: Intent, pod: Pod) -> None:
    spec = spec_of(intent)
    ledger.open(pod if spec is None else completed(pod, spec))
    journal.acked(intent.id, pod=pod.id, status=pod.status.value, started_at=pod.started_at, adopted=True)


def _lacking(journal: Journal, intent: Intent, now: float) -> None:
    if intent.phase is Phase.INTENT:
        journal.failed(intent.id, "never sent")
        return
    before = intent.facts.get("lacking_at")
    if not isinstance(before, (int, float)):
        journal.unknown(intent.id, "not listed", lacking_at=now)
    elif now - before >= APART_S and now - float(intent.facts.get("lost_at", intent.at)) >= LOST_S:
        journal.failed(intent.id, "not listed after the answer was lost")


def strays(pods: Iterable[Pod], journal: Journal) -> list[Pod]:
    """Pods with our kind of name that this workspace's journal knows nothing of: foreign or lost, never touched."""
    known = {str(one.facts.get("pod")) for one in journal.intents()}
    waiting = {str(one.facts.get("name")) for one in journal.open_intents() if one.op == CREATE}
    ours = [pod for pod in pods if pod.name.startswith(PREFIX) and pod.status is not PodStatus.GONE]
    return [pod for pod in ours if pod.id not in known and pod.name not in waiting]


def _named(name: str, pods: Iterable[Pod]) -> Pod | None:
    """The pod of this name; the oldest, should there be several."""
    found = [pod for pod in pods if pod.name == name and pod.status is not PodStatus.GONE]
    return min(found, key=lambda pod: (pod.created_at is None, pod.created_at or 0.0), default=None)

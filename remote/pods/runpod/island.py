"""The few things that only RunPod's older GraphQL API has: balance, spot pods, when a pod was last started.

That API is being retired, so its loss is a state to be shown, not a fault: after a refusal or its end it rests for
ten minutes and says since when. Values travel as variables only. At most two requests a minute.
"""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, TypeVar

from msgspec import Struct

from remote.errors import ApiRetired, ProviderError, RateLimited, RuleBroken
from remote.pods.model import Balance, PodSpec
from remote.pods.runpod import asking
from remote.pods.runpod.client import Client, Failure
from remote.pods.runpod.decode import amount, decode, identifier, items, mapping, text, when
from remote.pods.runpod.errors import Op, auth, clean, from_text, not_understood, outcome_unknown
from remote.pods.runpod.hiding import Hiding
from remote.pods.runpod.rate import RateBudget

PATH = "/graphql"
REST_S = 600.0
"""Seconds without a request after a 429 or 410."""

CALLS, WINDOW_S = 2, 60.0
FRESH_S = 60.0
"""A balance is read again only when it is older than this, in seconds."""

BALANCE = "query balance { myself { id clientBalance currentSpendPerHr spendLimit } }"
SPOT = """mutation createSpotPod($input: PodRentInterruptableInput!) {
  podRentInterruptable(input: $input) { id costPerHr desiredStatus }
}"""
SPOT_START = """mutation startSpotPod($input: PodBidResumeInput!) {
  podBidResume(input: $input) { id costPerHr desiredStatus }
}"""
STARTED = "query pod($input: PodFilter!) { pod(input: $input) { id lastStartedAt } }"

_REFUSED = frozenset({"BAD_USER_INPUT", "BAD_REQUEST", "GRAPHQL_PARSE_FAILED", "GRAPHQL_VALIDATION_FAILED"})
"""Codes that say that nothing was done. RunPod gives most failures the code of a crash, which says nothing of that."""

T = TypeVar("T")
_GO_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d{1,9})?) ([+-]\d{4})(?: [A-Z]+)?")


class Loss(Struct, frozen=True):
    """The API cannot be used: since and until when, unix seconds, and what it answered."""

    since: float
    until: float
    error: ProviderError


class Island:
    """GraphQL over the same client. `clock` gives unix seconds."""

    def __init__(self, client: Client, hide: Hiding, clock: Callable[[], float]) -> None:
        self._client, self._hide, self._clock = client, hide, clock
        self._sent: deque[float] = deque(maxlen=CALLS)
        self._budget = RateBudget()  # its throttling is not the REST API's
        self._loss: Loss | None = None
        self._since: float | None = None
        self._balance: Balance | None = None

    @property
    def loss(self) -> Loss | None:
        """Why and until when it rests; None while it works or has not been tried."""
        return self._loss if self._loss is not None and self._clock() < self._loss.until else None

    async def balance(self) -> Balance:
        """What the account holds and spends, at most `FRESH_S` seconds old (`Balance.at` says).

        Raises ProviderError saying since when it is unknown.
        """
        if self._balance is not None and 0 <= self._clock() - self._balance.at < FRESH_S:
            return self._balance
        op = Op("balance", "read the balance")
        try:
            self._balance = await self._ask(op, BALANCE, {}, self._read_balance)
        except RateLimited:
            if self.loss is not None or self._balance is None:
                raise
            return self._balance  # only a short wait: the last reading, with its time
        return self._balance

    async def create_spot(self, name: str, spec: PodSpec) -> str:
        """Rent a spot pod; returns its id. Never repeated. Raises OutcomeUnknown when it may exist all the same."""
        op = Op("create", f"rent the spot pod {name}")
        await self._room()
        return await self._ask(op, SPOT, {"input": asking.spot_input(name, spec)}, _created, buys=True)

    async def start_spot(self, pod_id: str, bid: Decimal, gpu_count: int) -> None:
        """Start a stopped spot pod by a bid (USD/hour and GPU). Never repeated. Raises NoCapacityOnHost, and
        OutcomeUnknown when it may start all the same."""
        op = Op("start", f"start the spot pod {pod_id}")
        await self._room()
        asked = {"podId": pod_id, "bidPerGpu": float(bid), "gpuCount": gpu_count}
        await self._ask(op, SPOT_START, {"input": asked}, _resumed, buys=True)

    async def last_started_at(self, pod_id: str) -> float | None:
        """When the pod was last started, unix seconds; None when that is not told."""
        op = Op("get", f"read when pod {pod_id} was started")
        return await self._ask(op, STARTED, {"input": {"podId": pod_id}}, _started)

    async def _ask(
        self,
        op: Op,
        query: str,
        variables: Mapping[str, Any],
        read: Callable[[Mapping[str, Any]], T],
        *,
        buys: bool = False,
    ) -> T:
        """One request, never repeated here. `buys`: without an answer its outcome is unknown."""
        if (loss := self.loss) is not None:
            raise _lost(op, loss, self._clock())
        if (wait := self._full_for()) > 0:
            raise _full(op, wait)
        self._sent.append(self._clock())
        sent = {"query": query, "variables": dict(variables)}
        try:
            result = await self._client.exchange(
                op, "POST", PATH, lambda raw: _unpack(op, raw, read, self._hide), json=sent, budget=self._budget
            )
        except (ApiRetired, RateLimited) as error:
            raise self._rest(op, error) from None
        if not isinstance(result, Failure):
            self._since = None
            return result
        if buys and result.left:
            raise outcome_unknown(result.error, op, repeatable=False)
        raise result.error

    def _full_for(self) -> float:
        """Seconds until another request may be sent; 0 when now."""
        if len(self._sent) < CALLS:
            return 0.0
        return min(max(self._sent[0] + WINDOW_S - self._clock(), 0.0), WINDOW_S)

    async def _room(self) -> None:
        """Wait until a request may be sent: an act of the user is not refused for the sake of our own limit."""
        if (wait := self._full_for()) > 0:
            await self._client.sleep(wait)

    def _rest(self, op: Op, error: ApiRetired | RateLimited) -> ProviderError:
        now = self._clock()
        told = error.retry_after if isinstance(error, RateLimited) else None
        self._since = now if self._since is None else self._since
        self._loss = Loss(self._since, now + max(REST_S, told or 0.0), error)
        return _lost(op, self._loss, now)

    def _read_balance(self, data: Mapping[str, Any]) -> Balance:
        me = data.get("myself")
        if not isinstance(me, dict):
            raise ValueError("it does not say who we are")
        held, spent, limit = (amount(me.get(key)) for key in ("clientBalance", "currentSpendPerHr", "spendLimit"))
        return Balance(held, spent if spent is None or spent >= 0 else None, limit, self._clock())


def _unpack(op: Op, raw: bytes, read: Callable[[Mapping[str, Any]], T], hide: Hiding) -> T:
    """What `read` makes of the data. Errors are thrown only when there are no usable data: those may tell of a pod.

    A create that was not clearly refused is no refusal: the pod may exist, and another must not be rented on top.
    """
    reply = decode(raw)
    if not isinstance(reply, dict):
        raise ValueError("it is no object")
    errors = [mapping(item) for item in items(reply.get("errors"))]
    try:
        return read(mapping(reply.get("data")))
    except ValueError:
        if not errors:
            raise
    said = [clean(hide(text(error.get("message")) or "an error without words")) for error in errors[:5]]
    codes = {mapping(error.get("extensions")).get("code") for error in errors}
    if codes & {"UNAUTHENTICATED", "FORBIDDEN"}:
        raise auth(op)
    if known := from_text(op, said):
        raise known
    if "INTERNAL_SERVER_ERROR" in codes or (op.name == "create" and not codes <= _REFUSED):
        raise not_understood(op, said[0], 200)
    raise RuleBroken(f"RunPod refused to {op.doing}: {said[0]}", op=op.name, status=200, detail=said[0])


def _created(data: Mapping[str, Any]) -> str:
    return identifier(mapping(data.get("podRentInterruptable")).get("id"))


def _resumed(data: Mapping[str, Any]) -> None:
    identifier(mapping(data.get("podBidResume")).get("id"))


def _started(data: Mapping[str, Any]) -> float | None:
    if "pod" not in data:
        raise ValueError("it says nothing of the pod")
    started = mapping(data["pod"]).get("lastStartedAt")
    if isinstance(started, str) and (match := _GO_TIME.fullmatch(started)):
        started = "{}T{}{}".format(*match.groups())
    return when(started)


def _lost(op: Op, loss: Loss, now: float) -> ProviderError:
    """The loss as what the caller asked for ran into: "balance unknown since 14:05"."""
    since, until = (time.strftime("%H:%M", time.localtime(at)) for at in (loss.since, loss.until))
    what = "The balance is unknown" if op.name == "balance" else f"RunPod's older API cannot be asked to {op.doing}"
    if isinstance(loss.error, ApiRetired):
        return ApiRetired(
            f"{what} since {since}: RunPod took its older API out of service, update maxcai.",
            "Pods are not touched by this; RunPod's console shows the balance.",
            op=op.name,
            status=410,
        )
    return RateLimited(
        f"{what} since {since}: RunPod's older API takes no requests; it is asked again at {until}.",
        "Pods are not touched by this; RunPod's console shows the balance.",
        retry_after=max(0.0, loss.until - now),
        op=op.name,
    )


def _full(op: Op, wait: float) -> RateLimited:
    return RateLimited(
        f"RunPod's older API is asked at most {CALLS} times a minute; not now to {op.doing}.",
        "Wait a minute, then try again.",
        retry_after=wait,
        op=op.name,
    )

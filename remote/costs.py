"""The ledger: one row per pod session, what it cost so far and in all, by our own clock.

Money is Decimal USD and never rounded here. A price that is not known makes a cost that is not known (None), never 0.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from remote.files import append_json, read_json_lines, unreadable
from remote.pods.model import Pod, PodSession, PodStatus

_HOUR = Decimal(3600)


@dataclass(frozen=True, slots=True)
class Row:
    """One pod session. Times are unix seconds; `price` is USD/hour, None when the provider did not say.

    `stopped_at` is None while it accrues. `why` tells how the end was learned, and says so when its time is an upper
    bound. `missing_at` is when the provider first listed the pod no more, a single such reading being no proof.
    """

    session: PodSession
    provider: str
    name: str
    gpu: str | None
    gpu_count: int | None
    price: Decimal | None
    stopped_at: float | None = None
    why: str | None = None
    missing_at: float | None = None

    @property
    def open(self) -> bool:
        """True while the session accrues."""
        return self.stopped_at is None

    def seconds(self, now: float) -> Decimal:
        """Length of the session in seconds, until `now` while it is open; never negative."""
        until = now if self.stopped_at is None else self.stopped_at
        return max(Decimal(0), Decimal(repr(until)) - Decimal(repr(self.session.started_at)))

    def cost(self, now: float) -> Decimal | None:
        """USD until `now`, or in all once closed. None when the price is unknown."""
        return None if self.price is None else self.price * self.seconds(now) / _HOUR


class Ledger:
    """`ledger.jsonl` of one state directory: append-only, mode 0600; safe between processes."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "ledger.jsonl"

    def rows(self) -> list[Row]:
        """Every pod session known, oldest first."""
        return list(self._load()[0].values())

    def damaged(self) -> int:
        """How many lines cannot be understood any more: what they said of money is not known."""
        return self._load()[1]

    def _load(self) -> tuple[dict[str, Row], int]:
        rows: dict[str, Row] = {}
        damaged = len(unreadable(self._path))
        for line in read_json_lines(self._path):
            try:
                row = _fold(rows.get(str(line.get("row"))), line)
            except (KeyError, TypeError, ValueError, ArithmeticError):
                damaged += 1
                continue
            rows[row.session.key] = row
        return rows, damaged

    def open(self, pod: Pod) -> Row | None:
        """Begin the row of the pod's present session. Idempotent. None when the pod was never started."""
        session = pod.session
        if session is None:
            return None
        if row := self._row(session):
            return row
        price = None if pod.price_per_hour is None else str(pod.price_per_hour)
        facts = {"provider": pod.provider, "name": pod.name, "gpu": pod.gpu, "gpu_count": pod.gpu_count, "price": price}
        self._write("open", session, pod=session.pod_id, started_at=session.started_at, **facts)
        return self._row(session)

    def close(self, session: PodSession, stopped_at: float, why: str) -> None:
        """End a row at `stopped_at` (unix seconds). The first end counts; later ones change nothing."""
        row = self._row(session)
        if row is not None and row.open:
            self._write("close", session, stopped_at=max(stopped_at, session.started_at), why=why, basis="local clock")

    def session_cost(self, pod: Pod, now: float) -> Decimal | None:
        """USD of the pod's present (or last) session until `now`. None when it has no row or no known price."""
        row = self._row(pod.session) if pod.session else None
        return None if row is None else row.cost(now)

    def total(self, now: float) -> Decimal | None:
        """USD of all sessions until `now`. None as soon as a part of it is unknown: see `known_total`."""
        known, unknown = self.known_total(now)
        return None if unknown else known

    def known_total(self, now: float) -> tuple[Decimal, int]:
        """The sum of the known costs, and how many it leaves out: sessions without a price, and damaged lines."""
        rows, damaged = self._load()
        costs = [row.cost(now) for row in rows.values()]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)), len(costs) - len(known) + damaged

    def reconcile(self, pods: Iterable[Pod], now: float, providers: Collection[str] = ()) -> list[Row]:
        """Bring the ledger in line with what the providers list now; returns the rows that were closed.

        `pods` is the complete list of every provider that occurs in it or is named in `providers`; rows of other
        providers are left alone. A running pod without a row gets one. A row is closed when its pod is stopped,
        runs a later session, or is missing from two readings. UNKNOWN closes nothing.
        """
        listed = {pod.id: pod for pod in pods}
        heard = {pod.provider for pod in listed.values()} | set(providers)
        closed = []
        for row in self.rows():
            if row.open and row.provider in heard and self._settle(row, listed.get(row.session.pod_id), now):
                closed.append(row.session.key)
        for pod in listed.values():
            if pod.session and not pod.status.over and pod.status is not PodStatus.UNKNOWN:
                self.open(pod)
        return [row for row in self.rows() if row.session.key in closed]

    def _settle(self, row: Row, pod: Pod | None, now: float) -> bool:
        if pod is None:
            return self._missing(row, now)
        if row.missing_at is not None:
            self._write("seen", row.session, at=now)
        if pod.status is PodStatus.UNKNOWN:
            return False
        ended = _end(row, pod, now)
        if ended:
            self.close(row.session, *ended)
        return ended is not None

    def _missing(self, row: Row, now: float) -> bool:
        if row.missing_at is None:
            self._write("missing", row.session, at=now)
            return False
        self.close(row.session, row.missing_at, "the provider lists the pod no more; end time is an upper bound")
        return True

    def _row(self, session: PodSession) -> Row | None:
        return next((row for row in self.rows() if row.session == session), None)

    def _write(self, event: str, session: PodSession, **facts: Any) -> None:
        append_json(self._path, {"v": 1, "event": event, "row": session.key, **facts})


def _end(row: Row, pod: Pod, now: float) -> tuple[float, str] | None:
    """When and why the row's session ended, by what the provider now says of its pod; None while it goes on."""
    started = row.session.started_at
    if pod.started_at == started:
        if not pod.status.over:
            return None
        if pod.stopped_at is not None and pod.stopped_at >= started:
            return pod.stopped_at, pod.detail or "stopped"
        return now, "stopped; end time is an upper bound"
    if pod.started_at is not None and pod.started_at > started:
        return pod.started_at, "started again since; end time is an upper bound"
    if pod.status.over:
        return now, "stopped; end time is an upper bound"
    return None


def _fold(before: Row | None, line: dict[str, Any]) -> Row:
    """The row after one more line. Raises KeyError, TypeError, ValueError or ArithmeticError when it makes no sense."""
    event = line["event"]
    if before is None:
        if event != "open":
            raise ValueError("the line that opened this row is lost")
        return _opened(line)
    if event == "close" and before.open:
        return replace(before, stopped_at=_finite(line["stopped_at"]), why=str(line["why"]))
    if event == "missing":
        return replace(before, missing_at=_finite(line["at"]))
    return replace(before, missing_at=None) if event == "seen" else before


def _opened(line: dict[str, Any]) -> Row:
    price, count = line["price"], line["gpu_count"]
    return Row(
        session=PodSession(str(line["pod"]), _finite(line["started_at"])),
        provider=str(line["provider"]),
        name=str(line["name"]),
        gpu=line["gpu"],
        gpu_count=None if count is None else int(count),
        price=None if price is None else _price(price),
    )


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no time")
    return number


def _price(value: Any) -> Decimal:
    price = Decimal(str(value))
    if not price.is_finite() or price < 0:
        raise ValueError(f"{price} is no price")
    return price

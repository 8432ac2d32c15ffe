"""The ledger: one row per pod session, what it cost by our own clock, and what was billed for it.

Money is Decimal USD and never rounded here. A price that is not known makes a cost that is not known (None), never 0.
Network volumes belong to no session: see `rules`. Fetching what was billed is `billing`'s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from remote.files import append_json, read_json_lines, unreadable
from remote.money.rules import disks_per_hour
from remote.pods.model import Pod, PodSession, PodStatus, VolumeKind

_HOUR = Decimal(3600)
_UPPER = "; end time is an upper bound"
_APART_S = 30.0  # seconds between two readings that must both lack a pod before it counts as gone
_MISTAKE_S = 60.0
"""Seconds after its end from which on a session that is still listed as running has not ended."""


class Billed(Struct, frozen=True):
    """What the provider billed for one session, USD. `final` once it cannot change any more."""

    compute: Decimal
    disk: Decimal
    final: bool

    @property
    def total(self) -> Decimal:
        """Both."""
        return self.compute + self.disk


class Row(Struct, frozen=True):
    """One pod session. Times are unix seconds; `price` is USD/hour, None when the provider did not say.

    `stopped_at` is None while it accrues. `why` tells how the end was learned; with `bound` the session ended then or
    earlier. `missing_at` is when the provider first listed the pod no more, a single such reading being no proof.
    `released_at` is when the stopped pod's own volume ceased to cost: at the next start or the pod's end. Sizes in GB.
    `began` is when the container started, from which on it is billed, and `logged` whether the provider's own log has
    been read for that and, once the row is closed, for the end: see `sessions`.
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
    bound: bool = False
    released_at: float | None = None
    disk_gb: int | None = None
    volume: VolumeKind | None = None
    volume_gb: int | None = None
    billed: Billed | None = None
    began: float | None = None
    logged: bool = False

    @property
    def open(self) -> bool:
        """True while the session accrues."""
        return self.stopped_at is None

    def seconds(self, now: float, since: float = 0.0) -> Decimal:
        """Seconds billed for, counted from `since`, until `now` while it is open; never negative.

        Until the container's start is known the session's own start counts, which is earlier.
        """
        return _overlap(self.began or self.session.started_at, self.stopped_at, since, now)

    def compute(self, now: float, since: float = 0.0) -> Decimal | None:
        """USD for the machine. None when the price is unknown."""
        return None if self.price is None else self.price * self.seconds(now, since) / _HOUR

    def disk(self, now: float, since: float = 0.0) -> Decimal | None:
        """USD for the pod's own disks while it ran. None when their sizes are unknown."""
        rate = disks_per_hour(self.provider, self.disk_gb, self.volume, self.volume_gb, running=True)
        return None if rate is None else rate * self.seconds(now, since) / _HOUR

    def cost(self, now: float, since: float = 0.0) -> Decimal | None:
        """USD of the session until `now` by our clock, or in all once closed. None when a part is unknown."""
        return _sum((self.compute(now, since), self.disk(now, since)))

    def best(self, now: float) -> Decimal | None:
        """What was billed, once that is final; until then our own figure."""
        return self.billed.total if self.billed is not None and self.billed.final else self.cost(now)

    def kept(self, now: float, since: float = 0.0) -> Decimal | None:
        """USD for the stopped pod's own volume since the session's end. None when its size is unknown."""
        if self.stopped_at is None:
            return Decimal(0)
        rate = disks_per_hour(self.provider, 0, self.volume, self.volume_gb, running=False)
        return None if rate is None else rate * _overlap(self.stopped_at, self.released_at, since, now) / _HOUR

    @property
    def keeps(self) -> bool:
        """True while what is left of the stopped pod costs, or may cost, money."""
        rate = disks_per_hour(self.provider, 0, self.volume, self.volume_gb, running=False)
        return not self.open and self.released_at is None and rate != 0


class Costs(Struct, frozen=True):
    """USD of every session: `local` by our clock, `billed` and the `difference` (billed − local) of those settled.

    `storage` is what stopped pods' own volumes cost. `unknown` counts the sessions and damaged lines that are left out
    of the sums; `estimated` says that a part is not billed yet.
    """

    local: Decimal
    storage: Decimal
    billed: Decimal
    difference: Decimal
    unknown: int
    estimated: bool


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

    # --- writing -----------------------------------------------------------------------------------------------------

    def open(self, pod: Pod) -> Row | None:
        """Begin the row of the pod's present session. Idempotent. None when the pod was never started.

        What the pod does not tell of its disks is taken from its earlier sessions; a price that was not known and is
        told now is noted.
        """
        session = pod.session
        if session is None:
            return None
        rows = self.rows()
        price = None if pod.price_per_hour is None else str(pod.price_per_hour)
        for row in rows:
            if row.session == session:
                if row.price is None and price is not None:
                    self._write("price", session, price=price)
                    return self._row(session)
                return row
        earlier = [row for row in rows if row.session.pod_id == pod.id and row.session < session]
        for row in earlier:
            if row.keeps:
                self._write("released", row.session, at=max(row.stopped_at or 0.0, session.started_at))
        facts = {"provider": pod.provider, "name": pod.name, "gpu": pod.gpu, "gpu_count": pod.gpu_count, "price": price}
        disks = _disks(pod, earlier[-1] if earlier else None)
        self._write("open", session, pod=session.pod_id, started_at=session.started_at, **facts, **disks)
        return self._row(session)

    def close(self, session: PodSession, stopped_at: float, why: str, *, bound: bool = False) -> None:
        """End a row at `stopped_at` (unix seconds). The first end counts; a later call changes nothing.

        `bound` says that it ended then or earlier. Such an end is replaced by an exact one, which must be earlier.
        """
        row = self._row(session)
        if row is None:
            return
        end = max(stopped_at, session.started_at)
        better = row.bound and not bound and row.stopped_at is not None and end < row.stopped_at
        if row.open or better:
            self._write("close", session, stopped_at=end, why=why, bound=bound, basis="local clock")

    def ended(self, pod_id: str, at: float, why: str, *, bound: bool = False) -> None:
        """End every open row of a pod, as `close` does."""
        for row in self.rows():
            if row.session.pod_id == pod_id and row.open:
                self.close(row.session, at, why, bound=bound)

    def logged(self, session: PodSession, began: float | None, ended: float | None) -> None:
        """What the provider's own log tells of a session: replaces what our clock said. None: it does not tell.

        To be called once the session runs and once more after its end.
        """
        row = self._row(session)
        if row is not None and not row.logged:
            self._write("logged", session, began=began, ended=None if row.open else ended)

    def gone(self, pod_id: str, at: float, why: str, *, bound: bool = False) -> None:
        """The pod exists no more since `at` (unix seconds): end its open rows, and what its stopped disk costs."""
        self.ended(pod_id, at, why, bound=bound)
        for row in self.rows():
            if row.session.pod_id == pod_id and row.keeps:
                self._write("released", row.session, at=max(row.stopped_at or 0.0, at))

    def note_billed(self, session: PodSession, billed: Billed) -> None:
        """Put what was billed beside the row. Writes nothing that is known already."""
        row = self._row(session)
        if row is not None and row.billed != billed:
            amounts = {"compute": str(billed.compute), "disk": str(billed.disk), "final": billed.final}
            self._write("billed", session, **amounts)

    # --- reading -----------------------------------------------------------------------------------------------------

    def session_cost(self, pod: Pod, now: float) -> Decimal | None:
        """USD of the pod's present (or last) session until `now`. None when it has no row or a part is unknown."""
        row = self._row(pod.session) if pod.session else None
        return None if row is None else row.best(now)

    def total(self, now: float) -> Decimal | None:
        """USD of all sessions and stopped disks until `now`. None as soon as a part is unknown: see `known_total`."""
        known, unknown = self.known_total(now)
        return None if unknown else known

    def known_total(self, now: float) -> tuple[Decimal, int]:
        """The sum of the known costs, and how many it leaves out: sessions without a price, and damaged lines."""
        rows, damaged = self._load()
        costs = [_sum((row.best(now), row.kept(now))) for row in rows.values()]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Decimal(0)), len(costs) - len(known) + damaged

    def spent(self, since: float, now: float, pod_id: str | None = None) -> Decimal | None:
        """USD by our clock from `since` (unix seconds) until now, of one pod or of all. None when a part is unknown."""
        rows, damaged = self._load()
        chosen = [row for row in rows.values() if pod_id in (None, row.session.pod_id)]
        parts = [part for row in chosen for part in (row.cost(now, since), row.kept(now, since))]
        return None if damaged else _sum(parts)

    def costs(self, now: float) -> Costs:
        """The account as of `now`."""
        rows, damaged = self._load()
        local = [(row, cost) for row in rows.values() if (cost := row.cost(now)) is not None]
        kept = [cost for row in rows.values() if (cost := row.kept(now)) is not None]
        settled = [(row.billed.total, cost) for row, cost in local if row.billed is not None and row.billed.final]
        known = sum(row.cost(now) is not None and row.kept(now) is not None for row in rows.values())
        return Costs(
            local=sum((cost for _, cost in local), Decimal(0)),
            storage=sum(kept, Decimal(0)),
            billed=sum((billed for billed, _ in settled), Decimal(0)),
            difference=sum((billed - cost for billed, cost in settled), Decimal(0)),
            unknown=len(rows) - known + damaged,
            estimated=len(settled) < len(rows),
        )

    # --- reconciling -------------------------------------------------------------------------------------------------

    def reconcile(self, pods: Iterable[Pod], now: float, providers: Collection[str] = ()) -> list[Row]:
        """Bring the ledger in line with what the providers list now; returns the rows that were closed.

        `pods` is the complete list of every provider that occurs in it or is named in `providers`; rows of others are
        left alone. A running pod without a row gets one. A row is closed when its pod is stopped, runs a later session,
        or is missing from two readings half a minute apart (undone once it is listed again). UNKNOWN closes nothing.
        """
        listed = {pod.id: pod for pod in pods}
        heard = {pod.provider for pod in listed.values()} | set(providers)
        closed = []
        self._found_again(listed)
        for row in self.rows():
            due = (row.open or row.keeps) and row.provider in heard
            if due and self._settle(row, listed.get(row.session.pod_id), now):
                closed.append(row.session.key)
        for pod in listed.values():
            if pod.session and not pod.status.over and pod.status is not PodStatus.UNKNOWN:
                self._runs(pod, now)
        return [row for row in self.rows() if row.session.key in closed]

    def _settle(self, row: Row, pod: Pod | None, now: float) -> bool:
        """Whether the row was closed."""
        if pod is None:
            return self._missing(row, now)
        if row.missing_at is not None:
            self._write("seen", row.session, at=now)
        if pod.status is PodStatus.GONE:
            self.gone(pod.id, now, "the provider says that the pod is gone" + _UPPER, bound=True)
            return row.open
        if pod.status is PodStatus.UNKNOWN or not row.open:
            return False
        ended = _end(row, pod, now)
        if ended:
            at, why, exact = ended
            self.close(row.session, at, why if exact else why + _UPPER, bound=not exact)
        return ended is not None

    def _runs(self, pod: Pod, now: float) -> None:
        """A running pod has an open row; one that was closed by mistake goes on."""
        row = self.open(pod)
        if row is not None and row.stopped_at is not None and (row.bound or now - row.stopped_at > _MISTAKE_S):
            self._write("reopened", row.session, at=now)

    def _found_again(self, listed: Mapping[str, Pod]) -> None:
        """Undo the end of rows whose pods were missing, as from lists read with another account's key."""
        for row in self.rows():
            pod = listed.get(row.session.pod_id)
            undone = row.missing_at is not None and row.released_at is not None
            if undone and pod is not None and pod.status is not PodStatus.GONE:
                ended = row.bound and row.stopped_at == row.missing_at  # the missing pod's session was ended, too
                self._write("reopened" if ended else "kept", row.session)

    def _missing(self, row: Row, now: float) -> bool:
        if row.missing_at is None:
            self._write("missing", row.session, at=now)
        if row.missing_at is None or now - row.missing_at < _APART_S:
            return False
        if row.open:
            why = "the provider lists the pod no more" + _UPPER
            self.close(row.session, row.missing_at, why, bound=True)
        self._write("released", row.session, at=max(row.missing_at, row.stopped_at or row.missing_at))
        return row.open

    def _row(self, session: PodSession) -> Row | None:
        return next((row for row in self.rows() if row.session == session), None)

    def _write(self, event: str, session: PodSession, **facts: Any) -> None:
        append_json(self._path, {"v": 1, "event": event, "row": session.key, **facts})


def _end(row: Row, pod: Pod, now: float) -> tuple[float, str, bool] | None:
    """When and why the row's session ended, and whether that time is exact; None while it goes on."""
    started = row.session.started_at
    if pod.started_at == started:
        if not pod.status.over:
            return None
        if pod.stopped_at is not None and pod.stopped_at >= started:
            return pod.stopped_at, pod.detail or "stopped", True
        return now, "stopped", False
    if pod.started_at is not None and pod.started_at > started:
        return pod.started_at, "started again since", False
    if pod.status.over:
        return now, "stopped", False
    return None


def _overlap(start: float, end: float | None, since: float, until: float) -> Decimal:
    """Seconds after `since` of the stretch from `start` to `end`, or until `until` while it goes on (None)."""
    last = until if end is None else end
    return max(Decimal(0), Decimal(repr(float(last))) - Decimal(repr(float(max(start, since)))))


def _sum(parts: Sequence[Decimal | None]) -> Decimal | None:
    """The sum; None as soon as one part is unknown."""
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if len(known) == len(parts) else None


def _disks(pod: Pod, earlier: Row | None) -> dict[str, Any]:
    """What is known of a pod's disks, for the line that opens its row."""
    volume, size, disk = pod.volume, pod.volume_gb, pod.disk_gb
    if earlier is not None:
        volume = earlier.volume if volume is None else volume
        size = earlier.volume_gb if size is None else size
        disk = earlier.disk_gb if disk is None else disk
    return {"disk_gb": disk, "volume": None if volume is None else volume.value, "volume_gb": size}


def _fold(before: Row | None, line: dict[str, Any]) -> Row:
    """The row after one more line. Raises KeyError, TypeError, ValueError or ArithmeticError when it makes no sense."""
    event = line["event"]
    if before is None:
        if event != "open":
            raise ValueError("the line that opened this row is lost")
        return _opened(line)
    if event == "close" and (before.open or before.bound):
        end = _finite(line["stopped_at"])
        return replace(before, stopped_at=end, why=str(line["why"]), bound=bool(line.get("bound")), logged=False)
    if event == "missing":
        return replace(before, missing_at=_finite(line["at"]))
    if event == "seen":
        return replace(before, missing_at=None)
    if event == "reopened":
        return replace(
            before, stopped_at=None, why=None, bound=False, missing_at=None, released_at=None, logged=False, billed=None
        )
    if event == "released" and before.released_at is None:
        return replace(before, released_at=_finite(line["at"]))
    if event == "kept":
        return replace(before, missing_at=None, released_at=None)
    if event == "price" and before.price is None:
        return replace(before, price=_money(line["price"]))
    if event == "logged":
        return _logged(before, line)
    if event == "billed":
        return replace(before, billed=Billed(_money(line["compute"]), _money(line["disk"]), line.get("final") is True))
    return before


def _logged(before: Row, line: dict[str, Any]) -> Row:
    began = before.began if line["began"] is None else max(_finite(line["began"]), before.session.started_at)
    row = replace(before, began=began, logged=True)
    if line["ended"] is None or before.open:
        return row
    return replace(row, stopped_at=max(_finite(line["ended"]), began or before.session.started_at), bound=False)


def _opened(line: dict[str, Any]) -> Row:
    price, volume = line["price"], line.get("volume")
    return Row(
        session=PodSession(str(line["pod"]), _finite(line["started_at"])),
        provider=str(line["provider"]),
        name=str(line["name"]),
        gpu=line["gpu"],
        gpu_count=_count(line["gpu_count"]),
        price=None if price is None else _money(price),
        disk_gb=_count(line.get("disk_gb")),
        volume=None if volume is None else VolumeKind(volume),
        volume_gb=_count(line.get("volume_gb")),
    )


def _count(value: Any) -> int | None:
    if value is None:
        return None
    count = int(value)
    if count < 0:
        raise ValueError(f"{count} is no count")
    return count


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is no time")
    return number


def _money(value: Any) -> Decimal:
    amount = Decimal(str(value))
    if not amount.is_finite() or amount < 0:
        raise ValueError(f"{amount} is no price")
    return amount

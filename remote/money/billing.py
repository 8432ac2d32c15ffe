"""What the provider billed, laid beside the ledger's rows: whose session each amount belongs to, and what fits none.

Billing comes in buckets of an hour a pod; a bucket with several sessions is divided by the seconds each has in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from remote.money.costs import Billed, Ledger, Row
from remote.money.rules import disks_per_hour
from remote.pods.model import BillingRecord, PodSession
from remote.pods.provider import Capability, Provider

SETTLED_S = 900.0
"""Seconds after a session's end by which it is billed in full: RunPod's billing runs every five minutes."""

_BUCKET_S = 3600.0
_CRUMB = Decimal("1e-12")  # what rounding leaves of an amount that was given out
_WINDOW_S = 30 * 86400.0


class Attribution(Struct, frozen=True):
    """Amounts by session. `stray` is what was billed for times in which no session is known: a row may be missing.

    `storage` is USD billed for the disks of stopped pods. `unread` counts records without an amount.
    """

    sessions: dict[PodSession, Billed]
    storage: Decimal
    stray: tuple[BillingRecord, ...]
    unread: int


def attribute(rows: Sequence[Row], records: Iterable[BillingRecord], now: float) -> Attribution:
    """Whose money each record is. `now` (unix seconds) is when the records were read."""
    compute: dict[PodSession, Decimal] = {}
    disks: dict[PodSession, Decimal] = {}
    storage, stray, unread = Decimal(0), [], 0
    for record in records:
        parts = _parts(record)
        if parts is None:
            unread += 1
            continue
        theirs = [row for row in rows if row.session.pod_id == record.pod_id]
        machine, disk = parts
        for row, share in _shares([(row, _within(row, record, now)) for row in theirs], machine):
            compute[row.session] = compute.get(row.session, Decimal(0)) + share
            machine -= share
        running, stopped = _disk_shares(theirs, record, disk, now)
        for row, share in running:
            disks[row.session] = disks.get(row.session, Decimal(0)) + share
            disk -= share
        storage, disk = storage + stopped, disk - stopped
        if max(machine, disk) > _CRUMB:
            stray.append(replace(record, total=machine + disk, gpu=machine, cpu=Decimal(0), disk=disk))
    found = {
        row.session: Billed(compute.get(row.session, Decimal(0)), disks.get(row.session, Decimal(0)), _final(row, now))
        for row in rows
        if row.session in compute or row.session in disks
    }
    return Attribution(found, storage, tuple(stray), unread)


async def reconcile(provider: Provider, state_dir: Path, clock: Callable[[], float]) -> Attribution | None:
    """Read what was billed for the sessions not settled yet, and note it in the ledger. None where nobody tells.

    Raises what the provider raises.
    """
    ledger = Ledger(state_dir)
    rows = [row for row in ledger.rows() if row.provider == provider.name]
    waiting = [row for row in rows if row.billed is None or not row.billed.final]
    if Capability.BILLING not in provider.capabilities or not waiting:
        return None
    now = clock()
    first = max(min(row.session.started_at for row in waiting), now - _WINDOW_S)
    start = first // _BUCKET_S * _BUCKET_S
    found = attribute(rows, await provider.billing(start, (now // _BUCKET_S + 1) * _BUCKET_S), now)
    for row in waiting:
        billed = found.sessions.get(row.session)
        if billed is not None and row.session.started_at >= start:
            ledger.note_billed(row.session, billed)
    return found


def _parts(record: BillingRecord) -> tuple[Decimal, Decimal] | None:
    """(machine, disks) of a record, None when it says no amount."""
    if record.gpu is None and record.cpu is None:
        return None if record.total is None else (record.total - (record.disk or Decimal(0)), record.disk or Decimal(0))
    machine = (record.gpu or Decimal(0)) + (record.cpu or Decimal(0))
    if record.disk is None:
        return machine, max(Decimal(0), (record.total or machine) - machine)
    return machine, record.disk


def _within(row: Row, record: BillingRecord, now: float) -> Decimal:
    """Seconds of the session in the bucket."""
    end = min(record.end, now if row.stopped_at is None else row.stopped_at)
    return max(Decimal(0), Decimal(repr(end)) - Decimal(repr(max(record.start, row.began or row.session.started_at))))


def _kept_within(row: Row, record: BillingRecord, now: float) -> Decimal:
    """Seconds in the bucket during which the stopped pod's own volume was kept."""
    if row.stopped_at is None:
        return Decimal(0)
    end = min(record.end, now if row.released_at is None else row.released_at)
    return max(Decimal(0), Decimal(repr(end)) - Decimal(repr(max(record.start, row.stopped_at))))


def _shares(weights: list[tuple[Row, Decimal]], amount: Decimal) -> list[tuple[Row, Decimal]]:
    """The amount divided by weight; the last one takes what rounding leaves, so that the parts make the whole."""
    total = sum((weight for _, weight in weights), Decimal(0))
    heavy = [(row, weight) for row, weight in weights if weight > 0]
    shares = [(row, amount * weight / total) for row, weight in heavy[:-1]]
    if heavy:
        shares.append((heavy[-1][0], amount - sum((share for _, share in shares), Decimal(0))))
    return shares


def _disk_shares(
    rows: list[Row], record: BillingRecord, disk: Decimal, now: float
) -> tuple[list[tuple[Row, Decimal]], Decimal]:
    """What of a bucket's disk amount belongs to sessions, and what to stopped pods."""
    running = [(row, _within(row, record, now) * (_rate(row, running=True) or 1)) for row in rows]
    stopped = [(row, _kept_within(row, record, now) * (_rate(row, running=False) or 0)) for row in rows]
    shares = _shares(running + stopped, disk)
    count = sum(weight > 0 for _, weight in running)
    return shares[:count], sum((share for _, share in shares[count:]), Decimal(0))


def _rate(row: Row, *, running: bool) -> Decimal | None:
    return disks_per_hour(row.provider, row.disk_gb, row.volume, row.volume_gb, running=running)


def _final(row: Row, now: float) -> bool:
    return row.stopped_at is not None and now >= row.stopped_at + SETTLED_S

"""What RunPod's own library does not tell and we can know: when pod sessions began, and what our pods were made with.

A session is told apart by its SSH address. Its beginning is, in this order: when we started it, when RunPod's remark
says that it was started, when it was first seen. Kept in `runpod-sdk.json` of the state directory.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import asdict, replace

from remote.errors import RemoteError
from remote.files import locked, reading, write_atomic
from remote.pods.model import Cloud, Pod, PodSpec, PodStatus, VolumeKind
from remote.pods.runpod.decode import mapping, text, whole
from remote.pods.runpod.sdk_wire import Reading

_KEPT = 300  # pods remembered
_SLACK_S = 60.0  # a remark this much later than a known start speaks of another start
_LEAST_S = 0.001  # between the beginnings of two sessions
_SEEN = "its start is not told: time and cost count from when it was first seen"


class Session(Struct, frozen=True):
    """A pod's latest session. Times are unix seconds.

    `seen` is True when the beginning is only when it was first seen, so that it may have cost before. `address` is
    "host:port" once it has one; `over` is True once the pod was read as stopped; `stopped_at` is when our stop was
    acknowledged.
    """

    started_at: float
    seen: bool = False
    address: str | None = None
    over: bool = False
    stopped_at: float | None = None


class Made(Struct, frozen=True):
    """What a pod of ours was asked to be, by its name, which is unique. None of it can change later."""

    gpu: str | None
    gpu_count: int
    volume: VolumeKind
    volume_id: str | None
    data_center: str | None
    cloud: Cloud


class Book(Struct, frozen=True):
    """Everything noted: sessions by pod id, makings by pod name."""

    sessions: Mapping[str, Session] = field(default_factory=dict)
    made: Mapping[str, Made] = field(default_factory=dict)


class Notes:
    """The notes of one state directory; safe between processes. `clock` gives unix seconds.

    Writing them never keeps a pod from being read or stopped: while they cannot be written they are kept in memory.
    """

    def __init__(self, state_dir: Path, clock: Callable[[], float]) -> None:
        self._path = state_dir / "runpod-sdk.json"
        self._lock = state_dir / "runpod-sdk.lock"
        self._clock = clock
        self._unsaved: Book | None = None

    async def complete(self, readings: Iterable[Reading]) -> list[Pod]:
        """The pods as read, with their sessions and what else is known of them."""
        readings = list(readings)
        now = self._clock()

        def observed(book: Book) -> Book:
            sessions = dict(book.sessions)
            for item in readings:
                before = sessions.get(item.pod.id)
                if (session := follow(before, item, now)) is not None and session != before:
                    sessions.pop(item.pod.id, None)  # the latest to change come last: they are kept longest
                    sessions[item.pod.id] = session
            return replace(book, sessions=sessions)

        book = await self._change(observed)
        return [_completed(item.pod, book) for item in readings]

    async def planned(self, name: str, spec: PodSpec, data_center: str | None) -> None:
        """Note what the pod `name` is asked to be, before it is asked for."""
        kind = VolumeKind.NETWORK if spec.volume_id else VolumeKind.PERSISTENT if spec.volume_gb else VolumeKind.NONE
        made = Made(spec.gpu, spec.gpu_count, kind, spec.volume_id, data_center, spec.cloud)
        await self._change(lambda book: replace(book, made={**book.made, name: made}))

    def asked(self, name: str) -> Made | None:
        """What the pod of this name was made with, if it was made here."""
        return self._read().made.get(name)

    async def started(self, pod_id: str) -> float:
        """Note that the pod was started by us just now; returns the session's beginning, unix seconds."""
        now = self._clock()

        def fresh(book: Book) -> Book:
            before = book.sessions.get(pod_id)
            if before and not before.over and abs(now - before.started_at) < _SLACK_S:  # another process saw it first
                session = replace(before, seen=False, stopped_at=None)
            else:
                session = Session(now if before is None else max(now, before.started_at + _LEAST_S))
            return replace(book, sessions={**book.sessions, pod_id: session})

        return (await self._change(fresh)).sessions[pod_id].started_at

    async def stopped(self, pod_id: str) -> None:
        """Note that RunPod acknowledged our stop of the pod just now."""
        now = self._clock()

        def ended(book: Book) -> Book:
            before = book.sessions.get(pod_id)
            if before is None or before.stopped_at is not None:
                return book
            return replace(book, sessions={**book.sessions, pod_id: replace(before, stopped_at=now)})

        await self._change(ended)

    async def _change(self, change: Callable[[Book], Book]) -> Book:
        """The book after `change`, which is written down when it changed something."""
        before = self._read()
        if change(before) == before:
            return before
        try:
            async with locked(self._lock, "noting pod sessions"):
                book = change(self._read())
                data = {"v": 1, "sessions": _rows(book.sessions), "made": _rows(book.made)}
                write_atomic(self._path, json.dumps(data, indent=1).encode())
                self._unsaved = None
        except RemoteError:
            book = self._unsaved = change(before)
        return book

    def _read(self) -> Book:
        if self._unsaved is not None:
            return self._unsaved
        try:
            with reading(self._path):
                data = json.loads(self._path.read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return Book()  # without it every session counts as first seen, which is said
        return _parse(data)


def follow(before: Session | None, item: Reading, now: float) -> Session | None:
    """The pod's latest session after one more reading at `now`; None when it has had none. Pure.

    A pod that has an address and then another one, or none, was started in between: host keys and agent are others.
    """
    pod = item.pod
    if pod.status is PodStatus.STOPPED:
        return None if before is None else replace(before, over=True)
    if pod.status in (PodStatus.STOPPING, PodStatus.GONE, PodStatus.UNKNOWN):
        return before
    address = f"{pod.endpoint.host}:{pod.endpoint.port}" if pod.endpoint else None
    told = None if item.told is None else min(item.told, now)
    if before is None:
        return Session(now if told is None else told, seen=told is None, address=address)
    moved = before.address is not None and address != before.address
    again = told is not None and told > before.started_at + _SLACK_S
    if not (before.over or moved or again):
        return replace(before, address=address)
    earliest = before.started_at + _LEAST_S
    if told is not None and told > before.started_at:
        return Session(max(told, earliest), address=address)
    return Session(max(now, earliest), seen=True, address=address)


def _completed(pod: Pod, book: Book) -> Pod:
    session, made = book.sessions.get(pod.id), book.made.get(pod.name)
    if session is not None:
        remark = _SEEN if session.seen and not pod.status.over else None
        detail = "; ".join(part for part in (pod.detail, remark) if part) or None
        pod = replace(pod, started_at=session.started_at, stopped_at=session.stopped_at, detail=detail)
    if made is not None:
        pod = replace(
            pod, gpu=made.gpu, volume=made.volume, volume_id=made.volume_id, data_center=made.data_center,
            cloud=made.cloud,
        )  # fmt: skip
    return pod


def _parse(data: Any) -> Book:
    """The book in a file. What a row does not tell in the form that it must have is left out."""
    book = mapping(data)
    sessions = {pod_id: _session(row) for pod_id, row in mapping(book.get("sessions")).items()}
    made = {name: _made(row) for name, row in mapping(book.get("made")).items()}
    return Book(
        {pod_id: session for pod_id, session in sessions.items() if session is not None},
        {name: row for name, row in made.items() if row is not None},
    )


def _session(row: Any) -> Session | None:
    data = mapping(row)
    started_at, stopped_at, address = data.get("started_at"), data.get("stopped_at"), text(data.get("address"))
    if not isinstance(started_at, float):
        return None
    stopped_at = stopped_at if isinstance(stopped_at, float) else None
    return Session(started_at, data.get("seen") is True, address, data.get("over") is True, stopped_at)


def _made(row: Any) -> Made | None:
    data = mapping(row)
    try:
        kind, cloud = VolumeKind(str(data.get("volume"))), Cloud(str(data.get("cloud")))
    except ValueError:
        return None
    count = whole(data.get("gpu_count"), 1)
    if count is None:
        return None
    return Made(text(data.get("gpu")), count, kind, text(data.get("volume_id")), text(data.get("data_center")), cloud)


def _rows(items: Mapping[str, Any]) -> dict[str, Any]:
    return {key: asdict(item) for key, item in list(items.items())[-_KEPT:]}

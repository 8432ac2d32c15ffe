"""The only writer of `events.jsonl`: one write a line, numbered without a gap over restarts, never shrinking."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline.protocol import DURABLE_KINDS, Event, parse_line

PROGRESS_INTERVAL_S = 1.0


def iso(seconds: float) -> str:
    """Unix seconds as `2026-01-31T12:00:00.123Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix(text: str) -> float:
    """The inverse of `iso`."""
    return datetime.fromisoformat(text).timestamp()


class EventWriter:
    """Appends events to one file. `clock` gives unix seconds. Raises OSError when the disk is full; the torn line it
    may leave is closed by the next write."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._clock = path, clock
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._seq, self._torn = _last(self._fd)
        self._written_at: dict[str, float] = {}
        self._pending: dict[str, Mapping[str, Any]] = {}
        if self._torn:
            text = "the last event was cut short when the writer died; it was closed and the run goes on"
            self.emit("warning", code="torn-event", text=text, remedy="none needed")

    @property
    def seq(self) -> int:
        """Number of the last event; -1 before the first."""
        return self._seq

    def emit(self, kind: str, **fields: Any) -> Event:
        """Write one event now; before it, the progress of its step that was held back."""
        step = fields.get("step")
        if isinstance(step, str):
            self.flush(step)
        return self._write(kind, fields)

    def progress(self, step: str, **fields: Any) -> None:
        """A `progress` event, at most one a second for a step; the last one is always written (see `flush`)."""
        now = self._clock()
        complete = fields.get("done") == fields.get("total")
        if complete or now - self._written_at.get(step, float("-inf")) >= PROGRESS_INTERVAL_S:
            self._pending.pop(step, None)
            self._written_at[step] = now
            self._write("progress", {"step": step, **fields})
        else:
            self._pending[step] = fields

    def tick(self) -> None:
        """Write held-back progress whose second is over."""
        for step in [s for s in self._pending if self._clock() - self._written_at[s] >= PROGRESS_INTERVAL_S]:
            self.flush(step)

    def flush(self, step: str) -> None:
        fields = self._pending.pop(step, None)
        if fields is not None:
            self._written_at[step] = self._clock()
            self._write("progress", {"step": step, **fields})

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, kind: str, fields: Mapping[str, Any]) -> Event:
        event = Event(self._seq + 1, iso(self._clock()), kind, fields)
        data = (b"\n" if self._torn else b"") + event.to_line()
        self._torn = True
        written = os.write(self._fd, data)
        while written < len(data):
            written += os.write(self._fd, data[written:])
        self._torn, self._seq = False, event.seq
        if kind in DURABLE_KINDS:
            os.fsync(self._fd)
        return event


def _last(fd: int) -> tuple[int, bool]:
    """Highest number in the file (-1 for none) and whether its last line lacks its end. Reads from the back."""
    size = os.fstat(fd).st_size
    length = 1 << 16
    while True:
        start = max(0, size - length)
        tail = os.pread(fd, size - start, start)
        lines = tail.split(b"\n")
        torn = bool(lines[-1])
        known = [e.seq for e in map(parse_line, lines[0 if start == 0 else 1 :]) if e is not None]
        if known or start == 0:
            return max(known, default=-1), torn
        length *= 4

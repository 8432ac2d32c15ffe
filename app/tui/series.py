"""Histories of a run's metrics, read from its followed `events.jsonl`, for sparklines.

The state carries only the last value of a metric; the file has them all. Bounded: a full series halves its resolution.
"""

from __future__ import annotations

import math
from pathlib import Path

from app.fold import follows
from pipeline.protocol import parse_line

TOKENS = "tokens/s"
"""Key of the tokens per second that heartbeats tell; no step has this name."""

KEEP = 512
"""Points kept of one series."""

STEP = 1024 * 1024
"""Bytes read in one go."""


class Series:
    """Metric → values in order. The key is `stage-1/sft loss`, as in `RunView.metrics`."""

    def __init__(self) -> None:
        self._path: Path | None = None
        self._inode: int | None = None
        self._restart()

    def _restart(self) -> None:
        self._offset = 0
        self._torn = b""
        self._values: dict[str, list[float]] = {}
        self._stride: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._seq = -1

    def values(self, key: str) -> tuple[float, ...]:
        """Values of one metric, oldest first; every n-th of a long history."""
        return tuple(self._values.get(key, ()))

    def keys(self) -> tuple[str, ...]:
        """Metrics seen so far, in order of first appearance."""
        return tuple(self._values)

    def advance(self, path: Path | None) -> bool:
        """Read what `path` has gained, at most `STEP` bytes; True if a series changed. Another file starts anew."""
        if path is None:
            return False
        try:
            found = path.stat()
            if path != self._path or found.st_ino != self._inode or found.st_size < self._offset:
                self._restart()
                self._path, self._inode = path, found.st_ino
            if found.st_size == self._offset:
                return False
            with path.open("rb") as file:
                file.seek(self._offset)
                chunk = file.read(STEP)
        except OSError:
            return False
        self._offset += len(chunk)
        return self.feed(chunk)

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes of the event stream."""
        *lines, self._torn = (self._torn + chunk).split(b"\n")
        taken = [self._take(line) for line in lines]
        return any(taken)

    def _take(self, line: bytes) -> bool:
        event = parse_line(line) if b'"metric"' in line or b'"heartbeat"' in line else None
        if event is None or event.kind not in ("metric", "heartbeat") or not follows(event.seq, self._seq):
            return False
        self._seq = event.seq
        beat = event.kind == "heartbeat"
        value = event.get("tokens_per_s" if beat else "value")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return False
        self._add(TOKENS if beat else f"{event.get('step')} {event.get('name')}", float(value))
        return True

    def _add(self, key: str, value: float) -> None:
        values, stride, seen = self._values.setdefault(key, []), self._stride.get(key, 1), self._seen.get(key, 0)
        self._seen[key] = seen + 1
        if seen % stride == 0:
            values.append(value)
        if len(values) > KEEP:
            del values[1::2]
            self._stride[key] = stride * 2

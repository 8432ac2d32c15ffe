"""Append-only part files: rows of a step survive a kill, each under its position and its own checksum.

The batch is the unit of work: a resumed step redoes every batch that is not `complete` as a whole, because the
composition of a batch changes the low bits of its results. What a row means is the step's business.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_atomic

Row = Mapping[str, Any]


class Journal:
    """One part file, open for appending. Opening verifies it and cuts a torn tail.

    A line whose checksum fails is passed over (its position counts as missing); every line that verifies is kept,
    also behind a damaged one. Of two lines with one position the later holds: it came from the batch that was redone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._rows, self.damaged = _load(self._fd)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, pos: int) -> bool:
        return pos in self._rows

    def row(self, pos: int) -> Row:
        """The committed row at `pos`; KeyError when there is none."""
        return self._rows[pos]

    def rows(self) -> list[Row]:
        """All committed rows in position order."""
        return [self._rows[pos] for pos in sorted(self._rows)]

    def by_position(self) -> dict[int, Row]:
        """All committed rows with their positions."""
        return dict(self._rows)

    def complete(self, positions: Iterable[int]) -> bool:
        """Whether a planned batch is committed as a whole and may be skipped."""
        return all(pos in self._rows for pos in positions)

    def append(self, rows: Iterable[tuple[int, Row]]) -> None:
        """Commit one batch: one write, one fsync. Raises OSError when the disk is full (nothing of it then counts:
        the torn tail is cut at once) and ValueError for a row JSON cannot hold, NaN included."""
        batch = [(pos, dict(row)) for pos, row in rows]
        data = b"".join(_line(pos, row) for pos, row in batch)
        end = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, data)
            while written < len(data):
                written += os.write(self._fd, data[written:])
            os.fsync(self._fd)
        except OSError:
            os.ftruncate(self._fd, end)
            raise
        self._rows.update(batch)

    def publish(self, final: Path, expected: int | None = None) -> int:
        """Write all rows in position order to `final` (JSON lines), atomically; returns how many.

        The part file stays until the step's DONE is written, so that a kill in between loses nothing.
        Raises ValueError unless positions 0 … expected-1 are all there (`expected` None: whatever there is).
        """
        if expected is not None:
            missing = [pos for pos in range(expected) if pos not in self._rows]
            if missing or len(self._rows) != expected:
                raise ValueError(f"{self.path}: {len(self._rows)} rows of {expected}; first missing: {missing[:3]}")
        write_atomic(final, b"".join(_dumps(row) + b"\n" for row in self.rows()))
        return len(self._rows)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _dumps(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _crc(pos: int, row: Row) -> int:
    return zlib.crc32(_dumps([pos, row]))


def _line(pos: int, row: Row) -> bytes:
    return _dumps({"pos": pos, "crc": _crc(pos, row), "row": row}) + b"\n"


def _parse(line: bytes) -> tuple[int, Row] | None:
    try:
        raw = json.loads(line)
        pos, crc, row = raw["pos"], raw["crc"], raw["row"]
        if type(pos) is not int or not isinstance(row, dict) or len(raw) != 3 or crc != _crc(pos, row):
            return None
    except (ValueError, KeyError, TypeError):
        return None
    return pos, row


def _load(fd: int) -> tuple[dict[int, Row], int]:
    """Rows that verify and the number of damaged lines; the unfinished last line is cut off the file."""
    with os.fdopen(os.dup(fd), "rb") as source:
        source.seek(0)
        data = source.read()
    end = data.rfind(b"\n") + 1
    damaged = int(end < len(data))
    if damaged:
        os.ftruncate(fd, end)
    rows: dict[int, Row] = {}
    for line in data[:end].splitlines():
        parsed = _parse(line)
        if parsed is None:
            damaged += 1
        else:
            rows[parsed[0]] = parsed[1]
    return rows, damaged

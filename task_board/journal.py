"""The journal of a board, `.maxcai/journal.jsonl`: one line a change, in full, and one when it ended or failed.

Lines that these commands do not write are passed over, so that a hand in the file stops nobody.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_board.edits import Edit

STATE = ".maxcai"


@dataclass(frozen=True, slots=True)
class Change:
    """One file: from where (None: it is made) to where (None: it is removed), and its edits. Paths are relative."""

    source: str | None
    target: str | None
    edits: tuple[Edit, ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the journal. `before` and `after` are the sha256 of each change's file."""

    seq: int
    t: str
    op: str
    changes: tuple[Change, ...]
    before: tuple[str | None, ...]
    after: tuple[str | None, ...]
    undoes: int | None = None


def last(home: Path) -> tuple[int, Entry | None, bool]:
    """Highest number, last entry, and whether its end is noted; cuts off a torn line, passes over what is no line."""
    path = home / STATE / "journal.jsonl"
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0, None, True
    chunk = 1 << 16
    with path.open("r+b") as file:
        while True:
            file.seek(max(0, size - chunk))
            lines = file.read(chunk).split(b"\n")
            later: set[int] = set()
            for text in reversed(lines[0 if chunk >= size else 1 : -1]):
                line = _line(text)
                if isinstance(line, Entry):
                    found: Entry | None = line
                    break
                later |= {number for name in ("done", "failed") if isinstance(number := line.get(name), int)}
            else:
                found = None
            if found is not None or chunk >= size:
                break
            chunk *= 4
        if lines[-1]:
            file.truncate(size - len(lines[-1]))
    if found is None:
        return max(later, default=0), None, True
    return max(later | {found.seq}), found, found.seq in later


def _line(text: bytes) -> Entry | dict[str, Any]:
    """One line of the journal; empty for anything that these commands do not write."""
    try:
        line = json.loads(text) if text.startswith(b"{") else {}
        return _decode(line) if "seq" in line else line
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def append(home: Path, line: dict[str, Any]) -> int:
    """Add the whole line or nothing of it; the journal's size before. Raises OSError."""
    data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
    with (home / STATE / "journal.jsonl").open("ab", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        try:
            if file.write(data) != len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            file.truncate(size)
            raise
    return size


def lines(home: Path) -> Iterator[Entry | dict[str, Any]]:
    """Every whole line, oldest first."""
    try:
        data = (home / STATE / "journal.jsonl").read_bytes()
    except FileNotFoundError:
        return
    for text in data.split(b"\n")[:-1]:
        yield _line(text)


def encode(entry: Entry) -> dict[str, Any]:
    """The line of an entry."""
    changes = [
        {
            "from": change.source, "to": change.target, "before": before, "after": after,
            "edits": [[edit.at, _text(edit.old), _text(edit.new)] for edit in change.edits],
        }
        for change, before, after in zip(entry.changes, entry.before, entry.after, strict=True)
    ]  # fmt: skip
    line = {"v": 1, "seq": entry.seq, "t": entry.t, "op": entry.op, "changes": changes}
    return line if entry.undoes is None else {**line, "undoes": entry.undoes}


def _decode(line: dict[str, Any]) -> Entry:
    changes = tuple(
        Change(c["from"], c["to"], tuple(Edit(at, _bytes(old), _bytes(new)) for at, old, new in c["edits"]))
        for c in line["changes"]
    )
    before, after = (tuple(c[name] for c in line["changes"]) for name in ("before", "after"))
    return Entry(int(line["seq"]), str(line["t"]), str(line["op"]), changes, before, after, line.get("undoes"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")

"""Tasks read before, kept between commands: files that did not change since are not read again.

Only a help: it lies with the user's other caches, never in the board, and without it everything is read anew. It counts
only when it is whole and the user's own: in a shared folder anybody could have laid it there. A row
counts as long as inode, size, time of modification and time of change of its file are what they were; a file changed
within `SETTLED_NS` of being read has no row, since a second change could leave all of them equal.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from task_board.task import Criteria, Task

Mark = tuple[int, int, int, int]
Cache = MutableMapping[str, tuple[Mark, Task]]
"""Path → (inode, size, modification and change time in ns) and the task read then."""

SETTLED_NS = 2_000_000_000
"""The coarsest clock of a file system in use, ns."""
WORTH = 200
"""Tasks: fewer are read as fast as their cache."""
_READERS = ("board", "document", "edits", "fields", "headers", "reading", "task")
"""Modules on which it depends how a file reads."""
BOARDS = 50
"""Boards whose caches are kept; the oldest go."""
LEFT_S = 3600.0
"""Age, seconds, at which a half-written cache is nobody's any more."""


def mark_of(state: os.stat_result) -> Mark | None:
    """What tells that a file changed; None while it is too fresh to tell."""
    if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) < SETTLED_NS:
        return None
    return (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


@contextlib.contextmanager
def kept(root: Path) -> Iterator[Cache]:
    """The cache of one board, as last written; written again when it changed. Never fails."""
    place = _place(root)
    found = _load(place) if place is not None else {}
    before = {path: mark for path, (mark, _) in found.items()}
    yield found
    if place is not None and len(found) >= WORTH and before != {path: mark for path, (mark, _) in found.items()}:
        _save(place, found)


def _place(root: Path) -> Path | None:
    """Its file: tasks hold paths as they were asked for, so both the folder and its spelling name it.

    None for a user without a home: "~" would be made in the folder one happens to be in.
    """
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if not os.path.isabs(base):
        return None
    spelled = f"{os.path.abspath(root)}\0{root}"
    return Path(base) / "maxcai" / "boards" / f"{hashlib.sha256(os.fsencode(spelled)).hexdigest()[:32]}.json"


def _reader() -> list[list[int]]:
    """Which code read the tasks: another version may read them otherwise."""
    here = os.path.dirname(__file__)
    states = (os.stat(os.path.join(here, f"{name}.py")) for name in _READERS)
    return [[state.st_size, state.st_mtime_ns] for state in states]


def _load(place: Path) -> dict[str, tuple[Mark, Task]]:
    try:
        with place.open("rb") as file:
            if os.fstat(file.fileno()).st_uid != os.geteuid():
                return {}
            digest, _, text = file.read().partition(b"\n")
        if digest.decode() != _digest(text):
            return {}
        data = json.loads(text)
        if data["reader"] != _reader():
            return {}
        return {path: (_mark(mark), _task(row)) for path, mark, row in data["rows"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _save(place: Path, rows: Cache) -> None:
    with contextlib.suppress(OSError, ValueError):
        packed = [[path, mark, _row(task)] for path, (mark, task) in rows.items()]
        text = json.dumps({"reader": _reader(), "rows": packed}, separators=(",", ":")).encode()
        place.parent.mkdir(parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=place.parent)
        try:
            with os.fdopen(number, "wb") as file:
                file.write(_digest(text).encode() + b"\n" + text)
            os.replace(name, place)
            for left in place.parent.glob(".*.tmp"):  # of processes that were killed right here
                if time.time() - left.stat().st_mtime > LEFT_S:
                    left.unlink(missing_ok=True)
            others = sorted(place.parent.glob("*.json"), key=lambda path: path.stat().st_mtime_ns)
            for old in others[:-BOARDS]:
                old.unlink(missing_ok=True)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _mark(values: list[int]) -> Mark:
    inode, size, modified, changed = map(int, values)
    return inode, size, modified, changed


def _row(task: Task) -> list[Any]:
    values = [getattr(task, name) for name in Task.__slots__]
    return [[value.open, value.done] if isinstance(value, Criteria) else value for value in values]


def _task(values: list[Any]) -> Task:
    given = dict(zip(Task.__slots__, values, strict=True))
    given["criteria"] = Criteria(*given["criteria"])
    given["depends_on"], given["problems"] = tuple(given["depends_on"]), tuple(given["problems"])
    return Task(**given)

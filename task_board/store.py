"""Changing files safely: one lock a board, a journal line before each change, atomic renames, undo.

A change is computed from bytes that were seen; if the file no longer holds them, nothing is written. The journal
(`.maxcai/journal.jsonl` beside the lanes) holds every change in full, so it replays to the same tree and can be undone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from task_board.edits import Edit, applied, stamp
from task_board.errors import BoardError, Conflict, Refused

STATE = ".maxcai"
WAIT_S = 20.0


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


@contextlib.contextmanager
def locked(home: Path, wait_s: float = WAIT_S) -> Iterator[None]:
    """The board is ours until the block ends; a change that a killed process left half done is finished first.

    Raises Refused when another process holds the lock for `wait_s` seconds.
    """
    with _writing(home / STATE):
        (home / STATE).mkdir(parents=True, exist_ok=True)
        lock = os.open(home / STATE / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        deadline = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refused(f"{home} is being changed by another process", "Try again in a moment.") from None
                time.sleep(0.005)
        _settle(home)
        yield
    finally:
        os.close(lock)


def commit(
    home: Path, op: str, changes: Sequence[Change], seen: Mapping[str, bytes], now: datetime, undoes: int | None = None
) -> Entry:
    """Carry out the changes, inside `locked`.

    Args:
        home: folder that the paths are relative to.
        op: the verb, for the journal.
        changes: what to do; all of them, or none when any cannot be done.
        seen: bytes of each source that the edits were computed from.
        now: time of the journal line.
        undoes: number of the entry that this one takes back.

    Raises:
        Conflict: a source has other bytes by now, is gone, or a target exists.
        Refused: a source is a link.
        BoardError: the file system said no.
    """
    before, after = [], []
    for change in changes:
        raw = b"" if change.source is None else _unchanged(home, change.source, seen[change.source])
        if change.target is not None and change.target != change.source and os.path.lexists(home / change.target):
            raise Conflict(f"{change.target} exists already", "Nothing was changed. Look at both files.")
        before.append(None if change.source is None else _sha(raw))
        after.append(None if change.target is None else _sha(applied(raw, change.edits)))
    entry = Entry(_last(home)[0] + 1, stamp(now), op, tuple(changes), tuple(before), tuple(after), undoes)
    _append(home, _encode(entry))
    made: list[Change] = []
    try:
        for change in changes:
            _perform(home, change, seen.get(change.source or "", b""))
            made.append(change)
    except OSError as error:
        _take_back(home, made, seen)
        _append(home, {"failed": entry.seq})
        raise BoardError(
            f"{home} cannot be written: {error.strerror}", "Mend its rights or free some space."
        ) from error
    except Conflict:
        _take_back(home, made, seen)
        _append(home, {"failed": entry.seq})
        raise
    _append(home, {"done": entry.seq})
    return entry


def entries(home: Path) -> list[Entry]:
    """Every change that was carried out, oldest first. A torn last line is left out."""
    found: dict[int, Entry] = {}
    for line in _lines(home):
        if "seq" in line:
            found[line["seq"]] = _decode(line)
        elif "failed" in line:
            found.pop(line["failed"], None)
    return list(found.values())


def replay(tree: Mapping[str, bytes], journal: Sequence[Entry]) -> dict[str, bytes]:
    """The files after all entries, from the files before the first. Raises ValueError when they do not fit."""
    files = dict(tree)
    for entry in journal:
        for change in entry.changes:
            if change.source is not None and change.source not in files:
                raise ValueError(f"entry {entry.seq}: {change.source} is not there")
            raw = applied(files.pop(change.source) if change.source is not None else b"", change.edits)
            if change.target is not None:
                files[change.target] = raw
    return files


def undoable(home: Path) -> Entry | None:
    """The newest change that is neither an undo nor undone."""
    journal = entries(home)
    gone = {entry.undoes for entry in journal if entry.undoes is not None}
    return next((e for e in reversed(journal) if e.undoes is None and e.seq not in gone), None)


def undo(home: Path, now: datetime) -> Entry | None:
    """Take the newest change back, inside `locked`; None when there is none.

    Raises Conflict when a file was changed since.
    """
    entry = undoable(home)
    if entry is None:
        return None
    changes, seen = [], {}
    for change, after in zip(reversed(entry.changes), reversed(entry.after), strict=True):
        if change.target is not None:
            try:
                raw = (home / change.target).read_bytes()
            except OSError:
                raise Conflict(f"{change.target} is no longer there", "Nothing was taken back.") from None
            if _sha(raw) != after:
                raise Conflict(f"{change.target} was changed since", "Nothing was taken back. Edit the file by hand.")
            seen[change.target] = raw
        edits = tuple(edit.inverse() for edit in reversed(change.edits))
        changes.append(Change(change.target, change.source, edits))
    return commit(home, "undo", changes, seen, now, undoes=entry.seq)


def _unchanged(home: Path, name: str, expected: bytes) -> bytes:
    path = home / name
    if path.is_symlink():
        raise Refused(f"{name} is a link, which is not followed", "Work on the file that it points to.")
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise Conflict(f"{name} is no longer there", "Somebody moved it: look at the list again.") from None
    except OSError as error:
        raise BoardError(f"{name} cannot be read: {error.strerror}", "Mend its rights.") from error
    if raw != expected:
        raise Conflict(f"{name} was changed by somebody else", "Nothing was written. Read it again, then repeat.")
    return raw


def _perform(home: Path, change: Change, raw: bytes) -> None:
    if change.target is None:
        assert change.source is not None
        (home / change.source).unlink()
        return
    target = home / change.target
    target.parent.mkdir(parents=True, exist_ok=True)
    if change.source is None:
        _make(target, applied(b"", change.edits))
        return
    source = home / change.source
    if change.edits:
        _rewrite(source, raw, applied(raw, change.edits))
    if source != target:
        if os.path.lexists(target):
            raise Conflict(f"{change.target} exists already", "Nothing was moved. Look at both files.")
        os.rename(source, target)


def _take_back(home: Path, made: Sequence[Change], seen: Mapping[str, bytes]) -> None:
    """Undo the first changes of an entry whose later one failed; a file changed since then stays as it is."""
    for change in reversed(made):
        raw = applied(seen.get(change.source or "", b""), change.edits)
        inverse = Change(change.target, change.source, tuple(edit.inverse() for edit in reversed(change.edits)))
        if change.target is None or _is(home, change.target, _sha(raw)):
            with contextlib.suppress(OSError, Conflict):
                _perform(home, inverse, raw)


def _make(target: Path, data: bytes) -> None:
    temporary = _temporary(target.parent, data)
    try:
        os.chmod(temporary, 0o644)
        try:
            os.link(temporary, target)  # unlike a rename, it never overwrites
        except FileExistsError:
            raise Conflict(f"{target.name} exists already", "Nothing was changed.") from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP):
                raise
            os.rename(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _rewrite(path: Path, raw: bytes, data: bytes) -> None:
    temporary = _temporary(path.parent, data)
    try:
        shutil.copymode(path, temporary)
        # The last look before the rename: an editor may have saved while the new bytes were written.
        if path.read_bytes() != raw:
            raise Conflict(f"{path.name} was changed by somebody else", "Nothing was written. Read it again.")
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(folder: Path, data: bytes) -> Path:
    number, name = tempfile.mkstemp(prefix=".maxcai-", suffix=".tmp", dir=folder)
    with os.fdopen(number, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return Path(name)


def _settle(home: Path) -> None:
    """Finish, or note as failed, the last change if its process died in it."""
    _, line, ended = _last(home)
    if line is None or ended:
        return
    entry = _decode(line)
    for change, before, after in zip(entry.changes, entry.before, entry.after, strict=True):
        if _is(home, change.target, after) and (change.source == change.target or _is(home, change.source, None)):
            continue
        moved_only = change.source != change.target and _is(home, change.target, None)
        if change.source is not None and moved_only and _is(home, change.source, after) and after is not None:
            os.rename(home / change.source, home / str(change.target))
        elif _is(home, change.source, before):
            try:
                _perform(home, change, b"" if change.source is None else (home / change.source).read_bytes())
            except (OSError, Conflict):
                _append(home, {"failed": entry.seq})
                return
        else:
            _append(home, {"failed": entry.seq})
            return
    _append(home, {"done": entry.seq})


def _is(home: Path, name: str | None, sha: str | None) -> bool:
    """Does the file hold these bytes (None: is it absent)?"""
    if name is None:
        return sha is None
    try:
        return _sha((home / name).read_bytes()) == sha
    except OSError:
        return sha is None


def _last(home: Path) -> tuple[int, dict[str, Any] | None, bool]:
    """Number and line of the last entry, and whether its end is noted; cuts off a torn line."""
    path = home / STATE / "journal.jsonl"
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0, None, True
    chunk = 1 << 16
    with path.open("r+b") as file:
        while True:
            file.seek(max(0, size - chunk))
            data = file.read(chunk)
            lines = data.split(b"\n")
            if len(lines) > 3 or chunk >= size:
                break
            chunk *= 4
        if lines[-1]:
            file.truncate(size - len(lines[-1]))
    whole = [json.loads(line) for line in lines[-3:-1] if line.startswith(b"{") and line.endswith(b"}")]
    entry = next((line for line in reversed(whole) if "seq" in line), None)
    if entry is None:
        return 0, None, True
    return entry["seq"], entry, whole[-1] is not entry


def _append(home: Path, line: dict[str, Any]) -> None:
    with (home / STATE / "journal.jsonl").open("ab") as file:
        file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")


def _lines(home: Path) -> Iterator[dict[str, Any]]:
    try:
        data = (home / STATE / "journal.jsonl").read_bytes()
    except FileNotFoundError:
        return
    for line in data.split(b"\n")[:-1]:
        yield json.loads(line)


def _encode(entry: Entry) -> dict[str, Any]:
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
    return Entry(line["seq"], line["t"], line["op"], changes, before, after, line.get("undoes"))


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BoardError(
            f"{path} cannot be written: {error.strerror}", "Choose a folder that you may write to."
        ) from error

"""Changing files safely: one lock a board, a journal line before each change, atomic renames, undo.

A change is computed from bytes that were seen; if the file no longer holds them, nothing is written. The journal
(`.maxcai/journal.jsonl` beside the lanes) holds every change in full, so it replays to the same tree and can be undone.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

from task_board import journal
from task_board.edits import applied, stamp
from task_board.errors import BoardError, Conflict, Refused
from task_board.journal import STATE, Change, Entry
from task_board.reading import read_file

__all__ = ["STATE", "WAIT_S", "Change", "Entry", "commit", "entries", "locked", "replay", "undo", "undoable"]

WAIT_S = 20.0
_REMEDY = "Nothing was changed. Mend its rights or free some space."


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
        with _writing(home / STATE):
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
    targets = [change.target for change in changes if change.target is not None]
    if twice := [name for name in targets if targets.count(name) > 1]:
        raise Conflict(f"two files would become {twice[0]}", "Nothing was changed. Look at both files.")
    for change in changes:
        raw = b"" if change.source is None else _unchanged(home, change.source, seen[change.source])
        if change.target is not None and change.target != change.source and os.path.lexists(home / change.target):
            raise Conflict(f"{change.target} exists already", "Nothing was changed. Look at both files.")
        before.append(None if change.source is None else _sha(raw))
        after.append(None if change.target is None else _sha(applied(raw, change.edits)))
    entry = Entry(journal.last(home)[0] + 1, stamp(now), op, tuple(changes), tuple(before), tuple(after), undoes)
    with _writing(home, _REMEDY):
        start = journal.append(home, journal.encode(entry))
    carried_out = 0
    try:
        for change in changes:
            _perform(home, change, seen.get(change.source or "", b""))
            carried_out += 1
    except (OSError, Conflict) as error:
        try:
            _failed(home, entry, carried_out)
        except OSError:  # a full disk; left open, the next command would finish what was said to have failed
            os.truncate(home / STATE / "journal.jsonl", start)
        if isinstance(error, Conflict):
            raise
        raise BoardError(f"{home} cannot be written: {error.strerror}", _REMEDY) from error
    with contextlib.suppress(OSError):  # all is carried out; the next command sees that and notes it
        journal.append(home, {"done": entry.seq})
    return entry


def entries(home: Path) -> list[Entry]:
    """Every change that was carried out, oldest first. A torn last line is left out."""
    found: dict[int, Entry] = {}
    for line in journal.lines(home):
        if isinstance(line, Entry):
            found[line.seq] = line
        elif isinstance(line.get("failed"), int):
            found.pop(line["failed"], None)
    return list(found.values())


def replay(tree: Mapping[str, bytes], known: Sequence[Entry]) -> dict[str, bytes]:
    """The files after all entries, from the files before the first. Raises ValueError when they do not fit."""
    files = dict(tree)
    for entry in known:
        for change in entry.changes:
            if change.source is not None and change.source not in files:
                raise ValueError(f"entry {entry.seq}: {change.source} is not there")
            raw = applied(files.pop(change.source) if change.source is not None else b"", change.edits)
            if change.target is not None:
                files[change.target] = raw
    return files


def undoable(home: Path) -> Entry | None:
    """The newest change that is neither an undo nor undone."""
    known = entries(home)
    gone = {entry.undoes for entry in known if entry.undoes is not None}
    return next((e for e in reversed(known) if e.undoes is None and e.seq not in gone), None)


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
                raw = read_file(home / change.target, None)
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
        raw = read_file(path, None)
    except FileNotFoundError:
        raise Conflict(f"{name} is no longer there", "Somebody moved it: look at the list again.") from None
    except OSError as error:
        raise BoardError(f"{name} cannot be read: {error.strerror}", "Mend its rights.") from error
    if raw != expected:
        raise Conflict(f"{name} was changed by somebody else", "Nothing was written. Read it again, then repeat.")
    return raw


def _perform(home: Path, change: Change, raw: bytes) -> None:
    """Carry one change out, or nothing of it: the move comes first, since it alone can be taken back on a full disk."""
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
    if source != target:
        if os.path.lexists(target):
            raise Conflict(f"{change.target} exists already", "Nothing was moved. Look at both files.")
        os.rename(source, target)
    try:
        if change.edits:
            _rewrite(target, raw, applied(raw, change.edits))
    except (OSError, Conflict):
        if source != target and not os.path.lexists(source):
            os.rename(target, source)
        raise


def _take_back(home: Path, change: Change, before: str | None, after: str | None) -> None:
    """Undo one change that was carried out, if its file is still what the change left."""
    inverse = tuple(edit.inverse() for edit in reversed(change.edits))
    if change.target is None:
        raw = applied(b"", inverse)
        if change.source is not None and _sha(raw) == before:
            _make(home / change.source, raw)
    elif _is(home, change.target, after):
        target = home / change.target
        if change.source is None:
            target.unlink()
            return
        if change.source != change.target and not os.path.lexists(home / change.source):
            os.rename(target, home / change.source)
            target = home / change.source
        if change.edits:
            raw = read_file(target, None)
            _rewrite(target, raw, applied(raw, inverse))


def _failed(home: Path, entry: Entry, carried_out: int) -> None:
    """Take back the first changes of an entry and note that nothing of it counts."""
    whole = list(zip(entry.changes, entry.before, entry.after, strict=True))[:carried_out]
    for change, before, after in reversed(whole):
        with contextlib.suppress(OSError, Conflict, ValueError):
            _take_back(home, change, before, after)
    journal.append(home, {"failed": entry.seq})


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
    try:
        with os.fdopen(number, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.unlink(name)
        raise
    return Path(name)


def _settle(home: Path) -> None:
    """Finish, or take back and note as failed, the last change if its process died in it."""
    _, entry, ended = journal.last(home)
    if entry is None or ended:
        return
    names = {name for change in entry.changes for name in (change.source, change.target) if name is not None}
    for folder in {(home / name).parent for name in names}:
        for left in folder.glob(".maxcai-*.tmp"):  # nobody else writes here: we hold the lock
            left.unlink(missing_ok=True)
    for number, (change, before, after) in enumerate(zip(entry.changes, entry.before, entry.after, strict=True)):
        try:
            finished = _finish(home, change, before, after)
        except (OSError, Conflict, ValueError):
            finished = False
        if not finished:
            _failed(home, entry, number)
            return
    journal.append(home, {"done": entry.seq})


def _finish(home: Path, change: Change, before: str | None, after: str | None) -> bool:
    """Do what is left of one change; False when its file is no longer what it was."""
    source, target = change.source, change.target
    if _is(home, target, after) and (source == target or _is(home, source, None)):
        return True
    if source is not None and target is not None and source != target:
        if _is(home, source, after) and not os.path.lexists(home / target):  # earlier versions wrote first
            (home / target).parent.mkdir(parents=True, exist_ok=True)
            os.rename(home / source, home / target)
            return True
        if not os.path.lexists(home / source) and os.path.lexists(home / target):
            if not _is(home, target, before):  # somebody wrote into it meanwhile: back to where it was
                (home / source).parent.mkdir(parents=True, exist_ok=True)
                os.rename(home / target, home / source)
                return False
            raw = read_file(home / target, None)
            _rewrite(home / target, raw, applied(raw, change.edits))
            return True
    if _is(home, source, before):
        _perform(home, change, b"" if source is None else read_file(home / source, None))
        return True
    return False


def _is(home: Path, name: str | None, sha: str | None) -> bool:
    """Does the file hold these bytes (None: is it absent)?"""
    if name is None:
        return sha is None
    try:
        return _sha(read_file(home / name, None)) == sha
    except (FileNotFoundError, NotADirectoryError):
        return sha is None
    except OSError:
        return False


def _sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@contextlib.contextmanager
def _writing(path: Path, hint: str = "Choose a folder that you may write to.") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BoardError(f"{path} cannot be written: {error.strerror}", hint) from error

"""Follows what grows in a run, through rotations: which files a stream lies in, in which order, and what is to be sent.

A stream is a name. A log that is rotated lies in several files, one after another: the one under the name now, and
before it those that were renamed (`a.log.1`, `a.log-20261122`) or copied away before the name was emptied. Each is sent
to its end, the oldest first, however many rotations there were since the last look. What was followed and is nowhere
to be found is said (`gap`): nobody knows what it grew by since.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable
from typing import NamedTuple

from .disk import Json, Refused, open_inside

TICK_BYTES = 1 << 20  # most bytes of one file in one round of a follow, so that no file starves another
FRAME_BYTES = 64 << 10  # what a broken link costs at most, and what a slow one must carry before it counts as silent
PRINT_BYTES = 4096  # bytes before an offset whose digest tells that a file is still the same
LATE_FILES = 4  # files of a stream, before the present one, that are looked at for what still comes to them
_ROTATED = re.compile(r"[.-](\d[\dT._:-]*)")
_RENAMING_S = 0.02  # how long a rotation may take between its renames
_LOOKS = 4

Send = Callable[[Json, bytes], None]
Key = tuple[int, str]


def print_of(fd: int, offset: int) -> str:
    """Digest of the (at most PRINT_BYTES) bytes before `offset`: changed when the file was rewritten."""
    return _digest(_before(fd, offset))


def _before(fd: int, offset: int) -> bytes:
    begin = max(0, offset - PRINT_BYTES)
    return os.pread(fd, offset - begin, begin)


def _digest(tail: bytes) -> str:
    return hashlib.blake2b(tail, digest_size=16).hexdigest()


class Part:
    """How far one file of a stream is known on the other side: its inode, an offset, the print of the bytes before."""

    def __init__(self, ino: int | None, offset: int, digest: str, tail: bytes | None = None) -> None:
        self.ino, self.offset, self.digest, self.tail = ino, offset, digest, tail

    def goes_on_in(self, fd: int) -> bool:
        """Whether this file holds, at the offset, what was sent of it."""
        if os.fstat(fd).st_size < self.offset:
            return False
        tail = _before(fd, self.offset)
        if _digest(tail) != self.digest:
            return False
        self.tail = tail
        return True

    def read(self, fd: int) -> bytes | None:
        """What comes next in this file, at most TICK_BYTES; None when it turned into another file meanwhile."""
        data = os.pread(fd, TICK_BYTES, self.offset)
        return data if self.goes_on_in(fd) else None

    def sent(self, data: bytes) -> None:
        """Go on after these bytes. The print is taken from them, for the file may be another one by now."""
        self.offset += len(data)
        self.tail = ((self.tail or b"") + data)[-PRINT_BYTES:]
        self.digest = _digest(self.tail)


class Sibling(NamedTuple):
    """A file beside the stream's own whose name says that it was rotated away; `key` sorts the oldest first."""

    key: Key
    name: str
    ino: int


def _key(digits: str) -> Key:
    """`.2` is older than `.1`; of dates the later is the newer."""
    return (-int(digits), "") if digits.isdigit() and len(digits) < 6 else (0, digits)


class Stream:
    """One name of a run and what the other side has of it (`known`: ino, offset, print, and `past`, a list of such)."""

    def __init__(self, run_dir: str, name: str, known: Json | None) -> None:
        self.run_dir, self.name = run_dir, name
        self.folder, self.base = os.path.split(name)
        self.at: Part | None = None if known is None else _part(known)
        self.past = [_part(row) for row in (known or {}).get("past", [])]
        self.unchanged: tuple[int, int, int] | None = None  # size, inode and mtime when everything had been sent

    def grow(self, send: Send) -> bool:
        """Send at most TICK_BYTES more of this stream. False when there is nothing now."""
        here = self._open(self.base)
        try:
            return self._grow(here, send)
        finally:
            if here is not None:
                os.close(here)

    def _grow(self, here: int | None, send: Send) -> bool:
        if self.at is None:
            return here is not None and self._next(here, send, lost=False)
        if here is not None:
            info = os.fstat(here)
            now = (info.st_size, info.st_ino, info.st_mtime_ns)
            if now == self.unchanged:
                return False
            self.unchanged = None
            if self.at.ino in (None, info.st_ino) and self.at.goes_on_in(here):
                self.at.ino = info.st_ino
                return self._more(here, send, now)
        old = self._moved(send, patient=here is not None)
        if old is not None:
            try:
                if self._more(old, send):
                    return True
            finally:
                os.close(old)
        return here is not None and self._next(here, send, lost=old is None)

    def _more(self, fd: int, send: Send, now: tuple[int, int, int] | None = None) -> bool:
        """Send what follows in this file. `now` when it is the one under the name: its size, inode and mtime."""
        assert self.at is not None
        data = self.at.read(fd)
        if data is None:
            return True  # look again: it is another file now
        self._send(fd, send, data, {"new": False, "cur": now is not None})
        if now is not None and self.at.offset == now[0]:
            self.unchanged = now
        return bool(data)

    def _next(self, here: int, send: Send, lost: bool) -> bool:
        """Begin the file that comes after the one whose end was reached, or that is `lost`."""
        ino = os.fstat(here).st_ino
        for sibling in self._unknown(ino, lost):
            fd = self._open(sibling.name, sibling.ino)
            if fd is None:
                return True  # renamed this very moment: look again
            try:
                return self._begin(fd, sibling.ino, send, lost, current=False)
            finally:
                os.close(fd)
        return self._begin(here, ino, send, lost, current=True)

    def _begin(self, fd: int, ino: int, send: Send, lost: bool, current: bool) -> bool:
        data, new = os.pread(fd, TICK_BYTES, 0), self.at is not None
        if self.at is not None:
            self.past.append(self.at)
        self.at = Part(ino, 0, _digest(b""), b"")
        if data or new or not current:
            first = {"new": new, "cur": current, **({"gap": True} if lost else {})}
            self._send(fd, send, data[:FRAME_BYTES], first, always=True)
            self._send(fd, send, data[FRAME_BYTES:], {"new": False, "cur": current})
        return bool(data) or not current

    def _send(self, fd: int, send: Send, data: bytes, kind: Json, always: bool = False) -> None:
        """As frames that go on where the last one ended; with `always` one at least, were it empty.

        Each says how much of its file is `left` to send.
        """
        assert self.at is not None
        size = os.fstat(fd).st_size
        for begin in range(0, max(len(data), int(always)), FRAME_BYTES):
            piece = data[begin : begin + FRAME_BYTES]
            left = max(0, size - self.at.offset - len(piece))
            send(
                {"f": self.name, "ino": self.at.ino, "o": self.at.offset, "n": len(piece), "left": left, **kind}, piece
            )
            self.at.sent(piece)

    def _moved(self, send: Send, patient: bool) -> int | None:
        """The file that had the name: renamed, or, where the name was emptied, the copy that was made before."""
        for look in range(_LOOKS if patient else 1):
            if look:
                time.sleep(_RENAMING_S)
            fd = self._renamed()
            if fd is None:
                fd = self._copied(send)
            if fd is not None:
                return fd
        return None

    def _renamed(self) -> int | None:
        assert self.at is not None
        for item in self._items():
            if item.inode() == self.at.ino and item.name != self.base:
                fd = self._open(item.name, self.at.ino)
                if fd is not None and self.at.goes_on_in(fd):
                    return fd
                if fd is not None:
                    os.close(fd)
        return None

    def _copied(self, send: Send) -> int | None:
        """From now on the copy is the file of what was sent: the other side learns its inode (`moved`)."""
        assert self.at is not None
        for sibling in self._siblings() if self.at.offset else ():
            fd = self._open(sibling.name, sibling.ino)
            if fd is None:
                continue
            if not self._is_past(sibling) and self.at.goes_on_in(fd):
                self.at.ino = sibling.ino
                head = {"f": self.name, "ino": sibling.ino, "o": self.at.offset, "n": 0, "new": False, "cur": False}
                send({**head, "moved": True}, b"")
                return fd
            os.close(fd)
        return None

    def _unknown(self, here: int, lost: bool) -> list[Sibling]:
        """Files that were under the name after the one that was followed, and were rotated away before we saw them."""
        found = self._siblings()
        for _ in range(_LOOKS):  # a rotation renames one file after another
            again = self._siblings()
            if again == found:
                break
            found = again
        ino = None if self.at is None or lost else self.at.ino
        begin = next((number + 1 for number, one in enumerate(found) if one.ino == ino), 0)
        return [one for one in found[begin:] if one.ino not in (here, ino) and not self._is_past(one)]

    def _is_past(self, sibling: Sibling) -> bool:
        for part in self.past:
            if part.ino == sibling.ino:
                fd = self._open(sibling.name, sibling.ino)
                if fd is not None:
                    try:
                        if part.goes_on_in(fd):
                            return True
                    finally:
                        os.close(fd)
        return False

    def late(self, send: Send) -> bool:
        """Send what came to files that were rotated away, from a writer that had them open still."""
        sent = False
        parts = {part.ino: part for part in self.past[-LATE_FILES:]}
        for item in self._items() if parts else ():
            part = parts.get(item.inode())
            if part is None or item.name == self.base or item.stat().st_size <= part.offset:
                continue
            fd = self._open(item.name, part.ino)
            if fd is None:
                continue
            try:
                data = (part.read(fd) or b"")[:FRAME_BYTES] if part.goes_on_in(fd) else b""
                if data:
                    head = {"f": self.name, "ino": part.ino, "o": part.offset, "n": len(data), "past": True}
                    send(head, data)
                    part.sent(data)
                    sent = True
            finally:
                os.close(fd)
        return sent

    def _items(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.run_dir, self.folder)) as found:
                return [item for item in found if item.is_file(follow_symlinks=False)]
        except OSError:
            return []

    def _siblings(self) -> list[Sibling]:
        found = []
        for item in self._items():
            digits = _ROTATED.fullmatch(item.name[len(self.base) :]) if item.name.startswith(self.base) else None
            if digits is not None:
                found.append(Sibling(_key(digits.group(1)), item.name, item.inode()))
        return sorted(found)

    def _open(self, base: str, ino: int | None = None) -> int | None:
        """A descriptor of a file beside the stream's own; None when it is not there, or not that one any more."""
        try:
            fd = open_inside(self.run_dir, os.path.join(self.folder, base))
        except (OSError, Refused):
            return None
        if ino is not None and os.fstat(fd).st_ino != ino:
            os.close(fd)
            return None
        return fd


def _part(row: Json) -> Part:
    return Part(row.get("ino"), int(row["offset"]), str(row["print"]))

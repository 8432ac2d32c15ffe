"""Looking through a growing file by slabs of complete lines, from an anchor both ways: near lines first.

What is found stands by byte offset, so it stays true when the line index of a big file is completed. A scan may be
advanced in a worker; what it found is taken in by the screen's own thread.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from array import array
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, overload

from msgspec import Struct

from app.tui import arrays as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Offsets = NDArray[np.int64]

SLAB = 256 * 1024
"""Bytes looked at in one go: what holds the interpreter in one call stays under a frame."""

Found = TypeVar("Found")


class Slab(Struct, frozen=True):
    """Complete lines, newlines included: `data` are the bytes from `start` to `end`, but of one very long line only
    what is shown of it."""

    start: int
    data: bytes
    end: int


class Source(Protocol):
    """What a scan needs of a spool."""

    @property
    def generation(self) -> int: ...
    @property
    def complete_to(self) -> int: ...
    def after(self, start: int, size: int = SLAB) -> Slab | None: ...
    def before(self, end: int, size: int = SLAB) -> Slab | None: ...


class Scan(ABC, Generic[Found]):
    """How far was looked: every complete line in `[low, high)`. `anchor` must be the beginning of a line."""

    def __init__(self, generation: int, anchor: int) -> None:
        self.generation = generation
        self.anchor = self.low = self.high = anchor
        self._pending: deque[tuple[bool, Found]] = deque()
        self._busy = threading.Lock()

    @abstractmethod
    def look(self, slab: Slab) -> Found:
        """What is to be kept of these lines; in any thread."""

    def behind(self, source: Source) -> bool:
        """Whether there are complete lines that were not looked at, or finds that were not taken in."""
        left = bool(self._pending) or self.low > 0 or self.high < source.complete_to
        return self.generation == source.generation and left

    def advance(self, source: Source, size: int = SLAB) -> bool:
        """Look at one slab each way; True while there is more. A replaced file ends it."""
        if not self._busy.acquire(blocking=False):
            return True  # another view is at it
        try:
            moved = self._one(source, size, below=True)
            moved = self._one(source, size, below=False) or moved
            return moved and self.behind(source)
        finally:
            self._busy.release()

    def _one(self, source: Source, size: int, *, below: bool) -> bool:
        if self.generation != source.generation:
            return False
        if below:
            slab = source.after(self.high, size) if self.high < source.complete_to else None
        else:
            slab = source.before(self.low, size) if self.low > 0 else None
        if slab is None:
            return False
        found = self.look(slab)
        if self.generation != source.generation:  # replaced meanwhile: the bytes may be another file's
            return False
        self._pending.append((below, found))
        if below:
            self.high = slab.end
        else:
            self.low = slab.start
        return True


class Ends(Sequence[int]):
    """Ascending offsets that grow at both ends; 8 bytes each."""

    def __init__(self) -> None:
        self._above, self._below = array("Q"), array("Q")  # the upper part stands in reverse

    def __len__(self) -> int:
        return len(self._above) + len(self._below)

    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> list[int]: ...
    def __getitem__(self, at: int | slice) -> int | list[int]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        at = at + len(self) if at < 0 else at
        above = len(self._above)
        return self._above[above - 1 - at] if 0 <= at < above else self._below[at - above if at >= above else len(self)]

    def add(self, offsets: Offsets, *, below: bool) -> None:
        """Take ascending offsets that all lie below, or all above, those that are there."""
        if below:
            self._below.frombytes(offsets.astype(np.uint64).tobytes())
        else:
            self._above.frombytes(offsets[::-1].astype(np.uint64).tobytes())

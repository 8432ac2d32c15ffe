"""What was asked for and has been read beside the screen: a small cache whose misses are filled by a thread.

The panel asks again at every paint; `advance` says when something has arrived. A reader that fails is told, not raised.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

from msgspec import Struct

KEEP = 48
"""Answers kept."""

T = TypeVar("T")


class Unreadable(Struct, frozen=True):
    """Why something could not be read, in words."""

    why: str


class Shelf:
    """Answers by key. One reading of a key at a time; the newest `KEEP` stay."""

    def __init__(self) -> None:
        self._found: OrderedDict[Hashable, Any] = OrderedDict()
        self._tasks: dict[Hashable, asyncio.Task[None]] = {}
        self._arrived = False

    def get(self, key: Hashable, read: Callable[[], T]) -> T | Unreadable | None:
        """The answer, or None while `read` is at work in a thread. Needs a running event loop."""
        if key in self._found:
            self._found.move_to_end(key)
            answer: T | Unreadable = self._found[key]
            return answer
        if key not in self._tasks:
            task = asyncio.get_running_loop().create_task(self._read(key, read))
            self._tasks[key] = task
            task.add_done_callback(lambda _task: self._tasks.pop(key, None))
        return None

    def advance(self) -> bool:
        """Whether an answer has arrived since this was last asked."""
        arrived, self._arrived = self._arrived, False
        return arrived

    def forget(self) -> None:
        """Drop every answer."""
        self._found.clear()

    @property
    def busy(self) -> bool:
        """Something is being read."""
        return bool(self._tasks)

    async def _read(self, key: Hashable, read: Callable[[], Any]) -> None:
        try:
            answer = await asyncio.to_thread(read)
        except (OSError, ValueError, RecursionError) as error:
            answer = Unreadable(str(error) or type(error).__name__)
        self._found[key] = answer
        while len(self._found) > KEEP:
            self._found.popitem(last=False)
        self._arrived = True

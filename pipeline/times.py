"""What a step spends its seconds on: weights being read, the model computing, and the rest, which is neither."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Times:
    """Seconds of one attempt at a step. What runs inside something that is timed already is not counted twice."""

    loading: float = 0.0
    computing: float = 0.0
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    _busy: bool = field(default=False, repr=False)

    @contextlib.contextmanager
    def count(self, what: str) -> Iterator[None]:
        """Add the seconds inside to `loading` or `computing`, however it ends."""
        if self._busy:
            yield
            return
        self._busy, begun = True, self.clock()
        try:
            yield
        finally:
            self._busy = False
            setattr(self, what, getattr(self, what) + self.clock() - begun)

    def add(self, loading: float, computing: float) -> None:
        """What another process measured for this one."""
        self.loading += loading
        self.computing += computing

    @property
    def as_dict(self) -> dict[str, float]:
        return {"loading_s": round(self.loading, 3), "computing_s": round(self.computing, 3)}


class TimedEngine:
    """An engine whose work is counted; everything else of it shines through."""

    TIMED = frozenset({"generate", "score_choices", "logprobs"})

    def __init__(self, engine: Any, times: Times) -> None:
        self._engine, self._times = engine, times

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._engine, name)
        if name not in self.TIMED:
            return found

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._times.count("computing"):
                return found(*args, **kwargs)

        return timed

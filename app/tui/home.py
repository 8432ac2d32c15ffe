"""The followed run's directory on this machine, as the Run view reads it: only while that view is seen, in threads."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path
from typing import TypeVar

from msgspec import Struct

from app.state import AppState
from app.tui import rundir
from app.tui.shelf import Shelf, Unreadable

LOOK_S = 2.0
"""Seconds between two looks at whether a step has gained or lost files."""

T = TypeVar("T")


class Absent(Struct, frozen=True):
    """Nothing of the run is at home yet."""


class Home:
    """Reads what lies in `runs_dir/<run id>`.

    Args:
        runs_dir: where results are pulled to; None: nowhere.
    """

    def __init__(self, runs_dir: Path | None = None) -> None:
        self.runs_dir = runs_dir
        self.shelf = Shelf()
        self.root: Path | None = None
        self.mark: tuple[int, ...] = ()
        self.others: tuple[Path, ...] = ()
        self._looked = float("-inf")

    def advance(self, state: AppState, now: float, seen: bool) -> bool:
        """Look for the run's directory while the view is seen; True when there is something new to draw."""
        arrived = self.shelf.advance()
        if not seen:
            return False
        root = self._root(state)
        if root == self.root and 0 <= now - self._looked < LOOK_S:
            return arrived
        mark = () if root is None else rundir.mark(root)
        changed = root != self.root or mark != self.mark
        self.root, self.mark, self._looked = root, mark, now
        self.others = self._others(state)
        return arrived or changed

    def read(self, what: Hashable, reader: Callable[[Path], T]) -> T | Unreadable | Absent | None:
        """The answer of `reader` to the run's directory as it is now; None while it is being read."""
        root = self.root
        if root is None:
            return Absent()
        return self.shelf.get((root, self.mark, what), lambda: reader(root))

    def _root(self, state: AppState) -> Path | None:
        if self.runs_dir is None or state.run is None:
            return None
        root = self.runs_dir / state.run.run_id
        return root if root.is_dir() else None

    def _others(self, state: AppState) -> tuple[Path, ...]:
        """Directories of the runs before the followed one, newest first."""
        if self.runs_dir is None or state.run is None:
            return ()
        runs = state.runs
        older = runs[runs.index(state.run.run_id) + 1 :] if state.run.run_id in runs else runs
        return tuple(self.runs_dir / name for name in older)

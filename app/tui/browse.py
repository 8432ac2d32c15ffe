"""Looking at another run than the one that is followed: what its files on this machine tell. Following goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from app.state import AppState, RunView
from app.tui.shelf import Shelf, Unreadable


class Browse:
    """Which run the Run view shows.

    Args:
        workspace: where runs lie; None: only the followed one is known.
    """

    def __init__(self, workspace: Any = None) -> None:
        self._workspace = workspace
        self.shelf = Shelf()
        self.picked: str | None = None

    def turn(self, state: AppState, by: int) -> str | None:
        """To an older (-1) or newer (1) run; the id of the one shown then, None when there is none further."""
        followed = state.run.run_id if state.run else None
        now = self.picked or followed
        runs = state.runs or ((followed,) if followed else ())
        at = (runs.index(now) if now in runs else -1) - by
        if not 0 <= at < len(runs):
            return None
        self.picked = None if runs[at] == followed else runs[at]
        return runs[at]

    def look(self, state: AppState) -> AppState:
        """The state with the picked run in place of the followed one. Needs a running loop while one is picked."""
        picked = self.picked
        if picked is None or self._workspace is None or (state.run and picked == state.run.run_id):
            return state
        found = self.shelf.get(picked, lambda: read(self._workspace, picked))
        if isinstance(found, RunView):
            return replace(state, run=found, streams={})
        why = found.why if isinstance(found, Unreadable) else "reading"
        return replace(state, run=RunView(picked, state="pending", reason=why), streams={})

    def events(self) -> Path | None:
        """The picked run's event file on this machine, pulled or followed."""
        if self.picked is None or self._workspace is None:
            return None
        roots = (self._workspace.runs_dir / self.picked, self._workspace.state_dir / "spool" / self.picked)
        return next((path for root in roots if (path := root / "events.jsonl").is_file()), None)


def read(workspace: Any, run_id: str) -> RunView:
    """A run as its files tell it. Raises UsageError for one that this workspace does not know."""
    from app.history import run_view
    from app.runs import RunBook

    entry = RunBook(workspace.state_dir).find(run_id)
    if entry is None:
        raise ValueError("this workspace has no runs")
    view: RunView = run_view(workspace, entry)
    return view

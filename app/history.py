"""Runs as the files on this machine tell them: pulled results first, else the spool. Only reads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.fold import fold
from app.runs import RunBook, RunEntry
from app.state import RunView
from app.workspace import Workspace
from pipeline.protocol import read_events

if TYPE_CHECKING:
    from app.supervisor import Supervisor

HOME = ".pulled.json"
"""The pull's own ledger of verified files; `remote.sync.pull` writes it."""


def run_view(workspace: Workspace, entry: RunEntry) -> RunView:
    """One run, folded from the longer of its two event files (pulled and spooled)."""
    pulled = workspace.run_dir(entry.run_id) / "events.jsonl"
    spooled = workspace.spool_dir(entry.run_id) / "events.jsonl"
    path = max((pulled, spooled), key=lambda p: p.stat().st_size if p.exists() else -1)
    view = RunView(entry.run_id, entry.recipe, pod_id=entry.pod, started_at=entry.started, seq=-1)
    for event in read_events(path):
        if event.seq > view.seq:
            view, _notice = fold(view, event)
    return replace(view, pulled=is_home(workspace, entry))


def is_home(workspace: Workspace, entry: RunEntry) -> bool:
    """True when the last attempt's end was pulled completely; see `mark_home`."""
    try:
        return _mark(workspace, entry).read_text(encoding="utf-8").strip() == str(entry.attempt)
    except OSError:
        return False


def mark_home(workspace: Workspace, entry: RunEntry) -> None:
    """Note that every file of this attempt, which is over, is home and verified."""
    from app.workspace import write_atomically

    write_atomically(_mark(workspace, entry), f"{entry.attempt}\n".encode())


def _mark(workspace: Workspace, entry: RunEntry) -> Path:
    return workspace.state_dir / "home" / entry.run_id


def known_runs(workspace: Workspace, book: RunBook) -> list[tuple[RunEntry, RunView]]:
    """Every run of the workspace with what is known of it here, newest first."""
    return [(entry, run_view(workspace, entry)) for entry in book.entries()]


def ids(entries: Iterable[RunEntry]) -> tuple[str, ...]:
    return tuple(entry.run_id for entry in entries)


async def last_word(supervisor: Supervisor, entry: RunEntry) -> None:
    """Bring a run's spool up to date when its pod can be reached; else what is here has to do, and is said."""
    if not is_home(supervisor.workspace, entry):
        await supervisor.try_catch_up(entry)

"""Runs as the files on this machine tell them: pulled results first, else the spool. Only reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import asdict, replace

from app.events import JobReported
from app.fold import fold, settle
from app.reduce import ALIVE, run_on, with_job
from app.runs import RunBook, RunEntry
from app.state import RunView
from app.workspace import Workspace
from pipeline.protocol import read_events
from remote.files import private_dir, read_json_lines, write_atomic

if TYPE_CHECKING:
    from app.fleet import Fleet
    from app.supervisor import Supervisor

HOME = ".pulled.json"
"""The pull's own ledger of verified files; `remote.sync.pull` writes it."""


def run_view(workspace: Workspace, entry: RunEntry) -> RunView:
    """One run, folded from the longer of its two event files (pulled and spooled) and the pod's last word about it."""
    pulled = workspace.run_dir(entry.run_id) / "events.jsonl"
    spooled = workspace.spool_dir(entry.run_id) / "events.jsonl"
    path = max((pulled, spooled), key=lambda p: p.stat().st_size if p.exists() else -1)
    view = RunView(entry.run_id, entry.recipe, pod_id=entry.pod, seq=-1)
    for event in read_events(path):
        if event.seq > view.seq:
            view, _notice = fold(view, event)
    if (end := _noted_end(workspace, entry)) is not None:
        view = with_job(view, end)
    started = view.started_at if view.started_at is not None else entry.started
    return replace(view, started_at=started, pulled=is_home(workspace, entry))


def run_there(fleet: Fleet, run: RunView) -> RunView:
    """The run as the pods that were last listed allow: none goes on where its pod is off or gone."""
    from app.fleet import views

    run = run_on(run, views(fleet))
    if run.state in ALIVE and run.pod_id is not None and fleet.is_gone(run.pod_id):
        return settle(replace(run, state="lost", reason="its pod is gone"))
    return run


def is_home(workspace: Workspace, entry: RunEntry) -> bool:
    """True when the last attempt's end was pulled completely; see `mark_home`."""
    try:
        return _mark(workspace, entry).read_bytes().strip() == str(entry.attempt).encode()
    except OSError:
        return False


def mark_home(workspace: Workspace, entry: RunEntry) -> None:
    """Note that every file of this attempt, which is over, is home and verified."""
    path = _mark(workspace, entry)
    write_atomic(private_dir(path.parent) / path.name, f"{entry.attempt}\n".encode())


def came_home(workspace: Workspace, entry: RunEntry) -> bool:
    """Whether any of a run's events are here, pulled or followed: then its pod has had it."""
    folders = (workspace.run_dir(entry.run_id), workspace.spool_dir(entry.run_id))
    return any((folder / "events.jsonl").is_file() for folder in folders)


def note_end(workspace: Workspace, entry: RunEntry, report: JobReported) -> None:
    """Keep what the pod's agent said of the end of this attempt: a run that was killed cannot say it itself."""
    path = _end(workspace, entry)
    line = json.dumps({"attempt": entry.attempt, **asdict(report)}).encode() + b"\n"
    if not path.exists() or path.read_bytes() != line:
        write_atomic(private_dir(path.parent) / path.name, line)


def _noted_end(workspace: Workspace, entry: RunEntry) -> JobReported | None:
    row = next(read_json_lines(_end(workspace, entry)), None)
    if row is None or row.pop("attempt", None) != entry.attempt:
        return None
    try:
        return JobReported(**row)
    except TypeError:
        return None


def _end(workspace: Workspace, entry: RunEntry) -> Path:
    return workspace.state_dir / "ends" / f"{entry.run_id}.json"


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

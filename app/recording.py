"""Recordings: what a panel session saw, a run's own events, or the journal of acts, each read as moments in time.

A panel session is recorded as `AppEvent`s, one JSON line each, in `<state>/sessions/`; `reduce` makes the same picture
of them again. Reading never writes. A damaged line is passed over and counted.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, get_args

import msgspec
from msgspec import Struct

from app.errors import UsageError
from app.events import ActivityChanged, ActivityEnded, AppEvent, Noted, Output, OutputBytes, RunFollowed, RunLine
from app.fold import when
from app.workspace import Workspace
from pipeline.protocol import parse_line, read_events
from remote.errors import RemoteError
from remote.files import private_dir, read_json_lines

SESSIONS = "sessions"
KEPT = 10
"""Sessions kept; older ones are removed when another begins."""

LIMIT = 64 * 1024 * 1024
"""Bytes after which a session is not recorded any further."""

EVENTS = "events.jsonl"
HEAD = 50
"""Readable rows within which a recording must have shown which kind it is."""


class Moment(Struct, frozen=True):
    """One thing that happened. `at` is unix seconds and never smaller than that of the moment before."""

    at: float
    event: AppEvent


class Recording(Struct, frozen=True):
    """What was recorded, in order.

    `kind` is run, session or journal. `home` is the run's directory where its files lie beside its events. `damaged`
    counts lines that could not be read.
    """

    path: Path
    kind: str
    moments: tuple[Moment, ...]
    home: Path | None = None
    run_id: str | None = None
    damaged: int = 0


class Recorder:
    """Writes a session's events as they happen. A full disk ends the recording, never the session.

    Args:
        state_dir: the workspace's state folder.
        clock: unix seconds.
    """

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._left = LIMIT
        self._file: BinaryIO | None = None
        self._codec = _Codec()
        self._activity: tuple[str, str] | None = None
        with suppress(OSError, RemoteError):
            folder = private_dir(state_dir / SESSIONS)
            for old in sorted(folder.glob("*.jsonl"))[: 1 - KEPT]:
                old.unlink(missing_ok=True)
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(clock()))
            path = folder / f"{stamp}-{os.getpid()}.jsonl"
            self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)

    def __call__(self, event: AppEvent) -> None:
        """Take down one event; what an action printed is not part of the picture and is left out."""
        if self._file is None or isinstance(event, Output | OutputBytes) or self._again(event):
            return
        line = self._codec.line(self._clock(), event)
        self._left -= len(line)
        try:
            if self._left < 0:
                self.close()
            else:
                self._file.write(line)
        except OSError:
            self.close()

    def _again(self, event: AppEvent) -> bool:
        """Whether only the count of an activity has moved on: a pull reports thousands of them."""
        if isinstance(event, ActivityChanged):
            now = (event.activity.action, event.activity.text)
            same, self._activity = now == self._activity, now
            return same
        if isinstance(event, ActivityEnded):
            self._activity = None
        return False

    def close(self) -> None:
        """End the recording."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                file.close()


class _Codec:
    """Events as JSON lines and back: `{"at": …, "event": "PodsListed", "data": {…}}`."""

    def __init__(self) -> None:
        self._kinds: dict[str, type[AppEvent]] = {kind.__name__: kind for kind in get_args(AppEvent)}

    def line(self, at: float, event: AppEvent) -> bytes:
        if isinstance(event, RunLine):  # as they came; bytes that are no text could not be written as JSON
            data: Any = {"run_id": event.run_id, "line": event.line.decode("utf-8", "replace")}
        else:
            data = msgspec.to_builtins(event)
        return json.dumps({"at": at, "event": type(event).__name__, "data": data}).encode() + b"\n"

    def moment(self, row: dict[str, Any]) -> Moment | None:
        """None where the row is none of ours, or of a later version."""
        try:
            kind, data = self._kinds[row["event"]], row["data"]
            if kind is RunLine:
                text = msgspec.convert(data, dict[str, str])
                return Moment(float(row["at"]), RunLine(text["run_id"], text["line"].encode()))
            return Moment(float(row["at"]), msgspec.convert(data, kind))
        except (KeyError, TypeError, ValueError):  # msgspec's ValidationError is a ValueError
            return None


def find(workspace: Workspace, named: str | None) -> Path:
    """The file that `named` means: a file, a run directory, a run id or its beginning; None: the newest run.

    Raises UsageError when there is none.
    """
    if named is not None and (given := Path(named).expanduser()).exists():
        path = given / EVENTS if given.is_dir() else given
        if not path.is_file():
            raise UsageError(f"{given} has no {EVENTS}", "Name a run's directory, or a recording itself.")
        return path
    runs = [
        path for folder in (workspace.runs_dir, workspace.state_dir / "spool") for path in folder.glob(f"*/{EVENTS}")
    ]
    fitting = [path for path in runs if named is None or path.parent.name.lower().startswith(named.lower())]
    if not fitting:
        what = "there is no run here to replay" if named is None else f"{named}: no file, and no run of this workspace"
        raise UsageError(what, "See `maxcai run list`.")
    if named is not None and len({path.parent.name for path in fitting}) > 1:
        exact = [path for path in fitting if path.parent.name.lower() == named.lower()]
        if not exact:
            raise UsageError(f"{named} is the beginning of several runs", "Give more of the id: `maxcai run list`.")
        fitting = exact
    newest = max(fitting, key=lambda path: path.stat().st_mtime).parent.name
    return next(path for path in fitting if path.parent.name == newest)  # results at home before the spool


def read(path: Path) -> Recording:
    """A recording, whichever of the three it is. Raises UsageError when it is none, or holds nothing."""
    for row in islice(read_json_lines(path), HEAD):
        if "kind" in row and "seq" in row:
            return _run(path)
        if "event" in row and "at" in row:
            return _ordered(path, "session", _session(path))
        if "phase" in row:
            return _ordered(path, "journal", _acts(path))
    raise UsageError(
        f"{path} is no recording",
        "Replayed can be a run's events.jsonl, a session in .maxcai/sessions, or .maxcai/journal.jsonl.",
    )


def _run(path: Path) -> Recording:
    started = next((event for event in read_events(path) if event.kind == "run_started"), None)
    run_id = str(started.get("run_id") if started else None or path.resolve().parent.name)
    recipe = started.get("recipe") if started else None
    home = path.resolve().parent if path.name == EVENTS and (path.parent / "run.json").is_file() else None
    begun = RunFollowed(run_id, recipe if isinstance(recipe, str) else None)
    return _ordered(path, "run", _lines(path, run_id), begun, home=home, run_id=run_id)


def _lines(path: Path, run_id: str) -> Iterator[Moment | None]:
    with path.open("rb") as file:
        for line in file:
            parsed = parse_line(line)
            at = None if parsed is None else when(parsed.t)
            yield None if at is None else Moment(at, RunLine(run_id, line))


def _session(path: Path) -> Iterator[Moment | None]:
    codec = _Codec()
    for row in read_json_lines(path):
        yield codec.moment(row)


def _acts(path: Path) -> Iterator[Moment | None]:
    """The journal's lines as notices: what was meant, sent, and how it ended."""
    levels = {"failed": "error", "unknown": "warn", "acked": "ok"}
    ops: dict[str, str] = {}
    for row in read_json_lines(path):
        try:
            at, phase, name = float(row["t"]), str(row["phase"]), str(row["id"])
        except (KeyError, TypeError, ValueError):
            yield None
            continue
        op = ops.setdefault(name, str(row.get("op", "?")))
        facts = row.get("facts")
        told = "  ".join(f"{key}={value}" for key, value in facts.items()) if isinstance(facts, dict) else ""
        yield Moment(at, Noted(levels.get(phase, "info"), f"{op} {phase}  {told}".rstrip(), at))


def _ordered(
    path: Path,
    kind: str,
    found: Iterator[Moment | None],
    begun: AppEvent | None = None,
    *,
    home: Path | None = None,
    run_id: str | None = None,
) -> Recording:
    """Moments whose time never goes back, as clocks do when they are set; `begun` happens with the first of them."""
    moments: list[Moment] = []
    damaged, latest = 0, float("-inf")
    for moment in found:
        if moment is None:
            damaged += 1
            continue
        latest = max(latest, moment.at)
        if begun is not None and not moments:
            moments.append(Moment(latest, begun))
        moments.append(Moment(latest, moment.event))
    if not moments:
        raise UsageError(f"{path} holds nothing that could be replayed", "Name another recording.")
    return Recording(path, kind, tuple(moments), home, run_id, damaged)

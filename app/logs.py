"""Reading a run's logs from the files on this machine: the spool while it runs, the pulled copy later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from app.errors import UsageError, nearest
from app.runs import RunEntry
from app.workspace import Workspace

CHUNK = 1 << 20
EVENTS = "events.jsonl"
CONSOLE = ".agent/console.log"


class LogReader:
    """Bytes that were not handed out yet, of one log or of all of them.

    Args:
        workspace: where spools and pulled runs lie.
        entry: the run.
        stream: the log's name ("console", "stage-1.sft", "events.jsonl"), or None for every log but the events.
    """

    def __init__(self, workspace: Workspace, entry: RunEntry, stream: str | None) -> None:
        self._entry = entry
        self._folders = (workspace.spool_dir(entry.run_id), workspace.run_dir(entry.run_id))
        self._stream = stream
        self._offsets: dict[str, int] = {}
        self._last: str | None = None

    def fresh(self) -> Iterator[bytes]:
        """New bytes, in order within each log. Where several logs are read, a line names the log that goes on."""
        for name, path in sorted(self._streams().items()):
            if not self._wanted(name):
                continue
            with path.open("rb") as log:
                log.seek(self._offsets.get(name, 0))
                while chunk := log.read(CHUNK):
                    if self._stream is None and self._last != name:
                        yield f"==> {name} <==\n".encode()
                    self._last = name
                    self._offsets[name] = self._offsets.get(name, 0) + len(chunk)
                    yield chunk

    def refuse_if_empty(self) -> None:
        """Raises UsageError when the log that was asked for does not exist."""
        names = [n for n in self._streams() if self._wanted(n)]
        if names:
            return
        known = sorted(self._streams())
        if self._stream is None or not known:
            raise UsageError(f"run {self._entry.run_id} has no log here", "Start its pod: `maxcai pod start`.")
        near = nearest(self._stream, known, 0.3)
        raise UsageError(f"no log {self._stream}", f"Did you mean {near}? Known: {', '.join(known)}.")

    def _wanted(self, name: str) -> bool:
        return name != EVENTS if self._stream is None else short(name) == short(self._stream)

    def _streams(self) -> dict[str, Path]:
        found: dict[str, Path] = {}
        for folder in self._folders:
            for path in (folder / EVENTS, *folder.glob("logs/*.log"), folder / CONSOLE):
                name = str(path.relative_to(folder))
                if path.is_file() and (name not in found or path.stat().st_size > found[name].stat().st_size):
                    found[name] = path
        return found


def short(name: str) -> str:
    """ "logs/stage-1.sft.log" and "stage-1/sft" are both "stage-1.sft"."""
    base = name.removeprefix("logs/").removeprefix(".agent/")
    return base.removesuffix(".log").replace("/", ".")

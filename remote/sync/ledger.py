"""What of a run is home: which local files were verified, which checkpoints are whole. Fetching is left to `pull`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct

from remote.agent.client import RemoteFile
from remote.files import write_atomic
from remote.sync.part import disk_full_named

LEDGER = ".pulled.json"

CHECKPOINT_OLD_S = 45 * 60.0
"""Age in seconds above which the newest checkpoint at home is worth a warning while a run trains."""


class Checkpoint(Struct, frozen=True):
    """A checkpoint of which every file is home and verified. `written` is the pod's time, in unix seconds."""

    folder: str
    written: float
    files: int


class Ledger:
    """`<dest>/.pulled.json`: which local files were verified, with the size and times they had then."""

    def __init__(self, dest: Path) -> None:
        self.dest, self.file = dest, dest / LEDGER
        self.rows: dict[str, dict[str, Any]] = {}
        self.checkpoints: dict[str, dict[str, Any]] = {}
        try:
            raw = json.loads(self.file.read_bytes())
            self.rows = {str(path): dict(row) for path, row in raw["files"].items()}
            self.checkpoints = {str(path): dict(row) for path, row in raw.get("checkpoints", {}).items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.rows, self.checkpoints = {}, {}
        self._by_hash = {str(row.get("sha256")): path for path, row in self.rows.items()}

    def has(self, path: str, sha256: str | None) -> bool:
        """Whether the local file was verified to have this hash (None: any) and was not touched since."""
        row = self.rows.get(path)
        if row is None or (sha256 is not None and row.get("sha256") != sha256):
            return False
        try:
            info = (self.dest / path).stat()
        except OSError:
            return False
        return [info.st_size, info.st_mtime_ns] == [row.get("size"), row.get("mtime_ns")]

    def verified(self, path: str, sha256: str) -> None:
        info = (self.dest / path).stat()
        self.rows[path] = {"sha256": sha256, "size": info.st_size, "mtime_ns": info.st_mtime_ns}
        self._by_hash[sha256] = path

    def local_copy(self, sha256: str) -> Path | None:
        """A verified local file with this content."""
        path = self._by_hash.get(sha256)
        return self.dest / path if path is not None and self.has(path, sha256) else None

    def note_checkpoints(self, files: Iterable[RemoteFile]) -> None:
        """Of the run's files as listed by the pod: note the checkpoints of which every file is here."""
        listed: dict[str, list[RemoteFile]] = {}
        for file in files:
            folder = checkpoint_of(file.path)
            if folder is not None:
                listed.setdefault(folder, []).append(file)
        for folder, members in listed.items():
            whole = all(file.sha256 is not None and self.has(file.path, file.sha256) for file in members)
            if whole:
                written = max(file.mtime_ns for file in members) / 1e9
                self.checkpoints[folder] = {"written": written, "files": len(members)}

    def newest_checkpoint(self) -> Checkpoint | None:
        """The checkpoint written last of those that are home; None when there is none."""
        found = [Checkpoint(path, float(row["written"]), int(row["files"])) for path, row in self.checkpoints.items()]
        return max(found, key=lambda checkpoint: checkpoint.written, default=None)

    def save(self) -> None:
        """Raises DiskFull."""
        state = {"v": 1, "files": self.rows, "checkpoints": self.checkpoints}
        with disk_full_named(self.file):
            write_atomic(self.file, json.dumps(state, sort_keys=True).encode())


def checkpoint_of(path: str) -> str | None:
    """The folder of the checkpoint that a file belongs to: the first part that begins with `checkpoint-`."""
    parts = path.split("/")
    for index, part in enumerate(parts[:-1]):
        if part.startswith("checkpoint-"):
            return "/".join(parts[: index + 1])
    return None


def checkpoint_age(dest: Path, now: float) -> float | None:
    """Seconds since the newest checkpoint that is home was written, at the unix time `now`; None when none is home."""
    newest = Ledger(dest).newest_checkpoint()
    return None if newest is None else max(0.0, now - newest.written)

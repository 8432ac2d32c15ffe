"""A step that another run beside this one has finished under the very same key is taken over, not paid for again.

`<runs>/.index/<key>` names the finished step. It is hashed again before it counts; an entry that does not verify is
dropped, and the step is computed.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pipeline import artifacts

INDEX = ".index"


@dataclass(frozen=True, slots=True)
class Found:
    """A finished step of another run: its directory, and what it cost (USD, None unknown) and took (seconds)."""

    run: str
    step: str
    seconds: float
    usd: float | None


def remember(runs: Path, key: str, run_dir: Path, step: str) -> None:
    """Note where the step of this key lies. `runs` is the directory that holds the runs."""
    body = json.dumps({"run": run_dir.name, "step": step}).encode()
    path = runs / INDEX / key
    if not path.exists() or path.read_bytes() != body:
        artifacts.write_atomic(path, body)


def adopt(runs: Path, key: str, out: Path) -> Found | None:
    """Take the finished step of this key over into `out` (which holds nothing worth keeping), as hard links where the
    disk allows; None when no other run has it whole."""
    entry = runs / INDEX / key
    try:
        noted = json.loads(entry.read_bytes())
        source = runs / str(noted["run"]) / str(noted["step"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if source.resolve() == out.resolve() or not artifacts.is_done(source, key):
        entry.unlink(missing_ok=True)
        return None
    work = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(source, work, copy_function=_link, ignore=shutil.ignore_patterns(".*", "*.part", "checkpoints"))
    shutil.rmtree(out, ignore_errors=True)
    os.replace(work, out)
    artifacts.fsync_dir(out.parent)
    manifest = artifacts.read_manifest(out) or {}
    return Found(str(noted["run"]), str(noted["step"]), float(manifest["seconds"]), manifest["cost_usd"])


def _link(source: str, target: str) -> None:
    """A hard link; a copy where the two lie on different disks. Published files are never written to again."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)

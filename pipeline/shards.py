"""One step's generation dealt to several machines: each makes its share of the planned batches, and the run takes them
all in as if it had made them itself.

Batches are planned from the requests alone and draws depend on the item alone, so a share's rows are byte for byte
those of the undivided run. Merging fills the run's own part files; the next `run` finds every batch done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import artifacts, rundir
from pipeline.errors import UsageError
from pipeline.journal import Journal
from pipeline.locks import RunLock
from pipeline.protocol import RunPaths
from pipeline.steps.base import Shard

NOTE = ".shard.json"  # hidden: it is no output of the step
BATCH_TOKENS = ".batch_tokens"
PARTS = "*.part"


def publish(out: Path, step: str, key: str, shard: Shard) -> None:
    """Say what a share holds; written last, so that a share without it was cut off."""
    parts = {part.name: artifacts.sha256_file(part) for part in sorted(out.glob(PARTS))}
    note = {"step": step, "key": key, "index": shard.index, "of": shard.of, "parts": parts}
    artifacts.write_atomic(out / NOTE, json.dumps(note, indent=1).encode() + b"\n")


def merge(run_dir: Path, step: str, others: Sequence[Path]) -> int:
    """Take the shares of `step` from other run directories into this one; returns the number of rows.

    Raises UsageError: a share is missing, cut off, damaged, or of other work than the rest. Nothing is written then.
    """
    record = rundir.read_run(run_dir)
    if record is None:
        raise UsageError(f"{run_dir} holds no run (no run.json). Give the directory of the run that takes the shares.")
    found = [(folder / step, _note(folder, step)) for folder in others]
    _check(found)
    for folder in others:
        theirs = rundir.read_run(folder)
        if theirs is None or theirs["recipe_sha256"] != record["recipe_sha256"]:
            raise UsageError(f"{folder} is of another recipe than {run_dir}; its share does not belong there.")
    rows = _rows(found)
    with RunLock(RunPaths(run_dir).lock):
        rundir.ready(run_dir, step, found[0][1]["key"])
        out = run_dir / step
        artifacts.write_atomic(out / BATCH_TOKENS, (found[0][0] / BATCH_TOKENS).read_bytes())
        for name, content in rows.items():
            with Journal(out / name) as journal:
                journal.append(sorted(content.items()))
    return sum(map(len, rows.values()))


def _note(folder: Path, step: str) -> dict[str, Any]:
    path = folder / step / NOTE
    try:
        note: dict[str, Any] = json.loads(path.read_bytes())
        parts = note["parts"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} cannot be read ({error}): this share was not finished.") from None
    for name, expected in parts.items():
        if artifacts.sha256_file(folder / step / name) != expected:
            raise UsageError(f"{folder / step / name} is not what its share says; copy it again.")
    return note


def _check(found: Sequence[tuple[Path, Mapping[str, Any]]]) -> None:
    """Every share once, of one and the same work."""
    if not found:
        raise UsageError("no share is named. Give the run directories that hold them.")
    for name in ("step", "key", "of"):
        if len({note[name] for _, note in found}) > 1:
            raise UsageError(f"the shares differ in their {name}: they are not of one piece of work.")
    if len({(folder / BATCH_TOKENS).read_bytes() for folder, _ in found}) > 1:
        raise UsageError("the shares planned different batches (runtime.generate_tokens).")
    here, of = sorted(note["index"] for _, note in found), found[0][1]["of"]
    if here != list(range(1, of + 1)):
        raise UsageError(f"of {of} shares there are {here}; every one is needed once.")


def _rows(found: Sequence[tuple[Path, Mapping[str, Any]]]) -> dict[str, dict[int, Any]]:
    """Rows by part file and position, over all shares."""
    rows: dict[str, dict[int, Any]] = {}
    for folder, note in found:
        for name in note["parts"]:
            mine = rows.setdefault(name, {})
            for pos, row in _positions(folder / name).items():
                if mine.setdefault(pos, row) != row:
                    raise UsageError(f"two shares hold different rows at position {pos} of {name}.")
    return rows


def _positions(part: Path) -> dict[int, Any]:
    with Journal(part) as journal:
        if journal.damaged:
            raise UsageError(f"{part} is damaged; copy it again.")
        return journal.by_position()

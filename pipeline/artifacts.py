"""Files that count: hashes, manifests, the DONE marker written last, verification, superseding, the run's digest.

A step directory without a DONE that verifies is no result. What goes into a manifest is the worker's to say.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST, DONE, KEY = "manifest.json", "DONE", ".key"
SUPERSEDED = ".superseded"

_NOT_DATA = frozenset(
    {"metrics.jsonl", "optimizer.pt", "optimizer.bin", "scheduler.pt", "trainer_state.json", "training_args.bin"}
    | {"README.md", "report.md", "report.html"}
)
"""Outputs that are listed, pulled and verified, but hold seconds or state of the trainer and so stay out of digests."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file, its path relative to the directory of its manifest; size in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Done:
    """What the DONE marker says: the step's key, and sha256 of its inputs, of its manifest and of its data outputs."""

    key: str
    inputs: str
    manifest: str
    outputs: str


def canonical(value: object) -> bytes:
    """The one JSON form that is hashed: sorted, compact, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256_json(value: object) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256_file(path: Path, durable: bool = False) -> str:
    """Hash of a file's bytes; with `durable` the file is flushed to the disk first."""
    with path.open("rb") as source:
        if durable:
            os.fsync(source.fileno())
        return hashlib.file_digest(source, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> None:
    """Temporary file, fsync, rename, fsync of the directory. On any error the old file stands untouched."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def output_files(step_dir: Path) -> list[Path]:
    """Every output of a step in sorted path order: no markers, part files, checkpoints, hidden or temporary files."""
    found = []
    for path in step_dir.rglob("*"):
        relative = path.relative_to(step_dir)
        hidden = any(part.startswith(".") or part == "checkpoints" for part in relative.parts)
        if hidden or path.suffix in (".part", ".tmp") or str(relative) in (MANIFEST, DONE) or not path.is_file():
            continue
        found.append(path)
    return sorted(found, key=lambda p: p.relative_to(step_dir).as_posix())


def is_data(path: str) -> bool:
    """Whether an output belongs to the digest: records, answers, gates, adapter weights."""
    name = path.rsplit("/", 1)[-1]
    return name not in _NOT_DATA and not name.startswith("rng_state") and not name.endswith(".log")


def outputs_digest(artifacts: list[Artifact]) -> str:
    """What later steps build their keys on: the data outputs by path and content."""
    return sha256_json([[a.path, a.size, a.sha256] for a in artifacts if is_data(a.path)])


def publish(step_dir: Path, key: str, inputs: Mapping[str, str], body: Mapping[str, Any]) -> Done:
    """List and hash the outputs, write `manifest.json` (`body` plus key, inputs, outputs), then DONE, then drop the
    part files. Raises OSError when the disk is full; the step is then not done."""
    outputs = [
        Artifact(p.relative_to(step_dir).as_posix(), p.stat().st_size, sha256_file(p, durable=True))
        for p in output_files(step_dir)
    ]
    rows = [{"path": a.path, "size": a.size, "sha256": a.sha256} for a in outputs]
    manifest = {**body, "key": key, "inputs": dict(inputs), "outputs": rows}
    text = json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"
    write_atomic(step_dir / MANIFEST, text)
    done = Done(key, sha256_json(dict(inputs)), hashlib.sha256(text).hexdigest(), outputs_digest(outputs))
    write_atomic(step_dir / DONE, canonical({name: getattr(done, name) for name in Done.__slots__}) + b"\n")
    for part in step_dir.rglob("*.part"):
        part.unlink()
    return done


def read_done(step_dir: Path) -> Done | None:
    """The marker of a finished step, or None when there is none that can be read."""
    try:
        raw = json.loads((step_dir / DONE).read_bytes())
        return Done(**{name: str(raw[name]) for name in Done.__slots__})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_manifest(step_dir: Path) -> dict[str, Any] | None:
    """The manifest as written, or None when it is missing or damaged."""
    try:
        raw = json.loads((step_dir / MANIFEST).read_bytes())
    except (OSError, ValueError):
        return None
    return raw if isinstance(raw, dict) else None


def verify(step_dir: Path) -> list[str]:
    """What is wrong with a finished step, a sentence each; [] when every byte is as listed."""
    done, manifest = read_done(step_dir), read_manifest(step_dir)
    if done is None or manifest is None:
        return [f"{step_dir}: no readable {DONE if done is None else MANIFEST}"]
    if sha256_file(step_dir / MANIFEST) != done.manifest:
        return [f"{step_dir / MANIFEST}: does not have the hash that DONE names"]
    problems = []
    for row in manifest["outputs"]:
        path = step_dir / row["path"]
        if not path.is_file():
            problems.append(f"{path}: missing")
        elif path.stat().st_size != row["size"] or sha256_file(path) != row["sha256"]:
            problems.append(f"{path}: content differs from the manifest")
    listed = outputs_digest([Artifact(**row) for row in manifest["outputs"]])
    if manifest["key"] != done.key or listed != done.outputs:
        problems.append(f"{step_dir}: DONE and manifest belong to different results")
    return problems


def is_done(step_dir: Path, key: str) -> bool:
    """Whether the directory holds the verified result of exactly this key."""
    done = read_done(step_dir)
    return done is not None and done.key == key and not verify(step_dir)


def supersede(run_dir: Path, step: str, key: str) -> Path:
    """Move the result of an older key aside, to `stage-N/.superseded/<step>-<key8>` (numbered when taken)."""
    stage, _, name = step.partition("/")
    home = run_dir / stage / SUPERSEDED
    home.mkdir(parents=True, exist_ok=True)
    target, count = home / f"{name}-{key[:8]}", 1
    while target.exists():
        count += 1
        target = home / f"{name}-{key[:8]}-{count}"
    shutil.move(run_dir / step, target)
    fsync_dir(home)
    return target


def digest(run_dir: Path) -> str:
    """One sha256 over every data file of the finished steps and over the gates, in sorted path order.

    Equal for equal recipe, seed and machine: no timestamps, manifests, events, logs, reports, checkpoints.
    """
    total = hashlib.sha256()
    finished = [d.parent for d in run_dir.glob(f"stage-*/*/{DONE}") if not d.parent.name.startswith(".")]
    paths = [p for step in finished for p in output_files(step)]
    paths += run_dir.glob("stage-*/gate.json")
    for relative, path in sorted((p.relative_to(run_dir).as_posix(), p) for p in paths):
        if is_data(relative):
            total.update(canonical([relative, sha256_file(path)]) + b"\n")
    return total.hexdigest()

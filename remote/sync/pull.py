"""Brings a run home: every file in verified chunks, what is verified is never fetched again, nothing unverified counts.

Files that still grow are brought as prefixes. Deleting anything, here or on the pod, is left to nobody.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remote.agent.client import Agent, RemoteFile, RunManifest
from remote.errors import DiskFull, HashMismatch, SyncError, UnsafePath
from remote.files import write_atomic
from remote.sync.arriving import Arriving, Growing
from remote.sync.part import CHUNK, Part, chunk_digest, disk_full_named, sha256_file
from remote.sync.paths import rank, separate, wanted

LEDGER = ".pulled.json"
WORK = ".pull"
_BATCH_BYTES, _BATCH_FILES = 64 << 20, 200


@dataclass(frozen=True, slots=True)
class PullProgress:
    """How far a pull is: bytes and files that are home, of those there are, and the file that came last."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    path: str


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull did. `verified` files are home and hash-checked, `growing` ones are home up to the size they had.

    `changed` were being written on the pod just then; the next pull brings them. `skipped` are symlinks and
    the like. `fetched_bytes` travelled in this pull.
    """

    verified: tuple[str, ...]
    growing: tuple[str, ...]
    changed: tuple[str, ...]
    skipped: tuple[str, ...]
    bytes: int
    fetched_bytes: int

    @property
    def complete(self) -> bool:
        """True when nothing of the run is left on the pod alone."""
        return not self.growing and not self.changed


class Ledger:
    """`<dest>/.pulled.json`: which local files were verified, with the size and times they had then."""

    def __init__(self, dest: Path) -> None:
        self.dest, self.file = dest, dest / LEDGER
        self.rows: dict[str, dict[str, Any]] = {}
        try:
            raw = json.loads(self.file.read_bytes())
            self.rows = {str(path): dict(row) for path, row in raw["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.rows = {}

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

    def save(self) -> None:
        with disk_full_named(self.file):
            write_atomic(self.file, json.dumps({"v": 1, "files": self.rows}, sort_keys=True).encode())

    def local_copy(self, sha256: str) -> Path | None:
        """A verified local file with this content."""
        for path, row in self.rows.items():
            if row.get("sha256") == sha256 and self.has(path, sha256):
                return self.dest / path
        return None


async def pull(
    agent: Agent,
    run_id: str,
    dest: Path,
    progress: Callable[[PullProgress], None] | None = None,
    chunk: int = CHUNK,
) -> PullReport:
    """Bring everything of a run to `dest`, small and telling files first, checkpoints last.

    Can be cut anywhere and called again: verified chunks are not fetched twice. Two pulls of one run at a time take
    turns, and the second finds everything home. Raises UnsafePath for names that must not be written (after everything
    else is home), HashMismatch, DiskFull naming the path, SshError.
    """
    dest.mkdir(parents=True, exist_ok=True)
    async with _alone(dest):
        return await _pull(agent, run_id, dest, progress, chunk)


@asynccontextmanager
async def _alone(dest: Path) -> AsyncIterator[None]:
    """Hold the run's folder against another pull into it; the kernel frees it when we die, and no file is left."""
    fd = os.open(dest, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.1)
        yield
    finally:
        os.close(fd)


async def _pull(
    agent: Agent, run_id: str, dest: Path, progress: Callable[[PullProgress], None] | None, chunk: int
) -> PullReport:
    manifest = await agent.manifest(run_id)
    files, refused = _plan(manifest)
    dest.mkdir(parents=True, exist_ok=True)
    work = _Pull(agent, run_id, dest, files, progress, chunk)
    try:
        await work.all()
    except BaseException:
        with suppress(OSError, DiskFull):  # the first failure is the one to tell
            work.ledger.save()
        raise
    work.ledger.save()
    if refused:
        raise UnsafePath(
            f"The pod offers {len(refused)} files whose names are never written, such as {ascii(refused[0])[:200]}.",
            "Everything else of the run is here. Look at the run directory on the pod.",
        )
    _tidy(dest / WORK)
    growing = tuple(file.path for file in files if _append_only(file))
    verified = tuple(file.path for file in files if file.path not in growing and file.path not in work.changed)
    return PullReport(verified, growing, tuple(work.changed), manifest.skipped, work.bytes_total, work.fetched)


async def unpulled(agent: Agent, run_id: str, dest: Path) -> list[str]:
    """Files of a run on the pod that are not at home in their present state, refused names included."""
    manifest = await agent.manifest(run_id)
    files = [file for file in manifest.files if wanted(file.path)]
    return await asyncio.to_thread(lambda: [file.path for file in files if not _is_home(Ledger(dest), file)])


def _is_home(ledger: Ledger, file: RemoteFile) -> bool:
    """By ledger, or, where that was never written (a full disk), by hashing what lies here."""
    if file.sha256 is None or separate([file.path])[1]:
        return False
    final = ledger.dest / file.path
    same_size = final.is_file() and not final.is_symlink() and final.stat().st_size == file.size
    return ledger.has(file.path, file.sha256) or (same_size and sha256_file(final) == file.sha256)


def _plan(manifest: RunManifest) -> tuple[list[RemoteFile], list[str]]:
    """(files to bring in their order, refused names)."""
    known = {file.path: file for file in manifest.files if wanted(file.path)}
    good, refused = separate(sorted(known))
    return sorted((known[path] for path in good), key=lambda file: rank(file.path, file.mtime_ns)), refused


def _append_only(file: RemoteFile) -> bool:
    """Whether a growing file only ever gets longer, so that a prefix of it is worth having."""
    return file.sha256 is None and (file.path == "events.jsonl" or file.path.endswith(".log"))


def _tidy(work: Path) -> None:
    """Remove the working folder once nothing unfinished is in it."""
    if work.is_dir() and not any(work.iterdir()):
        work.rmdir()


def inside(dest: Path, path: str) -> Path:
    """The local file for `path`; raises UnsafePath when a local symlink would lead it out of `dest`."""
    final = dest / path
    home = dest.resolve()
    if final.is_symlink() or not final.parent.resolve().is_relative_to(home):
        raise UnsafePath(f"{final} is or passes through a symlink; nothing is written there.", "Remove the symlink.")
    if final.is_dir():
        raise SyncError(f"{final} is a folder here and a file on the pod.", "Move the folder away.")
    return final


class _Pull:
    """One pull under way."""

    def __init__(
        self,
        agent: Agent,
        run_id: str,
        dest: Path,
        files: list[RemoteFile],
        progress: Callable[[PullProgress], None] | None,
        chunk: int,
    ) -> None:
        self.agent, self.run_id, self.dest, self.files = agent, run_id, dest, files
        self.progress, self.chunk = progress, chunk
        self.ledger = Ledger(dest)
        self.fetched = self.bytes_done = self.files_done = 0
        self.bytes_total = sum(file.size for file in files)
        self.changed: list[str] = []
        self.damaged: list[str] = []

    async def all(self) -> None:
        waiting: list[RemoteFile] = []
        for file in self.files:
            if file.sha256 is None and not _append_only(file):
                self.changed.append(file.path)
            elif await asyncio.to_thread(self.at_home, file):
                self.arrived(file, file.size, whole=True)
            else:
                waiting.append(file)
        for batch in _batches(waiting):
            await self.fetch(batch)
            self.ledger.save()
        await self.again()

    async def again(self) -> None:
        """Fetch afresh what did not have its hash: it changed on the pod, or a prefix pulled earlier was of another."""
        damaged, self.damaged = self.damaged, []
        if not damaged:
            return
        now = {file.path: file for file in (await self.agent.manifest(self.run_id)).files}
        for path in damaged:
            file = now.get(path)
            if file is None or file.sha256 is None:
                self.changed.append(path)
                continue
            await self.fetch([file], adopt=False)
            if path in self.damaged:
                raise HashMismatch(
                    f"{path} arrived damaged twice.", "Pull again; if it stays so, the pod's disk is bad."
                )

    def arrived(self, file: RemoteFile, size: int, whole: bool = False) -> None:
        self.files_done += whole
        self.bytes_done += size
        if self.progress is not None:
            state = PullProgress(self.bytes_done, self.bytes_total, self.files_done, len(self.files), file.path)
            self.progress(state)

    def at_home(self, file: RemoteFile) -> bool:
        """Whether the right content is here: by ledger, by hashing what lies here, or by copying an equal file."""
        if file.sha256 is None:
            return False
        final = inside(self.dest, file.path)
        if self.ledger.has(file.path, file.sha256):
            return True
        if final.is_file() and final.stat().st_size == file.size and sha256_file(final) == file.sha256:
            self.ledger.verified(file.path, file.sha256)
            return True
        twin = self.ledger.local_copy(file.sha256) if file.size > self.chunk else None
        return twin is not None and self.copy(twin, file, file.sha256)

    def copy(self, twin: Path, file: RemoteFile, sha256: str) -> bool:
        part = Part(self.dest / WORK, file.path, file.size, sha256, self.chunk)
        try:
            with disk_full_named(part.data):
                shutil.copyfile(twin, part.data)
            self.finish(file.path, part)
        except HashMismatch:
            return False
        return True

    def finish(self, path: str, part: Part) -> None:
        part.finish(inside(self.dest, path))
        self.ledger.verified(path, part.sha256)

    async def fetch(self, batch: list[RemoteFile], adopt: bool = True) -> None:
        """Fetch what is missing of some files through one stream of frames."""
        arriving = {file.path: await asyncio.to_thread(self.arriving, file, adopt) for file in batch}
        for target in list(arriving.values()):
            self.arrived(target.file, target.here())
            if target.complete():
                await self.close(arriving.pop(target.file.path))
        ranges = [{"path": path, **span} for path, target in arriving.items() for span in target.ranges()]
        if ranges:
            async with self.agent.frames({"run_id": self.run_id, "ranges": ranges}) as frames:
                while (frame := await frames.next()) is not None:
                    target, safe = await asyncio.to_thread(self.take, *frame, arriving)
                    self.arrived(target.file, safe)
                    if target.complete():
                        await self.close(arriving.pop(target.file.path))
        for target in arriving.values():
            await self.close(target)

    def arriving(self, file: RemoteFile, adopt: bool) -> Arriving | Growing:
        final = inside(self.dest, file.path)
        if file.sha256 is None:
            return Growing(file, final)
        part = Part(self.dest / WORK, file.path, file.size, file.sha256, self.chunk)
        if adopt and not part.done and final.is_file() and 0 < final.stat().st_size <= file.size:
            part.adopt(final)
        return Arriving(file, part)

    def take(
        self, head: dict[str, Any], data: bytes, arriving: Mapping[str, Arriving | Growing]
    ) -> tuple[Arriving | Growing, int]:
        """Put one frame where it belongs, after checking that it is what the pod read; how many bytes are now safe."""
        target = arriving.get(str(head.get("f")))
        if target is None:
            raise SyncError("The pod sent a file that was not asked for.")
        if data and chunk_digest(data) != head.get("h"):
            raise HashMismatch(
                f"A piece of {target.file.path} arrived damaged.", "Pull again; what is verified is kept."
            )
        self.fetched += len(data)
        return target, target.take(int(head.get("o", -1)), data)

    def completed(self, target: Arriving) -> bool:
        """Whether the whole file is here and has its hash; if not, its bytes are dropped and counted back."""
        counted = target.here()
        try:
            if not target.part.missing():
                self.finish(target.file.path, target.part)
                return True
        except HashMismatch:
            pass
        target.part.drop()  # damaged, or shorter on the pod than it was listed
        self.bytes_done -= counted
        return False

    async def close(self, target: Arriving | Growing) -> None:
        path = target.file.path
        if isinstance(target, Growing):
            target.close()
        elif not await asyncio.to_thread(self.completed, target):
            self.damaged.append(path)
            return
        self.arrived(target.file, 0, whole=True)


def _batches(files: Iterable[RemoteFile]) -> Iterator[list[RemoteFile]]:
    """Group files so that many small ones share a round trip, without changing their order."""
    batch: list[RemoteFile] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.size
        if size >= _BATCH_BYTES or len(batch) >= _BATCH_FILES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch

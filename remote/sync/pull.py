"""Brings a run home: every file in verified chunks, what is verified is never fetched again, nothing unverified counts.

Files that still grow are brought as prefixes. Deleting anything, here or on the pod, is left to nobody.
"""

from __future__ import annotations

import asyncio
import fcntl
import fnmatch
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from msgspec import Struct

from remote.agent.client import Agent, RemoteFile, RunManifest
from remote.errors import DiskFull, HashMismatch, SyncError, UnsafePath
from remote.sync.arriving import Growing, Large, Small, Target
from remote.sync.fetch import CHANNELS, CHANNELS_WHILE_RUNNING, Fetch, Terms
from remote.sync.ledger import Ledger
from remote.sync.part import CHUNK, Part, disk_full_named, part_key, sha256_file
from remote.sync.paths import rank, separate, wanted
from remote.sync.talk import STALL_S, in_thread

WORK = ".pull"
_SAVE_BYTES, _SAVE_FILES = 64 << 20, 200


class PullProgress(Struct, frozen=True):
    """How far a pull is: bytes and files that are home, of those there are, and the file that came last."""

    bytes_done: int
    bytes_total: int
    files_done: int
    files_total: int
    path: str


class PullReport(Struct, frozen=True):
    """What a pull did. `verified` files are home and hash-checked, `growing` ones are home up to the size they had.

    `changed` were being written on the pod just then; the next pull brings them. `skipped` are symlinks and
    the like. `excluded` were not asked for. `fetched_bytes` travelled in this pull.
    """

    verified: tuple[str, ...]
    growing: tuple[str, ...]
    changed: tuple[str, ...]
    skipped: tuple[str, ...]
    bytes: int
    fetched_bytes: int
    excluded: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """True when nothing of the run is left on the pod alone."""
        return not self.growing and not self.changed and not self.excluded


class Due(Struct, frozen=True):
    """A file of a run as a pull would treat it: `home` already, to be fetched as `new` or because it `changed`,
    `growing` (its prefix comes), or being `written`, which waits for the next pull. `size` in bytes."""

    path: str
    size: int
    state: Literal["home", "new", "changed", "growing", "written"]


class Preview(Struct, frozen=True):
    """What a pull would do, in its order; `refused` are names that are never written. `bytes` would travel at most."""

    files: tuple[Due, ...]
    refused: tuple[str, ...]
    bytes: int


async def pull(
    agent: Agent,
    run_id: str,
    dest: Path,
    progress: Callable[[PullProgress], None] | None = None,
    chunk: int = CHUNK,
    *,
    patterns: Sequence[str] = (),
    channels: int | None = None,
    rate: float | None = None,
    stall_s: float = STALL_S,
) -> PullReport:
    """Bring everything of a run to `dest`, small and telling files first, checkpoints last.

    Can be cut anywhere and called again: verified chunks are not fetched twice. Two pulls of one run at a time take
    turns, and the second finds everything home. `patterns` are globs over the paths in the run, where only some are
    wanted. `channels` None means five, and two while the run is alive; `rate` caps the bytes/s of all of them together.
    Raises UnsafePath for names that must not be written (after everything else is home), HashMismatch, DiskFull naming
    the path, SshError; ConnectionLost also when nothing moved for `stall_s` seconds.
    """
    dest.mkdir(parents=True, exist_ok=True)
    async with _alone(dest):
        manifest = await agent.manifest(run_id)
        usual = CHANNELS_WHILE_RUNNING if manifest.running else CHANNELS
        terms = Terms(channels or usual, rate, stall_s)
        return await _pull(_Pull(agent, run_id, dest, chunk, progress, terms), manifest, patterns)


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


async def _pull(work: _Pull, manifest: RunManifest, patterns: Sequence[str]) -> PullReport:
    files, refused, excluded = _plan(manifest, patterns)
    try:
        await work.all(files)
    except BaseException:
        with suppress(OSError, DiskFull):  # the first failure is the one to tell
            work.save(manifest)
        raise
    work.save(manifest)
    if refused:
        raise UnsafePath(
            f"The pod offers {len(refused)} files whose names are never written, such as {ascii(refused[0])[:200]}.",
            "Everything else of the run is here. Look at the run directory on the pod.",
        )
    _tidy(work.dest / WORK)
    growing = tuple(file.path for file in files if _append_only(file))
    verified = tuple(file.path for file in files if file.path not in {*growing, *work.changed})
    total, fetched = sum(file.size for file in files), work.fetch.fetched
    return PullReport(verified, growing, tuple(work.changed), manifest.skipped, total, fetched, tuple(excluded))


async def preview(agent: Agent, run_id: str, dest: Path, patterns: Sequence[str] = ()) -> Preview:
    """What `pull` would do. Writes nothing."""
    files, refused, _excluded = _plan(await agent.manifest(run_id), patterns)
    due = await asyncio.to_thread(lambda: tuple(_due(Ledger(dest), file) for file in files))
    return Preview(due, tuple(refused), sum(one.size for one in due if one.state in ("new", "changed", "growing")))


def _due(ledger: Ledger, file: RemoteFile) -> Due:
    if file.sha256 is None:
        return Due(file.path, file.size, "growing" if _append_only(file) else "written")
    if _is_home(ledger, file):
        return Due(file.path, file.size, "home")
    return Due(file.path, file.size, "changed" if (ledger.dest / file.path).exists() else "new")


async def missing(agent: Agent, run_id: str, dest: Path) -> list[RemoteFile]:
    """Files of a run on the pod that are not at home in their present state, refused names included."""
    manifest = await agent.manifest(run_id)
    files = [file for file in manifest.files if wanted(file.path)]
    ledger = Ledger(dest)
    return await asyncio.to_thread(lambda: [file for file in files if not _is_home(ledger, file)])


async def unpulled(agent: Agent, run_id: str, dest: Path) -> list[str]:
    """The paths of `missing`."""
    return [file.path for file in await missing(agent, run_id, dest)]


def _is_home(ledger: Ledger, file: RemoteFile) -> bool:
    """By ledger, or, where that was never written (a full disk), by hashing what lies here."""
    if file.sha256 is None or separate([file.path])[1]:
        return False
    final = ledger.dest / file.path
    same_size = final.is_file() and not final.is_symlink() and final.stat().st_size == file.size
    return ledger.has(file.path, file.sha256) or (same_size and sha256_file(final) == file.sha256)


def _plan(manifest: RunManifest, patterns: Sequence[str]) -> tuple[list[RemoteFile], list[str], list[str]]:
    """(files to bring in their order, refused names, names that no pattern asks for)."""
    known = {file.path: file for file in manifest.files if wanted(file.path)}
    good, refused = separate(sorted(known))
    asked = [path for path in good if not patterns or any(fnmatch.fnmatchcase(path, glob) for glob in patterns)]
    excluded = sorted(set(good) - set(asked))
    return sorted((known[path] for path in asked), key=lambda file: rank(file.path, file.mtime_ns)), refused, excluded


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
        chunk: int,
        progress: Callable[[PullProgress], None] | None,
        terms: Terms,
    ) -> None:
        self.agent, self.run_id, self.dest, self.chunk, self.progress = agent, run_id, dest, chunk, progress
        self.fetch = Fetch(agent, run_id, self.target, self.arrived, self.finished, terms)
        self.ledger = Ledger(dest)
        self.files_done = self.files_total = self.bytes_done = self.bytes_total = 0
        self.changed: list[str] = []
        self.damaged: list[str] = []
        self._adopt = True
        self._unsaved = (0, 0)

    async def all(self, files: list[RemoteFile]) -> None:
        self.files_total, self.bytes_total = len(files), sum(file.size for file in files)
        waiting: list[RemoteFile] = []
        for file in files:
            if file.sha256 is None and not _append_only(file):
                self.changed.append(file.path)
            elif await in_thread(self.at_home, file):
                self.home(file, file.size)
            else:
                waiting.append(file)
        once, twins = _twins(waiting, min(self.chunk, 1 << 20))
        await self.fetch.all(once)
        again = [file for file in twins if not await self.twin(file)]
        await self.fetch.all(again)
        await self.mend()

    async def twin(self, file: RemoteFile) -> bool:
        """Whether the content that came under another name could be copied."""
        copied = await in_thread(self.at_home, file)
        if copied:
            self.home(file, file.size)
        return copied

    async def mend(self) -> None:
        """Fetch afresh what did not have its hash: it changed on the pod, or a prefix pulled earlier was of another."""
        damaged, self.damaged = self.damaged, []
        if not damaged:
            return
        self._adopt = False
        now = {file.path: file for file in (await self.agent.manifest(self.run_id)).files}
        final = [now[path] for path in damaged if path in now and now[path].sha256 is not None]
        self.changed += sorted(set(damaged) - {file.path for file in final})
        await self.fetch.all(final)
        if self.damaged:
            raise HashMismatch(
                f"{self.damaged[0]} arrived damaged twice.", "Pull again; if it stays so, the pod's disk is bad."
            )

    def home(self, file: RemoteFile, size: int) -> None:
        """Count a whole file, of which `size` bytes were not counted before."""
        self.files_done += 1
        self._count(file, size)

    def arrived(self, target: Target, size: int) -> None:
        """Count bytes that are safe now."""
        self._count(target.file, size)

    def _count(self, file: RemoteFile, size: int) -> None:
        self.bytes_done += size
        if self.progress is not None:
            self.progress(PullProgress(self.bytes_done, self.bytes_total, self.files_done, self.files_total, file.path))

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
        twin = self.ledger.local_copy(file.sha256) if file.size >= min(self.chunk, 1 << 20) else None
        return twin is not None and self.copy(twin, file, file.sha256)

    def copy(self, twin: Path, file: RemoteFile, sha256: str) -> bool:
        part = Part(self.dest / WORK, file.path, file.size, sha256, self.chunk)
        try:
            with disk_full_named(part.data):
                shutil.copyfile(twin, part.data)
            part.finish(inside(self.dest, file.path))
        except HashMismatch:
            return False
        self.ledger.verified(file.path, sha256)
        return True

    def target(self, file: RemoteFile) -> Target:
        """Where a file's bytes go."""
        final = inside(self.dest, file.path)
        if file.sha256 is None:
            return Growing(file, final)
        if file.size <= self.chunk:
            return Small(file, file.sha256, self.dest / WORK / f"{part_key(file.path)}.tmp")
        part = Part(self.dest / WORK, file.path, file.size, file.sha256, self.chunk)
        if self._adopt and not part.done and final.is_file() and 0 < final.stat().st_size <= file.size:
            part.adopt(final)
        return Large(file, part)

    async def finished(self, target: Target) -> None:
        """Everything of a file was asked for and answered."""
        path, counted = target.file.path, target.here() if isinstance(target, Large) else target.file.size
        if not await in_thread(self.place, target):
            self.damaged.append(path)
            self.bytes_done -= counted
            return
        self.home(target.file, 0)
        size, count = self._unsaved
        self._unsaved = (size + target.file.size, count + 1)
        if self._unsaved[0] >= _SAVE_BYTES or self._unsaved[1] >= _SAVE_FILES:
            self._unsaved = (0, 0)
            await in_thread(self.ledger.save)

    def place(self, target: Target) -> bool:
        final, sha256 = inside(self.dest, target.file.path), target.file.sha256
        if not target.finish(final):
            return False
        if sha256 is not None:
            self.ledger.verified(target.file.path, sha256)
        return True

    def save(self, manifest: RunManifest) -> None:
        self.ledger.note_checkpoints(file for file in manifest.files if wanted(file.path))
        self.ledger.save()


def _twins(files: Iterable[RemoteFile], least: int) -> tuple[list[RemoteFile], list[RemoteFile]]:
    """(files to fetch, files of at least `least` bytes whose content is among those): each content travels once."""
    seen: set[str] = set()
    once: list[RemoteFile] = []
    twins: list[RemoteFile] = []
    for file in files:
        known = file.sha256 in seen and file.size >= least
        (twins if known else once).append(file)
        if file.sha256 is not None:
            seen.add(file.sha256)
    return once, twins

"""Immutable trees: made of content that just arrived and of content that earlier trees hold, all of it verified again.

Content that arrived lies under its hash until a tree takes it over; after that the tree is where it is kept.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from .disk import CHUNK, Json, Refused, canonical, fsync_dir, read_json, safe_relative, write_json
from .runs import SHA256, Pod

LOOKED_AT = 4  # the newest trees, whose content need not be sent again


def blob_path(pod: Pod, digest: Any) -> str:
    if not isinstance(digest, str) or not SHA256.match(digest):
        raise Refused("unsafe_path", f"not a sha256: {digest!r}")
    return os.path.join(pod.cas, digest)


def kept(pod: Pod) -> dict[str, str]:
    """Where the newest trees hold which content."""
    try:
        notes = [item for item in os.scandir(pod.trees) if item.name.endswith(".json")]
    except OSError:
        return {}
    found: dict[str, str] = {}
    for note in sorted(notes, key=lambda item: item.stat().st_mtime_ns)[-LOOKED_AT:]:
        tree = os.path.join(pod.trees, note.name[: -len(".json")])
        entries = (read_json(note.path) or {}).get("manifest", []) if os.path.isdir(tree) else []
        found.update((entry["sha256"], os.path.join(tree, entry["path"])) for entry in entries if "sha256" in entry)
    return found


def missing_of(pod: Pod, digests: Iterable[str]) -> list[str]:
    known = kept(pod)
    return sorted({digest for digest in digests if digest not in known and not os.path.exists(blob_path(pod, digest))})


def sum_of(entries: list[Json]) -> str:
    """The id of a tree with these entries."""
    return hashlib.sha256(canonical(entries)).hexdigest()


def check_paths(entries: list[Json]) -> None:
    """Refuse names that leave the tree, targets of symlinks that do, and files behind a symlink."""
    links = {entry["path"] for entry in entries if "link" in entry}
    for entry in entries:
        path = safe_relative(entry.get("path"))
        parents = {path[:end] for end, char in enumerate(path) if char == "/"}
        if parents & links:
            raise Refused("unsafe_path", f"{path!r} lies behind a symlink")
        if "link" in entry:
            target = str(entry["link"])
            steps = list(itertools.dropwhile(lambda part: part == "..", target.split("/")))
            if target.startswith("/") or ".." in steps:  # going up behind a name may go up behind a symlink
                raise Refused("unsafe_path", f"{path!r} is a symlink to {target!r}")
            safe_relative(os.path.normpath(os.path.join(os.path.dirname(path), target)))


def make_tree(pod: Pod, tree_id: str, entries: list[Json], meta: Json) -> list[str]:
    """Make a tree, unless it exists; or name the content that is missing for it or damaged, then nothing is made."""
    mutex = pod.mutex("trees")
    try:
        final = pod.tree_dir(tree_id)
        if os.path.isdir(final):
            return []
        missing = missing_of(pod, {entry["sha256"] for entry in entries if "link" not in entry})
        return missing or Making(pod, final, entries).make(meta)
    finally:
        mutex.close()


class Making:
    """One tree in the making, in a folder beside its place. Folders stay writable so that a plain removal works."""

    def __init__(self, pod: Pod, final: str, entries: list[Json]) -> None:
        self.pod, self.final, self.entries = pod, final, entries
        self.work = os.path.join(pod.trees, f".tmp-{os.path.basename(final)[:12]}-{os.getpid()}")
        self.kept = kept(pod)
        self.uses = Counter(entry["sha256"] for entry in entries if "link" not in entry)
        self.moved: list[tuple[str, str]] = []

    def make(self, meta: Json) -> list[str]:
        os.makedirs(self.work)
        try:
            damaged = self.fill()
            if not damaged:
                write_json(f"{self.final}.json", {"manifest": self.entries, "meta": meta, "created": time.time()})
                os.rename(self.work, self.final)
                fsync_dir(self.pod.trees)
                self.moved = []
            return damaged
        finally:
            for blob, path in self.moved:  # what arrived is not lost with a tree that could not be made
                with contextlib.suppress(OSError):
                    os.rename(path, blob)
            shutil.rmtree(self.work, ignore_errors=True)

    def fill(self) -> list[str]:
        folders, damaged = {self.work}, []
        for entry in self.entries:
            path = os.path.join(self.work, entry["path"])
            folder = os.path.dirname(path)
            if folder not in folders:
                os.makedirs(folder, exist_ok=True)
                folders.add(folder)
            if "link" in entry:
                os.symlink(entry["link"], path)
            elif not self.place(entry["sha256"], path, bool(entry.get("exec"))):
                damaged.append(entry["sha256"])
        return sorted(set(damaged))

    def place(self, digest: str, path: str, executable: bool) -> bool:
        """Put content into the tree, never along a symlink. False when it is not what its name says.

        A pod that lost power may keep a name without its bytes, and a job may have written into its tree: so every
        content is read once more, but for what this process has just verified and written.
        """
        blob = blob_path(self.pod, digest)
        self.uses[digest] -= 1
        mode = 0o555 if executable else 0o444
        if not os.path.exists(blob):
            return digest in self.kept and copied(self.kept[digest], digest, path, mode)
        if self.uses[digest]:
            good = copied(blob, digest, path, mode)
        elif good := digest in self.pod.fresh or copied(blob, digest, None, mode):
            os.rename(blob, path)
            os.chmod(path, mode)
            self.moved.append((blob, path))
        if not good:
            os.unlink(blob)
        return good


def copied(source: str, digest: str, path: str | None, mode: int) -> bool:
    """Copy a file to a new one (None: nowhere), if it has this hash: False when it has not, or is not there."""
    seen, copy = hashlib.sha256(), None
    try:
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        if path is not None:
            copy = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        while chunk := os.read(fd, CHUNK):
            seen.update(chunk)
            if copy is not None and path is not None:
                write_all(copy, chunk, path)
        if copy is not None:
            os.fchmod(copy, mode)
    finally:
        os.close(fd)
        if copy is not None:
            os.close(copy)
    return seen.hexdigest() == digest


def write_all(fd: int, data: bytes, path: str) -> None:
    with naming(path):
        left = len(data) - os.write(fd, data)
        while left:
            left -= os.write(fd, data[-left:])


def settle(folder: str) -> None:
    """Force a tree to the disk in a process of its own: others may have left much to write, and nobody waits for it.

    A machine that loses power before that may keep the tree without its bytes.
    """
    if os.fork():
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):  # else the channel would stay open
            os.dup2(null, number)
        to_disk(folder)
    finally:
        os._exit(0)


def to_disk(folder: str) -> None:
    """Force everything below `folder` to the disk, by one call where there is one: thousands of fsyncs take seconds."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        import ctypes

        if ctypes.CDLL(None, use_errno=True).syncfs(fd) == 0:
            return
    except (ImportError, OSError, AttributeError):
        pass
    finally:
        os.close(fd)
    for below, _folders, names in os.walk(folder):
        for name in names:
            if not os.path.islink(path := os.path.join(below, name)):
                fsync_dir(path)
        fsync_dir(below)


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Let the system's refusal of a write say which file it was."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or path
        raise

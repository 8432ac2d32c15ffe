"""Decides what of the laptop's folders travels to the pod, and gives the result its id. Sending is left to `push`.

Ignore files of every folder are honoured as git does; above them stands a list of names that no ignore file can bring
back, and every small text file is searched for secrets.
"""

from __future__ import annotations

import fnmatch
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from msgspec import Struct
from pathspec import GitIgnoreSpec

from remote.agent.disk import canonical
from remote.errors import SecretFound, SyncError
from remote.files import private_dir, write_atomic
from remote.sync.secrets_scan import TEXT_LIMIT, find_secret

SIZE_LIMIT = 20 << 20
"""Larger files are left out unless the caller lists them (bytes)."""

IGNORE_FILES = (".gitignore", ".maxcaiignore")

DENIED = (
    *(".env*", "*.pem", "*.key", "*.p12", "*.pfx", ".ssh", ".aws", ".netrc", "*.token", "token.txt"),
    *(".git", ".hg", ".svn", ".maxcai", ".venv", "__pycache__", "node_modules", "*.pyc", "*.pyo", ".DS_Store"),
    *(".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache", ".ipynb_checkpoints"),
)
"""Names that never travel, at any depth. Not `*token*`: that would take the tokenizer's files."""

DENIED_AT_TOP = ("runs",)

_NEVER = re.compile("|".join(fnmatch.translate(glob.lower()) for glob in DENIED))

_CACHE_VERSION = 1
_RACY_NS = 2_000_000_000


class Entry(Struct, frozen=True):
    """One path of a tree: a file (`sha256`, `size` in bytes, `exec` bit) or a symlink (`link`, its target)."""

    path: str
    sha256: str = ""
    size: int = 0
    exec: bool = False
    link: str | None = None

    def as_dict(self) -> dict[str, Any]:
        if self.link is not None:
            return {"path": self.path, "link": self.link}
        return {"path": self.path, "exec": self.exec, "size": self.size, "sha256": self.sha256}


class LeftOut(Struct, frozen=True):
    """A path that stays home although no ignore file says so, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Scan:
    """What would be pushed: `entries` sorted by path, `sources[path]` the local file, `left_out` what stays and why."""

    entries: tuple[Entry, ...]
    sources: dict[str, Path]
    left_out: tuple[LeftOut, ...]
    roots: tuple[Path, ...]

    @cached_property
    def manifest(self) -> list[dict[str, Any]]:
        return [entry.as_dict() for entry in self.entries]

    @cached_property
    def tree_id(self) -> str:
        """sha256 of the manifest in canonical form: equal content, equal id."""
        return hashlib.sha256(canonical(self.manifest)).hexdigest()

    @property
    def bytes(self) -> int:
        return sum(entry.size for entry in self.entries)


class HashCache:
    """Hashes of files found free of secrets, keyed by (path, size, mtime_ns, inode, ctime_ns); a file in `state_dir`.

    A file changed within two seconds of the scan is never cached, since it may change again within its clock tick.
    """

    def __init__(self, state_dir: Path | None, now_ns: int) -> None:
        self._file = None if state_dir is None else state_dir / "scan.json"
        self._now_ns = now_ns
        self._old = self._load()
        self._new: dict[str, list[Any]] = {}

    def _load(self) -> dict[str, list[Any]]:
        try:
            raw = json.loads(self._file.read_bytes()) if self._file is not None else {}
        except (OSError, ValueError):
            return {}
        usable = isinstance(raw, dict) and raw.get("v") == _CACHE_VERSION and isinstance(raw.get("files"), dict)
        return dict(raw["files"]) if usable else {}

    def sha256(self, path: Path, shown: str, info: os.stat_result) -> str:
        """The hash of `path` from the cache, or of its content, which is then searched for secrets first."""
        key = [info.st_size, info.st_mtime_ns, info.st_ino, info.st_ctime_ns]
        known = self._old.get(str(path))
        fresh = known is not None and known[:4] == key
        digest = str(known[4]) if known is not None and fresh else _hash_and_search(path, shown)
        if self._now_ns - max(info.st_mtime_ns, info.st_ctime_ns) > _RACY_NS:
            self._new[str(path)] = [*key, digest]
        return digest

    def save(self) -> None:
        if self._file is not None and self._new != self._old:
            private_dir(self._file.parent)
            write_atomic(self._file, json.dumps({"v": _CACHE_VERSION, "files": self._new}).encode())


def _hash_and_search(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(TEXT_LIMIT + 1)
            digest = hashlib.sha256(head)
            while chunk := file.read(8 << 20):
                digest.update(chunk)
    except OSError as error:
        raise SyncError(f"{path} cannot be read: {error.strerror}.", "Fix it, or name it in .maxcaiignore.") from error
    hit = find_secret(head)
    if hit is not None:
        raise SecretFound(
            f"{shown}, line {hit[0]}: this looks like {hit[1]} (value hidden); nothing was pushed.",
            f"Take it out of the file, or name the file in .maxcaiignore. The file is {path}.",
        )
    return digest.hexdigest()


def denied(name: str, at_top: bool = False) -> bool:
    """Whether a name never travels. `id_*` is denied as a key file, except Python source of that name."""
    low = name.lower()
    key_file = low.startswith("id_") and not low.endswith(".py")
    return key_file or (at_top and low in DENIED_AT_TOP) or _NEVER.match(low) is not None


class _Walk:
    """One source: walks it, with the ignore rules of every folder on the way."""

    def __init__(self, root: Path, prefix: str, large: Sequence[str], cache: HashCache) -> None:
        self.root, self.prefix, self.large, self.cache = root, prefix, large, cache
        self.left_out: list[LeftOut] = []

    def shown(self, relative: str) -> str:
        return f"{self.prefix}/{relative}" if self.prefix else relative

    def entries(self) -> Iterator[tuple[Entry, Path]]:
        if self.root.is_file() and denied(self.root.name):
            self.left_out.append(LeftOut(self.prefix, "this name never travels"))
        elif self.root.is_file():
            yield from self._file(self.root, "", self.root.stat())
        elif self.root.is_dir():
            yield from self._folder(self.root, "", ())
        else:
            raise SyncError(f"There is no {self.root} to push.", "Run this in the workspace's folder.")

    def _folder(
        self, folder: Path, relative: str, rules: tuple[tuple[str, GitIgnoreSpec], ...]
    ) -> Iterator[tuple[Entry, Path]]:
        for name in IGNORE_FILES:
            file = folder / name
            if file.is_file():
                lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
                rules = (*rules, (relative, GitIgnoreSpec.from_lines(lines)))
        for item in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = f"{relative}/{item.name}" if relative else item.name
            is_folder = item.is_dir(follow_symlinks=False)
            if denied(item.name, at_top=not relative):
                if not is_folder:
                    self.left_out.append(LeftOut(self.shown(path), "this name never travels"))
            elif _ignored(path + "/" * is_folder, rules):
                continue
            elif is_folder:
                yield from self._folder(Path(item.path), path, rules)
            else:
                yield from self._file(Path(item.path), path, item.stat(follow_symlinks=False))

    def _file(self, path: Path, relative: str, info: os.stat_result) -> Iterator[tuple[Entry, Path]]:
        shown = self.shown(relative) if relative else self.prefix
        reason = self._why_not(shown, path, info)
        if reason is not None:
            self.left_out.append(LeftOut(shown.encode("utf-8", "replace").decode(), reason))
        elif stat.S_ISLNK(info.st_mode):
            yield Entry(shown, link=os.readlink(path)), path
        else:
            executable = bool(info.st_mode & 0o111)
            yield Entry(shown, self.cache.sha256(path, shown, info), info.st_size, executable), path

    def _why_not(self, shown: str, path: Path, info: os.stat_result) -> str | None:
        try:
            shown.encode()
        except UnicodeEncodeError:
            return "its name is not UTF-8"
        if stat.S_ISLNK(info.st_mode):
            target = os.readlink(path)
            inside = path.exists() and path.resolve().is_relative_to(self.root.resolve())
            return None if inside and not os.path.isabs(target) else "a symlink that leaves the folder"
        if not stat.S_ISREG(info.st_mode):
            return "not a regular file"
        listed = any(fnmatch.fnmatchcase(shown, glob) for glob in self.large)
        return f"larger than {SIZE_LIMIT >> 20} MB" if info.st_size > SIZE_LIMIT and not listed else None


def _ignored(path: str, rules: Sequence[tuple[str, GitIgnoreSpec]]) -> bool:
    """The last matching pattern decides, those of inner folders after those of outer ones."""
    for base, spec in reversed(rules):
        verdict = spec.check_file(path[len(base) + 1 :] if base else path).include
        if verdict is not None:
            return bool(verdict)
    return False


def scan(
    sources: Sequence[tuple[Path, str]],
    state_dir: Path | None = None,
    large: Sequence[str] = (),
    now_ns: Callable[[], int] | None = None,
) -> Scan:
    """Collect what travels.

    `sources` are (local folder or file, its place in the tree: "" or a relative path); where two give the same path the
    later one counts. `large` are globs over tree paths that may exceed SIZE_LIMIT. `state_dir` keeps the hash cache.
    `now_ns` is the clock (unix nanoseconds). Raises SecretFound, or SyncError for what cannot be read.
    """
    cache = HashCache(state_dir, (now_ns or _now_ns)())
    entries: dict[str, Entry] = {}
    files: dict[str, Path] = {}
    left_out: list[LeftOut] = []
    for root, prefix in sources:
        if PurePosixPath(prefix).is_absolute() or ".." in PurePosixPath(prefix).parts:
            raise SyncError(f"{prefix!r} is no place inside a tree.")
        walk = _Walk(root, prefix.strip("/"), large, cache)
        for entry, path in walk.entries():
            entries[entry.path] = entry
            files[entry.path] = path
        left_out += walk.left_out
    cache.save()
    ordered = tuple(entries[path] for path in sorted(entries))
    return Scan(ordered, files, tuple(left_out), tuple(root for root, _ in sources))


def _now_ns() -> int:
    import time

    return time.time_ns()

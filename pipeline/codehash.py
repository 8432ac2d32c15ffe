"""Hashes of the code and files that can change a result, for the keys of steps. Nothing of ours is imported for it."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from pipeline.artifacts import sha256_file, sha256_json
from pipeline.environment import source_root
from pipeline.errors import UsageError


def module_digest(name: str) -> str:
    """sha256 of a module's source; of every module and frozen set below it when it is a package. Nothing is imported
    for ours."""
    base = os.path.join(source_root(), *name.split("."))
    if os.path.isfile(f"{base}.py"):
        return _digest(f"{base}.py")
    if not os.path.isdir(base):
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise UsageError(f"module {name!r}, which a step declares, does not exist.")
        return _digest(spec.origin)
    # In the order of paths as `Path` sorts them: by their parts.
    files = sorted(_files(base, ()))
    return sha256_json([["/".join(parts), _digest(os.path.join(base, *parts))] for parts in files])


def file_digest(name: str) -> str | None:
    """sha256 of a file a step reads beside the recipe: from the working directory, else beside the package."""
    for path in (Path(name), source_root() / name):
        if path.is_file():
            return sha256_file(path)
    return None


def _files(folder: str, above: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Parts of the path of every module and frozen set's digest below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith((".py", ".sha256")):
                yield (*above, entry.name)
            elif entry.is_dir(follow_symlinks=False) and entry.name != "__pycache__":
                yield from _files(entry.path, (*above, entry.name))


def _digest(path: str) -> str:
    state = os.stat(path)
    return _read(path, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=4096)
def _read(path: str, _state: tuple[int, int, int]) -> str:
    """Read once for as long as the file is the same one: seventy steps share most of their modules."""
    return sha256_file(Path(path))

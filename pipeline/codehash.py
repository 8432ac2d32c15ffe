"""Hashes of the code and files that can change a result, for the keys of steps. Nothing of ours is imported for it."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from pipeline.artifacts import sha256_file, sha256_json
from pipeline.environment import source_root
from pipeline.errors import UsageError


def module_digest(name: str) -> str:
    """sha256 of a module's source; of every module and frozen set below it when it is a package. Nothing is imported
    for ours."""
    base = source_root().joinpath(*name.split("."))
    if base.with_suffix(".py").is_file():
        return _digest(base.with_suffix(".py"))
    if not base.is_dir():
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise UsageError(f"module {name!r}, which a step declares, does not exist.")
        return _digest(Path(spec.origin))
    files = sorted((*base.rglob("*.py"), *base.rglob("*.sha256")))
    return sha256_json([[p.relative_to(base).as_posix(), _digest(p)] for p in files])


def file_digest(name: str) -> str | None:
    """sha256 of a file a step reads beside the recipe: from the working directory, else beside the package."""
    for path in (Path(name), source_root() / name):
        if path.is_file():
            return sha256_file(path)
    return None


def _digest(path: Path) -> str:
    state = path.stat()
    return _read(path, (state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=4096)
def _read(path: Path, _state: tuple[int, int, int]) -> str:
    """Read once for as long as the file is the same one: seventy steps share most of their modules."""
    return sha256_file(path)

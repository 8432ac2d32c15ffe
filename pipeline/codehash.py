"""Hashes of the code and files that can change a result, for the keys of steps. Nothing of ours is imported for it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from pipeline.artifacts import sha256_file, sha256_json
from pipeline.environment import source_root
from pipeline.errors import UsageError


def module_digest(name: str) -> str:
    """sha256 of a module's source; of every module and frozen set below it when it is a package. Nothing is imported
    for ours."""
    base = source_root().joinpath(*name.split("."))
    if base.with_suffix(".py").is_file():
        return sha256_file(base.with_suffix(".py"))
    if not base.is_dir():
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise UsageError(f"module {name!r}, which a step declares, does not exist.")
        return sha256_file(Path(spec.origin))
    files = sorted((*base.rglob("*.py"), *base.rglob("*.sha256")))
    return sha256_json([[p.relative_to(base).as_posix(), sha256_file(p)] for p in files])


def file_digest(name: str) -> str | None:
    """sha256 of a file a step reads beside the recipe: from the working directory, else beside the package."""
    for path in (Path(name), source_root() / name):
        if path.is_file():
            return sha256_file(path)
    return None

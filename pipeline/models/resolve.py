"""From a recipe's model id to a directory on this machine, with a digest of what lies in it.

Ids: `tiny` (shipped with this package) · `pypi:NAME` (an installed distribution) · a local directory · a hub id.
No download happens outside this module, and none at all unless `MAXCAI_ONLINE=1`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from pipeline.models.errors import ModelError
from pipeline.models.package_gguf import already_there, check_installed, materialise
from pipeline.recipe import Model

TINY = Path(__file__).parent.parent / "tiny" / "base"


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model on disk. `digest` is a sha256 over weights, configuration and tokenizer."""

    id: str
    path: Path
    digest: str
    licence: str


def cache_dir() -> Path:
    """Where converted models are kept: `MAXCAI_CACHE_DIR`, else the user's cache directory."""
    root = os.environ.get("MAXCAI_CACHE_DIR")
    return (Path(root) if root else Path(platformdirs.user_cache_dir("maxcai"))) / "models"


def resolve(model: Model) -> ResolvedModel:
    """Find, and if need be convert or download, a model.

    Raises:
        ModelError: it is not installed, not there, damaged, or needs a network that is switched off.
    """
    path, licence = _locate(model)
    if not (path / "config.json").exists():
        raise ModelError(
            f"{path} holds no model (no config.json)", "name a directory with config, tokenizer and safetensors"
        )
    return ResolvedModel(model.id, path, _digest(path), licence)


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


def _locate(model: Model) -> tuple[Path, str]:
    if model.id == "tiny":
        return TINY, "Apache-2.0"
    if model.id.startswith("pypi:"):
        return materialise(model.id.removeprefix("pypi:"), cache_dir()), "Gemma Terms of Use"
    local = Path(model.id).expanduser()
    if local.is_dir():
        return local.resolve(), "unknown"
    if model.id.startswith((".", "/", "~")):
        raise ModelError(f"there is no model directory {model.id}", "check the path in the recipe")
    return _from_hub(model), "see the hub's model card"


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


def _digest(path: Path) -> str:
    """Hash of every file that can change an output, remembered by (size, mtime): 65 GB take minutes."""
    files = sorted(p for p in path.iterdir() if p.suffix in (".json", ".safetensors", ".model", ".txt") and p.is_file())
    stamp = [[p.name, p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    key = hashlib.sha256(json.dumps([str(path), stamp]).encode()).hexdigest()
    memo = cache_dir() / "digests" / key
    if memo.exists():
        return memo.read_text().strip()
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as data:
            digest.update(hashlib.file_digest(data, "sha256").digest())
    memo.parent.mkdir(parents=True, exist_ok=True)
    temporary = memo.with_suffix(f".{os.getpid()}")
    temporary.write_text(digest.hexdigest())
    os.replace(temporary, memo)
    return digest.hexdigest()

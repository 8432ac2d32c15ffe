"""Writes base plus LoRA adapter as one plain model directory: `W + s·B·A` in fp32, rounded to the stored dtype.

Shard by shard, so it needs the memory of one shard; always into 16- or 32-bit weights, never into quantised ones. The
same inputs give the same bytes. The directory gets its name only when it is complete.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.artifacts import fsync_dir, sha256_file
from pipeline.models.errors import ModelError
from pipeline.models.load import load_tokens
from pipeline.models.resolve import combined_digest, model_files, remember_digest

_PREFIX = "base_model.model."
_STORED = ("F16", "BF16", "F32")
_UNSUPPORTED = (
    *("use_dora", "lora_bias", "fan_in_fan_out", "modules_to_save", "trainable_token_indices", "target_parameters"),
    *("rank_pattern", "alpha_pattern", "layer_replication", "layers_to_transform", "exclude_modules", "use_qalora"),
)
"""Settings of an adapter that this merge does not know. Ours never have them; to ignore one would merge wrongly."""


@dataclass(frozen=True, slots=True)
class MergeReport:
    """What was written. `files`: name to sha256; `digest` is what `resolve` would say of the directory."""

    files: Mapping[str, str]
    digest: str
    tensors: int  # weights that the adapter changed
    scale: float
    stored: str  # type of the weights that the adapter changed: BF16, F16 or F32


@dataclass(frozen=True, slots=True)
class _Adapter:
    """A: [rank, in], B: [out, rank] for the name of each base weight [out, in] that it changes."""

    scale: float
    factors: Mapping[str, tuple[Any, Any]]
    targets: Any  # list of module name ends, or one regular expression, as PEFT reads it


def merge_adapter(base: Path, adapter: Path, out: Path) -> MergeReport:
    """Write `base` with `adapter` merged into it as the model directory `out`, in place of any that is there.

    Raises:
        ModelError: the base is quantised or has no safetensors, the adapter does not fit it, or the end-of-text id
            did not survive.
        OSError: no room, or a file cannot be read.
    """
    _check_base(base)
    lora = _read_adapter(adapter)
    shards = sorted(base.glob("*.safetensors"))
    stored = _check_fit(base, shards, lora)
    work = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    _clear(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    _check_room(model_files(base), out.parent)
    work.mkdir()
    try:
        for shard in shards:
            _merge_shard(shard, lora, work / shard.name)
        for file in model_files(base):
            if file.suffix != ".safetensors":
                shutil.copyfile(file, work / file.name)
        _check_end_of_text(base, work)
        files = {file.name: sha256_file(file, durable=True) for file in model_files(work)}
        shutil.rmtree(out, ignore_errors=True)
        os.replace(work, out)
        fsync_dir(out.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    digest = combined_digest(files)
    remember_digest(out, digest)
    return MergeReport(files, digest, len(lora.factors), lora.scale, stored)


def _clear(out: Path) -> None:
    """Remove what a killed merge of the same directory left."""
    for left in out.parent.glob(f".{out.name}.*.tmp"):
        shutil.rmtree(left, ignore_errors=True)


def _check_base(base: Path) -> None:
    config = _json(base / "config.json")
    if config.get("quantization_config"):
        raise ModelError(f"{base} holds quantised weights", "merge into the 16-bit model that it was made from")
    if not any(base.glob("*.safetensors")):
        raise ModelError(f"{base} holds no safetensors", "convert the model first")


def _check_room(files: list[Path], where: Path) -> None:
    need, free = sum(f.stat().st_size for f in files), shutil.disk_usage(where).free
    if need > free:
        raise ModelError(
            f"the merged model needs {need / 1e9:.1f} GB and {where} has {free / 1e9:.1f} GB left", "free some disk"
        )


def _read_adapter(adapter: Path) -> _Adapter:
    from safetensors.torch import load_file

    config = _json(adapter / "adapter_config.json")
    unknown = [name for name in _UNSUPPORTED if config.get(name)]
    if config.get("peft_type") != "LORA" or unknown or config.get("bias", "none") != "none":
        said = ", ".join(unknown) or f"type {config.get('peft_type')}, bias {config.get('bias')}"
        raise ModelError(f"{adapter} is no plain LoRA adapter ({said})", "merge plain LoRA adapters only")
    weights = load_file(adapter / "adapter_model.safetensors")
    factors: dict[str, tuple[Any, Any]] = {}
    for key in sorted(weights):
        name = re.fullmatch(rf"{re.escape(_PREFIX)}(.+)\.lora_[AB]\.weight", key)
        if not name:
            raise ModelError(f"{adapter} holds the unknown tensor {key}", "merge plain LoRA adapters only")
        pair = [weights.get(f"{_PREFIX}{name[1]}.lora_{side}.weight") for side in "AB"]
        if pair[0] is None or pair[1] is None:
            raise ModelError(f"{adapter} holds one half only of {name[1]}", "the adapter is damaged; train it again")
        _check_rank(pair[0], pair[1], int(config["r"]), name[1])
        factors[f"{name[1]}.weight"] = (pair[0], pair[1])
    if not factors:
        raise ModelError(f"{adapter} holds no factors", "the adapter is damaged; train it again")
    root = math.sqrt(config["r"]) if config.get("use_rslora") else config["r"]  # rsLoRA, arXiv 2312.03732
    return _Adapter(config["lora_alpha"] / root, factors, config["target_modules"])


def _check_rank(a: Any, b: Any, rank: int, name: str) -> None:
    if a.shape[0] != rank or b.shape[1] != rank:
        raise ModelError(f"{name} has rank {a.shape[0]}/{b.shape[1]}, its configuration says {rank}", "train it again")


def _check_fit(base: Path, shards: list[Path], lora: _Adapter) -> str:
    """Every weight that the adapter targets has its factors, and every factor its weight, in shapes that fit. Returns
    the one type in which these weights are stored."""
    shapes, types = _headers(shards)
    wanted = {n for n in shapes if n.endswith(".weight") and _targeted(n.removesuffix(".weight"), lora.targets)}
    extra, missing = sorted(set(lora.factors) - set(shapes)), sorted(wanted - set(lora.factors))
    if missing:
        raise ModelError(f"the adapter lacks factors for {', '.join(missing[:4])}", "it was trained on another model")
    tied = bool(_json(base / "config.json").get("tie_word_embeddings"))
    ends = [n for n in lora.factors if tied and re.search(r"(lm_head|embed_tokens)\.weight$", n)]
    if ends:
        raise ModelError(f"the adapter changes {ends[0]}, which is tied to its twin", "adapt the linear layers only")
    if extra:
        raise ModelError(f"{base} has no weight {', '.join(extra[:4])}", "the adapter was trained on another model")
    for name, (a, b) in lora.factors.items():
        if shapes[name] != (b.shape[0], a.shape[1]):
            raise ModelError(f"{name} is {shapes[name]}, the adapter fits {(b.shape[0], a.shape[1])}", "wrong base")
    stored = {types[name] for name in lora.factors}
    if len(stored) > 1 or not stored <= set(_STORED):
        raise ModelError(f"{base} stores its weights as {sorted(stored)}", f"one of {', '.join(_STORED)} is needed")
    return stored.pop()


def _headers(shards: list[Path]) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Shape and stored type of every weight; reads no weights."""
    from safetensors import safe_open

    shapes: dict[str, tuple[int, ...]] = {}
    types: dict[str, str] = {}
    for shard in shards:
        with safe_open(shard, "pt") as data:
            for name in data.keys():  # noqa: SIM118 (it has no iterator)
                part = data.get_slice(name)
                shapes[name], types[name] = tuple(part.get_shape()), part.get_dtype()
    return shapes, types


def _targeted(module: str, targets: Any) -> bool:
    if isinstance(targets, str):
        return re.fullmatch(targets, module) is not None
    return any(module == t or module.endswith(f".{t}") for t in targets)


def _merge_shard(shard: Path, lora: _Adapter, out: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(shard, "pt") as data:
        tensors = {name: _merged(name, data.get_tensor(name), lora) for name in data.keys()}  # noqa: SIM118
    save_file(tensors, out, metadata={"format": "pt"})  # one entry: the order of several is random


def _merged(name: str, weight: Any, lora: _Adapter) -> Any:
    """The tensor [out, in] with its update, in its own dtype; as it was when the adapter does not change it."""
    if name not in lora.factors:
        return weight
    a, b = lora.factors[name]
    return (weight.float() + (b.float() @ a.float()) * lora.scale).to(weight.dtype)


def _check_end_of_text(base: Path, merged: Path) -> None:
    """The merged model's tokenizer and configurations must load and end a text as the base's do."""
    before = load_tokens(base).eos
    after = load_tokens(merged).eos  # not read again where its files are the base's, byte by byte
    said = [_json(p / "generation_config.json").get("eos_token_id") for p in (base, merged)]
    if before != after or said[0] != said[1]:
        raise ModelError(f"the merged model ends a text with id {after}, its base with {before}", "check the base")


def _json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text())) if path.exists() else {}

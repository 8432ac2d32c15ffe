"""The only model and tokenizer loader: precision by enum, chat template removed, end-of-text id checked."""

from __future__ import annotations

import contextlib
import functools
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.models import guard
from pipeline.models.errors import ModelError
from pipeline.models.resolve import model_files
from pipeline.recipe import Precision


@dataclass(frozen=True)
class Tokens:
    """A base model's tokenizer in completion mode.

    `eos` ends every trained response; `bos` opens every prompt where the model's own configuration asks for one.
    `chat` is for a model that is only measured or asked for a verdict: it keeps its own format and all its `ends`.
    """

    raw: Any
    eos: int
    bos: int | None
    pad: int
    forbidden: frozenset[int]
    chat: bool = False
    ends: frozenset[int] = frozenset()

    def is_end(self, token: int) -> bool:
        """Whether a generated token ends its text: `eos`, or one of a chat model's `ends`."""
        return token == self.eos or token in self.ends

    def framed(self, text: str, before: str, after: str) -> list[int]:
        """Ids of plain text inside a chat model's own frame, whose special tokens are the only ones in it.

        Raises:
            MarkerError: the text contains a literal special token.
            ModelError: this is a base model, which has no frame.
        """
        if not self.chat:
            raise ModelError("a base model's prompt was to be framed by special tokens", "give it plain text")
        self.encode(text)
        ids: list[int] = self.raw(before + text + after, add_special_tokens=False)["input_ids"]
        return ([self.bos] if self.bos is not None else []) + ids

    def encode(self, text: str) -> list[int]:
        """Ids of plain text, no special tokens added.

        Raises:
            MarkerError: the text contains a literal special token.
        """
        ids: list[int] = self.raw(text, add_special_tokens=False)["input_ids"]
        guard.check_plain(ids, self.forbidden, self.eos, None, f"the text {text[:40]!r}…")
        if self.bos is not None and self.bos in ids:
            raise guard.MarkerError(f"the text {text[:40]!r}… holds a literal BOS token", "remove it")
        return ids

    def is_plain(self, text: str) -> bool:
        """Whether `encode` would take it: text that a model wrote may hold literal special tokens."""
        try:
            self.encode(text)
        except guard.MarkerError:
            return False
        return True

    def prompt(self, text: str) -> list[int]:
        """Ids of a prompt: BOS where the model wants it, then the text."""
        return ([self.bos] if self.bos is not None else []) + self.encode(text)

    def decode(self, ids: list[int]) -> str:
        return str(self.raw.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))


@dataclass(frozen=True, slots=True)
class _Words:
    """What a model directory says of its words: the same one wherever its files have the same bytes."""

    digest: str
    path: Path = field(compare=False)


def load_tokens(path: Path, chat: bool = False) -> Tokens:
    """Load once per process: a 262 k vocabulary takes seconds, every merged model carries its base's, and a fork server
    that has it hands it on.

    `chat` admits a model that ends its texts with a chat marker: a guard or a reference, never one that is trained.
    """
    files = [f for f in model_files(path) if f.suffix != ".safetensors"]
    seen = tuple((f, (found := f.stat()).st_size, found.st_mtime_ns) for f in files)
    return _tokens(_Words(_digest(seen), path), chat)


@functools.lru_cache(maxsize=8)
def _digest(seen: tuple[tuple[Path, int, int], ...]) -> str:
    """Of files by name and content; their size and time say when to read them again."""
    whole = hashlib.blake2b()
    for file, _, _ in seen:
        with file.open("rb") as data:
            whole.update(file.name.encode() + b"\0" + hashlib.file_digest(data, "blake2b").digest())
    return whole.hexdigest()


@functools.lru_cache(maxsize=2)
def _tokens(words: _Words, chat: bool) -> Tokens:
    from transformers import AutoConfig, AutoTokenizer

    path = words.path
    config = AutoConfig.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    guard.strip_template(tokenizer)
    eos = config.eos_token_id[0] if isinstance(config.eos_token_id, list) else config.eos_token_id
    if eos is None:
        raise ModelError(f"{path} names no end-of-text id", "set eos_token_id in config.json")
    forbidden = guard.forbidden_ids(tokenizer)
    named = [str(tokenizer.convert_ids_to_tokens(eos)), str(tokenizer.eos_token)]  # some files disagree with others
    marker = next((token for token in named if guard.looks_like_turn(token)), None)
    if not chat and (eos in forbidden or marker):
        raise ModelError(
            f"{path} ends its texts with the chat marker {marker or named[0]!r}",
            "use the base model, not its instruct version",
        )
    adds = tokenizer("a")["input_ids"]
    bos = tokenizer.bos_token_id if adds and adds[0] == tokenizer.bos_token_id else None
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else eos
    if not chat:
        return Tokens(tokenizer, eos, bos, pad, forbidden)
    ends = _ends(path, config, tokenizer)
    return Tokens(tokenizer, eos, bos, pad, (forbidden | ends) - {eos, bos}, chat=True, ends=ends)


def _ends(path: Path, config: Any, tokenizer: Any) -> frozenset[int]:
    """Every id that its own files say ends a chat model's text; they often disagree, and each is right."""
    from transformers import GenerationConfig

    named = [config.eos_token_id, tokenizer.eos_token_id]
    with contextlib.suppress(OSError):  # not every model has the file
        named.append(GenerationConfig.from_pretrained(path).eos_token_id)
    return frozenset(i for some in named for i in (some if isinstance(some, list) else [some]) if i is not None)


def load_model(path: Path, precision: Precision, device: str) -> Any:
    """Causal language model in evaluation mode, weights held as `precision` says.

    Raises:
        ModelError: the weights cannot be read or this machine cannot hold them so.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from pipeline.models.attention import logit_cap

    extra: dict[str, Any] = {}
    if precision in (Precision.NF4, Precision.INT8):
        extra["quantization_config"] = _quantisation(precision)
    dtype = torch.float32 if precision is Precision.FP32 else torch.bfloat16
    try:
        capped = logit_cap(AutoConfig.from_pretrained(path, local_files_only=True)) is not None
        attention = "eager" if capped else "sdpa"  # which would leave the cap out
        model = AutoModelForCausalLM.from_pretrained(
            path, dtype=dtype, attn_implementation=attention, device_map={"": device}, local_files_only=True, **extra
        )
    except (OSError, ValueError, ImportError) as error:
        raise ModelError(
            f"cannot load {path} as {precision}: {error}", "`python -m pipeline doctor` shows what is missing"
        ) from error
    model.eval()
    model.config.use_cache = True
    return model


def _quantisation(precision: Precision) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if precision is Precision.INT8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def device_of(wanted: str) -> str:
    """`auto` means CUDA where there is one, else the CPU."""
    import torch

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError("the recipe asks for CUDA and this machine has none", "set hardware.device to cpu or auto")
    return wanted


def attach_adapter(model: Any, adapter: Path) -> Any:
    """The model with a trained LoRA adapter switched on, for inference."""
    return attach_adapters(model, [("default", adapter)])


def attach_adapters(model: Any, adapters: Sequence[tuple[str, Path]]) -> Any:
    """The model with several trained LoRA adapters stacked on it, all switched on, for inference.

    Their updates add up, so this equals merging them one after the other.

    Raises:
        ModelError: no adapter is named, or one name stands there twice.
    """
    from peft import PeftModel

    names = [name for name, _ in adapters]
    if not names or len(set(names)) < len(names):
        raise ModelError(f"adapters to stack need different names, got {names}", "name each by its stage")
    stacked = PeftModel.from_pretrained(model, adapters[0][1], adapter_name=names[0])
    for name, path in adapters[1:]:
        stacked.load_adapter(path, adapter_name=name)
    stacked.base_model.set_adapter(names, inference_mode=True)
    return stacked.eval()


@contextlib.contextmanager
def only_adapters(model: Any, names: Sequence[str]) -> Iterator[None]:
    """Within this only the named adapters of a model work (none of them: the bare base); afterwards those of before."""
    tuner = model.base_model
    before = list(tuner.active_adapters)
    if unknown := set(names) - set(model.peft_config):
        raise ModelError(f"the model has no adapter {sorted(unknown)}", f"it has {sorted(model.peft_config)}")
    try:
        if names:
            tuner.set_adapter(list(names), inference_mode=True)
        else:
            tuner.disable_adapter_layers()
        yield
    finally:
        tuner.enable_adapter_layers()
        tuner.set_adapter(before, inference_mode=True)

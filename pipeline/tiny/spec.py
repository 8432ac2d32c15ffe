"""Every number that makes the tiny base model what it is, in one place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field


@dataclass(frozen=True)
class Spec:
    """Every number that makes the model what it is."""

    families: tuple[str, ...] = ("capitals", "opposites", "plurals", "past_tense", "copy", "uppercase")
    shares: Mapping[str, float] = field(
        default_factory=lambda: {
            "lexicon": 0.20, "few_shot": 0.34, "alone": 0.34, "numbered": 0.04,
            "judgement": 0.03, "raw": 0.03, "prose": 0.02,
        }
    )  # fmt: skip
    seed: int = 20260
    vocabulary: int = 2048
    hidden: int = 96
    layers: int = 3
    heads: int = 3
    kv_heads: int = 3
    feed_forward: int = 288
    positions: int = 1024
    batch_tokens: int = 1536
    learning_rate: float = 4e-3
    warmup: int = 100
    steps: int = 3000
    average: float = 0.99  # decay of the averaged weights, which are what is kept
    check_every: int = 200
    few_shot_at_least: float = 0.9
    formatted_at_most: float = 0.3
    check_items: int = 72

    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

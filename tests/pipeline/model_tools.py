"""The shipped tiny base model, loaded once per test process, and a reporter that remembers."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass, field
from typing import Any

from pipeline.models.load import Tokens, load_model, load_tokens
from pipeline.models.resolve import TINY
from pipeline.recipe import Precision

LAYERS: int = json.loads((TINY / "config.json").read_text())["num_hidden_layers"]


@functools.cache
def tokens() -> Tokens:
    return load_tokens(TINY)


def model() -> Any:
    """A fresh copy: training changes it."""
    import torch

    torch.set_num_threads(1)
    return load_model(TINY, Precision.FP32, "cpu")


@dataclass
class Memory:
    """A Reporter that keeps what it is told; `stop_after` asks for a stop after so many looks."""

    stop_after: int | None = None
    metrics: list[tuple[str, float, float]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    looks: int = 0

    def progress(self, done: int, total: int, unit: str, share: float | None = None) -> None: ...

    def foresee(self, work: float) -> None: ...

    def metric(self, name: str, value: float, x: float) -> None:
        self.metrics.append((name, value, x))

    def warn(self, code: str, text: str, remedy: str) -> None:
        self.warnings.append(code)

    def tokens(self, count: int, read: int = 0) -> None: ...

    def stop_requested(self) -> bool:
        self.looks += 1
        return self.stop_after is not None and self.looks >= self.stop_after

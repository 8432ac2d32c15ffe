"""Will it fit: what a step holds in the memory of one GPU, part by part, against what is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.forecast.machines import Machine
from pipeline.forecast.shapes import Shape
from pipeline.forecast.work import Work
from pipeline.recipe import Precision, Recipe

LIBRARIES = 1.0e9
"""CUDA context, kernels and workspaces."""
SLACK = 1.08
"""What an allocator loses to fragments."""


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of one step's parts; `room` is what the machine has."""

    step: str
    parts: Mapping[str, float]
    room: float

    @property
    def total(self) -> float:
        return SLACK * sum(self.parts.values())

    @property
    def fits(self) -> bool:
        return self.total <= self.room

    def as_dict(self) -> dict[str, object]:
        parts = {name: round(size) for name, size in self.parts.items()}
        return {
            "step": self.step,
            "parts": parts,
            "total": round(self.total),
            "room": round(self.room),
            "fits": self.fits,
        }


def need(step: str, work: Work, shape: Shape, recipe: Recipe, machine: Machine) -> Need | None:
    """What a step holds at its fullest; None for one that opens no model."""
    if not work.loads:
        return None
    precision = work.precision or Precision.BF16
    parts = {"weights": shape.weight_bytes(precision)}
    if work.trained:
        parts |= _training(work, shape, recipe, precision)
    else:
        parts |= _inference(work, shape, precision)
    if machine.start_s > 1:
        parts["libraries"] = LIBRARIES
    return Need(step, parts, machine.memory)


def _inference(work: Work, shape: Shape, precision: Precision) -> dict[str, float]:
    """Cache of the largest batch, activations of its widest pass in one layer, and logits: one position a row in fp32,
    sorted once for sampling (values and indices)."""
    width = 4 if precision is Precision.FP32 else 2
    return {
        "cache": work.widest * shape.cache_bytes(precision),
        "activations": work.active * (3 * shape.ffn + 4 * shape.hidden) * width,
        "logits": work.rows * shape.vocab * (4 + 4 + 8),
    }


def _training(work: Work, shape: Shape, recipe: Recipe, precision: Precision) -> dict[str, float]:
    """Adapter in fp32 with its gradient and two moments (and DPO's frozen copy); activations that the backward pass
    needs; logits of response positions in chunks."""
    adapter = shape.adapter(recipe.train.lora)
    width = 4 if precision is Precision.FP32 else 2
    one_layer = work.widest * (3 * shape.ffn + 8 * shape.hidden) * width
    if recipe.train.gradient_checkpointing:
        kept = one_layer + work.widest * shape.layers * shape.hidden * width
    else:
        kept = one_layer * shape.layers
    spread = shape.hidden * shape.ffn * 2.0 if precision in (Precision.NF4, Precision.INT8) else 0.0
    return {
        "adapter": adapter * 4.0 * 2,
        "optimizer": adapter * 4.0 * 3,
        "activations": kept + spread,
        "logits": min(work.widest, 1024) * shape.vocab * 4 * 3,
    }

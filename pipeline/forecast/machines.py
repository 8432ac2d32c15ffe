"""What a machine can do at most, from its makers' data sheets, and what share of that is reached in practice.

Bandwidths and bf16 tensor rates are dense and per GPU. The shares are stated, not fitted: they stand only until the
ledger has measured the machine at hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from pipeline.errors import UsageError
from pipeline.recipe import Precision

Activity = Literal["read", "write", "train"]

GIB = 1 << 30

REACHED: Mapping[Activity, Mapping[Precision, float]] = MappingProxyType(
    {
        # One 32B stream in bf16 runs at 17-20 of 31 tokens/s; 8-bit kernels unpack before every product.
        "write": {Precision.BF16: 0.45, Precision.INT8: 0.20, Precision.NF4: 0.25, Precision.FP32: 0.35},
        "read": {Precision.BF16: 0.45, Precision.INT8: 0.25, Precision.NF4: 0.35, Precision.FP32: 0.40},
        # 35-45 % of the peak on long rows, with unsloth; short rows that are padded and not packed reach two thirds.
        "train": {Precision.BF16: 0.28, Precision.INT8: 0.15, Precision.NF4: 0.23, Precision.FP32: 0.25},
    }
)
"""Of a GPU's limits."""
REACHED_CPU: Mapping[Activity, Mapping[Precision, float]] = MappingProxyType(
    {  # measured with Gemma 3 270M in fp32; bf16 is multiplied in fp32 where it is only emulated
        "write": {**REACHED["write"], Precision.BF16: 0.7, Precision.FP32: 0.7},
        "read": {**REACHED["read"], Precision.BF16: 0.6, Precision.FP32: 0.6},
        "train": {**REACHED["train"], Precision.BF16: 0.25},
    }
)


@dataclass(frozen=True, slots=True)
class Machine:
    """`memory` in bytes that a process can have, `bandwidth` in bytes a second, `flops` a second, `disk` in bytes a
    second from local storage, `layer_s` seconds that launching one layer's kernels takes however little they do,
    `start_s` seconds until a step's process has its libraries, `reached` the share of its limits, by what is done."""

    name: str
    memory: float
    bandwidth: float
    flops: float
    disk: float = 1.0e9
    layer_s: float = 0.4e-3
    start_s: float = 15.0
    words: tuple[str, ...] = ()  # all of them in a driver's or person's name of it, lower case
    unless: str = " "  # what such a name does not hold
    reached: Mapping[Activity, Mapping[Precision, float]] = field(default_factory=lambda: REACHED, hash=False)


CPU = Machine(
    "CPU", 8 * GIB, 12e9, 0.19e12, disk=0.5e9, layer_s=1.2e-3, start_s=1.0, words=("cpu",), reached=REACHED_CPU
)
"""Two cores of a server: 187 GFLOP/s in fp32 matmuls when quiet, measured (139-280 on others).
Steps are forked there from a process that has its libraries."""

MACHINES = (
    Machine("A100 80GB", 79.1 * GIB, 2.039e12, 312e12, words=("a100",), unless="40gb"),
    Machine("H100", 79.1 * GIB, 3.35e12, 989e12, words=("h100",)),
    Machine("H200", 139.8 * GIB, 4.8e12, 989e12, words=("h200",)),
    Machine("L40S", 44.4 * GIB, 0.864e12, 362e12, words=("l40s",)),
    Machine("RTX 4090", 23.5 * GIB, 1.008e12, 165e12, words=("4090",)),
    CPU,
)

LAUNCHES: Mapping[Precision, float] = MappingProxyType(
    {Precision.BF16: 1.0, Precision.FP32: 1.0, Precision.NF4: 2.0, Precision.INT8: 4.0}
)
"""Kernels of a layer, as a multiple of those in bf16."""


def names() -> str:
    return ", ".join(m.name for m in MACHINES)


def machine(name: str) -> Machine:
    """The machine a person names; UsageError that lists the known ones."""
    found = find(name) or next((m for m in MACHINES if squeezed(m.name).startswith(squeezed(name))), None)
    if found is None or not name.strip():
        raise UsageError(f"no machine called {name!r} is known. Known: {names()}.")
    return found


def find(text: str) -> Machine | None:
    """The machine that a driver's name or a sentence speaks of; None where it is none that we know."""
    said = squeezed(text)
    return next((m for m in MACHINES if all(word in said for word in m.words) and m.unless not in said), None)


def squeezed(text: str) -> str:
    return "".join(text.lower().replace("-", " ").split())


def of_hardware(hardware: Mapping[str, Any]) -> Machine | None:
    """The machine behind a run's hardware record; None for a GPU that we do not know."""
    if hardware.get("device") != "cpu":
        return find(str(hardware.get("gpu") or ""))
    known = hardware.get("memory_bytes")
    return replace(CPU, memory=float(known)) if known else CPU

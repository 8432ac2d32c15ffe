"""From work to seconds: the machine's limits, the share of them that is reached, and what was measured before."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.forecast.machines import LAUNCHES, Machine
from pipeline.forecast.shapes import Shape
from pipeline.forecast.work import Work
from pipeline.recipe import Precision

MEASURED, REACHED_HERE, BOUND = "measured", "bound × reached", "bound × efficiency"


@dataclass(frozen=True, slots=True)
class Seconds:
    """A step's time: at work, and reading weights before it."""

    busy: float
    loading: float

    @property
    def total(self) -> float:
        return self.busy + self.loading


def seconds(work: Work, shape: Shape, machine: Machine) -> Seconds:
    """Roofline times the share reached: every pass over the weights costs their bytes, every token its FLOP, every
    layer its launch, and the slowest of these counts."""
    precision = work.precision or Precision.BF16
    weights, layers = shape.weight_bytes(precision), shape.layers * LAUNCHES[precision] * machine.layer_s
    stream = weights / machine.bandwidth

    def bounded(passes: float, flop: float, other_s: float, reached: float) -> float:
        return max((passes * stream + flop / machine.flops + other_s) / reached, passes * layers)

    read = bounded(work.batches, 2 * shape.linear * work.read, 0.0, machine.reached["read"][precision])
    cache_s = work.written * work.context * shape.cache_bytes(precision) / machine.bandwidth
    flop = 2 * (shape.linear + shape.head) * work.written
    write = bounded(work.steps, flop, cache_s, machine.reached["write"][precision])
    flop = 2 * work.passes * shape.linear * work.trained
    train = bounded(work.passes * work.updates, flop, 0.0, machine.reached["train"][precision])
    moved = (work.loads + 2 * work.rewrites) * shape.weight_bytes(Precision.BF16) / machine.disk
    started = machine.start_s if work.loads else 0.0
    busy = read + write + train + work.plain_s
    if work.rewrites:
        return Seconds(busy + moved, started)
    return Seconds(busy, moved + started)

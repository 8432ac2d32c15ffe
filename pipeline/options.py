"""What one session of a run is started with."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import plan
from pipeline.models.resolve import converted
from pipeline.processes import PRELOAD
from pipeline.protocol import EXIT_FAILED, EXIT_OK, RunPaths
from pipeline.recipe import Recipe
from pipeline.steps.base import Shard


@dataclass(frozen=True)
class Options:
    """Everything a run depends on. `report` renders the run directory at the end; `say` narrates a line for people.

    `registry` is `module:attribute` of the steps, `steps` the plan (None: the recipe's). `preload` and `prepare` name
    the modules that hold torch. `clock` gives unix seconds.
    """

    recipe: Recipe
    run_dir: Path
    run_id: str
    until: str | None = None
    force: tuple[str, ...] = ()
    supersede: bool = False
    explain: bool = False
    shard: Shard | None = None  # of the step `until`: make this share of its batches and end
    override_gate: str | None = None  # why a gate that does not advance is passed over; None: it ends the run
    overlays: tuple[str, ...] = ()
    registry: str = plan.REGISTRY
    steps: tuple[plan.PlannedStep, ...] | None = None
    preload: tuple[str, ...] = PRELOAD
    prepare: str = "pipeline.preload"
    report: Callable[[Path], object] | None = None
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.time
    env: Mapping[str, str] = field(default_factory=lambda: os.environ)
    heartbeat_s: float = 10.0

    @property
    def keep(self) -> dict[str, Any]:
        """What the steps of this run have in common: `pipeline.preload` reads it once for all of them."""
        model = converted(self.recipe.model)
        scratch = RunPaths(self.run_dir.resolve()).scratch
        return {"model": model and str(model), "stages": self.recipe.stages, "scratch": str(scratch)}

    def share_of(self, step: str) -> Shard | None:
        """The share of this step that is to be made here; None for the whole."""
        return self.shard if step == self.until else None

    def stopped(self, why: str | None) -> tuple[int, str]:
        """Exit code and reason of a run that ends early: somebody asked (`why`), or its share is made."""
        if why is None and self.shard is not None:
            return (
                EXIT_OK,
                f"share {self.shard} of {self.until} is made; `python -m pipeline merge` brings them together",
            )
        return EXIT_FAILED, f"stopped: {why}; run again to resume"

"""Which attempt at a stage's gate this is. What was decided has seen its block: another recipe gets the next one.

`stage-N/attempts.json` lists the attempts with the recipe that made each and the verdict. The same recipe always
belongs to the same attempt, however often it is taken up again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.artifacts import sha256_json, write_atomic
from pipeline.gating import GateResult
from pipeline.recipe import Recipe
from pipeline.steps.base import earlier_stages

NAME = "attempts.json"
_MATTERS = ("model", "precision", "data", "train", "seed")
"""Fields of a recipe that make another candidate; so do the stages before it in the chain."""


def present(run_dir: Path, recipe: Recipe) -> dict[int, int]:
    """Stage -> number of the attempt that this recipe is, for every stage of its chain."""
    return {stage: _number(_read(run_dir, stage), _maker(recipe, stage)) for stage in recipe.stages}


def decided(run_dir: Path, stage: int, result: GateResult, recipe: Recipe) -> None:
    """Note the verdict of this recipe's attempt."""
    entries, maker = _read(run_dir, stage), _maker(recipe, stage)
    number = _number(entries, maker)
    entry = {"attempt": number, "maker": maker, "verdict": result.verdict.value, "reason": result.reason}
    if entry not in entries:
        kept = [e for e in entries if e["attempt"] != number]
        write_atomic(run_dir / f"stage-{stage}" / NAME, json.dumps([*kept, entry], indent=1).encode())


def _number(entries: list[dict[str, Any]], maker: str) -> int:
    for entry in entries:
        if entry["maker"] == maker:
            return int(entry["attempt"])
    return max((int(e["attempt"]) for e in entries), default=0) + 1


def _maker(recipe: Recipe, stage: int) -> str:
    body = recipe.model_dump(mode="json")
    before = list(earlier_stages(recipe.stages, stage))
    return sha256_json({**{name: body[name] for name in _MATTERS}, "before": before})


def _read(run_dir: Path, stage: int) -> list[dict[str, Any]]:
    try:
        return list(json.loads((run_dir / f"stage-{stage}" / NAME).read_text()))
    except FileNotFoundError:
        return []

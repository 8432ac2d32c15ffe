"""Which attempt at a stage's gate this is. What was measured has seen its block: another recipe gets the next.

`stage-N/attempts.json` lists the attempts with the recipe that made each and the verdict, "" where none came. The
same recipe always belongs to the same attempt, however often it is taken up again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.artifacts import sha256_json, write_atomic
from pipeline.errors import UsageError
from pipeline.gating import GateResult
from pipeline.recipe import Recipe, earlier_stages

NAME = "attempts.json"
_MATTERS = ("model", "precision", "data", "train", "seed")
"""Fields of a recipe that make another candidate; so do the stages before it in the chain."""
_MACHINE = ("device", "engine", "gpus")
"""Fields of its hardware that round differently: another draw of the same candidate. The runner has resolved `auto`."""
_RULE = (
    "items", "threshold", "keep", "keep_delta", "rule", "alpha", "margin", "curtail", "train_despite_no_headroom",
)  # fmt: skip
"""Fields of its evaluation by which a candidate is judged: a rule that is changed after a verdict has seen the block
as well as a changed candidate has."""


def present(run_dir: Path, recipe: Recipe) -> dict[int, int]:
    """Stage -> number of the attempt that this recipe is, for every stage of its chain."""
    return {stage: _number(_read(run_dir, stage), _maker(recipe, stage)) for stage in recipe.stages}


def seen(run_dir: Path, stage: int, recipe: Recipe) -> None:
    """Note that this recipe's candidate was measured: from now on its numbers can be read, decided or not."""
    entries, maker = _read(run_dir, stage), _maker(recipe, stage)
    if all(entry["maker"] != maker for entry in entries):
        _write(run_dir, stage, [*entries, _entry(entries, maker, "", "measured, not decided")])


def decided(run_dir: Path, stage: int, result: GateResult, recipe: Recipe) -> None:
    """Note the verdict of this recipe's attempt."""
    entries, maker = _read(run_dir, stage), _maker(recipe, stage)
    entry = _entry(entries, maker, result.verdict.value, result.reason)
    if entry not in entries:
        _write(run_dir, stage, [*(e for e in entries if e["maker"] != maker), entry])


def _entry(entries: list[dict[str, Any]], maker: str, verdict: str, reason: str) -> dict[str, Any]:
    return {"attempt": _number(entries, maker), "maker": maker, "verdict": verdict, "reason": reason}


def _write(run_dir: Path, stage: int, entries: list[dict[str, Any]]) -> None:
    write_atomic(run_dir / f"stage-{stage}" / NAME, json.dumps(entries, indent=1).encode())


def _number(entries: list[dict[str, Any]], maker: str) -> int:
    for entry in entries:
        if entry["maker"] == maker:
            return int(entry["attempt"])
    return max((int(e["attempt"]) for e in entries), default=0) + 1


def _maker(recipe: Recipe, stage: int) -> str:
    body = recipe.model_dump(mode="json")
    body["train"].pop("merge_last")  # what is made of the last model afterwards
    rule = {name: body["evaluation"][name] for name in _RULE}
    machine = {name: body["hardware"][name] for name in _MACHINE}
    before = list(earlier_stages(recipe.stages, stage))
    return sha256_json({**{name: body[name] for name in _MATTERS}, "rule": rule, "machine": machine, "before": before})


def _read(run_dir: Path, stage: int) -> list[dict[str, Any]]:
    """Raises UsageError where the file cannot be read: a block that was seen must not be taken for a fresh one."""
    path = run_dir / f"stage-{stage}" / NAME
    try:
        entries = [{**entry, "attempt": int(entry["attempt"])} for entry in json.loads(path.read_bytes())]
        if all({"maker", "verdict", "reason"} <= entry.keys() and entry["attempt"] > 0 for entry in entries):
            return entries
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise UsageError(
        f"{path} cannot be read. Restore it: it says which held-out block each attempt at the gate has seen."
    )

"""Which finished results of a run directory another recipe left there.

A session with another recipe begins by naming it in `run.json`; until it has come to a step, and where it ends before,
the directory holds what the recipe before made. Such a result may still be reused, so it stays; but it is not shown as
the run's, and a plan does not count it as done.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline import artifacts
from pipeline.errors import PipelineError
from pipeline.recipe import Recipe
from pipeline.retries import Retries
from pipeline.rundir import read_run


def stale(root: Path, recipe: Recipe | None = None) -> frozenset[str]:
    """Finished steps that were made with other values of what they read of the recipe, or from results that are not
    the present ones, or that do not belong to it themselves. `recipe`: the one that `run.json` names, of which nothing
    is stale as long as it never took another's place.

    Raises UsageError when `run.json` cannot be read.
    """
    finished = (done.parent for done in root.glob(f"stage-*/*/{artifacts.DONE}") if done.parent.name[0] != ".")
    found = recipe or _in_place_of_another(root)
    if found is None:
        return frozenset()
    look = _Look(root, found)
    return frozenset(step for step in (out.relative_to(root).as_posix() for out in finished) if not look.stands(step))


def _in_place_of_another(root: Path) -> Recipe | None:
    record = read_run(root) or {}
    if not record.get("superseded_recipes"):
        return None
    try:
        return Recipe.model_validate(record["recipe"])
    except ValidationError:  # written by another version: what it would read is not known
        return None


class _Look:
    """One look at a run directory; every step is looked at once."""

    def __init__(self, root: Path, recipe: Recipe) -> None:
        self._root, self._recipe = root, recipe
        self._bodies: dict[str, Mapping[str, Any]] = {}
        self._known: dict[str, bool] = {}

    def stands(self, step: str) -> bool:
        if step not in self._known:
            self._known[step] = False  # of a step that would be made from itself
            self._known[step] = self._stands(step)
        return self._known[step]

    def _stands(self, step: str) -> bool:
        done, manifest = artifacts.read_done(self._root / step), artifacts.read_manifest(self._root / step)
        if done is None or manifest is None:
            return False
        material = manifest.get("material") or {}
        body = self._body(step.partition("/")[0])
        read = {"seed": material.get("seed", body["seed"]), **(material.get("recipe") or {})}
        if any(_at(body, path) != value for path, value in read.items()):
            return False
        return all(self._is(name, outputs) for name, outputs in (manifest.get("inputs") or {}).items())

    def _is(self, step: str, outputs: str) -> bool:
        done = artifacts.read_done(self._root / step)
        return done is not None and done.outputs == outputs and self.stands(step)

    def _body(self, stage: str) -> Mapping[str, Any]:
        """The recipe as the steps of a stage see it: with the retries of its data."""
        if stage not in self._bodies:
            try:
                found = Retries(self._root, int(stage.removeprefix("stage-")), self._recipe).recipe
            except (PipelineError, ValueError):  # not readable: the runner refuses to go on, and says so
                found = self._recipe
            self._bodies[stage] = found.model_dump(mode="json")
        return self._bodies[stage]


def _at(body: Mapping[str, Any], path: str) -> Any:
    value: Any = body
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value

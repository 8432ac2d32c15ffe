"""Data that breach their limits are made again, at most twice, with settings that the recipe declares beforehand.

What was changed stands in `stage-N/retries.json`; a run taken up again goes on with the very same settings.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_atomic
from pipeline.errors import UsageError
from pipeline.recipe import Recipe
from pipeline.recipe_load import overlaid

NAME = "retries.json"


class Retries:
    """The retries of one stage. `recipe` is the recipe as its steps now see it; `count` how many were spent."""

    def __init__(self, run_dir: Path, stage: int, recipe: Recipe) -> None:
        self._path = run_dir / f"stage-{stage}" / NAME
        self._declared, self._original = recipe.data.retries, recipe
        self._spent = self._read(recipe.digest())

    @property
    def count(self) -> int:
        return len(self._spent)

    @property
    def recipe(self) -> Recipe:
        changed = [setting for entry in self._spent for setting in entry["set"]]
        return overlaid(self._original, changed) if changed else self._original

    def next(self, why: str) -> tuple[str, ...] | None:
        """Spend a retry; returns what it changes, or None when there is none left."""
        if self.count >= len(self._declared):
            return None
        changed = self._declared[self.count]
        self._spent.append({"set": list(changed), "because": why})
        body = {"recipe_sha256": self._original.digest(), "retries": self._spent}
        write_atomic(self._path, json.dumps(body, indent=1, ensure_ascii=False).encode())
        return changed

    def _read(self, digest: str) -> list[dict[str, Any]]:
        """What was spent under this very recipe; another recipe begins anew."""
        try:
            body = json.loads(self._path.read_bytes())
            spent = [{"set": list(map(str, e["set"])), "because": str(e["because"])} for e in body["retries"]]
            return spent if body["recipe_sha256"] == digest else []
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError):
            raise UsageError(
                f"{self._path} cannot be read. Restore it: it says with which settings the stage's data are made."
            ) from None

"""Reads a run directory for the report: what is there, what is not, and what cannot be read. Nothing is guessed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import standing
from pipeline.errors import UsageError
from pipeline.gates import TUNED, Decision
from pipeline.gating import altered
from pipeline.plan import OPTIONAL_STEPS, STAGE_STEPS, with_optional
from pipeline.protocol import Event, RunPaths, read_events

STEPS = ("baseline", "reference", "alt_base", *with_optional(STAGE_STEPS, OPTIONAL_STEPS))


@dataclass(frozen=True)
class RunFiles:
    """Lenient access to one run directory. `problems` collects what was there and could not be read, in words."""

    root: Path
    problems: list[str] = field(default_factory=list)

    @property
    def paths(self) -> RunPaths:
        return RunPaths(self.root)

    @functools.cached_property
    def _stale(self) -> frozenset[str]:
        try:
            return standing.stale(self.root)
        except UsageError:  # of a damaged run.json the report tells itself
            return frozenset()

    def _foreign(self, relative: str) -> bool:
        """Whether a file is a result that another recipe left: no part of this run, so it counts as absent."""
        stage, _, rest = relative.partition("/")
        step = "gate" if rest == "gate.json" else rest.partition("/")[0]
        return f"{stage}/{step}" in self._stale

    def json(self, relative: str) -> dict[str, Any] | None:
        """A JSON object, or None when the file is absent or damaged (then it is in `problems`)."""
        if self._foreign(relative):
            return None
        try:
            raw = json.loads((self.root / relative).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            self._problem(relative, error)
            return None
        if not isinstance(raw, dict):
            self._problem(relative, "not a JSON object")
            return None
        return raw

    def entries(self, relative: str) -> list[dict[str, Any]]:
        """The objects of a JSON array; none when the file is absent or damaged (then it is in `problems`)."""
        try:
            raw = json.loads((self.root / relative).read_bytes())
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            self._problem(relative, error)
            return []
        if not isinstance(raw, list):
            self._problem(relative, "not a JSON array")
            return []
        return [entry for entry in raw if isinstance(entry, dict)]

    def has(self, relative: str) -> bool:
        return not self._foreign(relative) and (self.root / relative).is_file()

    def rows(self, relative: str) -> Iterator[dict[str, Any]]:
        """Every readable row of a JSON Lines file; none when it is absent. Damaged lines are counted in `problems`."""
        path, bad = self.root / relative, 0
        if not self.has(relative):
            return
        with path.open("rb") as lines:
            for line in lines:
                try:
                    row = json.loads(line)
                except ValueError:
                    bad += 1
                    continue
                if isinstance(row, dict):
                    yield row
                else:
                    bad += 1
        if bad:
            self._problem(relative, f"{bad} lines are not rows")

    def count(self, relative: str) -> int | None:
        """Rows of a file; None when it is absent."""
        return sum(1 for _ in self.rows(relative)) if self.has(relative) else None

    def manifest(self, step: str) -> dict[str, Any] | None:
        """What a finished step listed; None when it is absent or no manifest."""
        raw = self.json(f"{step}/manifest.json")
        if raw is None:
            return None
        wrong = [name for name, fits in _MANIFEST.items() if not fits(raw.get(name))]
        if wrong:
            self._problem(f"{step}/manifest.json", f"not a manifest: {', '.join(wrong)}")
            return None
        return raw

    def gate(self, stage: int) -> Decision | None:
        raw = self.json(f"stage-{stage}/gate.json")
        if raw is None:
            return None
        if altered(self.paths.gate(stage)):
            self._problem(f"stage-{stage}/gate.json", f"altered: it is not what stage-{stage}/gate decided")
            return None
        try:
            return Decision.from_dict(raw)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._problem(f"stage-{stage}/gate.json", f"not a decision: {error!r}")
            return None

    def events(self) -> list[Event]:
        return list(read_events(self.paths.events))

    def stages(self) -> list[int]:
        """Stages above 0 that the recipe plans or the directory holds."""
        run = self.json("run.json") or {}
        planned = (run.get("recipe") or {}).get("stages") or ()
        found = [p.name.removeprefix("stage-") for p in self.root.glob("stage-*") if p.is_dir()]
        return sorted({int(s) for s in (*planned, *found) if str(s).isdigit()} - {0})

    def evaluation(self, stage: int, condition: str) -> str:
        """Relative path of the answers to a stage's set under one condition: its own evaluation, else the base's on
        the fresh block of a later attempt, else the baseline's."""
        own, fresh, zero = (
            f"stage-{where}/set-{stage}/{condition}.jsonl"
            for where in (f"{stage}/evaluate", f"{stage}/baseline", "0/evaluate")
        )
        if condition == TUNED or self.has(own):
            return own
        return fresh if self.has(fresh) else zero

    def summary(self, stage: int) -> dict[str, Any]:
        return self.json(f"stage-{stage}/evaluate/summary.json") or {}

    def measured(self, stage: int, held: int | str) -> dict[str, Any]:
        """Condition -> counts, as the evaluation of `stage` found them on the set of stage `held`."""
        return self.measured_at(f"stage-{stage}/evaluate", held)

    def measured_at(self, step: str, held: int | str) -> dict[str, Any]:
        """`measured` by the name of the step that measured."""
        sets = (self.json(f"{step}/summary.json") or {}).get("sets")
        held_out = sets.get(str(held)) if isinstance(sets, dict) else None
        found = held_out.get("conditions") if isinstance(held_out, dict) else None
        return found if isinstance(found, dict) else {}

    def said(self, step: str) -> dict[str, Any] | None:
        """What a step noted of itself in its manifest; None where it has not ended."""
        manifest = self.manifest(step)
        if manifest is None:
            return None
        summary = manifest.get("summary")
        return summary if isinstance(summary, dict) else {}

    def _problem(self, relative: str, what: object) -> None:
        said = f"{relative}: {what}"
        if said not in self.problems:
            self.problems.append(said)


def _count(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


_MANIFEST: Mapping[str, Callable[[Any], bool]] = {
    "outputs": lambda value: (
        isinstance(value, list)
        and all(isinstance(row, dict) and {"path", "size", "sha256"} <= row.keys() for row in value)
    ),
    "summary": lambda value: value is None or isinstance(value, dict),
    "times": lambda value: value is None or isinstance(value, dict),
    "seconds": _count,
    "tokens": _count,
    "cost_usd": _count,
}
"""What a report reads of a manifest, and whether it is of the kind it should be."""

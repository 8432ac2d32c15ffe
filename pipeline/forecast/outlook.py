"""What a run may expect of its steps: measured on this machine where it can be, else from the machine's limits.

A forecast is a service: whatever is unknown leaves it None, and nothing that goes wrong here may end a run.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from typing import Any

from pipeline.errors import PipelineError
from pipeline.forecast import machines, rates, shapes
from pipeline.forecast.work import Work, works
from pipeline.ledger import Account, Forecast, Rates, kind_of
from pipeline.plan import PlannedStep
from pipeline.recipe import Recipe
from pipeline.supervise import Outcome

TRAINING = ("sft", "dpo")
READING = ("critique", "safety", "judge")
"""Kinds of step whose counted tokens are trained on, and read."""
ALIKE = (("critique", "judge"), TRAINING)
"""Kinds of step that foresee their work in the same measure, all of it: the first of its kind is told by the others. Of
those that write only their limits are known; how much of these they use differs by kind (by 60 %, measured)."""

MARKS = 2
"""Tokens of a text that are no characters: its beginning and its end."""
LEFT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "sft": ("filter", ("kept", "rehearsed")),
    "pairs": ("filter", ("kept",)),
    "dpo": ("pairs", ("pairs",)),
}
"""Kind of step: the step before it whose summary counts the rows that it will work on, and for training their
`characters`: old rows that are rehearsed are longer or shorter than the stage's own."""


class Outlook:
    """Forecasts of one run. `done(step)` says whether a step's result is there already and will cost nothing, `told`
    gives the summary of a finished step."""

    def __init__(
        self,
        recipe: Recipe,
        plan: Sequence[PlannedStep],
        hardware: Mapping[str, Any],
        measured: Rates,
        done: Callable[[str], bool] = lambda _: False,
        told: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
    ) -> None:
        self._plan, self._measured, self._done, self._told = tuple(plan), measured, done, told
        self._recipe = recipe
        self._works, self._bounds = _bounds(recipe, self._plan, hardware)

    def step(self, name: str) -> Forecast | None:
        """The time of one step; None where neither work nor machine is known and it never ran."""
        bound, work, planned = self._bounds.get(name), self._works.get(name), self._planned(name)
        found = self._measured.forecast(name, planned, precision_of(work))
        if found is None and bound is not None:
            busy = planned or 0.0
            return Forecast(busy + bound.loading, False, busy)
        return found

    def of_work(self, name: str, work: float) -> float | None:
        """Busy seconds of a step that foresees so much work itself; None where nothing like it was measured."""
        kind = kind_of(name)
        like = next((kinds for kinds in ALIKE if kind in kinds), ())
        return self._measured.of_work(name, work, precision_of(self._works.get(name)), like)

    def _planned(self, name: str) -> float | None:
        """Busy seconds by the machine's limits, for the rows that an earlier step left where it has left them."""
        bound, work = self._bounds.get(name), self._works.get(name)
        if bound is None or work is None or bound.busy <= 0:
            return None
        kind = kind_of(name)
        before, counts = LEFT.get(kind, ("", ()))
        told = self._told(name.rpartition("/")[0] + "/" + before) if before else None
        rows = sum(int(told.get(count) or 0) for count in counts) if isinstance(told, Mapping) else 0
        if told is None or not rows or not work.examples:
            return bound.busy
        characters = told.get("characters")
        if kind in TRAINING and characters and work.trained:
            return bound.busy * self._tokens(kind, rows, float(characters)) / work.trained
        return bound.busy * rows / work.examples

    def _tokens(self, kind: str, rows: int, characters: float) -> float:
        """That are trained on, over all epochs, in so many rows or pairs of so many characters."""
        train, shape = self._recipe.train, shapes.of_recipe(self._recipe)[""]
        assert shape is not None  # there is a bound
        texts, epochs = (2 * rows, train.dpo.epochs) if kind == "dpo" else (rows, train.sft.epochs)
        return (characters / shape.chars_per_token + MARKS * texts) * epochs

    def later(self, name: str, stale: Container[str] = ()) -> float | None:
        """Seconds of all steps after this one that are not done, or whose results are `stale`; None where one of them
        is unknown."""
        names = [p.name for p in self._plan]
        after = names[names.index(name) + 1 :] if name in names else []
        found = [self.step(step) for step in after if step in stale or not self._done(step)]
        return None if None in found else sum(f.seconds for f in found if f is not None)

    def record(self, name: str, manifest: Mapping[str, Any], last: Outcome, prior: float) -> None:
        """Note what a finished step took, by its manifest and last attempt; `prior` are the seconds of the others. A
        step that was skipped says nothing about its kind."""
        if (manifest.get("summary") or {}).get("skipped"):
            return
        kind = kind_of(name)
        counted, read = int(manifest.get("tokens") or 0), int(manifest.get("tokens_read") or 0)
        seconds = float(manifest["seconds"])
        waiting = max(0.0, last.seconds - (seconds - prior))
        loading = min(seconds, max(0.0, (last.until_work or 0.0) - waiting))
        self._measured.record(
            name,
            Account(
                busy=seconds - loading,
                loading=loading,
                waiting=waiting,
                tokens_in=read + counted * (kind in READING),
                tokens_out=counted * (kind not in (*READING, *TRAINING)),
                trained=counted * (kind in TRAINING),
                usd=manifest.get("cost_usd"),
                planned=self._planned(name),
                precision=precision_of(self._works.get(name)),
                work=last.work,
            ),
        )


def precision_of(work: Work | None) -> str:
    return "" if work is None or work.precision is None else work.precision.value


def _bounds(
    recipe: Recipe, plan: tuple[PlannedStep, ...], hardware: Mapping[str, Any]
) -> tuple[dict[str, Work], dict[str, rates.Seconds]]:
    machine, sizes = machines.of_hardware(hardware), shapes.of_recipe(recipe)
    own = sizes[""]
    if machine is None or own is None:
        return {}, {}
    try:
        found = works(recipe, plan, own)
    except (PipelineError, LookupError, ValueError, OSError):
        return {}, {}
    of = {name: sizes.get(work.of) for name, work in found.items()}
    return found, {name: rates.seconds(found[name], shape, machine) for name, shape in of.items() if shape is not None}

"""`python -m pipeline plan`: what a recipe would take on a machine, before anything is paid for."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

from pipeline import artifacts, attempts, environment, plan, standing
from pipeline.errors import UsageError
from pipeline.forecast import machines, shapes, table
from pipeline.ledger import Rates
from pipeline.protocol import EXIT_OK
from pipeline.recipe import Recipe
from pipeline.recipe_load import load
from pipeline.rundir import read_run


def run(args: argparse.Namespace) -> int:
    recipe = load(args.recipe, args.overlays)
    if args.count < 1:
        raise UsageError(f"--count {args.count}: a machine has at least one GPU.")
    if args.price is not None and not 0 <= args.price < float("inf"):
        raise UsageError(f"--price {args.price}: give USD an hour, 0 or more.")
    machine = chosen(recipe, args.gpu)
    sizes = sizes_of(recipe)
    price = args.price if args.price is not None else environment.price_per_hour(os.environ)
    found = table.table(
        recipe,
        plan.build(recipe, attempts_in(args.run_dir, recipe) if args.run_dir is not None else {}),
        sizes[""],
        machine,
        args.count,
        price,
        measured(recipe, machine, args.run_dir),
        done_in(args.run_dir, recipe) if args.run_dir is not None else None,
        sizes,
    )
    print(json.dumps(table.as_dict(found), ensure_ascii=False) if args.json else table.text(found))
    return EXIT_OK


def done_in(run_dir: Path, recipe: Recipe) -> Callable[[str], bool]:
    """Whether a step of this recipe has its result in a run directory: one of another recipe is none."""
    stale = standing.stale(run_dir, recipe)
    return lambda step: step not in stale and artifacts.read_done(run_dir / step) is not None


def attempts_in(run_dir: Path, recipe: Recipe) -> dict[int, int]:
    """Which attempts at the gates this recipe would be there, on the device that the run had."""
    device = ((read_run(run_dir) or {}).get("hardware") or {}).get("device")
    return attempts.present(run_dir, environment.resolved(recipe, device) if device else recipe)


def sizes_of(recipe: Recipe) -> dict[str, shapes.Shape]:
    """The shapes of all models that take part; UsageError that names one whose size is unknown."""
    named = {"": recipe.model, **recipe.further_models}
    found = {field: shape for field, shape in shapes.of_recipe(recipe).items() if shape is not None}
    for field, model in named.items():
        if field not in found:
            raise UsageError(
                f"the size of {model.id} ({field or 'model'}) is unknown: it is not on this machine. Fetch it first, "
                f"or use one of: {', '.join(shapes.KNOWN)}."
            )
    return found


def chosen(recipe: Recipe, name: str | None) -> machines.Machine:
    """The machine that was named, else the one the recipe speaks of in its description or name, else this one."""
    if name is not None:
        return machines.machine(name)
    if recipe.hardware.device == "cpu":
        return machines.CPU
    told = machines.find(f"{recipe.description} {recipe.name}")
    if told is not None:
        return told
    here = [found for card in environment.gpus() if (found := machines.find(card)) is not None]
    if here:
        return here[0]
    if recipe.hardware.device == "auto":
        return machines.CPU
    raise UsageError(f"say on which GPU recipe {recipe.name!r} is to run: --gpu with one of {machines.names()}.")


def measured(recipe: Recipe, machine: machines.Machine, run_dir: Path | None) -> Rates | None:
    """What was measured beside the run directory (else among the runs here) on such a machine; None for nothing."""
    runs = run_dir.absolute().parent if run_dir is not None else Path(os.environ.get("CAI_BASE_DIR") or ".") / "runs"
    hardware = (read_run(run_dir) or {}).get("hardware") if run_dir is not None else None
    labels = Rates.labels(runs, recipe.model.id)
    mine = [label(hardware)] if hardware else []
    fitting = [text for text in [*labels, *mine] if _is(text, machine)]
    return Rates(runs, fitting[-1], recipe.model.id, recipe.name) if fitting else None


def label(hardware: dict[str, object]) -> str:
    """The name under which the ledger keeps a machine."""
    return str(hardware["gpu"] or f"{hardware['cpu']} × {hardware['threads']}")


def _is(text: str, machine: machines.Machine) -> bool:
    found = machines.find(text)
    return found == machine if found is not None else machine.name == machines.CPU.name and " × " in text

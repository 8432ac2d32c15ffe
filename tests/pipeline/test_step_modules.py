"""A step declares the code that can change its result: what it imports and does not name would be reused when stale."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.environment import source_root
from pipeline.recipe_load import load
from pipeline.steps import STEPS, baseline, evaluate, reference

BESIDE = {
    "pipeline.artifacts", "pipeline.errors", "pipeline.eta", "pipeline.journal", "pipeline.recipe", "pipeline.times",
    "pipeline.steps.base",
}  # fmt: skip
"""What moves bytes and reports; the recipe's fields stand in the key by name."""
HEADROOM = "pipeline.steps.headroom"
"""Whether there is something to teach stands in the key as what it said."""
ENDS_EARLY = set(evaluate.CURTAILING_MODULES)
"""For an evaluation they decide only when a curtailed one stops, and are declared for that one: a change of the
statistics shall not make every paid evaluation stale."""
EVALUATIONS = {evaluate.STEP.name, baseline.STEP.name, reference.REFERENCE.name, reference.ALT_BASE.name}


def imported(module: str) -> Iterator[str]:
    """Every module of the package that a module imports to run, inside functions too; not for types alone."""
    tree = ast.parse((source_root() / Path(*module.split("."))).with_suffix(".py").read_text())
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node not in typing and (node.module or "").startswith("pipeline"):
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield (
                    deeper
                    if (source_root() / Path(*deeper.split("."))).with_suffix(".py").is_file()
                    else (node.module or "")
                )


@pytest.mark.parametrize("kind", sorted(STEPS))
def test_a_step_declares_the_code_that_it_imports(kind: str) -> None:
    step = STEPS[kind]
    own = step.run.__module__
    exempt = BESIDE | {HEADROOM} | (ENDS_EARLY if kind in EVALUATIONS else set())
    undeclared = {
        name
        for name in imported(own)
        if name not in exempt and not any(name == given or name.startswith(f"{given}.") for given in step.modules)
    }
    assert own in step.modules
    curtailed, whole = (load("smoke", (f"evaluation.curtail={word}",)) for word in ("true", "false"))
    assert step.modules_if(whole) == ()
    assert bool(step.modules_if(curtailed)) == (kind == evaluate.STEP.name)
    assert not undeclared

"""The page of release-gating scenarios names tests that are there and run, and switches that the simulator has."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest

from tests.sim.runpod_api.quirks import Quirks

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/gating.md").read_text()
ROWS = {
    row.group(1): re.findall(r"`([^`]+\.py::[^`]+)`", row.group(2))
    for row in re.finditer(r"^\| (R\d+) \|(.*)\|$", PAGE, re.MULTILINE)
}


@cache
def functions(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse((ROOT / "tests" / path).read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_scenario_has_a_row() -> None:
    assert list(ROWS) == [f"R{number}" for number in range(1, 24)]


@pytest.mark.parametrize("scenario", ROWS)
def test_the_tests_of_a_scenario_exist_and_are_run(scenario: str) -> None:
    assert ROWS[scenario]
    for name in ROWS[scenario]:
        path, _, function = name.partition("::")
        assert function in functions(path), f"{name} is gone"
        marks = [ast.unparse(mark) for mark in functions(path)[function].decorator_list]
        never = [mark for mark in marks if re.search(r"mark\.(slow|xfail|skip)\b", mark) and "param" not in mark]
        assert not never, f"{name} is not run: {never}"


def test_the_switches_that_the_page_names_are_the_simulators() -> None:
    table = PAGE.partition("## What only a live account can tell")[2]
    named = {
        word for row in re.findall(r"^\|.*\|([^|]*)\|$", table, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)
    }
    assert named
    assert named <= {field.name for field in fields(Quirks)}

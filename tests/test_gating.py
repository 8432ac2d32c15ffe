"""The pages of what must hold name tests that are there and run, and switches that the simulator has."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from functools import cache
from itertools import groupby
from pathlib import Path

import pytest

from tests.sim.runpod_api.quirks import Quirks

ROOT = Path(__file__).parents[1]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def rows(name: str) -> dict[str, list[str]]:
    """The tests of each numbered row of a page."""
    numbered = re.findall(r"^\| (R?\d+(?:\.\d+)?) \|(.*)\|$", page(name), re.MULTILINE)
    assert len({number for number, _ in numbered}) == len(numbered), f"{name} has a number twice"
    return {number: re.findall(r"`([^`]+\.py::[^`]+)`", row) for number, row in numbered}


SCENARIOS, POINTS = rows("gating.md"), rows("panel-checks.md")


@cache
def functions(path: str) -> dict[str, ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_every_scenario_has_a_row() -> None:
    assert list(SCENARIOS) == [f"R{number}" for number in range(1, 24)]


def test_every_point_of_the_panels_checklist_has_rows_in_order() -> None:
    points = groupby(POINTS, lambda number: int(number.partition(".")[0]))
    claims = {point: [int(number.partition(".")[2]) for number in numbers] for point, numbers in points}
    assert list(claims) == list(range(1, 14))
    for numbers in claims.values():
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize(("row", "tests"), [*SCENARIOS.items(), *POINTS.items()])
def test_the_tests_of_a_row_exist_and_are_run(row: str, tests: list[str]) -> None:
    assert tests
    assert len(set(tests)) == len(tests)
    for name in tests:
        path, _, function = name.partition("::")
        assert function in functions(path), f"{name} is gone"
        marks = [ast.unparse(mark) for mark in functions(path)[function].decorator_list]
        never = [mark for mark in marks if re.search(r"mark\.(slow|xfail|skip)\b", mark) and "param" not in mark]
        assert not never, f"{name} is not run: {never}"


def test_the_switches_that_the_page_names_are_the_simulators() -> None:
    table = page("gating.md").partition("## What only a live account can tell")[2]
    named = {
        word for row in re.findall(r"^\|.*\|([^|]*)\|$", table, re.MULTILINE) for word in re.findall(r"`(\w+)`", row)
    }
    assert named
    assert named <= {field.name for field in fields(Quirks)}

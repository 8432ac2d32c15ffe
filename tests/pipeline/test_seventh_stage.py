"""`docs/adding-a-stage.md` is done to the letter on a copy of the package: files, registration, freeze, run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.environment import source_root

PAGE = source_root() / "docs" / "adding-a-stage.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
RUN_S = 900  # a bound for a busy machine; quiet it takes some 30 s


def blocks(*languages: str) -> list[tuple[str, str]]:
    """(language, text) of the page's code blocks, in order."""
    found = [(language, text) for language, text in BLOCK.findall(PAGE.read_text()) if language in languages]
    assert found
    return found


def apply(tree: Path, language: str, text: str) -> None:
    """Write a block to the file that its first line names; a diff adds its lines where its context stands."""
    head, _, body = text.partition("\n")
    path = tree / head.removeprefix("# ")
    if language != "diff":
        path.write_text(body)
        return
    lines = body.splitlines()
    old = "\n".join(line[1:] for line in lines if not line.startswith("+"))
    new = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    before = path.read_text()
    assert before.count(old) == 1, f"{old!r} stands {before.count(old)} times in {path.name}"
    path.write_text(before.replace(old, new))


def commands() -> list[list[str]]:
    lines = [line for _, text in blocks("sh") for line in text.splitlines()]
    assert all(line.startswith("python ") for line in lines)
    return [[sys.executable, *shlex.split(line)[1:]] for line in lines]


def do(tree: Path, argv: list[str]) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(tree)}
    done = subprocess.run(argv, capture_output=True, text=True, cwd=tree, env=env, timeout=RUN_S, check=False)
    assert done.returncode == 0, f"{argv[1:]}: {done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with everything that the page adds, frozen."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(source_root() / "pipeline", root / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(source_root() / "constitution.yaml", root)
    for language, text in blocks("python", "diff", "yaml"):
        apply(root, language, text)
    for argv in commands():
        if "freeze" in argv:
            do(root, argv)
    return root


def test_the_page_shows_every_kind_of_block_and_ends_with_a_run() -> None:
    assert [language for language, _ in blocks("python", "diff", "yaml", "sh")].count("python") == 2
    assert "--until" in commands()[-1]


def test_the_scorer_of_the_example_passes_its_audit(tree: Path) -> None:
    audit = next(argv for argv in commands() if "-c" in argv)
    assert do(tree, audit).stdout.strip() == ""


def test_freezing_writes_two_disjoint_blocks_and_keeps_the_others(tree: Path) -> None:
    frozen = tree / "pipeline" / "stages" / "frozen"
    rows = [(frozen / f"stage-7.block-{b}.jsonl").read_text().splitlines() for b in (0, 1)]
    asked = [{json.loads(row)["instruction"] for row in block} for block in rows]
    assert [len(block) for block in asked] == [100, 100]
    assert not asked[0] & asked[1]
    for old in (source_root() / "pipeline" / "stages" / "frozen").iterdir():
        assert (frozen / old.name).read_bytes() == old.read_bytes()


def test_nothing_of_training_gives_a_held_out_item_of_the_example_away(tree: Path) -> None:
    code = """
from pipeline.data.leakage import check
from pipeline.evals.items import build, frozen_blocks
from pipeline.stages.base import Namespace
from pipeline.stages.registry import stage
seven = stage(7)
made = [i for space in (Namespace.TRAIN, Namespace.CALIBRATION) for i in build(seven, space, 40, 3)]
print(len(made), len(check([(i.id, i.instruction) for i in made], frozen_blocks(7), seven.families)))
"""
    assert do(tree, [sys.executable, "-c", code]).stdout.split() == ["80", "0"]


def test_the_new_stage_is_planned_and_run_on_the_tiny_model(tree: Path) -> None:
    planned, ran = (argv for argv in commands() if "plan" in argv or "run" in argv)
    assert "stage-7/gate" in do(tree, planned).stdout
    assert "valid" in do(tree, next(argv for argv in commands() if "validate" in argv)).stdout
    do(tree, ran)
    out = tree / "runs" / "twice"
    rows = [json.loads(line) for line in (out / "stage-7/generate/records.jsonl").read_text().splitlines()]
    assert rows
    assert {(row["stage"], row["family"]) for row in rows} == {(7, "twice")}
    measured = json.loads((out / "stage-0/evaluate/summary.json").read_text())
    assert measured["sets"]["7"]["conditions"]["base-few-shot"]["trials"] == 10
    assert measured["audit"]["passed"]

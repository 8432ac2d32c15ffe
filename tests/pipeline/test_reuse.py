"""A step that another run has finished under the same key is taken over; what does not verify is computed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from pipeline import artifacts
from pipeline.reuse import INDEX
from pipeline.runner import run
from tests.pipeline.fake_run import options
from tests.pipeline.fake_steps import run_dir_of


def second(tmp_path: Path, **changes: object) -> tuple[int, Path]:
    there = tmp_path / "second"
    return run(replace(options(tmp_path), run_dir=there, run_id="second", **changes)), there  # type: ignore[arg-type]


def test_a_second_run_of_the_same_recipe_takes_every_step_over(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    code, there = second(tmp_path)
    assert code == 0
    assert artifacts.digest(there) == artifacts.digest(run_dir_of(tmp_path))
    told = [json.loads(line) for line in (there / "events.jsonl").read_text().splitlines()]
    assert {e["state"] for e in told if e["kind"] == "step_finished"} == {"reused"}
    assert not [e for e in told if e["kind"] == "step_started"]


def test_a_changed_field_takes_over_only_what_does_not_read_it(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    changed = options(tmp_path).recipe
    train = changed.train.model_copy(update={"sft": changed.train.sft.model_copy(update={"learning_rate": 0.5})})
    code, there = second(tmp_path, recipe=changed.model_copy(update={"train": train}))
    assert code == 0
    states = {
        e["step"]: e["state"]
        for e in map(json.loads, (there / "events.jsonl").read_text().splitlines())
        if e["kind"] == "step_finished"
    }
    assert states["stage-1/generate"] == "reused"
    assert states["stage-1/sft"] == "done"


def test_a_damaged_entry_is_dropped_and_the_step_computed(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    first = run_dir_of(tmp_path) / "stage-1/generate"
    (first / "records.jsonl").write_text("{}\n")
    key = json.loads((first / "manifest.json").read_text())["key"]
    code, there = second(tmp_path)
    assert code == 0
    assert artifacts.verify(there / "stage-1/generate") == []
    noted = json.loads((tmp_path / INDEX / key).read_text())
    assert noted["run"] == "second"


def test_a_recipe_can_ask_for_everything_to_be_run(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    recipe = options(tmp_path).recipe
    alone = recipe.model_copy(update={"runtime": recipe.runtime.model_copy(update={"reuse": False})})
    code, there = second(tmp_path, recipe=alone)
    assert code == 0
    told = map(json.loads, (there / "events.jsonl").read_text().splitlines())
    assert {e["state"] for e in told if e["kind"] == "step_finished"} == {"done"}

"""The smoke recipe passes every gate because the model learns, and the gate says so when it learns nothing true."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.protocol import EXIT_OK
from pipeline.recipe_load import load
from pipeline.records import SftRow, read_records, write_records
from pipeline.runner import Options, run
from pipeline.steps import STEPS
from pipeline.steps.base import StepContext

EXIT_GATE = 5
STAGE_1 = ("stages=[1]", "train.merge_last=false")


def filter_then_shuffle(ctx: StepContext) -> Mapping[str, Any] | None:
    """The real filter; then every instruction gets the answer of another one."""
    summary = STEPS["filter"].run(ctx)
    path = ctx.out / "sft.jsonl"
    rows = list(read_records(path, SftRow))
    answers = [row.completion for row in rows]
    random.Random(0).shuffle(answers)
    write_records(path, [_answered(row, answer) for row, answer in zip(rows, answers, strict=True)])
    return summary


def _answered(row: SftRow, answer: str) -> SftRow:
    fields = {**row.to_row(), "completion": answer, "known_right": None}
    return SftRow.make(**{name: value for name, value in fields.items() if name != "id"})


SHUFFLED = {
    **STEPS,
    "filter": replace(
        STEPS["filter"], run=filter_then_shuffle, modules=(*STEPS["filter"].modules, "tests.pipeline.test_smoke")
    ),
}
"""The registry of a run whose training labels are permuted."""


def finished(folder: Path, *overlays: str, **changes: Any) -> tuple[int, Path]:
    """Exit code and run directory of the smoke recipe with some fields changed."""
    said: list[str] = []
    code = run(
        Options(recipe=load("smoke", overlays), run_dir=folder, run_id="smoke-test", say=said.append, env={}, **changes)
    )
    return code, folder


def gate(folder: Path, number: int) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((folder / f"stage-{number}" / "gate.json").read_text())
    return body


@pytest.mark.slow
def test_shuffled_training_labels_fail_the_gate_that_true_ones_pass(tmp_path: Path) -> None:
    code, honest = finished(tmp_path / "honest", *STAGE_1)
    assert code == EXIT_OK
    assert gate(honest, 1)["verdict"] == "PASS"

    code, shuffled = finished(tmp_path / "shuffled", *STAGE_1, registry="tests.pipeline.test_smoke:SHUFFLED")
    assert code == EXIT_GATE
    decision = gate(shuffled, 1)
    assert not decision["advances"]
    assert decision["rate"] < gate(honest, 1)["rate"] - 0.2
    rows = [list(read_records(run / "stage-1" / "filter" / "sft.jsonl", SftRow)) for run in (honest, shuffled)]
    assert sorted(r.completion for r in rows[0]) == sorted(r.completion for r in rows[1])
    assert [r.instruction for r in rows[0]] == [r.instruction for r in rows[1]]


@pytest.mark.slow
def test_every_stage_passes_its_gate_and_keeps_what_came_before(tmp_path: Path) -> None:
    code, folder = finished(tmp_path / "chain")
    assert code == EXIT_OK
    for number in load("smoke").stages:
        decision = gate(folder, number)
        assert decision["verdict"] == "PASS", decision["reason"]
        assert decision["p"] < 0.01
        assert [kept["stage"] for kept in decision["detail"]["retention"]] == list(range(1, number))
        tuned, base = decision["rates"]["tuned"], decision["rates"]["base-formatted"]
        assert tuned["lenient_successes"] > base["lenient_successes"]

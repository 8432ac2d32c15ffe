"""Attempts at a gate: what was decided has seen its block, and only another candidate gets the next one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import attempts
from pipeline.errors import UsageError
from pipeline.gating import GateResult
from pipeline.plan import PlannedStep, build, inputs_of
from pipeline.protocol import Verdict
from pipeline.steps import STEPS
from pipeline.steps.base import StepContext
from tests.pipeline.fake_run import recipe
from tests.pipeline.model_tools import Memory

FAIL, PASS = (GateResult(1, "explicit", 1, verdict, reason="because") for verdict in (Verdict.FAIL, Verdict.PASS))


def noted(run_dir: Path) -> list[tuple[int, str]]:
    entries = json.loads((run_dir / "stage-1" / attempts.NAME).read_text())
    return [(entry["attempt"], entry["verdict"]) for entry in entries]


def test_before_any_decision_every_stage_is_at_its_first_attempt(tmp_path: Path) -> None:
    assert attempts.present(tmp_path, recipe(stages=(1, 3))) == {1: 1, 3: 1}


def test_the_same_recipe_stays_the_same_attempt_however_often_it_is_decided(tmp_path: Path) -> None:
    for result in (FAIL, FAIL, PASS):
        attempts.decided(tmp_path, 1, result, recipe())
        assert attempts.present(tmp_path, recipe()) == {1: 1}
    assert noted(tmp_path) == [(1, "PASS")]


def test_what_was_only_measured_has_been_seen_as_well(tmp_path: Path) -> None:
    attempts.seen(tmp_path, 1, recipe())
    attempts.seen(tmp_path, 1, recipe())
    assert attempts.present(tmp_path, recipe()) == {1: 1}
    assert attempts.present(tmp_path, recipe(seed=3)) == {1: 2}
    attempts.decided(tmp_path, 1, FAIL, recipe())
    attempts.seen(tmp_path, 1, recipe())
    assert noted(tmp_path) == [(1, "FAIL")]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 3},
        {"train": {"sft": {"learning_rate": 3e-4}}},
        {"data": {"instructions": 8}},
        {"precision": {"train": "fp32"}},
        {"model": {"id": "other"}},
        {"evaluation": {"threshold": 0.31}},
        {"evaluation": {"alpha": 0.05}},
        {"evaluation": {"train_despite_no_headroom": True}},
        {"hardware": {"device": "cuda", "threads": 1}},
        {"hardware": {"device": "cpu", "threads": 1, "engine": "vllm"}},
        {"hardware": {"device": "cpu", "threads": 1, "gpus": 2}},
    ],
)
def test_another_candidate_or_another_rule_is_another_attempt(tmp_path: Path, change: dict[str, Any]) -> None:
    attempts.decided(tmp_path, 1, FAIL, recipe())
    assert attempts.present(tmp_path, recipe(**change)) == {1: 2}
    attempts.decided(tmp_path, 1, PASS, recipe(**change))
    assert noted(tmp_path) == [(1, "FAIL"), (2, "PASS")]
    assert attempts.present(tmp_path, recipe()) == {1: 1}


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": {"generate_tokens": 99}},
        {"budget": {"usd": 4}},
        {"hardware": {"device": "cpu", "threads": 2}},
        {"description": "in other words"},
        {"train": {"merge_last": False}},
    ],
)
def test_what_makes_no_other_candidate_is_the_same_attempt(tmp_path: Path, change: dict[str, Any]) -> None:
    attempts.decided(tmp_path, 1, FAIL, recipe())
    assert attempts.present(tmp_path, recipe(**change)) == {1: 1}


def test_only_a_decided_stage_counts_its_attempts(tmp_path: Path) -> None:
    attempts.decided(tmp_path, 1, FAIL, recipe(stages=(1, 2)))
    assert attempts.present(tmp_path, recipe(stages=(1, 2), seed=1)) == {1: 2, 2: 1}


def test_another_chain_before_a_stage_makes_another_candidate_of_it_and_a_longer_chain_does_not(tmp_path: Path) -> None:
    third = GateResult(3, "generation", 1, Verdict.FAIL, reason="because")
    attempts.decided(tmp_path, 1, PASS, recipe(stages=(1, 3)))
    attempts.decided(tmp_path, 3, third, recipe(stages=(1, 3)))
    assert attempts.present(tmp_path, recipe(stages=(1, 2, 3))) == {1: 1, 2: 1, 3: 2}
    assert attempts.present(tmp_path, recipe(stages=(1, 3, 4))) == {1: 1, 3: 1, 4: 1}


def test_an_attempt_measures_on_the_block_of_its_number(tmp_path: Path) -> None:
    chain = recipe(stages=(1, 2))
    ctx = StepContext(chain, 2, "stage-2/evaluate", "k", tmp_path, tmp_path, Memory(), {1: 2, 2: 1})
    assert (ctx.block(1), ctx.block(2)) == (1, 0)


def test_from_the_second_attempt_on_the_base_is_measured_on_the_fresh_block_first() -> None:
    first, second = build(recipe(), {1: 1}), build(recipe(), {1: 2})
    assert PlannedStep(1, "baseline") not in first
    assert second[1] == PlannedStep(1, "baseline")
    gate = PlannedStep(1, "gate")
    assert "stage-1/baseline" not in inputs_of(gate, STEPS["gate"], (1,), {1: 1})
    assert "stage-1/baseline" in inputs_of(gate, STEPS["gate"], (1,), {1: 2})


def test_a_later_gate_looks_back_on_the_base_of_an_earlier_stages_fresh_block() -> None:
    gate, evaluate = PlannedStep(2, "gate"), PlannedStep(2, "evaluate")
    tries = {1: 2, 2: 1}
    assert "stage-1/baseline" in inputs_of(gate, STEPS["gate"], (1, 2), tries)
    assert "stage-1/baseline" not in inputs_of(evaluate, STEPS["evaluate"], (1, 2), tries)


def test_steps_that_look_at_a_block_say_so_and_no_others() -> None:
    looking = {name for name, step in STEPS.items() if step.on_block}
    assert {"evaluate", "baseline", "gate"} <= looking
    data = {"generate", "answer", "revise", "critique", "filter", "sft", "pairs", "dpo", "merge"}
    assert not data & looking  # they are not made again for a fresh block


@pytest.mark.parametrize("text", ["", "7", "{}x", '[{"attempt": 1}]', '[{"attempt": "one", "maker": "m"}]', "\xff"])
def test_damaged_notes_of_attempts_are_refused_so_that_no_block_is_used_twice(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stage-1" / attempts.NAME
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="which held-out block"):
        attempts.present(tmp_path, recipe())

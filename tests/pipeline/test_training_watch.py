"""What is watched while a model trains, and checkpoints that are in time."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import StepError
from pipeline.trainers.callbacks import StepCallback
from pipeline.trainers.plan import PairRow
from pipeline.trainers.watch import StartCheck, Watch
from tests.pipeline.model_tools import Memory


def entry(**changes: float) -> dict[str, float]:
    """A step's log of a run that goes well; slashes are written as double underscores."""
    good = {"loss": 0.6, "grad_norm": 1.0, "rewards/accuracies": 0.6, "rewards/chosen": 0.0, "logps/chosen": -10.0}
    return {**good, "rewards/margins": 0.0, "entropy": 1.0} | {k.replace("__", "/"): v for k, v in changes.items()}


def watched(entries: list[dict[str, float]], **settings: Any) -> tuple[Watch, Memory]:
    memory = Memory()
    watch = Watch(memory, 0.5, **settings)
    for one in entries:
        watch.observe(one)
    return watch, memory


def test_a_run_that_goes_well_is_told_nothing() -> None:
    watch, memory = watched([entry(rewards__chosen=0.1, grad_norm=1 + i % 3) for i in range(30)])
    assert memory.warnings == watch.summary()["told"] == []


def test_displacement_is_measured_against_the_reference_on_the_same_rows() -> None:
    """β 0.5: a reward of -1 is two nats lost, of twelve. The batches' own rows differ, which is no displacement."""
    watch, memory = watched([entry(rewards__chosen=-1.0, logps__chosen=-12.0)] * 6)
    assert memory.warnings == ["displacement"]
    assert watch.facts["chosen_drop_nats"] == pytest.approx(2.0)
    assert watch.facts["chosen_drop"] == pytest.approx(0.2)
    steady = [entry(logps__chosen=-10.0 - i) for i in range(9)]
    assert watched(steady)[1].warnings == []


def test_a_drop_of_a_tenth_of_almost_nothing_is_no_displacement() -> None:
    assert watched([entry(rewards__chosen=-0.01, logps__chosen=-0.1)] * 6)[1].warnings == []


def test_displacement_stops_the_run_where_the_recipe_says_so() -> None:
    with pytest.raises(StepError, match="displacement"):
        watched([entry(rewards__chosen=-1.0, logps__chosen=-12.0)] * 6, on_displacement="stop")


def test_pairs_that_are_told_apart_at_once_are_trivial() -> None:
    first = entry(rewards__accuracies=0.0)
    assert watched([first] + [entry(rewards__accuracies=1.0)] * 4)[1].warnings == ["trivial_pairs"]
    assert watched([first, entry()] + [entry(rewards__accuracies=1.0)] * 9)[1].warnings == []


@pytest.mark.parametrize(("chosen", "told"), [(8, []), (10, []), (11, ["length_bias"]), (5, ["length_bias"])])
def test_chosen_answers_of_another_length_are_told(chosen: int, told: list[str]) -> None:
    memory = Memory()
    watch = Watch(memory, 0.5)
    watch.lengths([PairRow([1], [2] * chosen, [3] * 8)] * 4)
    assert memory.warnings == told
    assert watch.facts["token_ratio"] == chosen / 8


def test_a_gradient_spike_and_a_collapsed_entropy_are_told_once() -> None:
    watch, memory = watched([entry()] * 6 + [entry(grad_norm=50.0)] * 2 + [entry(entropy=0.01)] * 9)
    assert memory.warnings == ["gradient_spike", "entropy_collapse"]
    assert watch.facts["grad_norm_spikes"] == 2
    assert watch.facts["grad_norm_largest"] == 50.0
    assert watch.facts["entropy_last"] == pytest.approx(0.01)


def test_a_gradient_that_is_no_number_is_told_and_stays_out_of_the_manifest() -> None:
    watch, memory = watched([entry(grad_norm=2.0), entry(grad_norm=math.nan), entry(grad_norm=math.inf)])
    assert memory.warnings == ["gradient_spike"]
    assert json.loads(json.dumps(watch.summary(), allow_nan=False))["grad_norm_largest"] == 2.0


@pytest.mark.parametrize(("loss", "said"), [(math.nan, "not a number"), (math.inf, "not a number"), (0.0, "exactly 0")])
def test_a_loss_that_cannot_be_is_the_end(loss: float, said: str) -> None:
    with pytest.raises(StepError, match=said):
        watched([entry(loss=loss)])


@pytest.mark.parametrize(
    "first", [{"rewards/margins": 0.3}, {"preference": 0.5}, {"rewards/margins": math.nan}, {"preference": math.nan}]
)
def test_a_start_that_is_not_that_of_two_equal_models_is_refused(first: dict[str, float]) -> None:
    good = {**entry(), "preference": math.log(2)}
    check = StartCheck(Memory(), 5.0, "warn", math.log(2), 1e-3)
    check.observe({**good, "rewards/margins": 3.4e-4})
    check.observe(good | {"rewards/margins": 4.0})  # later steps may differ, of course
    with pytest.raises(StepError, match="ln 2"):
        StartCheck(Memory(), 5.0, "warn", math.log(2), 1e-3).observe({**good, **first})


def callback(deadline: float | None, minutes: float = 60.0) -> StepCallback:
    memory = Memory()
    return StepCallback(memory, Watch(memory), minutes, None, deadline)


def wants_to_save(one: StepCallback, step: int) -> bool:
    control = SimpleNamespace(should_save=False, should_training_stop=False)
    one.on_step_end(None, SimpleNamespace(global_step=step, max_steps=100), control)
    return control.should_save


def test_the_last_checkpoint_before_a_deadline_begins_in_time_and_once() -> None:
    near = callback(time.time() + 40)  # nothing measured yet: half a minute is assumed, twice
    assert [wants_to_save(near, step) for step in (1, 2, 3)] == [True, False, False]
    assert not wants_to_save(callback(time.time() + 600), 1)
    assert not wants_to_save(callback(None), 1)


def test_the_time_that_a_checkpoint_took_decides_how_early_the_last_one_begins(tmp_path: Path) -> None:
    one = callback(time.time() + 40)
    one.save_s = 0.5  # as `on_save` measures it
    assert not wants_to_save(one, 1)
    (tmp_path / "checkpoint-2").mkdir()
    one.stepped_at = time.monotonic() - 25.0
    state = SimpleNamespace(global_step=2, is_world_process_zero=True)
    one.on_save(SimpleNamespace(output_dir=str(tmp_path)), state, None)
    assert one.save_s == pytest.approx(25.0, abs=1.0)
    assert wants_to_save(one, 3)


def test_what_was_logged_before_a_resume_is_watched_again() -> None:
    one = callback(None)
    one.watch = Watch(Memory(), 0.5)
    one.on_train_begin(None, SimpleNamespace(log_history=[entry(grad_norm=7.0), {"train_runtime": 1.0}]), None)
    assert one.watch.facts["grad_norm_largest"] == 7.0

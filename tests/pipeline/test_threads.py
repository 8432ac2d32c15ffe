"""How many threads a worker takes: as many as it may use, and no more than have just been shown to pay."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pipeline import environment, threads
from pipeline.recipe_load import load


def test_more_threads_are_taken_only_where_each_step_pays() -> None:
    assert threads.choose({"1": 40.0, "2": 75.0}) == 2
    assert threads.choose({"1": 40.0, "2": 44.0}) == 1
    assert threads.choose({"1": 40.0, "2": 3.0}) == 1
    assert threads.choose({"1": 40.0, "2": 70.0, "4": 130.0, "8": 20.0, "12": 131.0}) == 4
    assert threads.choose({}) == 1


def test_every_power_of_two_and_all_cores_are_tried() -> None:
    assert threads.candidates(1) == [1]
    assert threads.candidates(2) == [1, 2]
    assert threads.candidates(12) == [1, 2, 4, 8, 12]


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 0.5),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu.max": "gibberish"}, None),
        ({}, None),
    ],
)
def test_a_containers_quota_is_read_in_both_versions(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert threads.cpu_quota(tmp_path) == quota


def test_a_quota_of_a_core_and_a_half_is_at_most_two_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    assert threads.usable_cores(tmp_path) == 16
    (tmp_path / "cpu.max").write_text("150000 100000\n")
    assert threads.usable_cores(tmp_path) == 2
    (tmp_path / "cpu.max").write_text("10000 100000\n")
    assert threads.usable_cores(tmp_path) == 1


def test_cores_load_and_the_recipes_own_count_are_in_the_facts_of_the_machine() -> None:
    facts = environment.hardware(load("smoke"), {})
    assert facts["threads"] == load("smoke").hardware.threads == 1
    assert facts["cores"] >= 1 and (facts["load"] is None or facts["load"] >= 0)
    json.dumps(facts)


@pytest.mark.slow  # imports everything that the fork server does
def test_the_measurement_tells_a_speed_for_every_count() -> None:
    import torch

    from pipeline.preload import measure_threads

    before = torch.get_num_threads()
    speeds = measure_threads(2, seconds=0.05)
    torch.set_num_threads(before)
    assert set(speeds) == {"1", "2"} and min(speeds.values()) > 0

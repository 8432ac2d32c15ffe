"""What a run's seconds went to: counted once, told as shares of what was paid, never guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.report.reading import RunFiles
from pipeline.report.timeline import Usage, timeline
from pipeline.times import TimedEngine, Times


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Slow:
    """An engine each of whose calls takes two seconds."""

    model = "weights"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def generate(self, requests: list[int]) -> list[int]:
        self._clock.now += 2
        return requests

    def plan(self, requests: list[int]) -> list[list[int]]:
        self._clock.now += 2
        return [requests]


def test_only_the_models_own_work_is_counted_as_computing() -> None:
    clock = Clock()
    times = Times(clock=clock)
    engine = TimedEngine(Slow(clock), times)
    assert engine.plan([1]) == [[1]]
    assert engine.generate([1]) == [1]
    assert engine.model == "weights"
    assert times.as_dict == {"loading_s": 0.0, "computing_s": 2.0}


def test_what_runs_inside_something_timed_is_not_counted_twice_nor_lost_by_an_error() -> None:
    clock = Clock()
    times = Times(clock=clock)
    engine = TimedEngine(Slow(clock), times)

    def broken() -> None:
        with times.count("loading"):
            engine.generate([])
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        broken()
    assert times.as_dict == {"loading_s": 2.0, "computing_s": 0.0}
    times.add(1.0, 4.0)
    assert (times.loading, times.computing) == (3.0, 4.0)


def run(root: Path, told: dict[str, Any] | None) -> Path:
    """A run that held its machine for 100 s, in which one step was done here and one was taken over."""
    rows: list[dict[str, Any]] = [
        {"t": "00:00", "kind": "run_started", "steps": ["stage-1/sft", "stage-1/dpo"], "hardware": {}},
        {"t": "00:10", "kind": "step_finished", "step": "stage-1/sft", "state": "reused", "seconds": 900.0},
        {"t": "00:20", "kind": "step_started", "step": "stage-1/dpo", "key": "k", "attempt": 1},
        {"t": "01:20", "kind": "step_finished", "step": "stage-1/dpo", "state": "done", "seconds": 55.0},
        {"t": "01:40", "kind": "run_finished", "state": "finished", "exit_code": 0, "reason": ""},
    ]
    root.mkdir(parents=True, exist_ok=True)
    lines = ({"v": 1, "seq": i, **row, "t": f"2026-01-02T03:{row['t']}Z"} for i, row in enumerate(rows))
    (root / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step in ("sft", "dpo"):
        (root / "stage-1" / step).mkdir(parents=True, exist_ok=True)
        body = {"seconds": 55.0, "started": "2026-01-02T03:00:25Z", "summary": {}, "tokens": 1, "cost_usd": None}
        times = {} if told is None else {"times": told}
        (root / "stage-1" / step / "manifest.json").write_text(json.dumps({**body, **times, "outputs": []}))
    return root


def test_the_shares_are_of_what_the_machine_was_held_for_and_count_no_work_of_other_runs(tmp_path: Path) -> None:
    usage = timeline(RunFiles(run(tmp_path, {"attempt_s": 53.0, "computing_s": 40.0, "loading_s": 10.0}))).usage
    assert usage == Usage(computing=0.4, loading=0.1, working=0.03, starting=0.05, start=5.0)
    assert usage.text == (
        "Paid minutes: 40 % the model computing, 10 % reading weights, 3 % the steps' own work (filters, scores,"
        " files), 5 % starting processes (half the steps in 5.0 s or less), 42 % between the steps."
    )


@pytest.mark.parametrize(
    "told",
    [
        None,
        {"attempt_s": 53.0, "computing_s": 40.0},
        {"computing_s": 40.0, "loading_s": 1.0},
        {"attempt_s": 53.0, "computing_s": "x", "loading_s": 1.0},
    ],
)
def test_a_step_that_does_not_say_what_it_did_leaves_the_shares_unknown(
    told: dict[str, Any] | None, tmp_path: Path
) -> None:
    assert timeline(RunFiles(run(tmp_path, told))).usage is None

"""`status` tells the truth from files alone: before, during and after a run, and for one that died."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline import ledger, status
from pipeline.artifacts import write_atomic
from pipeline.errors import UsageError
from pipeline.events import iso
from pipeline.locks import RunLock
from pipeline.protocol import Event, Rate, RunPaths, read_events
from pipeline.rundir import write_run
from pipeline.runner import run
from pipeline.stats import wilson_interval
from tests.pipeline.fake_run import options, recipe
from tests.pipeline.fake_steps import run_dir_of

FIELDS = ["run_id", "recipe", "state", "stages", "cost", "started", "finished"]


def begun(root: Path, *events: tuple[str, dict[str, Any]]) -> Path:
    body = recipe()
    write_run(root, {"run_id": "r1", "recipe": body.model_dump(mode="json"), "recipe_sha256": body.digest()})
    lines = b"".join(Event(n, iso(1e9 + n), kind, data).to_line() for n, (kind, data) in enumerate(events))
    RunPaths(root).events.write_bytes(lines)
    return root


START = ("run_started", {"run_id": "r1", "hardware": {"price_per_hour": 3600.0}})


def test_the_contract_of_a_finished_run(tmp_path: Path) -> None:
    (tmp_path / "verdict").write_text("FAIL")
    assert run(options(tmp_path, env={"MAXCAI_PRICE_PER_HOUR": "1"})) == 5
    found = json.loads(json.dumps(status.status(run_dir_of(tmp_path))))
    assert list(found) == FIELDS
    assert (found["run_id"], found["recipe"], found["state"]) == ("fake-1", "fake", "finished")
    (stage,) = found["stages"]
    assert sorted(stage) == ["attempt", "name", "rates", "stage", "threshold", "verdict"]
    assert (stage["stage"], stage["name"], stage["verdict"], stage["attempt"]) == (1, "explicit", "FAIL", 1)
    assert Rate.from_dict(stage["rates"]["tuned"]) == Rate(9, 10, 0.59, 0.98, 10)
    assert found["started"] < found["finished"]
    assert found["cost"] > 0
    assert "stage 1 explicit: FAIL" in status.text(found)


def test_a_run_that_has_not_begun_is_pending_with_nothing_known(tmp_path: Path) -> None:
    found = status.status(begun(tmp_path))
    assert (found["state"], found["cost"], found["started"], found["finished"]) == ("pending", None, None, None)
    stage = found["stages"][0]
    assert (stage["verdict"], stage["rates"], stage["threshold"]) == (None, {}, 0.95)


def test_rates_of_finished_evaluations_show_before_the_gate_and_nothing_is_filled_up(tmp_path: Path) -> None:
    begun(tmp_path, START)
    conditions = {
        "base-raw": {"strict": 3, "lenient": 5, "trials": 108},
        "base-formatted": {"strict": 3, "trials": 108},
        "strange": {"strict": 1, "lenient": 1, "trials": 1},
    }
    summary = {"sets": {"1": {"conditions": conditions}}}
    write_atomic(tmp_path / "stage-0/evaluate/summary.json", json.dumps(summary).encode())
    low, high = wilson_interval(3, 108)
    expected = {"successes": 3, "trials": 108, "low": low, "high": high, "lenient_successes": 5}
    assert status.status(tmp_path)["stages"][0]["rates"] == {"base-raw": expected}


def test_a_curtailed_evaluations_rate_has_no_interval_before_the_gate_either(tmp_path: Path) -> None:
    begun(tmp_path, START)
    tuned = {"strict": 3, "lenient": 5, "trials": 50, "curtailed": True, "curtailed_because": "it cannot pass"}
    summary = {"sets": {"1": {"conditions": {"tuned": tuned}}}}
    write_atomic(tmp_path / "stage-1/evaluate/summary.json", json.dumps(summary).encode())
    rate = status.status(tmp_path)["stages"][0]["rates"]["tuned"]
    assert (rate["successes"], rate["trials"], rate["low"], rate["high"]) == (3, 50, 0.0, 1.0)


def test_a_run_whose_holder_is_alive_runs_and_one_whose_holder_died_is_lost(tmp_path: Path) -> None:
    begun(tmp_path, START)
    with RunLock(RunPaths(tmp_path).lock):
        assert status.status(tmp_path)["state"] == "running"
    hold = "import os, sys; from pathlib import Path; from pipeline.locks import RunLock\n"
    hold += "RunLock(Path(sys.argv[1])).__enter__(); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", hold, str(RunPaths(tmp_path).lock)], check=False)
    assert status.status(tmp_path)["state"] == "lost"


def test_status_never_writes(tmp_path: Path) -> None:
    begun(tmp_path, START)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    status.status(tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_directory_without_a_run_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"holds no run"):
        status.status(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"run\.json cannot be read"):
        status.status(tmp_path)


def test_the_cost_counts_every_session_also_those_that_were_killed(tmp_path: Path) -> None:
    beat = ("heartbeat", {"step": "stage-1/sft"})
    begun(tmp_path, START, beat, beat, START, beat)  # a second apart: two seconds, killed, then one
    assert status.status(tmp_path)["cost"] == pytest.approx(3.0)
    unknown = ("run_started", {"run_id": "r1", "hardware": {"price_per_hour": None}})
    begun(tmp_path, START, beat, unknown, beat)
    assert status.status(tmp_path)["cost"] is None


def test_the_history_adds_the_attempts_of_a_step(tmp_path: Path) -> None:
    step = {"step": "stage-1/sft", "key": "k", "attempt": 1, "forecast_s": None}
    beat = ("heartbeat", {"step": "stage-1/sft"})
    begun(tmp_path, START, ("step_started", step), beat, beat, START, ("step_started", step), beat)
    past = ledger.history(read_events(RunPaths(tmp_path).events))
    assert past.attempts == {("stage-1/sft", "k"): 2}
    assert past.seconds == {("stage-1/sft", "k"): pytest.approx(3.0)}
    assert past.sessions == 2

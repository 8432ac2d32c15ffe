"""Kill anything, any time: a run resumes, ends with the same bytes, and pays for no batch twice."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts, ledger, status
from pipeline.errors import UsageError
from pipeline.events import EventWriter
from pipeline.locks import LockedError, start_time
from pipeline.protocol import Event, RunPaths, parse_line, read_events
from pipeline.runner import run
from tests.pipeline.fake_run import PLAN, options, recipe
from tests.pipeline.fake_steps import run_dir_of

STEPS = [p.name for p in PLAN]


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of a run that nothing happened to."""
    root = tmp_path_factory.mktemp("undisturbed")
    assert run(options(root)) == 0
    return artifacts.digest(run_dir_of(root))


def fault(root: Path, step: str, what: str) -> None:
    (root / "faults").mkdir(exist_ok=True)
    (root / "faults" / step.replace("/", ".")).write_text(what)


def events(root: Path, kind: str | None = None) -> list[Event]:
    return [e for e in read_events(RunPaths(run_dir_of(root)).events) if kind in (None, e.kind)]


def finished(root: Path) -> dict[str, str]:
    return {e["step"]: e["state"] for e in events(root, "step_finished")}


def batches(root: Path) -> list[str]:
    return (root / "work.log").read_text().splitlines()


def command(root: Path) -> list[str]:
    return [sys.executable, "-m", "tests.pipeline.fake_run", str(root)]


def in_a_process(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(root), capture_output=True, text=True, timeout=60, check=False)


def assert_events_are_whole(root: Path) -> None:
    """seq has no gap, every line but torn ones can be read, every announced file has its announced hash."""
    lines = RunPaths(run_dir_of(root)).events.read_bytes().split(b"\n")
    assert lines[-1] == b""
    assert [e.seq for e in map(parse_line, lines) if e is not None] == list(range(len(events(root))))
    latest = {e["path"]: e for e in events(root, "artifact")}
    assert latest
    for name, event in latest.items():
        path = run_dir_of(root) / name
        assert (path.stat().st_size, artifacts.sha256_file(path)) == (event["size"], event["sha256"])


def test_a_run_goes_through_every_step_and_announces_every_file(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    assert finished(tmp_path) == dict.fromkeys(STEPS, "done")
    assert_events_are_whole(tmp_path)
    announced = {e["path"] for e in events(tmp_path, "artifact")}
    for step in STEPS:
        assert artifacts.verify(run_dir_of(tmp_path) / step) == []
        for name in ("DONE", "manifest.json"):
            assert f"{step}/{name}" in announced
    assert {"run.json", "stage-1/gate.json"} <= announced
    assert not [name for name in announced if "checkpoints" in name]
    end = events(tmp_path)[-1]
    assert (end.kind, end["state"], end["exit_code"]) == ("run_finished", "finished", 0)
    assert [e["value"] for e in events(tmp_path, "metric")] == [0.5, 0.25]
    log = (run_dir_of(tmp_path) / "logs" / "stage-1.generate.log").read_text()
    assert log.splitlines() == [f"batch {n}" for n in range(5)]


def test_a_second_run_after_the_end_does_no_work(tmp_path: Path, undisturbed: str) -> None:
    run(options(tmp_path))
    size, work = RunPaths(run_dir_of(tmp_path)).events.stat().st_size, batches(tmp_path)
    done = {p: p.stat().st_mtime_ns for p in run_dir_of(tmp_path).rglob("DONE")}
    assert run(options(tmp_path)) == 0
    assert batches(tmp_path) == work
    assert {p: p.stat().st_mtime_ns for p in run_dir_of(tmp_path).rglob("DONE")} == done
    assert finished(tmp_path) == dict.fromkeys(STEPS, "reused")
    assert RunPaths(run_dir_of(tmp_path)).events.stat().st_size > size
    assert len(events(tmp_path, "gate")) == 1
    assert_events_are_whole(tmp_path)
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed


@pytest.mark.parametrize("what", ["kill-self", "kill-fork-server"])
@pytest.mark.parametrize(("step", "batch"), [("stage-1/generate", 3), ("stage-1/sft", 0), ("stage-1/filter", 0)])
def test_a_killed_step_is_resumed_and_ends_with_the_same_bytes(
    tmp_path: Path, undisturbed: str, step: str, batch: int, what: str
) -> None:
    fault(tmp_path, step, f"{batch} {what}")
    assert run(options(tmp_path)) == 0
    assert [e["attempt"] for e in events(tmp_path, "step_started") if e["step"] == step] == [1, 2]
    assert [e["code"] for e in events(tmp_path, "warning")] == ["step-restarted"]
    assert sorted(batches(tmp_path)) == [f"stage-1/generate batch {n}" for n in range(5)]
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed
    assert_events_are_whole(tmp_path)


def test_a_killed_steps_tokens_are_those_of_all_its_attempts(tmp_path: Path) -> None:
    fault(tmp_path, "stage-1/generate", "3 kill-self")
    assert run(options(tmp_path)) == 0
    manifest = json.loads((run_dir_of(tmp_path) / "stage-1/generate/manifest.json").read_text())
    assert (manifest["attempt"], manifest["tokens"]) == (2, 10 * recipe().data.instructions)


def test_a_step_made_again_is_not_charged_for_the_first_time(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    past = ledger.history(read_events(RunPaths(run_dir_of(tmp_path)).events))
    assert not past.seconds
    assert run(options(tmp_path, force=("stage-1/sft",))) == 0
    manifest = json.loads((run_dir_of(tmp_path) / "stage-1/sft/manifest.json").read_text())
    assert manifest["attempt"] == 2
    assert manifest["seconds"] == pytest.approx(manifest["times"]["attempt_s"], abs=0.002)


def test_a_step_that_is_killed_every_time_fails_the_run_after_two_restarts(tmp_path: Path) -> None:
    fault(tmp_path, "stage-1/generate", "2 kill-self!")
    assert run(options(tmp_path)) == 1
    end = events(tmp_path)[-1]
    assert (end["state"], end["exit_code"]) == ("failed", 1)
    assert "killed by signal 9" in end["reason"]
    assert len(events(tmp_path, "step_started")) == 1 + 3
    assert finished(tmp_path)["stage-1/generate"] == "failed"


@pytest.mark.parametrize(("step", "batch"), [("stage-0/evaluate", 0), ("stage-1/generate", 2), ("stage-1/filter", 0)])
def test_a_killed_runner_takes_its_step_with_it_and_the_next_run_resumes(
    tmp_path: Path, undisturbed: str, step: str, batch: int
) -> None:
    fault(tmp_path, step, f"{batch} kill-runner")
    first = in_a_process(tmp_path)
    assert first.returncode == -9
    beats = events(tmp_path, "heartbeat")
    for pid in {e["pid"] for e in beats}:
        wait_until_gone(pid)
    assert status.status(run_dir_of(tmp_path))["state"] == "lost"
    assert run(options(tmp_path)) == 0
    assert [e["resumed"] for e in events(tmp_path, "run_started")] == [False, True]
    assert "stale-lock" in [e["code"] for e in events(tmp_path, "warning")]
    assert sorted(batches(tmp_path)) == [f"stage-1/generate batch {n}" for n in range(5)]
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed
    assert_events_are_whole(tmp_path)


def wait_until_gone(pid: int, seconds: float = 10.0) -> None:
    """Poll, with a bound, for a process that the kernel was told to end."""
    gone = threading.Event()
    for _ in range(int(seconds / 0.02)):
        if start_time(pid) is None:
            return
        gone.wait(0.02)
    raise AssertionError(f"process {pid} outlived its runner")


@pytest.mark.parametrize("step", STEPS[:3])
def test_a_stop_ends_after_the_batch_and_the_run_resumes(tmp_path: Path, undisturbed: str, step: str) -> None:
    fault(tmp_path, step, "0 stop-runner")
    assert run(options(tmp_path)) == 1
    end = events(tmp_path)[-1]
    assert (end["state"], end["exit_code"]) == ("stopped", 1)
    assert "SIGTERM" in end["reason"]
    if step == "stage-1/generate":
        assert batches(tmp_path) == ["stage-1/generate batch 0"]
    assert run(options(tmp_path)) == 0
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed


def test_a_second_signal_stops_at_once_and_loses_nothing_committed(tmp_path: Path, undisturbed: str) -> None:
    fault(tmp_path, "stage-1/generate", "2 stop-runner-twice")
    assert in_a_process(tmp_path).returncode == 1
    assert events(tmp_path)[-1]["state"] == "stopped"
    assert len(batches(tmp_path)) == 2
    assert run(options(tmp_path)) == 0
    assert sorted(batches(tmp_path)) == [f"stage-1/generate batch {n}" for n in range(5)]
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed


def test_a_step_that_hangs_is_killed_resumed_once_and_then_failed(tmp_path: Path) -> None:
    fault(tmp_path, "stage-1/sft", "0 hang")
    assert run(options(tmp_path)) == 0
    assert "no sign of progress" in events(tmp_path, "warning")[0]["text"]
    assert "in strike" in (run_dir_of(tmp_path) / "logs" / "stage-1.sft.log").read_text()  # where it hung
    fault(tmp_path, "stage-1/sft", "0 hang!")
    assert run(options(tmp_path, force=("stage-1/sft",))) == 1
    assert "no sign of progress" in events(tmp_path)[-1]["reason"]
    assert events(tmp_path, "step_started")[-1]["attempt"] == 4


def test_a_step_that_is_done_when_its_time_is_up_is_not_made_again(tmp_path: Path) -> None:
    fault(tmp_path, "stage-1/sft", "0 finish-late")
    assert run(options(tmp_path)) == 0
    assert [e["attempt"] for e in events(tmp_path, "step_started") if e["step"] == "stage-1/sft"] == [1]
    assert finished(tmp_path)["stage-1/sft"] == "done"


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("refuse", "the seed pool is empty. Add seeds"),
        ("disk-full", "the disk is full (records.part"),
        ("bug", "ZeroDivisionError"),
    ],
)
def test_a_step_that_fails_ends_the_run_with_one_sentence(tmp_path: Path, what: str, words: str) -> None:
    fault(tmp_path, "stage-1/generate", f"1 {what}!")
    assert run(options(tmp_path)) == 1
    end = events(tmp_path)[-1]
    assert (end["state"], end["exit_code"]) == ("failed", 1)
    assert words in end["reason"]
    assert "Traceback" not in end["reason"]
    assert artifacts.read_done(run_dir_of(tmp_path) / "stage-1/generate") is None
    (tmp_path / "faults" / "stage-1.generate").unlink()
    assert run(options(tmp_path)) == 0
    assert batches(tmp_path) == [f"stage-1/generate batch {n}" for n in range(5)]


def test_data_that_breach_their_limits_are_made_again_twice_with_recorded_settings_and_then_the_run_stops(
    tmp_path: Path,
) -> None:
    fault(tmp_path, "stage-1/generate", "1 bad-data!")
    assert run(options(tmp_path)) == 1
    assert "67 % of the instructions are duplicates" in events(tmp_path)[-1]["reason"]
    assert events(tmp_path)[-1]["reason"].endswith("after 2 automatic retries")
    noted = json.loads((run_dir_of(tmp_path) / "stage-1/retries.json").read_text())["retries"]
    assert [entry["set"] for entry in noted] == [
        ["data.answer_temperature=0.5"],
        ["data.answer_temperature=0.3", "data.instruction_temperature=0.7"],
    ]
    assert [w["code"] for w in events(tmp_path, "warning")].count("data-retry") == 2
    (tmp_path / "faults" / "stage-1.generate").unlink()
    assert run(options(tmp_path)) == 0
    material = json.loads((run_dir_of(tmp_path) / "stage-1/generate/manifest.json").read_text())["material"]
    assert material["recipe"]["data"]["answer_temperature"] == 0.3


def test_a_retry_that_helps_lets_the_run_go_on_and_is_remembered(tmp_path: Path) -> None:
    fault(tmp_path, "stage-1/generate", "1 bad-data")
    assert run(options(tmp_path)) == 0
    assert run(options(tmp_path)) == 0
    assert {e["state"] for e in events(tmp_path, "step_finished")[-5:]} == {"reused"}


def test_an_event_file_without_room_ends_in_one_clear_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: EventWriter, *_: object) -> Event:
        raise OSError(28, "No space left on device", str(self.path))

    with monkeypatch.context() as patch:
        patch.setattr(EventWriter, "_write", full)
        with pytest.raises(Exception, match=r"the disk is full .*events.jsonl.* run again") as caught:
            run(options(tmp_path))
        assert getattr(caught.value, "exit_code", None) == 1
    assert run(options(tmp_path)) == 0


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        ("PASS", 0),
        ("NO_HEADROOM", 0),
        ("FAIL", 5),
        ("INCONCLUSIVE", 5),
        ("REGRESSION", 5),
        ("INVALID", 5),
        ("MISSING", 5),
    ],
)
def test_only_two_verdicts_advance_and_the_report_comes_first(tmp_path: Path, verdict: str, code: int) -> None:
    reported = []
    (tmp_path / "verdict").write_text(verdict)
    assert run(options(tmp_path, report=lambda _: reported.append(events(tmp_path)[-1].kind))) == code
    gate = events(tmp_path, "gate")[0]
    assert (gate["verdict"], gate["rates"]["tuned"]["trials"]) == (verdict, 10)
    assert reported == ["gate"]
    assert events(tmp_path)[-1]["exit_code"] == code
    assert run(options(tmp_path)) == code


@pytest.mark.parametrize("decision", ["nothing", "PASSED", ""])
def test_a_missing_or_senseless_gate_file_is_missing_and_exit_5(tmp_path: Path, decision: str) -> None:
    (tmp_path / "verdict").write_text(decision)
    assert run(options(tmp_path)) == 5
    gate = events(tmp_path, "gate")[0]
    assert (gate["verdict"], gate["rate"], gate["n"], gate["rates"]) == ("MISSING", None, None, {})
    assert not artifacts.verify(run_dir_of(tmp_path) / "stage-1/gate")


def test_a_deleted_gate_file_is_missing_until_it_is_decided_again(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    for path in (RunPaths(run_dir_of(tmp_path)).gate(1), run_dir_of(tmp_path) / "stage-1/gate/gate.json"):
        path.unlink()
    (tmp_path / "verdict").write_text("nothing")
    assert run(options(tmp_path)) == 5
    assert "--force stage-1/gate" in events(tmp_path, "gate")[-1]["reason"]
    (tmp_path / "verdict").write_text("PASS")
    assert run(options(tmp_path, force=("stage-1/gate",))) == 0


def test_a_stage_after_a_gate_that_failed_does_not_start(tmp_path: Path) -> None:
    from pipeline.plan import PlannedStep

    (tmp_path / "verdict").write_text("FAIL")
    later = (*PLAN, PlannedStep(2, "generate"))
    assert run(options(tmp_path, steps=later)) == 5
    assert not (run_dir_of(tmp_path) / "stage-2").exists()


def test_a_changed_field_redoes_only_the_steps_that_read_it(tmp_path: Path) -> None:
    run(options(tmp_path))
    told: list[str] = []
    changed = recipe(train={"sft": {"learning_rate": 3e-4}})
    assert run(options(tmp_path, recipe=changed, supersede=True, explain=True, say=told.append)) == 0
    redone = {step for step, state in finished(tmp_path).items() if state == "done"}
    assert redone == {"stage-1/sft", "stage-1/evaluate"}  # the gate's input came out with the same bytes
    assert any("learning_rate: 0.0001 → 0.0003" in line for line in told)
    old = list((run_dir_of(tmp_path) / "stage-1" / ".superseded").iterdir())
    assert sorted(p.name.rpartition("-")[0] for p in old) == ["evaluate", "sft"]
    assert all((p / "manifest.json").exists() for p in old)
    record = json.loads((run_dir_of(tmp_path) / "run.json").read_text())
    assert record["recipe"]["train"]["sft"]["learning_rate"] == 3e-4
    assert record["superseded_recipes"] == [recipe().digest()]


def test_what_cannot_change_a_result_redoes_nothing(tmp_path: Path) -> None:
    run(options(tmp_path))
    assert run(options(tmp_path, recipe=recipe(runtime={"generate_tokens": 77}))) == 0
    assert set(finished(tmp_path).values()) == {"reused"}


def test_a_directory_of_another_recipe_is_refused_and_untouched(tmp_path: Path) -> None:
    run(options(tmp_path))
    before = {p: p.read_bytes() for p in run_dir_of(tmp_path).rglob("*") if p.is_file()}
    other = recipe(name="other", seed=4)
    with pytest.raises(UsageError, match=r"belongs to recipe 'fake' .* not to 'other' .*seed: 0 → 4") as caught:
        run(options(tmp_path, recipe=other))
    assert caught.value.exit_code == 2
    assert {p: p.read_bytes() for p in run_dir_of(tmp_path).rglob("*") if p.is_file()} == before


def test_a_damaged_artifact_is_found_moved_aside_and_made_again(tmp_path: Path, undisturbed: str) -> None:
    run(options(tmp_path))
    path = run_dir_of(tmp_path) / "stage-1/generate/records.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"id":3', b'"id":4'))
    assert run(options(tmp_path)) == 0
    assert finished(tmp_path)["stage-1/generate"] == "done"
    assert finished(tmp_path)["stage-1/sft"] == "reused"
    assert "content differs" in events(tmp_path, "warning")[0]["text"]
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed


def test_until_ends_early_and_the_rest_follows_later(tmp_path: Path, undisturbed: str) -> None:
    assert run(options(tmp_path, until="stage-1/filter")) == 0
    assert set(finished(tmp_path)) == set(STEPS[:3])
    assert events(tmp_path)[-1]["state"] == "stopped"
    with pytest.raises(UsageError, match="no step 'stage-1/nothing' in this run"):
        run(options(tmp_path, until="stage-1/nothing"))
    assert run(options(tmp_path)) == 0
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed


def test_a_second_run_while_one_is_alive_is_refused_and_names_the_holder(tmp_path: Path) -> None:
    caught: list[LockedError] = []
    states: list[str] = []

    def meanwhile(line: str) -> None:
        if line == "stage-1/filter" and not caught:
            states.append(status.status(run_dir_of(tmp_path))["state"])
            with pytest.raises(LockedError) as error:
                run(options(tmp_path))
            caught.append(error.value)

    assert run(options(tmp_path, say=meanwhile)) == 0
    assert f"process {os.getpid()} " in str(caught[0])
    assert caught[0].exit_code == 1
    assert states == ["running"]
    assert_events_are_whole(tmp_path)


def test_two_runs_started_at_once_make_one_run(tmp_path: Path) -> None:
    both = [subprocess.Popen(command(tmp_path), stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(p.communicate(timeout=60)[1], p.returncode) for p in both]
    assert 0 in [code for _, code in ends]
    assert batches(tmp_path) == [f"stage-1/generate batch {n}" for n in range(5)]
    assert_events_are_whole(tmp_path)


def test_a_budget_in_dollars_stops_resumably_and_says_why(tmp_path: Path, undisturbed: str) -> None:
    clock = ticking(3600.0)
    priced = options(tmp_path, env={"MAXCAI_PRICE_PER_HOUR": "2"}, clock=lambda: next(clock))
    poor = dataclasses.replace(priced, recipe=recipe(budget={"usd": 20}))
    assert run(poor) == 1
    end = events(tmp_path)[-1]
    assert (end["state"], "usd budget" in end["reason"]) == ("stopped", True)
    assert run(options(tmp_path, recipe=recipe(budget={"usd": 21}), overlays=("budget.usd=21",))) == 0
    with pytest.raises(UsageError, match=r"begun with a budget \(usd 21\) that this call does not give"):
        run(options(tmp_path))
    noted = json.loads(RunPaths(run_dir_of(tmp_path)).run_json.read_text())
    assert (noted["recipe"]["budget"]["usd"], noted["set"], noted["superseded_recipes"]) == (21, ["budget.usd=21"], [])
    assert "price-unknown" in [e["code"] for e in events(tmp_path, "warning")]
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed


def ticking(seconds: float) -> Iterator[float]:
    now = 1.7e9
    while True:
        now += seconds
        yield now


def test_costs_are_known_with_a_price_and_unknown_without(tmp_path: Path) -> None:
    run(options(tmp_path, env={"MAXCAI_PRICE_PER_HOUR": "3600"}))
    ends = events(tmp_path, "step_finished")
    assert all(e["usd"] == pytest.approx(e["seconds"], abs=1e-3) for e in ends)
    assert 0 < status.status(run_dir_of(tmp_path))["cost"] < 60
    run(options(tmp_path))
    assert status.status(run_dir_of(tmp_path))["cost"] is None


def test_the_second_run_of_a_recipe_has_forecasts(tmp_path: Path) -> None:
    run(options(tmp_path))
    assert {e["forecast_s"] for e in events(tmp_path, "step_started")} == {None}
    again = options(tmp_path, run_dir=tmp_path / "again")
    run(again)
    starts = [e for e in read_events(again.run_dir / "events.jsonl") if e.kind == "step_started"]
    assert all(isinstance(e["forecast_s"], float) for e in starts)


def test_a_report_that_fails_does_not_lose_the_run(tmp_path: Path) -> None:
    def broken(_: Path) -> Any:
        raise RuntimeError("no font")

    assert run(options(tmp_path, report=broken)) == 0
    assert "no font" in events(tmp_path, "warning")[0]["text"]


def test_the_runner_never_loads_torch(tmp_path: Path) -> None:
    code = "import sys; import tests.pipeline.fake_run as f; f.main(); print([m for m in sys.modules if 'torch' in m])"
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_fresh_interpreter_for_every_step_gives_the_same_bytes(tmp_path: Path, undisturbed: str) -> None:
    assert run(options(tmp_path, preload=())) == 0
    assert artifacts.digest(run_dir_of(tmp_path)) == undisturbed

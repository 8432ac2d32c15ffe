"""What stands behind the actions: guards, the files that are pushed, progress lines, logs, summaries, harmless text."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from app.controller import Controller
from app.demo import summarise
from app.doctor import examine
from app.errors import AppError, UsageError, WorkspaceError, sentence
from app.events import Output
from app.launch import check_recipe
from app.logs import LogReader, short
from app.progress import Narrator, remaining
from app.risk import at_risk
from app.runs import RunEntry
from app.settings import Settings
from app.state import AppState, GateView, RunView, StepView
from app.text import duration, gate_lines, harmless, money, status_text, wilson
from app.workspace import find, init
from pipeline.stats import wilson_interval
from remote.money.costs import Ledger
from remote.pods.model import Pod, PodSession, PodStatus

ENTRY = RunEntry("01ABC", "demo", "local", "t" * 64, 1, 5.0)


async def test_a_pod_that_cannot_be_asked_is_at_risk_itself(workspace_dir: Path) -> None:
    controller = Controller(find(workspace_dir), Settings())
    pod = await controller.supervisor.fleet.find()
    (risk,) = await at_risk(controller.supervisor, pod)
    assert "cannot be told" in risk


def test_a_workspace_with_its_own_pipeline_pushes_only_itself(workspace_dir: Path) -> None:
    assert find(workspace_dir).sources() == [(workspace_dir, "")]


def test_a_folder_that_is_no_workspace_pushes_none_of_its_files(tmp_path: Path) -> None:
    (tmp_path / "constitution.yaml").write_text("a: 1")
    (tmp_path / "diary.txt").write_text("private")
    workspace = find(tmp_path)
    assert workspace.sources() == [
        (workspace.pipeline, "pipeline"),
        (tmp_path / "constitution.yaml", "constitution.yaml"),
    ]


def test_a_made_workspace_is_overlaid_by_the_installed_pipeline(tmp_path: Path) -> None:
    (tmp_path / "constitution.yaml").write_text("a: 1")
    workspace = find(tmp_path)
    init(workspace, lambda _name, _made: None)
    assert workspace.sources() == [(tmp_path, ""), (workspace.pipeline, "pipeline")]
    assert workspace.code_root == workspace.pipeline.parent


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "constitution.yaml").write_text("a: 1")
    (tmp_path / "runs").write_text("")
    with pytest.raises(WorkspaceError, match="is a file"):
        init(find(tmp_path), lambda _name, _made: None)


def test_the_pipeline_that_will_run_judges_recipe_and_constitution(workspace_dir: Path) -> None:
    check_recipe(find(workspace_dir), "demo")
    with pytest.raises(UsageError, match="unknown recipe smok"):
        check_recipe(find(workspace_dir), "smok")
    (workspace_dir / "constitution.yaml").write_text("version: 1\n")
    with pytest.raises(UsageError, match=r"^constitution\.yaml:1: principles: missing"):
        check_recipe(find(workspace_dir), "demo")


def test_a_recipe_file_that_would_not_travel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine")
    with pytest.raises(UsageError, match="outside of what is pushed"):
        check_recipe(find(tmp_path), "mine.yaml")


async def test_readonly_refuses_every_writer_with_a_reason(workspace_dir: Path) -> None:
    controller = Controller(find(workspace_dir), Settings(), readonly=True)
    for action in controller.actions():
        defaults = {param.name: param.default for param in action.params}
        if action.writes and not action.looks(defaults):
            assert "read-only" in (controller.reason(action.id) or "")
            assert await controller.perform(action.id) == 3
    assert not (workspace_dir / ".maxcai" / "pods").exists()


async def test_an_action_in_the_panel_turns_its_error_into_a_notice(workspace_dir: Path) -> None:
    controller = Controller(find(workspace_dir), Settings())
    assert await controller.perform("pull") == 2
    assert "no run to pull" in controller.state.notices[-1].text
    assert await controller.perform("pull", {"nonsense": 1}) == 2


async def test_tasks_and_reviews_are_listed(workspace_dir: Path) -> None:
    (workspace_dir / "task_board/pending").mkdir(parents=True)
    (workspace_dir / "task_board/pending/20260101_120000_P1_do_it.md").write_text("# Do it\n")
    controller = Controller(find(workspace_dir), Settings())
    found = [e async for e in controller.stream("task.list") if isinstance(e, Output)]
    assert found[0].data[0]["title"] == "Do it"
    assert [e.text async for e in controller.stream("review.list") if isinstance(e, Output)] == ["no review requests"]


def write_events(folder: Path, start: float, *events: dict[str, Any]) -> None:
    """An event file whose lines are 100 s apart."""
    folder.mkdir(parents=True)
    lines = [
        json.dumps({"v": 1, "seq": n, "t": datetime.fromtimestamp(start + 100 * n, UTC).isoformat(), **event})
        for n, event in enumerate(events)
    ]
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")


def run(*steps: StepView, state: str = "running") -> AppState:
    return AppState(project="p", run=RunView("R", state=state, steps=steps))


def test_progress_is_told_at_each_change_and_every_ten_seconds() -> None:
    now = [0.0]
    narrator = Narrator(lambda: now[0])
    step = StepView("stage-1/sft", "running", started_at=0.0, done=0, total=10, unit="steps", rate=1.0, eta_s=10.0)
    line, said = narrator.lines(run(step))
    assert (line.split()[:3], said) == (["[1/1]", "stage-1/sft", "running"], "run R running")
    assert list(narrator.lines(run(replace(step, done=1)))) == []
    now[0] = 10.0
    (line,) = narrator.lines(run(replace(step, done=5, eta_s=5.0)))
    assert "5/10 steps 1/s after 0:10 step ETA 0:05 run ETA 0:05" in line
    (line,) = narrator.lines(run(replace(step, state="done", seconds=12.0)))
    assert line.endswith("done in 0:12")
    assert list(narrator.lines(run(replace(step, state="done", seconds=12.0), state="finished"))) == ["run R finished"]


def test_the_end_is_unknown_while_a_step_ahead_has_no_forecast() -> None:
    steps = (StepView("a", "done"), StepView("b", "running", eta_s=5.0), StepView("c", forecast_s=7.0))
    assert remaining(RunView("R", steps=steps)) == 12.0
    assert remaining(RunView("R", steps=(*steps, StepView("d")))) is None


def test_logs_are_read_once_each_with_a_line_where_the_log_changes(tmp_path: Path) -> None:
    workspace = find(tmp_path)
    spool = workspace.spool_dir(ENTRY.run_id)
    (spool / "logs").mkdir(parents=True)
    (spool / "events.jsonl").write_text("{}\n")
    (spool / "logs/stage-1.sft.log").write_text("one\n")
    reader = LogReader(workspace, ENTRY, None)
    assert b"".join(reader.fresh()) == b"==> logs/stage-1.sft.log <==\none\n"
    with (spool / "logs/stage-1.sft.log").open("a") as out:
        out.write("two\n")
    assert b"".join(reader.fresh()) == b"two\n"
    assert b"".join(LogReader(workspace, ENTRY, "stage-1/sft").fresh()) == b"one\ntwo\n"
    assert b"".join(LogReader(workspace, ENTRY, "events.jsonl").fresh()) == b"{}\n"
    with pytest.raises(UsageError, match="no log nonsense"):
        LogReader(workspace, ENTRY, "nonsense").refuse_if_empty()
    assert short("logs/stage-1.sft.log") == short("stage-1/sft")


def test_a_run_without_a_gate_has_reached_no_verdict_and_unknown_is_not_nought(tmp_path: Path) -> None:
    summary = summarise(find(tmp_path), ENTRY)
    assert not summary.reached
    assert "no gate was reached" in summary.text
    assert "time unknown\ncost unknown" in summary.text
    assert (summary.data["seconds"], summary.data["usd"]) == (None, None)


@pytest.mark.parametrize(("verdict", "reached"), [("FAIL", True), ("INVALID", True), ("MISSING", False)])
def test_every_verdict_but_a_missing_one_counts_as_reached(tmp_path: Path, verdict: str, reached: bool) -> None:
    workspace = find(tmp_path)
    gate = {"kind": "gate", "stage": 1, "name": "explicit", "attempt": 1, "verdict": verdict}
    write_events(workspace.run_dir(ENTRY.run_id), 100.0, gate)
    assert summarise(workspace, ENTRY).reached is reached


def test_time_and_money_of_a_run_that_was_taken_up_again_are_the_whole_runs(tmp_path: Path) -> None:
    workspace = find(tmp_path)
    ledger = Ledger(workspace.state_dir)
    for start, stop in ((90.0, 250.0), (400.0, 520.0), (9000.0, 9001.0)):
        pod = Pod("local", "local", "local", PodStatus.RUNNING, "/", "py", price_per_hour=Decimal(36), started_at=start)
        ledger.open(pod)
        ledger.close(PodSession("local", start), stop, "stopped")
    begin = {"kind": "run_started", "recipe": "demo", "steps": []}
    end = {"kind": "run_finished", "state": "finished", "exit_code": 0}
    write_events(
        workspace.run_dir(ENTRY.run_id), 100.0, begin, {"kind": "heartbeat"}, begin, {"kind": "heartbeat"}, end
    )
    summary = summarise(workspace, replace(ENTRY, attempt=2, started=300.0))
    assert summary.data["seconds"] == 400.0
    assert summary.data["usd"] == 2.8  # 160 s and 120 s at a cent a second; the third session is another run's
    assert "time 6:40 (400 s) from the run's first event to its last, in 2 attempts" in summary.text


def test_a_gate_is_shown_with_its_intervals_and_without_items_as_such() -> None:
    rate = {"successes": 14, "trials": 60, "low": 0.144, "high": 0.354, "lenient_successes": 20}
    gate = GateView(
        1, "explicit", 1, "FAIL", 0.2, None, None, None, None, 60, "below", {"tuned": rate, "x": {**rate, "trials": 0}}
    )
    lines = gate_lines(gate)
    assert lines[0] == "stage 1 explicit: FAIL (no threshold)"
    strict, lenient = "strict   14/60 =  23.3% [14.4%, 35.4%]", "lenient   20/60 =  33.3% [22.7%, 45.9%]"
    assert lines[2] == f"  tuned           {strict}   {lenient}"
    assert lines[3].endswith("no items")


@settings(deadline=None)
@given(st.integers(0, 500), st.integers(1, 500))
def test_the_lenient_interval_is_the_pipelines_own(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    assert wilson(successes, trials) == pytest.approx(wilson_interval(successes, trials), abs=1e-9)


def test_unknown_money_and_time_are_said_to_be_unknown() -> None:
    assert (money(None), money(Decimal(0)), duration(None), duration(3725)) == (
        "unknown",
        "$0.00",
        "unknown",
        "1:02:05",
    )
    assert "unknown $/h" in status_text("p", (), None, AppState(project="p").cost)


@settings(deadline=None)
@given(st.text())
def test_text_from_a_pod_cannot_command_the_terminal(text: str) -> None:
    assert not set(harmless(text)) & {chr(n) for n in (*range(9), *range(11, 32), *range(127, 160))}


def test_an_error_is_one_line_with_its_remedy() -> None:
    assert sentence(AppError("it broke", "Mend it.")) == "it broke. Mend it."
    assert sentence(ValueError("two\nlines")) == "two lines"


def test_the_doctor_names_what_is_missing_and_how_to_get_it(workspace_dir: Path) -> None:
    workspace = find(workspace_dir)
    checks = {check.name: check for check in examine(workspace, Settings())}
    assert checks["python"].level == "ok"
    assert checks["constitution"].level == "ok"
    (workspace_dir / "constitution.yaml").write_text("version: 1\n")
    checks = {check.name: check for check in examine(workspace, Settings())}
    assert checks["constitution"].text.startswith("constitution.yaml:1: principles: missing")
    needed = {check.name: check for check in examine(workspace, cast(Any, SimpleNamespace(provider="runpod")))}
    assert needed["RunPod key"].level == "fail"
    assert ".env.runpod" in needed["RunPod key"].remedy

"""What a person is shown first: GPU, price, automatic stop, deletions, what a stop or a removal loses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from app import asking, risk
from app.actions.base import Confirm
from app.asking import plan_lines
from app.controller import Controller
from app.errors import UsageError, sentence
from app.history import mark_home
from app.launch import Going
from app.risk import Risk
from app.runs import RunEntry
from app.sections import Budget, Guard, RunPod
from app.settings import Settings
from app.state import RunView
from app.supervisor import Supervisor
from app.workspace import find
from remote.pods.model import Pod
from remote.sync.push import Plan
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes

ENTRY = RunEntry("01ABC", "demo", "p", "t" * 64, 1, 5.0)


@pytest.fixture
async def local(workspace_dir: Path) -> AsyncIterator[Controller]:
    controller = Controller(find(workspace_dir), Settings())
    yield controller
    await controller.close()


@pytest.fixture
async def cloud() -> AsyncIterator[Simulator]:
    async with Simulator(boot=BootTimes.instant()) as sim:
        yield sim


@pytest.fixture
async def rented(cloud: Simulator, workspace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        provider="runpod", runpod=RunPod(volume_gb=20), budget=Budget(total=Decimal(10)), guard=Guard(max_hours=3)
    )
    controller = Controller(find(workspace_dir), settings, clock=cloud.clock)
    yield controller
    await controller.close()


async def shown(controller: Controller, action_id: str, **args: object) -> Confirm:
    """The question, which must come."""
    found = await controller.confirm(action_id, args)
    assert found is not None
    return found


def risky(monkeypatch: pytest.MonkeyPatch, found: Risk) -> None:
    async def look(_supervisor: Supervisor, _pod: Pod, removing: bool = False) -> Risk:
        return found

    monkeypatch.setattr(risk, "look", look)


async def made(controller: Controller) -> Pod:
    """A rented pod that runs."""
    assert await controller.perform("pod.create", {"agreed": True, "no_wait": True, "word": "one"}) == 0
    return await controller.supervisor.pod(None)


async def test_starting_the_embedded_pod_shows_that_it_costs_nothing_and_enter_goes(local: Controller) -> None:
    question = await shown(local, "pod.start")
    assert question.safe
    assert dict(question.args) == {"agreed": True}
    assert "price  nothing: it runs on this machine" in question.lines
    assert any(line.startswith("auto-stop  none") for line in question.lines)


async def test_starting_a_rented_pod_shows_gpu_price_disks_auto_stop_and_money(rented: Controller) -> None:
    pod = await made(rented)
    await rented.supervisor.fleet.stop(pod)
    question = await shown(rented, "pod.start")
    text = "\n".join(question.lines)
    assert "GPU  1× NVIDIA A100-SXM4-80GB" in text
    assert "price  $1.74/h while it runs, its disks $0.010/h" in text
    assert "auto-stop  after 3 hours; after 30 idle minutes; 20 minutes after a run's end" in text
    assert "balance  $100.00, enough for" in text
    assert "budget total" in text


async def test_a_stop_with_nothing_at_risk_is_not_asked_about(
    rented: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(rented)
    risky(monkeypatch, Risk((), (), ()))
    assert await rented.confirm("pod.stop") is None


async def test_a_stop_counts_what_is_at_risk_what_it_saves_and_offers_the_safe_way(
    rented: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(rented)
    clauses = ("run 01ABC is running", "2 files (12,345 bytes) of run 01ABC not home: a, b")
    risky(monkeypatch, Risk(("run 01ABC is running",), ("01ABC/a", "01ABC/b"), clauses))
    question = await shown(rented, "pod.stop")
    text = "\n".join(question.lines)
    assert "Run 01ABC is running" in text
    assert "12,345 bytes" in text
    assert "no checkpoint of it is home" in text
    assert "stopping saves $1.74/h; its kept disk goes on costing $0.005/h" in text
    assert "a later start can be refused" in text
    assert (question.danger, question.safe, dict(question.args)) == (True, False, {"force": True})
    (way,) = question.ways
    assert (way.key, dict(way.args)) == ("p", {"safely": True})
    assert await rented.confirm("pod.stop", {"force": True}) is None


async def test_a_removal_lists_what_is_lost_and_wants_the_name_typed(
    rented: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    pod = await made(rented)
    risky(monkeypatch, Risk((), ("01ABC/a",), ("1 file of run 01ABC not home: a",)))
    question = await shown(rented, "pod.terminate")
    assert question.typed == pod.name
    assert "1 file of run 01ABC not home: a" in question.lines
    assert dict(question.args) == {"name": pod.name, "agreed": True, "force": True}
    risky(monkeypatch, Risk((), (), ()))
    question = await shown(rented, "pod.terminate")
    assert "everything of its runs is home, verified" in question.lines
    assert question.args["force"] is False


async def test_of_a_stopped_pod_the_runs_that_are_not_home_are_named(rented: Controller) -> None:
    pod = await made(rented)
    await rented.supervisor.fleet.stop(pod)
    supervisor = rented.supervisor
    supervisor.book.add(replace(ENTRY, pod=pod.id))
    supervisor.book.add(replace(ENTRY, run_id="01XYZ", pod=pod.id))
    mark_home(rented.workspace, replace(ENTRY, run_id="01XYZ", pod=pod.id))
    question = await shown(rented, "pod.terminate")
    assert "not home: results of run 01ABC" in question.lines
    assert question.args["force"] is True


async def test_a_push_lists_its_deletions_first_and_a_mass_deletion_is_dangerous(
    local: Controller, workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = await shown(local, "push")
    assert question.safe
    assert "never pushed from here" in question.lines[0]
    before = Plan("t", ("new.py",), ("changed.py",), ("gone.py",), 9, False)
    assert plan_lines(before, 11, 1234) == [
        "11 files, 1,234 bytes; 1 new, 1 changed, 1 deleted", "- gone.py", "~ changed.py", "+ new.py",
    ]  # fmt: skip
    many = replace(before, deleted=tuple(f"{n}.py" for n in range(20)), unchanged=1)
    assert plan_lines(many, 3, 9)[-1] == "and 10 more"
    monkeypatch.setattr("remote.sync.push.plan", lambda _scan, _dir: many)
    question = await shown(local, "push")
    assert (question.danger, question.safe, dict(question.args)) == (True, False, {"force": True})


async def test_a_secret_in_the_tree_is_told_before_anything_is_asked(local: Controller, workspace_dir: Path) -> None:
    (workspace_dir / "notes.py").write_text("key = '" + "hf_" + "aB3dE5gH7jK9" * 3 + "'\n")
    with pytest.raises(Exception, match=r"notes\.py"):
        await local.confirm("push")


async def test_a_new_run_shows_recipe_pod_and_price_and_the_ways_to_go_on_with_an_old_one(local: Controller) -> None:
    question = await shown(local, "run.start")
    assert question.lines[:2] == ("recipe  demo", "pod  local is started first, no GPU")
    assert question.ways == ()
    run = RunView("01ABC", "demo", pod_id="local")
    local.state = replace(local.state, run=replace(run, state="stopped"))
    ways = (await shown(local, "run.start", step="stage-2/sft")).ways
    assert [(way.key, way.act) for way in ways] == [("c", "run.resume"), ("f", "run.retry")]
    assert dict(ways[1].args) == {"run": "01ABC", "step": "stage-2/sft"}  # its pod may be another
    local.state = replace(local.state, run=replace(run, state="running", pod_id=None))
    assert (await shown(local, "run.start")).ways == ()


async def test_without_a_pod_a_new_run_says_what_would_be_rented(rented: Controller) -> None:
    lines = (await shown(rented, "run.start")).lines
    assert "no pod yet, so one is rented:" in lines
    assert any("≈$1.75/h with its disks" in line for line in lines)


async def test_passing_over_a_gate_wants_a_reason_and_says_what_it_marks(local: Controller) -> None:
    local.state = replace(local.state, run=RunView("01ABC", state="finished"))
    question = await shown(local, "run.override", reason="the set is known to be hard")
    assert question.danger
    assert any("run.json" in line for line in question.lines)
    assert "no gate of run 01ABC has decided" in (local.reason("run.override") or "")


def test_how_a_run_goes_on_is_told_to_the_pipeline_in_its_own_words() -> None:
    assert Going().argv() == ()
    assert not Going().again
    assert Going(redo="stage-2/sft", supersede=True).argv() == ("--force", "stage-2/sft", "--supersede")
    assert Going(override="known").argv() == ("--override-gate", "known")


@pytest.mark.parametrize("wrong", ["sft", "stage-x/sft", "2/"])
async def test_a_step_that_is_none_is_refused(local: Controller, wrong: str) -> None:
    local.supervisor.book.add(ENTRY)
    with pytest.raises(UsageError, match="is no step"):
        async for _event in local.stream("run.retry", {"run": "01ABC", "step": wrong, "agreed": True}):
            pass


async def test_a_question_that_cannot_be_put_together_is_an_error_not_a_yes(rented: Controller) -> None:
    with pytest.raises(UsageError) as caught:
        await rented.confirm("pod.start")
    assert "no pod of this workspace" in sentence(caught.value)
    assert asking.SHOWN < 16  # the dialog has so many lines at 80 columns

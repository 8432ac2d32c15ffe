"""The whole loop over the real embedded pod, with a pipeline of a second that is pushed like the real one."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.controller import Controller
from app.demo import last_home, summarise
from app.errors import AppError, Refused, UsageError
from app.events import AppEvent, Output
from app.history import is_home, run_view
from app.settings import Settings
from app.workspace import find
from remote.errors import Busy


async def drained(stream: AsyncIterator[AppEvent]) -> list[Any]:
    """Data of everything an action printed."""
    return [event.data async for event in stream if isinstance(event, Output)]


@pytest.fixture
async def controller(workspace_dir: Path) -> AsyncIterator[Controller]:
    controller = Controller(find(workspace_dir), Settings())
    yield controller
    await controller.close()


async def until(controller: Controller, holds: Any) -> None:
    """Wait for a condition on the state, as a subscriber."""
    reached = asyncio.Event()
    if holds(controller.state):
        return
    end = controller.subscribe(lambda state: reached.set() if holds(state) else None)
    async with asyncio.timeout(60):
        await reached.wait()
    end()


async def test_the_demo_goes_from_a_stopped_pod_to_a_report_and_back_to_a_stopped_pod(controller: Controller) -> None:
    (data,) = await drained(controller.stream("demo"))
    assert data["stages"][0]["verdict"] == "PASS"
    assert data["stages"][0]["rates"]["tuned"]["lenient_successes"] == 80
    assert data["usd"] == 0.0
    assert controller.state.pod is not None
    assert controller.state.pod.status == "STOPPED"
    run_dir = Path(data["path"])
    assert (run_dir / "report.md").read_text().endswith("verdict PASS\n")
    assert json.loads((run_dir / ".pulled.json").read_text())["files"]
    assert controller.state.run is not None
    assert (controller.state.run.state, controller.state.run.pulled) == ("finished", True)
    entry = last_home(controller.workspace)
    assert entry is not None
    summary = summarise(controller.workspace, entry)
    assert summary.reached
    assert "tuned           strict   70/100 =  70.0% [60.4%, 78.1%]" in summary.text
    intents = controller.supervisor.fleet.journal.intents()
    assert {"pod.start", "run.launch", "pod.stop"} <= {intent.op for intent in intents}
    assert controller.supervisor.fleet.journal.open_intents() == []


async def test_a_run_that_is_killed_without_a_word_is_resumed_by_the_demo(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.demo.RECIPE", "wordless")
    (data,) = await drained(controller.stream("demo"))
    assert (data["attempt"], data["state"]) == (2, "finished")
    assert (Path(data["path"]) / "starts").read_text() == "start\nstart\n"


async def test_two_starts_at_the_same_moment_make_one_run(workspace_dir: Path, controller: Controller) -> None:
    other = Controller(find(workspace_dir), Settings())
    starts = [c.stream("run.start", {"recipe": "long"}) for c in (controller, other)]
    results = await asyncio.gather(*(drained(s) for s in starts), return_exceptions=True)
    refused = [r for r in results if isinstance(r, Refused | Busy)]
    assert len(refused) == 1, results
    (run_id,) = [r[0]["run_id"] for r in results if isinstance(r, list)]
    assert run_id in str(refused[0])
    assert refused[0].exit_code == 3
    await other.close()
    agent = await controller.supervisor.link.agent("local")
    from remote import jobs

    assert [job.run_id for job in await jobs.runs(agent)] == [run_id]


async def test_a_stop_is_refused_while_a_run_lives_and_while_results_are_not_home(controller: Controller) -> None:
    ((started,),) = [await drained(controller.stream("run.start", {"recipe": "long"}))]
    with pytest.raises(Refused, match=f"run {started['run_id']} is running"):
        await drained(controller.stream("pod.stop"))
    (canceled,) = await drained(controller.stream("run.cancel"))
    assert canceled["state"] == "exited"
    with pytest.raises(Refused, match=r"not home"):
        await drained(controller.stream("pod.stop"))
    await drained(controller.stream("pull"))
    (stopped,) = await drained(controller.stream("pod.stop"))
    assert stopped["status"] == "STOPPED"
    entry = controller.supervisor.book.find(None)
    assert entry is not None
    assert run_view(controller.workspace, entry).state == "stopped"


async def test_killing_the_link_and_the_follower_loses_nothing(controller: Controller, workspace_dir: Path) -> None:
    await drained(controller.stream("run.start", {"recipe": "long"}))
    entry = controller.supervisor.book.find(None)
    assert entry is not None
    services = asyncio.create_task(controller.run())
    await until(controller, lambda s: s.run and s.run.steps and s.run.steps[0].done == 1 and s.link.state == "up")
    await controller.supervisor.woke(60.0)  # what waking from sleep does: the link is gone
    await until(controller, lambda s: s.link.state == "up")
    run_dir = workspace_dir / ".maxcai/pods/local/workspace/.maxcai/runs" / entry.run_id
    (run_dir / "go").touch()
    await until(controller, lambda s: s.run and s.run.pulled)
    services.cancel()
    await asyncio.gather(services, return_exceptions=True)
    home = controller.workspace.run_dir(entry.run_id)
    assert (home / "events.jsonl").read_bytes() == (run_dir / "events.jsonl").read_bytes()
    spool = controller.workspace.spool_dir(entry.run_id)
    assert (spool / "events.jsonl").read_bytes() == (run_dir / "events.jsonl").read_bytes()
    assert is_home(controller.workspace, entry)


async def test_a_panel_that_comes_back_takes_up_the_demo_run_that_is_alive(
    controller: Controller, workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.demo.RECIPE", "long")
    first = Controller(find(workspace_dir), Settings())
    ((started,),) = [await drained(first.stream("run.start", {"recipe": "long"}))]
    await first.close()
    run_dir = workspace_dir / ".maxcai/pods/local/workspace/.maxcai/runs" / started["run_id"]
    (run_dir / "go").touch()
    (data,) = await drained(controller.stream("demo"))
    assert (data["run_id"], data["attempt"]) == (started["run_id"], 1)
    assert (Path(data["path"]) / "starts").read_text() == "start\n"


async def test_the_demo_shows_its_result_though_another_runs_files_keep_the_pod_up(controller: Controller) -> None:
    ((other,),) = [await drained(controller.stream("run.start", {"recipe": "long"}))]
    await drained(controller.stream("run.kill"))
    printed: list[Any] = []
    controller.listen(lambda event: printed.append(event.data) if isinstance(event, Output) else None)
    with pytest.raises(Refused, match=f"the pod goes on: .* of run {other['run_id']} not home"):
        await drained(controller.stream("demo"))
    assert [data["stages"][0]["verdict"] for data in printed] == ["PASS"]
    assert (await controller.supervisor.fleet.find()).status == "RUNNING"
    assert not any("no last word" in notice.text for notice in controller.state.notices)


async def test_a_killed_pod_server_is_seen_and_the_run_can_be_resumed(controller: Controller) -> None:
    await drained(controller.stream("run.start", {"recipe": "long"}))
    pid = int((controller.workspace.state_dir / "pods/local/server.pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    entry = controller.supervisor.book.find(None)
    assert entry is not None
    run = await controller.supervisor.finish(entry)
    assert run.state == "lost"
    assert controller.state.pod is not None
    assert controller.state.pod.status == "STOPPED"
    (resumed,) = await drained(controller.stream("run.resume"))
    assert (resumed["run_id"], resumed["attempt"]) == (entry.run_id, 2)
    await drained(controller.stream("run.kill"))


async def test_a_run_whose_pod_has_forgotten_it_is_not_bought_again_as_a_resume(controller: Controller) -> None:
    await drained(controller.stream("run.start", {"recipe": "long"}))
    entry = controller.supervisor.book.find(None)
    assert entry is not None
    await drained(controller.stream("run.kill"))
    await controller.supervisor.finish(entry)
    home = controller.workspace.run_dir(entry.run_id)
    before = (home / "events.jsonl").read_bytes()
    agent = await controller.supervisor.link.agent("local")
    shutil.rmtree(agent.run_dir(entry.run_id))
    with pytest.raises(Refused, match="knows nothing of run"):
        await drained(controller.stream("run.resume"))
    assert (home / "events.jsonl").read_bytes() == before
    assert is_home(controller.workspace, entry)
    (started,) = await drained(controller.stream("run.start", {"recipe": "long"}))
    assert started["run_id"] != entry.run_id
    await drained(controller.stream("run.kill"))


async def test_an_unknown_recipe_costs_a_sentence_and_no_pod(controller: Controller) -> None:
    with pytest.raises(UsageError, match="unknown recipe nonsense"):
        await drained(controller.stream("run.start", {"recipe": "nonsense"}))
    assert (await controller.supervisor.fleet.find()).status == "STOPPED"


async def test_a_run_that_cannot_begin_is_told_with_the_pipelines_own_sentence(controller: Controller) -> None:
    with pytest.raises(AppError, match="ended with code 2; its last line: the model package no-such-package is not"):
        await drained(controller.stream("run.start", {"recipe": "broken", "follow": True}))
    (listed,) = (await drained(controller.stream("run.list")))[0]
    assert (listed["state"], listed["pulled"]) == ("failed", True)


async def test_pushing_unchanged_code_sends_nothing(controller: Controller) -> None:
    await drained(controller.stream("pod.start"))
    (first,) = await drained(controller.stream("push"))
    (again,) = await drained(controller.stream("push"))
    assert first["sent_files"] > 0
    assert (again["tree_id"], again["sent_files"]) == (first["tree_id"], 0)


async def test_the_price_reaches_the_run_and_the_ledger(workspace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXCAI_LOCAL_PRICE", "3600")
    now = [time.time()]
    controller = Controller(find(workspace_dir), Settings(), clock=lambda: now[0])
    try:
        await drained(controller.stream("run.start", {"recipe": "demo"}))
        entry = controller.supervisor.book.find(None)
        assert entry is not None
        await controller.supervisor.finish(entry)
        console = controller.workspace.run_dir(entry.run_id) / ".agent/console.log"
        assert console.read_text().startswith("price 3600")
        pod = await controller.supervisor.fleet.find()
        assert pod.started_at is not None
        now[0] += 10.0
        spent = controller.supervisor.fleet.cost(pod.started_at + 10.5).session
        assert spent == Decimal("10.5")
    finally:
        await drained(controller.stream("pod.stop", {"force": True}))
        await controller.close()

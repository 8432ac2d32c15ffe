"""A front door that is killed at the worst moment: what it had under way is settled by looking, never done again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import app
from app.controller import Controller
from app.settings import Settings
from app.workspace import find
from remote import jobs
from remote.journal import Phase

DYING = """
import asyncio, os, signal, sys
from pathlib import Path
from app.controller import Controller
from app.settings import Settings
from app.workspace import find
from remote import jobs

verb, moment, action = sys.argv[1:4]
act = getattr(jobs, verb)

async def dies(*args, **named):
    if moment == "after":
        await act(*args, **named)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(jobs, verb, dies)

async def main():
    controller = Controller(find(Path.cwd()), Settings(recipe="long"))
    async for _ in controller.stream(action):
        pass

asyncio.run(main())
"""


@pytest.fixture
async def controller(workspace_dir: Path) -> AsyncIterator[Controller]:
    controller = Controller(find(workspace_dir), Settings())
    yield controller
    await controller.close()


def die(verb: str, moment: str, action: str, workspace: Path) -> None:
    """A process that is killed right before or right after the pod did what it asked for."""
    env = {**os.environ, "PYTHONPATH": str(Path(app.__file__).parents[1])}
    argv = [sys.executable, "-P", "-c", DYING, verb, moment, action]
    done = subprocess.run(argv, cwd=workspace, env=env, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def phases(controller: Controller, op: str) -> list[Phase]:
    return [intent.phase for intent in controller.supervisor.fleet.journal.intents() if intent.op == op]


async def test_a_launch_that_took_effect_is_acknowledged_later_and_a_cancel_too(
    controller: Controller, workspace_dir: Path
) -> None:
    die("launch", "after", "run.start", workspace_dir)
    assert phases(controller, "run.launch") == [Phase.SENT]
    entry = controller.supervisor.book.find(None)
    assert entry is not None
    agent = await controller.supervisor.link.agent("local")
    assert phases(controller, "run.launch") == [Phase.ACKED]
    assert [(job.run_id, job.attempts, job.state) for job in await jobs.runs(agent)] == [
        (entry.run_id, (1,), jobs.JobState.RUNNING)
    ]
    die("cancel", "after", "run.cancel", workspace_dir)
    await controller.supervisor.link.drop()
    await controller.supervisor.link.agent("local")
    assert phases(controller, "run.cancel") == [Phase.ACKED]
    assert controller.supervisor.fleet.journal.open_intents() == []


async def test_a_launch_that_never_left_is_told_as_such_and_can_be_resumed(
    controller: Controller, workspace_dir: Path
) -> None:
    die("launch", "before", "run.start", workspace_dir)
    entry = controller.supervisor.book.find(None)
    assert entry is not None
    run = await controller.supervisor.finish(entry)
    assert (run.state, run.reason) == ("lost", "its launch never reached the pod")
    assert phases(controller, "run.launch") == [Phase.FAILED]
    async for _ in controller.stream("run.resume"):
        pass
    agent = await controller.supervisor.link.agent("local")
    assert [(job.run_id, job.attempts) for job in await jobs.runs(agent)] == [(entry.run_id, (1,))]

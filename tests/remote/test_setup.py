"""A set-up builds what is missing and nothing twice, goes on after every kind of end, and says what failed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from setup_world import HANGING, NO_PIP, SMALL, TORCH, image, tree, wheel, wish
from subprocess_connection import SubprocessConnection, end_everything, until

from remote import jobs
from remote.agent.client import Agent
from remote.errors import DiskFull, SetupError
from remote.jobs import JobState
from remote.setup import run, script
from remote.setup.model import Progress, Report, Torch, Wish
from remote.setup.run import Told, cancel, plan, setup


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "pod").mkdir()
    yield tmp_path / "pod"
    end_everything(tmp_path / "pod")


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "tiny_one", "1.0")
    return tmp_path / "wheels"


def agent_of(root: Path, python: Path) -> Agent:
    return Agent(SubprocessConnection(root, str(python)))


async def make(agent: Agent, wanted: Wish, heard: list[Progress] | None = None, told: Told | None = None) -> Report:
    spool = Path(agent.conn.root).parent / "spool"
    return await setup(agent, wanted, SMALL, spool, time.time, told, None if heard is None else heard.append)


def says(interpreter: str, code: str) -> str:
    done = subprocess.run([interpreter, "-I", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


async def hanging(tmp_path: Path, root: Path, wheels: Path, *requirements: str) -> tuple[Agent, Wish, Path]:
    """A set-up that hangs while it makes the virtual environment, until a file is removed; its image has no pip."""
    gate = tmp_path / "gate"
    gate.touch()
    agent = agent_of(root, image(tmp_path / "image", site=NO_PIP + HANGING.format(gate=str(gate))))
    return agent, await wish(agent, tree(tmp_path / "code", *requirements), wheels), gate


async def begun(agent: Agent, wanted: Wish) -> asyncio.Task[Report]:
    """Start a set-up and wait until it hangs."""
    heard: list[Progress] = []
    task = asyncio.create_task(make(agent, wanted, heard))
    folder = Path(agent.conn.root) / ".maxcai/env"
    await until(lambda: task.done() or (bool(heard) and any(folder.glob("*/bin/python"))), 60)
    assert not task.done(), await task
    return task


async def test_an_environment_on_the_images_torch_is_built_once(tmp_path: Path, root: Path, wheels: Path) -> None:
    agent = agent_of(root, image(tmp_path / "image", "2.8.0+cu128"))
    wanted = await wish(agent, tree(tmp_path / "code", "torch==2.8.0", "tiny-one>=1"), wheels)
    before = await plan(agent, wanted)
    assert [(step.name, step.done) for step in before.steps] == [("environment", False), ("session", False)]
    heard: list[Progress] = []
    first = await make(agent, wanted, heard)
    assert (first.skipped, first.session.torch, first.session.cuda) == (False, "2.8.0+cu128", "12.8")
    assert says(first.session.interpreter, "import tiny_one, torch; print(torch.__file__)").startswith(
        str(tmp_path / "image")
    )
    assert {check.name for check in first.checks} >= {"python", "space", "inodes", "write", "gpu", "torch", "clock"}
    assert {progress.step for progress in heard} == {"environment"}
    conn = SubprocessConnection(root, agent.conn.python)
    second = await make(Agent(conn), wanted)
    assert (second.skipped, second.session, len(conn.commands)) == (True, first.session, 1)
    assert first.session.body == json.loads((root / ".maxcai/session.json").read_bytes())
    assert json.loads(first.session.launch_environment()["MAXCAI_SESSION"])["torch"] == "2.8.0+cu128"


@pytest.mark.slow
async def test_torch_is_installed_where_the_images_is_another_one(tmp_path: Path, root: Path, wheels: Path) -> None:
    agent = agent_of(root, image(tmp_path / "image", "2.8.0"))
    code = tree(tmp_path / "code", "torch==2.9.0", "tiny-one")
    wanted = await wish(agent, code, wheels)
    with pytest.raises(SetupError, match="pip could not install") as caught:
        await make(agent, wanted)
    assert any("No matching distribution" in line for line in caught.value.last)
    assert caught.value.step == "environment"
    log = root / ".maxcai/runs" / (await plan(agent, wanted)).run_id / "logs/setup.log"
    assert "No matching distribution" in log.read_text()
    wheel(root / "wheels", "torch", "2.9.0", TORCH.format(version="2.9.0"))
    report = await make(agent, wanted)
    assert report.session.torch == "2.9.0"
    assert says(report.session.interpreter, "import torch; print(torch.__file__)").startswith(str(root))
    kept = await plan(agent, await wish(agent, code, wheels, Torch.IMAGE))
    assert kept.lock_hash != report.plan.lock_hash
    assert not kept.steps[0].done


async def test_a_killed_set_up_is_done_again_and_an_image_without_pip_gets_ours(
    tmp_path: Path, root: Path, wheels: Path
) -> None:
    agent, wanted, gate = await hanging(tmp_path, root, wheels, "tiny-one==1.0")
    task = await begun(agent, wanted)
    planned = await plan(agent, wanted)
    assert planned.steps[0].text == "build it again: it is half built"
    end_everything(root)
    with pytest.raises(SetupError, match=r"lost|code -9"):
        await task
    gate.unlink()
    assert not (await plan(agent, wanted)).steps[0].done
    heard: list[Progress] = []
    report = await make(agent, wanted, heard)
    assert any("half-built" in progress.text for progress in heard)
    assert (await jobs.status(agent, report.plan.run_id)).attempts == (1, 2)
    assert says(report.session.interpreter, "import tiny_one; print(tiny_one.__version__)") == "1.0"
    assert list(root.glob(".maxcai/env/pip-*.whl"))


async def test_a_lost_link_costs_nothing_and_the_next_call_follows_the_same_job(
    tmp_path: Path, root: Path, wheels: Path
) -> None:
    agent, wanted, gate = await hanging(tmp_path, root, wheels)
    task = await begun(agent, wanted)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    other = Agent(SubprocessConnection(root, agent.conn.python))
    again = await begun(other, wanted)
    gate.unlink()
    report = await again
    status = await jobs.status(other, report.plan.run_id)
    assert (status.attempts, status.exit_code) == ((1,), 0)


async def test_a_cancelled_set_up_ends_with_everything_of_it(tmp_path: Path, root: Path, wheels: Path) -> None:
    agent, wanted, gate = await hanging(tmp_path, root, wheels)
    task = await begun(agent, wanted)
    status = await cancel(agent, wanted, grace_s=1.0)
    assert (status.state, status.exit_code, status.canceled) == (JobState.EXITED, -signal.SIGTERM, True)
    with pytest.raises(SetupError, match="cancelled"):
        await task
    gate.unlink()
    assert not (await plan(agent, wanted)).done


async def test_without_any_pip_it_is_said_what_is_missing(
    tmp_path: Path, root: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "pip_wheel", lambda: None)
    agent = agent_of(root, image(tmp_path / "image", site=NO_PIP))
    wanted = await wish(agent, tree(tmp_path / "code", "tiny-one"), wheels)
    with pytest.raises(SetupError, match="neither ensurepip nor a pip") as caught:
        await make(agent, wanted)
    assert (caught.value.step, caught.value.hint) == ("environment", script.HINTS["no_pip"])


@pytest.mark.slow
async def test_a_full_volume_is_named_and_nothing_half_built_is_left(tmp_path: Path, root: Path, wheels: Path) -> None:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", root], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no small file system can be mounted here: {mounted.stderr.strip()}")
    try:
        agent = agent_of(root, image(tmp_path / "image"))
        wanted = await wish(agent, tree(tmp_path / "code", "huge-one"), wheels)
        wheel(wheels, "huge_one", "1.0", filler=20 << 20)
        wanted = Wish(wanted.tree_id, pip_args=("--no-index", "--find-links", str(wheels)))
        with pytest.raises(DiskFull, match=r"\.maxcai/env/"):
            await make(agent, wanted)
        assert not list(root.glob(".maxcai/env/*/bin/python"))
    finally:
        end_everything(root)
        subprocess.run(["umount", "-l", root], check=True)


FETCH = """\
import os, sys
if "recipes" in sys.argv:
    sys.exit("no such thing")
assert len(os.environ["HF_TOKEN"]) == {length}
assert os.environ["MAXCAI_ONLINE"] == "1" and sys.argv[-3:] == ["small", "--set", "seed=3"], sys.argv
home = os.path.join(os.environ["HF_HOME"], "small")
os.makedirs(home, exist_ok=True)
open(os.path.join(home, "weights.safetensors"), "wb").write(b"w" * 1000)
open(os.path.join(os.environ["HF_HOME"], "fetches"), "a").write("once ")
print("licence: none; sha256 " + "ab" * 32, file=sys.stderr)
print(home)
"""


async def test_a_model_is_fetched_once_and_again_when_its_files_are_not_all_there(
    tmp_path: Path, root: Path, wheels: Path
) -> None:
    planted = "hf_" + "Zz9" * 12
    agent = agent_of(root, image(tmp_path / "image"))
    code = tree(tmp_path / "code", fetch=FETCH.format(length=len(planted)))
    wanted = await wish(agent, code, wheels)
    wanted = Wish(wanted.tree_id, recipe="small", settings=("seed=3",))
    told = Told({"id": "p1"}, {"HF_TOKEN": planted})
    report = await make(agent, wanted, told=told)
    model = report.session.body["model"]
    assert model == {"path": str(root / "models/small"), "sha256": "ab" * 32}
    assert report.session.launch_environment()["HF_HOME"] == str(root / "models")
    assert (await make(agent, wanted)).skipped
    (root / "models/small/weights.safetensors").write_bytes(b"cut")
    damaged = await plan(agent, wanted)
    assert [(step.name, step.done) for step in damaged.steps] == [
        ("environment", True), ("model", False), ("session", False),
    ]  # fmt: skip
    await make(agent, wanted, told=told)
    assert (root / "models/fetches").read_text() == "once once "
    for path in root.rglob("*"):
        assert not path.is_file() or planted.encode() not in path.read_bytes(), path


async def test_a_tree_that_is_not_there_is_refused_before_anything_is_done(tmp_path: Path, root: Path) -> None:
    agent = agent_of(root, image(tmp_path / "image"))
    with pytest.raises(SetupError, match="not on this pod") as caught:
        await make(agent, Wish("0" * 64))
    assert caught.value.hint == "Push the code first."
    assert not os.path.exists(root / ".maxcai/env")

"""A set-up over real SSH: on the embedded pod across a restart, and on rented-like pods with little in their image."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from setup_world import SMALL, tree, wheel, wish

from remote import jobs
from remote.agent.client import Agent
from remote.errors import DiskFull, PythonMissing, RemoteError, SetupError
from remote.link import ssh
from remote.pods.local import LocalProvider
from remote.setup.model import Needs, Report, Wish, facts_of
from remote.setup.run import Told, plan, preflight, prune, setup
from tests.sim.pods.access import connected, request
from tests.sim.pods.factory import Factory
from tests.sim.pods.fixtures import pod_factory as pod_factory

SAY = """\
import json, os, tiny_one
print(tiny_one.__version__, json.loads(os.environ["MAXCAI_SESSION"])["environment"])
"""


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    (tmp_path / "wheels").mkdir()
    wheel(tmp_path / "wheels", "tiny_one", "1.0")
    return tmp_path / "wheels"


async def runs_in(agent: Agent, report: Report, tree_id: str, run_id: str) -> str:
    """What a run of the set-up's environment says."""
    argv = (report.session.interpreter, "job.py")
    env = report.session.launch_environment()
    await jobs.launch(agent, jobs.LaunchSpec(run_id, 1, argv, cwd_tree=tree_id, env=env))
    async with asyncio.timeout(60):
        while (await jobs.status(agent, run_id)).state.alive:
            await asyncio.sleep(0.1)
    done = await agent.conn.run(["cat", f"{agent.run_dir(run_id)}/.agent/console.log"])
    return done.stdout.decode().strip()


async def test_an_environment_outlives_a_restart_of_the_embedded_pod(
    provider: LocalProvider, state_dir: Path, tmp_path: Path, wheels: Path
) -> None:
    code = tree(tmp_path / "code", "tiny-one")
    (code / "job.py").write_text(SAY)
    pod = await provider.start("local")
    spool = tmp_path / "spool"
    async with ssh.connect(pod, provider, state_dir) as conn:
        agent = Agent(conn)
        wanted = await wish(agent, code, wheels)
        first = await setup(agent, wanted, SMALL, spool, time.time, Told(facts_of(pod)))
        assert pod.session is not None
        assert first.session.body["pod"]["session"] == pod.session.key
        told = await runs_in(agent, first, wanted.tree_id, "R1")
        assert told == f"1.0 {first.session.environment}"
    pod = await provider.restart("local")
    async with ssh.connect(pod, provider, state_dir) as conn:
        agent = Agent(conn)
        planned = await plan(agent, wanted)
        assert [(step.name, step.done) for step in planned.steps] == [("environment", True), ("session", True)]
        other = Wish(wanted.tree_id, extras=(), pip_args=wanted.pip_args)
        second = await setup(agent, other, SMALL, spool, time.time)
        assert await prune(agent) == (first.session.environment,)
        assert (await setup(agent, other, SMALL, spool, time.time)).session == second.session


async def begin(agent: Agent, code: Path, wheels: Path, spool: Path) -> Report:
    return await setup(agent, await wish(agent, code, wheels), SMALL, spool, time.time)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / ".maxcai"


async def test_a_minimal_image_is_set_up_and_a_restarted_pod_is_examined_again(
    pod_factory: Factory,
    state: Path,
    tmp_path: Path,
    wheels: Path,
) -> None:
    if pod_factory.name == "embedded":
        pytest.skip("in tier embedded a restarted pod's volume lies at another path, and an environment with it")
    code = tree(tmp_path / "code", "tiny-one")
    (code / "job.py").write_text(SAY)
    pod = await pod_factory.start(request(state, variant="minimal"))
    async with connected(pod, state, started_at=1.0) as conn:
        agent = Agent(conn)
        wanted = await wish(agent, code, wheels)
        checks = {check.name: check for check in await preflight(agent, wanted, Needs(gpu_count=1), time.time)}
        assert checks["gpu"].level == "ok", checks["gpu"]
        first = await setup(agent, wanted, SMALL, tmp_path / "spool", time.time)
        assert len(first.session.gpus) == 1
        assert await runs_in(agent, first, wanted.tree_id, "R1") == f"1.0 {first.session.environment}"
    pod.gpu_control.write_text("vanish\n")
    await pod.stop()
    pod = await pod_factory.start(request(state, variant="minimal", start_index=1))
    pod.gpu_control.write_text("vanish\n")
    async with connected(pod, state, started_at=2.0) as conn:
        agent = Agent(conn)
        planned = await plan(agent, wanted)
        assert [(step.name, step.done) for step in planned.steps] == [("environment", True), ("session", False)]
        with pytest.raises(SetupError, match="gpu: 1 wanted, none found") as caught:
            await setup(agent, wanted, Needs(1, 0, 0, probe_bytes=4096), tmp_path / "spool", time.time)
        assert caught.value.step == "preflight"
        pod.gpu_control.write_text("values\n")
        report = await setup(agent, wanted, Needs(1, 0, 0, probe_bytes=4096), tmp_path / "spool", time.time)
        assert report.session.environment == first.session.environment


@pytest.mark.parametrize(("variant", "kind"), [("no-python", PythonMissing), ("full-disk", DiskFull)])
async def test_an_image_that_cannot_be_set_up_says_why(
    pod_factory: Factory,
    state: Path,
    tmp_path: Path,
    wheels: Path,
    variant: str,
    kind: type[RemoteError],
) -> None:
    if variant == "full-disk" and pod_factory.name != "namespaces":
        pytest.skip("only tier namespaces can mount a small disk")
    pod = await pod_factory.start(request(state, variant=variant))
    async with connected(pod, state, started_at=1.0) as conn:
        agent = Agent(conn)
        with pytest.raises(kind) as caught:
            await begin(agent, tree(tmp_path / "code", "tiny-one"), wheels, tmp_path / "spool")
    assert caught.value.hint

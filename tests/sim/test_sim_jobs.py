"""Jobs on pods as they are rented: real sshd, the container's processes and environment, an image with little in it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from remote import jobs
from remote.agent.client import Agent
from remote.jobs import JobState, LaunchSpec
from remote.watch.telemetry import Telemetry, collect
from tests.sim import pods
from tests.sim.pods.access import connected, request
from tests.sim.pods.base import RunningPod

STUBBORN = """
trap '' TERM
for name in 1 2 3; do setsid sh -c 'trap "" TERM; (setsid sleep 300 &); sleep 300; sleep 300' & done
echo ready
while :; do sleep 0.2; done
"""


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[RunningPod]:
    """In the tier nearest to a rented pod that works here, with the image that has least in it."""
    factory = pods.choose("auto", tmp_path / "sim")
    asked = request(tmp_path / "state", variant="minimal", env={"RUNPOD_POD_ID": "p0d", "MULTI": "two\nlines"})
    try:
        yield await factory.start(asked)
    finally:
        await factory.close()


async def test_thirty_launches_of_one_run_over_five_connections_start_one_process(
    pod: RunningPod, tmp_path: Path
) -> None:
    state_dir = tmp_path / "state"
    spec = LaunchSpec("A", 1, ("sh", "-c", 'echo once >> "$MAXCAI_RUN_DIR/marker"; exec sleep 60'))
    async with AsyncExitStack() as stack:
        links = [await stack.enter_async_context(connected(pod, state_dir, started_at=1000.0)) for _ in range(5)]
        agents = [Agent(link) for link in links]
        await agents[0].hello()
        done = await asyncio.gather(*(jobs.launch(agents[number % 5], spec) for number in range(30)))
        assert sum(launched.started for launched in done) == 1
        assert len({launched.status.pid for launched in done}) == 1
        await asyncio.sleep(0.3)
        marker = await links[0].run(["cat", f"{agents[0].run_dir('A')}/marker"])
        assert marker.stdout == b"once\n"


async def test_a_cancel_leaves_no_process_of_a_job_that_ignores_term_and_scatters_children(
    pod: RunningPod, tmp_path: Path
) -> None:
    async with connected(pod, tmp_path / "state") as link:
        agent = Agent(link)
        await agent.hello()
        before = set(pod.pids())
        await jobs.launch(agent, LaunchSpec("A", 1, ("sh", "-c", STUBBORN)))
        async with asyncio.timeout(20):
            while len(set(pod.pids()) - before) < 11:  # supervisor, job and its sleep, three shells and their sleeps
                await asyncio.sleep(0.05)
        begin = time.monotonic()
        status = await jobs.cancel(agent, "A", grace_s=1)
        assert (status.state, status.exit_code) == (JobState.EXITED, -9)
        assert time.monotonic() - begin < 10
        async with asyncio.timeout(10):
            while set(pod.pids()) - before:  # the last to go is the agent that waited for it all
                await asyncio.sleep(0.05)


async def test_a_job_gets_the_containers_environment_which_ssh_does_not_hand_on(
    pod: RunningPod, tmp_path: Path
) -> None:
    if not isinstance(pods.choose("auto", tmp_path / "other"), pods.Namespaces):
        pytest.skip("only in tier namespaces has a pod a first process of its own")
    async with connected(pod, tmp_path / "state") as link:
        bare = await link.run(["sh", "-c", 'echo "${RUNPOD_POD_ID-none}"'])
        assert bare.stdout == b"none\n"
        agent = Agent(link)
        await jobs.launch(agent, LaunchSpec("A", 1, ("sh", "-c", 'echo "$RUNPOD_POD_ID|$MULTI"')))
        async with asyncio.timeout(20):
            while (await jobs.status(agent, "A")).state.alive:
                await asyncio.sleep(0.05)
        console = await link.run(["cat", f"{agent.run_dir('A')}/.agent/console.log"])
        assert console.stdout == b"p0d|two\nlines\n"


async def test_a_card_that_hangs_and_vanishes_touches_neither_job_nor_machine_samples(
    pod: RunningPod, tmp_path: Path
) -> None:
    pod.gpu_control.write_text("period=0.1")
    async with connected(pod, tmp_path / "state") as link:
        agent, telemetry = Agent(link), Telemetry()
        await jobs.launch(agent, LaunchSpec("A", 1, ("sleep", "60")))
        task = asyncio.create_task(collect(agent, telemetry, time.time, interval_s=0.1))
        async with asyncio.timeout(60):
            while not (telemetry.newest and telemetry.machine):
                await asyncio.sleep(0.05)
            pod.gpu_control.write_text("vanish")
            while telemetry.trouble is None:
                await asyncio.sleep(0.05)
            assert "NVML" in telemetry.trouble.why
            before = telemetry.machine
            while telemetry.machine == before:
                await asyncio.sleep(0.05)
            pod.gpu_control.write_text("period=0.1")
            while telemetry.trouble is not None:
                await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert (await jobs.status(agent, "A")).state is JobState.RUNNING

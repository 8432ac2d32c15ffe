"""The laptop is gone and the pod stops itself: real pods, the real agent, a simulated API with the pod's own key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from remote import identity, jobs
from remote.agent.client import Agent
from remote.errors import RemoteError
from remote.guard import watchdog
from remote.guard.watchdog import AfterExit, Level, Policy, Report
from remote.jobs import LaunchSpec
from remote.pods.model import VolumeKind
from tests.sim import pods
from tests.sim.pods.access import connected
from tests.sim.pods.factory import Factory
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes, SimPod, Status

QUICK = 0.1  # seconds between two looks of the watchdog
SECOND = 1 / 3600  # hours


class Place:
    """A simulator with one running pod, and how to get into it."""

    def __init__(self, sim: Simulator, pod: SimPod, state_dir: Path) -> None:
        self.sim, self.pod, self._state_dir = sim, pod, state_dir
        self.trouble: list[RemoteError] = []

    @asynccontextmanager
    async def agent(self) -> AsyncIterator[Agent]:
        assert self.pod.running is not None
        async with connected(self.pod.running, self._state_dir, self.pod.id, self.pod.started_at) as connection:
            yield Agent(connection)

    async def arm(self, **rules: Any) -> Report:
        """Arm it, and go away."""
        async with self.agent() as agent:
            return await watchdog.arm(agent, Policy(tick_s=QUICK, **rules), VolumeKind.NETWORK)

    async def fire(self) -> None:
        """Arm it with a deadline so near that the pod may stop before the answer is home; again if it does not."""
        for _ in range(3):
            with self.cut_off():
                await self.arm(max_hours=SECOND)
                return
            with suppress(TimeoutError):
                await self._ended(5.0)
                return

    @contextmanager
    def cut_off(self) -> Iterator[None]:
        """The pod may stop before an answer is home; what was said then is told if it does not stop."""
        try:
            yield
        except RemoteError as error:
            self.trouble.append(error)

    async def up(self) -> None:
        """Wait until the pod can be reached."""
        async with asyncio.timeout(20):
            while self.pod.endpoint is None or self.pod.running is None:
                await asyncio.sleep(0.02)

    async def stopped(self, deadline_s: float = 60.0) -> None:
        """Wait until the pod is stopped; that it was not terminated is part of it."""
        try:
            await self._ended(deadline_s)
        except TimeoutError:
            machine = self.sim.state.machine.failures
            pytest.fail(f"runs on; asked: {self.asked()}; {self.trouble=}; {machine=}; watchdog: {await self.told()}")

    async def _ended(self, deadline_s: float) -> None:
        async with asyncio.timeout(deadline_s):
            while self.sim.pod(self.pod.id).status is not Status.EXITED:
                await asyncio.sleep(0.05)

    async def told(self) -> str:
        """What the watchdog says of itself, for a test that failed."""
        try:
            async with self.agent() as agent:
                return repr(await watchdog.report(agent))
        except RemoteError as error:
            return f"not reached: {error!r}"

    def asked(self) -> list[str]:
        """The paths of the stops that were asked of the API."""
        return [seen.path for seen in self.sim.requests if "podStop" in str(seen.body) or seen.path.endswith("/action")]


@asynccontextmanager
async def placed(factory: Factory, state_dir: Path) -> AsyncIterator[Place]:
    """A running pod with a volume, made through the API."""
    async with Simulator(factory, VirtualClock.real(), boot=BootTimes.instant()) as sim:
        body = {
            "name": "maxcai-watched-000001",
            "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
            "gpu": {"id": "NVIDIA A100-SXM4-80GB", "count": 1},
            "disk": 20,
            "ports": ["22/tcp"],
            "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
            "env": {"PUBLIC_KEY": identity.ensure(state_dir).public},
        }
        async with sim.client() as client:
            reply = await client.post("/v2/pods", json=body)
        assert reply.status_code == 201, reply.text
        place = Place(sim, sim.pod(reply.json()["id"]), state_dir)
        await place.up()
        yield place


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    """In the tier nearest to a rented pod that works here."""
    async with placed(pods.choose("auto", tmp_path / "sim"), tmp_path / "state") as place:
        yield place


@pytest.mark.parametrize("kind", pods.TIERS, ids=[kind.name for kind in pods.TIERS])
async def test_a_stop_that_worked_makes_the_next_start_green(kind: type[Factory], tmp_path: Path) -> None:
    if (why_not := kind.why_not()) is not None:
        pytest.skip(f"tier {kind.name} does not work here: {why_not}")
    async with placed(kind(tmp_path / "sim"), tmp_path / "state") as place:
        await place.fire()
        await place.stopped()
        async with place.sim.client() as client:
            reply = await client.post(f"/v2/pods/{place.pod.id}/action", json={"action": "start"})
        assert reply.status_code == 200, reply.text
        await place.up()
        async with place.agent() as agent:
            before = await watchdog.report(agent)
            report = await watchdog.arm(agent, Policy(max_hours=5), VolumeKind.PERSISTENT)
        assert before.level is Level.RED  # the arming of an earlier start counts for nothing
        assert before.armed is (kind is not pods.Namespaces)  # only there has a pod memory of its own
        assert (report.level, report.proven) == (Level.GREEN, ("v2",))


async def test_at_the_deadline_the_pod_stops_itself_and_is_not_terminated(place: Place) -> None:
    report = await place.arm(max_hours=5)
    assert (report.level, set(report.paths)) == (Level.AMBER, {"v2", "graphql"})
    await place.fire()
    await place.stopped()
    assert place.asked()[0] == f"/v2/pods/{place.pod.id}/action"


async def test_a_job_that_ended_and_an_idle_pod_are_stopped(place: Place) -> None:
    assert place.pod.running is not None
    place.pod.running.gpu_control.write_text("utilization.gpu=0")
    with place.cut_off():
        async with place.agent() as agent:
            policy = Policy(after_exit=AfterExit.STOP, pull_grace_minutes=0.5 / 60, tick_s=QUICK)
            await watchdog.arm(agent, policy, VolumeKind.NETWORK)
            await jobs.launch(agent, LaunchSpec("A", 1, ("sleep", "0.5")))
    await place.stopped()


async def test_a_connection_or_a_busy_card_holds_the_idle_rule_and_a_card_that_hangs_does_not(place: Place) -> None:
    assert place.pod.running is not None
    card = place.pod.running.gpu_control
    card.write_text("utilization.gpu=0")
    async with place.agent() as agent:
        await watchdog.arm(agent, Policy(idle_minutes=1 / 60, tick_s=QUICK), VolumeKind.NETWORK)
        await asyncio.sleep(2)
        report = await watchdog.report(agent)
        assert (report.phase, report.gpu) == ("watching", 0.0)
        card.write_text("utilization.gpu=60")
    await asyncio.sleep(2)
    assert place.sim.pod(place.pod.id).status is Status.RUNNING
    card.write_text("hang")
    await place.stopped()


async def test_a_key_that_is_refused_is_red_before_the_user_walks_away(place: Place) -> None:
    place.sim.quirks.watchdog_key_refused = True
    report = await place.arm(max_hours=5)
    assert report.level is Level.RED
    assert place.pod.key not in repr(report)


async def test_a_key_that_may_look_and_not_stop_is_never_green_and_red_once_that_is_known(place: Place) -> None:
    place.sim.quirks.watchdog_stop_refused = True
    assert (await place.arm(max_hours=5)).level is Level.AMBER
    await place.fire()
    async with place.agent() as agent, asyncio.timeout(30):
        while (report := await watchdog.report(agent)).tries < 4:
            await asyncio.sleep(0.1)
    assert report.level is Level.RED
    assert "a stop was refused" in report.reason
    assert report.proven == ()
    assert place.sim.pod(place.pod.id).status is Status.RUNNING


async def test_where_v2_refuses_the_pods_key_the_older_api_stops_it(place: Place) -> None:
    place.sim.quirks.watchdog_v2_refused = True
    await place.fire()
    await place.stopped()
    assert "/graphql" in place.asked()

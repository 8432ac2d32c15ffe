"""Two pods of ours at once: each has its own connection, its lease is renewed, it is observed, and one that hangs or
breaks is nothing to the other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from app import arming
from app.alerts import alerts
from app.controller import Controller
from app.events import Failed, LinkChanged, PodsListed, WatchReported
from app.keeper import Keeper
from app.reduce import reduce
from app.rent import create
from app.sections import Guard, RunPod
from app.settings import Settings
from app.state import AppState, LinkView, PodView, WatchView
from app.status import gather
from app.workspace import find
from remote.errors import ConnectFailed
from remote.guard.watchdog import Report
from remote.money.rules import disks_per_hour
from remote.pods.model import Pod, VolumeKind
from tests.sim import pods
from tests.sim.pods.base import PodStartError
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes

ONE = PodView("p", "maxcai-p", "runpod", "RUNNING", "A100", 1, Decimal("1.74"), "h", 1, 5.0)
OTHER = replace(ONE, id="q", name="maxcai-q", started_at=6.0)
BOTH = reduce(AppState("x", "runpod"), PodsListed((ONE, OTHER), 1.0))


@pytest.fixture
async def controller(tmp_path: Path, workspace_dir: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Controller]:
    try:
        factory = pods.choose("auto", tmp_path / "sim")
    except PodStartError as why:
        pytest.skip(f"no real pods here: {why}")
    async with Simulator(factory, VirtualClock.real(), boot=BootTimes.instant()) as cloud:  # type: ignore[arg-type]
        for name, value in cloud.environ().items():
            monkeypatch.setenv(name, value)
        guard = Guard(lease_minutes=30.0, tick_seconds=0.2)
        settings = Settings(provider="runpod", runpod=RunPod(volume_gb=20), guard=guard)
        controller = Controller(find(workspace_dir), settings, clock=cloud.clock)
        yield controller
        await controller.close()


async def lease(controller: Controller, pod: Pod) -> float:
    """Seconds left of the pod's lease."""
    report = await arming.ask(controller.supervisor, pod)
    return next(rule.left_s for rule in report.rules if rule.name == "lease")


async def test_two_pods_have_a_connection_each_and_both_leases_are_renewed(controller: Controller) -> None:
    supervisor = controller.supervisor
    made = [await create(supervisor, agreed=True) for _ in range(2)]
    cost = supervisor.fleet.cost(supervisor.clock())
    assert cost.disks == disks_per_hour("runpod", made[0].disk_gb, VolumeKind.PERSISTENT, 20, running=True)
    assert cost.disks
    agents = [await supervisor.link.agent(pod.id) for pod in made]
    assert [await supervisor.link.agent(pod.id) for pod in made] == agents, "asking one closed the other's connection"
    for pod, agent in zip(made, agents, strict=True):
        assert await arming.arm(supervisor, pod, agent) is not None
    await asyncio.sleep(2.0)
    before = [await lease(controller, pod) for pod in made]
    keeper = Keeper(supervisor)
    await keeper.watchdog()
    after = [await lease(controller, pod) for pod in made]
    assert min(new - old for new, old in zip(after, before, strict=True)) > 1.0
    assert {id_ for id_, watch in controller.state.watches.items() if watch.level != "red"} == {pod.id for pod in made}
    unknown = [one for one in await keeper.decisions() if "unknown" in str(one.rule)]
    assert not unknown, "a pod that is not shown is not observed"
    await supervisor.link.drop(made[0].id)
    assert (supervisor.link.stands(made[0].id), supervisor.link.stands(made[1].id)) == (False, True)
    found = await gather(supervisor)
    assert found.verified is True
    assert supervisor.link.stands(made[0].id)


async def test_a_pod_that_does_not_answer_does_not_keep_the_other_ones_lease_from_being_renewed(
    controller: Controller, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = controller.supervisor
    made = [await create(supervisor, agreed=True) for _ in range(2)]
    for pod in made:
        await supervisor.link.agent(pod.id)
    renewed: list[str] = []

    async def ask(_supervisor: object, pod: Pod, what: str) -> Report:
        if pod.id == made[0].id:
            raise ConnectFailed("it does not answer")
        await asyncio.sleep(0.05)
        renewed.append(f"{what} {pod.id}")
        return Report("green", "runs", True, True)  # type: ignore[arg-type]

    monkeypatch.setattr(arming, "ask", ask)
    with pytest.raises(ConnectFailed):
        await Keeper(supervisor).watchdog()
    assert renewed == [f"renew {made[1].id}"]


def test_what_is_told_of_another_pods_link_is_not_shown_as_this_ones() -> None:
    up = reduce(BOTH, LinkChanged(LinkView("up", verified=True), "p"))
    assert up.link.state == "up"
    assert reduce(up, LinkChanged(LinkView(), "q")) is up
    assert reduce(up, Failed("link", "refused", 3.0, 5.0, "q")).link.state == "up"
    assert reduce(up, Failed("link", "refused", 3.0, 5.0, "p")).link.state == "retrying"


def test_the_link_of_a_pod_that_went_off_is_not_taken_for_that_of_the_next_one() -> None:
    up = reduce(BOTH, LinkChanged(LinkView("up", verified=True), "p"))
    after = reduce(up, PodsListed((replace(ONE, status="STOPPED"), OTHER), 2.0))
    assert after.pod is not None
    assert (after.pod.id, after.link.state, after.link.verified) == ("q", "down", None)


def test_every_pods_watchdog_is_kept_and_alerts_name_the_pod() -> None:
    state = reduce(BOTH, WatchReported(WatchView("green", "runs", "p")))
    state = reduce(state, WatchReported(WatchView("red", "no key", "q")))
    assert state.watch is not None
    assert state.watch.level == "green"
    told = [one.text for one in alerts(state, 10.0) if "ARMED" in one.text]
    assert told == ["AUTOMATIC STOP IS NOT ARMED on pod maxcai-q: no key"]
    gone = reduce(state, PodsListed((ONE, replace(OTHER, status="STOPPED")), 2.0))
    assert set(gone.watches) == {"p"}

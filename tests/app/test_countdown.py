"""Ten minutes before a stop for idleness or budget, in which anybody may say no: counted once, by every process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from app import arming
from app.alerts import standing
from app.controller import Controller
from app.countdown import FILE, KEPT_S, UNCOUNTED_S, Countdowns
from app.events import PodsListed
from app.keeper import GUARD_S, Keeper
from app.rent import create
from app.sections import Budget, RunPod
from app.settings import Settings
from app.state import AppState
from app.workspace import find
from remote.guard.rules import Act, Decision, Rule
from remote.pods.model import Pod, PodStatus
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes

POD = Pod("p", "maxcai-p", "runpod", PodStatus.RUNNING, "/workspace", "python3", started_at=5.0)
IDLE = Decision(POD, Act.STOP, Rule.IDLE, "it has been idle for 30 minutes")
OVER = Decision(POD, Act.STOP, Rule.AFTER_RUN, "every run is over")
TEN = 600.0
TIMELESS = (
    '{"p@5.0 idle": {"pod": "p", "name": "p", "session": "p@5.0", "rule": "idle", "why": "", "begun": 1, "ends": NaN, '
    '"counted": 1, "kept": null}}'
)


@pytest.fixture
def counted(tmp_path: Path) -> Countdowns:
    return Countdowns(tmp_path, TEN)


def test_a_stop_waits_ten_minutes_and_is_then_carried_out(counted: Countdowns, tmp_path: Path) -> None:
    assert counted.due([IDLE], 1000.0) == ()
    begun = counted.running(1000.0)
    assert begun is not None
    assert (begun.begun, begun.ends, begun.why) == (1000.0, 1600.0, IDLE.why)
    other = Countdowns(tmp_path, TEN)  # another process sees the same one
    for now in (1060.0, 1200.0, 1320.0, 1460.0, 1599.0):
        assert other.due([IDLE], now) == ()
    assert counted.due([IDLE], 1600.0) == (IDLE,)
    assert counted.running(1600.0) is None  # nothing can be called off any more


def test_what_a_person_agreed_to_before_is_not_counted_down(counted: Countdowns, tmp_path: Path) -> None:
    assert counted.due([OVER], 0.0) == (OVER,)
    assert Countdowns(tmp_path, 0.0).due([IDLE], 0.0) == (IDLE,)  # the settings want none


def test_a_pod_that_works_again_is_forgotten_and_its_next_idleness_counts_anew(counted: Countdowns) -> None:
    counted.due([IDLE], 0.0)
    assert counted.due([], 60.0) == ()
    assert counted.running(60.0) is None
    assert counted.due([IDLE], 700.0) == ()
    assert counted.running(700.0) is not None


def test_who_keeps_a_pod_is_asked_again_later(counted: Countdowns, tmp_path: Path) -> None:
    counted.due([IDLE], 0.0)
    (ended,) = Countdowns(tmp_path, TEN).keep(60.0, {"idle": 1800.0, "budget": KEPT_S})
    assert (ended.pod, ended.kept) == ("p", 1860.0)
    assert counted.keep(61.0, {"idle": 1800.0}) == ()  # once is enough
    assert counted.running(61.0) is None
    assert POD.session is not None
    assert counted.kept_until(POD.session.key, "idle", 61.0) == 1860.0
    for now in (700.0, 1200.0, 1859.0):
        assert counted.due([IDLE], now) == ()
        assert counted.running(now) is None
    assert counted.due([IDLE], 1860.0) == ()
    again = counted.running(1860.0)
    assert again is not None
    assert again.ends == 1860.0 + TEN


def test_minutes_that_nobody_counted_do_not_count(counted: Countdowns) -> None:
    counted.due([IDLE], 0.0)
    later = 8 * 3600.0  # the machine slept, or the panel was closed
    assert counted.running(UNCOUNTED_S + 1) is None
    assert counted.due([IDLE], later) == ()
    begun = counted.running(later)
    assert begun is not None
    assert begun.ends == later + TEN


def test_a_clock_that_was_set_back_delays_no_stop(counted: Countdowns) -> None:
    counted.due([IDLE], 1e6)
    assert counted.due([IDLE], 1000.0) == ()
    begun = counted.running(1000.0)
    assert begun is not None
    assert begun.ends == 1000.0 + TEN


def test_another_session_of_the_pod_has_its_own(counted: Countdowns) -> None:
    counted.due([IDLE], 0.0)
    counted.keep(1.0, {"idle": 1e6})
    fresh = replace(IDLE, pod=replace(POD, started_at=50.0))
    assert counted.due([fresh], 100.0) == ()
    assert counted.running(100.0) is not None


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"p@5.0 idle": 3}', '{"p@5.0 idle": {"pod": "p", "ends": "soon"}}', TIMELESS]
)
def test_a_file_that_makes_no_sense_stops_nothing(counted: Countdowns, tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert counted.due([IDLE], 10.0) == ()
    begun = counted.running(10.0)
    assert begun is not None
    assert begun.ends == 10.0 + TEN


@pytest.fixture
async def cloud() -> AsyncIterator[Simulator]:
    async with Simulator(boot=BootTimes.instant()) as sim:
        yield sim


def controller(cloud: Simulator, workspace_dir: Path) -> Controller:
    settings = Settings(provider="runpod", runpod=RunPod(volume_gb=20), budget=Budget(total=Decimal(10)))
    return Controller(find(workspace_dir), settings, clock=cloud.clock)


async def test_a_budget_stop_is_counted_down_called_off_from_elsewhere_and_asked_again(
    cloud: Simulator, workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    panel, shell = controller(cloud, workspace_dir), controller(cloud, workspace_dir)
    pod = await create(panel.supervisor, agreed=True, wait=False)
    keeper = panel.supervisor.keeper
    await cloud.advance(6 * 3600)
    assert await counting(keeper) == GUARD_S
    told = panel.state.countdown
    assert told is not None
    assert (told.pod, told.rule, told.ends - told.begun) == (pod.id, "budget", TEN)
    (first, *_) = standing(panel.state, cloud.clock())
    assert first.text.startswith(f"pod {pod.name} is stopped in 10:00 (any key ")
    assert first.acts[0] == "pod.keep"
    await shell.supervisor.look()
    strict = arming.policy(shell.supervisor, pod)
    assert shell.state.countdown == told
    assert await shell.perform("pod.keep", {"minutes": 30.0}) == 0
    await keeper.count()
    assert panel.state.countdown is None
    await shell.supervisor.keeper.money()
    longer = arming.policy(shell.supervisor, pod)
    assert longer is not None
    assert longer.budget_usd is not None
    assert strict is None or strict.budget_usd is None or longer.budget_usd > strict.budget_usd
    for minutes in (10, 15):
        await cloud.advance(60 * minutes)
        await counting(keeper)
        assert panel.state.countdown is None
    await cloud.advance(6 * 60)
    await counting(keeper)
    assert panel.state.countdown is not None
    for _minute in range(10):
        await cloud.advance(61)
        await counting(keeper)
    assert cloud.pod(pod.id).status == "EXITED"
    assert panel.state.countdown is None
    said = [notice.text for notice in panel.state.notices]
    assert any("unless somebody keeps it" in text for text in said)
    assert any("was stopped" in text for text in said)
    await panel.close()
    await shell.close()


async def counting(keeper: Keeper) -> float:
    await keeper.money()
    return await keeper.guard()


async def test_nothing_is_called_off_where_nothing_is_counted_down(workspace_dir: Path) -> None:
    one = Controller(find(workspace_dir), Settings())
    assert await one.perform("pod.keep") == 0
    assert await one.perform("pod.keep", {"minutes": -1.0}) == 2
    one.emit(PodsListed((), 1.0))
    assert one.reason("pod.keep") == "no stop is being counted down"
    assert AppState("p").countdown is None
    await one.close()

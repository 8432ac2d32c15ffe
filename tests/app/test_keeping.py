"""Warnings told once, a policy made of settings, reminders, and what the pod's watchdog is worth in the picture."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from msgspec.structs import replace

from app import arming, launch
from app.controller import Controller
from app.errors import SettingsError, Unagreed, sentence
from app.events import PodsListed, WatchReported
from app.keeper import Keeper
from app.news import news
from app.ready import _project, sources
from app.reduce import reduce
from app.reminders import reminders
from app.rent import create, wanted
from app.risk import Risk, look
from app.runs import RunEntry
from app.sections import Budget, Guard, RunPod
from app.settings import Settings, load
from app.state import AppState, PodView, WatchView
from app.workspace import find
from remote import jobs
from remote.errors import AgentFailed, ConnectFailed, InsufficientFunds, LaunchUnconfirmed
from remote.guard.rules import Act, Decision, Rule
from remote.guard.watchdog import AfterExit
from remote.pods.model import Pod, PodStatus, VolumeKind
from remote.renting.permits import loses_data
from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes

POD = PodView("p", "maxcai-p", "runpod", "RUNNING", "A100", 1, Decimal("1.74"), "h", 1, 5.0)
ARMED = WatchView("green", "it worked before", "p", until=100.0, rule="idle")
RENTED = Pod(
    "p", "maxcai-p", "runpod", PodStatus.RUNNING, "/workspace", "python3", price_per_hour=Decimal(2), started_at=0.0,
    disk_gb=0, volume=VolumeKind.PERSISTENT, volume_gb=0,
)  # fmt: skip


@pytest.fixture
async def cloud() -> AsyncIterator[Simulator]:
    async with Simulator(boot=BootTimes.instant()) as sim:
        yield sim


@pytest.fixture
async def controller(
    cloud: Simulator, workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Controller]:
    for name, value in cloud.environ().items():
        monkeypatch.setenv(name, value)
    settings = Settings(provider="runpod", runpod=RunPod(volume_gb=20), budget=Budget(total=Decimal(10)))
    controller = Controller(find(workspace_dir), settings, clock=cloud.clock)
    yield controller
    await controller.close()


async def test_a_budget_is_warned_of_at_80_and_at_100_percent_once_each(
    controller: Controller, cloud: Simulator
) -> None:
    await create(controller.supervisor, agreed=True, wait=False)
    keeper = Keeper(controller.supervisor)
    told: list[str] = []
    for hours in (4, 1, 0, 1, 0):  # at $1.75/h: 7.0, 8.75, the same, 10.5, the same
        await cloud.advance(hours * 3600)
        await keeper.money()
        told.append(" ".join(n.level for n in controller.state.notices if n.text.startswith("budget:")))
    assert told == ["", "warn", "warn", "warn error", "warn error"]
    (budget,) = controller.state.cost.budgets
    assert (budget.name, budget.level) == ("total", "stop")


async def test_the_guard_stops_what_is_over_budget_and_says_so(controller: Controller, cloud: Simulator) -> None:
    pod = await create(controller.supervisor, agreed=True, wait=False)
    await cloud.advance(6 * 3600)
    keeper = Keeper(controller.supervisor)
    await keeper.money()
    acts = {(str(d.act), str(d.rule)) for d in await keeper.decisions() if d.pod.id == pod.id}
    assert ("stop", "budget") in acts


async def test_a_create_that_was_left_is_adopted_by_the_panel_that_is_open(
    controller: Controller, cloud: Simulator
) -> None:
    supervisor = controller.supervisor
    await supervisor.look()
    cloud.inject("create", Fault("timeout-after", seconds=20))
    renting = asyncio.create_task(create(supervisor, agreed=True, wait=False))
    async with asyncio.timeout(30):
        while not cloud.state.pods:
            await asyncio.sleep(0.02)
    renting.cancel()
    await asyncio.gather(renting, return_exceptions=True)
    await cloud.advance(3600)
    await supervisor.look()
    assert [supervisor.fleet.is_ours(pod) for pod in supervisor.fleet.pods] == [True]


async def test_one_command_arms_with_the_budgets_of_the_day_and_of_everything(
    controller: Controller, cloud: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = controller.supervisor
    await create(supervisor, agreed=True, wait=False)
    pod = supervisor.fleet.pods[0] if supervisor.fleet.pods else (await supervisor.fleet.list())[0]
    supervisor.fleet.account = None  # as in a process that has not looked at money
    assert await arming.arm(supervisor, pod, _Deaf()) is None  # type: ignore[arg-type]
    policy = arming.policy(supervisor, pod)
    assert policy is not None
    assert policy.budget_usd is not None and policy.budget_usd < 12


async def test_what_an_earlier_run_spent_is_no_part_of_the_next_ones_budget(
    controller: Controller, cloud: Simulator
) -> None:
    supervisor = controller.supervisor
    await create(supervisor, agreed=True, wait=False)
    pod = (await supervisor.fleet.list())[0]
    supervisor.book.add(RunEntry("R1", "smoke", pod.id, "t", 1, cloud.clock()))
    assert Keeper(supervisor).measured_run() is not None
    await cloud.advance(3600)
    await supervisor.fleet.stop(pod)
    await supervisor.fleet.start(pod.id)
    await supervisor.fleet.list()
    assert Keeper(supervisor).measured_run() is None
    resumed = cloud.clock() + 60
    supervisor.book.add(RunEntry("R1", "smoke", pod.id, "t", 2, resumed))  # taken up again in this session
    assert Keeper(supervisor).measured_run() is not None


async def test_what_lay_on_a_pod_that_boots_again_is_not_called_home(controller: Controller, cloud: Simulator) -> None:
    supervisor = controller.supervisor
    await create(supervisor, agreed=True, wait=False)
    pod = replace((await supervisor.fleet.list())[0], status=PodStatus.BOOTING, endpoint=None)
    assert not loses_data(pod)
    supervisor.fleet.probes.clear()
    assert await look(supervisor, pod, removing=True) == Risk((), (), ())  # nothing ever ran there
    supervisor.book.add(RunEntry("R1", "smoke", pod.id, "t", 1, cloud.clock()))
    assert await look(supervisor, pod) == Risk((), (), ())  # a stop leaves its disk
    gone = await look(supervisor, pod, removing=True)
    assert gone.unpulled is None and "R1" in gone.clauses[0]
    assert (await look(supervisor, replace(pod, volume=VolumeKind.NONE))).unpulled is None


async def test_a_run_that_is_being_started_keeps_its_pod(controller: Controller, tmp_path: Path) -> None:
    book = controller.supervisor.book
    assert not book.is_launching()
    async with book.launching():
        assert book.is_launching()
    assert not book.is_launching()


async def test_a_launch_that_may_have_begun_is_asked_again_until_it_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lost:
        answers: ClassVar[list[Exception]] = [ConnectFailed("no route"), ConnectFailed("no route")]

        async def agent(self, _: str) -> object:
            if told and self.answers:
                raise self.answers.pop(0)
            return SimpleNamespace(tree_dir=str)

        async def drop(self, _pod: str) -> None: ...

    told: list[str] = []

    async def sent(_agent: object, _spec: object) -> object:
        told.append("launch")
        if len(told) == 1:
            raise LaunchUnconfirmed("no answer")
        return SimpleNamespace(status="running")

    monkeypatch.setattr(jobs, "launch", sent)
    monkeypatch.setattr(launch, "_spec", lambda *_: None)
    monkeypatch.setattr(launch, "LAUNCH_PAUSE_S", 0.0)
    far = SimpleNamespace(link=Lost())
    given = (far, RENTED, None, None, None)
    assert await launch._launch_surely(*given) == "running"  # type: ignore[arg-type]
    assert told == ["launch", "launch"]
    told.clear()
    Lost.answers = [ConnectFailed("no route")] * 9
    with pytest.raises(LaunchUnconfirmed):  # and not "no route", which would say that nothing began
        await launch._launch_surely(*given)  # type: ignore[arg-type]


class _Deaf:
    """An agent that answers nothing."""

    def __getattr__(self, name: str) -> object:
        raise AgentFailed("no answer")


async def test_idleness_is_told_once_and_again_after_work(
    controller: Controller, cloud: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    await create(controller.supervisor, agreed=True, wait=False)
    pod = controller.supervisor.fleet.pods[0]
    keeper = Keeper(controller.supervisor)
    rounds = iter([16, 17, None, 18])

    async def decisions() -> tuple[Decision, ...]:
        minutes = next(rounds)
        why = f"it has been idle for {minutes} minutes; at 30 it is stopped"
        return () if minutes is None else (Decision(pod, Act.WARN, Rule.IDLE, why),)

    monkeypatch.setattr(keeper, "decisions", decisions)
    for told in (1, 1, 1, 2):
        await keeper.guard()
        found = [n.text for n in controller.state.notices if "has been idle" in n.text]
        assert len(found) == told
    assert [text for text in news(controller.state, 0.0).values() if "idle for 18 minutes" in text]


async def test_renting_asks_first_with_the_price(controller: Controller, cloud: Simulator) -> None:
    with pytest.raises(Unagreed) as question:
        await create(controller.supervisor, agreed=False)
    assert any("$1.74/h" in line for line in question.value.lines)
    assert question.value.exit_code == 3
    asked: list[str] = []

    async def no(confirm: object) -> bool:
        asked.append(str(confirm))
        return False

    assert await controller.perform("pod.create", ask=no) == 3
    assert asked
    assert not cloud.state.pods


def test_the_policy_is_the_settings_less_what_the_session_has_run(controller: Controller) -> None:
    supervisor = controller.supervisor
    pod = replace(RENTED, started_at=supervisor.clock() - 3600)
    policy = arming.policy(supervisor, pod, ("R",))
    assert policy is not None
    assert (policy.max_hours, policy.idle_minutes, policy.elapsed_s) == (24.0, 30.0, 3600.0)
    assert (policy.after_exit, policy.runs) == (AfterExit.STOP, ("R",))
    before_any_run = arming.policy(supervisor, pod)
    assert before_any_run is not None
    assert before_any_run.after_exit is AfterExit.KEEP
    off = Settings(provider="runpod", guard=Guard(max_hours=None, idle_minutes=None))
    supervisor.settings = off
    assert arming.policy(supervisor, pod) is None


def test_the_watchdogs_word_ends_with_its_pods_session() -> None:
    state = reduce(AppState("p"), PodsListed((POD,), 1.0))
    state = reduce(state, WatchReported(ARMED))
    assert state.watch == ARMED
    assert reduce(state, PodsListed((POD,), 2.0)).watch == ARMED
    assert reduce(state, PodsListed((replace(POD, status="STOPPED"),), 3.0)).watch is None


@pytest.mark.parametrize(
    ("watch", "told"),
    [
        (ARMED, "its watchdog is armed until 1970-01-01 00:01:40Z (green)"),
        (
            replace(ARMED, level="red", reason="its process has died"),
            "it does NOT stop by itself: its process has died",
        ),
        (None, "was not looked at"),
    ],
)
def test_what_still_costs_is_told_with_what_its_watchdog_is_worth(watch: WatchView | None, told: str) -> None:
    (line,) = reminders(AppState("p", pods=(POD,), watches={} if watch is None else {"p": watch}))
    assert "maxcai-p goes on at $1.74/h" in line
    assert told in line
    assert list(reminders(AppState("p", pods=(replace(POD, provider="local"),)))) == []
    assert list(reminders(AppState("p", pods=(replace(POD, ours=False),)))) == []


def test_sections_come_from_file_and_environment_and_mistakes_are_named(tmp_path: Path) -> None:
    (tmp_path / "maxcai.toml").write_text('[runpod]\nvolume_gb = 100\nimage = "a"\n[guard]\nidle_minutes = 0\n')
    settings = load(tmp_path, {"MAXCAI_RUNPOD_IMAGE": "b", "MAXCAI_RUNPOD_GPUS": "X, Y", "MAXCAI_BUDGET_DAY": "5"})
    assert (settings.runpod.image, settings.runpod.volume_gb, settings.runpod.gpus) == ("b", 100, ("X", "Y"))
    assert (settings.guard.idle_minutes, settings.guard.max_hours, settings.budget.day) == (None, 24.0, Decimal(5))
    assert wanted(settings).gpu == "X"
    load(tmp_path, {"MAXCAI_RUNPOD_URL": "http://127.0.0.1:1"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[runpod]\nvolum_gb = 5", "unknown key runpod.volum_gb. Did you mean runpod.volume_gb?"),
        ("[gaurd]\na = 1", "unknown key gaurd. Did you mean guard?"),
        ('[runpod]\ntransport = "v3"', "runpod.transport: invalid enum value, got 'v3'. Known: v2, sdk."),
        ("[budget]\nday = -1", "budget.day"),
        ('[runpod]\napi_key = "x"', "looks like a credential"),
    ],
)
def test_a_wrong_section_names_the_key_and_the_nearest(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "maxcai.toml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(tmp_path, {})
    assert told in sentence(caught.value)


def test_what_the_pipeline_requires_travels_where_the_workspace_does_not_say_it(controller: Controller) -> None:
    sent = [place for _path, place in sources(controller.supervisor)]
    assert "pyproject.toml" in sent
    made = tomllib.loads(
        _project(["httpx>=1", 'torch==2; extra == "pipeline"', 'x; python_version>"3" and extra=="q"'])
    )
    assert made["project"]["dependencies"] == ["httpx>=1"]
    assert made["project"]["optional-dependencies"] == {"pipeline": ["torch==2"], "q": ["x"]}


async def test_an_account_that_cannot_pay_an_hour_is_told_before_anything_is_sent(
    controller: Controller, cloud: Simulator
) -> None:
    cloud.set_balance("1.00")
    with pytest.raises(InsufficientFunds, match="balance is"):
        await create(controller.supervisor, agreed=True)
    assert not cloud.state.pods

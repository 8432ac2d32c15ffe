"""What a second reading of `remote` found: an outcome told wrongly, a proof that was none, a guard that acted late."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rented import GPU, SPEC, Rented, rented

import remote.journal
import remote.link.channels
from remote import verbs
from remote.__main__ import _parser
from remote.agent import watchdog as podside
from remote.errors import AuthError, ConfigError, ProviderUnavailable, SshError, VolumelessStop
from remote.guard.enforce import enforce
from remote.guard.rules import Act, Decision, Rule
from remote.journal import Phase
from remote.link.channels import SshProcess
from remote.money.costs import Ledger
from remote.money.rules import Burn, Level, runway
from remote.pods.limited import Limited
from remote.pods.model import Balance, Endpoint, Pod, PodSpec, PodStatus, VolumeKind
from remote.pods.provider import LogLines
from remote.renting import creating, lifecycle
from remote.renting.permits import Unpulled, may_terminate
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.model import BootTimes

NOW = 100_000.0
POD = Pod(
    "p1", "maxcai-a", "runpod", PodStatus.RUNNING, "/workspace", "python3", price_per_hour=Decimal("1.74"), disk_gb=50,
    endpoint=Endpoint("10.0.0.1", 22, "root"), volume=VolumeKind.PERSISTENT, volume_gb=100, started_at=NOW - 7200,
)  # fmt: skip
STOPPED = replace(POD, status=PodStatus.STOPPED, endpoint=None)


class Deaf(Limited):
    """A provider whose acts work and whose list may fail or lag behind: `shown` is what it lists, in order."""

    name = "runpod"

    def __init__(self, pod: Pod, *shown: list[Pod] | Exception) -> None:
        self.pod, self.shown = pod, list(shown)
        self.stopped = self.restarted = 0

    async def list(self) -> list[Pod]:
        now = self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]
        if isinstance(now, Exception):
            raise now
        return now

    async def get(self, pod_id: str) -> Pod:
        return self.pod

    async def create(self, name: str, spec: PodSpec) -> Pod:
        raise NotImplementedError

    async def start(self, pod_id: str) -> Pod:
        raise NotImplementedError

    async def stop(self, pod_id: str) -> Pod:
        self.stopped += 1
        self.pod = STOPPED
        return self.pod

    async def restart(self, pod_id: str) -> Pod:
        self.restarted += 1
        self.pod = replace(self.pod, started_at=NOW)
        return self.pod

    async def terminate(self, pod_id: str) -> None:
        return None

    async def logs(self, pod_id: str) -> LogLines:
        return []


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


SILENCE = ProviderUnavailable("nobody answers")


# --- an act that worked is told as one that worked ---------------------------------------------------------------


async def test_a_pod_that_was_seen_to_stop_has_stopped_although_the_next_list_fails(state_dir: Path) -> None:
    provider, clock = Deaf(POD, SILENCE), Time()
    Ledger(state_dir).open(POD)
    pod = await lifecycle.stop(provider, "p1", state_dir, clock, sleep=clock.sleep)
    assert pod.status is PodStatus.STOPPED
    assert [row.open for row in Ledger(state_dir).rows()] == [False]


async def test_a_pod_that_restarted_has_restarted_although_the_next_list_fails(state_dir: Path) -> None:
    provider, clock = Deaf(POD, SILENCE), Time()
    pod = await lifecycle.restart(provider, "p1", state_dir, clock, sleep=clock.sleep)
    assert (pod.started_at, provider.restarted) == (NOW, 1)


async def test_a_rented_pod_is_printed_although_the_next_list_fails(
    prompt: Rented, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object) -> list[Pod]:
        raise SILENCE

    monkeypatch.setattr(lifecycle, "look", silent)
    made, code = await run(prompt, "create", "a", "--image", SPEC.image, "--gpu", GPU, "--volume-gb", "20")
    assert (code, [made["id"]]) == (0, list(prompt.sim.state.pods))


# --- an act counts as done only when that is seen -----------------------------------------------------------------


async def test_a_stopped_pod_that_is_still_listed_is_not_terminated_and_its_disk_goes_on_costing(
    state_dir: Path,
) -> None:
    provider, clock = Deaf(STOPPED, [STOPPED]), Time()
    ledger = Ledger(state_dir)
    ledger.open(POD)
    ledger.ended("p1", NOW, "stopped")
    permit = may_terminate(STOPPED, (), "maxcai-a")
    with pytest.raises(ProviderUnavailable, match="still STOPPED 120 s after"):
        await lifecycle.terminate(provider, permit, state_dir, clock, sleep=clock.sleep)
    assert [row.keeps for row in ledger.rows()] == [True]
    provider.shown = [[STOPPED], [STOPPED], []]
    await lifecycle.terminate(provider, permit, state_dir, clock, sleep=clock.sleep)
    assert [row.keeps for row in ledger.rows()] == [False]


async def test_a_pod_that_was_started_again_during_the_pull_is_not_stopped(tmp_path: Path) -> None:
    provider = Deaf(POD, [POD])

    async def checkpoint(pod: Pod) -> None:
        return None

    async def pull(pod: Pod) -> Unpulled:
        provider.pod = replace(pod, started_at=NOW)  # somebody stopped and started it meanwhile
        return ()

    stop = Decision(POD, Act.STOP, Rule.IDLE, "it has been idle for 31 minutes", checkpoint=True, pull=True)
    (outcome,) = await enforce([stop], provider, tmp_path, Time(), checkpoint=checkpoint, pull=pull)
    assert (outcome.stopped, outcome.remarks, provider.stopped) == (False, ("it was started again since",), 0)


async def test_another_process_waits_a_minute_from_the_lost_answer_and_not_from_the_intent(
    world: Rented, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote.journal, "identify", lambda pid: None)
    facts = {"provider": "runpod", "name": "maxcai-late-000000", "spec": {}}
    intent = world.journal.intent(creating.CREATE, **facts)
    await world.sim.clock.leap(65.0)  # the request waits that long for its answer
    world.journal.unknown(intent, "no answer in time", lost_at=world.sim.clock())
    for seconds, phase in ((0.0, Phase.UNKNOWN), (35.0, Phase.UNKNOWN), (30.0, Phase.FAILED)):
        await world.sim.clock.leap(seconds)
        await world.recover()
        assert world.phases() == [(creating.CREATE, phase)]


async def test_a_lost_answer_notes_when_it_was_lost(world: Rented) -> None:
    world.sim.inject("create", "timeout-after")
    await world.create()
    (intent,) = world.journal.intents()
    assert isinstance(intent.facts["lost_at"], float) and intent.facts["lost_at"] >= intent.at


# --- what is not known never looks like enough --------------------------------------------------------------------


def test_a_pod_of_unknown_price_is_not_taken_for_nothing_being_spent() -> None:
    unknown = Burn(unknown=("the price of pod x is not told",))
    told = Balance(Decimal(5), Decimal(0), None, 0.0)
    found = runway(told, unknown, 0.0)
    assert (found.level, found.why) == (Level.UNKNOWN, "the price of pod x is not told")
    assert runway(replace(told, balance=Decimal(0), spend_per_hour=None), unknown, 0.0).seconds == 0.0


async def test_a_pod_can_be_rented_when_the_api_that_tells_the_balance_is_out_of_service(world: Rented) -> None:
    world.sim.retire("graphql")
    found = await creating.estimate(world.provider, SPEC)
    assert found.balance is None
    assert any("out of service" in note for note in found.notes)
    assert "the account's balance is not known" in found.notes


async def test_a_key_that_is_not_accepted_is_no_note(world: Rented, monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused() -> Balance:
        raise AuthError("RunPod does not accept the API key.")

    monkeypatch.setattr(world.provider, "balance", refused)
    with pytest.raises(AuthError):
        await creating.estimate(world.provider, SPEC)


# --- data ---------------------------------------------------------------------------------------------------------


async def test_restarting_a_pod_that_keeps_nothing_is_guarded_like_its_stop(prompt: Rented) -> None:
    made, _ = await run(prompt, "create", "a", "--image", SPEC.image, "--gpu", GPU, "--ephemeral", "--wait")
    with pytest.raises(VolumelessStop):  # a pod on paper has no SSH, so nobody can look what is on it
        await run(prompt, "restart", made["id"])
    again, _ = await run(prompt, "restart", made["id"], "--lose-unpulled")
    assert again["started_at"] > made["started_at"]


async def test_a_pod_that_never_stops_talking_does_not_fill_our_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote.link.channels, "_STDOUT_LIMIT", 1000)

    class Endless(SshProcess):
        def __init__(self) -> None:
            self._pod, self._argv = POD, ["yes"]

        async def read(self, limit: int = 1 << 20) -> bytes:
            return bytes(100)

    with pytest.raises(SshError, match='"yes" on pod p1 answered more than'):
        await asyncio.wait_for(Endless().rest(), 5.0)


def test_a_volume_that_hangs_while_a_watchdog_is_armed_leaves_the_old_one_running(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[str] = []
    monkeypatch.setattr(podside, "Desk", lambda pod: _Desk(ended))

    def hangs(pod: Any) -> list[str]:
        raise TimeoutError("the volume does not answer")

    monkeypatch.setattr(podside, "run_ids", hangs)
    with pytest.raises(TimeoutError):
        podside.arm({"policy": {"max_hours": 1}}, None)  # type: ignore[arg-type]
    assert ended == []


class _Desk:
    def __init__(self, ended: list[str]) -> None:
        self._ended = ended

    def end(self) -> None:
        self._ended.append("ended")


# --- the command line ---------------------------------------------------------------------------------------------


def test_the_provider_is_taken_from_the_environment_like_everywhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXCAI_PROVIDER", "runpod")
    assert _parser().parse_args(["guard"]).provider == "runpod"
    assert _parser().parse_args(["--provider", "local", "guard"]).provider == "local"
    monkeypatch.delenv("MAXCAI_PROVIDER")
    assert _parser().parse_args(["guard"]).provider == "local"


@pytest.mark.parametrize("argv", [["stop"], ["start"], ["run", "ls"]])
async def test_a_rented_pod_must_be_named(world: Rented, argv: list[str]) -> None:
    with pytest.raises(ConfigError, match="Which pod"):
        await verbs.find(_parser().parse_args(["--provider", "runpod", *argv]), world.provider)


@pytest.fixture
async def world(state_dir: Path) -> AsyncIterator[Rented]:
    async with rented(state_dir) as rent:
        yield rent


@pytest.fixture
async def prompt(state_dir: Path) -> AsyncIterator[Rented]:
    """A world on this machine's own clock, as the command line has no other."""
    quick = BootTimes(provision=0.1, pull=0.2, port=0.1, resume=0.1)
    async with rented(state_dir, Simulator(clock=VirtualClock.real(), boot=quick)) as rent:
        yield rent


async def run(world: Rented, *argv: str) -> tuple[Any, int]:
    """One command, as JSON would bring it across."""
    options = _parser().parse_args(["--state-dir", str(world.state_dir), "--provider", "runpod", *argv])
    answer, code = await verbs.VERBS[options.command](options, world.provider)
    return json.loads(json.dumps(answer)), code

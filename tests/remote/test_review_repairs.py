"""What a reading of `remote` found that a guard, a ledger or a list might have told wrongly."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from msgspec.structs import replace

from remote import jobs, verbs
from remote.__main__ import _parser
from remote.agent.client import Agent
from remote.errors import (
    ConfigError,
    DiskFull,
    HostKeyMismatch,
    HostKeyUnverified,
    InsufficientFunds,
    LaunchUnconfirmed,
)
from remote.guard import activity
from remote.guard.enforce import enforce
from remote.guard.rules import Act, Activity, Decision, Rule
from remote.jobs import JobState, JobStatus, Launched
from remote.journal import Journal, Phase
from remote.link.hostkeys import HostKey, PinStore, pins_for
from remote.money.costs import Ledger
from remote.pods.limited import Limited
from remote.pods.model import Balance, GpuUse, Pod, PodSpec, PodStatus, VolumeKind
from remote.pods.provider import Capability, LogLines
from remote.renting import creating
from remote.renting.permits import Unpulled
from remote.setup import run as setting_up
from remote.setup.model import Plan, Wish

NOW = 100_000.0
POD = Pod(
    "p1", "maxcai-a", "runpod", PodStatus.RUNNING, "/workspace", "python3", gpu="A100", gpu_count=1,
    price_per_hour=Decimal("1.74"), disk_gb=50, volume=VolumeKind.PERSISTENT, volume_gb=100, started_at=NOW - 7200,
    use=(GpuUse(0.0, 0.0),),
)  # fmt: skip
STOPPED = replace(POD, status=PodStatus.STOPPED, stopped_at=NOW - 60)
OTHER = replace(POD, id="p2", name="maxcai-b")
VOLUMELESS = replace(POD, volume=VolumeKind.NONE, volume_gb=None)
SPEC = PodSpec("img", "A100", volume_gb=20)


def job(run_id: str, state: JobState, written: int = 0, age: float | None = None) -> JobStatus:
    code = 0 if state is JobState.EXITED else None
    return JobStatus(
        run_id, 1, (1,), state, code, False, 1, None, NOW - 3600, None, None, None, {"a.log": written}, age
    )


class Hand(Limited):
    """A provider with one pod, which it rents and stops as it is told."""

    name = "runpod"

    def __init__(self, pod: Pod) -> None:
        self.pod, self.stops, self.listed = pod, 0, list[Pod]()

    async def list(self) -> list[Pod]:
        return self.listed

    async def get(self, pod_id: str) -> Pod:
        return self.pod

    async def create(self, name: str, spec: PodSpec) -> Pod:
        return replace(self.pod, name=name)

    async def start(self, pod_id: str) -> Pod:
        return self.pod

    async def stop(self, pod_id: str) -> Pod:
        self.stops += 1
        self.pod = replace(self.pod, status=PodStatus.STOPPED, stopped_at=NOW)
        return self.pod

    async def restart(self, pod_id: str) -> Pod:
        return self.pod

    async def terminate(self, pod_id: str) -> None:
        return None

    async def logs(self, pod_id: str) -> LogLines:
        return []


# --- what a pod does ----------------------------------------------------------------------------------------------


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """Observe a pod with these runs, none of which has files that are missing here."""

    async def none_missing(*_: object) -> Unpulled:
        return ()

    async def nobody(*_: object) -> int:
        return 0

    async def observe(pod: Pod, now: float, *runs: JobStatus) -> Activity:
        async def listed(_: object) -> tuple[JobStatus, ...]:
            return runs

        monkeypatch.setattr(jobs, "runs", listed)
        found = await activity.observe(pod, cast(Agent, None), tmp_path, tmp_path / "runs", now)
        assert found is not None
        return found

    monkeypatch.setattr(activity, "_missing", none_missing)
    monkeypatch.setattr(activity, "tell_shells", nobody)
    return observe


async def test_a_pod_that_was_only_set_up_has_no_run_that_is_over(seen: Callable[..., Any]) -> None:
    found = await seen(POD, NOW, job("setup-0123", JobState.EXITED))
    assert (found.runs_alive, found.runs_over) == (0, 0)
    found = await seen(POD, NOW, job("setup-0123", JobState.RUNNING), job("01J", JobState.EXITED))
    assert (found.runs_alive, found.runs_over) == (1, 1)


async def test_the_end_of_a_run_of_an_earlier_session_stops_nothing(seen: Callable[..., Any]) -> None:
    """Else a pod that was just started for the next run would be stopped for the last one."""
    assert POD.started_at is not None
    early, late = (POD.started_at + shift for shift in (-60.0, 60.0))
    over = replace(job("01J", JobState.EXITED), started=early - 600, finished=early)
    assert (await seen(POD, NOW, over)).runs_over == 0
    assert (await seen(POD, NOW, replace(over, finished=late))).runs_over == 1
    assert (await seen(POD, NOW, replace(over, state=JobState.ORPHANED, finished=None))).runs_alive == 1


async def test_a_run_that_was_asked_to_end_is_waited_for_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second word would end it at once, in the middle of its checkpoint."""
    asked = replace(job("01J", JobState.RUNNING), canceled=True)
    told = [(asked, job("02J", JobState.RUNNING)), (asked,), ()]
    cancelled: list[str] = []

    async def listed(_: object) -> tuple[JobStatus, ...]:
        return told.pop(0)

    async def cancel(_: object, run_id: str, _grace: float) -> None:
        cancelled.append(run_id)

    monkeypatch.setattr(jobs, "runs", listed)
    monkeypatch.setattr(jobs, "cancel", cancel)
    monkeypatch.setattr(activity, "ENDED_S", 0.0)
    await activity.end_runs(cast(Agent, None), 60.0)
    assert (cancelled, told) == (["02J"], [])


@pytest.mark.parametrize("use", [(), (GpuUse(0.0, 1.0), GpuUse(None, None))])
async def test_a_gpu_that_is_not_told_of_is_not_idle(seen: Callable[..., Any], use: tuple[GpuUse, ...]) -> None:
    await seen(POD, NOW)
    assert (await seen(POD, NOW + 600)).last_active == NOW
    assert (await seen(replace(POD, use=use), NOW + 1200)).last_active is None
    assert (await seen(POD, NOW + 1800)).last_active == NOW + 1200  # that time may have been work


async def test_a_pod_without_a_gpu_is_idle_when_nothing_is_written(seen: Callable[..., Any]) -> None:
    plain = replace(POD, gpu=None, gpu_count=0, use=())
    await seen(plain, NOW, job("01J", JobState.RUNNING, 5))
    assert (await seen(plain, NOW + 600, job("01J", JobState.RUNNING, 5))).last_active == NOW


async def test_a_living_run_whose_log_grows_is_activity_whatever_the_gpu_does(seen: Callable[..., Any]) -> None:
    dumb = replace(POD, use=())
    await seen(dumb, NOW, job("01J", JobState.RUNNING, 5))
    assert (await seen(dumb, NOW + 600, job("01J", JobState.RUNNING, 6))).last_active == NOW + 600
    assert (await seen(POD, NOW + 900, job("01J", JobState.RUNNING, 6, age=20.0))).last_active == NOW + 880


# --- what a stop would do -----------------------------------------------------------------------------------------


async def test_runs_of_a_pod_that_keeps_nothing_are_not_ended_for_a_stop_that_must_be_refused(tmp_path: Path) -> None:
    provider, ended = Hand(VOLUMELESS), list[str]()

    async def checkpoint(pod: Pod) -> None:
        ended.append(pod.id)

    async def pull(pod: Pod) -> Unpulled:
        raise ConnectionResetError("the link is gone")

    stop = Decision(VOLUMELESS, Act.STOP, Rule.BUDGET, "the budget is used up", checkpoint=True, pull=True)
    for means in (pull, None):
        (outcome,) = await enforce([stop], provider, tmp_path, lambda: NOW, checkpoint=checkpoint, pull=means)
        assert (outcome.stopped, ended, provider.stops) == (False, [], 0)

    async def growing(pod: Pod) -> Unpulled:
        return () if ended else ("01J/events.jsonl",)

    (outcome,) = await enforce([stop], provider, tmp_path, lambda: NOW, checkpoint=checkpoint, pull=growing)
    assert (outcome.stopped, ended, provider.stops) == (True, ["p1"], 1)


@asynccontextmanager
async def nobody(*_: object) -> AsyncIterator[object]:
    yield None


async def test_a_stop_that_leaves_files_on_the_volume_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def one(*_: object) -> Unpulled:
        return ("01J/DONE",)

    provider = Hand(POD)
    options = _parser().parse_args(["--state-dir", str(tmp_path / "s"), "stop", "p1"])
    monkeypatch.setattr(verbs, "agent_of", nobody)
    monkeypatch.setattr(verbs, "missing", one)
    await verbs.stop(options, provider)
    assert capsys.readouterr().err == ""  # nobody has ever spoken to this pod: to look would take a minute
    provider.pod = POD
    assert POD.session is not None
    await PinStore(tmp_path / "s").put(POD.session, [HostKey("SHA256:" + "A" * 43, "ED25519")])
    printed, code = await verbs.stop(options, provider)
    assert (printed["status"], code, provider.stops) == ("STOPPED", 0, 2)
    assert "1 of its files are not at home: 01J/DONE; they stay on its volume" in capsys.readouterr().err


async def test_another_machine_at_the_pods_address_is_told_as_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def impostor(*_: object) -> AsyncIterator[object]:
        raise HostKeyMismatch("The SSH host key of pod p1 is not trusted.")
        yield None

    monkeypatch.setattr(verbs, "agent_of", impostor)
    options = _parser().parse_args(["--state-dir", str(tmp_path / "s"), "stop", "p1"])
    provider = Hand(VOLUMELESS)
    with pytest.raises(HostKeyMismatch):
        await verbs.stop(options, provider)
    assert provider.stops == 0


# --- what is known of pods and money ------------------------------------------------------------------------------


async def test_the_log_is_waited_for_by_the_clock_and_not_by_the_look(tmp_path: Path) -> None:
    clock, looks = itertools.count(step=30.0), list[str]()

    class Slow(Hand):
        capabilities = frozenset({Capability.LOGS})

        async def logs(self, pod_id: str) -> LogLines:
            looks.append(pod_id)
            return []

    async def at_once(_: float) -> None:
        return None

    with pytest.raises(HostKeyUnverified):
        await pins_for(POD, Slow(POD), PinStore(tmp_path), 60.0, at_once, clock=lambda: next(clock))
    assert len(looks) == 2


def test_two_bad_lists_in_a_row_do_not_end_what_a_stopped_pod_costs(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.reconcile([STOPPED, OTHER], NOW)
    ledger.open(POD)
    ledger.ended("p1", NOW - 60, "stopped")
    for now in (NOW, NOW + 1, NOW + 29):
        ledger.reconcile([OTHER], now)
        assert ledger.rows()[-1].keeps
    ledger.reconcile([OTHER], NOW + 31)
    gone = next(row for row in ledger.rows() if row.session.pod_id == "p1")
    assert not gone.keeps
    ledger.reconcile([STOPPED, OTHER], NOW + 3600)
    back = next(row for row in ledger.rows() if row.session.pod_id == "p1")
    assert (back.keeps, back.missing_at, back.stopped_at) == (True, None, NOW - 60)


def test_a_session_that_was_missing_and_is_listed_again_goes_on_or_ends_when_its_pod_did(tmp_path: Path) -> None:
    for name, pod, end in (("runs", POD, None), ("over", STOPPED, NOW - 60)):
        ledger = Ledger(tmp_path / name)
        ledger.open(POD)
        for now in (NOW - 600, NOW - 500):
            ledger.reconcile([OTHER], now)
        assert ledger.rows()[0].stopped_at == NOW - 600
        ledger.reconcile([pod, OTHER], NOW)
        row = ledger.rows()[0]
        assert (row.stopped_at, row.bound, row.released_at) == (end, False, None)


def test_an_unknown_price_is_not_covered_by_any_balance() -> None:
    held = Balance(Decimal(5), Decimal(1), None, NOW)
    assert creating.covers(held, Decimal(2)) is None
    assert "the pod's price is not told" in (creating.covers(held, None) or "")
    assert "what else is spent" in (creating.covers(replace(held, spend_per_hour=None), Decimal(2)) or "")
    with pytest.raises(InsufficientFunds):
        creating.covers(replace(held, balance=Decimal("0.5")), None)


async def test_a_full_disk_after_the_pod_was_rented_says_that_it_costs_money(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise DiskFull("No space is left to write ledger.jsonl.", "Free some space there.")

    monkeypatch.setattr(Ledger, "open", full)
    with pytest.raises(DiskFull, match=r"Pod p1 \(maxcai-w-000000\) is rented and costs \$1\.74 an hour") as caught:
        await creating.create(Hand(POD), SPEC, tmp_path, lambda: NOW, word="w", entropy=bytes)
    assert "list the pods" in caught.value.hint


async def test_a_kept_disk_without_a_gpu_names_the_option_that_is_missing(tmp_path: Path) -> None:
    options = _parser().parse_args(
        ["--state-dir", str(tmp_path), "create", "a", "--image", "img", "--volume-gb", "20", "--dry-run"]
    )
    with pytest.raises(ConfigError, match="--volume-gb needs --gpu"):
        await verbs.create(options, Hand(POD))


# --- a set-up -----------------------------------------------------------------------------------------------------


async def test_the_start_of_a_set_up_is_in_the_journal_before_it_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal, state = Journal(tmp_path, lambda: NOW), job("setup-1", JobState.ABSENT)
    state = replace(state, attempt=0, attempts=())
    phases: list[list[Phase]] = []

    async def status(*_: object) -> JobStatus:
        return state

    async def lost(*_: object) -> Launched:
        phases.append([one.phase for one in journal.intents()])
        raise LaunchUnconfirmed("The link broke.")

    async def nothing(*_: object) -> None:
        return None

    monkeypatch.setattr(jobs, "status", status)
    monkeypatch.setattr(jobs, "launch", lost)
    monkeypatch.setattr(setting_up, "_bring_pip", nothing)
    script = cast(Any, SimpleNamespace(agent=None, argv=lambda verb: ("python3", verb)))
    told = setting_up.Told({"id": "p1"})

    async def begin() -> int:
        wish = cast(Wish, SimpleNamespace(as_dict=dict))
        return await setting_up._begin(script, wish, Plan("setup-1", "h", ()), {}, told, journal)

    with pytest.raises(LaunchUnconfirmed):
        await begin()
    (intent,) = journal.intents()
    assert phases == [[Phase.SENT]]
    assert (intent.op, intent.facts["pod"], intent.facts["attempt"]) == ("setup.launch", "p1", 1)
    state = job("setup-1", JobState.RUNNING)
    assert await begin() == 1
    assert len(journal.intents()) == 1

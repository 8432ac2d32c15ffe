"""Exactly one pod is bought, whatever answer is lost and whenever this program dies."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rented import GPU, SPEC, Rented, rented

import remote.journal
from remote.errors import (
    ConfigError,
    InsufficientFunds,
    NoCapacity,
    Occupied,
    OutcomeUnknown,
    ProviderUnavailable,
    RuleBroken,
    VolumelessStop,
)
from remote.journal import Journal, Phase
from remote.pods.model import Cloud, Offer, Pod, PodSpec, PodStatus, Stock, VolumeKind
from remote.renting import creating, lifecycle
from remote.renting.creating import Candidate, candidates
from remote.renting.specs import check, completed, describe, spec_hash, spec_of

OTHER = "NVIDIA A40"


@pytest.fixture
async def world(state_dir: Path) -> AsyncIterator[Rented]:
    async with rented(state_dir) as rent:
        yield rent


@pytest.fixture
def _mortal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journal lines of this process look as if their writer were gone."""
    monkeypatch.setattr(remote.journal, "identify", lambda pid: None)


def names(world: Rented) -> list[str]:
    return [pod.name for pod in world.sim.state.pods.values()]


# --- what to try -------------------------------------------------------------------------------------------------


def offer(gpu: str, price: str | None, stock: Stock | None = Stock.HIGH, **rest: Any) -> Offer:
    facts: dict[str, Any] = {"cloud": Cloud.SECURE, "memory_gb": 80, "max_count": 8, **rest}
    return Offer(gpu, gpu, price=None if price is None else Decimal(price), stock=stock, **facts)


def test_candidates_follow_the_users_list_then_price_then_stock() -> None:
    offers = [
        offer("A", "2"), offer("B", "1"), offer("C", "1", Stock.LOW), offer("D", None), offer("E", "0.5", Stock.NONE),
    ]  # fmt: skip
    assert [one.gpu for one in candidates(offers, [])] == ["E", "B", "C", "A", "D"]
    assert [one.gpu for one in candidates(offers, ["C", "A"])] == ["C", "A"]
    assert candidates(offers, ["Z", "A"])[0] == Candidate("Z", Cloud.SECURE)


def test_candidates_are_priced_for_all_their_gpus_and_fit_cloud_count_and_data_centre() -> None:
    offers = [
        offer("A", "2", data_centers={"EU": Stock.LOW, "US": Stock.HIGH}),
        offer("B", "1", max_count=1), offer("C", "1", cloud=Cloud.COMMUNITY),
    ]  # fmt: skip
    assert candidates(offers, [], count=2) == (Candidate("A", Cloud.SECURE, Decimal(4), Stock.HIGH),)
    assert candidates(offers, [], count=2, data_centers=["EU"])[0].stock is Stock.LOW
    assert candidates(offers, [], count=2, data_centers=["EU", "US"])[0].stock is Stock.HIGH
    spot = [offer("A", "2", spot_price=Decimal("0.9"))]
    assert candidates(spot, [], spot=True)[0].price == Decimal("0.9")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"volume_gb": None}, VolumelessStop),
        ({"volume_id": "v1"}, ConfigError),
        ({"gpu": None}, ConfigError),
        ({"gpu_count": 0}, ConfigError),
        ({"image": ""}, ConfigError),
        ({"disk_gb": 0}, ConfigError),
        ({"volume_gb": 5}, ConfigError),
        ({"env": {"PUBLIC_KEY": "x"}}, ConfigError),
        ({"env": {"A B": "x"}}, ConfigError),
        ({"env": {f"A{n}": "x" for n in range(50)}}, ConfigError),
    ],
)
async def test_what_cannot_work_or_keeps_nothing_unasked_is_refused_before_anything_is_sent(
    world: Rented, change: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await world.create(replace(SPEC, **change))
    assert world.sim.requests == [] and world.phases() == []
    check(replace(SPEC, volume_gb=None, ephemeral=True))


async def test_the_balance_must_cover_an_hour_of_the_dearest_candidate_and_all_that_runs(world: Rented) -> None:
    choices = (Candidate(OTHER, Cloud.SECURE, Decimal("0.40")), Candidate(GPU, Cloud.SECURE, Decimal("1.74")))
    found = await creating.estimate(world.provider, SPEC, choices)
    assert found.per_hour == Decimal("1.74") + Decimal(150) * Decimal("0.10") / 730
    assert found.notes == ()
    world.sim.set_balance("1.75")
    world.renew()  # the last client remembers the balance
    with pytest.raises(InsufficientFunds, match=r"\$1\.75"):
        await creating.estimate(world.provider, SPEC, choices)
    unpriced = await creating.estimate(world.provider, SPEC)
    assert unpriced.per_hour is None and "cost is not known" in unpriced.notes[0]


async def test_a_network_volume_decides_the_data_centre(world: Rented) -> None:
    volume = await world.provider.create_volume("data", 50, "EU-RO-1")
    spec = replace(SPEC, volume_gb=None, volume_id=volume.id)
    assert (await creating.estimate(world.provider, spec)).spec.data_centers == ("EU-RO-1",)
    with pytest.raises(ConfigError, match="lies in EU-RO-1, not in US-KS-2"):
        await creating.estimate(world.provider, replace(spec, data_centers=("US-KS-2",)))
    with pytest.raises(ConfigError, match="no network volume nothing"):
        await creating.estimate(world.provider, replace(spec, volume_id="nothing"))


# --- buying ------------------------------------------------------------------------------------------------------


async def test_a_pod_is_bought_once_with_our_key_a_journal_line_and_a_ledger_row(world: Rented) -> None:
    made = await world.create()
    (pod,) = world.sim.state.pods.values()
    assert (made.pod.id, made.adopted) == (pod.id, False)
    assert pod.env["PUBLIC_KEY"].startswith("ssh-ed25519 ")
    assert pod.name.startswith("maxcai-test-") and len(pod.name) == len("maxcai-test-") + 6
    (intent,) = world.journal.intents()
    assert (intent.phase, intent.facts["pod"], intent.facts["name"]) == (Phase.ACKED, pod.id, pod.name)
    assert spec_of(intent) == replace(SPEC, env={})
    (row,) = world.rows
    assert (row.session.pod_id, row.price, row.disk_gb, row.volume_gb) == (pod.id, Decimal("1.74"), 50, 100)


async def test_candidates_are_tried_in_order_until_one_is_to_be_had(world: Rented) -> None:
    world.sim.set_stock(GPU, 0)
    made = await world.create(choices=(Candidate(GPU, Cloud.SECURE), Candidate(OTHER, Cloud.SECURE)))
    assert made.pod.gpu == OTHER
    assert len(made.refused) == 1 and GPU in made.refused[0]
    assert world.phases() == [("pod.create", Phase.FAILED), ("pod.create", Phase.ACKED)]
    assert len({intent.facts["name"] for intent in world.journal.intents()}) == 2
    world.sim.set_stock(OTHER, 0)
    with pytest.raises(NoCapacity, match="None of 2 candidates"):
        await world.create(choices=(Candidate(GPU, Cloud.SECURE), Candidate(OTHER, Cloud.SECURE)))
    assert len(names(world)) == 1


async def test_when_every_candidate_breaks_a_rule_the_last_one_says_which(world: Rented) -> None:
    spec = replace(SPEC, data_centers=("NOWHERE-1",))
    with pytest.raises((RuleBroken, NoCapacity)):
        await world.create(spec, choices=(Candidate(GPU, Cloud.SECURE), Candidate(OTHER, Cloud.SECURE)))
    assert names(world) == []
    assert world.journal.open_intents() == []


@pytest.mark.parametrize("fault", ["timeout-after", "html-502-after", "truncated", "error-after"])
async def test_a_lost_create_reply_makes_no_second_pod(world: Rented, fault: str) -> None:
    world.sim.inject("create", fault)
    made = await world.create()
    assert made.adopted
    assert names(world) == [made.pod.name]
    assert sum(seen.method == "POST" and seen.path == "/v2/pods" for seen in world.sim.requests) == 1
    assert world.phases() == [("pod.create", Phase.ACKED)]
    assert [row.session.pod_id for row in world.rows] == [made.pod.id]


@pytest.mark.parametrize("fault", ["timeout-before", "html-502", "garbage", "empty"])
async def test_a_request_that_never_arrived_is_known_to_have_failed_after_a_minute(world: Rented, fault: str) -> None:
    world.sim.inject("create", fault)
    began = world.sim.clock()
    with pytest.raises(ProviderUnavailable, match="was not made"):
        await world.create()
    assert world.sim.clock() - began >= creating.LOST_S
    assert names(world) == [] and world.rows == []
    assert world.phases() == [("pod.create", Phase.FAILED)]
    assert not (await world.create()).adopted


async def test_nothing_is_bought_while_an_earlier_outcome_is_unknown(world: Rented) -> None:
    with pytest.raises(OutcomeUnknown):
        await _create_while_lists_fail(world)
    assert world.phases()[-1] == ("pod.create", Phase.UNKNOWN)
    with pytest.raises((Occupied, ProviderUnavailable)):
        await world.create()
    assert len(names(world)) == 1
    world.sim.clear_faults()
    second = await world.create()  # the first one is found and adopted, then the person gets the second one asked for
    assert not second.adopted
    assert [phase for _, phase in world.phases()].count(Phase.ACKED) == 2
    assert {row.session.pod_id for row in world.rows} == set(world.sim.state.pods)


async def _create_while_lists_fail(world: Rented) -> None:
    create = world.provider.create

    async def then_silence(name: str, spec: PodSpec) -> Pod:
        try:
            return await create(name, spec)
        finally:
            world.sim.inject("list", "503", times=None)

    world.sim.inject("create", "timeout-after")
    world.provider.create = then_silence  # type: ignore[method-assign]
    try:
        await world.create()
    finally:
        world.provider.create = create  # type: ignore[method-assign]


async def test_a_pod_that_shows_up_late_is_adopted_after_all(world: Rented) -> None:
    journal = world.journal
    intent = journal.intent("pod.create", provider="runpod", name="maxcai-late-000000", spec=describe(SPEC))
    journal.failed(intent, "not listed after the answer was lost")
    await world.provider.create("maxcai-late-000000", SPEC)
    await world.recover()
    assert world.phases() == [("pod.create", Phase.ACKED)]
    assert len(world.rows) == 1


async def test_pods_with_our_kind_of_name_and_no_journal_are_shown_as_strays_and_never_touched(world: Rented) -> None:
    made = await world.create()
    foreign = await world.provider.create("maxcai-other-abcdef", SPEC)
    await world.provider.create("somebody-elses", SPEC)
    pods = await world.recover()
    assert [pod.id for pod in creating.strays(pods, world.journal)] == [foreign.id]
    assert made.pod.id in {row.session.pod_id for row in world.rows}
    assert {row.session.pod_id for row in world.rows} == {pod.id for pod in pods}  # what costs is counted


# --- dying -------------------------------------------------------------------------------------------------------


class Dead(BaseException):
    """This process was killed."""


@pytest.mark.usefixtures("_mortal")
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("step", range(3))
async def test_death_around_any_journal_line_of_a_create_leaves_one_pod_or_none(
    world: Rented, monkeypatch: pytest.MonkeyPatch, step: int, after: bool
) -> None:
    count = iter(range(99))
    write = Journal._write

    def dying(self: Journal, *arguments: Any) -> None:
        at = next(count)
        if at > step or (at == step and not after):
            raise Dead
        write(self, *arguments)
        if at == step:
            raise Dead

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_write", dying)
        with pytest.raises(Dead):
            await world.create()
    made = names(world)
    assert len(made) <= 1
    for _ in range(3):
        await world.recover()
        await world.sim.advance(60)
    assert world.journal.open_intents() == []
    assert names(world) == made
    acked = [intent.facts["name"] for intent in world.journal.intents() if intent.phase is Phase.ACKED]
    assert acked == made
    assert len(world.rows) == len(made)
    assert not (await world.create()).adopted
    assert len(names(world)) == len(made) + 1


KILLED = """
import asyncio, os, signal, sys, time
from pathlib import Path
from remote.journal import Journal
from remote.renting import creating
from remote.pods.model import PodSpec
from remote.pods.runpod.provider import RunPodProvider

state_dir, moment = Path(sys.argv[1]), sys.argv[2]
provider = RunPodProvider(state_dir, time.time, os.environ)
create, write = RunPodProvider.create, Journal._write

def die():
    os.kill(os.getpid(), signal.SIGKILL)

async def creating_dies(self, name, spec):
    if moment == "before the request":
        die()
    pod = await create(self, name, spec)
    if moment == "before the answer":
        die()
    return pod

def writing_dies(self, intent, phase, *rest):
    write(self, intent, phase, *rest)
    if moment == f"after {phase}":
        die()

RunPodProvider.create, Journal._write = creating_dies, writing_dies
spec = PodSpec("runpod/x", "NVIDIA A40", volume_gb=20)
asyncio.run(creating.create(provider, spec, state_dir, time.time, word="dying"))
"""


@pytest.mark.parametrize(
    ("moment", "bought"),
    [("after intent", 0), ("before the request", 0), ("before the answer", 1), ("after acked", 1)],
)
async def test_kill_minus_9_at_any_moment_of_a_create_buys_no_second_pod_and_loses_none(
    world: Rented, moment: str, bought: int
) -> None:
    root = str(Path(lifecycle.__file__).parents[2])
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KILLED, str(world.state_dir), moment,
        env={**os.environ, **world.sim.environ(), "PYTHONPATH": root}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await child.communicate()
    assert child.returncode == -signal.SIGKILL, errors
    assert len(names(world)) == bought
    late = world.journal.intents()[0].at + 61  # its writer's clock was the real one
    for now in (late, late + 31):
        await lifecycle.recover(world.provider, world.state_dir, lambda now=now: now)
    assert world.phases() == [("pod.create", Phase.ACKED if bought else Phase.FAILED)]
    assert len(names(world)) == len(world.rows) == bought


async def test_what_a_living_process_is_buying_is_left_to_it(world: Rented) -> None:
    journal = world.journal
    intent = journal.intent("pod.create", provider="runpod", name="maxcai-x-000000", spec=describe(SPEC))
    journal.sent(intent)
    await world.sim.advance(3600)
    await world.recover()
    assert world.phases() == [("pod.create", Phase.SENT)]
    with pytest.raises(Occupied):
        await world.create()
    assert names(world) == []


# --- specs -------------------------------------------------------------------------------------------------------


def test_values_of_the_environment_are_not_in_the_journal_nor_in_the_hash() -> None:
    secret = replace(SPEC, env={"TOKEN": "hunter2hunter2"})
    assert "hunter2" not in str(describe(secret))
    assert spec_hash(secret) == spec_hash(replace(SPEC, env={"TOKEN": "other"})) != spec_hash(SPEC)
    assert spec_hash(SPEC) != spec_hash(replace(SPEC, bid=Decimal("0.3")))


def test_what_a_provider_does_not_tell_of_a_pod_is_known_from_its_order() -> None:
    bare = Pod("p", "n", "runpod", PodStatus.PULLING, "/workspace", "python3")
    full = completed(bare, SPEC)
    assert (full.gpu, full.gpu_count, full.disk_gb) == (GPU, 1, 50)
    assert (full.volume, full.volume_gb) == (VolumeKind.PERSISTENT, 100)
    told = replace(bare, volume=VolumeKind.NETWORK, volume_id="v", gpu_count=0, disk_gb=7)
    assert completed(told, SPEC) == replace(told, gpu=GPU)


async def test_two_creates_at_once_in_two_processes_take_turns(world: Rented) -> None:
    first = world.create()
    world.renew()
    both = await asyncio.gather(first, world.create())
    assert len({made.pod.id for made in both}) == len(names(world)) == len(world.rows) == 2

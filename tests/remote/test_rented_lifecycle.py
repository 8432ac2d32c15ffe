"""A rented pod from start to end: billed to the second, settled after any death, a blocked resume with ways out."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from rented import GPU, QUICK, SPEC, Rented, rented

import remote.journal
from remote.errors import BudgetError, GuardError, NoCapacityOnHost, RemoteError
from remote.guard.rules import Act, Money, Rules, decide
from remote.journal import Journal, Phase
from remote.money import account, billing
from remote.money.costs import Ledger
from remote.pods.model import Pod, PodSpec, PodStatus, VolumeKind
from remote.renting import creating, lifecycle, resuming
from remote.renting.permits import may_stop, may_terminate
from remote.renting.reducer import Lack, Snapshot, reduce
from remote.renting.resuming import Blocked, Way
from tests.sim.runpod_api.harness import Simulator
from tests.sim.runpod_api.quirks import Quirks

HOUR = 3600.0


@pytest.fixture
async def world(state_dir: Path) -> AsyncIterator[Rented]:
    async with rented(state_dir) as rent:
        yield rent


async def restart(world: Rented, pod_id: str) -> Pod:
    return await lifecycle.restart(world.provider, pod_id, world.state_dir, world.sim.clock, sleep=world.sim.clock.leap)


async def terminate(world: Rented, pod: Pod) -> None:
    permit = may_terminate(pod, (), pod.name)
    await lifecycle.terminate(world.provider, permit, world.state_dir, world.sim.clock, sleep=world.sim.clock.leap)


# --- money -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stop_s", [0.0, 7.3])
async def test_the_ledger_equals_the_bill_within_a_second_a_session(state_dir: Path, stop_s: float) -> None:
    sim = Simulator(boot=dataclasses.replace(QUICK, pull=11.7, stop=stop_s))
    async with rented(state_dir, sim) as world:
        pod = await world.created()
        await sim.advance(1234.56)
        await world.stop(pod.id)
        await sim.advance(2 * HOUR)
        await world.start(pod.id)
        await sim.advance(5000.9)
        await world.stop(pod.id)
        await sim.advance(HOUR)
        found = await billing.reconcile(world.provider, state_dir, sim.clock)
        assert found is not None and found.stray == ()
        assert len(world.rows) == 2
        for row in world.rows:
            assert row.billed is not None and row.billed.final
            local = row.compute(sim.clock())
            assert local is not None
            assert abs(row.billed.compute - local) <= Decimal("1.74") / 3600, row
        costs = Ledger(state_dir).costs(sim.clock())
        assert not costs.estimated and costs.unknown == 0
        assert abs(costs.storage - found.storage) < Decimal("0.0025")  # billed every five minutes


async def test_a_bill_that_differs_is_shown_beside_our_figure_and_counts_once_it_is_final(state_dir: Path) -> None:
    sim = Simulator(
        boot=dataclasses.replace(QUICK, pull=60.0), quirks=dataclasses.replace(Quirks(), bill_after_pull=False)
    )
    async with rented(state_dir, sim) as world:
        pod = await world.created()
        await world.stop(pod.id)
        before = Ledger(state_dir).costs(sim.clock())
        assert before.estimated and before.billed == before.difference == 0
        await sim.advance(HOUR)
        await billing.reconcile(world.provider, state_dir, sim.clock)
        costs = Ledger(state_dir).costs(sim.clock())
        assert abs(costs.difference / (Decimal("1.74") / 3600) - 61) < 5  # the pull was billed after all
        assert Ledger(state_dir).session_cost(pod, sim.clock()) == costs.billed == costs.local + costs.difference


async def test_a_restart_is_two_rows_that_together_equal_the_bill(world: Rented) -> None:
    pod = await world.created()
    await world.sim.advance(1000.25)
    await restart(world, pod.id)
    await world.sim.advance(500.5)
    await world.stop(pod.id)
    await world.sim.advance(HOUR)
    await billing.reconcile(world.provider, world.state_dir, world.sim.clock)
    first, second = world.rows
    assert first.stopped_at == second.session.started_at == second.began
    billed = sum(row.billed.compute for row in world.rows if row.billed)
    local = sum((row.compute(0.0) or Decimal(0)) for row in world.rows)
    assert abs(billed - local) <= 2 * Decimal("1.74") / 3600


async def test_a_stop_that_nobody_here_saw_is_dated_by_the_providers_log(world: Rented) -> None:
    pod = await world.created()
    await world.sim.advance(1000)
    stopped_at = world.sim.clock()
    await world.sim.kill(pod.id)  # its own watchdog, or the console
    await world.sim.advance(8 * HOUR)
    await lifecycle.look(world.provider, world.state_dir, world.sim.clock)
    (row,) = world.rows
    assert row.stopped_at is not None and abs(row.stopped_at - stopped_at) <= 1.0
    assert not row.bound
    kept = row.kept(world.sim.clock())
    assert kept is not None and abs(kept - 8 * 100 * Decimal("0.20") / 730) < Decimal("0.0001")


async def test_a_pod_that_was_stopped_before_we_told_it_to_is_not_billed_until_our_stop(world: Rented) -> None:
    pod = await world.created()
    await world.sim.advance(1000)
    stopped_at = world.sim.clock()
    await world.sim.kill(pod.id)
    await world.sim.advance(8 * HOUR)
    world.sim.inject("logs", "503", times=None)
    await world.stop(pod.id)
    (row,) = world.rows
    assert row.bound and "upper bound" in (row.why or "")  # nobody could tell
    assert row.stopped_at is not None and row.stopped_at > stopped_at


async def test_terminating_ends_the_row_and_the_disk(world: Rented) -> None:
    pod = await world.created()
    await world.sim.advance(600)
    await terminate(world, pod)
    (row,) = world.rows
    assert not row.open and not row.keeps
    assert await world.provider.list() == []
    assert world.phases()[-1] == ("pod.terminate", Phase.ACKED)
    total = Ledger(world.state_dir).total(world.sim.clock())
    await world.sim.advance(100 * HOUR)
    assert Ledger(world.state_dir).total(world.sim.clock()) == total


# --- guards ------------------------------------------------------------------------------------------------------


async def test_what_was_overridden_is_in_the_journal_before_the_request(world: Rented) -> None:
    pod = await world.created()
    permit = may_stop(pod, ("adapter.safetensors",), override=True)
    await lifecycle.stop(world.provider, pod.id, world.state_dir, world.sim.clock, permit=permit)
    assert world.journal.intents()[-1].facts["overridden"] == ["adapter.safetensors"]
    end = may_terminate(pod, None, pod.name, override=True)
    await lifecycle.terminate(world.provider, end, world.state_dir, world.sim.clock)
    assert world.journal.intents()[-1].facts["overridden"] == ["files that nobody could look for"]


async def test_a_permit_to_stop_is_no_permit_to_terminate(world: Rented) -> None:
    pod = await world.created()
    with pytest.raises(GuardError, match="one to stop"):
        await lifecycle.terminate(world.provider, may_stop(pod, ()), world.state_dir, world.sim.clock)
    assert len(await world.provider.list()) == 1


# --- dying -------------------------------------------------------------------------------------------------------


class Dead(BaseException):
    """This process was killed."""


ACTS: dict[str, Callable[[Rented, Pod], Awaitable[Any]]] = {
    "start": lambda world, pod: world.start(pod.id),
    "stop": lambda world, pod: world.stop(pod.id),
    "restart": lambda world, pod: restart(world, pod.id),
    "terminate": terminate,
}


@pytest.mark.parametrize("step", range(3))
@pytest.mark.parametrize("op", list(ACTS))
async def test_death_after_any_journal_line_is_settled_by_looking_and_nothing_is_done_twice(
    world: Rented, monkeypatch: pytest.MonkeyPatch, op: str, step: int
) -> None:
    monkeypatch.setattr(remote.journal, "identify", lambda pid: None)
    pod = await world.created()
    if op == "start":
        await world.stop(pod.id)
    before = len(world.sim.requests)
    lines, write = iter(range(99)), Journal._write

    def dying(self: Journal, *arguments: Any) -> None:
        write(self, *arguments)
        if next(lines) >= step:
            raise Dead

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "_write", dying)
        with pytest.raises(Dead):
            await ACTS[op](world, pod)
    for _ in range(3):
        await world.sim.advance(lifecycle.WAIT_S)
        await world.recover()
    assert world.journal.open_intents() == []
    asked = [seen for seen in world.sim.requests[before:] if seen.method in ("POST", "DELETE", "PATCH")]
    assert len(asked) == (1 if step == 2 else 0)
    intent = world.journal.intents()[-1]
    assert (intent.op, intent.phase) == (f"pod.{op}", Phase.ACKED if step == 2 else Phase.FAILED)
    open_rows = [row for row in world.rows if row.open]
    running = [one for one in await world.provider.list() if not one.status.over]
    assert [row.session for row in open_rows] == [one.session for one in running]


async def chaos(world: Rented, seed: int, steps: int) -> int:
    """Random acts under random faults. Returns how many faults were ordered; each waits for its next request."""
    chance = random.Random(seed)
    faults = ["429", "503", "html-502", "html-502-after", "truncated", "garbage", "empty", "timeout-before",
              "timeout-after", "error", "error-after"]  # fmt: skip
    ordered = 0
    for _ in range(steps):
        operation = chance.choice(["create", "list", "get", "start", "stop", "restart", "terminate", "logs"])
        world.sim.inject(operation, chance.choice(faults), times=(times := chance.randint(1, 3)))
        ordered += times
        pods = [pod for pod in world.sim.state.pods.values() if pod.status.value != "TERMINATED"]
        act = chance.choice(["create", *ACTS]) if len(pods) < 3 else chance.choice(list(ACTS))
        try:
            if act == "create":
                await world.create()
            elif pods:
                pod = await world.provider.get(chance.choice(pods).id)
                await ACTS[act](world, pod)
        except RemoteError:
            pass
        await world.sim.advance(chance.random() * 100)
    return ordered


async def check_after_chaos(world: Rented) -> None:
    """No second pod, no orphan, no lost row: by the simulator's own books."""
    world.sim.clear_faults()
    for _ in range(4):
        await world.sim.advance(lifecycle.WAIT_S)
        await world.recover()
    assert world.journal.open_intents() == []
    named = [intent.facts["name"] for intent in world.journal.intents() if intent.op == "pod.create"]
    acked = {
        intent.facts["pod"]
        for intent in world.journal.intents()
        if intent.op == "pod.create" and intent.phase is Phase.ACKED
    }
    made = list(world.sim.state.pods.values())
    assert len(named) == len(set(named)) and len({pod.name for pod in made}) == len(made)
    assert {pod.id for pod in made} <= acked
    assert creating.strays(await world.provider.list(), world.journal) == []
    assert {charge.pod_id for charge in world.sim.state.books.charges if charge.gpu} <= {
        row.session.pod_id for row in world.rows
    }
    running = {pod.session for pod in await world.provider.list() if not pod.status.over}
    assert {row.session for row in world.rows if row.open} == running


@pytest.mark.parametrize("seed", range(2))
async def test_random_faults_make_no_second_pod_no_orphan_and_lose_no_row(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(remote.journal, "identify", lambda pid: None)
    async with rented(state_dir, Simulator(balance=100_000, seed=seed, boot=QUICK)) as world:
        await chaos(world, seed, 8)
        await check_after_chaos(world)


@pytest.mark.slow
async def test_a_thousand_random_faults_make_no_second_pod_no_orphan_and_lose_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote.journal, "identify", lambda pid: None)
    ordered = 0
    for seed in range(20):
        async with rented(tmp_path / str(seed), Simulator(balance=100_000, seed=seed, boot=QUICK)) as world:
            ordered += await chaos(world, 100 + seed, 50)
            await check_after_chaos(world)
    assert ordered >= 1000


# --- blocked resumes ---------------------------------------------------------------------------------------------


def take_gpus(world: Rented) -> None:
    world.sim.set_stock(GPU, 0)


async def test_a_blocked_start_offers_waiting_a_rescue_and_a_new_pod_and_says_what_each_loses(world: Rented) -> None:
    pod = await world.created()
    await world.stop(pod.id)
    take_gpus(world)
    for count in (1, 2):
        with pytest.raises(NoCapacityOnHost):
            await world.start(pod.id)
        stopped = await world.provider.get(pod.id)
        found = resuming.blocked(stopped, world.journal)
        assert found is not None
        assert (found.attempts, found.next_try - found.last) == (count, (60.0, 120.0)[count - 1])
    assert [choice.way for choice in found.choices] == [Way.WAIT, Way.RESCUE, Way.NEW_POD]
    new = found.choices[-1]
    assert "begins empty" in new.loses and new.spec == replace(SPEC, env={})
    snapshot = Snapshot(world.sim.clock(), tuple(await world.provider.list()))
    (view,) = reduce([], snapshot, {}, world.journal.intents(), world.sim.clock())
    assert (view.status, view.next_try) == (PodStatus.RESUME_BLOCKED, found.next_try)
    assert all(not row.open for row in world.rows)
    world.sim.set_stock(GPU, 1)
    running = await world.start(pod.id)
    assert resuming.blocked(running, world.journal) is None


async def test_on_a_network_volume_a_new_pod_and_a_rescue_lose_nothing(world: Rented) -> None:
    volume = await world.provider.create_volume("data", 50, "US-KS-2")
    spec = replace(SPEC, volume_gb=None, volume_id=volume.id, data_centers=("US-KS-2",))
    made = await world.create(spec)
    choices = resuming.choices(replace(made.pod, status=PodStatus.STOPPED), world.journal)
    assert [choice.way for choice in choices] == [Way.WAIT, Way.NEW_POD, Way.RESCUE]
    assert all(choice.loses == "" for choice in choices)
    new, rescue = choices[1].spec, choices[2].spec
    assert new is not None and new.volume_id == volume.id
    assert rescue is not None and (rescue.gpu, rescue.volume_id) == (None, volume.id)
    foreign = replace(made.pod, id="foreign")
    guessed = resuming.ordered(foreign, world.journal)
    assert isinstance(guessed, PodSpec)
    assert (guessed.volume_id, guessed.gpu, guessed.volume_gb) == (volume.id, GPU, None)
    assert resuming.ordered(replace(foreign, volume=None), world.journal) is None
    assert made.pod.volume is VolumeKind.NETWORK


async def test_a_rescue_pod_without_a_gpu_is_rented_on_the_same_network_volume(world: Rented) -> None:
    volume = await world.provider.create_volume("data", 50, "US-KS-2")
    made = await world.create(replace(SPEC, volume_gb=None, volume_id=volume.id, data_centers=("US-KS-2",)))
    await world.stop(made.pod.id)
    rescue = resuming.choices(await world.provider.get(made.pod.id), world.journal)[2].spec
    assert rescue is not None
    saved = (await world.create(rescue)).pod
    pod = await lifecycle.await_address(world.provider, saved, world.sim.clock, sleep=world.sim.clock.leap)
    assert (pod.gpu, pod.gpu_count, pod.volume_id, pod.status) == (None, 0, volume.id, PodStatus.RUNNING)
    price = pod.price_per_hour
    assert price is not None and 0 < price < 1
    assert {row.session.pod_id for row in world.rows if row.open} == {pod.id}


async def test_a_spot_pod_that_was_outbid_starts_again_by_its_bid(world: Rented) -> None:
    pod = (await world.create(replace(SPEC, bid=Decimal("1.50")))).pod
    await lifecycle.await_address(world.provider, pod, world.sim.clock, sleep=world.sim.clock.leap)
    await world.sim.evict(pod.id)
    assert (await world.provider.get(pod.id)).status is PodStatus.STOPPED
    world.sim.state.pods[pod.id].bid = None  # so that the test sees who sets it
    world.sim.clock.advance(60)
    again = await world.start(pod.id)
    assert (again.id, again.status) == (pod.id, PodStatus.RUNNING)
    assert world.sim.state.pods[pod.id].bid == Decimal("1.5")
    assert world.phases()[-1] == ("pod.start", Phase.ACKED)
    assert [row.open for row in world.rows] == [False, True]


async def test_waiting_for_the_machine_tries_after_1_2_5_and_then_every_10_minutes(world: Rented) -> None:
    pod = await world.created()
    await world.stop(pod.id)
    take_gpus(world)
    told: list[Blocked] = []

    def waiting(found: Blocked) -> None:
        told.append(found)
        if len(told) == 5:
            world.sim.set_stock(GPU, 1)

    async def permitted() -> None:
        asked.append(world.sim.clock())

    asked: list[float] = []
    running = await resuming.keep_trying(
        world.provider, pod.id, world.state_dir, world.sim.clock, waiting=waiting, permitted=permitted,
        sleep=world.sim.clock.leap,
    )  # fmt: skip
    assert len(asked) == 6
    assert running.status is PodStatus.RUNNING
    assert [round(found.next_try - found.last) for found in told] == [60, 120, 300, 600, 600]
    assert all(found.pod.status is PodStatus.RESUME_BLOCKED for found in told)
    await world.stop(pod.id)
    take_gpus(world)
    with pytest.raises(NoCapacityOnHost):
        await resuming.keep_trying(
            world.provider, pod.id, world.state_dir, world.sim.clock, waiting=lambda _: None,
            permitted=permitted, sleep=world.sim.clock.leap, tries=2,
        )  # fmt: skip


async def test_no_further_try_is_made_once_money_no_longer_allows_it(world: Rented) -> None:
    pod = await world.created()
    await world.stop(pod.id)
    take_gpus(world)

    told: list[Blocked] = []

    async def permitted() -> None:
        if told:
            raise BudgetError("the budget for a day is used up")

    def waiting(found: Blocked) -> None:
        told.append(found)
        world.sim.set_stock(GPU, 1)

    with pytest.raises(BudgetError):
        await resuming.keep_trying(
            world.provider, pod.id, world.state_dir, world.sim.clock, waiting=waiting, permitted=permitted,
            sleep=world.sim.clock.leap,
        )  # fmt: skip
    assert (await world.provider.get(pod.id)).status.over


async def test_a_start_without_a_gpu_is_degraded_and_not_ready(state_dir: Path) -> None:
    quirks = Quirks(zero_gpu_start=True, zero_gpu_shown=True)
    async with rented(state_dir, Simulator(quirks=quirks, boot=QUICK)) as world:
        pod = await world.created()
        await world.stop(pod.id)
        take_gpus(world)
        await world.start(pod.id)
        snapshot = Snapshot(world.sim.clock(), tuple(await world.provider.list()))
        (view,) = reduce([], snapshot, {}, world.journal.intents(), world.sim.clock())
        assert (view.status, view.lack) == (PodStatus.DEGRADED, Lack.GPU)


# --- the end of the money ----------------------------------------------------------------------------------------


async def test_the_end_of_the_money_is_told_an_hour_before_and_what_it_did_is_shown_as_it_is(world: Rented) -> None:
    volume = await world.provider.create_volume("data", 50, "US-KS-2")
    local = (await world.create()).pod
    network = (await world.create(replace(SPEC, volume_gb=None, volume_id=volume.id))).pod
    await world.sim.advance(60)
    pods = await lifecycle.look(world.provider, world.state_dir, world.sim.clock)

    async def warnings(balance: str) -> dict[str, str]:
        world.sim.set_balance(balance)
        world.renew()  # the last client remembers the balance
        money = await account.read(world.provider, world.state_dir, world.sim.clock, pods)
        found = decide(pods, Rules(), {}, Money(runway=money.runway), world.sim.clock(), {local.id, network.id})
        assert all(one.act is Act.WARN for one in found)
        return {one.pod.id: one.why for one in found}

    assert await warnings("100") == {}
    hour, quarter = await warnings("3.00"), await warnings("0.80")
    assert "lasts 51 more minutes" in hour[local.id] and "lasts 14 more minutes" in quarter[local.id]
    assert "terminated" in hour[local.id] and "stopped" in hour[network.id] and "terminated" not in hour[network.id]

    views = reduce([], Snapshot(world.sim.clock(), tuple(pods)), {}, world.journal.intents(), world.sim.clock())
    for _ in range(2):
        await world.sim.advance(1800)
        pods = await lifecycle.look(world.provider, world.state_dir, world.sim.clock)
        now = world.sim.clock()
        views = reduce(views, Snapshot(now, tuple(pods)), {}, world.journal.intents(), now)
    assert {view.key: view.status for view in views} == {
        local.id: PodStatus.GONE, network.id: PodStatus.STOPPED
    }  # fmt: skip
    assert all(not row.open and not row.keeps for row in world.rows)

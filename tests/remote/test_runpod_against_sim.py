"""The provider against the simulator: real HTTP, a pod's whole life, and every fault that can be ordered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from remote.errors import (
    AccessDenied,
    ApiRetired,
    AuthError,
    Conflict,
    InsufficientFunds,
    NoCapacity,
    NoCapacityOnHost,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RuleBroken,
)
from remote.pods.model import Cloud, PodSpec, PodStatus, Stock, VolumeKind
from remote.pods.runpod.client import Timing
from remote.pods.runpod.errors import Unanswered
from remote.pods.runpod.provider import RunPodProvider
from tests.sim.runpod_api.faults import KINDS, Fault
from tests.sim.runpod_api.harness import Simulator

A100 = "NVIDIA A100-SXM4-80GB"
SPEC = PodSpec(image="runpod/pytorch:test", gpu=A100, volume_gb=20, env={"PUBLIC_KEY": "ssh-ed25519 AAAA maxcai"})
BOOT_S = 120.0
SHORT = Timing(read_s=0.5, create_s=0.5, stream_idle_s=0.5, first_line_s=2.0, quiet_s=0.3)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as sim:
        yield sim


@pytest.fixture
async def runpod(sim: Simulator, tmp_path: Path) -> AsyncIterator[RunPodProvider]:
    made = reach(sim, tmp_path)
    yield made
    await made.aclose()


def reach(sim: Simulator, folder: Path, key: str | None = None) -> RunPodProvider:
    environ = {**sim.environ(), "RUNPOD_API_KEY": key or sim.key}
    return RunPodProvider(folder / ".maxcai", sim.clock, environ, timing=SHORT, sleep=sim.clock.leap)


def sent(sim: Simulator, operation: str) -> int:
    return sum(operation in seen.names for seen in sim.requests)


async def running(sim: Simulator, runpod: RunPodProvider, spec: PodSpec = SPEC, name: str = "maxcai-one") -> str:
    pod = await runpod.create(name, spec)
    await sim.advance(BOOT_S)
    assert (await runpod.get(pod.id)).status is PodStatus.RUNNING
    return pod.id


async def test_a_pod_lives_from_its_create_to_its_end(sim: Simulator, runpod: RunPodProvider) -> None:
    assert await runpod.list() == []
    pod = await runpod.create("maxcai-one", SPEC)
    assert (pod.status, pod.provider_status, pod.endpoint) == (PodStatus.PULLING, "RUNNING", None)
    assert pod.price_per_hour == Decimal("1.74")
    assert (pod.volume, pod.volume_gb, pod.root) == (VolumeKind.PERSISTENT, 20, "/workspace")
    states = {pod.status}
    for _ in range(60):
        await sim.advance(2)
        pod = await runpod.get(pod.id)
        states.add(pod.status)
    assert states == {PodStatus.PULLING, PodStatus.BOOTING, PodStatus.RUNNING}
    first = pod
    assert first.endpoint is not None
    assert first.session is not None
    assert [found.id for found in await runpod.list()] == [pod.id]

    stopped = await runpod.stop(pod.id)
    assert stopped.status in (PodStatus.STOPPED, PodStatus.STOPPING)
    assert (await runpod.get(pod.id)).status is PodStatus.STOPPED
    assert (await runpod.stop(pod.id)).status is PodStatus.STOPPED  # again: nothing changes

    await sim.advance(60)
    assert (await runpod.start(pod.id)).status is PodStatus.PULLING
    await sim.advance(BOOT_S)
    second = await runpod.get(pod.id)
    assert second.status is PodStatus.RUNNING
    assert second.session != first.session
    assert (await runpod.start(pod.id)).session == second.session  # again: nothing changes

    await runpod.restart(pod.id)
    await sim.advance(BOOT_S)
    assert (await runpod.get(pod.id)).status is PodStatus.RUNNING

    await runpod.terminate(pod.id)
    await runpod.terminate(pod.id)  # gone is no error
    with pytest.raises(NotFound):
        await runpod.get(pod.id)
    assert await runpod.list() == []


async def test_a_list_of_many_pods_comes_whole_over_its_pages(
    sim: Simulator, runpod: RunPodProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("remote.pods.runpod.provider._PAGE", {"limit": "2"})
    sim.set_stock(A100, 100)
    made = [(await runpod.create(f"maxcai-{number}", SPEC)).id for number in range(5)]
    assert sorted(pod.id for pod in await runpod.list()) == sorted(made)
    assert sent(sim, "list") == 3


LOSING = [kind for kind in KINDS if kind not in ("latency", "429", "drop-sse", "retired")]


@pytest.mark.parametrize("kind", LOSING)
async def test_a_create_is_never_sent_twice_and_what_it_made_can_be_found(
    sim: Simulator, runpod: RunPodProvider, kind: str
) -> None:
    fault = Fault(kind, seconds=2.0)
    sim.inject("create", fault)
    with pytest.raises(OutcomeUnknown) as caught:
        await runpod.create("maxcai-one", SPEC)
    assert caught.value.unconfirmed
    assert sent(sim, "create") == 1
    assert len([pod for pod in await runpod.list() if pod.name == "maxcai-one"]) == (0 if fault.before else 1)


@pytest.mark.parametrize("kind", LOSING)
async def test_stop_start_and_terminate_take_effect_once_through_a_lossy_line(
    sim: Simulator, runpod: RunPodProvider, kind: str
) -> None:
    pod_id = await running(sim, runpod)
    fault = Fault(kind, seconds=2.0)
    sim.inject("stop", fault)
    await runpod.stop(pod_id)
    assert (await runpod.get(pod_id)).status is PodStatus.STOPPED
    before = sent(sim, "start")
    sim.inject("start", fault)
    await runpod.start(pod_id)
    assert sent(sim, "start") - before == (2 if fault.before else 1)  # looked at before it is sent again
    sim.inject("terminate", fault)
    await runpod.terminate(pod_id)
    assert await runpod.list() == []


@pytest.mark.parametrize("kind", LOSING)
async def test_reads_get_through_a_lossy_line(sim: Simulator, runpod: RunPodProvider, kind: str) -> None:
    pod_id = await running(sim, runpod)
    for operation in ("get", "list"):
        sim.inject(operation, Fault(kind, seconds=2.0), times=2)
    assert (await runpod.get(pod_id)).id == pod_id
    assert [pod.id for pod in await runpod.list()] == [pod_id]


async def test_no_request_leaves_within_a_retry_after(sim: Simulator, runpod: RunPodProvider) -> None:
    sim.set_quota(minute=3, hour=1000, day=1000)
    for _ in range(8):
        await runpod.list()
    refused = [seen for seen in sim.requests if seen.status == 429]
    assert 1 <= len(refused) <= 3
    for seen in refused:
        following = next(later for later in sim.requests if later.at > seen.at or later is sim.requests[-1])
        assert following.at - seen.at >= 1
    assert runpod.budget.windows
    sim.set_quota(minute=1000, hour=1)
    with pytest.raises(RateLimited) as caught:
        await runpod.list()
    assert (caught.value.retry_after or 0) > 60
    count = len(sim.requests)
    for _ in range(5):
        with pytest.raises(RateLimited):
            await runpod.list()
    assert len(sim.requests) == count


async def test_keys_that_do_not_do_are_told(sim: Simulator, tmp_path: Path) -> None:
    stranger = reach(sim, tmp_path, "rpa_" + "x" * 40)
    with pytest.raises(AuthError, match="key") as caught:
        await stranger.list()
    assert "x" * 40 not in str(vars(caught.value))
    reader = reach(sim, tmp_path, sim.read_only_key)
    assert await reader.list() == []
    with pytest.raises(AccessDenied):
        await reader.create("maxcai-one", SPEC)
    for made in (stranger, reader):
        await made.aclose()


async def test_an_api_out_of_service_is_told_and_the_other_goes_on(sim: Simulator, runpod: RunPodProvider) -> None:
    assert (await runpod.balance()).balance == 100
    sim.retire("graphql")
    await sim.advance(61)
    with pytest.raises(ApiRetired, match="update"):
        await runpod.balance()
    assert runpod.loss is not None
    assert await runpod.list() == []
    sim.retire("v2")
    with pytest.raises(ApiRetired, match="update"):
        await runpod.list()


async def test_no_machine_and_no_money_are_told_apart(sim: Simulator, runpod: RunPodProvider) -> None:
    sim.set_stock(A100, 0)
    with pytest.raises(NoCapacity) as caught:
        await runpod.create("maxcai-one", SPEC)
    assert not isinstance(caught.value, NoCapacityOnHost)
    sim.set_stock(A100, 8)
    sim.set_balance("0.10")
    with pytest.raises(InsufficientFunds):
        await runpod.create("maxcai-one", SPEC)
    assert await runpod.list() == []


async def test_a_stopped_pods_machine_may_have_no_free_gpu(sim: Simulator, runpod: RunPodProvider) -> None:
    pod_id = await running(sim, runpod)
    await runpod.stop(pod_id)
    sim.set_stock(A100, 0)
    with pytest.raises(NoCapacityOnHost):
        await runpod.start(pod_id)
    assert (await runpod.get(pod_id)).status is PodStatus.STOPPED
    sim.quirks.set(zero_gpu_start=True, zero_gpu_shown=True)
    await runpod.start(pod_id)
    await sim.advance(BOOT_S)
    assert (await runpod.get(pod_id)).gpu_count == 0


async def test_a_locked_pod_is_reconciled_and_told(sim: Simulator, runpod: RunPodProvider) -> None:
    pod_id = await running(sim, runpod)
    sim.pod(pod_id).locked = True
    for act in (runpod.stop, runpod.terminate):
        before = len(sim.requests)
        with pytest.raises(Conflict, match="It is RUNNING"):
            await act(pod_id)
        assert len(sim.requests) - before == 2


async def test_a_stopped_pod_cannot_restart(sim: Simulator, runpod: RunPodProvider) -> None:
    pod_id = await running(sim, runpod)
    await runpod.stop(pod_id)
    with pytest.raises(Conflict):
        await runpod.restart(pod_id)


@pytest.mark.parametrize("quirk", ["provisioning_example", "runtime_missing"])
async def test_spellings_of_a_pod_that_is_coming_up_are_all_understood(
    sim: Simulator, runpod: RunPodProvider, quirk: str
) -> None:
    sim.quirks.set(**{quirk: True, "create_replies_running": False})
    pod = await runpod.create("maxcai-one", SPEC)
    assert pod.status is PodStatus.PULLING
    await sim.advance(BOOT_S)
    assert (await runpod.get(pod.id)).status is PodStatus.RUNNING


async def test_the_log_is_collected_and_followed_over_breaks(sim: Simulator, runpod: RunPodProvider) -> None:
    pod_id = await running(sim, runpod)
    texts = [line.text for line in await runpod.log_lines(pod_id)]
    assert texts
    stamped = await runpod.logs(pod_id)
    assert all(line.endswith(text) and line[4] == "-" for line, text in zip(stamped, texts, strict=True))
    sim.inject("logs", Fault("drop-sse", events=1), times=2)
    followed = []
    async with aclosing(runpod.follow_logs(pod_id)) as lines:
        async for line in lines:
            followed.append(line.text)
            if len(followed) == len(texts):
                break
    assert followed == texts
    sim.quirks.set(last_event_id_repeats=True)
    sim.inject("logs", Fault("drop-sse", events=2), times=3)
    again = []
    async with aclosing(runpod.follow_logs(pod_id)) as lines:
        async for line in lines:
            again.append(line.text)
            if len(again) == min(len(texts), 4):
                break
    assert again == texts[: len(again)]
    with pytest.raises(NotFound):
        await runpod.logs("nosuchpod")


async def test_the_catalogue_tells_prices_and_stock(sim: Simulator, runpod: RunPodProvider) -> None:
    sim.set_stock(A100, 0, cloud="COMMUNITY")
    offers = {(offer.gpu, offer.cloud): offer for offer in await runpod.catalog()}
    secure, community = offers[A100, Cloud.SECURE], offers[A100, Cloud.COMMUNITY]
    assert (secure.price, community.price) == (Decimal("1.74"), Decimal("1.39"))
    assert community.stock is Stock.NONE
    assert secure.stock not in (None, Stock.NONE)
    assert secure.memory_gb == 80
    assert ("NVIDIA H100 80GB HBM3", Cloud.COMMUNITY) not in offers


async def test_a_network_volume_is_made_and_used(sim: Simulator, runpod: RunPodProvider) -> None:
    volume = await runpod.create_volume("models", 50, "EU-RO-1")
    assert await runpod.volumes() == [volume]
    spec = replace(SPEC, volume_gb=None, volume_id=volume.id, data_centers=("EU-RO-1",), min_cuda="12.8")
    pod_id = await running(sim, runpod, spec)
    pod = await runpod.get(pod_id)
    assert (pod.volume, pod.volume_id, pod.data_center) == (VolumeKind.NETWORK, volume.id, "EU-RO-1")
    with pytest.raises(RuleBroken):
        await runpod.create_volume("models", 50, "EU-NOWHERE-9")


async def test_a_spot_pod_is_rented_by_the_older_api(sim: Simulator, runpod: RunPodProvider) -> None:
    pod = await runpod.create("maxcai-spot", replace(SPEC, bid=Decimal("1.50"), min_cuda="12.8", env={"A": 'q"\n{}'}))
    assert pod.spot is True
    assert sim.pod(pod.id).env["A"] == 'q"\n{}'
    assert sent(sim, "create") == 1
    await sim.advance(BOOT_S)
    assert (await runpod.get(pod.id)).status is PodStatus.RUNNING
    await sim.evict(pod.id)
    await sim.advance(30)
    assert (await runpod.get(pod.id)).status is PodStatus.STOPPED


async def test_what_is_billed_and_left_is_read_to_the_cent(sim: Simulator, runpod: RunPodProvider) -> None:
    begin = sim.clock()
    pod_id = await running(sim, runpod)
    await sim.advance(2 * 3600)
    records = await runpod.billing(begin, sim.clock() + 3600, pod_id)
    assert {record.pod_id for record in records} == {pod_id}
    billed = sum((record.total or Decimal(0) for record in records), Decimal(0))
    assert billed > 2 * Decimal("1.74")
    balance = await runpod.balance()
    assert balance.balance is not None
    assert balance.spend_per_hour is not None
    assert abs(100 - billed - balance.balance) < Decimal("0.02")
    assert balance.spend_per_hour >= Decimal("1.74")


async def test_nobody_there_is_unreachable(sim: Simulator, tmp_path: Path) -> None:
    environ = {**sim.environ(), "MAXCAI_RUNPOD_URL": "http://127.0.0.1:9"}
    nobody = RunPodProvider(tmp_path / ".maxcai", sim.clock, environ, timing=SHORT, sleep=sim.clock.leap)
    for act in (nobody.list(), nobody.stop("p"), nobody.create("maxcai-one", SPEC), nobody.logs("p"), nobody.balance()):
        with pytest.raises(ProviderUnavailable) as caught:
            await act
        assert caught.value.exit_code == 4
        assert not caught.value.unconfirmed
    await nobody.aclose()


async def test_a_stop_that_is_never_answered_stays_an_open_question(sim: Simulator, runpod: RunPodProvider) -> None:
    pod_id = await running(sim, runpod)
    sim.inject("stop", "html-502", times=None)
    with pytest.raises(Unanswered):
        await runpod.stop(pod_id)
    assert sent(sim, "stop") == 4


async def test_no_secret_comes_back_in_an_error(sim: Simulator, runpod: RunPodProvider) -> None:
    secret = "swordfish-of-the-pod"
    sim.inject("create", Fault("error", status=422, detail=f"env TOKEN={secret} and {sim.key}"))
    with pytest.raises(ProviderError) as caught:
        await runpod.create("maxcai-one", replace(SPEC, env={"TOKEN": secret}))
    shown = f"{caught.value} {caught.value!r} {vars(caught.value)} {runpod!r}"
    assert secret not in shown
    assert sim.key not in shown

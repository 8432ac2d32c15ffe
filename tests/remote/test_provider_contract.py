"""One suite for every provider: REST v2, RunPod's own library and the embedded pod do the same, as far as they can."""

from __future__ import annotations

import importlib.util
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from remote.errors import (
    AccessDenied,
    ApiRetired,
    AuthError,
    ConfigError,
    NoCapacity,
    NoCapacityOnHost,
    NotFound,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RuleBroken,
)
from remote.pods.local import LocalProvider
from remote.pods.model import Pod, PodSpec, PodStatus, VolumeKind
from remote.pods.provider import Capability, Provider
from remote.pods.runpod.provider import RunPodProvider
from remote.pods.runpod.sdk import SdkProvider
from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.harness import Simulator

GPU = "NVIDIA A100-SXM4-80GB"
SPEC = PodSpec(image="runpod/pytorch:1.0.2", gpu=GPU, volume_gb=20, env={"PUBLIC_KEY": "ssh-ed25519 AAAA maxcai"})
NO_SDK = "RunPod's own library is not installed: extra `runpod`"
needs_sdk = pytest.mark.skipif(importlib.util.find_spec("runpod") is None, reason=NO_SDK)
RENTED = [pytest.param("v2"), pytest.param("sdk", marks=needs_sdk)]
ALL = [*RENTED, pytest.param("local")]


@dataclass
class Bed:
    """A provider with what it talks to. `name` is what a pod may be called; `sim` is None for the embedded pod."""

    provider: Provider
    name: str
    sim: Simulator | None
    kind: str
    state_dir: Path

    async def up(self) -> Pod:
        """A pod that runs and has an address."""
        pod = await self.provider.create(self.name, SPEC)
        if pod.status.over:
            await self.provider.start(pod.id)
        return await self.booted(pod.id)

    async def booted(self, pod_id: str) -> Pod:
        """The pod once it had the time to boot."""
        await self.wait(120)
        return await self.provider.get(pod_id)

    async def wait(self, seconds: float) -> None:
        """Let the provider's time pass."""
        if self.sim is not None:
            await self.sim.advance(seconds)

    def again(self, **environ: str) -> Provider:
        """The same provider as another process would have it."""
        assert self.sim is not None
        return rented(self.kind, self.sim, self.state_dir, **environ)


def rented(kind: str, sim: Simulator, state_dir: Path, **environ: str) -> Provider:
    make = RunPodProvider if kind == "v2" else SdkProvider
    return make(state_dir, sim.clock.now, {**sim.environ(), **environ}, sleep=sim.clock.leap)


@asynccontextmanager
async def made(kind: str, tmp_path: Path) -> AsyncIterator[Bed]:
    state_dir = tmp_path / ".maxcai"
    if kind == "local":
        local = LocalProvider(state_dir, time.time, {**os.environ, "MAXCAI_LOCAL_PRICE": "1.74"})
        try:
            yield Bed(local, "local", None, kind, state_dir)
        finally:
            await local.stop("local")
        return
    async with Simulator() as sim:
        provider = rented(kind, sim, state_dir)
        yield Bed(provider, "maxcai-a", sim, kind, state_dir)
        await provider.aclose()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture(params=ALL)
async def bed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bed]:
    async with made(request.param, tmp_path) as found:
        yield found


@pytest.fixture(params=RENTED)
async def market(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bed]:
    """Only the providers that rent."""
    async with made(request.param, tmp_path) as found:
        yield found


# --- every provider --------------------------------------------------------------------------------------------------


async def test_a_pod_is_listed_as_it_is_got_and_its_states_are_told_by_evidence(bed: Bed) -> None:
    pod = await bed.up()
    assert await bed.provider.list() == [pod]
    assert (pod.name, pod.provider, pod.status) == (bed.name, bed.provider.name, PodStatus.RUNNING)
    assert pod.endpoint is not None
    assert pod.endpoint.port > 0
    assert pod.session is not None
    assert pod.price_per_hour == Decimal("1.74")
    assert pod.volume is VolumeKind.PERSISTENT
    assert pod.root.startswith("/")
    if bed.kind != "local":
        assert (pod.gpu_count, pod.actions is not None and "stop" in pod.actions) == (1, True)


async def test_starting_what_runs_and_stopping_what_is_stopped_changes_nothing(bed: Bed) -> None:
    pod = await bed.up()
    again = await bed.provider.start(pod.id)
    assert (again.session, again.endpoint) == (pod.session, pod.endpoint)
    stopped = await bed.provider.stop(pod.id)
    assert (stopped.status.over or stopped.status is PodStatus.STOPPING, stopped.endpoint) == (True, None)
    twice = await bed.provider.stop(pod.id)
    assert twice.status is PodStatus.STOPPED
    assert (await bed.provider.get(pod.id)).status is PodStatus.STOPPED


async def test_a_stop_keeps_the_session_and_each_start_makes_another_with_another_address(bed: Bed) -> None:
    first = await bed.up()
    await bed.provider.stop(first.id)
    stopped = await bed.provider.get(first.id)
    assert stopped.session in (first.session, None)
    await bed.wait(60)
    started = await bed.provider.start(first.id)
    second = await bed.booted(first.id)
    assert second.status is PodStatus.RUNNING
    assert second.session not in (first.session, None)
    assert second.endpoint != first.endpoint
    assert started.session in (second.session, None)
    assert second.started_at is not None
    assert first.started_at is not None
    assert second.started_at > first.started_at


async def test_a_pod_that_does_not_exist_is_not_found(bed: Bed) -> None:
    acts: list[Callable[[str], Awaitable[Pod]]] = [bed.provider.get, bed.provider.start, bed.provider.stop]
    for act in acts:
        for pod_id in ("nosuchpod12345", "../pods", 'a"b'):
            with pytest.raises(NotFound):
                await act(pod_id)


async def test_terminating_twice_is_no_error(bed: Bed) -> None:
    pod = await bed.up()
    await bed.provider.terminate(pod.id)
    await bed.provider.terminate(pod.id)
    assert [found for found in await bed.provider.list() if not found.status.over] == []


async def test_what_a_provider_says_it_can_it_can_and_the_rest_is_a_clear_refusal(bed: Bed) -> None:
    provider, pod = bed.provider, await bed.up()
    calls: dict[Capability, Callable[[], Awaitable[Any]]] = {
        Capability.RESTART: lambda: provider.restart(pod.id),
        Capability.LOGS: lambda: provider.logs(pod.id),
        Capability.CATALOG: provider.catalog,
        Capability.VOLUMES: provider.volumes,
        Capability.BILLING: lambda: provider.billing(0.0, 3600.0),
        Capability.BALANCE: provider.balance,
    }
    for capability, call in calls.items():
        if capability in provider.capabilities:
            await call()
            continue
        with pytest.raises(ConfigError) as refused:
            await call()
        assert refused.value.exit_code == 2
    if Capability.FOLLOW_LOGS not in provider.capabilities:
        with pytest.raises(ConfigError):
            await anext(provider.follow_logs(pod.id))


async def test_a_restart_is_a_session_of_its_own(bed: Bed) -> None:
    if Capability.RESTART not in bed.provider.capabilities:
        pytest.skip(f"{bed.kind} cannot restart a pod")
    pod = await bed.up()
    await bed.provider.restart(pod.id)
    again = await bed.booted(pod.id)
    assert again.session not in (pod.session, None)
    assert again.endpoint != pod.endpoint


# --- what is rented --------------------------------------------------------------------------------------------------


async def test_a_pod_comes_up_step_by_step_and_has_no_address_before_its_time(market: Bed) -> None:
    pod = await market.provider.create(market.name, SPEC)
    seen = [(pod.status, pod.endpoint is not None)]
    for seconds in (31, 30):
        await market.wait(seconds)
        now = await market.provider.get(pod.id)
        seen.append((now.status, now.endpoint is not None))
    assert seen == [(PodStatus.PULLING, False), (PodStatus.BOOTING, False), (PodStatus.RUNNING, True)]


async def test_another_process_sees_the_same_pod_and_session(market: Bed) -> None:
    pod = await market.up()
    assert await market.again().get(pod.id) == pod


@pytest.mark.parametrize("fault", ["timeout-after", "truncated", "html-502-after", "error-after"])
async def test_a_lost_create_reply_is_unknown_and_one_pod_is_there_to_be_adopted(market: Bed, fault: str) -> None:
    assert market.sim is not None
    market.sim.inject("create", fault)
    with pytest.raises(OutcomeUnknown) as lost:
        await market.provider.create(market.name, SPEC)
    assert lost.value.unconfirmed
    assert not lost.value.retryable
    (pod,) = await market.provider.list()
    assert pod.name == market.name
    assert (await market.booted(pod.id)).status is PodStatus.RUNNING
    assert len(market.sim.state.pods) == 1


async def test_a_lost_stop_or_start_reply_does_nothing_twice(market: Bed) -> None:
    assert market.sim is not None
    pod = await market.up()
    market.sim.inject("stop", "timeout-after")
    await market.provider.stop(pod.id)
    assert (await market.provider.get(pod.id)).status is PodStatus.STOPPED
    market.sim.inject("start", "timeout-after")
    await market.provider.start(pod.id)
    assert sum("start" in seen.names for seen in market.sim.requests) == 1
    market.sim.inject("terminate", "timeout-after")
    await market.provider.terminate(pod.id)
    assert market.sim.state.pods == {}


@pytest.mark.parametrize("fault", ["html-502", "truncated", "garbage", "empty", "error", "timeout-before"])
async def test_a_read_is_asked_again_until_it_is_answered(market: Bed, fault: str) -> None:
    assert market.sim is not None
    pod = await market.up()
    market.sim.inject("list", fault, 2)
    assert await market.provider.list() == [pod]
    market.sim.inject("list", fault, None)
    with pytest.raises(ProviderUnavailable) as failed:
        await market.provider.list()
    assert (failed.value.exit_code, failed.value.retryable, failed.value.unconfirmed) == (4, True, False)


async def test_refusals_mean_the_same_by_every_transport(market: Bed) -> None:
    assert market.sim is not None
    sim, provider = market.sim, market.provider
    pod = await market.up()
    await provider.stop(pod.id)
    sim.set_stock(GPU, 0)
    with pytest.raises(NoCapacityOnHost):
        await provider.start(pod.id)
    with pytest.raises(NoCapacity):
        await provider.create("maxcai-b", SPEC)
    with pytest.raises(AuthError, match="key"):
        await market.again(RUNPOD_API_KEY="rpa_" + "wrong" * 8).list()
    with pytest.raises(ConfigError, match="RunPod API key"):
        await market.again(RUNPOD_API_KEY="").list()
    with pytest.raises(AccessDenied):
        await market.again(RUNPOD_API_KEY=sim.read_only_key).create("maxcai-b", SPEC)
    refused = Fault("error", status=400, detail="You must either provide a template id or pod configuration parameters")
    sim.inject("create", refused)
    with pytest.raises(RuleBroken, match="template id"):
        await provider.create("maxcai-b", SPEC)
    sim.inject("list", Fault("429", retry_after=4000))
    with pytest.raises(RateLimited):
        await market.again().list()
    sim.retire("v2", "graphql")
    with pytest.raises(ApiRetired, match="update"):
        await market.again().list()
    with pytest.raises(ProviderUnavailable) as closed:
        await market.again(MAXCAI_RUNPOD_URL="http://127.0.0.1:1").list()
    assert closed.value.exit_code == 4


async def test_what_runpod_would_refuse_is_refused_here_and_nothing_is_sent(market: Bed) -> None:
    assert market.sim is not None
    for spec in (
        PodSpec(image="x", gpu=GPU), PodSpec(image="", gpu=GPU, volume_gb=20), PodSpec(image="x", gpu=GPU, volume_gb=9),
        PodSpec(image="x", gpu=GPU, volume_gb=20, volume_id="v"), PodSpec(image="x", gpu=None, volume_gb=20),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            await market.provider.create(market.name, spec)
    assert market.sim.requests == []


async def test_prices_and_volumes_are_the_same_by_every_transport(market: Bed) -> None:
    assert market.sim is not None
    async with market.sim.state.lock:
        volume = market.sim.state.create_volume("models", 50, "EU-RO-1", "STANDARD")
    (found,) = await market.provider.volumes()
    assert (found.id, found.name, found.size_gb, found.data_center) == (volume.id, "models", 50, "EU-RO-1")
    offers = {(offer.gpu, offer.cloud.value): offer.price for offer in await market.provider.catalog()}
    assert offers[(GPU, "SECURE")] == Decimal("1.74")
    assert offers[(GPU, "COMMUNITY")] == Decimal("1.39")
    assert len(offers) == 12
    told = any(offer.stock is not None for offer in await market.provider.catalog())
    assert told == (Capability.STOCK in market.provider.capabilities)


async def test_a_pod_on_a_network_volume_is_placed_with_it_and_says_so(market: Bed) -> None:
    assert market.sim is not None
    async with market.sim.state.lock:
        volume = market.sim.state.create_volume("models", 50, "EU-RO-1", "STANDARD")
    spec = PodSpec(image="runpod/pytorch:1.0.2", gpu=GPU, volume_id=volume.id)
    pod = await market.provider.create(market.name, spec)
    assert (pod.volume, pod.volume_id, pod.data_center) == (VolumeKind.NETWORK, volume.id, "EU-RO-1")
    await market.provider.terminate(pod.id)
    assert volume.id in market.sim.state.volumes


async def test_no_error_holds_the_key_or_a_value_of_the_environment(market: Bed) -> None:
    assert market.sim is not None
    spec = PodSpec(image="x", gpu=GPU, volume_gb=20, env={"DB": "correct-horse-battery"})
    echo = f"The value correct-horse-battery, sent with {market.sim.key}, is wrong"
    for status in (400, 403, 409, 422, 500):
        market.sim.inject("create", Fault("error", status=status, detail=echo))
        with pytest.raises(ProviderError) as caught:
            await market.provider.create(market.name, spec)
        shown = f"{caught.value!r} {caught.value} {vars(caught.value)}"
        assert "[redacted]" in shown
        assert "correct-horse" not in shown
        assert market.sim.key not in shown

"""When RunPod refuses or does not answer its own library: what is sent again, what never, and what is said."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sdk_bed import GPU, SPEC, make, sent, spec

from remote.errors import (
    AccessDenied,
    ApiRetired,
    AuthError,
    ConfigError,
    NoCapacity,
    NoCapacityOnHost,
    OutcomeUnknown,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
    RemoteError,
    RuleBroken,
)
from remote.pods.model import PodStatus
from remote.pods.runpod import sdk_call
from remote.pods.runpod.decode import decode
from tests.sim.runpod_api.faults import Fault
from tests.sim.runpod_api.harness import Simulator

if importlib.util.find_spec("runpod") is None:
    pytest.skip("RunPod's own library is not installed: extra `runpod`", allow_module_level=True)


@pytest.fixture
async def sim() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads a key from the home directory when it is imported."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


async def test_a_lost_create_reply_is_an_unknown_outcome_and_is_not_sent_again(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    for fault in ("timeout-after", "truncated", "html-502-after", "error-after", "html-502", "garbage"):
        before = sent(sim, "create")
        sim.inject("create", fault)
        with pytest.raises(OutcomeUnknown) as lost:
            await provider.create(f"maxcai-{fault}", SPEC)
        assert not isinstance(lost.value, ProviderUnavailable)  # which callers would send again
        assert sent(sim, "create") == before + 1
    found = {pod.name for pod in await provider.list()}
    assert found == {f"maxcai-{fault}" for fault in ("timeout-after", "truncated", "html-502-after", "error-after")}


async def test_a_failure_before_the_create_left_is_no_unknown_outcome(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    sim.inject("gpus", "html-502", None)
    with pytest.raises(ProviderUnavailable) as failed:
        await provider.create("maxcai-a", SPEC)
    assert not failed.value.unconfirmed
    assert sent(sim, "create") == 0
    sim.clear_faults()
    with pytest.raises(ProviderError, match="no GPU type"):
        await provider.create("maxcai-a", spec(gpu="NVIDIA A100"))
    closed = make(sim, tmp_path, MAXCAI_RUNPOD_URL="http://127.0.0.1:1")
    with pytest.raises(ProviderUnavailable) as failed:
        await closed.create("maxcai-a", SPEC)
    assert not failed.value.unconfirmed
    assert failed.value.exit_code == 4


async def test_a_created_pod_that_cannot_be_read_yet_is_reported_all_the_same(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    sim.inject("graphql:pod", "html-502", None)
    pod = await provider.create("maxcai-a", SPEC)
    assert (pod.status, pod.id in sim.state.pods) == (PodStatus.CREATING, True)
    sim.clear_faults()
    assert (await provider.get(pod.id)).session == pod.session


async def test_reads_and_stops_are_sent_again_and_starts_only_after_a_look(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    pod = await provider.create("maxcai-a", SPEC)
    for fault in ("html-502", "truncated", "garbage", "empty", "error", "timeout-before"):
        sim.inject("list", fault)
        assert len(await provider.list()) == 1
        sim.inject("stop", fault)
        assert (await provider.stop(pod.id)).status is PodStatus.STOPPED
        sim.inject("start", fault)
        assert (await provider.start(pod.id)).status is PodStatus.PULLING
    before = sent(sim, "start")
    await provider.stop(pod.id)
    sim.inject("start", "timeout-after")
    await provider.start(pod.id)
    assert sent(sim, "start") == before + 1
    sim.inject("stop", "html-502", None)
    with pytest.raises(OutcomeUnknown):
        await provider.stop(pod.id)


async def test_a_full_host_is_told_from_an_empty_market(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    pod = await provider.create("maxcai-a", SPEC)
    await provider.stop(pod.id)
    sim.set_stock(GPU, 0)
    with pytest.raises(NoCapacityOnHost):
        await provider.start(pod.id)
    with pytest.raises(NoCapacity) as refused:
        await provider.create("maxcai-b", SPEC)
    assert not isinstance(refused.value, NoCapacityOnHost)
    assert sent(sim, "start") == 1


async def test_a_pod_that_came_up_without_gpus_is_started_with_those_it_was_made_with(
    sim: Simulator, tmp_path: Path
) -> None:
    provider = make(sim, tmp_path)
    pod = await provider.create("maxcai-a", spec(gpu_count=2))
    sim.quirks.set(zero_gpu_start=True, zero_gpu_shown=True)
    sim.set_stock(GPU, 0)
    await provider.stop(pod.id)
    sim.set_stock(GPU, 0)
    await provider.start(pod.id)
    await sim.advance(60)
    up = await provider.get(pod.id)
    assert (up.status, up.gpu_count, up.detail) == (PodStatus.RUNNING, 0, "it runs without a GPU")
    sim.pod(pod.id).gpu_count = 0  # as a provider would that forgets what was asked for
    await provider.stop(pod.id)
    await provider.start(pod.id)
    bodies = [seen.body for seen in sim.requests if "start" in seen.names]
    assert ["gpuCount: 2" in body for body in bodies] == [True, True]


async def test_a_key_that_may_only_look_is_told_so(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path, RUNPOD_API_KEY=sim.read_only_key)
    assert await provider.list() == []
    with pytest.raises(AccessDenied):
        await provider.create("maxcai-a", SPEC)


@pytest.mark.parametrize("data", [{"podFindAndDeployOnDemand": {"id": "p1"}}, {"podFindAndDeployOnDemand": None}])
async def test_an_error_beside_data_leaves_the_outcome_of_a_create_unknown(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any]
) -> None:
    provider = make(sim, tmp_path)
    await provider.list()
    graphql: Any = importlib.import_module("runpod.api.graphql")
    reply = {"errors": [{"message": "Cannot read what was made."}], "data": data}
    monkeypatch.setattr(sdk_call, "decode", lambda raw: reply if b"imageName" in raw else decode(raw))
    with pytest.raises(RemoteError) as caught:
        await provider.create("maxcai-a", SPEC)
    assert isinstance(caught.value, OutcomeUnknown if any(data.values()) else RuleBroken)
    assert graphql.requests is sys.modules["requests"]


async def test_no_request_leaves_while_runpod_wants_none(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    sim.inject("list", Fault("429", retry_after=20))
    at = sim.clock.now()
    await provider.list()
    assert [seen.at - at for seen in sim.requests] == [0, pytest.approx(20, abs=9)]
    assert sim.clock.now() >= at + 20
    sim.inject("list", Fault("429", retry_after=4000))
    with pytest.raises(RateLimited) as refused:
        await provider.list()
    assert refused.value.retry_after == 4000
    count = len(sim.requests)
    with pytest.raises(RateLimited):
        await provider.list()
    assert len(sim.requests) == count


async def test_the_end_of_the_api_and_a_refused_key_are_told_clearly(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    sim.retire("graphql")
    with pytest.raises(ApiRetired, match="update"):
        await provider.list()
    sim.retire()
    wrong = make(sim, tmp_path, RUNPOD_API_KEY="rpa_" + "wrong" * 8)
    with pytest.raises(AuthError, match="key from environment variable RUNPOD_API_KEY"):
        await wrong.list()
    with pytest.raises(ConfigError, match="No RunPod API key"):
        await make(sim, tmp_path, RUNPOD_API_KEY="").list()
    with pytest.raises(ConfigError, match="characters that no key has"):
        await make(sim, tmp_path, RUNPOD_API_KEY="two\nlines-of-a-key").list()

"""RunPod's own library, unmodified, against the simulator: the same provider, and no secret or second pod by it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import logging
import os
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from sdk_bed import GPU, SPEC, make, sent, spec

from remote.errors import (
    ConfigError,
    NoCapacity,
    NotFound,
    ProviderUnavailable,
    RemoteError,
)
from remote.journal import Journal
from remote.pods.model import PodStatus, VolumeKind
from remote.pods.provider import Capability
from remote.pods.runpod import sdk_call
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


async def test_a_pod_lives_through_its_states_and_is_told_what_it_was_made_with(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    made = await provider.create("maxcai-a", SPEC)
    assert (made.status, made.endpoint, made.started_at) == (PodStatus.PULLING, None, sim.clock.now())
    assert (made.gpu, made.gpu_count, made.price_per_hour) == (GPU, 1, Decimal("1.74"))
    assert (made.volume, made.volume_gb, made.disk_gb, made.spot) == (VolumeKind.PERSISTENT, 20, 50, False)
    assert made.actions == {"stop", "terminate"}
    await sim.advance(31)
    assert (await provider.get(made.id)).status is PodStatus.BOOTING
    await sim.advance(30)
    (up,) = await provider.list()
    assert up.status is PodStatus.RUNNING
    assert up.endpoint is not None
    assert up.session == made.session
    assert up.detail is None
    await sim.advance(100)
    down = await provider.stop(made.id)
    assert (down.status, down.endpoint, down.stopped_at) == (PodStatus.STOPPED, None, sim.clock.now())
    assert down.actions == {"start", "terminate"}
    assert await provider.stop(made.id) == down
    await provider.terminate(made.id)
    await provider.terminate(made.id)
    assert sim.state.pods == {}
    with pytest.raises(NotFound):
        await provider.get(made.id)
    assert await provider.list() == []


async def test_every_start_is_a_session_of_its_own_that_all_processes_agree_on(sim: Simulator, tmp_path: Path) -> None:
    provider, other = make(sim, tmp_path), make(sim, tmp_path)
    pod = await provider.create("maxcai-a", SPEC)
    sessions = [pod.session]
    for _ in range(2):
        await sim.advance(100)
        assert (await other.get(pod.id)).session == sessions[-1]
        await provider.stop(pod.id)
        await sim.advance(10)
        started = await provider.start(pod.id)
        assert (started.started_at, started.stopped_at) == (sim.clock.now(), None)
        assert await provider.start(pod.id) == started  # starting a running pod changes nothing
        sessions.append(started.session)
    assert len(set(sessions)) == 3
    assert sent(sim, "start") == 2


async def test_a_start_by_somebody_else_is_a_new_session_and_its_time_is_told_truthfully(
    sim: Simulator, tmp_path: Path
) -> None:
    provider = make(sim, tmp_path)
    pod = await provider.create("maxcai-a", SPEC)
    await sim.advance(100)
    first = await provider.get(pod.id)
    async with sim.state.lock:
        await sim.state.settle()
        await sim.state.stop(pod.id)
        await sim.state.start(pod.id, 1, None)
    at = sim.clock.now()
    await sim.advance(300)
    again = await provider.get(pod.id)
    assert again.endpoint != first.endpoint
    assert again.session != first.session
    assert again.started_at == pytest.approx(at, abs=1) or "first seen" in (again.detail or "")


@pytest.mark.parametrize(
    "value",
    [
        '{"a": 1}',
        "two\nlines",
        "back\\slash \\u0041",
        "tab\t and \x7f",
        "sep\u2028arator é 🚀",
        '"}){id}} #',
        "$(x) `y`",
    ],
)
async def test_what_is_pasted_into_queries_arrives_as_it_was(sim: Simulator, tmp_path: Path, value: str) -> None:
    provider = make(sim, tmp_path)
    name = f"maxcai-{value}"
    pod = await provider.create(name, spec(env={"VALUE": value, "_X9": ""}))
    assert sim.pod(pod.id).env == {"VALUE": value, "_X9": ""}
    assert (pod.name, sim.pod(pod.id).name) == (name, name)


async def test_all_arguments_are_ours_and_the_accounts_ssh_keys_stay_out(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    pod = sim.pod((await provider.create("maxcai-a", SPEC)).id)
    assert (pod.disk, pod.persistent, pod.mount, pod.ports, pod.cloud) == (50, 20, "/workspace", ("22/tcp",), "SECURE")
    (body,) = [seen.body for seen in sim.requests if "create" in seen.names]
    assert "startSsh" not in body
    assert "supportPublicIp: true" in json.loads(body)["query"]


async def test_a_network_volume_places_the_pod_and_one_that_does_not_exist_costs_nothing(
    sim: Simulator, tmp_path: Path
) -> None:
    provider = make(sim, tmp_path)
    async with sim.state.lock:
        volume = sim.state.create_volume("models", 50, "EU-RO-1", "STANDARD")
    assert [(found.id, found.size_gb, found.data_center) for found in await provider.volumes()] == [
        (volume.id, 50, "EU-RO-1")
    ]
    pod = await provider.create("maxcai-a", spec(volume_gb=None, volume_id=volume.id))
    assert (pod.volume, pod.volume_id, pod.data_center) == (VolumeKind.NETWORK, volume.id, "EU-RO-1")
    assert sim.pod(pod.id).host.data_center == "EU-RO-1"
    assert (await make(sim, tmp_path).get(pod.id)).volume is VolumeKind.NETWORK
    assert (await make(sim, tmp_path / "elsewhere").get(pod.id)).volume is None  # not told: not "nothing is kept"
    for wrong in ({"volume_id": "nosuch"}, {"volume_id": volume.id, "data_centers": ("US-KS-2",)}):
        with pytest.raises(ConfigError):
            await provider.create("maxcai-b", spec(volume_gb=None, **wrong))
    assert sent(sim, "create") == 1


async def test_what_the_library_cannot_do_is_refused_before_anything_is_sent(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    for wrong in (
        {"bid": Decimal("0.5")}, {"data_centers": ("EU-RO-1", "US-KS-2")}, {"env": {"lower": "x"}},
        {"env": {"A-B": "x"}}, {"env": {'X", value: "y': "x"}}, {"env": {"X": "\0"}}, {"env": {"X": "\ud800"}},
        {"min_cuda": "12"}, {"min_cuda": "9.1"}, {"volume_gb": None}, {"gpu": None},
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            await provider.create("maxcai-a", spec(**wrong))
    assert not provider.capabilities & {
        Capability.BALANCE, Capability.SPOT, Capability.RESTART, Capability.LOGS, Capability.FOLLOW_LOGS,
        Capability.STOCK, Capability.BILLING, Capability.STARTED_AT,
    }  # fmt: skip
    for call in (provider.balance(), provider.restart("x"), provider.logs("x"), provider.billing(0, 1)):
        with pytest.raises(ConfigError, match="own library cannot"):
            await call
    assert sim.requests == []


async def test_a_lowest_cuda_version_never_lets_an_older_host_in(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    pod = await provider.create("maxcai-a", spec(gpu="NVIDIA RTX PRO 4500 Blackwell", min_cuda="12.8"))
    assert sim.pod(pod.id).host.cuda == "13.0"
    with pytest.raises(NoCapacity):
        await provider.create("maxcai-b", spec(min_cuda="12.9"))


async def test_a_request_is_not_carried_elsewhere_and_a_reply_without_end_is_cut(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carried: list[str] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.path == "/graphql":
            raise web.HTTPTemporaryRedirect("/stolen")
        if request.path == "/endless/graphql":
            return web.Response(body=b"[" + b"1," * 5000)
        carried.append(await request.text())
        return web.json_response({"data": {"myself": {"pods": []}}})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        origin = str(server.make_url("")).rstrip("/")
        with pytest.raises(ProviderUnavailable, match="elsewhere"):
            await make(sim, tmp_path, MAXCAI_RUNPOD_URL=origin).list()
        monkeypatch.setattr(sdk_call, "MAX_REPLY", 5000)
        with pytest.raises(ProviderUnavailable, match="no end"):
            await make(sim, tmp_path, MAXCAI_RUNPOD_URL=f"{origin}/endless").list()
    assert carried == []


async def test_a_prices_list_leaves_the_last_quarter_of_the_quota_alone(sim: Simulator, tmp_path: Path) -> None:
    provider = make(sim, tmp_path)
    offers = {(offer.gpu, offer.cloud.value): offer for offer in await provider.catalog()}
    assert offers[(GPU, "SECURE")].price == Decimal("1.74")
    assert offers[(GPU, "COMMUNITY")].price == Decimal("1.39")
    assert offers[(GPU, "SECURE")].stock is None
    assert ("NVIDIA H100 80GB HBM3", "COMMUNITY") not in offers
    count = len(sim.requests)
    await provider.catalog()
    assert len(sim.requests) == count + 1  # prices are minutes old at most
    assert await provider.catalog(count=9) == []
    tight = make(sim, tmp_path)
    tight._pace.budget.read({"RateLimit": '"minute";r=5;t=50', "RateLimit-Policy": '"minute";q=60'}, sim.clock.now())
    assert {offer.price for offer in await tight.catalog()} == {None}


async def test_the_librarys_process_wide_state_is_as_it_was(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    await make(sim, tmp_path).list()
    library: Any = importlib.import_module("runpod")
    graphql: Any = importlib.import_module("runpod.api.graphql")
    monkeypatch.setattr(library, "api_key", "somebody else's")
    monkeypatch.setenv("RUNPOD_API_BASE_URL", "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))  # which `requests` would put in place of the key
    provider = make(sim, tmp_path)
    assert await provider.list() == []
    sim.inject("list", "garbage", None)
    with pytest.raises(ProviderUnavailable):
        await provider.list()
    assert (library.api_key, os.environ["RUNPOD_API_BASE_URL"]) == ("somebody else's", "http://127.0.0.1:1")
    assert graphql.requests is sys.modules["requests"]
    assert (root.handlers, root.level) == (handlers, level)


def test_the_library_is_imported_only_when_used_and_leaves_the_logging_of_the_program_alone() -> None:
    code = (
        "import logging, sys\nfrom remote.pods.runpod import sdk, sdk_call\n"
        "print('runpod' in sys.modules, 'requests' in sys.modules)\nlibrary, refusal = sdk_call._load()\n"
        "print(library.__name__, refusal, logging.getLogger().handlers, logging.getLogger().level == logging.WARNING)"
    )
    environ = {**os.environ, "PYTHONPATH": str(Path(sdk_call.__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environ)
    assert done.stdout.splitlines() == ["False False", "runpod None [] True"]


async def test_another_version_or_none_of_the_library_is_refused_with_the_remedy(
    sim: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = make(sim, tmp_path)
    for version in ("2.0.0rc2", "1.11.4", "1.13.0", "unknown"):
        monkeypatch.setattr(importlib.metadata, "version", lambda _, v=version: v)
        with pytest.raises(ConfigError, match=f"version {version}") as refused:
            await provider.list()
        assert ">=1.12,<1.13" in refused.value.hint

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ConfigError, match="not installed"):
        await provider.list()
    assert sim.requests == []


async def test_planted_secrets_show_in_no_error_no_journal_and_no_repr(sim: Simulator, tmp_path: Path) -> None:
    key = "0LDSTYLEKEYWITHOUTPREFIX0"  # known by no pattern
    sim.front.keys[key] = sim.front.keys[sim.key]
    (tmp_path / ".env.runpod").write_text(f"RUNPOD_API_KEY={key}\n")
    planted = {"HF_TOKEN": 'plain-word "quoted"\nsecond-line-of-it', "DB": "correct-horse-battery"}
    secret = spec(env=planted)
    provider = make(sim, tmp_path, RUNPOD_API_KEY="")
    journal = Journal(tmp_path / ".maxcai", sim.clock.now)
    shown = [repr(provider), str(vars(provider)), repr(secret)]
    parts = ["plain-word", "second-line-of-it", "correct-horse-battery", key]
    echo = f"Variable HF_TOKEN: {json.dumps(planted['HF_TOKEN'])} and correct-horse-battery with {key} refused"
    faults: list[Fault | str] = [
        "timeout-after", "truncated", "html-502", "garbage", "retired", Fault("error", status=400, detail=echo),
        Fault("error", status=422, detail=echo), Fault("error", status=403, detail=echo),
        Fault("error", status=500, detail=echo),
    ]  # fmt: skip
    for fault in faults:
        sim.inject("create", fault)
        with pytest.raises(RemoteError) as caught, journal.acting("pod.create", name="maxcai-a", image=secret.image):
            await provider.create("maxcai-a", secret)
        shown += everything(caught.value)
    shown.append((tmp_path / ".maxcai/journal.jsonl").read_text())
    shown.append((tmp_path / ".maxcai/runpod-sdk.json").read_text())
    assert not [part for part in parts for text in shown if part in text]
    assert any("[redacted]" in text for text in shown)  # the echo did arrive


def everything(error: BaseException | None) -> list[str]:
    """All that an error, and those it hangs on to, could ever print."""
    found = []
    while error is not None:
        found += [repr(error), str(error), str(vars(error)), "".join(traceback.format_exception(error))]
        error = error.__cause__ or error.__context__
    return found

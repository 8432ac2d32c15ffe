"""Starting and stopping with journal and ledger: nothing is done twice, a crash at any point is settled by looking."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from msgspec.structs import replace

from remote.errors import ConfigError, DiskFull, NoEndpoint, OutcomeUnknown, ProviderUnavailable, RemoteError
from remote.journal import Journal, Phase
from remote.money.costs import Ledger
from remote.pods.limited import Limited
from remote.pods.local import LocalProvider
from remote.pods.model import Endpoint, Pod, PodSpec, PodStatus
from remote.pods.provider import Capability, LogLines
from remote.renting import lifecycle

DYING = """
import asyncio, os, signal, sys, time
from pathlib import Path
from remote.renting import lifecycle
from remote.pods.local import LocalProvider

verb, moment, state_dir = sys.argv[1:]
act = getattr(LocalProvider, verb)

async def dies(self, pod_id):
    if moment == "after":
        await act(self, pod_id)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(LocalProvider, verb, dies)
provider = LocalProvider(Path(state_dir), time.time)
asyncio.run(getattr(lifecycle, verb)(provider, "local", Path(state_dir), time.time))
"""


def die(verb: str, moment: str, state_dir: Path) -> None:
    """A process that is killed right before or right after its request took effect, and before it wrote so."""
    root = str(Path(lifecycle.__file__).parents[2])
    argv = [sys.executable, "-c", DYING, verb, moment, str(state_dir)]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": root}, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr


def phases(state_dir: Path) -> list[tuple[str, Phase]]:
    return [(intent.op, intent.phase) for intent in Journal(state_dir, time.time).intents()]


def later() -> float:
    """A clock by which no act can still be taking effect."""
    return time.time() + lifecycle.WAIT_S + 1


async def test_start_and_stop_are_journalled_and_billed(provider: LocalProvider, state_dir: Path) -> None:
    first = await lifecycle.start(provider, "local", state_dir, time.time)
    again = await lifecycle.start(provider, "local", state_dir, time.time)
    assert first == again
    (row,) = Ledger(state_dir).rows()
    assert row.open
    await lifecycle.stop(provider, "local", state_dir, time.time)
    (row,) = Ledger(state_dir).rows()
    assert not row.open
    assert phases(state_dir) == [("pod.start", Phase.ACKED), ("pod.stop", Phase.ACKED)]


async def test_killed_after_the_start_took_effect_leaves_one_pod_one_row_and_nothing_open(
    provider: LocalProvider, state_dir: Path
) -> None:
    die("start", "after", state_dir)
    assert phases(state_dir) == [("pod.start", Phase.SENT)]
    (pod,) = await lifecycle.recover(provider, state_dir, time.time)
    assert pod.status is PodStatus.RUNNING
    assert phases(state_dir) == [("pod.start", Phase.ACKED)]
    (row,) = Ledger(state_dir).rows()
    assert row.open
    assert row.session == pod.session
    assert await lifecycle.start(provider, "local", state_dir, time.time) == pod
    assert sum(line.endswith("Pod Started") for line in await provider.logs("local")) == 1
    die("stop", "before", state_dir)
    (pod,) = await lifecycle.recover(provider, state_dir, later)
    assert pod.status is PodStatus.RUNNING
    assert phases(state_dir)[1:] == [("pod.stop", Phase.FAILED)]
    die("stop", "after", state_dir)
    (pod,) = await lifecycle.recover(provider, state_dir, time.time)
    assert pod.status is PodStatus.STOPPED
    assert phases(state_dir)[2:] == [("pod.stop", Phase.ACKED)]
    assert [row.open for row in Ledger(state_dir).rows()] == [False]


async def test_killed_before_the_start_left_starts_nothing_later_on_its_own(
    provider: LocalProvider, state_dir: Path
) -> None:
    die("start", "before", state_dir)
    await lifecycle.recover(provider, state_dir, time.time)
    assert phases(state_dir) == [("pod.start", Phase.SENT)]  # too early to say that it will not show
    (pod,) = await lifecycle.recover(provider, state_dir, later)
    assert pod.status is PodStatus.STOPPED
    assert phases(state_dir) == [("pod.start", Phase.FAILED)]
    assert Ledger(state_dir).rows() == []


async def test_what_a_living_process_has_under_way_is_left_to_it(provider: LocalProvider, state_dir: Path) -> None:
    Journal(state_dir, lambda: 0.0).intent("pod.start", provider="local", pod="local")
    await lifecycle.recover(provider, state_dir, time.time)
    assert phases(state_dir) == [("pod.start", Phase.INTENT)]


class Slow(Limited):
    """A provider far away: what it is told takes effect some readings later, or is never answered."""

    name = "far"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, readings: int, error: Exception | None = None) -> None:
        self.pod = Pod("p1", "p1", "far", PodStatus.STOPPED, "/workspace", "python3", price_per_hour=Decimal(2))
        self.readings, self.error, self.acts = readings, error, 0
        self.then: Callable[[Pod], Pod] = lambda pod: pod

    async def list(self) -> list[Pod]:
        return [self.pod]

    async def get(self, pod_id: str) -> Pod:
        self.readings -= 1
        if self.readings <= 0:
            self.pod = self.then(self.pod)
        return self.pod

    async def create(self, name: str, spec: PodSpec) -> Pod:
        raise NotImplementedError

    async def start(self, pod_id: str) -> Pod:
        self.acts += 1
        if self.error is not None:
            raise self.error
        self.pod = replace(self.pod, status=PodStatus.BOOTING, started_at=1000.0)
        ready = Endpoint("10.0.0.1", 22, "root")
        self.then = lambda pod: replace(pod, status=PodStatus.RUNNING, endpoint=ready)
        return self.pod

    async def stop(self, pod_id: str) -> Pod:
        self.acts += 1
        self.pod = replace(self.pod, status=PodStatus.STOPPING, endpoint=None)
        self.then = lambda pod: replace(pod, status=PodStatus.STOPPED, stopped_at=1050.0)
        return self.pod

    async def terminate(self, pod_id: str) -> None:
        raise NotImplementedError

    async def logs(self, pod_id: str) -> LogLines:
        return []


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


async def test_a_pod_that_boots_for_a_while_is_waited_for_and_billed_from_its_start(state_dir: Path) -> None:
    clock, provider = Time(), Slow(readings=30)
    pod = await lifecycle.start(provider, "p1", state_dir, clock, sleep=clock.sleep)
    assert (pod.status, clock.now) == (PodStatus.RUNNING, 1030.0)
    assert Ledger(state_dir).session_cost(pod, 1030.0) == Decimal(2) * 30 / 3600
    provider.readings = 20
    stopped = await lifecycle.stop(provider, "p1", state_dir, clock, sleep=clock.sleep)
    assert (stopped.status, provider.acts) == (PodStatus.STOPPED, 2)
    assert Ledger(state_dir).total(9999.0) == Decimal(2) * 50 / 3600


async def test_a_pod_that_never_gets_an_address_or_never_stops_is_said_to_cost_on(state_dir: Path) -> None:
    clock, provider = Time(), Slow(readings=1000)
    with pytest.raises(NoEndpoint, match="no address 120 s after its start: it is BOOTING") as refusal:
        await lifecycle.start(provider, "p1", state_dir, clock, sleep=clock.sleep)
    assert "costing" in refusal.value.hint
    assert [row.open for row in Ledger(state_dir).rows()] == [True]
    with pytest.raises(ProviderUnavailable, match="still STOPPING 120 s after"):
        await lifecycle.stop(provider, "p1", state_dir, clock, sleep=clock.sleep)
    assert [row.open for row in Ledger(state_dir).rows()] == [True]


async def test_a_request_without_an_answer_stays_open_until_its_effect_shows(state_dir: Path) -> None:
    clock, provider = Time(), Slow(1, OutcomeUnknown("no answer came"))
    with pytest.raises(OutcomeUnknown):
        await lifecycle.start(provider, "p1", state_dir, clock)
    assert phases(state_dir) == [("pod.start", Phase.UNKNOWN)]
    await lifecycle.recover(provider, state_dir, clock)
    assert phases(state_dir) == [("pod.start", Phase.UNKNOWN)]
    provider.pod = replace(provider.pod, status=PodStatus.RUNNING, started_at=1000.5)
    await lifecycle.recover(provider, state_dir, clock)
    assert phases(state_dir) == [("pod.start", Phase.ACKED)]
    assert provider.acts == 1
    assert [row.open for row in Ledger(state_dir).rows()] == [True]


@pytest.mark.parametrize("kind", [DiskFull, ConfigError])  # full, and read-only or somebody else's
async def test_a_disk_that_cannot_be_written_never_keeps_a_pod_from_being_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[RemoteError]
) -> None:
    provider = LocalProvider(tmp_path, time.time)
    await lifecycle.start(provider, "local", tmp_path, time.time)

    def full(*_: object, **__: object) -> None:
        raise kind("The journal cannot be written.")

    monkeypatch.setattr(Journal, "_write", full)
    pod = await lifecycle.stop(provider, "local", tmp_path, time.time)
    assert pod.status is PodStatus.STOPPED

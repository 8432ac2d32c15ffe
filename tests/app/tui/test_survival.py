"""What a day brings: sleep, a pod that goes, an API that is down, a link half open, logs rotated, files edited outside.

The panel is the real one, and so are the services under it: the embedded pod over SSH, or a simulated RunPod. It shows
what happened, goes on, and never shows what is old as if it were new. (A terminal that vanishes: `test_in_tmux`.)
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import screen_text
from msgspec.structs import replace
from textual.pilot import Pilot

from app.controller import Controller
from app.sections import RunPod
from app.settings import Settings
from app.state import PodView
from app.tui.app import PanelApp
from app.workspace import find
from remote.link import ssh
from remote.pods.runpod import client
from tests.sim.chaos import ChaosProxy
from tests.sim.runpod_api.clock import VirtualClock
from tests.sim.runpod_api.harness import Served, Simulator, served
from tests.sim.runpod_api.model import BootTimes

PATIENCE_S = 15.0
SIZE = (120, 35)


class Day:
    """A panel over real services; `skew` is how far its wall clock has leapt ahead (seconds)."""

    pilot: Pilot[int]

    def __init__(self, root: Path, **settings: Any) -> None:
        self.skew = self.seen_later = 0.0
        self.controller = Controller(find(root), Settings(**settings), clock=lambda: time.time() + self.skew)
        self.app = PanelApp(self.controller, clock=lambda: self.controller.clock() + self.seen_later)

    async def sees(self, *words: str, without: str = "\0") -> str:
        """The screen as soon as all words stand on it, and `without` does not."""
        ends = time.monotonic() + PATIENCE_S
        while True:
            self.app.tick()
            text = screen_text(self.app)
            if all(word in text for word in words) and without not in text:
                return text
            assert time.monotonic() < ends, f"never came true: {words}; the screen:\n{text}"
            await asyncio.sleep(0.03)

    async def hears(self, words: str) -> None:
        """Wait for a notice; on the screen the next one may take its place."""
        ends = time.monotonic() + PATIENCE_S
        while not any(words in notice.text for notice in self.controller.state.notices):
            assert time.monotonic() < ends, f"never told: {words}"
            await asyncio.sleep(0.03)

    async def does(self, action_id: str, **args: Any) -> None:
        """An action as the panel does it once it was agreed."""
        assert await self.controller.perform(action_id, args) == 0, self.controller.state.notices


@asynccontextmanager
async def day(root: Path, **settings: Any) -> AsyncIterator[Day]:
    found = Day(root, **settings)
    async with found.app.run_test(size=SIZE, notifications=True) as found.pilot:
        yield found


@asynccontextmanager
async def running(root: Path) -> AsyncIterator[tuple[Day, Path]]:
    """A panel that follows a run on the embedded pod, and the run's folder there."""
    async with day(root) as today:
        await today.does("run.start", recipe="long")
        await today.sees("1/2 items", "data ●", "ssh ●")
        run = today.controller.state.run
        assert run is not None
        folder = root / ".maxcai/pods/local/workspace/.maxcai/runs" / run.run_id
        yield today, folder
        today.app.do("view.overview")
        (folder / "go").touch()
        await today.sees("✔ finished", "home and verified")
        home = today.controller.workspace.run_dir(run.run_id)
        assert (home / "starts").read_text() == "start\n", "the run was never begun again"
        spool = today.controller.workspace.spool_dir(run.run_id)
        for name in ("events.jsonl", "logs/stage-1.generate.log"):
            assert (spool / name).read_bytes().endswith((folder / name).read_bytes())
        assert (spool / "events.jsonl").read_bytes() == (folder / "events.jsonl").read_bytes()


async def test_a_laptop_that_slept_shows_its_old_picture_as_old_and_takes_up_the_run(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.supervisor.TICK_S", 0.05)
    async with running(workspace_dir) as (today, _):
        awake, woke = asyncio.Event(), today.controller.supervisor.woke

        async def woke_at_last(gap_s: float) -> None:
            await awake.wait()
            await woke(gap_s)

        monkeypatch.setattr(today.controller.supervisor, "woke", woke_at_last)
        today.skew = 3600.0
        await today.sees("◌ stale 1h00m", without="data ●")
        awake.set()
        await today.hears("woke after 36")  # a busy machine sleeps a second longer
        await today.sees("data ●", "ssh ●", without="stale")


async def test_a_link_that_is_half_open_is_told_and_made_anew_without_a_gap(
    workspace_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = ssh.connect
    async with ChaosProxy(("127.0.0.1", 1)) as proxy:

        def through_the_proxy(pod: Any, *words: Any, **options: Any) -> Any:
            proxy.retarget(pod.endpoint.host, pod.endpoint.port)
            far = replace(pod, endpoint=replace(pod.endpoint, port=proxy.port))
            return connect(far, *words, keepalive_s=0.1, connect_timeout_s=1.0, **options)

        monkeypatch.setattr(ssh, "connect", through_the_proxy)
        async with running(workspace_dir) as (today, _):
            proxy.blackhole()
            await today.sees("ssh ✖ retry", "no link to the pod", "▶ running", without="data ●")
            today.seen_later = 40.0
            await today.sees("◌ stale 4")
            today.seen_later = 0.0
            proxy.reset()
            proxy.heal()
            await today.sees("data ●", "ssh ●", without="no link to the pod")


async def test_a_log_that_was_rotated_on_the_pod_goes_on_and_says_so(workspace_dir: Path) -> None:
    async with running(workspace_dir) as (today, folder):
        log = folder / "logs/stage-1.generate.log"
        log.parent.mkdir()
        log.write_text("".join(f"before {n}\n" for n in range(20)))
        today.app.do("view.logs")
        await today.sees("before 19", "stage-1.generate.log")
        fresh = log.with_name("fresh")
        fresh.write_text("after the rotation\n")
        os.replace(fresh, log)
        await today.sees("after the rotation", "the 20 lines before were")
        with log.open("a") as more:
            more.write("and on\n")
        await today.sees("and on")


async def test_a_pod_that_was_restarted_is_found_at_its_new_address_and_its_run_goes_on(workspace_dir: Path) -> None:
    async with day(workspace_dir) as today:
        await today.does("run.start", recipe="long")
        await today.sees("1/2 items", "data ●", "ssh ●")
        run, pod = today.controller.state.run, today.controller.state.pod
        assert run is not None and pod is not None
        folder = workspace_dir / ".maxcai/pods/local/workspace/.maxcai/runs" / run.run_id
        await today.does("pod.stop", force=True)
        await today.sees("■ STOPPED", "✖ lost", without="data ●")
        await today.does("run.resume")
        await today.sees("● RUNNING", "1/2 items", "data ●", "ssh ●", without="✖ lost")
        again = today.controller.state.pod
        assert again is not None and (again.host, again.port) != (pod.host, pod.port)
        (folder / "go").touch()
        await today.sees("✔ finished", "home and verified")
        spool = today.controller.workspace.spool_dir(run.run_id)
        assert (spool / "events.jsonl").read_bytes() == (folder / "events.jsonl").read_bytes()
        assert (folder / "starts").read_text() == "start\nstart\n"


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    """A simulated RunPod whose pods boot at once and exist on paper."""
    timing = partial(client.Timing, first_pause_s=0.01, longest_pause_s=0.02, quiet_s=0.05)
    monkeypatch.setattr(client, "Timing", timing)
    monkeypatch.setattr("app.supervisor.POLL_S", 0.2)
    monkeypatch.setattr("app.supervisor.BACKOFF_S", (0.1, 0.2))
    with served(lambda: Simulator(clock=VirtualClock.real(), boot=BootTimes.instant())) as one:
        for name, value in one.sim.environ().items():
            monkeypatch.setenv(name, value)
        yield one


@asynccontextmanager
async def rented(root: Path) -> AsyncIterator[tuple[Day, PodView]]:
    """A panel with a pod that was rented through it."""
    async with day(root, provider="runpod", runpod=RunPod(volume_gb=20)) as today:
        await today.does("pod.create", agreed=True, no_wait=True)
        await today.sees("● RUNNING", "$1.74/h")
        pod = today.controller.state.pod
        assert pod is not None
        yield today, pod


async def test_a_pod_that_is_gone_is_said_to_be_gone(tmp_path: Path, cloud: Served) -> None:
    async with rented(tmp_path) as (today, pod):
        await asyncio.to_thread(cloud.wait, cloud.sim.state.terminate(pod.id))
        await today.sees("✖ GONE", "$?/h", "is GONE: the provider lists it no more", without="● RUNNING")
        await today.does("pod.create", agreed=True, no_wait=True)
        await today.sees("● RUNNING", "$1.74/h")


async def test_an_api_that_is_down_leaves_an_old_picture_that_says_so(tmp_path: Path, cloud: Served) -> None:
    async with rented(tmp_path) as (today, _):
        cloud.do(lambda sim: sim.inject("list", "500", None))
        await today.sees("pods: ")
        today.seen_later = 60.0
        await today.sees("● RUNNING", "stale 1m")
        today.seen_later = 0.0
        cloud.do(lambda sim: sim.clear_faults())
        await today.sees("● RUNNING", without="stale")


async def test_one_key_rents_what_the_settings_describe_once_its_price_was_seen(tmp_path: Path, cloud: Served) -> None:
    async with day(tmp_path, provider="runpod", runpod=RunPod(volume_gb=20)) as today:
        await today.sees("s rents one", "0s ago")
        await today.pilot.press("s")
        await today.sees("Rent a pod?", "$1.74/h", "for ten hours", "auto-stop  after 24 hours")
        await today.pilot.press("escape")
        await today.sees("Rent a pod: not agreed, nothing was done", without="esc goes back")
        assert cloud.sim.state.pods == {}
        await today.pilot.press("s")
        await today.sees("Rent a pod?")
        await today.pilot.press("y")
        await today.sees("● RUNNING", "$1.74/h")
        assert len(cloud.sim.state.pods) == 1


async def test_what_an_act_failed_of_still_stands_when_somebody_comes_back(tmp_path: Path, cloud: Served) -> None:
    async with day(tmp_path, provider="runpod", runpod=RunPod()) as today:
        await today.sees("s rents one", "0s ago")
        await today.pilot.press("s")
        await today.hears("volume_gb")

"""The real watchdog process: it outlives its caller, tells truly whether it can stop the pod, saves first, stops."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from subprocess_connection import SubprocessConnection, end_everything, until

from remote import jobs
from remote.agent import stopping
from remote.agent.client import MODULES, Agent
from remote.agent.disk import read_json
from remote.agent.kernel import start_time
from remote.agent.runs import Pod
from remote.agent.watchdog import Desk, proven
from remote.errors import JobError, NotArmed, VolumelessStop
from remote.guard import watchdog
from remote.guard.watchdog import AfterExit, Level, Policy
from remote.jobs import JobState, LaunchSpec
from remote.link.ssh import connect
from remote.pods import sandbox
from remote.pods.local import LocalProvider
from remote.pods.model import PodStatus, VolumeKind

POD = "p0d5implex7"
HOUR_S = 3600.0
QUICK = 0.05  # seconds between two looks


class Api(ThreadingHTTPServer):
    """A provider's API of one pod on loopback: remembers what it was asked; `mode` says how it answers."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.key = secrets.token_hex(24)
        self.mode = "good"
        self.stops: list[str] = []
        self.seen: list[tuple[str, str]] = []
        self.origin = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Api

    def log_message(self, *_: Any) -> None:
        return

    def do_GET(self) -> None:
        self.answer({})

    def do_POST(self) -> None:
        self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def answer(self, body: dict[str, Any]) -> None:
        api = self.server
        api.seen.append((self.command, self.path))
        if self.headers["Authorization"] != f"Bearer {api.key}" or api.mode == "refused":
            return self.send(401, {"title": "Unauthorized", "detail": f"bad key {self.headers['Authorization']}"})
        if api.mode == "moved":
            return self.send(302, {}, Location=f"{api.origin}/elsewhere")
        if self.path == "/graphql":
            return self.graphql(body)
        if self.path == f"/v2/pods/{POD}/action":
            api.stops.append("v2")
            good = api.mode == "good"
            return self.send(200, {"id": POD}) if good else self.send(403, {"detail": "access denied"})
        return self.send(200, {"id": POD, "status": "RUNNING"})

    def graphql(self, body: dict[str, Any]) -> None:
        if body["query"].startswith("query"):
            return self.send(200, {"data": {"pod": {"id": body["variables"]["podId"]}}})
        self.server.stops.append("graphql")
        if self.server.mode == "no-stop":
            return self.send(200, {"errors": [{"message": "Something went wrong."}], "data": None})
        return self.send(200, {"data": {"podStop": {"id": POD, "desiredStatus": "EXITED"}}})

    def send(self, status: int, body: dict[str, Any], **headers: str) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(raw)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[Api]:
    """A pod's environment whose key works with this API."""
    server = Api()
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setenv("RUNPOD_POD_ID", POD)
    monkeypatch.setenv("RUNPOD_API_KEY", server.key)
    monkeypatch.setenv("RUNPOD_API_BASE_URL", server.origin)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    desk(tmp_path).end()
    end_everything(tmp_path)


@pytest.fixture
def agent(root: Path) -> Agent:
    return Agent(SubprocessConnection(root))


def desk(root: Path) -> Desk:
    return Desk(Pod({"root": str(root), "locks": str(root / "container-locks"), "incarnation_file": None}))


async def armed(agent: Agent, **rules: Any) -> watchdog.Report:
    return await watchdog.arm(agent, Policy(tick_s=QUICK, **rules), VolumeKind.NETWORK)


def hours(seconds: float) -> float:
    return seconds / HOUR_S


def console(root: Path, run_id: str) -> str:
    with suppress(FileNotFoundError):
        return (root / ".maxcai/runs" / run_id / ".agent/console.log").read_text()
    return ""


def test_no_code_on_the_pod_can_do_more_than_stop() -> None:
    folder = Path(stopping.__file__).parent
    for name in MODULES:
        source = (folder / f"{name}.py").read_text().lower()
        assert "terminate" not in source, name
        assert "podremove" not in source
        assert '"delete"' not in source


async def test_armed_is_amber_until_a_stop_has_worked_and_tells_until_when(agent: Agent, api: Api) -> None:
    report = await armed(agent, max_hours=2, idle_minutes=600)
    assert (report.level, report.armed, report.running, report.phase) == (Level.AMBER, True, True, "watching")
    assert set(report.paths) == {"v2", "graphql"}
    assert report.first is not None
    assert report.first.name == "max_hours"
    assert report.until(1000.0) == pytest.approx(1000 + 7200, abs=30)
    assert [rule.name for rule in report.rules] == ["max_hours", "idle"]
    assert api.stops == []
    known = await watchdog.report(agent, proven=("v2",))
    assert known.level is Level.GREEN
    assert known.require_armed() is known
    assert (await watchdog.report(agent, proven=("runpodctl",))).level is Level.GREEN  # it uses the same key
    assert (await watchdog.report(agent, proven=("file",))).level is Level.AMBER


async def test_a_refused_key_is_red_at_arming_and_is_shown_nowhere(agent: Agent, api: Api, root: Path) -> None:
    api.mode = "refused"
    report = await armed(agent, max_hours=2)
    assert (report.level, report.running) == (Level.RED, True)
    assert "401" in report.reason
    assert api.key not in repr(report)
    with pytest.raises(NotArmed, match="401"):
        report.require_armed()
    for path in root.rglob("*"):
        assert not path.is_file() or api.key.encode() not in path.read_bytes()


async def test_a_pod_without_key_or_switch_is_red(agent: Agent, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_API_KEY")
    assert "no API key" in (await armed(agent, max_hours=2)).reason
    monkeypatch.delenv("RUNPOD_POD_ID")
    report = await armed(agent, max_hours=2)
    assert (report.level, report.running) == (Level.RED, True)
    assert "no means to stop itself" in report.reason


async def test_the_key_follows_no_redirect(agent: Agent, api: Api) -> None:
    api.mode = "moved"
    assert (await armed(agent, max_hours=2)).level is Level.RED
    assert not [path for _, path in api.seen if path == "/elsewhere"]


async def test_at_its_deadline_the_job_is_saved_and_then_the_pod_stopped(agent: Agent, api: Api, root: Path) -> None:
    script = "trap 'sleep 0.3; echo saved; exit 5' TERM; echo ready; while :; do sleep 0.02; done"
    await jobs.launch(agent, LaunchSpec("A", 1, ("sh", "-c", script)))
    await until(lambda: "ready" in console(root, "A"))
    await armed(agent, max_hours=hours(0.3), publish_minutes=1)
    await until(lambda: bool(api.stops))
    assert console(root, "A").endswith("saved\n")
    status = await jobs.status(agent, "A")
    assert (status.state, status.exit_code, status.canceled) == (JobState.EXITED, 5, True)
    report = await watchdog.report(agent)
    assert (report.phase, report.fired, api.stops[0]) == ("stopping", "max_hours", "v2")


async def test_without_its_caller_it_lives_on_and_stops_the_pod_when_the_job_has_ended(agent: Agent, api: Api) -> None:
    await agent.hello()
    request = {"do": "arm", "policy": Policy(after_exit=AfterExit.STOP, pull_grace_minutes=0, tick_s=QUICK).request()}
    async with agent.conn.open(agent.argv("watchdog")) as process:
        await process.write(json.dumps(request).encode() + b"\n")
        await process.close_stdin()
        assert json.loads(await process.read())["watchdog"]["running"]
    # leaving the context killed the session of the arming command
    await asyncio.sleep(6 * QUICK)
    assert api.stops == []  # no job has run yet
    await jobs.launch(agent, LaunchSpec("A", 1, ("sh", "-c", "sleep 0.2")))
    await until(lambda: bool(api.stops))
    assert (await watchdog.report(agent)).fired == "after_exit"


async def test_when_the_first_way_is_refused_the_others_are_tried_and_all_is_written_down(
    agent: Agent, api: Api, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = root / "bin"
    tools.mkdir()
    tool = tools / "runpodctl"
    tool.write_text(f'#!/bin/sh\necho "$* ${{#RUNPOD_API_KEY}}" >> {root}/tool.log\nexit 3\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    api.mode = "no-stop"
    await armed(agent, max_hours=hours(0.05))
    lines: list[dict[str, Any]] = []

    def tried() -> bool:
        with suppress(FileNotFoundError, ValueError):
            text = (root / ".maxcai/watchdog/stops.jsonl").read_text()
            lines[:] = [line for line in map(json.loads, text.splitlines()) if "ok" in line]
        return len(lines) >= 6

    await until(tried)
    assert [line["way"] for line in lines[:6]] == ["v2", "graphql", "runpodctl", "runpodctl-old", "v2", "graphql"]
    assert not any(line["ok"] for line in lines)
    assert "403 access denied" in lines[0]["detail"]
    assert "Something went wrong" in lines[1]["detail"]
    length = len(api.key)
    assert (root / "tool.log").read_text().splitlines()[:2] == [f"pod stop {POD} {length}", f"stop pod {POD} {length}"]
    report = await watchdog.report(agent)
    assert report.level is Level.RED
    assert "refused" in report.reason


async def test_a_lease_counts_from_its_renewal_and_its_end_stops_the_pod(agent: Agent, api: Api, root: Path) -> None:
    await armed(agent, lease_minutes=60)
    before = time.monotonic()
    report = await watchdog.renew(agent)
    assert before < desk(root).renewed() < time.monotonic()
    assert report.first is not None
    assert 3600 - (time.monotonic() - before) < report.first.left_s <= 3600
    await armed(agent, lease_minutes=0.3 / 60)
    await until(lambda: bool(api.stops))
    assert (await watchdog.report(agent)).fired == "lease"


async def test_a_killed_watchdog_comes_back_and_with_its_keeper_gone_it_is_red(
    agent: Agent, api: Api, root: Path
) -> None:
    await armed(agent, max_hours=2)
    there = desk(root)
    first = there.read("heartbeat")["pid"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: there.read("heartbeat")["pid"] != first)
    assert (await watchdog.report(agent)).level is Level.AMBER
    keeper = there.read("keeper")["pid"]
    os.kill(keeper, signal.SIGKILL)
    os.kill(there.read("heartbeat")["pid"], signal.SIGKILL)
    await until(lambda: start_time(keeper) is None and not there.running())
    report = await watchdog.report(agent)
    assert (report.level, report.armed, report.running) == (Level.RED, True, False)
    assert "died" in report.reason


async def test_arming_again_replaces_the_one_watchdog_and_disarming_ends_it(agent: Agent, api: Api, root: Path) -> None:
    await armed(agent, max_hours=2)
    keepers = {desk(root).read("keeper")["pid"]}
    reports = await asyncio.gather(*(armed(agent, max_hours=number) for number in (5, 6)))
    assert all(report.running for report in reports)
    assert all(start_time(pid) is None for pid in keepers)
    keepers.add(desk(root).read("keeper")["pid"])
    report = await watchdog.report(agent)
    assert report.policy is not None
    assert report.policy["max_hours"] in (5, 6)
    report = await watchdog.disarm(agent)
    assert (report.level, report.armed, report.running) == (Level.RED, False, False)
    assert all(start_time(pid) is None for pid in keepers)
    assert len(keepers) == 2


async def test_a_watchdog_of_an_earlier_life_of_the_container_counts_for_nothing(
    agent: Agent, api: Api, root: Path
) -> None:
    await armed(agent, max_hours=2)
    later = root / "incarnation"
    later.write_text("another life of the container")
    argv = [*agent.argv("watchdog"), "--incarnation-file", str(later)]
    done = await agent.conn.run(argv, b'{"do":"report"}\n')
    report = watchdog.understood(json.loads(done.stdout)["watchdog"])
    assert (report.level, report.armed) == (Level.RED, False)


def test_a_stop_is_proven_only_when_nothing_of_its_arming_came_after_it(tmp_path: Path) -> None:
    pod = desk(tmp_path).pod
    path = tmp_path / ".maxcai/watchdog/stops.jsonl"
    path.parent.mkdir(parents=True)
    rows = [
        {"arming": "a", "way": "v2", "ok": True},
        {"arming": "a", "way": "graphql", "ok": True},
        {"arming": "b", "way": "v2", "ok": False},
        {"arming": "c", "way": "runpodctl", "ok": True},
        {"arming": "d", "way": "file"},
        {"arming": "e", "way": "runpodctl-old"},
        {"arming": "e", "way": "runpodctl-old", "ok": False},
        {"arming": "e", "way": "runpodctl-old"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"torn')
    assert proven(pod, None) == ["file", "graphql", "runpodctl"]
    assert proven(pod, "c") == ["file", "graphql"]  # c lives: its stop has not taken effect


async def test_a_stop_that_worked_makes_the_next_arming_green(agent: Agent, api: Api, root: Path) -> None:
    await armed(agent, max_hours=hours(0.05))
    stops = root / ".maxcai/watchdog/stops.jsonl"
    await until(lambda: stops.exists() and b'"ok":true' in stops.read_bytes())
    desk(root).end()  # as the provider does
    report = await armed(agent, max_hours=2)
    assert report.level is Level.GREEN
    assert set(report.proven) <= {"v2", "graphql"}
    state = root / "state"
    assert watchdog.remember(state, "runpod", report) == report.proven
    assert watchdog.remembered(state, "runpod") == report.proven
    assert watchdog.remembered(state, "local") == ()
    (state / "watchdog.json").write_text("{")
    assert watchdog.remembered(state, "runpod") == ()


async def test_a_pod_that_would_lose_its_data_is_armed_only_if_that_is_accepted(agent: Agent, api: Api) -> None:
    for volume in (None, VolumeKind.NONE):
        with pytest.raises(VolumelessStop):
            await watchdog.arm(agent, Policy(max_hours=1), volume)
    assert (await watchdog.arm(agent, Policy(max_hours=1), VolumeKind.NONE, accept_loss=True)).running


async def test_a_policy_without_a_rule_is_refused_and_leaves_a_running_watchdog_alone(agent: Agent, api: Api) -> None:
    await armed(agent, max_hours=2)
    with pytest.raises(JobError, match="no rule"):
        await armed(agent)
    assert (await watchdog.report(agent)).running


async def test_little_free_space_is_reported_and_stops_nothing(agent: Agent, api: Api) -> None:
    report = await armed(agent, max_hours=2, min_free_gb=10**9)
    assert report.low_disk == ("the volume", "the container's disk")
    assert report.phase == "watching"


async def test_the_embedded_pod_stops_itself(provider: LocalProvider, state_dir: Path) -> None:
    assert sandbox.STOP == stopping.STOP_FILE
    pod = await provider.start("local")
    async with connect(pod, provider, state_dir) as conn:
        agent = Agent(conn)
        await jobs.launch(agent, LaunchSpec("A", 1, ("sleep", "300")))
        policy = Policy(max_hours=hours(0.5), publish_minutes=0.05, tick_s=QUICK)
        report = await watchdog.arm(agent, policy, pod.volume)
        assert (report.level, report.paths) == (Level.AMBER, ("file",))
    begin = time.monotonic()
    while (now := await provider.get("local")).status is not PodStatus.STOPPED:
        assert time.monotonic() - begin < 30
        await asyncio.sleep(0.05)
    assert now.detail == "its watchdog stopped it: max_hours"
    assert now.stopped_at is not None
    record = read_json(str(Path(pod.root) / ".maxcai/runs/A/.agent/start-1.json")) or {}
    assert start_time(record["pid"]) is None
    assert Path(pod.root).exists()

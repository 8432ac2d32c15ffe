"""The embedded pod behaves like a rented one, over real SSH and real processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from remote import processes
from remote.errors import ConfigError, NotFound, ProviderError, ProviderUnavailable
from remote.link import ssh
from remote.link.connection import Connection
from remote.link.hostkeys import PinStore, parse
from remote.pods import registry
from remote.pods.local import LocalProvider
from remote.pods.local_server import _mend, until_stopped
from remote.pods.model import Pod, PodStatus
from remote.pods.sandbox import MARK, Sandbox, State

JOB = """
import json, os, subprocess, sys, time
sys.path.insert(0, {code!r})
from remote.processes import start_time
notes = os.path.join({root!r}, ".maxcai/runs/R1/.agent")
if os.fork():
    os._exit(0)
os.setsid()
null = os.open(os.devnull, os.O_RDWR)
for fd in (0, 1, 2):
    os.dup2(null, fd)
os.makedirs(notes, exist_ok=True)
escapee = subprocess.Popen(["sleep", "300"], start_new_session=True)
record = {{"pid": os.getpid(), "pid_start": start_time(os.getpid()), "escapee": escapee.pid}}
open(notes + "/start.part", "w").write(json.dumps(record))
os.rename(notes + "/start.part", notes + "/start.json")
time.sleep(300)
"""


async def launch(connection: Connection) -> dict[str, int]:
    """Start a detached job with a child that left its session; returns its start record."""
    source = JOB.format(root=connection.root, code=str(Path(__file__).parents[2]))
    assert (await connection.run([connection.python, "-c", source])).exit_code == 0
    done = await connection.run(
        ["sh", "-c", 'until cat "$0"; do :; done 2>/dev/null', f"{connection.root}/.maxcai/runs/R1/.agent/start.json"]
    )
    record: dict[str, int] = json.loads(done.stdout)
    return record


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while processes.start_time(pid) is not None:
            await asyncio.sleep(0.005)


async def test_every_start_has_a_new_port_and_a_new_host_key(provider: LocalProvider) -> None:
    pods: list[Pod] = []
    keys = []
    for _ in range(3):
        pods.append(await provider.start("local"))
        keys.append(parse(await provider.logs("local")))
        await provider.stop("local")
    ports = [pod.endpoint.port for pod in pods if pod.endpoint]
    assert ports[0] != ports[1] != ports[2]
    assert len(set(keys)) == 3
    assert all(len(key) == 1 for key in keys)
    assert len({pod.session for pod in pods}) == 3


async def test_a_stop_keeps_the_workspace_and_wipes_the_container_disk(
    provider: LocalProvider, state_dir: Path
) -> None:
    pod = await provider.start("local")
    async with ssh.connect(pod, provider, state_dir) as connection:
        script = 'echo kept > "$0/kept"; echo a > gone; echo b > "$HOME/gone"; echo c > "$TMPDIR/gone"; echo "$TMPDIR"'
        done = await connection.run(["sh", "-c", script, pod.root])
        assert done.exit_code == 0, done.stderr
    stopped = await provider.stop("local")
    assert stopped.status is PodStatus.STOPPED
    assert stopped.endpoint is None
    assert (Path(pod.root) / "kept").read_text() == "kept\n"
    container = state_dir / "pods/local/container"
    assert [path.name for path in sorted(container.rglob("*"))] == ["home", "tmp"]
    assert not os.path.lexists(done.stdout.decode().strip())


async def test_temporary_paths_are_short_enough_for_sockets(provider: LocalProvider, state_dir: Path) -> None:
    pod = await provider.start("local")
    async with ssh.connect(pod, provider, state_dir) as connection:
        done = await connection.run(["sh", "-c", 'printf %s "$TMPDIR"'])
    assert len(done.stdout) < 40
    assert Path(done.stdout.decode()).resolve() == (state_dir / "pods/local/container/tmp").resolve()


async def test_a_started_pod_survives_its_starter_and_a_second_start_changes_nothing(
    provider: LocalProvider, state_dir: Path
) -> None:
    command = [sys.executable, "-m", "remote", "--state-dir", str(state_dir), "start"]
    printed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    pod = await provider.start("local")
    assert pod.status is PodStatus.RUNNING
    assert pod.endpoint is not None
    assert printed["ssh"] == {"host": "127.0.0.1", "port": pod.endpoint.port}


async def test_two_processes_that_start_at_once_get_one_server(provider: LocalProvider, state_dir: Path) -> None:
    command = [sys.executable, "-m", "remote", "--state-dir", str(state_dir), "start"]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    own, again = await asyncio.gather(provider.start("local"), provider.start("local"))
    printed = [json.loads(starter.communicate()[0]) for starter in starters]
    assert own.endpoint is not None
    assert own == again
    assert {row["ssh"]["port"] for row in printed} == {own.endpoint.port}
    assert sum(line.endswith("Pod Started") for line in await provider.logs("local")) == 1


async def test_a_killed_server_is_told_and_the_pod_starts_again(provider: LocalProvider, state_dir: Path) -> None:
    before = await provider.start("local")
    server = Sandbox(state_dir / "pods/local").read().server
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    await gone(server.pid)
    (seen,) = await provider.list()
    assert seen.status is PodStatus.STOPPED
    assert seen.endpoint is None
    assert seen.detail is not None
    assert "died" in seen.detail
    assert seen.stopped_at is not None
    assert before.started_at is not None
    assert before.started_at <= seen.stopped_at <= time.time() + 1
    after = await provider.start("local")
    assert after.session != before.session
    async with ssh.connect(after, provider, state_dir) as connection:
        assert (await connection.run(["true"])).exit_code == 0


async def test_a_stop_ends_jobs_and_what_escaped_their_group(provider: LocalProvider, state_dir: Path) -> None:
    pod = await provider.start("local")
    async with ssh.connect(pod, provider, state_dir) as connection:
        job = await launch(connection)
        assert processes.start_time(job["pid"]) and processes.start_time(job["escapee"])
    await provider.stop("local")
    assert processes.start_time(job["pid"]) is None
    assert processes.start_time(job["escapee"]) is None
    assert processes.carrying(MARK, str(state_dir / "pods/local")) == []


async def test_jobs_of_a_killed_server_are_told_and_end_before_the_next_start(
    provider: LocalProvider, state_dir: Path
) -> None:
    pod = await provider.start("local")
    async with ssh.connect(pod, provider, state_dir) as connection:
        job = await launch(connection)
    server = Sandbox(state_dir / "pods/local").read().server
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    await gone(server.pid)
    assert processes.start_time(job["pid"]) is not None
    assert "still run" in ((await provider.get("local")).detail or "")
    await provider.start("local")
    assert processes.start_time(job["pid"]) is None
    assert processes.start_time(job["escapee"]) is None


async def test_a_pid_that_was_reused_is_never_killed(provider: LocalProvider) -> None:
    pod = await provider.start("local")
    bystander = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        notes = Path(pod.root) / ".maxcai/runs/R9/.agent"
        notes.mkdir(parents=True)
        (notes / "start.json").write_text(json.dumps({"pid": bystander.pid, "pid_start": "1"}))
        await provider.stop("local")
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


async def test_commands_see_settings_but_no_secret_of_this_machine(state_dir: Path) -> None:
    environ = {
        **os.environ,
        "RUNPOD_API_KEY": "rpa_" + "0123456789abcdefghijklmnop",
        "HF_TOKEN": "hf_" + "0123456789abcdefghijklmnop",
        "MAXCAI_NOTE": "rpa_" + "0123456789abcdefghijklmnop",
        "MAXCAI_CACHE_DIR": "/cache",
        "OMP_NUM_THREADS": "2",
        "EDITOR": "vi",
    }
    provider = LocalProvider(state_dir, time.time, environ)
    pod = await provider.start("local")
    try:
        async with ssh.connect(pod, provider, state_dir) as connection:
            lines = (await connection.run(["env"])).stdout.decode().splitlines()
        server = Sandbox(state_dir / "pods/local").read().server
        assert server is not None
        if Path("/proc").exists():
            assert b"0123456789abcdef" not in Path(f"/proc/{server.pid}/environ").read_bytes()
    finally:
        await provider.stop("local")
    seen = dict(line.split("=", 1) for line in lines)
    assert seen["MAXCAI_CACHE_DIR"] == "/cache"
    assert seen["OMP_NUM_THREADS"] == "2"
    assert seen["HOME"] == str(state_dir / "pods/local/container/home")
    assert not {"RUNPOD_API_KEY", "HF_TOKEN", "MAXCAI_NOTE", "EDITOR", "PYTHONPATH"} & set(seen)
    assert seen["XDG_CACHE_HOME"] == os.environ.get("XDG_CACHE_HOME", f"{os.environ['HOME']}/.cache")


async def test_a_pod_that_never_started_is_listed_as_stopped_without_a_start_time(provider: LocalProvider) -> None:
    (pod,) = await provider.list()
    assert (pod.id, pod.status, pod.started_at, pod.endpoint) == ("local", PodStatus.STOPPED, None, None)
    assert (await provider.stop("local")).status is PodStatus.STOPPED


async def test_the_price_is_the_one_at_the_start(state_dir: Path) -> None:
    provider = LocalProvider(state_dir, time.time, {**os.environ, "MAXCAI_LOCAL_PRICE": "1.74"})
    pod = await provider.start("local")
    try:
        assert pod.price_per_hour == Decimal("1.74")
        (seen,) = await LocalProvider(state_dir, time.time, {**os.environ}).list()
        assert seen.price_per_hour == Decimal("1.74")
    finally:
        await provider.stop("local")
    with pytest.raises(ConfigError, match="no price"):
        LocalProvider(state_dir, time.time, {"MAXCAI_LOCAL_PRICE": "cheap"})


async def test_a_server_that_cannot_start_is_explained(state_dir: Path) -> None:
    provider = LocalProvider(state_dir, time.time, dict(os.environ))
    Sandbox(state_dir / "pods/local").prepare()
    (state_dir / "pods/local/server.pid").mkdir()
    with pytest.raises(ProviderError, match=r"did not start: .*server\.pid"):
        await provider.start("local")
    assert (await provider.get("local")).status is PodStatus.STOPPED


async def test_terminate_removes_the_workspace(provider: LocalProvider) -> None:
    pod = await provider.start("local")
    (Path(pod.root) / "data").write_text("x")
    await provider.terminate("local")
    assert not Path(pod.root).exists()
    assert (await provider.get("local")).status is PodStatus.STOPPED


async def test_a_server_whose_folder_was_deleted_ends_by_itself(tmp_path: Path) -> None:
    async with asyncio.timeout(1):
        await until_stopped(asyncio.Event(), tmp_path / "server.pid", lambda: None)


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\x00", b"[]", b'{"phase":"running","port":"x"}', b"[" * 100_000, None]
)
async def test_a_damaged_record_of_a_living_pod_starts_no_second_one_and_is_mended_by_the_pod(
    provider: LocalProvider, state_dir: Path, damage: bytes | None
) -> None:
    sandbox = Sandbox(state_dir / "pods/local")
    sandbox.prepare()
    me = processes.identify(os.getpid())  # stands for the living server, whose own mending comes every few seconds
    assert me is not None
    sandbox.pid_file.write_text(f"{me.pid} {me.started}\n")
    record = State("running", 1000.0, port=2222, pid=me.pid, pid_started=me.started, wall=1000.0, price="1.5")
    sandbox.write(record)
    path = state_dir / "pods/local/state.json"
    path.unlink() if damage is None else path.write_bytes(damage)
    for act in (provider.start, provider.get):
        with pytest.raises(ProviderUnavailable, match="damaged") as refusal:
            await act("local")
        assert refusal.value.exit_code == 4
    mended = asyncio.Event()

    def mend() -> None:
        _mend(sandbox, record)
        mended.set()

    async with asyncio.timeout(5):
        await until_stopped(mended, sandbox.pid_file, mend)
    assert sandbox.read() == record
    path.write_bytes(b"{")
    sandbox.pid_file.write_text("1 0\n")  # nobody lives
    (pod,) = await provider.list()
    assert (pod.status, pod.detail) == (PodStatus.STOPPED, "its record was damaged")


async def test_another_pod_id_is_not_found(provider: LocalProvider) -> None:
    with pytest.raises(NotFound, match="elsewhere"):
        await provider.start("elsewhere")


def test_an_unknown_provider_is_one_clear_sentence(state_dir: Path) -> None:
    with pytest.raises(ConfigError, match='no provider "lokal"') as refusal:
        registry.provider("lokal", state_dir, time.time)
    assert refusal.value.exit_code == 2


async def test_a_frozen_clock_still_makes_every_start_a_session_of_its_own(state_dir: Path) -> None:
    provider = LocalProvider(state_dir, lambda: 1000.0, dict(os.environ))
    first = await provider.start("local")
    async with ssh.connect(first, provider, state_dir):
        assert first.started_at == 1000.0
    await provider.stop("local")
    second = await provider.start("local")
    try:
        async with ssh.connect(second, provider, state_dir):
            pins = PinStore(state_dir)
        assert first.session
        assert second.session
        assert pins.get(first.session) != pins.get(second.session)
    finally:
        await provider.stop("local")

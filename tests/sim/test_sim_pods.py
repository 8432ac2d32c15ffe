"""The test bed's pods behave as rented ones do, in every tier that works here, and leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from remote import jobs
from remote.agent.client import Agent
from remote.errors import AuthRejected, HostKeyMismatch, PythonMissing
from remote.link.hostkeys import parse
from remote.processes import identify
from tests.sim import pods
from tests.sim.pods import LesserTier, Namespaces, choose, image, janitor, namespaces
from tests.sim.pods.access import connected, request
from tests.sim.pods.base import PodStartError, RunningPod
from tests.sim.pods.factory import Factory
from tests.sim.pods.fixtures import working
from tests.sim.pods.ports import PortPool

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(params=pods.TIERS, ids=[kind.name for kind in pods.TIERS])
async def factory(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Factory]:
    factory = working(request.param, tmp_path / "sim", slow_boot_s=0.4)
    yield factory
    await factory.close()
    assert list((tmp_path / "sim").iterdir()) == []


@pytest.fixture(params=pods.TIERS[:2], ids=[kind.name for kind in pods.TIERS[:2]])
async def with_sshd(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Factory]:
    """The tiers with a real sshd; tier C differs from B in nothing but its server."""
    factory = working(request.param, tmp_path / "sim", slow_boot_s=0.4)
    yield factory
    await factory.close()


@pytest.fixture
async def contained(tmp_path: Path) -> AsyncIterator[Factory]:
    """Tier A: what the others cannot show."""
    factory = working(Namespaces, tmp_path / "sim", full_disk_bytes=1 << 20)
    yield factory
    await factory.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / ".maxcai"


async def said(pod: RunningPod, state: Path, command: str, started_at: float = 1.0) -> tuple[int, str]:
    async with connected(pod, state, started_at=started_at) as conn:
        done = await conn.run(["sh", "-c", command])
    return done.exit_code, (done.stdout + done.stderr).decode().strip()


async def until(truth: Callable[[], bool], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not truth():
            await asyncio.sleep(0.005)


async def test_a_pod_boots_with_the_log_of_an_official_image_and_lets_our_key_in(factory: Factory, state: Path) -> None:
    pod = await factory.start(request(state, gpu_count=2, env={"NOTE": "two\nlines 'quoted'"}))
    assert isinstance(pod, RunningPod) and pod.alive
    log = pod.log_lines()
    order = ["Pod Started", "Setting up SSH...", "ED25519 key fingerprint:", "SSH host keys:"]
    order += ["Key: /etc/ssh/ssh_host_ed25519_key.pub", "Exporting environment variables...", image.FINISHED]
    assert [line for line in log if line in order] == order
    assert "ED25519" in {key.kind for key in parse(log)}
    code, text = await said(pod, state, f"test -w {pod.root} && nvidia-smi -L && echo $HOME && python3 -c 'print(6*7)'")
    lines = text.splitlines()
    assert code == 0 and lines[0].startswith("GPU 0: ") and lines[1].startswith("GPU 1: ") and lines[3] == "42"
    assert lines[2] != str(Path.home()) or factory.name == "namespaces"
    pod.gpu_control.write_text("vanish")
    assert await said(pod, state, "nvidia-smi") == (255, "Failed to initialize NVML: Unknown Error")


async def test_a_stranger_is_not_let_in_and_another_key_is_noticed(
    with_sshd: Factory, state: Path, tmp_path: Path
) -> None:
    pod = await with_sshd.start(request(state))
    with pytest.raises(AuthRejected):
        await said(pod, tmp_path / "stranger", "true")
    await said(pod, state, "true", started_at=1.0)
    await pod.stop()
    again = await with_sshd.start(request(state, start_index=1))
    with pytest.raises(HostKeyMismatch):  # as one whose pins say that this is still the first start
        await said(again, state, "true", started_at=1.0)


async def test_a_stop_ends_everything_and_keeps_only_the_volume(factory: Factory, state: Path) -> None:
    pod = await factory.start(request(state))
    before = len(pod.pids())
    job = f"cd {pod.root} && echo \"trap '' TERM HUP; touch up; while :; do sleep 60; done\" > job && touch kept"
    escape = '(env -i PATH="$PATH" setsid sh job &) </dev/null >/dev/null 2>&1; touch ~/wiped'
    wait = "while ! [ -e up ]; do sleep 0.01; done"
    assert await said(pod, state, f"{job} && {escape} && {wait}") == (0, "")
    await until(lambda: len(pod.pids()) == before + 2)  # the job, its environment emptied, and its sleep
    living = [process for pid in pod.pids() if (process := identify(pid))]
    await pod.stop()
    assert not pod.alive and pod.pids() == [] and not any(process.alive for process in living)
    assert [path.name for path in pod.folder.iterdir() if path.is_dir()] == ["gpu"]
    await pod.stop()
    again = await factory.start(request(state, start_index=1))
    assert again.port != pod.port
    assert not set(parse(again.log_lines())) & set(parse(pod.log_lines()))
    assert await said(again, state, f"ls {again.root} ~/wiped 2>/dev/null", 2.0) == (2, f"{again.root}:\njob\nkept\nup")
    with socket.socket() as probe:  # tests that run beside this one take ports of the same range
        was_free = probe.connect_ex(("127.0.0.1", pod.port)) != 0
    other = await factory.start(request(state, "pod2", volume=None))
    assert other.port == pod.port or not was_free  # handed on to another pod
    await factory.destroy_volume("vol1")


async def test_a_minimal_image_lacks_what_custom_images_lack(with_sshd: Factory, state: Path) -> None:
    pod = await with_sshd.start(request(state, variant="minimal"))
    code, text = await said(pod, state, "for name in rsync tmux curl sh python3 tar; do command -v $name; done")
    assert code == 0 and [Path(line).name for line in text.splitlines()] == ["sh", "python3", "tar"]


async def test_an_image_without_python_has_none_and_the_agent_says_so(with_sshd: Factory, state: Path) -> None:
    pod = await with_sshd.start(request(state, variant="no-python"))
    assert pod.python is None
    async with connected(pod, state) as conn:
        assert (await conn.run(["python3", "-V"])).exit_code == 127
        with pytest.raises(PythonMissing):
            await Agent(conn).hello()


async def test_an_image_without_ssh_shows_no_keys_and_answers_nobody(with_sshd: Factory, state: Path) -> None:
    pod = await with_sshd.start(request(state, variant="no-ssh"))
    assert image.FINISHED in pod.log_lines() and parse(pod.log_lines()) == ()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(pod.host, pod.port)
    assert pod.alive


async def test_a_slow_boot_is_returned_before_ssh_answers(with_sshd: Factory, state: Path) -> None:
    pod = await with_sshd.start(request(state, variant="slow-boot"))
    assert image.FINISHED not in pod.log_lines()
    await pod.booted()
    assert (await said(pod, state, "true"))[0] == 0


async def test_the_agent_runs_and_a_job_is_lost_with_its_pod(with_sshd: Factory, state: Path) -> None:
    pod = await with_sshd.start(request(state, gpu_count=2, env={"NOTE": "two\nlines 'quoted'"}))
    run_id = jobs.new_run_id(1.7e9)
    async with connected(pod, state, started_at=1.0) as conn:
        agent = Agent(conn)
        assert len((hello := await agent.hello()).gpus) == 2
        job = 'printf %s "$NOTE" > note && mv note seen; while :; do sleep 60; done'
        assert (await jobs.launch(agent, jobs.LaunchSpec(run_id, 1, ("sh", "-c", job)))).started
        seen = f"cd {agent.run_dir(run_id)}; while ! [ -e seen ]; do sleep 0.01; done; cat seen"
        assert (await conn.run(["sh", "-c", seen])).stdout.decode() == "two\nlines 'quoted'"
    await pod.stop()
    again = await with_sshd.start(request(state, start_index=1, gpu_count=2))
    async with connected(again, state, started_at=2.0) as conn:
        agent = Agent(conn)
        if with_sshd.name == "namespaces":
            assert (await agent.hello()).incarnation != hello.incarnation
        assert (await jobs.status(agent, run_id)).state is jobs.JobState.LOST


async def test_what_a_killed_owner_leaves_is_removed(tmp_path: Path, factory: Factory, state: Path) -> None:
    parent = factory.home.parent
    script = f"""
import asyncio, sys
from pathlib import Path
from tests.sim.pods import choose
from tests.sim.pods.access import request

async def main():
    factory = choose({factory.name!r}, Path({str(parent)!r}))
    variant = "full-disk" if {factory.name == "namespaces"} else "official"
    pod = await factory.start(request(Path({str(state)!r}), "orphan", volume="other", variant=variant))
    print(factory.home, *pod.pids(), flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=REPOSITORY) as owner:
        assert owner.stdout is not None
        home, *pids = (await asyncio.to_thread(owner.stdout.readline)).decode().split()
        left = [process for pid in pids if (process := identify(int(pid)))]
        assert left
        owner.kill()
    if sys.platform == "linux":
        await until(lambda: not any(process.alive for process in left))
    (moved := tmp_path / "moved").mkdir()
    Path(home).rename(moved / Path(home).name)  # as a test runner does with the folders of earlier runs
    await janitor.sweep()
    assert janitor.mounts_of(Path(home)) == [] and not any(process.alive for process in left)
    assert factory.home.exists()  # its owner lives


async def test_a_frozen_first_process_does_not_save_a_pod(with_sshd: Factory, state: Path) -> None:
    pod = await with_sshd.start(request(state))
    for pid in pod.pids():
        os.kill(pid, signal.SIGSTOP)
    await pod.stop()
    assert pod.pids() == [] and not pod.alive


async def test_a_pod_is_not_started_twice_under_one_number(with_sshd: Factory, state: Path) -> None:
    await with_sshd.start(request(state))
    with pytest.raises(PodStartError, match="already started"):
        await with_sshd.start(request(state))
    with pytest.raises(ValueError, match="cannot name"):
        await with_sshd.start(request(state, "../out"))


async def test_a_contained_pod_has_its_own_processes_files_and_name(contained: Factory, state: Path) -> None:
    (mine := Path("/tmp") / f"seen-{os.getpid()}").touch()
    try:
        pod = await contained.start(request(state, env={"NOTE": "two\nlines"}))
        look = f"hostname; readlink /proc/1/ns/pid; ls -A {mine} /dev/shm /tmp 2>/dev/null; cat /proc/1/environ"
        _, text = await said(pod, state, look)
    finally:
        mine.unlink()
    hostname, namespace, rest = text.split("\n", 2)
    assert hostname == "pod1" and namespace != os.readlink("/proc/self/ns/pid")
    assert mine.name not in text
    environ = rest.partition("/tmp:\n")[2]
    variables = dict(word.split("=", 1) for word in environ.split("\0") if word)
    assert variables["NOTE"] == "two\nlines" and variables["RUNPOD_POD_ID"] == "pod1"
    assert variables["RUNPOD_TCP_PORT_22"] == str(pod.port) and variables["PUBLIC_KEY"].startswith("ssh-ed25519 ")
    assert not [name for name in variables if name.startswith("MAXCAI_SIM")]
    assert await said(pod, state, 'echo "$RUNPOD_POD_ID$NOTE"') == (0, "")  # a command over SSH does not see them
    assert await said(pod, state, f"{sys.executable} -c 'print(1)' && touch /bin/new && echo ok") == (0, "1\nok")
    assert not Path("/bin/new").exists()


async def test_a_pod_that_is_gone_never_takes_another_for_its_own(
    contained: Factory, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel gives the number of a namespace that is gone to the next one."""
    gone = await contained.start(request(state, "gone"))
    number = os.readlink(f"/proc/{max(gone.pids())}/ns/pid")
    await gone.stop()
    pod = await contained.start(request(state, "next"))
    real, inside = namespaces._namespaces, set(pod.pids())

    def reused() -> dict[int, tuple[int, str]]:
        return {pid: (parent, number if pid in inside else ns) for pid, (parent, ns) in real().items()}

    monkeypatch.setattr(namespaces, "_namespaces", reused)
    assert gone.pids() == []
    await gone.stop()
    assert pod.alive and len(pod.pids()) > 1


async def test_a_full_disk_is_full_and_is_kept(contained: Factory, state: Path) -> None:
    pod = await contained.start(request(state, variant="full-disk"))
    code, text = await said(pod, state, "head -c 2000000 /dev/zero > /workspace/big")
    assert code != 0 and "No space left on device" in text
    await pod.stop()
    again = await contained.start(request(state, start_index=1, variant="full-disk"))
    assert await said(again, state, "stat -c %s /workspace/big", 2.0) == (0, str(1 << 20))
    await again.stop()
    await contained.destroy_volume("vol1")
    assert janitor.mounts_of(contained.home) == []


@pytest.mark.parametrize("kind", pods.TIERS[1:], ids=lambda kind: kind.name)
async def test_a_tier_that_cannot_make_a_small_disk_says_so(kind: type[Factory], tmp_path: Path, state: Path) -> None:
    factory = working(kind, tmp_path / "sim")
    with pytest.raises(PodStartError, match="cannot make a small disk"):
        await factory.start(request(state, variant="full-disk"))
    await factory.close()


def test_the_best_tier_that_works_is_chosen_and_the_reasons_are_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    best, second, last = pods.TIERS
    monkeypatch.setattr(best, "why_not", staticmethod(lambda: None))
    assert choose("auto", tmp_path).name == "namespaces"
    monkeypatch.setattr(best, "why_not", staticmethod(lambda: "only root may"))
    monkeypatch.setattr(second, "why_not", staticmethod(lambda: "there is no sshd"))
    with pytest.warns(LesserTier, match="tier embedded: not in tier namespaces, as only root may; .* no sshd"):
        assert choose("auto", tmp_path).name == last.name
    with pytest.raises(PodStartError, match="only root may"):
        choose("namespaces", tmp_path)
    with pytest.raises(ValueError, match="No tier"):
        choose("cloud", tmp_path)


def test_an_account_that_sshd_refuses_is_found_out() -> None:
    passwd = "root:x:0:0:root:/root:/bin/bash\nweb:x:33:33:web:/srv:/usr/sbin/nologin\n"
    assert image.why_no_login("root", passwd, "root:*:1::::::\n") is None
    assert image.why_no_login("root", passwd, "") is None
    assert "locked" in str(image.why_no_login("root", passwd, "root:!*:1::::::\n"))
    assert "no login shell" in str(image.why_no_login("web", passwd, ""))
    assert "not in the password file" in str(image.why_no_login("4711", passwd, ""))


def test_ports_are_reused_but_never_by_the_pod_that_had_them(tmp_path: Path) -> None:
    one, two = PortPool(tmp_path), PortPool(tmp_path)
    with contextlib.closing(one), contextlib.closing(two):
        first = one.take("a", 20100, 20103)
        assert two.take("z", 20100, 20103) != first  # another process's pool sees the lock
        one.give_back(first)
        assert one.take("a", 20100, 20103) != first
        assert one.take("b", 20100, 20103) == first
        one.take("c", 20100, 20103)
        with pytest.raises(PodStartError, match="No port"):
            one.take("d", 20100, 20103)


@pytest.fixture
def smi(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    image.write_nvidia_smi(tmp_path / "nvidia-smi", str(tmp_path / "control"), 2)

    def run(mode: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "control").write_text(mode)
        return subprocess.run([tmp_path / "nvidia-smi", *arguments], capture_output=True, text=True, check=False)

    return run


def test_nvidia_smi_answers_as_the_real_one_prints(smi: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    query = "--query-gpu=index,utilization.gpu,memory.used,power.draw,pstate"
    plain = smi("values", query, "--format=csv,noheader,nounits")
    assert plain.stdout == "0, 87, 40536, 287.31, P0\n1, 87, 40536, 287.31, P0\n"
    units = smi("values", query, "--format=csv,noheader", "-i", "1")
    assert units.stdout == "1, 87 %, 40536 MiB, 287.31 W, P0\n"
    blank = smi("n/a power.draw=ERR!", query, "--format=csv,noheader,nounits", "-i", "0")
    assert blank.stdout == "0, [N/A], [N/A], ERR!, [N/A]\n"
    wrong = smi("values", "--query-gpu=warp", "--format=csv")
    assert wrong.returncode == 2 and 'Field "warp" is not a valid field to query.' in wrong.stdout
    assert smi("absent", query).returncode == 127
    assert len(smi("values", "-L").stdout.splitlines()) == 2


async def test_nvidia_smi_changes_its_mind_while_it_loops(tmp_path: Path) -> None:
    image.write_nvidia_smi(tmp_path / "nvidia-smi", str(control := tmp_path / "control"), 1)
    control.write_text("values period=0.02")
    process = await asyncio.create_subprocess_exec(
        tmp_path / "nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "-l", "1",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    async with asyncio.timeout(10):
        assert await process.stdout.readline() == b"87\n"
        control.write_text("n/a period=0.02")
        while await process.stdout.readline() != b"[N/A]\n":
            pass
        control.write_text("hang")
        with contextlib.suppress(TimeoutError):
            while await asyncio.wait_for(process.stdout.readline(), 0.3):
                pass
        process.terminate()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.3)
        process.kill()
        await process.wait()

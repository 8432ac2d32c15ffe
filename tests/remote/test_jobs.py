"""A job is started exactly once, survives everything but its own end, and its state is never a guess."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection, end_everything, until

from remote import jobs
from remote.agent.client import Agent
from remote.agent.kernel import start_time
from remote.agent.runs import Pod
from remote.errors import AlreadyRan, Busy, JobError, LaunchUnconfirmed, UnsafePath
from remote.jobs import JobState, LaunchSpec


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    end_everything(tmp_path)


@pytest.fixture
def conn(root: Path) -> SubprocessConnection:
    return SubprocessConnection(root)


@pytest.fixture
def agent(conn: SubprocessConnection) -> Agent:
    return Agent(conn)


def sh(run_id: str, script: str, attempt: int = 1, exclusive: bool = True) -> LaunchSpec:
    return LaunchSpec(run_id, attempt, ("sh", "-c", script), exclusive=exclusive)


def note(root: Path, run_id: str, name: str) -> Path:
    return root / ".maxcai/runs" / run_id / ".agent" / name


def start_record(root: Path, run_id: str) -> dict[str, int]:
    record: dict[str, int] = json.loads(note(root, run_id, "start.json").read_bytes())
    return record


async def ended(agent: Agent, run_id: str) -> jobs.JobStatus:
    async with asyncio.timeout(20):
        while (now := await jobs.status(agent, run_id)).state.alive:
            await asyncio.sleep(0.02)
    return now


def test_a_run_id_is_a_ulid_that_sorts_by_time() -> None:
    known = jobs.new_run_id(1469918176.385, lambda n: b"\0" * n)
    assert known == "01ARYZ6S410000000000000000"  # the time part of the example in the ULID specification
    ids = [jobs.new_run_id(1_700_000_000 + second) for second in range(50)]
    assert ids == sorted(ids)
    assert len({jobs.new_run_id(1.0) for _ in range(100)}) == 100


async def test_a_job_runs_detached_and_its_exit_code_and_output_are_kept(agent: Agent, root: Path) -> None:
    launched = await jobs.launch(agent, sh("A", 'echo out; echo err >&2; echo "$MAXCAI_RUN_ID"; exit 7'))
    assert launched.started
    status = await ended(agent, "A")
    assert (status.state, status.exit_code, status.attempt) == (JobState.EXITED, 7, 1)
    assert note(root, "A", "console.log").read_text() == "out\nerr\nA\n"
    assert status.sizes[".agent/console.log"] == len("out\nerr\nA\n")


async def test_thirty_launches_of_one_run_at_once_start_one_process(agent: Agent, root: Path) -> None:
    await agent.hello()
    spec = sh("A", f"echo marker >> {root}/marker; read line < {root}/never-there || exec sleep 60")
    done = await asyncio.gather(*(jobs.launch(agent, spec) for _ in range(30)))
    assert sum(launched.started for launched in done) == 1
    assert {launched.status.pid for launched in done} == {done[0].status.pid}
    await until((root / "marker").exists)
    assert (root / "marker").read_text() == "marker\n"


async def test_probing_the_state_never_makes_a_launch_fail(agent: Agent) -> None:
    await agent.hello()
    for number in range(5):
        spec = sh(f"A{number}", "exit 0", exclusive=False)
        probes = (jobs.status(agent, spec.run_id) for _ in range(6))
        launched, *_ = await asyncio.gather(jobs.launch(agent, spec), *probes)
        assert launched.started


async def test_two_different_runs_at_once_leave_one_busy(agent: Agent) -> None:
    await agent.hello()
    specs = [sh("A", "exec sleep 60"), sh("B", "exec sleep 60")]
    done = await asyncio.gather(*(jobs.launch(agent, spec) for spec in specs), return_exceptions=True)
    refused = [error for error in done if isinstance(error, Busy)]
    assert len(refused) == 1
    alive = [status for status in await jobs.runs(agent) if status.state is JobState.RUNNING]
    assert len(alive) == 1
    assert f"run {alive[0].run_id} " in str(refused[0])
    beside = await jobs.launch(agent, sh("C", "exit 0", exclusive=False))
    assert beside.started


async def test_a_lost_reply_makes_no_second_run(agent: Agent, conn: SubprocessConnection, root: Path) -> None:
    await agent.hello()
    spec = sh("A", f"echo once >> {root}/marker; sleep 0.3; echo the end")
    conn.lose_next_reply = True
    with pytest.raises(LaunchUnconfirmed) as caught:
        await jobs.launch(agent, spec)
    assert caught.value.retryable
    again = await jobs.launch(Agent(SubprocessConnection(root)), spec)
    assert not again.started
    status = await ended(agent, "A")
    assert status.exit_code == 0
    assert (root / "marker").read_text() == "once\n"
    assert note(root, "A", "console.log").read_text() == "the end\n"


async def test_a_connection_cut_right_after_launch_leaves_the_job_running(
    agent: Agent, conn: SubprocessConnection, root: Path
) -> None:
    await agent.hello()
    script = "i=0; while [ $i -lt 300 ]; do echo line $i; i=$((i+1)); done; sleep 0.2; echo the end"
    request = {"run_id": "A", "attempt": 1, "argv": ["sh", "-c", script]}
    async with conn.open(agent.argv("launch")) as process:
        await process.write(json.dumps(request).encode() + b"\n")
        assert b'"launched":true' in await process.read()
    # leaving the context killed the session of the launching command
    status = await ended(agent, "A")
    assert status.exit_code == 0
    assert note(root, "A", "console.log").read_text() == "".join(f"line {i}\n" for i in range(300)) + "the end\n"


async def test_an_ended_run_is_not_started_again_by_its_old_launch(agent: Agent) -> None:
    await jobs.launch(agent, sh("A", "exit 3"))
    await ended(agent, "A")
    again = await jobs.launch(agent, sh("A", "exit 3"))
    assert (again.started, again.status.exit_code) == (False, 3)
    with pytest.raises(AlreadyRan):
        await jobs.launch(agent, sh("A", "exit 4"))


async def test_a_resume_is_the_next_attempt_and_waits_for_the_last_to_end(agent: Agent) -> None:
    await jobs.launch(agent, sh("A", "exec sleep 60"))
    with pytest.raises(Busy):
        await jobs.launch(agent, sh("A", "exit 0", attempt=2, exclusive=False))
    await jobs.cancel(agent, "A", grace_s=5)
    with pytest.raises(JobError, match="attempt 3"):
        await jobs.launch(agent, sh("A", "exit 0", attempt=3))
    second = await jobs.launch(agent, sh("A", "exit 0", attempt=2))
    assert second.started
    status = await ended(agent, "A")
    assert (status.attempt, status.attempts, status.exit_code) == (2, (1, 2), 0)
    assert (await jobs.status(agent, "A", 1)).exit_code == -signal.SIGTERM


async def test_a_killed_supervisor_means_orphaned_then_lost_and_never_running(agent: Agent, root: Path) -> None:
    await jobs.launch(agent, sh("A", "exec sleep 60"))
    record = start_record(root, "A")
    os.kill(record["supervisor"], signal.SIGKILL)
    await until(lambda: start_time(record["supervisor"]) is None)
    assert (await jobs.status(agent, "A")).state is JobState.ORPHANED
    with pytest.raises(Busy, match="orphaned"):
        await jobs.launch(agent, sh("B", "exit 0"))
    os.kill(record["pid"], signal.SIGKILL)
    await until(lambda: start_time(record["pid"]) is None)
    status = await jobs.status(agent, "A")
    assert (status.state, status.exit_code) == (JobState.LOST, None)
    again = await jobs.launch(agent, sh("A", "exec sleep 60"))
    assert (again.started, again.status.state) == (False, JobState.LOST)
    assert (await jobs.launch(agent, sh("B", "exit 0"))).started


async def test_an_orphan_can_be_cancelled(agent: Agent, root: Path) -> None:
    await jobs.launch(agent, sh("A", "trap '' TERM; setsid sleep 300 & while :; do sleep 1; done"))
    record = start_record(root, "A")
    os.kill(record["supervisor"], signal.SIGKILL)
    await until(lambda: start_time(record["supervisor"]) is None)
    status = await jobs.cancel(agent, "A", grace_s=0.2)
    assert status.state is JobState.LOST
    assert carrying("A") == []


async def test_cancel_leaves_no_survivor_not_even_one_that_ignores_term_or_left_its_session(agent: Agent) -> None:
    script = "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 300; sleep 300' & echo ready; while :; do sleep 1; done"
    await jobs.launch(agent, sh("A", script))
    async with asyncio.timeout(10):
        while len(carrying("A")) < 3:
            await asyncio.sleep(0.02)
    begin = time.monotonic()
    status = await jobs.cancel(agent, "A", grace_s=0.3)
    assert (status.state, status.exit_code, status.canceled) == (JobState.EXITED, -signal.SIGKILL, True)
    assert carrying("A") == []
    assert time.monotonic() - begin < 10


async def test_cancel_gives_the_job_its_grace(agent: Agent, root: Path) -> None:
    await jobs.launch(agent, sh("A", "trap 'echo saved; exit 1' TERM; echo ready; while :; do sleep 0.05; done"))
    await until(lambda: note(root, "A", "console.log").read_text() == "ready\n")
    status = await jobs.cancel(agent, "A", grace_s=30)
    assert status.exit_code == 1
    assert note(root, "A", "console.log").read_text().endswith("saved\n")


async def test_a_second_shorter_cancel_shortens_the_wait(agent: Agent, root: Path) -> None:
    await jobs.launch(agent, sh("A", "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"))
    await until(lambda: note(root, "A", "console.log").read_text() == "ready\n")
    patient = asyncio.create_task(jobs.cancel(agent, "A", grace_s=600))
    await until(lambda: "asked" in note(root, "A", "console.log").read_text())
    status = await jobs.cancel(agent, "A", grace_s=0)
    assert status.exit_code == -signal.SIGKILL
    assert (await patient).exit_code == -signal.SIGKILL


async def test_what_a_finished_job_left_behind_is_ended_before_it_counts_as_exited(agent: Agent) -> None:
    await jobs.launch(agent, sh("A", "setsid sleep 300 & exit 5"))
    status = await ended(agent, "A")
    assert status.exit_code == 5
    assert carrying("A") == []


async def test_a_command_that_cannot_be_executed_is_reported_and_uses_up_no_attempt(agent: Agent) -> None:
    with pytest.raises(JobError, match=r"no-such-program.*No such file"):
        await jobs.launch(agent, LaunchSpec("A", 1, ("no-such-program",)))
    assert (await jobs.status(agent, "A")).state is JobState.ABSENT
    assert (await jobs.launch(agent, sh("A", "exit 0"))).started


async def test_a_tree_that_was_never_pushed_is_refused(agent: Agent) -> None:
    with pytest.raises(JobError, match="not on this pod"):
        await jobs.launch(agent, LaunchSpec("A", 1, ("true",), cwd_tree="0" * 64))


async def test_a_restarted_pod_shows_its_old_run_as_lost(agent: Agent, conn: SubprocessConnection, root: Path) -> None:
    await jobs.launch(agent, sh("A", "exec sleep 60"))
    later = root / "incarnation"
    later.write_text("another life of the container")
    argv = [*agent.argv("status"), "--incarnation-file", str(later)]
    done = await conn.run(argv, b'{"run_id":"A"}\n')
    assert json.loads(done.stdout)["status"]["state"] == "lost"


async def test_secrets_reach_the_job_and_no_file_of_the_pod(agent: Agent, root: Path) -> None:
    planted = "".join(["hf", "_", "Zz9" * 12])
    spec = LaunchSpec(
        "A", 1, ("sh", "-c", 'echo ${#TOKEN} "$PLAIN"'), env={"PLAIN": "p-value"}, secret_env={"TOKEN": planted}
    )
    assert planted not in repr(spec)
    await jobs.launch(agent, spec)
    await ended(agent, "A")
    assert note(root, "A", "console.log").read_text() == f"{len(planted)} p-value\n"
    assert json.loads(note(root, "A", "spec-1.json").read_bytes())["secrets"] == ["TOKEN"]
    for path in (root / ".maxcai").rglob("*"):
        assert not path.is_file() or planted.encode() not in path.read_bytes()


async def test_the_age_of_the_last_activity_is_told_and_new_output_makes_it_young(agent: Agent, root: Path) -> None:
    await jobs.launch(agent, sh("A", "echo ready; exec sleep 60"))
    await until(lambda: note(root, "A", "console.log").read_text() == "ready\n")
    age = (await jobs.status(agent, "A")).activity_age_s
    assert age is not None
    assert age < 30
    beat = json.loads(note(root, "A", "hb-1.json").read_bytes())
    sizes = {".agent/console.log": len("ready\n")}
    old = {**beat, "mono": time.monotonic(), "active": time.monotonic() - 500, "sizes": sizes}
    note(root, "A", "hb-1.json").write_text(json.dumps(old))
    age = (await jobs.status(agent, "A")).activity_age_s
    assert age is not None
    assert 500 <= age < 530
    with note(root, "A", "console.log").open("a") as out:
        out.write("more\n")
    assert (await jobs.status(agent, "A")).activity_age_s == 0.0
    assert (await jobs.status(agent, "B")).activity_age_s is None


async def test_a_job_that_died_of_a_full_disk_is_over_at_once_and_told_on_disk_when_there_is_room(
    tmp_path: Path,
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        conn = SubprocessConnection(small)
        conn.locks = str(tmp_path / "memory")
        agent = Agent(conn)
        await jobs.launch(agent, sh("A", "dd if=/dev/zero of=$MAXCAI_RUN_DIR/fill bs=4k 2>/dev/null; exit 28"))
        told = await ended(agent, "A")
        assert (told.state, told.exit_code) == (JobState.EXITED, 28)
        assert told.finished is not None
        assert not note(small, "A", "exit-1.json").exists()
        os.kill(start_record(small, "A")["supervisor"], 0)  # it lives, and waits for room
        note(small, "A", "../fill").unlink()
        await until(lambda: note(small, "A", "exit-1.json").exists())
        await until(lambda: not list(Path(conn.locks).glob("*-A-1*")))
        assert (await jobs.status(agent, "A")).exit_code == 28
    finally:
        end_everything(small)
        subprocess.run(["umount", "-l", str(small)], check=True)


async def test_an_exit_that_waits_in_memory_says_nothing_of_a_restarted_pod(
    agent: Agent, conn: SubprocessConnection, root: Path
) -> None:
    await jobs.launch(agent, sh("A", "sleep 60"))
    pod = Pod({"root": str(root), "locks": conn.locks, "incarnation_file": None})
    told = {"exit_code": 0, "finished": 1.0, "incarnation": "another"}
    Path(pod.exit_in_memory("A", 1)).write_text(json.dumps(told))
    assert (await jobs.status(agent, "A")).state is JobState.RUNNING
    Path(pod.exit_in_memory("A", 1)).write_text(json.dumps({**told, "incarnation": pod.incarnation}))
    assert (await jobs.status(agent, "A")).exit_code == 0


async def test_a_run_id_that_is_a_path_is_refused(agent: Agent) -> None:
    for bad in ("../x", "a/b", "", ".agent", "x" * 65):
        with pytest.raises(UnsafePath):
            await jobs.status(agent, bad)


def carrying(run_id: str) -> list[int]:
    """Pids of living processes of a run."""
    from remote.agent.kernel import carrying_run, start_time

    return [pid for pid in carrying_run(run_id) if start_time(pid) is not None]

"""Push, launch, follow and pull over the real SSH server of the embedded pod, across a broken connection."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from remote import jobs
from remote.agent.client import Agent
from remote.errors import Busy, SshError
from remote.link import ssh
from remote.pods.local import LocalProvider
from remote.sync.pull import pull, unpulled
from remote.sync.push import push
from remote.sync.scan import scan
from remote.watch.tail import follow

JOB = """
import os, sys, time
run = os.environ["MAXCAI_RUN_DIR"]
os.makedirs(run + "/logs", exist_ok=True)
for number in range(400):
    with open(run + "/events.jsonl", "a") as out:
        out.write('{"seq":%d}\\n' % number)
    print("line", number, flush=True)
    time.sleep(0.002)
while not os.path.exists(run + "/go"):
    time.sleep(0.01)
open(run + "/adapter.bin", "wb").write(bytes(range(256)) * 4096)
"""


async def cut_while_following(conn: ssh.SshConnection, agent: Agent, run_id: str, spool: Path) -> None:
    async for growth in follow(agent, run_id, spool, poll_s=0.02):
        if growth.stream == "events.jsonl":
            conn.abort()


async def test_a_run_over_ssh_survives_a_cut_and_comes_home_verified(
    provider: LocalProvider, state_dir: Path, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "job.py").write_text(JOB)
    pod = await provider.start("local")
    run_id, spool, home = jobs.new_run_id(1.7e9), tmp_path / "spool", tmp_path / "home"
    async with ssh.connect(pod, provider, state_dir) as conn:
        agent = Agent(conn)
        report = await push(agent, scan([(work, "")]), state_dir)
        spec = jobs.LaunchSpec(run_id, 1, (pod.python, "job.py"), cwd_tree=report.tree_id)
        assert (await jobs.launch(agent, spec)).started
        with pytest.raises(SshError):
            await cut_while_following(conn, agent, run_id, spool)
    async with ssh.connect(pod, provider, state_dir) as conn:
        agent = Agent(conn)
        assert not (await jobs.launch(agent, spec)).started
        with pytest.raises(Busy, match=run_id):
            await jobs.launch(agent, jobs.LaunchSpec("other", 1, ("true",)))
        (Path(agent.run_dir(run_id)) / "go").touch()
        async for growth in follow(agent, run_id, spool, until_exit=True, poll_s=0.02):
            assert growth.generation == 0
        status = await jobs.status(agent, run_id)
        assert (status.state, status.exit_code) == (jobs.JobState.EXITED, 0)
        on_pod = Path(agent.run_dir(run_id))
        for stream in ("events.jsonl", ".agent/console.log"):
            there = hashlib.sha256((on_pod / stream).read_bytes()).hexdigest()
            assert hashlib.sha256((spool / run_id / stream).read_bytes()).hexdigest() == there
        assert (await pull(agent, run_id, home)).complete
        assert await unpulled(agent, run_id, home) == []
        assert (home / "adapter.bin").read_bytes() == bytes(range(256)) * 4096

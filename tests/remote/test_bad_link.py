"""Transfers over a real SSH server behind a bad network: silence is noticed, and what was cut is taken up again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest
from msgspec.structs import replace

from remote.agent.client import Agent
from remote.errors import ConnectionLost, SshError
from remote.link import ssh
from remote.pods.local import LocalProvider
from remote.sync import pull as pulling
from remote.sync.push import push
from remote.sync.scan import scan
from remote.sync.talk import Watched, conversation
from remote.watch.tail import follow
from tests.sim.chaos import ChaosProxy, Link

CHUNK = 256 << 10


class Far:
    """The embedded pod behind a proxy."""

    def __init__(self, provider: LocalProvider, state_dir: Path, proxy: ChaosProxy) -> None:
        self.provider, self.state_dir, self.proxy = provider, state_dir, proxy

    @asynccontextmanager
    async def agent(self, keepalive_s: float = 0.25) -> AsyncIterator[Agent]:
        pod = await self.provider.get("local")
        assert pod.endpoint is not None
        far = replace(pod, endpoint=replace(pod.endpoint, port=self.proxy.port))
        async with ssh.connect(far, self.provider, self.state_dir, keepalive_s=keepalive_s) as connection:
            yield Agent(connection)


@pytest.fixture
async def far(provider: LocalProvider, state_dir: Path) -> AsyncIterator[Far]:
    pod = await provider.start("local")
    assert pod.endpoint is not None
    async with ChaosProxy((pod.endpoint.host, pod.endpoint.port), Link(delay_s=0.005)) as proxy:
        yield Far(provider, state_dir, proxy)


async def weights(far: Far, size: int) -> Path:
    async with far.agent(keepalive_s=5.0) as agent:
        await agent.hello()
        run = Path(agent.run_dir("A"))
    run.mkdir(parents=True)
    (run / "weights.bin").write_bytes(random.Random(1).randbytes(size))
    return run


async def hole_after(proxy: ChaosProxy, count: int, direction: str) -> None:
    """Half-open from the moment that so many bytes have passed."""
    while proxy.passed[direction] < count:  # type: ignore[index]
        await asyncio.sleep(0.01)
    proxy.blackhole()


async def test_a_half_open_link_ends_a_download_which_goes_on_where_it_was(far: Far, tmp_path: Path) -> None:
    run, home = await weights(far, 24 * CHUNK), tmp_path / "home"
    far.proxy.set(rate=4e6)
    hole = asyncio.create_task(hole_after(far.proxy, far.proxy.passed["down"] + 9 * CHUNK, "down"))
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionLost):
            async with far.agent() as agent:
                await pulling.pull(agent, "A", home, chunk=CHUNK)
    await hole
    far.proxy.reset()
    far.proxy.heal()
    far.proxy.set(rate=None)
    async with far.agent(keepalive_s=5.0) as agent:
        report = await pulling.pull(agent, "A", home, chunk=CHUNK)
    assert report.fetched_bytes < report.bytes, "verified chunks were not fetched again"
    assert (home / "weights.bin").read_bytes() == (run / "weights.bin").read_bytes()


async def test_a_half_open_link_ends_an_upload_and_leaves_no_tree(far: Far, tmp_path: Path, state_dir: Path) -> None:
    (tmp_path / "work").mkdir()
    for number in range(8):
        (tmp_path / f"work/{number}.bin").write_bytes(random.Random(number).randbytes(500_000))
    found = scan([(tmp_path / "work", "")])
    far.proxy.set(rate=4e6)
    async with far.agent(keepalive_s=5.0) as agent:
        await agent.hello()
        tree = Path(agent.tree_dir(found.tree_id))
    hole = asyncio.create_task(hole_after(far.proxy, far.proxy.passed["up"] + 1_500_000, "up"))
    async with asyncio.timeout(30):
        with pytest.raises(SshError):
            async with far.agent() as agent:
                await push(agent, found, state_dir)
    await hole
    assert not tree.exists()
    far.proxy.reset()
    far.proxy.heal()
    far.proxy.set(rate=None)
    async with far.agent(keepalive_s=5.0) as agent:
        await push(agent, found, state_dir)
    assert {path.name: path.read_bytes() for path in tree.iterdir()} == {
        path.name: path.read_bytes() for path in (tmp_path / "work").iterdir()
    }


async def test_a_slow_link_is_not_taken_for_a_silent_one_while_a_log_is_followed(far: Far, tmp_path: Path) -> None:
    async with far.agent(keepalive_s=5.0) as agent:
        await agent.hello()
        run = Path(agent.run_dir("A"))
        run.mkdir(parents=True)
        (run / "events.jsonl").write_bytes(random.Random(7).randbytes(500_000))
        far.proxy.set(rate=200_000)
        async with asyncio.timeout(20), aclosing(follow(agent, "A", tmp_path, silence_s=1.5)) as growths:
            async for growth in growths:
                if growth.size == 500_000:
                    break
    assert (tmp_path / "A/events.jsonl").read_bytes() == (run / "events.jsonl").read_bytes()


async def test_cuts_and_damage_on_the_wire_leave_the_spool_identical(far: Far, tmp_path: Path) -> None:
    async with far.agent(keepalive_s=5.0) as agent:
        await agent.hello()
        run = Path(agent.run_dir("A"))
    run.mkdir(parents=True)
    dice, cuts = random.Random(2), 0
    data = b"".join(b'{"seq":%d,"text":"%s"}\n' % (number, b"x" * 60) for number in range(20_000))
    log, spool = run / "events.jsonl", tmp_path / "spool/A/events.jsonl"
    with log.open("ab", buffering=0) as out:
        for start in range(0, len(data), 200_000):
            out.write(data[start : start + 200_000])
            harm = far.proxy.cut_after if dice.random() < 0.7 else far.proxy.corrupt
            harm(dice.randrange(5_000, 150_000))
            with suppress(SshError):
                async with asyncio.timeout(30), far.agent(keepalive_s=5.0) as agent:
                    async with aclosing(follow(agent, "A", tmp_path / "spool", poll_s=0.02)) as growths:
                        async for growth in growths:
                            if growth.size == start + 200_000 or growth.size == len(data):
                                break
                    continue
            cuts += 1
    async with (
        asyncio.timeout(30),
        far.agent(keepalive_s=5.0) as agent,
        aclosing(follow(agent, "A", tmp_path / "spool", poll_s=0.02)) as growths,
    ):
        while not spool.exists() or spool.stat().st_size < len(data):
            await anext(growths)
    assert cuts >= 3
    assert spool.read_bytes() == data


async def test_a_channel_on_which_nothing_moves_is_given_up_although_the_link_stands(far: Far) -> None:
    async with far.agent(keepalive_s=5.0) as agent:
        await agent.hello()
        began = time.monotonic()
        async with agent.conn.open(["sleep", "60"]) as process:
            with pytest.raises(ConnectionLost, match="Nothing moved for 0 seconds") as stalled:
                await Watched(process, 0.3).read()
        assert stalled.value.why == "stalled"
        assert time.monotonic() - began < 10
        async with conversation(agent, "push", {"tree_id": "0" * 64}) as (_talk, answer):
            assert answer["need"], "other channels of the link work on"

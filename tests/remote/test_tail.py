"""The spool is the pod's file, byte for byte, over any number of broken connections and never out of two files."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import threading
import time
from contextlib import aclosing
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection

from remote import jobs
from remote.agent.client import Agent
from remote.errors import AgentFailed, ConnectionLost, UnsafePath
from remote.watch.tail import Alive, Growth, Spool, follow


@pytest.fixture
def run(conn: SubprocessConnection) -> Path:
    folder = Path(Agent(conn).run_dir("A"))
    (folder / "logs").mkdir(parents=True)
    return folder


def sha(path: Path, first: int | None = None) -> str:
    return hashlib.sha256(path.read_bytes()[:first]).hexdigest()


async def take(conn: SubprocessConnection, spool: Path, count: int, **options: object) -> list[Growth]:
    """The first `count` growths of a fresh follow."""
    found: list[Growth] = []
    async with asyncio.timeout(20), aclosing(follow(Agent(conn), "A", spool, poll_s=0.02, **options)) as growths:  # type: ignore[arg-type]
        async for growth in growths:
            found.append(growth)
            if len(found) == count:
                return found
    return found


async def test_a_running_job_is_followed_to_its_end_byte_for_byte(conn: SubprocessConnection, tmp_path: Path) -> None:
    agent, states = Agent(conn), list[Alive]()
    script = r"""
        mkdir -p "$MAXCAI_RUN_DIR/logs"; cd "$MAXCAI_RUN_DIR"; i=0
        while [ $i -lt 200 ]; do printf 'step %s\r\033[31m\377\n' $i >> logs/a.log; echo "{\"seq\":$i}" >> events.jsonl
        i=$((i+1)); done; sleep 0.1; echo late > logs/late.log; echo bye"""
    await jobs.launch(agent, jobs.LaunchSpec("A", 1, ("sh", "-c", script)))
    sizes: dict[str, int] = {}
    async for growth in follow(agent, "A", tmp_path / "spool", until_exit=True, on_alive=states.append, poll_s=0.02):
        assert growth.size >= sizes.get(growth.stream, 0)
        assert growth.path.stat().st_size == growth.size
        sizes[growth.stream] = growth.size
    assert set(sizes) == {"events.jsonl", "logs/a.log", "logs/late.log", ".agent/console.log"}
    for stream in sizes:
        assert sha(tmp_path / "spool/A" / stream) == sha(Path(agent.run_dir("A")) / stream)
    assert states[-1].state == "exited"


async def test_reconnects_at_random_offsets_leave_the_spool_identical(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dice, spool, reconnects = random.Random(3), tmp_path / "spool", 0
    names = ["events.jsonl", "logs/a.log", "logs/b.log"]
    sizes = dict.fromkeys(names, 0)
    for _ in range(12):
        for name in names:
            with (run / name).open("ab") as file:
                file.write(dice.randbytes(dice.randrange(0, 40_000)))
        conn.cut_after = dice.randrange(200, 60_000)
        try:
            async with asyncio.timeout(20):
                async for growth in follow(Agent(conn), "A", spool, poll_s=0.02):
                    assert growth.generation == 0
                    sizes[growth.stream] = growth.size
        except ConnectionLost:
            reconnects += 1
        for name in names:
            here = spool / "A" / name
            if here.exists():
                assert sha(here) == sha(run / name, here.stat().st_size), name
    conn.cut_after = None
    async with asyncio.timeout(20), aclosing(follow(Agent(conn), "A", spool, poll_s=0.02)) as growths:
        while any(sizes[name] < (run / name).stat().st_size for name in names):
            growth = await anext(growths)
            sizes[growth.stream] = growth.size
    assert reconnects == 12
    for name in names:
        assert sha(spool / "A" / name) == sha(run / name)


def write_fast(log: Path, seen: threading.Event, stop: threading.Event, written: list[bytes]) -> None:
    """50,000 lines in each second, in twenty strokes, with a bar that redraws itself; rotated once by renaming."""
    number = 0
    for stroke in range(30):
        began = time.monotonic()
        lines = b"".join(b"step %d\r step %d of many \xff\n" % (n, n) for n in range(number, number + 2500))
        number += 2500
        if stroke == 15:
            assert seen.wait(30), "what nobody has begun to follow cannot be followed through a rotation"
            log.rename(log.with_name("a.log.1"))
            written.append(b"")
        written[-1] += lines
        if stroke == 29:
            stop.set()  # before the last bytes, so that whoever sees them knows that they are the last
        with log.open("ab", buffering=0) as out:
            out.write(lines)
        time.sleep(max(0.0, 0.05 - (time.monotonic() - began)))


async def test_fifty_thousand_lines_a_second_with_cuts_and_a_rotation_arrive_byte_for_byte(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dice, spool, written, cuts = random.Random(9), tmp_path / "spool", [b""], 0
    seen, stop = threading.Event(), threading.Event()
    log, here = run / "logs/a.log", tmp_path / "spool/A/logs/a.log"
    log.touch()
    writer = asyncio.create_task(asyncio.to_thread(write_fast, log, seen, stop, written))
    async with asyncio.timeout(60):
        while not (stop.is_set() and len(written) == 2 and here.exists() and here.stat().st_size == len(written[1])):
            conn.cut_after = dice.randrange(50_000, 2_000_000) if cuts < 6 else None
            try:
                async with aclosing(follow(Agent(conn), "A", spool, names=["logs/a.log"], poll_s=0.02)) as growths:
                    async for growth in growths:
                        seen.set()
                        assert growth.path.stat().st_size == growth.size
                        if stop.is_set() and growth.generation == 1 and growth.size == len(written[1]):
                            break
            except ConnectionLost:
                cuts += 1
    await writer
    assert cuts >= 1
    assert here.with_name("a.log.~0").read_bytes() == written[0], "what was written before the rotation is whole"
    assert here.read_bytes() == written[1]


async def test_what_is_here_is_not_sent_again(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    (run / "events.jsonl").write_bytes(b"x" * 50_000)
    await take(conn, tmp_path / "spool", 1)
    with (run / "events.jsonl").open("ab") as file:
        file.write(b"more")
    conn.cut_after = 4_000  # the link would break if the first bytes came again
    assert (await take(conn, tmp_path / "spool", 1))[0].size == 50_004


@pytest.mark.parametrize("how", ["truncated", "replaced by a longer file", "rewritten in place"])
@pytest.mark.parametrize("when", ["while following", "between two connections"])
async def test_another_file_under_the_same_name_is_a_new_generation(
    conn: SubprocessConnection, run: Path, tmp_path: Path, how: str, when: str
) -> None:
    log, spool = run / "logs/a.log", tmp_path / "spool"
    log.write_bytes(b"first generation\n" * 100)

    def change() -> None:
        if how == "truncated":
            log.write_bytes(b"second\n")
        elif how == "rewritten in place":
            with log.open("r+b") as file:
                file.write(b"second generation, longer than the first\n" * 100)
        else:
            (run / "new").write_bytes(b"second generation, longer than the first\n" * 100)
            os.replace(run / "new", log)

    async with asyncio.timeout(20):
        growths = follow(Agent(conn), "A", spool, poll_s=0.02)
        assert (await anext(growths)).generation == 0
        if when == "between two connections":
            await growths.aclose()
            change()
            growths = follow(Agent(conn), "A", spool, poll_s=0.02)
        else:
            change()
        while (growth := await anext(growths)).size < log.stat().st_size:
            pass
        await growths.aclose()
    assert growth.generation == 1
    assert sha(spool / "A/logs/a.log") == sha(log)
    assert (spool / "A/logs/a.log.~0").read_bytes() == b"first generation\n" * 100


async def test_what_is_still_to_come_is_told(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    (run / "events.jsonl").write_bytes(b"x" * 3_000_000)
    growths = await take(conn, tmp_path / "spool", 46)
    assert [(growth.size, growth.behind) for growth in (growths[0], growths[-1])] == [(65536, 2934464), (3_000_000, 0)]


async def test_named_streams_only(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    (run / "events.jsonl").write_text("e\n")
    (run / "logs/a.log").write_text("a\n")
    growths = await take(conn, tmp_path / "spool", 1, names=["logs/a.log"])
    assert [growth.stream for growth in growths] == ["logs/a.log"]
    assert not (tmp_path / "spool/A/events.jsonl").exists()


async def test_a_run_that_is_not_there_yet_can_be_followed(conn: SubprocessConnection, tmp_path: Path) -> None:
    agent = Agent(conn)
    await agent.hello()
    task = asyncio.create_task(take(conn, tmp_path / "spool", 1))
    await asyncio.sleep(0)
    await jobs.launch(agent, jobs.LaunchSpec("A", 1, ("echo", "hi")))
    assert (await task)[0].stream == ".agent/console.log"


async def test_a_silent_link_counts_as_lost(tmp_path: Path, conn: SubprocessConnection) -> None:
    agent = Agent(conn)
    await agent.hello()
    silent = tmp_path / "silent.py"
    silent.write_text('import time; print(\'{"v":1,"ok":true}\', flush=True); time.sleep(60)')
    agent.argv = lambda _verb: [conn.python, str(silent)]  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost, match="silent"):
        async for _ in follow(agent, "A", tmp_path / "spool", silence_s=0.3):
            pass


def test_a_frame_that_does_not_continue_the_spool_is_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path, "A")
    spool.take({"f": "logs/a.log", "ino": 1, "o": 0, "new": False}, b"abc")
    for offset in (0, 2, 4):
        with pytest.raises(AgentFailed, match="spool ends at 3"):
            spool.take({"f": "logs/a.log", "ino": 1, "o": offset, "new": False}, b"x")
    assert (tmp_path / "A/logs/a.log").read_bytes() == b"abc"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x", "", "logs/\x1b.log"])
def test_a_hostile_stream_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnsafePath):
        Spool(tmp_path / "spool", "A").take({"f": name, "ino": 1, "o": 0, "new": False}, b"x")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == []


def test_bytes_that_a_crash_left_beyond_the_last_report_are_counted(tmp_path: Path) -> None:
    Spool(tmp_path, "A").take({"f": "events.jsonl", "ino": 5, "o": 0, "new": False}, b"abc")
    with (tmp_path / "A/events.jsonl").open("ab") as file:
        file.write(b"de")  # written, and killed before anything else happened
    assert Spool(tmp_path, "A").have()["events.jsonl"]["offset"] == 5


async def test_two_followers_of_one_run_share_its_spool_byte_for_byte(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dice, spool = random.Random(5), tmp_path / "spool"
    (run / "events.jsonl").write_bytes(dice.randbytes(50_000))

    async def until(size: int, wait: asyncio.Event) -> None:
        await wait.wait()
        async with asyncio.timeout(20), aclosing(follow(Agent(conn), "A", spool, poll_s=0.02)) as growths:
            async for growth in growths:
                if growth.size >= size:
                    return

    first, second = asyncio.Event(), asyncio.Event()
    first.set()
    async with asyncio.TaskGroup() as group:
        group.create_task(until(90_000, first))
        group.create_task(until(90_000, second))
        second.set()
        for _ in range(4):
            with (run / "events.jsonl").open("ab") as file:
                file.write(dice.randbytes(10_000))
            await asyncio.sleep(0)
    assert sha(spool / "A/events.jsonl") == sha(run / "events.jsonl")


async def test_a_frame_that_another_follower_wrote_already_is_not_written_twice(tmp_path: Path) -> None:
    one, two = Spool(tmp_path, "A"), Spool(tmp_path, "A")
    assert one.take({"f": "events.jsonl", "o": 0, "ino": 1}, b"abc").size == 3
    assert two.take({"f": "events.jsonl", "o": 0, "ino": 1}, b"abcdef").size == 6
    assert one.take({"f": "events.jsonl", "o": 3, "ino": 1}, b"de").size == 6
    assert (tmp_path / "A/events.jsonl").read_bytes() == b"abcdef"


async def test_bytes_of_a_replaced_file_are_never_spliced_in_by_a_slow_follower(tmp_path: Path) -> None:
    fast, slow = Spool(tmp_path, "A"), Spool(tmp_path, "A")
    fast.take({"f": "a", "o": 0, "ino": 1}, b"old bytes")
    slow.have()
    fast.have()
    fast.take({"f": "a", "o": 0, "ino": 2, "new": True}, b"new")
    with pytest.raises(ConnectionLost, match="replaced"):
        slow.take({"f": "a", "o": 3, "ino": 1}, b" by")
    assert (tmp_path / "A/a").read_bytes() == b"new"

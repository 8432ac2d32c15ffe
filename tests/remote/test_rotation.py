"""A log that is rotated while it is followed, or while nobody looks: every byte of it arrives, or it is said."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from contextlib import aclosing
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection

from remote.agent.client import Agent
from remote.errors import ConnectionLost
from remote.watch.tail import Growth, Spool, follow

NAME = "logs/a.log"


@pytest.fixture
def log(conn: SubprocessConnection) -> Path:
    path = Path(Agent(conn).run_dir("A")) / NAME
    path.parent.mkdir(parents=True)
    return path


def append(path: Path, text: str) -> None:
    with path.open("a") as out:
        out.write(text)


def shift(log: Path) -> Path:
    """As logrotate does: .1 becomes .2 and so on. Returns the name that is free now."""
    for number in range(19, 0, -1):
        if (old := log.with_name(f"{log.name}.{number}")).exists():
            old.rename(log.with_name(f"{log.name}.{number + 1}"))
    return log.with_name(f"{log.name}.1")


def rename(log: Path) -> None:
    log.rename(shift(log))


def copy_and_truncate(log: Path) -> None:
    shutil.copyfile(log, shift(log))
    os.truncate(log, 0)


async def until(conn: SubprocessConnection, spool: Path, whole: str, **options: object) -> list[Growth]:
    """Follow until the generations, one after another, are `whole`."""
    found: list[Growth] = []
    async with asyncio.timeout(20), aclosing(follow(Agent(conn), "A", spool, poll_s=0.02, **options)) as growths:  # type: ignore[arg-type]
        async for growth in growths:
            found.append(growth)
            if together(spool) == whole:
                return found
    raise AssertionError("it ended early")


def together(spool: Path) -> str:
    here = spool / "A" / NAME
    asides = sorted(here.parent.glob("a.log.~*"), key=lambda path: int(path.suffix[2:]))
    return "".join(path.read_text() for path in (*asides, here) if path.exists())


@pytest.mark.parametrize("rotate", [rename, copy_and_truncate])
@pytest.mark.parametrize("times", [1, 3])
async def test_rotations_while_nobody_looks_lose_nothing(
    conn: SubprocessConnection, log: Path, tmp_path: Path, rotate: object, times: int
) -> None:
    assert callable(rotate)
    append(log, "seen\n")
    await until(conn, tmp_path, "seen\n")
    whole = "seen\n"
    for number in range(times):
        append(log, f"end of {number}\n")
        rotate(log)
        append(log, f"begin of {number + 1}\n")
        whole += f"end of {number}\nbegin of {number + 1}\n"
    growths = await until(conn, tmp_path, whole)
    assert growths[-1].generation == times and growths[-1].current
    assert not any(growth.gap for growth in growths)
    append(log, "and on\n")
    assert [growth.generation for growth in await until(conn, tmp_path, whole + "and on\n")] == [times]


async def test_a_log_that_was_rotated_before_the_first_look_comes_with_what_came_before(
    conn: SubprocessConnection, log: Path, tmp_path: Path
) -> None:
    for number in range(3):
        append(log, f"{number}\n")
        rename(log)
    append(log, "3\n")
    assert [growth.generation for growth in await until(conn, tmp_path, "0\n1\n2\n3\n")] == [0, 1, 2, 3]


async def test_rotated_files_with_dates_come_in_their_order(
    conn: SubprocessConnection, log: Path, tmp_path: Path
) -> None:
    append(log, "0\n")
    await until(conn, tmp_path, "0\n")
    for day in (9, 10, 11):
        log.rename(log.with_name(f"a.log-202611{day:02d}"))
        append(log, f"{day}\n")
    await until(conn, tmp_path, "0\n9\n10\n11\n")


async def test_what_a_writer_adds_to_a_file_that_was_renamed_under_it_is_not_lost(
    conn: SubprocessConnection, log: Path, tmp_path: Path
) -> None:
    append(log, "one\n")
    await until(conn, tmp_path, "one\n")
    with log.open("a") as writer:
        rename(log)
        append(log, "of the new\n")
        await until(conn, tmp_path, "one\nof the new\n")
        writer.write("late\n")
    growths = await until(conn, tmp_path, "one\nlate\nof the new\n")
    assert growths[-1].path == tmp_path / "A/logs/a.log.~0" and not growths[-1].current


async def test_the_end_of_a_log_that_was_renamed_and_has_no_successor_is_not_lost(
    conn: SubprocessConnection, log: Path, tmp_path: Path
) -> None:
    append(log, "one\n")
    await until(conn, tmp_path, "one\n")
    append(log, "last words\n")
    rename(log)
    await until(conn, tmp_path, "one\nlast words\n")


@pytest.mark.parametrize("how", ["emptied", "deleted"])
async def test_a_log_that_went_away_without_a_copy_is_told_of(
    conn: SubprocessConnection, log: Path, tmp_path: Path, how: str
) -> None:
    append(log, "first\n")
    await until(conn, tmp_path, "first\n")
    append(log, "unseen\n")
    if how == "emptied":
        os.truncate(log, 0)
    else:
        log.unlink()
    append(log, "second\n")
    growths = await until(conn, tmp_path, "first\nsecond\n")
    assert [(growth.generation, growth.gap) for growth in growths] == [(1, True)]
    append(log, "third\n")
    assert not any(growth.gap for growth in await until(conn, tmp_path, "first\nsecond\nthird\n"))


async def test_rotations_of_every_kind_under_cuts_leave_every_byte(
    conn: SubprocessConnection, log: Path, tmp_path: Path
) -> None:
    dice, whole, cuts, done = random.Random(11), "", 0, asyncio.Event()
    log.touch()

    async def write() -> None:
        nonlocal whole
        for number in range(40):
            lines = "".join(f"{number} {line} {dice.random()}\n" for line in range(150))
            append(log, lines)
            whole += lines
            if number % 7 == 3:
                dice.choice((rename, copy_and_truncate))(log)
                log.touch()
            await asyncio.sleep(0.01)
        done.set()

    writer = asyncio.create_task(write())
    async with asyncio.timeout(30):
        while not (done.is_set() and together(tmp_path) == whole):
            conn.cut_after = dice.randrange(2_000, 60_000) if cuts < 8 else None
            try:
                async with aclosing(follow(Agent(conn), "A", tmp_path, poll_s=0.02)) as growths:
                    async for growth in growths:
                        assert not growth.gap
                        if done.is_set() and together(tmp_path) == whole:
                            break
            except ConnectionLost:
                cuts += 1
    await writer
    assert cuts >= 2


def test_a_kill_between_putting_a_generation_aside_and_noting_the_next_neither_loses_nor_doubles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path, "A")
    spool.take({"f": "a", "ino": 1, "o": 0}, b"old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Spool, "_note", killed)
        with pytest.raises(KeyboardInterrupt):
            spool.take({"f": "a", "ino": 2, "o": 0, "new": True}, b"new")
    again = Spool(tmp_path, "A")
    assert (again.have()["a"]["ino"], again.have()["a"]["offset"]) == (1, 3)
    assert again.take({"f": "a", "ino": 2, "o": 0, "new": True}, b"new").generation == 1
    assert [(tmp_path / "A" / name).read_bytes() for name in ("a.~0", "a")] == [b"old", b"new"]


def test_a_follower_that_lags_behind_a_rotation_begins_anew_and_mixes_nothing(tmp_path: Path) -> None:
    fast, slow = Spool(tmp_path, "A"), Spool(tmp_path, "A")
    fast.take({"f": "a", "o": 0, "ino": 1}, b"zero")
    slow.have()
    fast.have()
    fast.take({"f": "a", "o": 0, "ino": 2, "new": True}, b"one")
    fast.take({"f": "a", "o": 0, "ino": 3, "new": True}, b"two")
    with pytest.raises(ConnectionLost, match="replaced"):
        slow.take({"f": "a", "o": 0, "ino": 2, "new": True}, b"one")
    assert [row["ino"] for row in slow.have()["a"]["past"]] == [1, 2]

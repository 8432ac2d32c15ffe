"""A pull uses the link well: several channels, text packed, equal files once, a cap where one is wanted, and it knows
how old the newest checkpoint at home is."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection

from remote.agent.client import Agent
from remote.errors import ConnectionLost
from remote.sync import fetch
from remote.sync.ledger import Ledger, checkpoint_age, checkpoint_of
from remote.sync.pull import preview, pull, unpulled

CHUNK = 64 << 10


@pytest.fixture
def run(conn: SubprocessConnection) -> Path:
    folder = Path(Agent(conn).run_dir("A"))
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(autouse=True)
def _small_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of four chunks, so that files of a megabyte are many."""
    monkeypatch.setattr(fetch, "_ASK_BYTES", 4 * CHUNK)
    monkeypatch.setattr(fetch, "_WORTH", 4 * CHUNK)


def put(folder: Path, name: str, data: bytes, at: float | None = None) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    if at is not None:
        os.utime(folder / name, (at, at))


def equal(run: Path, dest: Path) -> bool:
    return all((dest / path.relative_to(run)).read_bytes() == path.read_bytes() for path in run.rglob("*.*"))


def asked(conn: SubprocessConnection) -> list[tuple[str, int]]:
    requests = [json.loads(line) for line in conn.requests if b'"ranges"' in line]
    return [(row["path"], row["offset"]) for request in requests for row in request["ranges"]]


async def test_one_large_file_comes_over_several_channels_each_chunk_once(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    put(run, "weights.bin", random.Random(1).randbytes(40 * CHUNK + 5))
    report = await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    verbs = [word for command in conn.commands for word in command if word == "read"]
    assert len(verbs) == fetch.CHANNELS
    assert sorted(asked(conn)) == [("weights.bin", index * CHUNK) for index in range(41)]
    assert report.fetched_bytes == report.bytes
    assert equal(run, tmp_path / "home")


async def test_many_small_files_need_few_channels_and_no_round_trip_each(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    for number in range(150):
        put(run, f"data/{number}.json", b"%d" % number)
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert len([line for line in conn.requests if b'"ranges"' in line]) == 1
    assert equal(run, tmp_path / "home")


async def test_cuts_at_random_bytes_of_several_channels_fetch_no_verified_chunk_twice(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dice, dest, cuts = random.Random(3), tmp_path / "home", 0
    put(run, "a/checkpoint-2/weights.bin", dice.randbytes(30 * CHUNK + 1))
    put(run, "a/adapter.bin", dice.randbytes(10 * CHUNK))
    verified: set[tuple[str, int]] = set()
    while True:
        conn.requests.clear()
        conn.cut_after = dice.randrange(1, 5 * CHUNK) if cuts < 10 else None
        try:
            await pull(Agent(conn), "A", dest, chunk=CHUNK)
            break
        except ConnectionLost:
            cuts += 1
        assert not verified & set(asked(conn))
        for notes in dest.glob(".pull/*.map"):
            head, *lines = notes.read_text().splitlines()
            verified |= {(json.loads(head)["path"], int(line.split()[0]) * CHUNK) for line in lines}
    assert cuts >= 5
    assert not verified & set(asked(conn))
    assert equal(run, dest)
    assert await unpulled(Agent(conn), "A", dest) == []


async def test_text_travels_packed_and_weights_as_they_are(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    put(run, "records.jsonl", b'{"prompt": "why", "completion": "because"}\n' * 20_000)
    report = await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert report.fetched_bytes < report.bytes / 10
    assert equal(run, tmp_path / "home")


async def test_equal_large_files_of_one_run_travel_once(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    data = random.Random(4).randbytes(6 * CHUNK)
    put(run, "a/adapter/weights.bin", data)
    put(run, "b/checkpoint-9/weights.bin", data)
    report = await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert (report.fetched_bytes, report.bytes) == (len(data), 2 * len(data))
    assert report.complete
    assert equal(run, tmp_path / "home")


async def test_a_cap_on_the_rate_is_kept(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    put(run, "weights.bin", random.Random(5).randbytes(600_000))
    began = time.monotonic()
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK, rate=400_000.0, channels=2)
    assert time.monotonic() - began > 0.7, "600 kB at 400 kB/s, of which the first second's share may come at once"
    assert equal(run, tmp_path / "home")


async def test_only_what_the_patterns_name_comes_and_the_pull_is_not_complete(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    put(run, "report.html", b"r")
    put(run, "s/checkpoint-1/weights.bin", b"w")
    report = await pull(Agent(conn), "A", tmp_path / "home", patterns=["*.html"])
    assert (report.verified, report.excluded) == (("report.html",), ("s/checkpoint-1/weights.bin",))
    assert not report.complete
    assert await unpulled(Agent(conn), "A", tmp_path / "home") == ["s/checkpoint-1/weights.bin"]


async def test_a_preview_says_what_would_come_and_writes_nothing(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    put(run, "events.jsonl", b"{}\n")
    put(run, "a.json", b"1")
    dest = tmp_path / "home"
    found = await preview(Agent(conn), "A", dest)
    assert [(due.path, due.state) for due in found.files] == [("events.jsonl", "new"), ("a.json", "new")]
    assert not dest.exists()
    await pull(Agent(conn), "A", dest)
    put(run, "a.json", b"22")
    found = await preview(Agent(conn), "A", dest)
    assert [(due.path, due.state) for due in found.files] == [("events.jsonl", "home"), ("a.json", "changed")]
    assert found.bytes == 2


async def test_the_newest_checkpoint_at_home_has_an_age_only_when_it_is_whole(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "home"
    assert checkpoint_age(dest, 0.0) is None
    for step, at in ((10, 1000.0), (20, 2000.0)):
        put(run, f"s/checkpoints/checkpoint-{step}/weights.bin", random.Random(step).randbytes(3 * CHUNK), at)
        put(run, f"s/checkpoints/checkpoint-{step}/state.json", b"%d" % step, at)
    await pull(Agent(conn), "A", dest, chunk=CHUNK, patterns=["*checkpoint-10/*", "*checkpoint-20/state.json"])
    assert checkpoint_age(dest, 2600.0) == 1600.0, "of the newer one half is missing"
    await pull(Agent(conn), "A", dest, chunk=CHUNK)
    assert checkpoint_age(dest, 2600.0) == 600.0
    newest = Ledger(dest).newest_checkpoint()
    assert newest is not None
    assert (newest.folder, newest.files) == ("s/checkpoints/checkpoint-20", 2)


def test_a_file_belongs_to_the_checkpoint_folder_it_lies_in() -> None:
    assert checkpoint_of("s/checkpoints/checkpoint-7/rng/a.bin") == "s/checkpoints/checkpoint-7"
    assert checkpoint_of("s/checkpoints/README.md") is None
    assert checkpoint_of("checkpoint-7") is None

"""Results come home whole or not at all: in verified pieces, over any number of cuts, under names that are safe."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection, until

from remote import jobs
from remote.agent.client import Agent
from remote.errors import ConnectionLost, DiskFull, HashMismatch, UnsafePath
from remote.sync.paths import rank, safe_relative, separate, wanted
from remote.sync.pull import PullProgress, pull, unpulled

CHUNK = 64 << 10


@pytest.fixture
def run(conn: SubprocessConnection) -> Path:
    folder = Path(Agent(conn).run_dir("A"))
    put(folder, "events.jsonl", b'{"seq":1}\n' * 50)
    put(folder, "run.json", b"{}")
    put(folder, "stage-1/sft/manifest.json", b"[]")
    put(folder, "stage-1/sft/adapter/adapter_model.safetensors", random.Random(1).randbytes(5 * CHUNK + 17))
    put(folder, "stage-1/sft/checkpoint-10/optimizer.pt", random.Random(2).randbytes(9 * CHUNK))
    put(folder, "stage-1/records.jsonl", b"{}\n" * 1000)
    put(folder, "empty.txt", b"")
    put(folder, ".agent/console.log", b"hello\n")
    put(folder, ".agent/spec-1.json", b"{}")
    put(folder, "stage-1/x.part", b"half")
    put(folder, ".lock", b"1")
    put(folder, "stage-1/.tmp-3/half.bin", b"half")
    return folder


def put(folder: Path, name: str, data: bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def same(run: Path, dest: Path) -> bool:
    here = {
        str(p.relative_to(dest)): p.read_bytes() for p in dest.rglob("*") if p.is_file() and p.name != ".pulled.json"
    }
    there = {str(p.relative_to(run)): p.read_bytes() for p in run.rglob("*") if p.is_file()}
    return here == {path: data for path, data in there.items() if wanted(path)}


def asked(conn: SubprocessConnection) -> list[tuple[str, int, int]]:
    """(path, offset, length) of every range that was requested so far."""
    requests = (json.loads(line) for line in conn.requests if b'"ranges"' in line)
    return [(row["path"], row["offset"], row["length"]) for request in requests for row in request["ranges"]]


def test_throw_away_weights_are_left_where_they_are() -> None:
    assert not wanted("scratch/merged-stage-1/model.safetensors")
    assert wanted("stage-1/scratch.json")
    assert wanted("stage-1/sft/adapter/adapter_model.safetensors")


async def test_everything_of_a_run_comes_home_and_is_verified(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    seen: list[PullProgress] = []
    report = await pull(Agent(conn), "A", tmp_path / "home", seen.append, CHUNK)
    assert same(run, tmp_path / "home")
    assert report.complete
    assert 14 * CHUNK < report.fetched_bytes < report.bytes, "weights travel as they are, text packed"
    assert (seen[-1].bytes_done, seen[-1].files_done) == (seen[-1].bytes_total, seen[-1].files_total)
    assert not (tmp_path / "home/.pull").exists()
    ledger = json.loads((tmp_path / "home/.pulled.json").read_bytes())["files"]
    assert ledger["run.json"]["sha256"] == hashlib.sha256(b"{}").hexdigest()
    order = list(dict.fromkeys(path for path, _, _ in asked(conn)))
    assert order[:2] == ["events.jsonl", "run.json"]
    assert order[-1].endswith("optimizer.pt")
    assert await unpulled(Agent(conn), "A", tmp_path / "home") == []


async def test_a_second_pull_fetches_nothing(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    conn.requests.clear()
    report = await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert (report.fetched_bytes, asked(conn)) == (0, [])
    (tmp_path / "home/.pulled.json").unlink()  # without its ledger it hashes what is here instead of fetching
    assert (await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)).fetched_bytes == 0
    assert same(run, tmp_path / "home")


async def test_cut_at_random_bytes_it_resumes_and_fetches_no_verified_chunk_twice(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dice, dest, cuts = random.Random(7), tmp_path / "home", 0
    verified: set[tuple[str, int]] = set()
    while True:
        conn.requests.clear()
        conn.cut_after = dice.randrange(1, 4 * CHUNK) if cuts < 12 else None
        try:
            await pull(Agent(conn), "A", dest, chunk=CHUNK)
            break
        except ConnectionLost:
            cuts += 1
        finally:
            assert not verified & {(path, offset) for path, offset, _ in asked(conn)}
        verified |= set(noted(dest))
    assert cuts >= 5
    assert not verified & {(path, offset) for path, offset, _ in asked(conn)}
    assert same(run, dest)


def noted(dest: Path) -> Iterator[tuple[str, int]]:
    """(path, offset) of the chunks that the parts on disk claim."""
    for notes in dest.glob(".pull/*.map"):
        head, *lines = notes.read_text().splitlines()
        for line in lines:
            yield json.loads(head)["path"], int(line.split()[0]) * CHUNK


async def test_a_byte_flipped_on_the_way_is_found(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    target = run / "stage-1/sft/checkpoint-10/optimizer.pt"
    marker = target.read_bytes()[3 * CHUNK : 3 * CHUNK + 64]

    class Flipping(SubprocessConnection):
        def open(self, argv):  # type: ignore[no-untyped-def]
            return flipping(super().open(argv), marker)

    with pytest.raises(HashMismatch, match=r"optimizer\.pt"):
        await pull(Agent(Flipping(Path(conn.root))), "A", tmp_path / "home", chunk=CHUNK)
    assert not (tmp_path / "home/stage-1/sft/checkpoint-10/optimizer.pt").exists()
    assert "stage-1/sft/checkpoint-10/optimizer.pt" in await unpulled(Agent(conn), "A", tmp_path / "home")
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert same(run, tmp_path / "home")


def flipping(inner, marker: bytes):  # type: ignore[no-untyped-def]
    """A command whose output has one bit flipped where `marker` begins."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def context():  # type: ignore[no-untyped-def]
        async with inner as process:
            plain = process.read

            async def read(limit: int = 1 << 20) -> bytes:
                data: bytes = await plain(limit)
                return data.replace(marker, bytes([marker[0] ^ 1]) + marker[1:])

            process.read = read
            yield process

    return context()


async def test_a_byte_flipped_on_our_disk_between_two_pulls_is_found(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "home"
    conn.cut_after = 12 * CHUNK
    with pytest.raises(ConnectionLost):
        await pull(Agent(conn), "A", dest, chunk=CHUNK)
    part = max(dest.glob(".pull/*.part"), key=lambda path: path.stat().st_size)
    data = bytearray(part.read_bytes())
    data[CHUNK + 5] ^= 0x40
    part.write_bytes(data)
    path = json.loads(part.with_suffix(".map").read_text().splitlines()[0])["path"]
    conn.cut_after = None
    conn.requests.clear()
    await pull(Agent(conn), "A", dest, chunk=CHUNK)
    again = [offset for name, offset, _ in asked(conn) if name == path]
    assert CHUNK in again
    assert 0 not in again
    assert same(run, dest)


async def test_a_verified_file_that_was_touched_at_home_is_fetched_again(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    (tmp_path / "home/run.json").write_bytes(b"[]")
    assert await unpulled(Agent(conn), "A", tmp_path / "home") == ["run.json"]
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert same(run, tmp_path / "home")


async def test_a_file_that_changed_on_the_pod_is_not_home_any_more(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    put(run, "stage-1/gate.json", b"new")
    put(run, "stage-1/records.jsonl", b"other\n")
    assert await unpulled(Agent(conn), "A", tmp_path / "home") == ["stage-1/gate.json", "stage-1/records.jsonl"]
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert same(run, tmp_path / "home")


async def test_equal_large_files_travel_once(conn: SubprocessConnection, run: Path, tmp_path: Path) -> None:
    data = (run / "stage-1/sft/checkpoint-10/optimizer.pt").read_bytes()
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    put(run, "stage-1/sft/checkpoint-20/optimizer.pt", data)
    report = await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert report.fetched_bytes == 0
    assert same(run, tmp_path / "home")


async def test_growing_files_come_as_prefixes_and_are_completed_when_the_run_is_over(
    conn: SubprocessConnection, tmp_path: Path
) -> None:
    agent, dest, go = Agent(conn), tmp_path / "home", tmp_path / "go"
    script = f"""
        mkdir -p "$MAXCAI_RUN_DIR/logs"; cd "$MAXCAI_RUN_DIR"
        echo one >> events.jsonl; echo log >> logs/a.log; echo half > weights.bin
        while [ ! -e {go} ]; do sleep 0.01; done
        echo two >> events.jsonl; echo whole > weights.bin"""
    await jobs.launch(agent, jobs.LaunchSpec("A", 1, ("sh", "-c", script)))
    run = Path(agent.run_dir("A"))
    await until((run / "weights.bin").exists)
    put(dest, "events.jsonl", b"longer, of a run that its pod has forgotten\n")
    report = await pull(agent, "A", dest, chunk=CHUNK)
    assert not report.complete
    aside = dest / ".events.jsonl.1"
    assert aside.read_bytes() == b"longer, of a run that its pod has forgotten\n"
    aside.unlink()
    assert (dest / "events.jsonl").read_text() == "one\n"
    assert report.changed == ("weights.bin",)
    assert not (dest / "weights.bin").exists(), "a file that is being written is not brought under its final name"
    assert "events.jsonl" in await unpulled(agent, "A", dest)
    go.touch()
    while (await jobs.status(agent, "A")).state.alive:
        pass
    conn.requests.clear()
    report = await pull(agent, "A", dest, chunk=CHUNK)
    assert report.complete
    assert same(run, dest)
    assert await unpulled(agent, "A", dest) == []


async def test_a_prefix_of_a_file_that_was_replaced_is_not_spliced(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "home"
    put(dest, "events.jsonl", b"quite another beginning\n" * 4000)  # longer than one chunk, left by an earlier pull
    put(run, "events.jsonl", b'{"seq":1}\n' * 20_000)
    report = await pull(Agent(conn), "A", dest, chunk=CHUNK)
    assert report.complete
    assert same(run, dest)


HOSTILE = ["a\\b", "sub/con", "nul.txt", ".pull/x", ".pulled.json", "new\nline", "esc\x1b]0;title", "x" * 250]


async def test_hostile_names_are_refused_and_the_rest_comes_home(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    for name in HOSTILE:
        put(run, name, b"hostile")
    put(run, "README.md", b"1")
    put(run, "readme.MD", b"2")
    (run / "out").symlink_to("/etc/passwd")
    before = set(tmp_path.iterdir()) | {tmp_path / "home"}
    with pytest.raises(UnsafePath, match=f"{len(HOSTILE) + 1} files"):
        await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert set(tmp_path.iterdir()) == before
    home = tmp_path / "home"
    names = {str(path.relative_to(home)) for path in home.rglob("*")}
    assert names & {*HOSTILE, "readme.MD", "out"} == {".pulled.json"}
    assert (home / ".pulled.json").read_bytes() != b"hostile"
    assert (tmp_path / "home/stage-1/records.jsonl").read_bytes() == b"{}\n" * 1000
    assert set(HOSTILE) <= set(await unpulled(Agent(conn), "A", tmp_path / "home"))


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../x", "", "a//b", ".", "a/./b", "x\0", "COM1.txt", *HOSTILE])
def test_an_unsafe_name_never_becomes_a_local_path(path: str) -> None:
    with pytest.raises(UnsafePath):
        safe_relative(path)


def test_names_that_collide_on_a_case_insensitive_disk_are_separated() -> None:
    assert separate(["a", "A", "d/x", "D", "e", "E/x", "ok"]) == (["a", "d/x", "e", "ok"], ["A", "D", "E/x"])


@pytest.mark.usefixtures("run")
async def test_nothing_is_written_through_a_local_symlink(conn: SubprocessConnection, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "home").mkdir()
    (tmp_path / "home/stage-1").symlink_to(elsewhere)
    with pytest.raises(UnsafePath, match="symlink"):
        await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert list(elsewhere.iterdir()) == []


async def test_a_full_disk_is_named_and_what_arrived_stays_usable(
    conn: SubprocessConnection, run: Path, tmp_path: Path
) -> None:
    dest = tmp_path / "home"
    dest.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(dest)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        with pytest.raises(DiskFull) as caught:
            await pull(Agent(conn), "A", dest, chunk=CHUNK)
        assert caught.value.where.startswith(str(dest))
        assert await unpulled(Agent(conn), "A", dest) == ["stage-1/sft/checkpoint-10/optimizer.pt"]
        assert not (dest / "stage-1/sft/checkpoint-10").exists()
        subprocess.run(["mount", "-o", "remount,size=8m", str(dest)], check=True)
        await pull(Agent(conn), "A", dest, chunk=CHUNK)
        assert same(run, dest)
    finally:
        subprocess.run(["umount", "-l", str(dest)], check=True)


def test_checkpoints_come_last_and_of_those_the_newest_first() -> None:
    names = {"s/checkpoint-1/a": 1, "s/checkpoint-2/a": 2, "s/adapter/w": 3, "events.jsonl": 9, "s/gate.json": 4}
    order = sorted(names, key=lambda path: rank(path, names[path]))
    assert order == ["events.jsonl", "s/gate.json", "s/adapter/w", "s/checkpoint-2/a", "s/checkpoint-1/a"]


@pytest.mark.usefixtures("run")
async def test_modes_and_roots_stay_private(conn: SubprocessConnection, tmp_path: Path) -> None:
    await pull(Agent(conn), "A", tmp_path / "home", chunk=CHUNK)
    assert os.stat(tmp_path / "home/run.json").st_mode & 0o077 == 0


async def test_two_pulls_of_one_run_at_a_time_take_turns_and_both_end_well(
    conn: SubprocessConnection, tmp_path: Path
) -> None:
    folder = Path(Agent(conn).run_dir("A"))
    folder.mkdir(parents=True)
    for i in range(20):
        (folder / f"file-{i}").write_bytes(bytes([i]) * 300_000)
    first, second = await asyncio.gather(
        pull(Agent(conn), "A", tmp_path / "runs/A", chunk=1 << 16),
        pull(Agent(conn), "A", tmp_path / "runs/A", chunk=1 << 16),
    )
    assert first.complete and second.complete
    assert sorted([first.fetched_bytes, second.fetched_bytes])[0] == 0

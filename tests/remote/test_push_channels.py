"""A push is striped, packed and healed: large content in pieces, text packed, what the pod's disk lost sent again."""

from __future__ import annotations

import hashlib
import os
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection

from remote.agent.client import Agent
from remote.agent.receive import PIECE
from remote.errors import DiskFull, HashMismatch, SyncError
from remote.sync import upload
from remote.sync.push import plan, push
from remote.sync.scan import Scan, scan


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "BATCH", 64 << 10)
    monkeypatch.setattr(upload, "_WORTH", 128 << 10)


def look(work: Path) -> Scan:
    return scan([(work, "")])


def verbs(conn: SubprocessConnection) -> list[str]:
    return [word for command in conn.commands for word in command if word in ("push", "blobs")]


def tree_of(conn: SubprocessConnection, found: Scan) -> Path:
    return Path(conn.root) / ".maxcai/trees" / found.tree_id


async def test_large_content_travels_in_pieces_over_several_channels(
    conn: SubprocessConnection, work: Path, tmp_path: Path
) -> None:
    (work / "weights.bin").write_bytes(random.Random(1).randbytes(1_000_000))
    (work / "empty").touch()
    found = look(work)
    report = await push(Agent(conn), found, tmp_path / "state")
    assert sorted(verbs(conn)) == ["blobs"] * 4 + ["push"]
    assert (report.sent_files, report.sent_bytes) == (2, 1_000_000)
    tree = tree_of(conn, found)
    assert (tree / "weights.bin").read_bytes() == (work / "weights.bin").read_bytes()
    assert (tree / "empty").read_bytes() == b""
    assert not list((Path(conn.root) / ".maxcai/cas").iterdir()), "the tree took the content over"


async def test_text_is_packed_and_weights_are_not(conn: SubprocessConnection, work: Path, tmp_path: Path) -> None:
    (work / "a.py").write_text("value = 1\n" * 6_000)
    carrier = upload.Upload(look(work).entries, look(work).sources, None)
    packed = carrier._packed(next(carrier._batches))
    assert packed[:1] == b"z"
    assert len(packed) < 6_000
    (work / "a.py").write_bytes(random.Random(2).randbytes(60_000))
    carrier = upload.Upload(look(work).entries, look(work).sources, None)
    assert carrier._packed(next(carrier._batches))[:1] == b"r"
    await push(Agent(conn), look(work), tmp_path / "state")
    assert (tree_of(conn, look(work)) / "a.py").read_bytes() == (work / "a.py").read_bytes()


async def test_a_large_file_that_changes_on_the_way_is_named(
    conn: SubprocessConnection, work: Path, tmp_path: Path
) -> None:
    (work / "weights.bin").write_bytes(bytes(300_000))
    found = look(work)
    (work / "weights.bin").write_bytes(bytes(299_999) + b"x")
    with pytest.raises(SyncError, match=r"weights\.bin changed"):
        await push(Agent(conn), found, tmp_path / "state")
    assert not tree_of(conn, found).exists()
    assert not list((Path(conn.root) / ".maxcai/cas").iterdir())


async def test_content_that_an_old_tree_lost_is_sent_again(
    conn: SubprocessConnection, work: Path, tmp_path: Path
) -> None:
    for name in ("a.py", "b.py"):
        (work / name).write_text(f"name = '{name}'\n")
    first = look(work)
    await push(Agent(conn), first, tmp_path / "state")
    (tree_of(conn, first) / "a.py").chmod(0o644)
    (tree_of(conn, first) / "a.py").write_bytes(b"")  # as after a loss of power, or a job that wrote into its tree
    (work / "c.py").write_text("new\n")
    second = look(work)
    report = await push(Agent(conn), second, tmp_path / "state")
    assert report.sent_files == 2
    tree = tree_of(conn, second)
    assert {path.name: path.read_bytes() for path in tree.iterdir()} == {
        path.name: path.read_bytes() for path in work.iterdir()
    }


async def test_a_pod_without_room_refuses_before_the_first_byte(
    conn: SubprocessConnection, work: Path, tmp_path: Path
) -> None:
    mount = ["mount", "-t", "tmpfs", "-o", "size=9m", "tmpfs", conn.root]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        (work / "weights.bin").write_bytes(random.Random(3).randbytes(2_000_000))
        with pytest.raises(DiskFull, match="are needed and"):
            await push(Agent(conn), look(work), tmp_path / "state")
        assert "blobs" not in verbs(conn)
        subprocess.run(["mount", "-o", "remount,size=64m", conn.root], check=True)
        assert (await push(Agent(conn), look(work), tmp_path / "state")).sent_files == 1
    finally:
        subprocess.run(["umount", "-l", conn.root], check=True)


async def test_a_disk_that_fills_up_meanwhile_names_the_path_and_leaves_no_tree(
    conn: SubprocessConnection, work: Path, tmp_path: Path
) -> None:
    agent = Agent(conn)
    await agent.hello()
    mount = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs"]
    cas = Path(conn.root) / ".maxcai/cas"
    cas.mkdir()
    if subprocess.run([*mount, str(cas)], capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        (work / "weights.bin").write_bytes(random.Random(4).randbytes(400_000))
        with pytest.raises(DiskFull) as caught:
            await push(agent, look(work), tmp_path / "state")
        assert "maxcai/cas" in caught.value.where
        assert not list((Path(conn.root) / ".maxcai").glob("trees/*"))
        assert plan(look(work), tmp_path / "state").first, "nothing was recorded as pushed"
    finally:
        subprocess.run(["umount", "-l", str(cas)], check=True)


@pytest.mark.parametrize("fault", ["torn", "beyond its end", "no batch", "no zip", "a bomb", "cut"])
async def test_a_stream_that_is_not_what_was_agreed_is_refused(conn: SubprocessConnection, fault: str) -> None:
    digest = hashlib.sha256(b"right").hexdigest().encode()
    piece = PIECE.pack(digest, 5, 0, 5) + b"right"
    whole = struct.pack(">cI", b"r", len(piece)) + piece
    bomb = zlib.compress(bytes(40 << 20))
    bad = {
        "torn": struct.pack(">cI", b"r", len(piece) - 1) + piece[:-1],
        "beyond its end": struct.pack(">cI", b"r", len(piece)) + PIECE.pack(digest, 5, 3, 5) + b"right",
        "no batch": b"x" + whole[1:],
        "no zip": b"z" + whole[1:],
        "a bomb": struct.pack(">cI", b"z", len(bomb)) + bomb,
        "cut": whole,
    }[fault]

    async def content():  # type: ignore[no-untyped-def]
        yield bad

    with pytest.raises(Exception, match=r"refused|failed") as caught:
        await Agent(conn).call("blobs", {}, content())
    assert not isinstance(caught.value, TimeoutError)
    left = [path.name for path in (Path(conn.root) / ".maxcai/cas").rglob("*")]
    assert left == ([digest.decode()] if fault == "cut" else []), "only what was verified stays"


async def test_a_piece_never_becomes_content_unless_the_whole_has_its_hash(
    conn: SubprocessConnection, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (work / "weights.bin").write_bytes(random.Random(5).randbytes(300_000))
    plain = upload.Upload._read

    def bad(self: upload.Upload, piece: upload.Piece) -> bytes:
        data = plain(self, piece)
        return bytes([data[0] ^ 1]) + data[1:] if piece.offset else data

    monkeypatch.setattr(upload.Upload, "_read", bad)
    with pytest.raises(HashMismatch):
        await push(Agent(conn), look(work), tmp_path / "state")
    assert not list((Path(conn.root) / ".maxcai/cas").iterdir())
    monkeypatch.undo()
    assert (await push(Agent(conn), look(work), tmp_path / "state")).sent_bytes == 300_000
    assert os.listdir(tree_of(conn, look(work))) == ["weights.bin"]

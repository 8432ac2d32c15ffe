"""A push makes a new immutable tree out of only what the pod lacks, or nothing at all."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection

from remote import jobs
from remote.agent.client import Agent
from remote.agent.receive import PIECE
from remote.agent.trees import sum_of
from remote.errors import HashMismatch, SyncError, UnsafePath, UnsafePush
from remote.sync.push import git_state, plan, push
from remote.sync.scan import Scan, scan
from remote.sync.talk import conversation


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    for number in range(10):
        file = folder / f"pkg/m{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"value = {number}\n" * 100)
    (folder / "run.sh").write_text("#!/bin/sh\necho ran in tree; cat pkg/m1.py | wc -l\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("pkg/m1.py")
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def look(work: Path) -> Scan:
    return scan([(work, "")])


async def offer(conn: SubprocessConnection, entries: list[dict[str, object]]) -> None:
    """Begin a push with any manifest."""
    async with conversation(Agent(conn), "push", {"tree_id": sum_of(entries), "manifest": entries}):
        pass


async def test_a_push_makes_the_tree_exactly(conn: SubprocessConnection, work: Path, state: Path) -> None:
    agent, found = Agent(conn), look(work)
    report = await push(agent, found, state)
    assert (report.tree_id, report.files, report.sent_files) == (found.tree_id, 12, 11)
    tree = Path(agent.tree_dir(found.tree_id))
    for entry in found.entries:
        if entry.link is None:
            assert (tree / entry.path).read_bytes() == (work / entry.path).read_bytes()
            assert os.access(tree / entry.path, os.X_OK) == entry.exec
            assert (tree / entry.path).stat().st_mode & 0o222 == 0
    assert os.readlink(tree / "link") == "pkg/m1.py"
    launched = await jobs.launch(agent, jobs.LaunchSpec("A", 1, ("./run.sh",), cwd_tree=found.tree_id))
    async with asyncio.timeout(10):
        while (await jobs.status(agent, "A")).state.alive:
            await asyncio.sleep(0.02)
    assert launched.status.tree == found.tree_id
    console = Path(agent.run_dir("A")) / ".agent/console.log"
    assert console.read_text().split() == ["ran", "in", "tree", "100"]


async def test_a_push_without_changes_is_one_round_trip_and_sends_nothing(
    conn: SubprocessConnection, work: Path, state: Path
) -> None:
    await push(Agent(conn), look(work), state)
    conn.commands.clear()
    report = await push(Agent(conn), look(work), state)  # a new agent object: a new connection, nothing remembered
    assert len(conn.commands) == 1
    assert (report.sent_files, report.sent_bytes) == (0, 0)


async def test_only_changed_content_is_sent_and_the_old_tree_stays(
    conn: SubprocessConnection, work: Path, state: Path
) -> None:
    agent, first = Agent(conn), look(work)
    await push(agent, first, state)
    (work / "pkg/m3.py").write_text("changed\n")
    shutil.copy(work / "pkg/m4.py", work / "copy.py")
    second = look(work)
    planned = plan(second, state)
    assert (planned.added, planned.changed, planned.deleted) == (("copy.py",), ("pkg/m3.py",), ())
    report = await push(agent, second, state)
    assert (report.sent_files, report.sent_bytes) == (1, len("changed\n"))
    assert (Path(agent.tree_dir(first.tree_id)) / "pkg/m3.py").read_text() == "value = 3\n" * 100
    assert (Path(agent.tree_dir(second.tree_id)) / "pkg/m3.py").read_text() == "changed\n"


async def test_an_empty_push_and_one_that_lost_half_are_refused(
    conn: SubprocessConnection, work: Path, state: Path, tmp_path: Path
) -> None:
    agent = Agent(conn)
    (tmp_path / "empty").mkdir()
    for force in (False, True):
        with pytest.raises(UnsafePush, match="nothing to push"):
            await push(agent, look(tmp_path / "empty"), state, force=force)
    await push(agent, look(work), state)
    for number in range(7):
        (work / f"pkg/m{number}.py").unlink()
    (work / "link").unlink()
    with pytest.raises(UnsafePush, match="8 of the 12 files"):
        await push(agent, look(work), state)
    assert len(list((Path(conn.root) / ".maxcai/trees").glob("*.json"))) == 1
    report = await push(agent, look(work), state, force=True)
    assert report.files == 4


async def test_a_file_that_changes_on_the_way_fails_the_push_and_leaves_no_tree(
    conn: SubprocessConnection, work: Path, state: Path
) -> None:
    found = look(work)
    for text in ("value = X\n" * 100, "short", "long " * 1000):
        (work / "pkg/m5.py").write_text(text)
        with pytest.raises(SyncError, match=r"pkg/m5\.py changed"):
            await push(Agent(conn), found, state)
    assert not list((Path(conn.root) / ".maxcai").glob("trees/*"))
    assert not list((Path(conn.root) / ".maxcai/cas").rglob("*.tmp"))
    (work / "pkg/m5.py").unlink()
    with pytest.raises(SyncError, match="cannot be read any more"):
        await push(Agent(conn), found, state)


async def test_a_pod_that_receives_other_bytes_than_were_hashed_keeps_none(conn: SubprocessConnection) -> None:
    agent = Agent(conn)
    digest = hashlib.sha256(b"right").hexdigest()

    async def wrong():  # type: ignore[no-untyped-def]
        batch = PIECE.pack(digest.encode(), 5, 0, 5) + b"wrong"
        yield struct.pack(">cI", b"r", len(batch)) + batch

    with pytest.raises(HashMismatch):
        await agent.call("blobs", {}, wrong())
    assert not [path for path in (Path(conn.root) / ".maxcai/cas").rglob("*") if path.is_file()]


@pytest.mark.parametrize("path", ["/etc/x", "../x", "a/../../x", "a//b", "", "a/./b", "x\0y"])
async def test_a_manifest_with_a_path_out_of_its_tree_is_refused(conn: SubprocessConnection, path: str) -> None:
    entries = [{"path": path, "link": "target"}]
    with pytest.raises(UnsafePath):
        await offer(conn, entries)


@pytest.mark.parametrize(
    "entries",
    [
        [{"path": "a", "link": "../../../etc"}],
        [{"path": "a", "link": "/etc"}],
        [{"path": "d/a", "link": "../../x"}],
        [{"path": "a", "link": "d/../../x"}],
        [{"path": "a/b/c", "link": "d/../../../x"}],
    ],
)
async def test_a_symlink_out_of_its_tree_is_refused(conn: SubprocessConnection, entries: list[dict[str, str]]) -> None:
    with pytest.raises(UnsafePath):
        await offer(conn, entries)
    assert not list((Path(conn.root) / ".maxcai/trees").glob("*"))


async def test_a_file_is_never_written_through_a_symlink_of_the_same_tree(conn: SubprocessConnection) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    entries = [
        {"path": "d", "link": "e"},
        {"path": "d/f", "exec": False, "size": 1, "sha256": digest},
    ]

    with pytest.raises(UnsafePath):
        await offer(conn, entries)


async def test_the_commit_travels_with_the_tree(conn: SubprocessConnection, work: Path, state: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for argv in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(work), *argv], check=True)
    clean = git_state(work)
    assert clean.commit is not None
    assert clean.dirty is False
    (work / "pkg/m1.py").write_text("new")
    assert git_state(work).dirty is True
    agent, found = Agent(conn), look(work)
    await push(agent, found, state)
    note = json.loads(Path(agent.tree_dir(found.tree_id) + ".json").read_bytes())
    assert note["meta"] == {"commit": clean.commit, "dirty": True}
    assert git_state(conn_root := Path(conn.root)).commit is None or conn_root.is_dir()


async def test_gc_removes_unused_trees_and_content_but_nothing_a_run_uses(
    conn: SubprocessConnection, work: Path, state: Path
) -> None:
    agent, first = Agent(conn), look(work)
    await push(agent, first, state)
    await jobs.launch(agent, jobs.LaunchSpec("A", 1, ("true",), cwd_tree=first.tree_id))
    (work / "pkg/m1.py").write_text("unused content")
    second = look(work)
    await push(agent, second, state)
    assert (await agent.gc())["trees"] == []  # too young
    assert (await agent.gc(min_age_s=-1))["trees"] == [second.tree_id]
    assert Path(agent.tree_dir(first.tree_id)).is_dir()
    conn.commands.clear()
    report = await push(agent, first, state)
    assert (report.sent_files, len(conn.commands)) == (0, 1)
    assert (await push(agent, second, state)).sent_files == 1

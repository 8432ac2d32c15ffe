"""The agent itself: one standard-library file that answers every request with one line, on every Python it claims."""

from __future__ import annotations

import ast
import asyncio
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from subprocess_connection import SubprocessConnection, end_everything

from remote import jobs
from remote.agent.client import MODULES, Agent, bundle
from remote.agent.kernel import Lock
from remote.errors import AgentFailed, JobError, PythonMissing, UnsafePath
from remote.sync.push import push
from remote.sync.scan import scan


def interpreters() -> list[str]:
    """Ours, and the oldest and a newer one where this machine has them."""
    managed = (Path.home() / ".pyenv/versions").glob("3.*/bin/python3")
    found = [str(path) for path in managed if path.parts[-3].startswith(("3.9.", "3.13."))]
    found += [path for path in map(shutil.which, ("python3.9", "python3.13")) if path]
    return [sys.executable, *sorted(found)]


def usable(python: str) -> bool:
    """A version manager may answer for an interpreter that it does not have."""
    return subprocess.run([python, "-c", "pass"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def conn(tmp_path: Path) -> SubprocessConnection:
    return SubprocessConnection(tmp_path)


def test_the_agent_is_standard_library_only_and_equal_bytes_each_time() -> None:
    archive = zipfile.ZipFile(io.BytesIO(bundle()))
    sources = {name: archive.read(name).decode() for name in archive.namelist()}
    assert {f"maxcai_agent/{name}.py" for name in MODULES} < set(sources)
    for name, source in sources.items():
        for node in ast.walk(ast.parse(source, feature_version=(3, 9))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.append(node.module or "")
            for module in modules:
                top = module.partition(".")[0]
                assert top in sys.stdlib_module_names or top == "maxcai_agent", f"{name} imports {module}"
    code = "from remote.agent.client import bundle; import hashlib; print(hashlib.sha256(bundle()).hexdigest())"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == hashlib.sha256(bundle()).hexdigest()


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: "-".join(Path(path).parts[-3:]))
async def test_every_python_from_3_9_runs_the_whole_loop(tmp_path: Path, python: str) -> None:
    if not usable(python):
        pytest.skip(f"{python} does not run here")
    work, pod = tmp_path / "work", tmp_path / "pod"
    work.mkdir()
    pod.mkdir()
    (work / "job.sh").write_text("echo in the tree; exit 4")
    agent = Agent(SubprocessConnection(pod, python, bare=True))
    said = await agent.hello()
    assert said.root == str(pod)
    assert said.free_root is not None
    assert said.free_root > 0
    assert abs(said.clock - os.stat(work).st_mtime) < 3600
    found = scan([(work, "")])
    await push(agent, found, tmp_path / "state")
    await jobs.launch(agent, jobs.LaunchSpec("A", 1, ("sh", "job.sh"), cwd_tree=found.tree_id))
    async with asyncio.timeout(20):
        while (status := await jobs.status(agent, "A")).state.alive:
            await asyncio.sleep(0.02)
    assert status.exit_code == 4
    manifest = await agent.manifest("A")
    console = next(file for file in manifest.files if file.path == ".agent/console.log")
    assert console.sha256 == hashlib.sha256(b"in the tree\n").hexdigest()


@pytest.mark.parametrize("python", interpreters(), ids=lambda path: "-".join(Path(path).parts[-3:]))
async def test_every_python_from_3_9_loads_every_module_and_keeps_a_watchdog(tmp_path: Path, python: str) -> None:
    if not usable(python):
        pytest.skip(f"{python} does not run here")
    agent = Agent(SubprocessConnection(tmp_path, python, bare=True))
    await agent.hello()
    code = f"import sys, importlib; sys.path.insert(0, {agent.path!r})\n"
    code += f"for name in {MODULES!r}: importlib.import_module('maxcai_agent.' + name)"
    done = await agent.conn.run([python, "-I", "-S", "-W", "error", "-c", code])
    assert (done.exit_code, done.stderr) == (0, b"")
    request = {"do": "arm", "policy": {"max_hours": 5, "tick_s": 0.05}}
    assert (await agent.call("watchdog", request))["watchdog"]["running"]
    assert not (await agent.call("watchdog", {"do": "disarm"}))["watchdog"]["armed"]
    async with agent.frames({"interval_s": 0.05, "count": 1}, "host") as frames:
        assert await frames.next() is not None


async def test_the_agent_is_uploaded_once_verified_and_compiled_there(tmp_path: Path) -> None:
    conn = SubprocessConnection(tmp_path, bare=True)
    agent = Agent(conn)
    await agent.hello()
    assert len(conn.commands) == 3  # not there, upload, answer
    sent, there = zipfile.ZipFile(io.BytesIO(bundle())), zipfile.ZipFile(agent.path)
    assert {name: sent.read(name) for name in sent.namelist()}.items() <= {
        name: there.read(name) for name in there.namelist()
    }.items()
    assert {f"{name}c" for name in sent.namelist()} < set(there.namelist())
    conn.commands.clear()
    await Agent(conn).hello()
    assert len(conn.commands) == 1


async def test_an_agent_that_arrives_damaged_is_not_installed(tmp_path: Path) -> None:
    class Cutting(SubprocessConnection):
        async def run(self, argv, stdin=b"", deadline_s=60.0):  # type: ignore[no-untyped-def]
            return await super().run(argv, stdin[: len(stdin) // 2] if "-c" in argv else stdin, deadline_s)

    agent = Agent(Cutting(tmp_path, bare=True))
    with pytest.raises(AgentFailed, match="damaged"):
        await agent.hello()
    assert not Path(agent.path).exists()


async def test_another_python_than_the_one_it_was_compiled_for_runs_the_agent_from_its_sources(
    conn: SubprocessConnection,
) -> None:
    agent = Agent(conn)
    with zipfile.ZipFile(agent.path) as known:
        files = {name: known.read(name) for name in known.namelist()}
    with zipfile.ZipFile(agent.path, "w") as other:
        for name, data in files.items():
            other.writestr(name, b"0000" + data[4:] if name.endswith("c") else data)
    assert (await agent.hello()).root == conn.root
    assert len(conn.commands) == 1


async def test_an_image_without_python_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(PythonMissing) as caught:
        await Agent(SubprocessConnection(tmp_path, "/nonexistent/python3")).hello()
    assert "3.9" in caught.value.hint


@pytest.mark.parametrize("request_line", [b"", b"{", b"[1]\n", b'"x"\n', b"[" * 100_000 + b"\n", b"\xff\xfe\n"])
async def test_any_request_gets_one_line_of_json(conn: SubprocessConnection, request_line: bytes) -> None:
    agent = Agent(conn)
    await agent.hello()
    done = await conn.run(agent.argv("launch"), request_line)
    lines = done.stdout.splitlines()
    assert len(lines) == 1
    reply = json.loads(lines[0])
    assert (reply["v"], reply["ok"]) == (1, False)
    assert reply["code"] in ("bad_request", "unsafe_path")


async def test_an_unknown_verb_or_argument_is_refused(conn: SubprocessConnection) -> None:
    agent = Agent(conn)
    await agent.hello()
    with pytest.raises(JobError, match="unknown verb"):
        await agent.call("destroy")
    done = await conn.run([conn.python, "-I", "-S", agent.path, "hello", "--root", conn.root, "--what", "x"], b"{}\n")
    assert json.loads(done.stdout)["code"] == "bad_request"


@pytest.mark.parametrize("path", ["/etc/passwd", "../../../etc/passwd", "a/../../x", "", ".", "a//b", 7, None])
async def test_no_path_leads_out_of_a_run(conn: SubprocessConnection, path: object) -> None:
    agent = Agent(conn)
    Path(agent.run_dir("A")).mkdir(parents=True)
    with pytest.raises(UnsafePath):
        async with agent.frames({"run_id": "A", "ranges": [{"path": path, "offset": 0, "length": 9}]}) as frames:
            await frames.next()


async def test_symlinks_and_pipes_of_a_run_are_not_read(conn: SubprocessConnection, tmp_path: Path) -> None:
    agent = Agent(conn)
    run = Path(agent.run_dir("A"))
    run.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (run / "link").symlink_to(tmp_path / "secret")
    (run / "folder").symlink_to(tmp_path)
    os.mkfifo(run / "pipe")
    (run / "real.txt").write_text("real")
    ranges = [{"path": name, "offset": 0, "length": 100} for name in ("link", "folder/secret", "pipe", "real.txt")]
    got = {}
    async with agent.frames({"run_id": "A", "ranges": ranges}) as frames:
        while (frame := await frames.next()) is not None:
            got.setdefault(frame[0]["f"], b"")
            got[frame[0]["f"]] += frame[1]
    assert got == {"link": b"", "folder/secret": b"", "pipe": b"", "real.txt": b"real"}
    manifest = await agent.manifest("A")
    assert [file.path for file in manifest.files] == ["real.txt"]
    assert set(manifest.skipped) == {"link", "folder", "pipe"}


async def test_a_changed_file_is_hashed_anew_and_an_unchanged_one_is_not(conn: SubprocessConnection) -> None:
    agent = Agent(conn)
    run = Path(agent.run_dir("A"))
    (run / ".agent").mkdir(parents=True)
    for name in ("a", "b"):
        (run / name).write_text(name)
        os.utime(run / name, (1e9, 1e9))
    await agent.manifest("A")
    cache = json.loads((run / ".agent/hashes.json").read_bytes())
    assert set(cache) == {"a", "b"}
    cache["a"][4] = "0" * 64
    cache["b"][4] = "0" * 64
    (run / ".agent/hashes.json").write_text(json.dumps(cache))
    (run / "b").write_text("c")
    os.utime(run / "b", (1e9, 1e9))
    hashes = {file.path: file.sha256 for file in (await agent.manifest("A")).files}
    assert hashes["a"] == "0" * 64  # from the cache
    assert hashes["b"] == hashlib.sha256(b"c").hexdigest()


def test_a_lock_is_freed_by_its_holders_death_and_asking_takes_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "x.lock")
    holder = os.fork()
    if holder == 0:
        held = Lock(path).acquire()
        (tmp_path / ("held" if held else "failed")).touch()
        os.pause() if hasattr(os, "pause") else __import__("signal").pause()
    while not (tmp_path / "held").exists():
        assert not (tmp_path / "failed").exists()
    probe = Lock(path)
    assert probe.held()
    assert not probe.acquire(0)
    os.kill(holder, 9)
    os.waitpid(holder, 0)
    assert not probe.held()
    other = Lock(path)
    assert probe.acquire(0)
    assert other.held()


def test_without_open_file_description_locks_flock_does_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    for name in ("F_OFD_SETLK", "F_OFD_GETLK"):
        monkeypatch.delattr(fcntl, name, raising=False)
    one, two = Lock(str(tmp_path / "x.lock")), Lock(str(tmp_path / "x.lock"))
    assert not two.held()
    assert one.acquire(0)
    assert two.held()
    assert not two.acquire(0)
    one.close()
    assert two.acquire(0)


async def test_without_proc_the_state_is_told_by_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("ps") is None:
        pytest.skip("ps is not installed")
    from remote.agent import kernel

    real = os.path.isdir
    monkeypatch.setattr(kernel.os.path, "isdir", lambda path: path != "/proc/self" and real(path))
    child = subprocess.Popen(["sleep", "60"])
    try:
        first = kernel.start_time(child.pid)
        assert first is not None
        assert ":" in first
        assert child.pid in kernel.descendants(os.getpid())
    finally:
        child.kill()
        child.wait()
    assert kernel.start_time(child.pid) is None


async def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root)")
    try:
        work = tmp_path / "work"
        work.mkdir()
        for number in range(4):
            (work / f"f{number}.bin").write_bytes(os.urandom(512 << 10))
        from remote.errors import DiskFull

        agent = Agent(SubprocessConnection(small))
        with pytest.raises(DiskFull):
            await push(agent, scan([(work, "")]), tmp_path / "state")
        assert not list(small.glob(".maxcai/trees/*"))
        assert not list(small.rglob("*.tmp"))
        assert not (tmp_path / "state/last_push.json").exists()
    finally:
        end_everything(small)
        subprocess.run(["umount", "-l", str(small)], check=True)

"""Speaks to the agent of one pod over one connection: uploads it when it is not there, calls verbs, types the replies.

What is done with the replies is left to `jobs`, `sync` and `tail`.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

from msgspec import Struct

from remote.agent.disk import PROTOCOL
from remote.errors import (
    AgentError,
    AgentFailed,
    Busy,
    ConnectionLost,
    DiskFull,
    HashMismatch,
    JobError,
    LaunchUnconfirmed,
    ProtocolMismatch,
    RemoteError,
    UnsafePath,
)
from remote.link.connection import Completed, Connection, RemoteProcess
from remote.link.placing import NO_COMMAND, NO_FILE, last_line, missing_python, packed, place

MODULES = (
    "agent", "content", "daemon", "disk", "following", "host", "kernel", "launch", "policy", "reading", "receive",
    "runs", "stopping", "supervisor", "trees", "watchdog", "watching",
)  # fmt: skip
"""What travels to the pod; standard library only, Python 3.9 and later."""

_MAIN = "import sys\nfrom maxcai_agent.agent import main\nsys.exit(main())\n"

_REPLY_LIMIT = 256 << 20


@cache
def bundle() -> bytes:
    """The agent as one executable zip file, equal bytes for equal sources."""
    from importlib import resources  # only where an agent is sent

    package = resources.files("remote.agent")
    files = {f"maxcai_agent/{name}.py": package.joinpath(f"{name}.py").read_bytes() for name in MODULES}
    return packed({"__main__.py": _MAIN.encode(), "maxcai_agent/__init__.py": b"", **files})


class Hello(Struct, frozen=True):
    """What the agent says of its pod. Sizes in bytes; `clock` is the pod's unix time in seconds; unknown is None."""

    protocol: int
    incarnation: str
    python: str
    platform: str
    clock: float
    root: str
    free_root: int | None
    free_system: int | None
    cpus: int | None
    gpus: tuple[Mapping[str, str], ...]


class RemoteFile(Struct, frozen=True):
    """One file of a run. `sha256` is None while it may still grow; times are the pod's, in nanoseconds."""

    path: str
    size: int
    mtime_ns: int
    sha256: str | None
    growing: bool


class RunManifest(Struct, frozen=True):
    """Every regular file of a run; `skipped` are symlinks and other things that are not pulled."""

    files: tuple[RemoteFile, ...]
    skipped: tuple[str, ...]
    running: bool


class Agent:
    """The agent of the pod at the other end of `conn`.

    `locks` is the folder on the pod's container disk for locks (None: the connection's, else the agent's own choice).
    Every method raises SshError when the link breaks, PythonMissing, ProtocolMismatch, or what the agent refused with.
    """

    def __init__(self, conn: Connection, locks: str | None = None) -> None:
        self.conn = conn
        self._locks: str | None = (
            locks or getattr(conn, "locks", None) or getattr(getattr(conn, "pod", None), "locks", None)
        )
        self._digest = hashlib.sha256(bundle()).hexdigest()
        self._installed = False
        self.base = posixpath.join(conn.root, ".maxcai")
        self.path = posixpath.join(self.base, "agent", f"agent-{self._digest[:12]}.pyz")

    def run_dir(self, run_id: str) -> str:
        """Where a run lies on the pod."""
        return posixpath.join(self.base, "runs", run_id)

    def tree_dir(self, tree_id: str) -> str:
        """Where a pushed tree lies on the pod."""
        return posixpath.join(self.base, "trees", tree_id)

    def argv(self, verb: str) -> list[str]:
        """The command that runs a verb."""
        command = [self.conn.python, "-I", "-S", self.path, verb, "--root", self.conn.root]
        return [*command, "--locks", self._locks] if self._locks else command

    async def install(self) -> None:
        """Put the agent on the pod, verified there by hash; once per connection."""
        await place(self.conn, self.path, bundle(), program=True)
        self._installed = True

    async def call(
        self,
        verb: str,
        request: Mapping[str, Any] | None = None,
        content: AsyncIterable[bytes] | None = None,
        deadline_s: float = 60.0,
    ) -> dict[str, Any]:
        """Run one verb with a request (and the bytes that follow it); its reply without "v" and "ok".

        One round trip, except when the agent is not on the pod yet.
        """
        line = json.dumps(request or {}).encode() + b"\n"
        if content is not None:
            if not self._installed:
                await self.call("hello")
            return _reply(await self.conn.run(self.argv(verb), _after(line, content), deadline_s), self.conn.python)
        done = await self.conn.run(self.argv(verb), line, deadline_s)
        if not self._installed and not done.stdout and done.exit_code in (NO_FILE, NO_COMMAND, 1):
            await self.install()
            done = await self.conn.run(self.argv(verb), line, deadline_s)
        reply = _reply(done, self.conn.python)
        self._installed = True
        return reply

    @asynccontextmanager
    async def frames(self, request: Mapping[str, Any], verb: str = "read") -> AsyncIterator[Frames]:
        """A verb that answers with a stream of frames: `read` or `host`. Raises as `call` does."""
        if not self._installed:
            await self.call("hello")
        async with self.conn.open(self.argv(verb)) as process:
            await process.write(json.dumps(request).encode() + b"\n")
            await process.close_stdin()
            stream = Frames(process)
            _checked(await stream.header())
            yield stream

    async def hello(self) -> Hello:
        """Ask the pod what it is."""
        raw = await self.call("hello")
        raw["gpus"] = tuple(raw["gpus"])
        return Hello(**raw)

    async def manifest(self, run_id: str) -> RunManifest:
        """Every file of a run with its size, and its sha256 when it is final. Large files may take minutes to hash."""
        while True:
            raw = await self.call("manifest", {"run_id": run_id, "budget_s": 20.0}, deadline_s=1800.0)
            if not any(row.get("pending") for row in raw["files"]):
                break
        files = tuple(
            RemoteFile(row["path"], row["size"], row["mtime_ns"], row.get("sha256"), bool(row.get("growing")))
            for row in raw["files"]
        )
        return RunManifest(files, tuple(raw["skipped"]), bool(raw["running"]))

    async def gc(self, keep: tuple[str, ...] = (), min_age_s: float = 3600.0) -> dict[str, Any]:
        """Remove unused trees and content older than `min_age_s` seconds: {"trees": [ids], "freed": bytes}."""
        return await self.call("gc", {"keep": list(keep), "min_age_s": min_age_s}, deadline_s=600.0)


class Frames:
    """Reads frames: a JSON line, then the payload whose length its "n" says."""

    def __init__(self, process: RemoteProcess) -> None:
        self._process = process
        self._buffer = bytearray()

    async def _more(self) -> None:
        data = await self._process.read(1 << 20)
        if not data:
            words = last_line(await self._process.stderr())
            raise ConnectionLost("The pod's answer ended in the middle.", why=words)
        self._buffer += data

    async def header(self) -> dict[str, Any]:
        """The next JSON line."""
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > 1 << 20:
                raise AgentFailed("The pod sent something that is no frame.")
            await self._more()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return _parse(line)

    async def next(self) -> tuple[dict[str, Any], bytes] | None:
        """The next frame and its payload, None at the proper end. Raises ConnectionLost when the stream was cut."""
        head = await self.header()
        if head.get("end"):
            return None
        if head.get("ok") is False:
            _checked(head)
        length = head.get("n", 0)
        if not isinstance(length, int) or not 0 <= length <= 64 << 20:
            raise AgentFailed("The pod sent a frame of an impossible length.")
        while len(self._buffer) < length:
            await self._more()
        with memoryview(self._buffer) as view:  # a slice of the buffer itself would be one more copy
            payload = bytes(view[:length])
        del self._buffer[:length]
        return head, payload


async def _after(line: bytes, content: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    yield line
    async for chunk in content:
        yield chunk


def _parse(line: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise AgentFailed(f"The pod's answer is not JSON: {last_line(line)}") from None
    if not isinstance(raw, dict):
        raise AgentFailed(f"The pod's answer is not an object: {last_line(line)}")
    return raw


def _reply(done: Completed, python: str) -> dict[str, Any]:
    if done.exit_code == NO_COMMAND and not done.stdout:
        raise missing_python(done, python)
    if not done.stdout or len(done.stdout) > _REPLY_LIMIT:
        raise AgentFailed(f"The agent ended with code {done.exit_code} and no answer: {last_line(done.stderr)}")
    return _checked(_parse(done.stdout.strip().splitlines()[-1]))


def _checked(raw: dict[str, Any]) -> dict[str, Any]:
    if raw.get("v") != PROTOCOL:
        raise ProtocolMismatch(f"The agent on the pod speaks version {raw.get('v')}, this program {PROTOCOL}.")
    if raw.get("ok") is not True:
        raise _error(str(raw.get("code")), last_line(str(raw.get("detail")).encode()))
    return {name: value for name, value in raw.items() if name not in ("v", "ok")}


def _error(code: str, detail: str) -> RemoteError:
    if code == "busy":
        return Busy(f"The pod is busy: {detail}.", "Wait for that run, or cancel it first.")
    if code == "disk_full":
        return DiskFull(f"The pod's disk is full: {detail}.", "Free space on the pod's volume.", where=detail)
    if code == "hash":
        return HashMismatch(f"The pod refused damaged content: {detail}.", "Do it again.")
    if code == "unsafe_path":
        return UnsafePath(f"The pod refused a path: {detail}.")
    if code in ("exec", "no_tree", "no_run", "wrong_attempt", "bad_request"):
        return JobError(f"The pod refused: {detail}.")
    if code == "unconfirmed":
        return LaunchUnconfirmed(f"The launch was not confirmed: {detail}.", "Ask again with the same run id.")
    if code in ("locked", "cut", "os"):
        return AgentFailed(f"The agent failed: {detail}.")
    return AgentError(f"The agent refused ({code}): {detail}.")

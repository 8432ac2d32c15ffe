"""A Connection without a network: every argv runs here as a child process, its root is a folder of the test."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from pathlib import Path

from remote.agent.client import Agent, bundle
from remote.agent.kernel import start_time
from remote.errors import ConnectionLost, DeadlineExceeded
from remote.link.connection import Completed
from remote.link.placing import PLACE

NOT_FOUND = 127


class SubprocessConnection:
    """Counts its commands (`commands`) and bytes read; `cut_after` breaks the link after that many more bytes read.

    The agent lies on the pod already, unless the pod is `bare`.
    """

    def __init__(self, root: Path, python: str = sys.executable, bare: bool = False) -> None:
        self.root = str(root)
        self.python = python
        self.locks = str(root / "container-locks")
        self.commands: list[list[str]] = []
        self.requests: list[bytes] = []
        self.sent = 0
        self.cut_after: int | None = None
        self.lose_next_reply = False
        place = Path(Agent(self).path)
        if not bare and root.is_dir() and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(compiled_agent())

    async def run(
        self, argv: Sequence[str], stdin: bytes | AsyncIterable[bytes] = b"", deadline_s: float = 60.0
    ) -> Completed:
        self.commands.append(list(argv))
        if isinstance(stdin, bytes):
            self.requests.append(stdin)
        try:
            process = await _start(argv)
        except FileNotFoundError as error:
            return Completed(NOT_FOUND, b"", str(error).encode())
        try:
            async with asyncio.timeout(deadline_s):
                feed = asyncio.create_task(self._feed(process, stdin))
                assert process.stdout is not None
                assert process.stderr is not None
                out, err = await asyncio.gather(process.stdout.read(), process.stderr.read())
                code = await process.wait()
                await feed
        except TimeoutError as error:
            raise DeadlineExceeded(f"{argv[0]} took longer than {deadline_s} s") from error
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if self.lose_next_reply:
            self.lose_next_reply = False
            raise ConnectionLost("The connection was cut.")
        return Completed(code, out, err)

    async def _feed(self, process: asyncio.subprocess.Process, stdin: bytes | AsyncIterable[bytes]) -> None:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if isinstance(stdin, bytes):
                process.stdin.write(stdin)
                self.sent += len(stdin)
            else:
                async for chunk in stdin:
                    process.stdin.write(chunk)
                    self.sent += len(chunk)
                    await process.stdin.drain()
            await process.stdin.drain()
            process.stdin.close()
            await process.stdin.wait_closed()

    @contextlib.asynccontextmanager
    async def open(self, argv: Sequence[str]) -> AsyncIterator[OpenProcess]:
        self.commands.append(list(argv))
        process = await _start(argv)
        try:
            yield OpenProcess(process, self)
        finally:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)  # as a server does that loses its client
            assert process.stdout is not None
            assert process.stderr is not None
            await asyncio.gather(process.stdout.read(), process.stderr.read())  # else waiting would never end
            await process.wait()


@functools.cache
def compiled_agent() -> bytes:
    """The agent as it lies on a pod with our Python; made once, since it takes longer than most tests."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "agent.pyz"
        argv = [sys.executable, "-I", "-S", "-c", PLACE, path, hashlib.sha256(bundle()).hexdigest(), "program"]
        subprocess.run(argv, input=bundle(), stdout=subprocess.DEVNULL, check=True)
        return path.read_bytes()


class OpenProcess:
    def __init__(self, process: asyncio.subprocess.Process, conn: SubprocessConnection) -> None:
        self._process, self._conn = process, conn

    async def read(self, limit: int = 1 << 20) -> bytes:
        assert self._process.stdout is not None
        data = await self._process.stdout.read(limit)
        left = self._conn.cut_after
        if left is not None:
            if left <= 0 or not data:
                raise ConnectionLost("The connection was cut.")
            data = data[:left]
            self._conn.cut_after = left - len(data)
        return data

    async def write(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._conn.requests.append(data)
        self._process.stdin.write(data)
        await self._process.stdin.drain()

    async def close_stdin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def wait(self) -> int:
        return await self._process.wait()

    async def stderr(self) -> bytes:
        assert self._process.stderr is not None
        return await self._process.stderr.read()


async def _start(argv: Sequence[str]) -> asyncio.subprocess.Process:
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)


def end_everything(root: Path) -> None:
    """Kill whatever the agents of this root left running, by their start records."""
    for path in root.glob(".maxcai/runs/*/.agent/start-*.json"):
        record = json.loads(path.read_bytes())
        for who in ("supervisor", "pid"):
            if start_time(record[who]) == record[f"{who}_start"]:
                with contextlib.suppress(OSError):
                    os.kill(record[who], signal.SIGKILL)
                with contextlib.suppress(OSError):
                    os.killpg(record["pid"], signal.SIGKILL)


async def until(condition: Callable[[], bool], deadline_s: float = 15.0) -> None:
    """Wait for something that other processes bring about."""
    async with asyncio.timeout(deadline_s):
        while not condition():
            await asyncio.sleep(0.01)

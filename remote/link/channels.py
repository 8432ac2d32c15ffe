"""What runs over a verified SSH connection, as `connection` asks for it: at most eight commands at once.

Made by `ssh.connect` and by nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote.errors import ConnectionLost, DeadlineExceeded, SshError
from remote.link.connection import Completed, RemoteProcess
from remote.pods.model import Pod

if TYPE_CHECKING:
    import asyncssh

_CHANNELS = 8  # sshd allows 10 sessions on one connection
_CHUNK = 1 << 20
_WINDOW = 8 << 20  # bytes in flight of one channel: 80 ms of delay then still leave 100 MB/s
_CUT_SHORT = (AttributeError, AssertionError)  # what asyncssh raises when cut just as the pod's yes came in
_STDOUT_LIMIT = 256 << 20  # bytes of a whole answer: a pod that never stops talking must not fill our memory
_STDERR_LIMIT = 1 << 20  # bytes of standard error that are kept of a running command


class SshConnection:
    """Implements `connection.Connection`. At most eight commands run at once; more wait their turn."""

    def __init__(self, raw: asyncssh.SSHClientConnection, pod: Pod, verified: bool = True) -> None:
        self._raw = raw
        self._pod = pod
        self._verified = verified
        self._slots = asyncio.Semaphore(_CHANNELS)

    @property
    def root(self) -> str:
        """Absolute path on the pod of the volume that survives a stop."""
        return self._pod.root

    @property
    def python(self) -> str:
        """Interpreter on the pod that runs the agent."""
        return self._pod.python

    @property
    def verified(self) -> bool:
        """False when the server's key was trusted because the user agreed, not because the pod's log shows it."""
        return self._verified

    @property
    def host_key(self) -> str:
        """The key that the server has shown and that was accepted, in OpenSSH's one-line form."""
        key = self._raw.get_server_host_key()
        assert key is not None  # nothing connects without one
        return key.export_public_key("openssh").decode().strip()

    @property
    def pod(self) -> Pod:
        """The pod as it was when we connected."""
        return self._pod

    async def run(
        self, argv: Sequence[str], stdin: bytes | AsyncIterable[bytes] = b"", deadline_s: float = 60.0
    ) -> Completed:
        """Run `argv` to its end, feeding `stdin` no faster than it reads.

        A command killed by a signal has the negative signal number as exit code; of standard error the first MiB is
        kept. Raises ConnectionLost when the link
        breaks and DeadlineExceeded after `deadline_s` seconds; the command is then killed. What `stdin` raises comes
        through.
        """
        try:
            async with asyncio.timeout(deadline_s), self._start(argv) as process:
                out, err, _ = await _together(process.rest(), process.stderr(), process.feed(stdin))
                return Completed(await process.wait(), out, err)
        except TimeoutError:
            raise DeadlineExceeded(
                f"{_label(argv)} on pod {self._pod.id} did not end within {deadline_s:g} seconds.",
                "The pod may be overloaded; try again.",
            ) from None

    def open(self, argv: Sequence[str]) -> AbstractAsyncContextManager[RemoteProcess]:
        """Start `argv` and talk to it; leaving the context kills it if it still runs. Raises ConnectionLost."""
        return self._start(argv)

    @asynccontextmanager
    async def _start(self, argv: Sequence[str]) -> AsyncIterator[SshProcess]:
        async with self._slots:
            raw = await self._create(argv)
            process = SshProcess(raw, self._raw, self._pod, argv)
            try:
                yield process
            finally:
                await process.end()

    async def _create(self, argv: Sequence[str]) -> asyncssh.SSHClientProcess[bytes]:
        import asyncssh

        with _translated(self._pod, argv):
            try:
                return await self._raw.create_process(shlex.join(argv), encoding=None, window=_WINDOW)
            except (asyncssh.ChannelOpenError, *_CUT_SHORT) as exc:
                await asyncio.sleep(0)  # a link cut a moment ago calls itself closed only on the loop's next turn
                if self._raw.is_closed():
                    raise asyncssh.ConnectionLost("the link was down") from None
                if isinstance(exc, _CUT_SHORT):
                    raise
                raise SshError(f"Pod {self._pod.id} takes no further command: {cause(exc)}.", _RECONNECT) from None

    async def wait_lost(self) -> None:
        """Wait until the connection is over, for whatever reason."""
        await self._raw.wait_closed()

    def abort(self) -> None:
        """Drop the link at once, without the goodbyes that a dead peer would never answer."""
        self._raw.abort()

    async def close(self) -> None:
        """Close in order; a peer that does not answer is dropped."""
        self._raw.close()
        try:
            async with asyncio.timeout(3):
                await self._raw.wait_closed()
        except TimeoutError:
            self._raw.abort()


class SshProcess:
    """Implements `connection.RemoteProcess`."""

    def __init__(
        self, raw: asyncssh.SSHClientProcess[bytes], link: asyncssh.SSHClientConnection, pod: Pod, argv: Sequence[str]
    ) -> None:
        self._raw = raw
        self._link = link
        self._pod = pod
        self._argv = argv
        self._kept = bytearray()
        self._draining = asyncio.create_task(self._drain_stderr())

    async def read(self, limit: int = 1 << 20) -> bytes:
        """The next bytes of its standard output, b"" at the end of it. A broken link is never taken for the end."""
        with _translated(self._pod, self._argv):
            data = await self._raw.stdout.read(limit)
        if not data and self._raw.returncode is None and self._link.is_closed():
            raise self._lost()
        return data

    async def rest(self) -> bytes:
        """All of its standard output. Raises SshError when that is more than any answer could be."""
        parts, size = [], 0
        while data := await self.read():
            parts.append(data)
            size += len(data)
            if size > _STDOUT_LIMIT:
                raise SshError(
                    f"{_label(self._argv)} on pod {self._pod.id} answered more than {_STDOUT_LIMIT >> 20} MiB.",
                    "Files are brought by pulling them.",
                )
        return b"".join(parts)

    async def write(self, data: bytes) -> None:
        """Send to its standard input; waits while the channel's window is full.

        Raises SshError when the command ended without reading it, ConnectionLost when the link broke.
        """
        try:
            await self._send(data)
        except BrokenPipeError:
            if self._raw.returncode is None:
                raise self._lost() from None
            raise SshError(f"{_label(self._argv)} on pod {self._pod.id} ended before it read its input.") from None

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        with _translated(self._pod, self._argv, sending=True):
            for start in range(0, len(data), _CHUNK):
                self._raw.stdin.write(bytes(view[start : start + _CHUNK]))
                await self._raw.stdin.drain()

    async def feed(self, stdin: bytes | AsyncIterable[bytes]) -> None:
        """Send all of `stdin` and close it. A command that ends without reading it all is no error."""
        with contextlib.suppress(BrokenPipeError):
            if isinstance(stdin, bytes):
                await self._send(stdin)
            else:
                async for data in stdin:
                    await self._send(data)
            await self.close_stdin()

    async def close_stdin(self) -> None:
        """No more input."""
        with contextlib.suppress(OSError):  # the channel is closed already
            self._raw.stdin.write_eof()

    async def wait(self) -> int:
        """Its exit code; negative for a signal. Raises ConnectionLost when the link broke before it was told."""
        with _translated(self._pod, self._argv):
            await self._raw.channel.wait_closed()
        code = self._raw.returncode
        if code is None:
            raise self._lost()
        return int(code)

    def _lost(self) -> ConnectionLost:
        return ConnectionLost(f"The connection to pod {self._pod.id} broke during {_label(self._argv)}.", _RECONNECT)

    async def stderr(self) -> bytes:
        """Its standard error until its end, or the first MiB of it."""
        await asyncio.shield(self._draining)
        return bytes(self._kept)

    async def end(self) -> None:
        """Kill it if it still runs and give the channel back."""
        self._draining.cancel()
        with contextlib.suppress(OSError):
            if self._raw.returncode is None:
                self._raw.kill()
        self._raw.close()

    async def _drain_stderr(self) -> None:
        with contextlib.suppress(Exception):  # a broken link is told by read and wait
            while data := await self._raw.stderr.read(_CHUNK):
                self._kept += data[: max(0, _STDERR_LIMIT - len(self._kept))]


_RECONNECT = "Connect again; detached jobs go on meanwhile."


async def _together(*coroutines: Any) -> list[Any]:
    """All results; when one fails the others are cancelled and waited for."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as failures:
        raise _first(failures) from None
    return [task.result() for task in tasks]


def _first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    failure = failures.exceptions[0]
    return _first(failure) if isinstance(failure, BaseExceptionGroup) else failure


@contextlib.contextmanager
def _translated(pod: Pod, argv: Sequence[str], sending: bool = False) -> Any:
    """Turn the transport's exceptions into ours. While `sending`, BrokenPipeError passes: the command may be over."""
    import asyncssh

    try:
        yield
    except (asyncssh.Error, OSError) as exc:
        if sending and isinstance(exc, BrokenPipeError):
            raise
        why = cause(exc)
        raise ConnectionLost(
            f"The connection to pod {pod.id} broke during {_label(argv)}: {why}.", _RECONNECT, why=why
        ) from None


def cause(exc: BaseException) -> str:
    """A transport's own words, without their full stop."""
    text = str(getattr(exc, "reason", "") or getattr(exc, "strerror", "") or exc).strip().rstrip(".")
    return text or ("no answer in time" if isinstance(exc, TimeoutError) else type(exc).__name__)


def _label(argv: Sequence[str]) -> str:
    """A command's name for messages: never its arguments, which may be long or private."""
    return f'"{Path(argv[0]).name}"' if argv else "a command"

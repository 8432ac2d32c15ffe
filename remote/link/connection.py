"""The one thing that jobs, sync and tails need of a transport: run an argv on the pod, with bytes in and bytes out."""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from msgspec import Struct


class Completed(Struct, frozen=True):
    """A remote command that ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes


class RemoteProcess(Protocol):
    """A remote command that is running. `read` returns b"" at the end of its standard output."""

    async def read(self, limit: int = 1 << 20) -> bytes: ...
    async def write(self, data: bytes) -> None: ...  # waits while the channel's window is full
    async def close_stdin(self) -> None: ...
    async def wait(self) -> int: ...  # exit code
    async def stderr(self) -> bytes: ...


class Connection(Protocol):
    """One verified connection to one pod session."""

    @property
    def root(self) -> str:
        """Absolute path on the pod of the kept volume (`/workspace` on RunPod)."""
        ...

    @property
    def python(self) -> str:
        """Interpreter on the pod that runs the agent."""
        ...

    async def run(
        self, argv: Sequence[str], stdin: bytes | AsyncIterable[bytes] = b"", deadline_s: float = 60.0
    ) -> Completed:
        """Run to the end. Raises SshError when the link breaks or the deadline passes."""
        ...

    def open(self, argv: Sequence[str]) -> AbstractAsyncContextManager[RemoteProcess]:
        """Start and talk to it; leaving the context kills it if it still runs."""
        ...

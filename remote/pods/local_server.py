"""The embedded pod's machine: a real SSH server on loopback in a process of its own, so that it outlives the panel.

`python -m remote.pods.local_server --dir DIR …` detaches itself and prints one JSON line when it serves. A fresh host
key and port at every start; only our client key gets in; no password, terminal, forwarding, agent or file transfer
subsystem. What runs when the server has gone is left to `remote.pods.local`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import asyncssh

from remote.errors import RemoteError
from remote.pods.sandbox import Sandbox, State
from remote.pods.self_stop import heed
from remote.processes import identify

_CHUNK = 1 << 16
_STDIN_LIMIT = 1 << 20  # bytes taken from the network and not yet by the command
_ALIVE_S = 5.0
_SHELL = "/bin/sh"  # as sshd does: the command line goes to the user's shell


class PodServer(asyncssh.SSHServer):
    """One client connection. Everything but running commands is refused by asyncssh's defaults."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    def session_requested(self) -> ExecSession:
        """A channel for one command."""
        return ExecSession(self._folder, self._environment)


class ExecSession(asyncssh.SSHServerSession[bytes]):
    """One command, in a session of its own. As with sshd, signals are handed on and a broken link closes the pipes."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._command = ""
        self._child: asyncio.subprocess.Process | None = None
        self._input: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._waiting = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._signals: list[str] = []
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan

    def exec_requested(self, command: str) -> bool:
        self._command = command
        return True

    def session_started(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def data_received(self, data: bytes, datatype: int | None) -> None:  # noqa: ARG002
        self._waiting += len(data)
        self._input.put_nowait(data)
        if self._waiting > _STDIN_LIMIT:
            self._channel.pause_reading()

    def eof_received(self) -> bool:
        self._input.put_nowait(None)
        return True  # output may still come

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def signal_received(self, signal: str) -> None:
        self._signals.append(signal)
        self._deliver_signals()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._input.put_nowait(None)
        self._writable.set()
        if self._task is not None:
            self._task.cancel()

    def _deliver_signals(self) -> None:
        while self._child is not None and self._signals:
            number = getattr(signal, f"SIG{self._signals.pop(0)}", None)
            if number is not None and self._child.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._child.pid, number)

    async def _serve(self) -> None:
        try:
            child = await asyncio.create_subprocess_exec(
                _SHELL, "-c", self._command, cwd=self._folder, env=self._its_environment(), start_new_session=True,
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
        except OSError as exc:
            self._channel.write_stderr(f"the pod cannot run commands: {exc}\n".encode())
            self._channel.exit(255)
            return
        self._child = child
        self._deliver_signals()
        feeding = asyncio.create_task(self._feed(child))
        try:
            await asyncio.gather(
                self._pump(child.stdout, None), self._pump(child.stderr, asyncssh.EXTENDED_DATA_STDERR)
            )
            self._report(await child.wait())
        finally:
            feeding.cancel()
            _close_pipes(child)

    def _its_environment(self) -> Mapping[str, str]:
        """With the connection's two ends, as sshd tells them."""
        ends = [self._channel.get_extra_info(name) or ("", 0) for name in ("peername", "sockname")]
        return {**self._environment, "SSH_CONNECTION": " ".join(f"{host} {port}" for host, port, *_ in ends)}

    async def _feed(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdin is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            while (data := await self._input.get()) is not None:
                child.stdin.write(data)
                await child.stdin.drain()
                self._waiting -= len(data)
                if self._waiting <= _STDIN_LIMIT // 2:
                    self._channel.resume_reading()
            child.stdin.close()
            return
        self._channel.resume_reading()  # the command reads no more: what still comes is dropped, as a pipe would
        while await self._input.get() is not None:
            pass

    async def _pump(self, stream: asyncio.StreamReader | None, datatype: int | None) -> None:
        assert stream is not None
        while data := await stream.read(_CHUNK):
            await self._writable.wait()
            self._channel.write(data, datatype)

    def _report(self, code: int) -> None:
        if code >= 0:
            self._channel.exit(code)
        else:
            self._channel.exit_with_signal(signal.Signals(-code).name.removeprefix("SIG"))


def _close_pipes(child: asyncio.subprocess.Process) -> None:
    """Close our ends: a command that still writes gets a broken pipe, one that is detached never notices."""
    transport = getattr(child, "_transport", None)
    for number in (0, 1, 2):
        pipe = transport.get_pipe_transport(number) if transport is not None else None
        if pipe is not None:
            pipe.close()


class ContainerLog:
    """The container log, in the form in which the official images print theirs, each line with its time."""

    def __init__(self, path: Path, offset: float) -> None:
        self._file: TextIO = path.open("a", encoding="utf-8")
        self._offset = offset

    def write(self, *lines: str) -> None:
        """Append lines, durably."""
        for line in lines:
            at = datetime.fromtimestamp(time.time() + self._offset, UTC)
            self._file.write(f"{at:%Y-%m-%dT%H:%M:%S.%f}Z {line}\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def bind(avoid: int | None) -> socket.socket:
    """A listening socket's port on loopback chosen by the kernel, never the one of the start before."""
    first = socket.create_server(("127.0.0.1", 0))
    if first.getsockname()[1] != avoid:
        return first
    with first:  # held while the second is bound, so that it gets another
        return socket.create_server(("127.0.0.1", 0))


async def serve(sandbox: Sandbox, started_at: float, avoid: int | None, price: str, temporary: str) -> None:
    """Serve until SIGTERM: print the host key in the container log, record the state, then say that it is ready."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    log = ContainerLog(sandbox.log, started_at - time.time())
    log.write("Pod Started", "Setting up SSH...")
    key = asyncssh.generate_private_key("ssh-ed25519")
    environment = sandbox.environment(os.environ, temporary)
    listener = bind(avoid)
    port = int(listener.getsockname()[1])
    acceptor = await asyncssh.listen(
        sock=listener,
        server_factory=lambda: PodServer(sandbox.container, environment),
        server_host_keys=[key],
        authorized_client_keys=str(sandbox.authorized_keys),
        encoding=None,
        allow_pty=False,
        agent_forwarding=False,
        x11_forwarding=False,
        keepalive_interval=30,
        login_timeout=20,
    )
    log.write(
        "SSH host keys:",
        "Key: /etc/ssh/ssh_host_ed25519_key.pub",
        f"256 {key.get_fingerprint('sha256')} root@local (ED25519)",
        "Start script(s) finished, Pod is ready to use.",
    )
    state = _record(sandbox, started_at, port, price, temporary)
    _say({"ok": True, "port": port})
    await until_stopped(stopping, sandbox.pid_file, lambda: _look_after(sandbox, state))
    log.write("Pod Stopped")
    acceptor.close()


def _record(sandbox: Sandbox, started_at: float, port: int, price: str, temporary: str) -> State:
    me = identify(os.getpid())
    assert me is not None
    sandbox.pid_file.write_text(f"{me.pid} {me.started}\n")
    state = State(
        "running",
        started_at,
        port=port,
        pid=me.pid,
        pid_started=me.started,
        wall=time.time(),
        price=price,
        temporary=temporary,
    )
    sandbox.write(state)
    return state


def _look_after(sandbox: Sandbox, state: State) -> None:
    """What the server does every few seconds for its pod."""
    heed(sandbox, (state.started_at or 0.0) - (state.wall or 0.0))
    _mend(sandbox, state)


def _mend(sandbox: Sandbox, state: State) -> None:
    """Write the record anew when it was damaged or removed: without it nobody would find this server."""
    if sandbox.recorded() is None:
        sandbox.write(state)


async def until_stopped(
    stopping: asyncio.Event, pid_file: Path, mend: Callable[[], None], period_s: float = _ALIVE_S
) -> None:
    """Wait for the end; the pid file's time tells when we were last alive, should we be killed.

    `mend` is called every `period_s` seconds. Whose folder was deleted is a pod no more, and ends too.
    """
    while not stopping.is_set():
        try:
            os.utime(pid_file)
        except FileNotFoundError:
            return
        with contextlib.suppress(RemoteError, OSError):  # a full disk must not end the pod
            mend()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), period_s)


def _say(answer: Mapping[str, object]) -> None:
    """One line to whoever started us, then let go of their pipe."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(answer).encode() + b"\n")
    os.dup2(2, 1)


def _detach() -> None:
    """Become nobody's child, so that no process has to reap us, in a session of our own."""
    if os.fork():
        os._exit(0)
    os.setsid()


def main(argv: list[str] | None = None) -> None:
    """Entry point; `--started-at` is the provider's clock, `--avoid-port` the port of the start before."""
    parser = argparse.ArgumentParser(prog="python -m remote.pods.local_server", description="Serve the embedded pod.")
    parser.add_argument("--dir", type=Path, required=True, help="the pod's folder")
    parser.add_argument("--started-at", type=float, default=None, help="unix seconds")
    parser.add_argument("--avoid-port", type=int, default=None)
    parser.add_argument("--price", default="0", help="USD per hour")
    options = parser.parse_args(argv)
    _detach()
    sandbox = Sandbox(options.dir)
    sandbox.prepare()
    started_at = time.time() if options.started_at is None else options.started_at
    temporary = sandbox.make_temporary()
    try:
        asyncio.run(serve(sandbox, started_at, options.avoid_port, options.price, temporary))
    finally:
        sandbox.remove_temporary(temporary)


if __name__ == "__main__":
    main()

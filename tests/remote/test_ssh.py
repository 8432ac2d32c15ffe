"""The SSH connection: verified or nothing, byte-exact, and honest about how it ended."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncssh
import pytest
from msgspec.structs import replace

from remote import identity, processes
from remote.errors import (
    AuthRejected,
    ConnectFailed,
    ConnectionLost,
    DeadlineExceeded,
    HostKeyMismatch,
    HostKeyUnverified,
    NoEndpoint,
    RemoteError,
)
from remote.link import ssh
from remote.pods.local import LocalProvider
from remote.pods.model import Endpoint, Pod
from remote.pods.sandbox import Sandbox


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ssh") / ".maxcai"


@pytest.fixture(scope="module")
def provider(state_dir: Path) -> Iterator[LocalProvider]:
    """One pod for all tests here; those that spoil it take `fresh`."""
    provider = LocalProvider(state_dir, time.time, dict(os.environ))
    yield provider
    asyncio.run(provider.stop("local"))


@pytest.fixture
async def pod(provider: LocalProvider) -> Pod:
    """The pod as it runs, or started if it does not."""
    return await provider.start("local")


@pytest.fixture
async def fresh(provider: LocalProvider) -> AsyncIterator[Pod]:
    """The pod just started, its host key not pinned yet, and stopped after the test."""
    await provider.stop("local")
    yield await provider.start("local")
    await provider.stop("local")


@pytest.fixture
async def connection(pod: Pod, provider: LocalProvider, state_dir: Path) -> AsyncIterator[ssh.SshConnection]:
    async with ssh.connect(pod, provider, state_dir) as connection:
        yield connection


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


class Stranger(asyncssh.SSHServer):
    """Another customer's pod, which notes whether anybody tried to log in."""

    def __init__(self, tried: list[str]) -> None:
        self.tried = tried

    def begin_auth(self, username: str) -> bool:
        self.tried.append(username)
        return True


async def test_a_stranger_on_the_pods_address_gets_not_one_byte_of_ours(
    fresh: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    assert fresh.endpoint is not None
    async with ssh.connect(fresh, provider, state_dir):
        pass  # the session is pinned now
    await provider.stop("local")  # the port is free: somebody else may get it
    tried: list[str] = []
    stranger = await asyncssh.create_server(
        lambda: Stranger(tried),
        fresh.endpoint.host,
        fresh.endpoint.port,
        server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
    )
    try:
        with pytest.raises(HostKeyMismatch, match="Nothing was sent") as refusal:
            async with ssh.connect(fresh, provider, state_dir):
                pytest.fail("connected to a stranger")
    finally:
        stranger.close()
        await stranger.wait_closed()
    assert tried == []
    assert not refusal.value.retryable
    assert refusal.value.exit_code == 4


async def test_without_a_fingerprint_in_the_log_nothing_is_sent(
    fresh: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    (state_dir / "pods/local/container.log").write_text("Pod Started\n")
    with pytest.raises(HostKeyUnverified):
        async with ssh.connect(fresh, provider, state_dir, pin_wait_s=0):
            pytest.fail("connected without a pin")


async def test_another_key_of_ours_is_not_let_in(fresh: Pod, provider: LocalProvider, state_dir: Path) -> None:
    for path in (state_dir / "ssh").iterdir():
        path.unlink()
    with pytest.raises(AuthRejected, match="does not accept our key"):
        async with ssh.connect(fresh, provider, state_dir):
            pytest.fail("let in with a strange key")


async def test_a_pod_without_an_address_or_an_answer_is_explained(
    pod: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    with pytest.raises(NoEndpoint, match="no public SSH port"):
        async with ssh.connect(replace(pod, endpoint=None), provider, state_dir):
            pytest.fail("connected to nothing")
    with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:1") as failure:
        async with ssh.connect(replace(pod, endpoint=Endpoint("127.0.0.1", 1, "root")), provider, state_dir):
            pytest.fail("connected to nothing")
    assert failure.value.retryable


async def test_passwords_terminals_and_forwarding_are_refused(pod: Pod, state_dir: Path) -> None:
    assert pod.endpoint is not None
    key = identity.ensure(state_dir)
    where = {"host": pod.endpoint.host, "port": pod.endpoint.port, "username": "root", "config": None}
    with pytest.raises(asyncssh.PermissionDenied):
        await asyncssh.connect(**where, known_hosts=None, client_keys=[], agent_path=None, password="secret")
    agent = await asyncssh.connect(
        **where, known_hosts=None, client_keys=[str(key.private)], agent_path=None, x11_forwarding="ignore_failure"
    )
    async with agent:
        with pytest.raises(asyncssh.ChannelOpenError):
            await agent.create_process("tty", term_type="xterm")
        with pytest.raises(asyncssh.ChannelOpenError):
            await agent.open_connection("127.0.0.1", pod.endpoint.port)
        with pytest.raises(asyncssh.ChannelListenError):
            await agent.forward_remote_port("127.0.0.1", 0, "127.0.0.1", pod.endpoint.port)
        with pytest.raises(asyncssh.ChannelOpenError):
            await agent.start_sftp_client()
        with pytest.raises(asyncssh.ChannelOpenError):
            await agent.create_process("true", x11_forwarding=True, x11_display="127.0.0.1:9")
        with pytest.raises(asyncssh.ChannelOpenError):
            await agent.create_process()  # a login shell
        seen = await agent.run('echo "[$SSH_AUTH_SOCK$SSH_AGENT_PID$DISPLAY]"')
        assert str(seen.stdout).strip() == "[]"


async def test_arguments_arrive_exactly_as_they_are(connection: ssh.SshConnection) -> None:
    hostile = ["a b", "$(touch /tmp/x)", "'", '"', "`id`", "\\", "*", "", "ü\n\t", ";rm -rf /", "-n"]
    done = await connection.run(["printf", "%s\\0", *hostile])
    assert done.stdout.decode().split("\0")[:-1] == hostile


async def test_output_and_exit_code_are_exact(connection: ssh.SshConnection) -> None:
    done = await connection.run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.exit_code, done.stdout, done.stderr) == (7, b"out\n", b"err\n")
    assert (await connection.run(["no-such-command"])).exit_code == 127
    assert (await connection.run(["sh", "-c", "exec sleep 0"])).exit_code == 0


async def test_many_megabytes_pass_both_ways_unchanged(connection: ssh.SshConnection) -> None:
    data = os.urandom(1 << 20) * 24
    done = await connection.run(["cat"], data)
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(data).digest()


async def test_input_is_produced_no_faster_than_it_is_read(connection: ssh.SshConnection) -> None:
    produced = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal produced
        while True:
            produced += 1 << 20
            yield bytes(1 << 20)

    with pytest.raises(DeadlineExceeded):
        await connection.run(["sleep", "60"], endless(), deadline_s=1.0)
    assert produced < 64 << 20


async def test_a_command_that_ignores_its_input_is_no_failure(connection: ssh.SshConnection) -> None:
    done = await connection.run(["head", "-c", "3"], b"abc" + bytes(24 << 20))
    assert (done.exit_code, done.stdout) == (0, b"abc")


async def test_an_error_in_the_producer_of_the_input_comes_through(connection: ssh.SshConnection) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x"
        raise RemoteError("the file changed while it was read")

    with pytest.raises(RemoteError, match="the file changed"):
        await connection.run(["cat"], broken())
    assert (await connection.run(["echo", "on"])).stdout == b"on\n"


async def test_a_deadline_kills_the_command(connection: ssh.SshConnection) -> None:
    async with connection.open(["sh", "-c", "echo $$; exec sleep 300"]) as process:
        pid = int(await process.read())
    await until(lambda: processes.start_time(pid) is None)
    with pytest.raises(DeadlineExceeded, match="did not end within") as failure:
        await connection.run(["sleep", "300"], deadline_s=0.1)
    assert failure.value.retryable


async def test_a_conversation_with_a_running_command(connection: ssh.SshConnection) -> None:
    async with connection.open(
        ["sh", "-c", 'while read line; do echo "<$line>"; done; echo bye >&2; exit 5']
    ) as process:
        await process.write(b"one\n")
        assert await process.read() == b"<one>\n"
        await process.write(b"two\n")
        assert await process.read(3) == b"<tw"
        assert await process.read() == b"o>\n"
        await process.close_stdin()
        assert await process.read() == b""
        assert await process.wait() == 5
        assert await process.stderr() == b"bye\n"


async def test_more_commands_than_channels_wait_their_turn(connection: ssh.SshConnection) -> None:
    done = await asyncio.gather(*(connection.run(["echo", str(number)]) for number in range(30)))
    assert [int(one.stdout) for one in done] == list(range(30))


async def test_a_cut_connection_is_told_and_a_detached_child_runs_on(
    connection: ssh.SshConnection, pod: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    marker = Path(pod.root) / "marker"
    source = "import os,time\nif os.fork(): os._exit(0)\nos.setsid()\n[os.close(n) for n in (0,1,2)]\n"
    source += f"open({str(marker)!r},'w').write(str(os.getpid()))\ntime.sleep(300)"
    await connection.run([connection.python, "-c", source])
    await until(lambda: marker.exists() and marker.read_text())
    waiting = asyncio.create_task(connection.run(["sleep", "300"], deadline_s=300))
    async with connection.open(["cat"]) as process:
        connection.abort()
        with pytest.raises(ConnectionLost):
            await process.read()
        with pytest.raises(ConnectionLost):
            await process.wait()
    with pytest.raises(ConnectionLost, match="sleep"):
        await waiting
    await connection.wait_lost()
    with pytest.raises(ConnectionLost):
        await connection.run(["true"])
    assert processes.start_time(int(marker.read_text())) is not None
    async with ssh.connect(pod, provider, state_dir) as again:
        assert (await again.run(["echo", "again"])).stdout == b"again\n"


async def test_a_cut_at_any_moment_of_a_commands_start_is_told_as_a_cut(
    pod: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    for turns in range(24):  # of the event loop, between the start and the cut
        async with ssh.connect(pod, provider, state_dir) as connection:
            waiting = asyncio.create_task(connection.run(["sleep", "300"]))
            for _ in range(turns):
                await asyncio.sleep(0 if turns % 2 else 0.0005)
            connection.abort()
            with pytest.raises(ConnectionLost, match="sleep"):
                await waiting


async def test_a_cut_between_the_pods_yes_and_our_reading_it_is_told_as_a_cut(
    connection: ssh.SshConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = asyncssh.SSHClientChannel._make_request

    async def cut(channel: asyncssh.SSHClientChannel[bytes], *request: bytes) -> bool | None:
        answer = await accepted(channel, *request)
        connection.abort()
        await asyncio.sleep(0)
        return answer

    monkeypatch.setattr(asyncssh.SSHClientChannel, "_make_request", cut)
    with pytest.raises(ConnectionLost, match="sleep"):
        await connection.run(["sleep", "300"])


async def test_a_peer_that_falls_silent_is_noticed(pod: Pod, provider: LocalProvider, state_dir: Path) -> None:
    server = Sandbox(state_dir / "pods/local").read().server
    assert server is not None
    async with (
        ssh.connect(pod, provider, state_dir, keepalive_s=0.1) as connection,
        connection.open(["cat"]) as process,
    ):
        await process.write(b"x")
        assert await process.read() == b"x"
        os.kill(server.pid, signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):
                with pytest.raises(ConnectionLost):
                    await process.read()
        finally:
            os.kill(server.pid, signal.SIGCONT)


async def test_our_key_is_private_and_two_makers_agree_on_one(tmp_path: Path) -> None:
    made = await asyncio.gather(*(asyncio.to_thread(identity.ensure, tmp_path) for _ in range(8)))
    assert len({one.public for one in made}) == 1
    assert made[0].public.startswith("ssh-ed25519 ")
    assert (tmp_path / "ssh").stat().st_mode & 0o777 == 0o700
    assert made[0].private.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in (tmp_path / "ssh").iterdir()] == ["id_ed25519"]


@pytest.mark.parametrize(("name", "mode"), [("ssh", 0o755), ("ssh/id_ed25519", 0o644)])
def test_a_key_that_others_can_read_is_refused(tmp_path: Path, name: str, mode: int) -> None:
    identity.ensure(tmp_path)
    (tmp_path / name).chmod(mode)
    with pytest.raises(RemoteError, match="open to other users") as refusal:
        identity.ensure(tmp_path)
    assert "chmod" in refusal.value.hint


async def test_the_connection_ignores_the_users_ssh_configuration(
    pod: Pod, provider: LocalProvider, state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/config").write_text("Host *\n  Port 1\n  User nobody\n  Ciphers no-such-cipher\n")
    (home / ".ssh/known_hosts").write_text("not a known_hosts file\n")
    monkeypatch.setenv("HOME", str(home))
    began = time.monotonic()
    async with ssh.connect(pod, provider, state_dir) as connection:
        assert (await connection.run(["true"])).exit_code == 0
    assert time.monotonic() - began < 10


async def test_a_link_that_breaks_while_we_send_is_a_broken_link_and_not_a_reader_that_left(
    pod: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    async with ssh.connect(pod, provider, state_dir) as link, link.open(["cat"]) as process:
        running = asyncio.create_task(link.run(["sleep", "300"], deadline_s=300))
        await process.write(b"here")
        assert await process.read() == b"here"
        link._raw.connection_lost(BrokenPipeError(32, "Broken pipe"))  # as the kernel says it of the socket
        with pytest.raises(ConnectionLost):
            await process.read()
        with pytest.raises(ConnectionLost):
            await process.write(b"more")
        with pytest.raises(ConnectionLost):
            await running
        with pytest.raises(ConnectionLost):
            await link.run(["true"])

"""Why a pod cannot be reached is told apart, and a key that no log shows is trusted only after a plain yes."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncssh
import pytest
from msgspec.structs import replace

from remote.errors import HostKeyMismatch, HostKeyUnverified, NoEndpoint, NoSshServer, SshError
from remote.link import ssh
from remote.link.hostkeys import HostKey, PinStore
from remote.pods.local import LocalProvider
from remote.pods.model import Endpoint, Pod, PodStatus

LOG = "pods/local/container.log"


@pytest.fixture
async def pod(provider: LocalProvider) -> Pod:
    return await provider.start("local")


@pytest.fixture
def mute(pod: Pod, state_dir: Path) -> str:
    """The pod's log without its host keys, as of an image that prints none; what was in it."""
    log = state_dir / LOG
    text = log.read_text()
    log.write_text("Pod Started\n")
    return text


@pytest.fixture
async def silent_port() -> AsyncIterator[Endpoint]:
    """A port mapping with nothing behind it: it accepts, and closes at once."""

    async def close(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "root")
    server.close()


async def refused(pod: Pod, provider: LocalProvider, state_dir: Path, **options: bool) -> SshError:
    with pytest.raises(SshError) as failure:
        async with ssh.connect(pod, provider, state_dir, pin_wait_s=0, **options):
            pytest.fail("connected")
    return failure.value


@pytest.mark.parametrize("host", ["ssh.runpod.io", "SSH.RunPod.io."])
async def test_the_proxy_is_refused_and_the_reason_told(
    pod: Pod, provider: LocalProvider, state_dir: Path, host: str
) -> None:
    why = await refused(replace(pod, endpoint=Endpoint(host, 22, "x-1")), provider, state_dir)
    assert isinstance(why, NoEndpoint)
    assert "moves no files" in why.message
    assert "22/tcp" in why.hint


async def test_no_port_and_a_stopped_pod_are_two_different_things(
    pod: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    proxy = Endpoint("ssh.runpod.io", 22, "x-1")
    no_port = await refused(replace(pod, endpoint=None, proxy=proxy), provider, state_dir)
    stopped = await refused(replace(pod, endpoint=None, status=PodStatus.STOPPED), provider, state_dir)
    assert "no public SSH port" in no_port.message
    assert "gives shells only" in no_port.message
    assert "nothing runs on it" in stopped.message
    assert stopped.hint == "Start the pod."


@pytest.mark.usefixtures("mute")
async def test_an_image_without_ssh_is_named_as_such_although_it_prints_no_keys_either(
    pod: Pod, provider: LocalProvider, state_dir: Path, silent_port: Endpoint
) -> None:
    for endpoint in (silent_port, Endpoint("127.0.0.1", 1, "root")):
        why = await refused(replace(pod, endpoint=endpoint), provider, state_dir)
        assert isinstance(why, NoSshServer)
        assert "there is no SSH in this image" in why.hint
    assert isinstance(await refused(pod, provider, state_dir), HostKeyUnverified)


async def test_a_pinned_pod_whose_server_is_gone_is_told_in_the_same_words(
    pod: Pod, provider: LocalProvider, state_dir: Path, silent_port: Endpoint
) -> None:
    assert isinstance(await refused(replace(pod, endpoint=silent_port), provider, state_dir), NoSshServer)


async def test_a_key_without_proof_is_trusted_only_after_a_yes_that_is_kept_for_the_pod(
    pod: Pod, provider: LocalProvider, state_dir: Path, mute: str
) -> None:
    assert isinstance(await refused(pod, provider, state_dir), HostKeyUnverified)
    async with ssh.connect(pod, provider, state_dir, accept_unverified=True) as connection:
        assert not connection.verified
        assert (await connection.run(["echo", "on"])).stdout == b"on\n"
    began = time.monotonic()
    async with ssh.connect(pod, provider, state_dir) as connection:  # the yes is remembered, and nothing waited for
        assert not connection.verified
    assert time.monotonic() - began < 30
    (state_dir / LOG).write_text(mute)  # now the log shows the key after all
    async with ssh.connect(pod, provider, state_dir) as connection:
        assert connection.verified


@pytest.mark.usefixtures("mute")
async def test_a_trusted_first_key_that_changes_is_a_hard_stop(
    pod: Pod, provider: LocalProvider, state_dir: Path
) -> None:
    async with ssh.connect(pod, provider, state_dir, accept_unverified=True):
        pass
    assert pod.endpoint is not None
    other = await asyncssh.listen("127.0.0.1", 0, server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")])
    moved = replace(pod, endpoint=replace(pod.endpoint, port=other.get_port()))
    why = await refused(moved, provider, state_dir, accept_unverified=True)
    other.close()
    assert isinstance(why, HostKeyMismatch)
    assert "showed first" in why.message


async def test_a_log_that_contradicts_the_trusted_key_is_a_hard_stop(tmp_path: Path, pod: Pod) -> None:
    store = PinStore(tmp_path)
    assert pod.session is not None
    await store.put_met(pod.session, HostKey("SHA256:" + "a" * 43, "ED25519"))
    with pytest.raises(HostKeyMismatch, match="trusted without it"):
        await store.put(pod.session, [HostKey("SHA256:" + "b" * 43, "ED25519")])
    assert store.get(pod.session) == ()


async def test_dialling_asks_where_the_pod_is_now(pod: Pod, provider: LocalProvider, state_dir: Path) -> None:
    async with ssh.dial("local", provider, state_dir) as connection:
        first = connection.pod.endpoint
        assert connection.verified
    await provider.stop("local")
    await provider.start("local")
    async with ssh.dial("local", provider, state_dir) as connection:
        assert connection.pod.endpoint != first
        assert (await connection.run(["echo", os.curdir])).stdout == b".\n"

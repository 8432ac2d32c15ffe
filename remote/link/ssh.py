"""Makes verified SSH connections to pod sessions: where to, with which key of theirs, and why not.

The server's key is compared with the session's pins before we authenticate; there is no way around that check. A pod
whose log shows no keys is refused, unless the user agreed once to trust the key that it shows first: then the
connection says that it is not `verified`. When and how often to reconnect is the caller's business. asyncssh is loaded
at the first connection (0.3 s), not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remote import identity
from remote.errors import (
    AuthRejected,
    ConnectFailed,
    HostKeyUnverified,
    NoEndpoint,
    NoSshServer,
)
from remote.link.channels import SshConnection, cause
from remote.link.hostkeys import HostKey, Pins, PinStore, algorithms, mismatch, pins_for
from remote.pods.model import Endpoint, Pod, PodSession
from remote.pods.provider import Provider

if TYPE_CHECKING:
    import asyncssh

_CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com"]
_KEEPALIVE_COUNT = 3
_PROXY = "ssh.runpod.io"  # gives shells only: no commands, no copies
_BANNER_S = 5.0
_KINDS = {"ssh-ed25519": "ED25519", "ssh-rsa": "RSA"}


@asynccontextmanager
async def connect(
    pod: Pod,
    provider: Provider,
    state_dir: Path,
    *,
    connect_timeout_s: float = 10.0,
    pin_wait_s: float = 60.0,
    keepalive_s: float = 5.0,
    accept_unverified: bool = False,
) -> AsyncIterator[SshConnection]:
    """Connect to the pod's present session and verify it; the connection is closed at the end of the context.

    `pod` must be freshly read: its endpoint changes at every start; `dial` reads it. `accept_unverified` is the user's
    word, kept for this pod, that the first key it shows is trusted where its log shows none. Raises NoEndpoint,
    NoSshServer, ConnectFailed, AuthRejected, HostKeyUnverified or HostKeyMismatch; with the last two, nothing of ours
    was sent. A peer that says nothing is given up after 4 x `keepalive_s` seconds: everything under way then raises
    ConnectionLost.
    """
    endpoint = _usable(pod)
    key = await asyncio.to_thread(identity.ensure, state_dir)
    store = PinStore(state_dir)
    try:
        pins = await pins_for(pod, provider, store, wait_s=pin_wait_s, accept_unverified=accept_unverified)
    except HostKeyUnverified:
        await _expect_banner(pod, endpoint)  # an image without an SSH server prints no keys either
        raise
    link = _link(pins)
    raw = await _handshake(pod, endpoint, key.private, link, (connect_timeout_s, keepalive_s))
    connection = SshConnection(raw, pod, pins.verified)
    try:
        if link.met is not None:
            await store.put_met(_session(pod), link.met)
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def dial(
    pod_id: str, provider: Provider, state_dir: Path, *, accept_unverified: bool = False
) -> AsyncIterator[SshConnection]:
    """Read the pod afresh, then connect to where it is now. Raises ProviderError, and as `connect` does."""
    async with connect(
        await provider.get(pod_id), provider, state_dir, accept_unverified=accept_unverified
    ) as connection:
        yield connection


def _usable(pod: Pod) -> Endpoint:
    """Where to connect to. Raises NoEndpoint, which says why there is no address, or why it is of no use."""
    if pod.status.over:
        raise NoEndpoint(f"Pod {pod.id} is {pod.status}: nothing runs on it.", "Start the pod.")
    if pod.endpoint is not None and pod.endpoint.host.rstrip(".").lower() == _PROXY:
        raise NoEndpoint(
            f"{_PROXY} leads to shells only: it runs no commands and moves no files, so pod {pod.id} is not reached "
            "through it.",
            'Give the pod the port "22/tcp" and use its public address.',
        )
    if pod.endpoint is None:
        proxied = f" Its proxy address {pod.proxy.host} is of no use: it gives shells only." if pod.proxy else ""
        raise NoEndpoint(
            f"Pod {pod.id} is {pod.status} and has no public SSH port.{proxied}",
            'Wait until it has booted; if none appears, its ports lack "22/tcp" or its host is bad: stop it.',
        )
    return pod.endpoint


async def _expect_banner(pod: Pod, endpoint: Endpoint) -> None:
    """Raise NoSshServer unless an SSH server introduces itself at the pod's address. Nothing is sent."""
    where, said = f"pod {pod.id} at {endpoint.host}:{endpoint.port}", b""
    try:
        async with asyncio.timeout(_BANNER_S):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
            try:
                said = await reader.read(4)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        pass
    if not said.startswith(b"SSH-"[: max(1, len(said))]):
        raise _no_server(where)


def _no_server(where: str) -> NoSshServer:
    return NoSshServer(
        f"No SSH server answers on {where}.",
        "It may still boot. If it has run for minutes, there is no SSH in this image: use an official one, or start "
        "sshd in its start command.",
    )


async def _handshake(
    pod: Pod, endpoint: Endpoint, private: Path, link: Any, times: tuple[float, float]
) -> asyncssh.SSHClientConnection:
    import asyncssh

    where = f"pod {pod.id} at {endpoint.host}:{endpoint.port}"
    options = _options(endpoint, private, link, times)
    try:
        connection, _ = await asyncssh.create_connection(lambda: link, endpoint.host, endpoint.port, **options)
    except asyncssh.HostKeyNotVerifiable:
        raise mismatch(pod.id, link.why) from None
    except asyncssh.PermissionDenied:
        raise AuthRejected(
            f"The SSH server of {where} does not accept our key {private}.",
            "Stop the pod and start it again with this key.",
        ) from None
    except ConnectionRefusedError:
        raise _no_server(where) from None
    except (OSError, TimeoutError, asyncssh.Error) as exc:
        if isinstance(exc, (asyncssh.ConnectionLost, ConnectionResetError)) and not link.greeted:
            raise _no_server(where) from None
        raise ConnectFailed(
            f"No SSH connection to {where}: {cause(exc)}.", "Refresh the pod's state and try again."
        ) from None
    return connection


def _options(endpoint: Endpoint, private: Path, link: Any, times: tuple[float, float]) -> dict[str, Any]:
    """How we connect: with our key alone, by nobody's configuration, to the pinned keys only."""
    timeout_s, keepalive_s = times
    return {
        "username": endpoint.username,
        "config": None,  # else ~/.ssh/config would apply
        "agent_path": None,
        "client_keys": [str(private)],
        "known_hosts": lambda *_: ([], [], []),  # None would switch the check off, b"" would read ~/.ssh/known_hosts
        "server_host_key_algs": algorithms(link.pins) if link.pins else "default",
        "encryption_algs": _CIPHERS,
        "compression_algs": ["none"],
        "agent_forwarding": False,
        "x11_forwarding": False,
        "password_auth": False,
        "kbdint_auth": False,
        "gss_auth": False,
        "gss_kex": False,
        "host_based_auth": False,
        "connect_timeout": timeout_s,
        "login_timeout": 2 * timeout_s,
        "keepalive_interval": keepalive_s,
        "keepalive_count_max": _KEEPALIVE_COUNT,
    }


def _link(pins: Pins) -> Any:
    """What asyncssh asks about the server's key, before it authenticates. `met` is a key trusted because it was first,
    `greeted` says whether a server showed a key at all."""
    import asyncssh

    class Link(asyncssh.SSHClient):
        met: HostKey | None = None
        greeted = False

        def __init__(self) -> None:
            self.pins = pins.keys
            shown = "the pod's own log shows" if pins.verified else "it showed first"
            self.why = f"it is not the key that {shown} for this start"

        def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:  # noqa: ARG002
            self.greeted = True
            fingerprint = key.get_fingerprint("sha256").rstrip("=")
            if not pins.verified and not pins.keys:
                self.met = HostKey(fingerprint, _KINDS.get(key.get_algorithm(), "ECDSA"))
                return True
            return fingerprint in {pin.fingerprint for pin in pins.keys}

    return Link()


def _session(pod: Pod) -> PodSession:
    assert pod.session is not None  # else it would have no pins
    return pod.session

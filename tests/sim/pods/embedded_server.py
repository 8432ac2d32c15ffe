"""The first program of a tier C pod: the embedded pod's SSH server at a port it is told, with the log of an image."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import asyncssh

from remote.pods.local_server import PodServer
from tests.sim.pods.image import FINISHED, LOOPBACK
from tests.sim.pods.janitor import MARK


def say(*lines: str) -> None:
    """Lines of the container log."""
    print(*lines, sep="\n", flush=True)


async def serve(disk: Path, port: int, name: str, environment: dict[str, str]) -> asyncssh.SSHAcceptor:
    """Let the client's key in, print ours as the official images do, and listen."""
    say("Setting up SSH...")
    keys = disk / "home" / ".ssh" / "authorized_keys"
    keys.parent.mkdir(mode=0o700, exist_ok=True)
    keys.write_text(environment["PUBLIC_KEY"] + "\n")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    fingerprint = f"256 {host_key.get_fingerprint('sha256')} root@{name} (ED25519)"
    say("ED25519 key fingerprint:", fingerprint)
    acceptor = await asyncssh.listen(
        LOOPBACK,
        port,
        reuse_address=True,
        server_factory=lambda: PodServer(disk / "home", environment),
        server_host_keys=[host_key],
        authorized_client_keys=str(keys),
        encoding=None,
        allow_pty=False,
        agent_forwarding=False,
        x11_forwarding=False,
        login_timeout=20,
    )
    say("SSH host keys:", "Key: /etc/ssh/ssh_host_ed25519_key.pub", fingerprint)
    return acceptor


async def run(disk: Path, port: int, delay: float, name: str, with_ssh: bool) -> None:
    """Boot, then serve until killed."""
    environment = {key: value for key, value in os.environ.items() if key != MARK}
    say("Starting Nginx service...", "Pod Started")
    await asyncio.sleep(delay)
    acceptor = await serve(disk, port, name, environment) if with_ssh and environment.get("PUBLIC_KEY") else None
    say("Exporting environment variables...", FINISHED)
    await asyncio.Event().wait()
    del acceptor


def main() -> None:
    """usage: DISK PORT DELAY HOSTNAME "ssh"|"" """
    disk, port, delay, name, ssh = sys.argv[1:]
    asyncio.run(run(Path(disk), int(port), float(delay), name, ssh == "ssh"))

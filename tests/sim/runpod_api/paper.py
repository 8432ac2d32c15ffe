"""Pods without any process: a container log and a public port at which nobody listens. For tests of the API alone."""

from __future__ import annotations

import base64
import secrets
import socket
from collections.abc import Mapping
from pathlib import Path

from tests.sim.pods.base import PodRequest

_POOL = 3


class PaperPod:
    """A started pod that is only said to be there."""

    def __init__(self, request: PodRequest, port: int) -> None:
        self.host, self.username = "127.0.0.1", "root"
        self.python: str | None = None
        self.port = port
        self.root = request.mount or ""
        self.alive = True
        self.environment: Mapping[str, str] = dict(request.env)
        digest = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self.fingerprint = f"SHA256:{digest}"
        self._lines = _official_log(request.pod_id, self.fingerprint)

    @property
    def gpu_control(self) -> Path:
        """There is no nvidia-smi to steer."""
        raise NotImplementedError("a pod on paper has no nvidia-smi")

    def log_lines(self) -> list[str]:
        """What an official image prints at its start, with a fingerprint made at random."""
        return list(self._lines)

    def say(self, line: str) -> None:
        """Let the container print one more line."""
        self._lines.append(line)

    def pids(self) -> list[int]:
        """None."""
        return []

    async def stop(self) -> None:
        """Say that it is gone."""
        self.alive = False


class PaperFactory:
    """Hands out ports that stay closed: bound, so that nobody else gets them, and never listened on."""

    name = "none"

    def __init__(self) -> None:
        self._sockets = [socket.socket() for _ in range(_POOL)]
        for one in self._sockets:
            one.bind(("127.0.0.1", 0))
        self._next = 0
        self.started: list[PodRequest] = []
        self.destroyed: list[str] = []

    @staticmethod
    def why_not() -> str | None:
        """It works everywhere."""
        return None

    async def start(self, request: PodRequest) -> PaperPod:
        """Take the next port of the pool: two starts in a row differ, ports come back after a few."""
        port = self._sockets[self._next % _POOL].getsockname()[1]
        self._next += 1
        self.started.append(request)
        return PaperPod(request, port)

    async def destroy_volume(self, key: str) -> None:
        """Note it."""
        self.destroyed.append(key)

    async def close(self) -> None:
        """Give the ports back."""
        for one in self._sockets:
            one.close()


def _official_log(pod_id: str, fingerprint: str) -> list[str]:
    line = f"256 {fingerprint} root@{pod_id[:12]} (ED25519)"
    return [
        "Pod Started",
        "Setting up SSH...",
        "ED25519 key fingerprint:",
        line,
        "SSH host keys:",
        "Key: /etc/ssh/ssh_host_ed25519_key.pub",
        line,
        "Exporting environment variables...",
        "Start script(s) finished, Pod is ready to use.",
    ]

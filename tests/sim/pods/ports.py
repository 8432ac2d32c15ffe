"""Ports of loopback for pods: few, and given to other pods again as soon as they are free, as a provider does."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
from pathlib import Path

from tests.sim.pods.base import PodStartError


class PortPool:
    """Ports taken by this factory. Locks under `folder` keep two processes from taking one port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._locks: dict[int, int] = {}
        self._returned: list[int] = []
        self._last: dict[str, int] = {}

    def take(self, pod_id: str, first: int, last: int) -> int:
        """A free port of `first`..`last`: rather one that another pod gave back, never the one this pod had before.

        Raises PodStartError when there is none.
        """
        before = self._last.get(pod_id)
        used: list[int] = [port for port in reversed(self._returned) if first <= port <= last]
        for port in used + [port for port in range(first, last + 1) if port not in used]:
            if port != before and port not in self._locks and self._lock(port):
                self._last[pod_id] = port
                return port
        raise PodStartError(f"No port of {first} to {last} is free for pod {pod_id}.")

    def give_back(self, port: int) -> None:
        """The port may be taken again."""
        lock = self._locks.pop(port, None)
        if lock is not None:
            os.close(lock)
            self._returned = [*(other for other in self._returned if other != port), port]

    def close(self) -> None:
        """Give every port back."""
        for port in list(self._locks):
            self.give_back(port)

    def _lock(self, port: int) -> bool:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(self._folder / str(port), os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _bind(port)
        except OSError as exc:
            os.close(lock)
            if exc.errno in (errno.EWOULDBLOCK, errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        self._locks[port] = lock
        return True


def _bind(port: int) -> None:
    """Raises OSError when something else listens on the port."""
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))

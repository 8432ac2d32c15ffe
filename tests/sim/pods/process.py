"""A started pod as every tier has it: a first process, a container log in a file, an end that leaves nothing."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from remote.processes import ProcessId, end
from tests.sim.pods.base import PodStartError
from tests.sim.pods.image import FINISHED, LOOPBACK, user_name

_BOOT_S = 30.0
_OWN_END_S = 5.0
_POLL_S = 0.005


class ProcessPod:
    """Implements `RunningPod`. `find` gives the pod's processes; `release` is called once, after the end.

    `ends_itself`: the first process ends all others when it gets a TERM, and does so without a gap.
    """

    def __init__(
        self,
        folder: Path,
        port: int,
        root: str,
        python: str | None,
        process: subprocess.Popen[bytes],
        find: Callable[[], list[ProcessId]],
        release: Callable[[], None],
        ends_itself: bool = False,
    ) -> None:
        self.host, self.port, self.username = LOOPBACK, port, user_name()
        self.root, self.python = root, python
        self.folder = folder
        self._process = process
        self._find = find
        self._release: Callable[[], None] | None = release
        self._ends_itself = ends_itself

    @property
    def alive(self) -> bool:
        """Whether the pod's first process still runs."""
        return self._process.poll() is None

    @property
    def gpu_control(self) -> Path:
        """The file whose text steers nvidia-smi, see data/nvidia-smi.sh."""
        return self.folder / "gpu" / "control"

    def log_lines(self) -> list[str]:
        """The container log of this start: complete lines only, without times."""
        text = (self.folder / "container.log").read_bytes().decode("utf-8", "replace")
        return text[: text.rfind("\n") + 1].splitlines()

    def pids(self) -> list[int]:
        """The pod's processes, as pids of this machine."""
        return sorted(process.pid for process in self._find())

    async def booted(self) -> None:
        """Wait for the end of the start script. Raises PodStartError when it failed; the pod is then stopped."""
        deadline = time.monotonic() + _BOOT_S
        while FINISHED not in (lines := self.log_lines()):
            if not self.alive or time.monotonic() > deadline:
                await self.stop()
                raise PodStartError("The pod did not boot: " + (" | ".join(lines[-5:]) or "it printed nothing") + ".")
            await asyncio.sleep(_POLL_S)

    async def stop(self) -> None:
        """End every process of the pod and wipe its container disk; the log and the volume stay. Once is enough."""
        if self._release is None:
            return
        if self._ends_itself:
            self._find()  # so that all are known, should the first be unable
            for number in (signal.SIGTERM, signal.SIGCONT):
                self._process.send_signal(number)
            await self._ended(_OWN_END_S)
        survivors = await end(self._find, grace_s=0.0)
        await self._ended(_OWN_END_S)
        release, self._release = self._release, None
        if release is not None:  # else another has stopped it meanwhile
            release()
        for path in self.folder.iterdir():
            if path.is_dir() and path != self.gpu_control.parent:
                shutil.rmtree(path, ignore_errors=True)
        if survivors:
            raise RuntimeError(f"Processes of a pod survived its stop: {[process.pid for process in survivors]}.")

    async def _ended(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self.alive and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)


def launch(argv: list[str], folder: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a pod's first process, out of reach of the terminal's signals, its output the container log.

    Raises PodStartError when it cannot be started.
    """
    with (folder / "container.log").open("ab") as log:
        try:
            return subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/", start_new_session=True
            )
        except OSError as exc:
            raise PodStartError(f"The pod cannot be started: {exc}.") from None

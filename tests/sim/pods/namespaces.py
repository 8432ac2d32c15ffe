"""Tier A: pods as containers are made. Own process ids, mounts, host name and IPC, and a root directory whose changes
live in memory until the stop. The network is the machine's own, so that pods reach the simulated API on loopback.

Needs root and Linux. Pods end when the thread that started them does, were it killed: the kernel sees to that.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from remote.processes import ProcessId, identify
from tests.sim.pods import image
from tests.sim.pods.base import PodRequest, PodStartError
from tests.sim.pods.factory import Factory
from tests.sim.pods.janitor import MARK
from tests.sim.pods.process import ProcessPod, launch

_NEEDED = ("unshare", "setpriv", "mount", "umount", "pivot_root", "chroot", "mknod", "ssh-keygen")
_TOOLS_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), image.PATH))
_UNSHARE = ("unshare", "--pid", "--fork", "--kill-child", "--mount", "--uts", "--ipc")
_TRIAL = """
mount -t tmpfs none "$0" && mkdir "$0/u" "$0/w" "$0/m" && mknod "$0/u/tmp" c 0 0 &&
mount -t overlay -o "lowerdir=/,upperdir=$0/u,workdir=$0/w" none "$0/m" && mkdir "$0/m/tmp" &&
mount -t proc p "$0/m/proc"
"""


class Namespaces(Factory):
    """Pods in namespaces of their own, each with a real sshd as root."""

    name = "namespaces"

    @staticmethod
    def why_not() -> str | None:
        """None when this way works here, else the reason."""
        return _why_not()

    def _make_small_volume(self, folder: Path) -> None:
        options = f"size={self.full_disk_bytes},mode=755"
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(folder)], capture_output=True)
        if done.returncode:
            raise PodStartError(f"No small disk could be mounted: {done.stderr.decode(errors='replace').strip()}.")

    async def _launch(self, request: PodRequest, folder: Path, volume: Path | None, port: int) -> ProcessPod:
        home = pwd.getpwuid(0).pw_dir
        (folder / "base").mkdir()
        shutil.copy(image.DATA / "start.sh", folder)
        (folder / "sshd_config").write_text(image.sshd_config("", port, {}))
        (folder / "kept").write_text("".join(f"{path}\n" for path in image.kept(request.variant, home)))
        image.write_nvidia_smi(folder / "nvidia-smi", "/run/gpu/control", request.gpu_count)
        environment = {**image.environment(request, port, home), MARK: str(self.home)}
        process = launch(self._argv(request, folder, volume, home), folder, environment)
        has_python = request.variant != "no-python"
        return ProcessPod(
            folder, port, request.mount or "/workspace", "python3" if has_python else None, process,
            Members(process.pid), lambda: self._ports.give_back(port),
        )  # fmt: skip

    def _argv(self, request: PodRequest, folder: Path, volume: Path | None, home: str) -> list[str]:
        sshd = "" if request.variant == "no-ssh" else image.find_sshd() or ""
        delay = str(self.slow_boot_s) if request.variant == "slow-boot" else "0"
        mount = [str(volume or ""), request.mount or ""]
        disk = [str(self.container_bytes), home]
        boot = ["sh", str(image.DATA / "boot.sh"), str(folder / "base"), str(folder), request.pod_id]
        wait = ["setpriv", "--pdeathsig", "KILL", *_UNSHARE]
        argv = [*wait, *boot, *disk, *mount, sshd, delay, *image.hidden(request.variant)]
        return [shutil.which(argv[0], path=_TOOLS_PATH) or argv[0], *argv[1:]]


class Members:
    """The processes of a pod: everything in the namespace of its first process, and who waits for that one.

    Both are known by pid and start time, and the namespace only as long as its first process lives: the kernel gives
    the number of one that is gone to the next pod, which may be another test's.
    """

    def __init__(self, outside: int) -> None:
        self._outside = identify(outside)
        self._first: ProcessId | None = None

    def __call__(self) -> list[ProcessId]:
        """The living ones."""
        namespaces = _namespaces()
        if self._first is None and self._outside is not None:
            self._first = _child_in_another(self._outside, namespaces)
        found = [] if self._first is None else self._beside(self._first, namespaces)
        return found + [process for process in (self._outside,) if process is not None and process.alive]

    @staticmethod
    def _beside(first: ProcessId, namespaces: dict[int, tuple[int, str]]) -> list[ProcessId]:
        if first.pid not in namespaces:
            return []
        members = [pid for pid, (_, ns) in namespaces.items() if ns == namespaces[first.pid][1]]
        found = [process for process in map(identify, members) if process is not None]
        return found if first.alive else []  # else it ended while we looked, and with it all of them


def _child_in_another(outside: ProcessId, namespaces: dict[int, tuple[int, str]]) -> ProcessId | None:
    """Its child with a namespace of its own, if it is there yet."""
    ours = os.readlink("/proc/self/ns/pid")
    for pid, (parent, ns) in namespaces.items():
        if parent == outside.pid and ns != ours:
            found = identify(pid)
            return found if outside.alive else None
    return None


def _namespaces() -> dict[int, tuple[int, str]]:
    """Parent and process id namespace of every process that can be read."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(errors="replace")
                namespace = os.readlink(folder / "ns" / "pid")
            except OSError:
                continue
            found[int(folder.name)] = (int(stat[stat.rfind(")") + 2 :].split()[1]), namespace)
    return found


@cache
def _why_not() -> str | None:
    if sys.platform != "linux":
        return "namespaces are a thing of Linux"
    if os.geteuid() != 0:
        return "only root may make namespaces with mounts"
    if missing := [name for name in _NEEDED if shutil.which(name, path=_TOOLS_PATH) is None]:
        return f"this machine lacks {', '.join(missing)}"
    if image.find_sshd() is None:
        return "this machine lacks sshd"
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*_UNSHARE, "sh", "-ec", _TRIAL, folder], capture_output=True, check=False)
    return f"a trial failed: {done.stderr.decode(errors='replace').strip()[:200]}" if done.returncode else None

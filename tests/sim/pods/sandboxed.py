"""Tiers B and C: pods without namespaces, as a plain user. A pod is a folder and a process that keeps its descendants.

What differs from a rented pod: there is no root directory and no /workspace (use the pod's `root`), process 1 is the
machine's own, and commands get the pod's environment from the session instead. Tier B runs a real sshd, tier C the
asyncssh server of the embedded pod, which needs no sshd installed.
"""

from __future__ import annotations

import os
import shlex
import sys
from abc import abstractmethod
from pathlib import Path

from remote.processes import ProcessId, carrying, identify
from tests.sim.pods import image
from tests.sim.pods.base import PodRequest
from tests.sim.pods.factory import Factory
from tests.sim.pods.janitor import MARK
from tests.sim.pods.process import ProcessPod, launch

POD_MARK = "MAXCAI_SIM_POD"  # environment variable of every command of a pod: its folder
_INIT = Path(__file__).with_name("init.py")
_FOLDERS = ("bin", "home", "tmp", "workspace", "etc/ssh", "var/log")
_SESSION = """#!/bin/sh
. {environment}
cd "$HOME" || exit 1
case ${{SSH_ORIGINAL_COMMAND:-}} in
'') exec /bin/sh ;;
*) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;;
esac
"""


class Sandboxed(Factory):
    """A pod in a folder: disk/ is wiped by a stop."""

    @abstractmethod
    def _server(self, request: PodRequest, disk: Path, port: int, delay: str) -> list[str]:
        """What the first process runs: it prints the container log and serves SSH."""

    async def _launch(self, request: PodRequest, folder: Path, volume: Path | None, port: int) -> ProcessPod:
        disk = folder / "disk"
        for name in _FOLDERS:
            (disk / name).mkdir(parents=True, exist_ok=True)
        fill_bin(disk / "bin", request, folder)
        environment = self._environment(request, folder, disk, port)
        exports = (f"export {name}={shlex.quote(value)}\n" for name, value in environment.items() if name != MARK)
        (disk / "environment.sh").write_text("".join(exports))
        delay = str(self.slow_boot_s) if request.variant == "slow-boot" else "0"
        program = self._server(request, disk, port, delay)
        process = launch([str(image.interpreter()), "-I", "-S", str(_INIT), *program], folder, environment)
        members = Members(identify(process.pid), folder)
        return ProcessPod(
            folder, port, str(volume or disk / "workspace"), None if request.variant == "no-python" else "python3",
            process, members, lambda: self._ports.give_back(port), ends_itself=True,
        )  # fmt: skip

    def _environment(self, request: PodRequest, folder: Path, disk: Path, port: int) -> dict[str, str]:
        path = str(disk / "bin") if is_closed(request.variant) else f"{disk / 'bin'}:{image.PATH}"
        return {
            **image.environment(request, port, str(disk / "home")),
            "PATH": path,
            "TMPDIR": str(disk / "tmp"),
            POD_MARK: str(folder),
            MARK: str(self.home),
        }


class Rootless(Sandboxed):
    """Tier B: a real sshd of the current user."""

    name = "rootless"

    @staticmethod
    def why_not() -> str | None:
        """None when this way works here, else the reason."""
        if image.find_sshd() is None:
            return "this machine lacks sshd"
        if sys.platform != "linux":
            return None  # accounts are not in files there
        texts = []
        for path in ("/etc/passwd", "/etc/shadow"):
            try:
                texts.append(Path(path).read_text(errors="replace"))
            except OSError:
                texts.append("")  # what we cannot read, our sshd cannot either
        return image.why_no_login(image.user_name(), *texts)

    def _server(self, request: PodRequest, disk: Path, port: int, delay: str) -> list[str]:
        sshd = "" if request.variant == "no-ssh" else image.find_sshd() or ""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # root's sshd wants it, and its service makes it so
        session = disk / "session"
        session.write_text(_SESSION.format(environment=shlex.quote(str(disk / "environment.sh"))))
        session.chmod(0o755)
        keys = disk / "home" / ".ssh" / "authorized_keys"
        extra = {
            "StrictModes": "no",
            "AuthorizedKeysFile": str(keys),
            "SetEnv": f"HOME={disk / 'home'}",  # before the session starts: the login shell reads its .bashrc there
            "ForceCommand": str(session),
        }
        (disk / "etc" / "ssh" / "sshd_config").write_text(image.sshd_config(str(disk), port, extra))
        return ["/bin/sh", str(image.DATA / "start.sh"), str(disk), sshd, delay, request.pod_id]


class Embedded(Sandboxed):
    """Tier C: asyncssh, wherever this project runs."""

    name = "embedded"

    @staticmethod
    def why_not() -> str | None:
        """None: this way works wherever the project does."""
        return None

    def _server(self, request: PodRequest, disk: Path, port: int, delay: str) -> list[str]:
        repository = str(Path(__file__).parents[3])
        code = (
            f"import sys; sys.path.insert(0, {repository!r}); from tests.sim.pods.embedded_server import main; main()"
        )
        serve = "" if request.variant == "no-ssh" else "ssh"
        return [sys.executable, "-c", code, str(disk), str(port), delay, request.pod_id, serve]


class Members:
    """The processes of a pod: the first one, its descendants, and whatever else carries the pod's mark."""

    def __init__(self, first: ProcessId | None, folder: Path) -> None:
        self._first = first
        self._folder = folder
        self._seen: set[ProcessId] = set()  # should the first be killed, its orphans are still known

    def __call__(self) -> list[ProcessId]:
        """The living ones."""
        self._seen |= {*self._family(), *carrying(POD_MARK, str(self._folder))}
        self._seen = {process for process in self._seen if process.alive}
        return list(self._seen)

    def _family(self) -> list[ProcessId]:
        if self._first is None or not self._first.alive:
            return []
        children = _children()
        family = [self._first.pid]
        for pid in family:  # grows while it is walked
            family += children.get(pid, [])
        found = (identify(pid) for pid in family)
        return [process for process in found if process is not None]


def _children() -> dict[int, list[int]]:
    """Children of every process, by its pid; {} where there is no /proc."""
    found: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir() if Path("/proc/self").exists() else ():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(errors="replace")
            except OSError:
                continue
            found.setdefault(int(stat[stat.rfind(")") + 2 :].split()[1]), []).append(int(folder.name))
    return found


def is_closed(variant: str) -> bool:
    """Whether commands of the variant must not see the machine's own folders of programs."""
    return variant in ("minimal", "no-python")


def fill_bin(folder: Path, request: PodRequest, seed: Path) -> None:
    """The pod's own programs: nvidia-smi, python3 and, where the image lacks something, links to all the rest."""
    image.write_nvidia_smi(folder / "nvidia-smi", str(seed / "gpu" / "control"), request.gpu_count)
    if request.variant != "no-python":
        (folder / "python3").symlink_to(image.interpreter())
    if is_closed(request.variant):
        taken = {path.name for path in folder.iterdir()}
        for program in image.programs():
            if program.name not in taken and not image.lacks(request.variant, program.name):
                taken.add(program.name)
                (folder / program.name).symlink_to(program)

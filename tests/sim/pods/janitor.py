"""The folder of a factory, recorded with the process that owns it, and the removal of what dead owners left behind.

<home>/volumes                what survives a stop, by volume key
<home>/pods                   one folder for each start of a pod
<temporary>/maxcai-sim-pods-<uid>/homes/<name of home>   its path, and pid and start time of its owner
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from remote.processes import ProcessId, carrying, end, identify

MARK = "MAXCAI_SIM_PODS"  # environment variable of a pod's first process: its factory's folder
_PREFIX = "maxcai-"


def default_parent() -> Path:
    """Where factories live unless told otherwise. Short: a socket's path may have about 100 characters."""
    return Path(tempfile.gettempdir()) / f"maxcai-sim-pods-{os.getuid()}"


def make_home(parent: Path) -> Path:
    """A new folder that belongs to this process."""
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent.resolve()))
    for name in ("volumes", "pods"):
        (home / name).mkdir()
    me = identify(os.getpid())
    assert me is not None
    record = _record(home)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    record.write_text(f"{me.pid} {me.started} {home}")
    return home


async def sweep() -> list[Path]:
    """Remove the folders of dead owners, with their processes and mounts; what was removed is returned."""
    removed = []
    for record in sorted((default_parent() / "homes").glob(f"{_PREFIX}*")):
        try:
            pid, started, home = record.read_text().split(maxsplit=2)
            owner = ProcessId(int(pid), started)
        except (OSError, ValueError):
            continue  # being written, or removed by another janitor
        if not owner.alive and Path(home).name == record.name:
            await remove_home(Path(home))
            removed.append(Path(home))
    return removed


async def remove_home(home: Path) -> None:
    """End every process that carries the folder's mark, undo the mounts under it, delete it."""
    await end(lambda: [*carrying(MARK, str(home)), *_naming(home)], grace_s=0.0)
    for point in mounts_of(home):
        unmount(point)
    shutil.rmtree(home, ignore_errors=True)
    _record(home).unlink(missing_ok=True)


def _record(home: Path) -> Path:
    return default_parent() / "homes" / home.name


def _naming(home: Path) -> list[ProcessId]:
    """Processes with the folder in their command line: sshd overwrites its environment, and the mark in it."""
    found = []
    for entry in Path("/proc").iterdir() if Path("/proc/self").exists() else ():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                if f"{home}/".encode() in (entry / "cmdline").read_bytes():
                    found.append(identify(int(entry.name)))
    return [process for process in found if process is not None]


def mounts_under(folder: Path) -> list[Path]:
    """Mount points at or below `folder`, deepest first."""
    return [point for point in _mount_points() if point.is_relative_to(folder)]


def mounts_of(home: Path) -> list[Path]:
    """Mount points in a factory's folder, deepest first, were the folders above it renamed: its own name is unique."""
    return [point for point in _mount_points() if home.name in point.parts]


def _mount_points() -> list[Path]:
    """Mount points of this process's view, deepest first; [] where there is no /proc."""
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    return sorted((Path(line.split()[4].encode().decode("unicode_escape")) for line in lines), reverse=True)


def unmount(point: Path) -> None:
    """Undo one mount, even while it is in use."""
    subprocess.run(["umount", "--lazy", str(point)], check=False, capture_output=True)

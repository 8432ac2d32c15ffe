"""Processes and locks, on Linux by its own means and elsewhere by portable ones. Knows nothing of runs."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time

from .disk import Json

PLAIN = {**os.environ, "LC_ALL": "C"}  # so that words of other programs do not depend on the pod's language


def command_output(argv: list[str], deadline_s: float = 5.0) -> str | None:
    """Standard output of a command that ended well in time, else None. One that cannot be killed is left behind."""
    import subprocess  # slow to load and needed by few verbs

    quiet = subprocess.DEVNULL
    try:
        child = subprocess.Popen(argv, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, env=PLAIN)
    except (OSError, ValueError):
        return None
    try:
        words, _ = child.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        child.kill()  # and not waited for: in a driver that hangs it would never end
        if child.stdout is not None:
            child.stdout.close()
        return None
    return words.decode("utf-8", "replace") if child.returncode == 0 else None


def pod_environment(first: str = "/proc/1/environ") -> dict[str, str]:
    """The container's own environment, which a command over SSH does not get; ours where process 1 is another's."""
    try:
        with open(first, "rb") as text:
            words = text.read().decode("utf-8", "surrogateescape").split("\0")
    except OSError:
        return dict(os.environ)
    env = {name: value for name, _, value in (word.partition("=") for word in words if word)}
    return env if "RUNPOD_POD_ID" in env else dict(os.environ)


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from field 3 (state) on; None where there is no such process or no /proc."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as line:
            return line.read().rpartition(b")")[2].decode("ascii").split()
    except OSError:
        return None


def start_time(pid: int) -> str | None:
    """What tells a process from a later one of the same pid: clock ticks since boot, or `ps` words without /proc."""
    if os.path.isdir("/proc/self"):
        fields = stat_fields(pid)
        return None if fields is None or fields[0] in ("Z", "X") else fields[19]
    words = command_output(["ps", "-o", "stat=,lstart=", "-p", str(pid)])
    state, _, started = (words or "").strip().partition(" ")
    return None if not started or state.startswith("Z") else " ".join(started.split())


def incarnation(args: Json) -> str:
    """Names the life of this container: boot id, start of pid 1, pid namespace. A restart changes it."""
    if args["incarnation_file"]:
        with open(args["incarnation_file"], encoding="utf-8") as text:
            return text.read().strip()
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as text:
            boot = text.read().strip()
        return f"{boot}:{start_time(1)}:{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        boot = command_output(["sysctl", "-n", "kern.bootsessionuuid"]) or ""
        return boot.strip() or "unknown"


def process_table() -> list[tuple[int, int]]:
    """(pid, parent) of every process that is visible."""
    if os.path.isdir("/proc/self"):
        pids = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        rows = [(pid, stat_fields(pid)) for pid in pids]
        return [(pid, int(fields[1])) for pid, fields in rows if fields and fields[0] not in ("Z", "X")]
    lines = (command_output(["ps", "-axo", "pid=,ppid="]) or "").split("\n")
    return [(int(pid), int(parent)) for pid, parent in (line.split() for line in lines if line.strip())]


def descendants(root: int) -> set[int]:
    children: dict[int, list[int]] = {}
    for pid, parent in process_table():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        new = [pid for pid in children.get(todo.pop(), []) if pid not in found]
        found.update(new)
        todo.extend(new)
    return found


def carrying_run(run_id: str) -> set[int]:
    """Pids whose start environment names this run (Linux): finds escapees whose supervisor is gone."""
    mark, found = f"MAXCAI_RUN_ID={run_id}".encode(), set()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        try:
            with open(f"/proc/{name}/environ", "rb") as text:
                if name.isdigit() and mark in text.read().split(b"\0"):
                    found.add(int(name))
        except OSError:
            continue
    return found - {os.getpid()}


def send_signal(pids: set[int], group: int | None, number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:
            continue
    if group is not None:
        try:
            os.killpg(group, number)
        except OSError:
            return


class Lock:
    """An exclusive file lock that the kernel drops when its holder dies.

    Open-file-description locks where the kernel has them: asking who holds one takes nothing, so a probe never makes
    a launch fail. Elsewhere flock, where the taker tries for a second because a probe may hold it for a moment.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def _ofd(self, name: str, kind: int) -> int | None:
        command = getattr(fcntl, name, None)
        if command is None:
            return None
        request = struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, 0, 0)
        try:
            return int(struct.unpack("hhqqi4x", fcntl.fcntl(self.fd, command, request))[0])
        except OSError as error:
            if error.errno == errno.EINVAL:  # a kernel without them
                return None
            raise

    def _once(self) -> bool:
        try:
            if self._ofd("F_OFD_SETLK", fcntl.F_WRLCK) is None:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True

    def acquire(self, deadline_s: float = 1.0) -> bool:
        end = time.monotonic() + deadline_s
        while not self._once():
            if time.monotonic() > end:
                return False
            time.sleep(0.02)
        return True

    def held(self) -> bool:
        """Whether somebody holds it."""
        kind = self._ofd("F_OFD_GETLK", fcntl.F_WRLCK)
        if kind is not None:
            return kind != fcntl.F_UNLCK
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return False

    def close(self) -> None:
        os.close(self.fd)


def default_locks() -> str:
    if os.environ.get("MAXCAI_LOCKS"):  # set by a pod that shares its machine's memory with others
        return os.environ["MAXCAI_LOCKS"]
    memory = os.path.isdir("/dev/shm") and os.access("/dev/shm", os.W_OK)
    base = "/dev/shm" if memory else os.environ.get("TMPDIR") or "/tmp"
    return os.path.join(base, "maxcai" if os.getuid() == 0 else f"maxcai-{os.getuid()}")


def resident_bytes(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as line:
            return int(line.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None

"""What the pod's machine does: processor, memory, free space, graphics cards, connections. Knows no runs.

Numbers are the container's own where it has a cgroup (version 2), the machine's otherwise; what cannot be read is None.
"""

from __future__ import annotations

import os
import time
from typing import Any, BinaryIO

from .daemon import Probe
from .disk import PROTOCOL, Json, free_bytes
from .kernel import command_output
from .reading import Out
from .runs import Pod

CGROUPS = "/sys/fs/cgroup"
DISK_S, APPS_S = 10.0, 30.0
PTS = 136, 143  # major numbers of pseudo terminals
ESTABLISHED, RETRIES = "01", 4  # of /proc/net/tcp: the state, and how often unanswered bytes were sent again


def words_of(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as text:
            return text.read(1 << 16)
    except OSError:
        return None


def table(text: str | None) -> dict[str, int]:
    """Lines of a name and a whole number, as in cpu.stat, memory.stat and /proc/meminfo."""
    found = {}
    for line in (text or "").split("\n"):
        cells = line.replace(":", " ").split()
        if len(cells) >= 2 and cells[1].isdigit():
            found[cells[0]] = int(cells[1])
    return found


def whole(text: str | None) -> int | None:
    """The number in a file of one number; "max" and everything else is None."""
    word = (text or "").strip()
    return int(word) if word.isdigit() else None


class Machine:
    """Reads counters; `proc` and `cgroups` are folders, so that recorded ones can be read too."""

    def __init__(self, proc: str = "/proc", cgroups: str = CGROUPS) -> None:
        self.proc = proc
        own = next((line[3:] for line in (words_of(f"{proc}/self/cgroup") or "").split("\n") if line[:3] == "0::"), "/")
        nested = os.path.join(cgroups, own.strip("/"))
        self.group = nested if os.path.exists(os.path.join(nested, "memory.current")) else cgroups

    def file(self, name: str) -> str | None:
        return words_of(os.path.join(self.group, name))

    def cpu_s(self) -> float | None:
        """Seconds of processor time used so far."""
        used = table(self.file("cpu.stat")).get("usage_usec")
        if used is not None:
            return used / 1e6
        first = (words_of(f"{self.proc}/stat") or "").split("\n")[0].split()
        if not first or first[0] != "cpu":
            return None
        ticks = [int(cell) for cell in first[1:9]]  # guest time is part of user time
        return (sum(ticks) - ticks[3] - ticks[4]) / float(os.sysconf("SC_CLK_TCK"))  # without idle and iowait

    def cpus(self) -> float | None:
        """How many processors may be used."""
        quota = (self.file("cpu.max") or "").split()
        if len(quota) == 2 and quota[0].isdigit() and int(quota[1]) > 0:
            return int(quota[0]) / int(quota[1])
        return float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0) or None

    def memory(self) -> tuple[int | None, int | None]:
        """Bytes in use, without what the kernel can drop, and the limit."""
        machine = table(words_of(f"{self.proc}/meminfo"))
        total = machine["MemTotal"] * 1024 if "MemTotal" in machine else None
        used = whole(self.file("memory.current"))
        if used is not None:
            limit = whole(self.file("memory.max"))
            return max(0, used - table(self.file("memory.stat")).get("inactive_file", 0)), limit or total
        if total is None or "MemAvailable" not in machine:
            return None, total
        return total - machine["MemAvailable"] * 1024, total


def free_space(root: str) -> Json:
    """Free bytes of the volume and of the container's disk, and free names on the volume."""
    try:
        names: int | None = os.statvfs(root).f_favail
    except OSError:
        names = None
    return {"root": free_bytes(root), "system": free_bytes("/"), "names": names}


def gpu_use() -> float | None:
    """The busiest graphics card's use in percent; None without one, or without an answer."""
    listing = command_output(["nvidia-smi", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"])
    cells = [line.strip() for line in (listing or "").split("\n")]
    return max((float(cell) for cell in cells if cell.isdigit()), default=None)


def gpu_processes() -> str | None:
    query = "--query-compute-apps=pid,gpu_uuid,used_memory,process_name"
    return command_output(["nvidia-smi", query, "--format=csv,noheader,nounits"])


def ssh_sessions(port: int) -> int | None:
    """Connections to the local `port` whose other end still answers; None where they cannot be told."""
    tables = [text for text in (words_of("/proc/net/tcp"), words_of("/proc/net/tcp6")) if text is not None]
    if tables:
        return sum(connections(text, port) for text in tables)
    listing = command_output(["netstat", "-an", "-p", "tcp"])
    if listing is None:
        return None
    rows = [line.split() for line in listing.split("\n") if line.rstrip().endswith("ESTABLISHED")]
    return sum(len(row) > 4 and row[3].rpartition(".")[2] == str(port) for row in rows)


def shells(proc: str = "/proc") -> list[str] | None:
    """Terminals that SSH opened, by number, where somebody is logged in; None where they cannot be told.

    A terminal of tmux or of a program is none: only those of processes that descend from the SSH server's.
    """
    if not os.path.isdir(os.path.join(proc, "self")):
        return None
    parents: dict[str, tuple[str, str, int]] = {}
    for pid in os.listdir(proc):
        head, _, rest = (words_of(f"{proc}/{pid}/stat") or "").rpartition(")") if pid.isdigit() else ("", "", "")
        fields = rest.split()
        if len(fields) > 4:
            parents[pid] = head.partition("(")[2], fields[1], int(fields[4])
    found = set()
    for pid, (_name, _parent, terminal) in parents.items():
        if PTS[0] <= terminal >> 8 & 0xFFF <= PTS[1] and by_ssh(pid, parents):
            found.add(str((terminal >> 12 & 0xFFF00) | (terminal & 0xFF)))
    return sorted(found, key=int)


def by_ssh(pid: str, parents: dict[str, tuple[str, str, int]]) -> bool:
    """Whether a process descends from an SSH server."""
    for _ in range(64):
        if pid not in parents:
            return False
        name, pid, _terminal = parents[pid]
        if name.startswith(("sshd", "dropbear")):
            return True
    return False


def tell_shells(request: Json, _pod: Pod, _stream: BinaryIO) -> Json:
    """Who is logged in; `say`, one line, is shown on each of their terminals."""
    found = shells()
    words = "".join(char for char in str(request.get("say", "")) if char.isprintable())[:500]
    for number in (found or []) if words else []:
        try:
            fd = os.open(f"/dev/pts/{number}", os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            os.write(fd, f"\r\n{words}\r\n".encode())
        except OSError:
            pass
        finally:
            os.close(fd)
    return {"shells": found}


def connections(text: str, port: int) -> int:
    """How many rows of a /proc/net/tcp are connections to `port` that still answer."""
    found = 0
    for line in text.split("\n")[1:]:
        cells = line.split()
        if len(cells) < 7 or cells[3] != ESTABLISHED:
            continue
        gone = cells[5].partition(":")[0] == "01" and int(cells[6], 16) >= RETRIES
        found += int(cells[1].rpartition(":")[2], 16) == port and not gone
    return found


def host(request: Json, pod: Pod, out: Out) -> None:
    """Frames without payload, one every `interval_s` seconds, until the link breaks or `count` were sent.

    {"t": unix seconds, "cpu": processors in use since the frame before, "cpus", "memory", "memory_limit": bytes,
    "free": {"root", "system": bytes, "names"} or None when the volume does not answer}; every half minute also "apps",
    the processes on the graphics cards as nvidia-smi lists them, or None.
    """
    interval = min(60.0, max(0.05, float(request.get("interval_s", 1.0))))
    count: Any = request.get("count")
    machine, disk, apps = Machine(), Probe(lambda: free_space(pod.root)), Probe(gpu_processes)
    out.line({"v": PROTOCOL, "ok": True})
    before, before_at = machine.cpu_s(), time.monotonic()
    free: Json | None = None
    disk_at, apps_at = before_at - DISK_S, before_at - APPS_S
    sent = 0
    while count is None or sent < int(count):
        time.sleep(interval)
        now, used = time.monotonic(), machine.cpu_s()
        if now - disk_at >= DISK_S:
            disk_at, free = now, disk.value(2.0)
        cpu = max(0.0, used - before) / (now - before_at) if used is not None and before is not None else None
        memory, limit = machine.memory()
        frame: Json = {"t": time.time(), "cpu": cpu, "cpus": machine.cpus(), "memory": memory, "memory_limit": limit}
        if now - apps_at >= APPS_S:
            frame["apps"] = apps.value(6.0)
            apps_at = now if frame["apps"] is not None else now + 10 * APPS_S  # a driver that hangs costs seconds
        out.line({**frame, "free": free})
        before, before_at, sent = used, now, sent + 1
    out.line({"end": True})

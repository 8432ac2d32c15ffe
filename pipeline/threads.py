"""How many CPU threads a worker may use here: by what this process is allowed, what the machine is busy with, and a
short measurement. Standard library only; a recipe's own `hardware.threads` goes before all of it.

Two threads on two busy cores wait for each other at every operation: forty times slower than one (measured). So more
threads are taken only where they have just been shown to pay.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Mapping
from pathlib import Path

GAIN = 1.15
"""How much faster more threads must be: less than that is left to the panel and to whatever else runs."""


def usable_cores(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores this process may run on: its affinity, and no more than its container's quota pays for."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota(cgroup)
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def cpu_quota(cgroup: Path) -> float | None:
    """Cores' worth of processor time that the container may use, by cgroup version 2 or 1; None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        limit, period = (cgroup / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    with contextlib.suppress(OSError, ValueError):
        limit, period = ((cgroup / "cpu" / f"cpu.cfs_{name}_us").read_text() for name in ("quota", "period"))
        return None if int(limit) <= 0 else int(limit) / int(period)
    return None


def load() -> float | None:
    """Processes that wanted to run over the last minute; None where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (OSError, AttributeError):
        return None


def candidates(cores: int) -> list[int]:
    """Thread counts worth a measurement: 1, 2, 4, … and all."""
    return sorted({1, cores, *(2**k for k in range(1, 10) if 2**k < cores)})


def choose(speeds: Mapping[str, float]) -> int:
    """The count to use, from speeds by count: more threads only where each step up pays. 1 where nothing is known."""
    best = 1
    for count in sorted(int(n) for n in speeds):
        if speeds[str(count)] > GAIN * speeds.get(str(best), 0.0):
            best = count
    return best

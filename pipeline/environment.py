"""Facts about where a run happens: code state, library versions, hardware, and the environment that steps start with.

Standard library only: nothing here imports what it reports on. What a fact means for a result is `plan`'s to decide.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pipeline import threads
from pipeline.recipe import Recipe

NUMERIC_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "bitsandbytes", "vllm", "unsloth", "numpy")
"""Libraries whose version can change a number."""


def source_root() -> Path:
    """The directory that holds the `pipeline` package."""
    return Path(__file__).resolve().parent.parent


def git_state(env: Mapping[str, str], root: Path) -> dict[str, Any]:
    """Commit and dirty flag of the checkout; on a pod the pushed tree's hash instead. Unknown is None."""
    state: dict[str, Any] = {"commit": None, "dirty": None, "tree": env.get("MAXCAI_TREE")}
    if shutil.which("git") is None or not (root / ".git").exists():
        return state
    commit = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
    status = _output(["git", "-C", str(root), "status", "--porcelain"])
    return {**state, "commit": commit or None, "dirty": None if status is None else bool(status)}


def versions() -> dict[str, str]:
    """Installed versions of Python and of every library that can change a number."""
    found = {"python": platform.python_version()}
    for name in NUMERIC_PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@lru_cache(maxsize=1)
def freeze_sha256() -> str:
    """One hash over every installed distribution and its version, as they were when a process first asked."""
    found = (d.metadata for d in metadata.distributions())  # parsed once each: there are hundreds
    lines = {f"{facts['Name']}=={facts['Version']}".lower() for facts in found if facts["Name"]}
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def cores() -> int:
    """CPU cores this process may use."""
    return threads.usable_cores()


def gpus() -> list[str]:
    """Names and memory of the NVIDIA GPUs, as the driver's own tool tells them; [] without one."""
    if shutil.which("nvidia-smi") is None:
        return []
    shown = _output(["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"])
    return [line.strip() for line in (shown or "").splitlines() if line.strip()]


def hardware(recipe: Recipe, env: Mapping[str, str]) -> dict[str, Any]:
    """Device, cores, load, memory (bytes), GPUs, price (USD/hour, None when nobody said). `threads` is the recipe's."""
    cards = gpus()
    wanted = recipe.hardware.device
    device = ("cuda" if cards else "cpu") if wanted == "auto" else wanted
    return {
        "device": device,
        "gpu": cards[0] if cards else None,
        "gpus": cards,
        "cpu": cpu_name(),
        "cores": cores(),
        "load": threads.load(),
        "memory_bytes": memory_bytes(),
        "threads": recipe.hardware.threads,
        "price_per_hour": price_per_hour(env),
        "platform": platform.platform(terse=True),
    }


def resolved(recipe: Recipe, device: str) -> Recipe:
    """The recipe with the device that `auto` came to."""
    return recipe.model_copy(update={"hardware": recipe.hardware.model_copy(update={"device": device})})


def price_per_hour(env: Mapping[str, str]) -> float | None:
    """USD/hour of this machine; None when unknown or unreadable, never a guess."""
    try:
        price = float(env["MAXCAI_PRICE_PER_HOUR"])
    except (KeyError, ValueError):
        return None
    return price if 0 <= price < float("inf") else None


def cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def child_variables(threads: int | None, env: Mapping[str, str]) -> dict[str, str]:
    """What a step's process must find in its environment before Python starts.

    Passive waiting: on a shared machine spinning OpenMP threads cost a factor of four. A fixed hash seed: some
    libraries write sets to disk in iteration order, and equal runs must be equal bytes.
    """
    count = str(threads if threads is not None else cores())
    variables = {
        "OMP_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
        "PYTHONUNBUFFERED": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TQDM_DISABLE": "1",
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([str(source_root()), *filter(None, sys.path)])),
    }
    if env.get("MAXCAI_ONLINE") != "1":
        variables |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return variables


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes started inside, and put everything back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _output(argv: list[str]) -> str | None:
    try:
        return subprocess.run(argv, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None

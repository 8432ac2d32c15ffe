"""Is this machine fit to run: versions, driver, disk, memory, speed. Torch is asked in a child with a time limit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline import environment, threads

TORCH_LIMIT_S = 180.0
MIN_FREE_BYTES = 5 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """`ok` None: not known. `remedy` is empty where nothing is to be done."""

    name: str
    ok: bool | None
    text: str
    remedy: str = ""


def examine(runs: Path, env: Mapping[str, str]) -> list[Check]:
    """Every check, cheapest first."""
    versions = environment.versions()
    return [_python(), _writable(runs), _space(runs), _price(env), *_torch(versions, environment.gpus())]


def _python() -> Check:
    ok = sys.version_info >= (3, 11)
    return Check("python", ok, sys.version.split()[0], "" if ok else "install Python 3.11 or later")


def _writable(runs: Path) -> Check:
    try:
        with tempfile.TemporaryFile(dir=_existing(runs)) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        return Check("disk write", False, f"{runs}: {error.strerror}", "choose a writable --run-dir or CAI_BASE_DIR")
    return Check("disk write", True, str(runs))


def _space(runs: Path) -> Check:
    free = shutil.disk_usage(_existing(runs)).free
    ok = free >= MIN_FREE_BYTES
    return Check("disk space", ok, f"{free / 2**30:.1f} GiB free", "" if ok else "free some space before a run")


def _existing(path: Path) -> Path:
    """The nearest directory that is there: looking must not make one."""
    path = path.absolute()
    return next(p for p in (path, *path.parents) if p.is_dir())


def _price(env: Mapping[str, str]) -> Check:
    price = environment.price_per_hour(env)
    if price is None:
        return Check("price", None, "unknown: costs stay unknown", "set MAXCAI_PRICE_PER_HOUR (USD)")
    return Check("price", True, f"${price:.2f}/h")


def _torch(versions: Mapping[str, str], cards: list[str]) -> list[Check]:
    missing = [name for name in ("torch", "transformers", "trl", "peft") if name not in versions]
    if missing:
        return [Check("libraries", False, f"missing: {', '.join(missing)}", "pip install 'maximalcai[pipeline]'")]
    shown = ", ".join(f"{name} {versions[name]}" for name in ("torch", "transformers", "trl", "peft"))
    facts = ask_torch()
    if isinstance(facts, str):
        return [Check("libraries", False, f"{shown}; {facts}", "reinstall the pipeline extra")]
    checks = [Check("libraries", True, shown)]
    if cards:
        ok = bool(facts["cuda_available"])
        remedy = "" if ok else f"install a torch build for this driver (this one: CUDA {facts['cuda_build']})"
        checks.append(Check("gpu", ok, ", ".join(cards), remedy))
    speeds = facts["matmul_gflops_by_threads"]
    best = threads.choose(speeds)
    text = ", ".join(f"{value:.0f} GFLOP/s at {n} thread{'s' * (n != '1')}" for n, value in speeds.items())
    slower = best == 1 and len(speeds) > 1
    remedy = "the machine is shared: --set hardware.threads=1" if slower else ""
    return [*checks, Check("matmul", not slower, text, remedy)]


def ask_torch() -> dict[str, Any] | str:
    """Facts from `pipeline.preload` in a child, or one sentence on why there are none."""
    cores = environment.cores()
    env = {**os.environ, **environment.child_variables(None, os.environ)}
    argv = [sys.executable, "-m", "pipeline.preload", str(cores)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=TORCH_LIMIT_S, env=env, check=False)
        facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return facts
    except subprocess.TimeoutExpired:
        return f"importing torch took longer than {TORCH_LIMIT_S:.0f} s"
    except (OSError, ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return f"torch cannot be used: {last}"

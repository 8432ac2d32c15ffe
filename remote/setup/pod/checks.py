"""Preflight: is this pod fit for the work. Everything that may hang is asked in a child with a deadline."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import time
from collections.abc import Callable

from remote.agent.disk import Json
from remote.agent.kernel import pod_environment

from .children import ask

TORCH_S, GPU_S, WRITE_S, USED_S = 180.0, 15.0, 60.0, 60.0
GIB = 1 << 30
SLOW_BYTES_S = 20 << 20  # below this a checkpoint of 1 GB takes the better part of a minute
FEW_INODES = 50_000  # an environment has about 40,000 files

_TORCH = """\
import json, torch
print(json.dumps({"version": torch.__version__, "cuda": torch.version.cuda, "available": torch.cuda.is_available(),
                  "count": torch.cuda.device_count()}))
"""


def check(name: str, level: str, text: str, remedy: str = "") -> Json:
    return {"name": name, "level": level, "text": text, "remedy": remedy}


def examine(request: Json, root: str, base: Json | None, seen: str) -> list[Json]:
    """Every check, cheapest first. `base` are the facts of the interpreter to build on, None when there is none."""
    needs = request["needs"]
    cards, listing = gpus()
    wants_torch = bool(request.get("wants_torch"))
    return [
        python_check(base, seen),
        space_check(root, needs),
        system_check(needs),
        inode_check(root),
        write_check(root, int(needs.get("probe_bytes") or 64 << 20)),
        cache_check(root),
        gpu_check(cards, listing, needs.get("gpu_count")),
        *([torch_check(base, bool(cards), float(needs.get("torch_s") or TORCH_S))] if wants_torch else []),
    ]


def python_check(base: Json | None, seen: str) -> Json:
    if base is None:
        return check("python", "fail", seen, "Use an image with Python 3.11 or later and its venv module.")
    return check("python", "ok", f"{base['version']} at {base['executable']}")


# --- disk --------------------------------------------------------------------------------------------------------


def gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB"


def space_check(root: str, needs: Json) -> Json:
    """Free space of the volume against the need. A network volume shows its cluster's space: then its size counts."""
    info = os.statvfs(root)
    free, total = info.f_bavail * info.f_frsize, info.f_blocks * info.f_frsize
    size, how = int(needs.get("volume_bytes") or 0), ""
    if size and total > 1.5 * size:
        used = used_bytes(root)
        if used is None:
            return check("space", "warn", f"how much of the {gib(size)} of {root} is used could not be counted in time")
        free, how = size - used, f", counted: {gib(used)} of {gib(size)} are used"
    need = int(needs.get("free_bytes") or 0)
    text = f"{gib(max(0, free))} free at {root}{how}; {gib(need)} needed"
    return (
        check("space", "ok", text)
        if free >= need
        else check("space", "fail", text, "Free space, or use a larger volume.")
    )


def used_bytes(root: str) -> int | None:
    """What lies below `root`, by `du`; None when that takes too long."""
    answer = ask(["du", "-sk", root], USED_S)
    word = answer.out.split()[:1]
    return int(word[0]) * 1024 if answer.code is not None and word and word[0].isdigit() else None


def system_check(needs: Json) -> Json:
    info = os.statvfs("/")
    free, need = info.f_bavail * info.f_frsize, int(needs.get("free_system_bytes") or 0)
    text = f"{gib(free)} free on the container disk"
    return check("container disk", "ok", text) if free >= need else check(
        "container disk", "fail", f"{text}; {gib(need)} needed", "Use a pod with a larger container disk."
    )  # fmt: skip


def inode_check(root: str) -> Json:
    info = os.statvfs(root)
    if not info.f_files:
        return check("inodes", "ok", "the file system has no limit of its own")
    level = "ok" if info.f_favail >= FEW_INODES else "warn"
    remedy = "" if level == "ok" else "Remove files that are not needed: an environment alone has about 40,000."
    return check("inodes", level, f"{info.f_favail:,} free at {root}", remedy)


def write_check(root: str, size: int) -> Json:
    """Really write and fsync on the volume: quotas and sick network storage show themselves only then."""
    path = os.path.join(root, ".maxcai", f"probe-{os.getpid()}")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    answer = in_child(lambda: write_probe(path, size), WRITE_S)
    with contextlib.suppress(OSError):
        os.unlink(path)
    if answer is None:
        return check("write", "fail", f"writing {size >> 20} MiB to {root} did not end in {WRITE_S:.0f} s",
                     "The volume hangs: stop the pod and start it again, or use another data centre.")  # fmt: skip
    if "error" in answer:
        return check("write", "fail", f"{root} cannot be written: {answer['error']}", "Free space, or mend its rights.")
    speed = size / max(answer["seconds"], 1e-6)
    level, remedy = ("ok", "") if speed >= SLOW_BYTES_S else ("warn", "Checkpoints will take long on this volume.")
    return check("write", level, f"{speed / (1 << 20):.0f} MiB/s with fsync at {root}", remedy)


def write_probe(path: str, size: int) -> Json:
    block, begin = os.urandom(1 << 20), time.monotonic()
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            for start in range(0, size, len(block)):
                os.write(fd, block[: min(len(block), size - start)])
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        return {"error": error.strerror}
    return {"seconds": time.monotonic() - begin}


def in_child(work: Callable[[], Json], deadline_s: float) -> Json | None:
    """What `work` returns in a forked child, None at the deadline. A child that cannot be killed is left behind."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready = select.select([reader], [], [], deadline_s)[0]
        words = os.read(reader, 65536) if ready else b""
    finally:
        os.close(reader)
    if not words:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, os.WNOHANG)
        return None
    os.waitpid(child, 0)
    told: Json = json.loads(words)
    return told


def cache_check(root: str) -> Json:
    """Where models will lie: a cache on the container disk is fetched again after every stop."""
    given = pod_environment().get("HF_HOME")
    if not given or os.path.realpath(given).startswith(os.path.realpath(root) + os.sep):
        return check("model cache", "ok", given or os.path.join(root, "models"))
    return check("model cache", "warn", f"HF_HOME is {given}, outside of {root}",
                 "Unset HF_HOME in the pod's settings, or models may be gone after a stop.")  # fmt: skip


# --- GPU ---------------------------------------------------------------------------------------------------------


def gpus() -> tuple[list[Json], str]:
    """The NVIDIA GPUs (name, memory in MiB, driver, highest CUDA version of the driver); and why there are none."""
    query = "--query-gpu=index,name,memory.total,driver_version"
    answer = ask(["nvidia-smi", query, "--format=csv,noheader,nounits"], GPU_S)
    if answer.code is None:
        return [], f"nvidia-smi did not answer in {GPU_S:.0f} s"
    if answer.code == 127:
        return [], "there is no nvidia-smi"
    if answer.code != 0:
        return [], f"nvidia-smi failed: {answer.last}"
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.out.splitlines() if line.count(",") == 3]
    head = ask(["nvidia-smi"], GPU_S).out
    hit = re.search(r"CUDA Version:\s*([0-9.]+)", head)
    names = ("index", "name", "memory_mib", "driver")
    cards = [{**dict(zip(names, row)), "cuda": hit.group(1) if hit else None} for row in rows]  # noqa: B905
    return cards, "" if cards else "nvidia-smi lists no GPU"


def gpu_check(cards: list[Json], why: str, wanted: int | None) -> Json:
    if not cards:
        if not wanted:
            level = "warn" if "failed" in why or "answer" in why else "ok"
            return check("gpu", level, f"none ({why})")
        return check(
            "gpu", "fail", f"{wanted} wanted, none found: {why}", "Stop the pod and start it again, or create another."
        )
    text = f"{len(cards)} × {cards[0]['name']}, driver {cards[0]['driver']}, CUDA {cards[0]['cuda'] or 'unknown'}"
    if wanted is not None and len(cards) < wanted:
        return check("gpu", "fail", f"{text}; {wanted} wanted", "Stop the pod and start it again, or create another.")
    return check("gpu", "ok", text)


def torch_facts(python: str, deadline_s: float = TORCH_S) -> Json | str:
    """What torch says in that interpreter, or one sentence on why it says nothing."""
    answer = ask([python, "-I", "-c", _TORCH], deadline_s)
    if answer.code is None:
        return f"importing torch and asking for CUDA did not end in {deadline_s:.0f} s"
    try:
        told = json.loads(answer.out.splitlines()[-1]) if answer.code == 0 else None
    except (ValueError, IndexError):
        told = None
    return told if isinstance(told, dict) else answer.last


def torch_check(base: Json | None, has_gpu: bool, deadline_s: float) -> Json:
    """The torch that the image brings, where it brings one."""
    if base is None or base["torch"] is None:
        return check("torch", "ok", "the image has none; it will be installed")
    told = torch_facts(base["executable"], deadline_s)
    if isinstance(told, str):
        level = "fail" if "did not end" in told else "warn"
        return check("torch", level, told, "Restart the pod; if that does not help, use another host or image.")
    text = f"{told['version']}, CUDA {told['cuda'] or 'none'}, {told['count']} devices"
    if has_gpu and not told["available"]:
        return check("torch", "warn", f"{text}: it does not see the GPU",
                     "Set up with torch=install, and an index for this driver's CUDA.")  # fmt: skip
    return check("torch", "ok", text)

"""What a run holds, by hash, and the removal of what no run needs any more. Never removes a run."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import time
from typing import BinaryIO

from .disk import Json, Refused, open_inside, read_json, sha256_fd, walk, write_json
from .runs import SHA256, Pod, attempts, run_ids, summary


def manifest(request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    """Every file of a run: sha256 where it is final, size and mtime alone while it may still grow.

    Hashing stops after budget_s seconds; files left over are marked `pending`, and the next call goes on (the hashes
    found so far are kept by path, size, times and inode).
    """
    run_dir = pod.run_dir(request.get("run_id"))
    running = summary(pod, request["run_id"])["state"] in ("running", "orphaned")
    end = time.monotonic() + float(request.get("budget_s", 20.0))
    cache_path = os.path.join(run_dir, ".agent", "hashes.json")
    cache, fresh, files, skipped = read_json(cache_path) or {}, {}, [], []
    for path, info in walk(run_dir):
        if not stat.S_ISREG(info.st_mode):
            skipped.append(path)
            continue
        row: Json = {"path": path, "size": info.st_size, "mtime_ns": info.st_mtime_ns}
        quiet = time.time() - info.st_mtime > 2.0
        growing = running and (path == "events.jsonl" or path.endswith(".log") or not quiet)
        key = [info.st_size, info.st_mtime_ns, info.st_ino, info.st_ctime_ns]
        if growing:
            row["growing"] = True
        elif path in cache and cache[path][:4] == key:
            row["sha256"] = cache[path][4]
            fresh[path] = cache[path]
        elif time.monotonic() > end:
            row["pending"] = True
        else:
            hash_into(row, run_dir, key)
            if quiet and "sha256" in row:
                fresh[path] = [*key, row["sha256"]]
        files.append(row)
    if fresh != cache and os.path.isdir(os.path.dirname(cache_path)):
        with contextlib.suppress(OSError):  # a full disk: what is hashed is told all the same
            write_json(cache_path, fresh, durable=False)
    return {"files": files, "skipped": skipped, "running": running}


def hash_into(row: Json, run_dir: str, key: list[int]) -> None:
    """Fill in the sha256, or mark the file as growing when it changed meanwhile."""
    try:
        fd = open_inside(run_dir, row["path"])
    except (OSError, Refused):
        row["growing"] = True
        return
    try:
        digest, info = sha256_fd(fd), os.fstat(fd)
        same = [info.st_size, info.st_mtime_ns, info.st_ino, info.st_ctime_ns] == key
        row.update({"sha256": digest} if same else {"growing": True})
    finally:
        os.close(fd)


def gc(request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    """Remove trees that no run uses and content that went into no tree, when older than min_age_s. Never a run."""
    oldest = time.time() - float(request.get("min_age_s", 3600.0))
    keep = set(request.get("keep", []))
    for run_id in run_ids(pod):
        notes = [read_json(pod.note(run_id, "spec", number)) or {} for number in attempts(pod, run_id)]
        keep |= {note.get("tree") for note in notes}
    removed, freed = [], 0
    mutex, launches = pod.mutex("trees"), pod.mutex("launch")
    try:
        for name in os.listdir(pod.trees) if os.path.isdir(pod.trees) else []:
            path = os.path.join(pod.trees, name)
            note = read_json(f"{path}.json") or {}
            if SHA256.match(name) and name not in keep and note.get("created", 0.0) < oldest:
                shutil.rmtree(path)
                os.unlink(f"{path}.json")
                removed.append(name)
                freed += sum(int(entry.get("size", 0)) for entry in note.get("manifest", []))
        for name, info in list(walk(pod.cas)) if os.path.isdir(pod.cas) else []:
            if info.st_mtime < oldest:
                os.unlink(os.path.join(pod.cas, name))
                freed += info.st_size
    finally:
        mutex.close()
        launches.close()
    return {"trees": sorted(removed), "freed": freed}

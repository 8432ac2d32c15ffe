"""Content by hash: what a run holds, what a push brings, immutable trees, and their removal. Never removes a run."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import stat
import struct
import time
from typing import Any, BinaryIO

from .disk import (
    CHUNK,
    Json,
    Refused,
    canonical,
    fsync_dir,
    open_inside,
    read_json,
    safe_relative,
    sha256_fd,
    walk,
    write_json,
)
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


def blob_path(pod: Pod, digest: Any) -> str:
    if not isinstance(digest, str) or not SHA256.match(digest):
        raise Refused("unsafe_path", f"not a sha256: {digest!r}")
    return os.path.join(pod.cas, digest[:2], digest)


def receive_blobs(pod: Pod, count: int, stream: BinaryIO) -> int:
    """Read `count` blobs: 64 hex digits, 8 bytes big-endian length, content. Each is verified before it is renamed."""
    total = 0
    for _ in range(count):
        head = stream.read(72)
        if len(head) != 72:
            raise Refused("cut", "the stream of files ended early")
        digest, length = head[:64].decode("ascii", "replace"), struct.unpack(">Q", head[64:])[0]
        path = blob_path(pod, digest)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        receive_one(path, digest, length, stream)
        total += length
    return total


def receive_one(path: str, digest: str, length: int, stream: BinaryIO) -> None:
    temporary, seen, left = f"{path}.{os.getpid()}.tmp", hashlib.sha256(), length
    try:
        with open(temporary, "wb") as out:
            while left:
                chunk = stream.read(min(left, CHUNK))
                if not chunk:
                    raise Refused("cut", "the stream of files ended early")
                out.write(chunk)
                seen.update(chunk)
                left -= len(chunk)
            out.flush()
            os.fsync(out.fileno())
        if seen.hexdigest() != digest:
            raise Refused("hash", f"content {digest[:12]} arrived damaged")
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def missing_of(pod: Pod, digests: Any) -> list[str]:
    return sorted({digest for digest in digests if not os.path.exists(blob_path(pod, digest))})


def blobs(request: Json, pod: Pod, stream: BinaryIO) -> Json:
    received = receive_blobs(pod, int(request.get("count", 0)), stream)
    return {"received": received, "missing": missing_of(pod, request.get("want", []))}


def tree(request: Json, pod: Pod, stream: BinaryIO) -> Json:
    """Make a tree from its manifest: nothing to do when it exists, else `missing` content or a new folder.

    `count` blobs may follow the request. Folders stay writable so that a plain removal works; files are read-only.
    """
    tree_id, entries = request.get("tree_id"), request.get("manifest")
    final = pod.tree_dir(tree_id)
    if os.path.isdir(final):
        return {"created": False, "missing": [], "received": 0}
    if not isinstance(entries, list) or hashlib.sha256(canonical(entries)).hexdigest() != tree_id:
        raise Refused("hash", "the manifest does not have the tree's id")
    check_paths(entries)
    received = receive_blobs(pod, int(request.get("count", 0)), stream)
    missing = missing_of(pod, [entry["sha256"] for entry in entries if "link" not in entry])
    if missing:
        return {"created": False, "missing": missing, "received": received}
    mutex = pod.mutex("trees")
    try:
        if not os.path.isdir(final):
            write_tree(pod, final, entries, request.get("meta") or {})
    finally:
        mutex.close()
    return {"created": True, "missing": [], "received": received}


def check_paths(entries: list[Json]) -> None:
    """Refuse names that leave the tree, targets of symlinks that do, and files behind a symlink."""
    links = {entry["path"] for entry in entries if "link" in entry}
    for entry in entries:
        path = safe_relative(entry.get("path"))
        parents = {path[:end] for end, char in enumerate(path) if char == "/"}
        if parents & links:
            raise Refused("unsafe_path", f"{path!r} lies behind a symlink")
        if "link" in entry:
            target = str(entry["link"])
            steps = list(itertools.dropwhile(lambda part: part == "..", target.split("/")))
            if target.startswith("/") or ".." in steps:  # going up behind a name may go up behind a symlink
                raise Refused("unsafe_path", f"{path!r} is a symlink to {target!r}")
            safe_relative(os.path.normpath(os.path.join(os.path.dirname(path), target)))


def write_tree(pod: Pod, final: str, entries: list[Json], meta: Json) -> None:
    os.makedirs(pod.trees, exist_ok=True)
    work = os.path.join(pod.trees, f".tmp-{os.path.basename(final)[:12]}-{os.getpid()}")
    os.makedirs(work)
    folders = {work}
    try:
        for entry in entries:
            path = os.path.join(work, entry["path"])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            folders.add(os.path.dirname(path))
            if "link" in entry:
                os.symlink(entry["link"], path)
            else:
                write_tree_file(blob_path(pod, entry["sha256"]), path, bool(entry.get("exec")))
        for folder in folders:
            fsync_dir(folder)
        write_json(f"{final}.json", {"manifest": entries, "meta": meta, "created": time.time()})
        os.rename(work, final)
        fsync_dir(pod.trees)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def write_tree_file(blob: str, path: str, executable: bool) -> None:
    """Copy content into a tree, never along a symlink."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with open(blob, "rb") as source, open(fd, "wb") as out:
        shutil.copyfileobj(source, out, CHUNK)
        out.flush()
        os.fchmod(fd, 0o555 if executable else 0o444)
        os.fsync(fd)


def gc(request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    """Remove trees that no run uses and content that no tree uses, when older than min_age_s. Never a run."""
    oldest = time.time() - float(request.get("min_age_s", 3600.0))
    keep = set(request.get("keep", []))
    for run_id in run_ids(pod):
        notes = [read_json(pod.note(run_id, "spec", number)) or {} for number in attempts(pod, run_id)]
        keep |= {note.get("tree") for note in notes}
    removed, freed, used = [], 0, set()
    mutex, launches = pod.mutex("trees"), pod.mutex("launch")
    try:
        for name in os.listdir(pod.trees) if os.path.isdir(pod.trees) else []:
            path = os.path.join(pod.trees, name)
            note = read_json(f"{path}.json") or {}
            if SHA256.match(name) and name not in keep and note.get("created", 0.0) < oldest:
                shutil.rmtree(path)
                os.unlink(f"{path}.json")
                removed.append(name)
            else:
                used |= {entry.get("sha256") for entry in note.get("manifest", [])}
        for name, info in list(walk(pod.cas)) if os.path.isdir(pod.cas) else []:
            if os.path.basename(name) not in used and info.st_mtime < oldest:
                os.unlink(os.path.join(pod.cas, name))
                freed += info.st_size
    finally:
        mutex.close()
        launches.close()
    return {"trees": sorted(removed), "freed": freed}

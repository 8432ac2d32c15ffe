"""Bytes of a run, as frames: ranges of files, or everything that grows. What the bytes mean is left to others."""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import BinaryIO

from .disk import CHUNK, PROTOCOL, Json, Refused, open_inside, safe_relative
from .runs import Pod, attempts, followed, state_of

TICK_BYTES = 1 << 20  # most bytes of one file in one round of a follow, so that no file starves another
PRINT_BYTES = 4096  # bytes before an offset whose digest tells that a file is still the same


class Out:
    """Frames on standard output: a JSON line, then as many raw bytes as its "n" says."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def line(self, value: Json, payload: bytes = b"") -> None:
        self.stream.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self.stream.write(payload)
        self.stream.flush()


def read(request: Json, pod: Pod, out: Out) -> None:
    """Byte ranges of a run's files (`ranges`: path, offset, length), or with `follow` everything that grows."""
    run_dir = pod.run_dir(request.get("run_id"), must_exist=not request.get("follow"))
    ranges = request.get("ranges", [])
    for item in ranges:
        safe_relative(item.get("path"))
    out.line({"v": PROTOCOL, "ok": True})
    for item in ranges:
        read_range(run_dir, item, out)
    if request.get("follow"):
        Follow(request, pod, out).main()
    out.line({"end": True})


def read_range(run_dir: str, item: Json, out: Out) -> None:
    path, offset, left = item["path"], int(item["offset"]), int(item["length"])
    try:
        fd = open_inside(run_dir, path)
    except (OSError, Refused) as error:
        out.line({"f": path, "o": offset, "n": 0, "error": str(error)})
        return
    try:
        while left > 0:
            data = os.pread(fd, min(left, CHUNK), offset)
            digest = hashlib.blake2b(data, digest_size=16).hexdigest()
            out.line({"f": path, "o": offset, "n": len(data), "h": digest}, data)
            if not data:
                break
            offset, left = offset + len(data), left - len(data)
    finally:
        os.close(fd)


def print_of(fd: int, offset: int) -> str:
    """Digest of the (at most PRINT_BYTES) bytes before `offset`: changed when the file was rewritten."""
    begin = max(0, offset - PRINT_BYTES)
    return hashlib.blake2b(os.pread(fd, offset - begin, begin), digest_size=16).hexdigest()


class Follow:
    """Sends what is appended to the files of a run, each from the offset that the other side already holds.

    `have` maps a name to its inode (None: not known), offset and print of the bytes before it. A file that is shorter,
    has another inode or other bytes there than it had is a new generation: it is sent again from its beginning.
    """

    def __init__(self, request: Json, pod: Pod, out: Out) -> None:
        self.pod, self.out, self.run_id = pod, out, request["run_id"]
        self.run_dir = os.path.join(pod.runs, self.run_id)
        self.names = [safe_relative(name) for name in request.get("names", [])]
        self.all = not self.names
        self.poll_s = min(5.0, max(0.02, float(request.get("poll_s", 0.2))))
        self.until_exit = bool(request.get("until_exit"))
        self.have: dict[str, Json] = {name: dict(value) for name, value in request.get("have", {}).items()}

    def main(self) -> None:
        alive_at = 0.0
        while True:
            state = summary_state(self.pod, self.run_id)  # before reading: what it wrote before it ended is read below
            moved = [self.grow(name) for name in (followed(self.run_dir) if self.all else self.names)]
            if time.monotonic() >= alive_at:
                self.out.line({"alive": time.time(), **state})
                alive_at = time.monotonic() + 1.0
            if any(moved):
                continue
            if self.until_exit and state["state"] not in ("running", "orphaned", "absent"):
                self.out.line({"alive": time.time(), **state})
                return
            time.sleep(self.poll_s)

    def grow(self, name: str) -> bool:
        try:
            fd = open_inside(self.run_dir, name)
        except (OSError, Refused):
            return False
        try:
            info = os.fstat(fd)
            have = self.have.setdefault(name, {"ino": info.st_ino, "offset": 0, "print": print_of(fd, 0)})
            have["ino"] = info.st_ino if have["ino"] is None else have["ino"]
            if (info.st_size, info.st_ino) == (have["offset"], have["ino"]) and have.get("mtime") == info.st_mtime_ns:
                return False
            same = have["ino"] == info.st_ino and info.st_size >= have["offset"]
            new = not (same and print_of(fd, have["offset"]) == have["print"])
            offset = 0 if new else have["offset"]
            data = os.pread(fd, TICK_BYTES, offset)
            offset += len(data)
            mtime = info.st_mtime_ns if offset == info.st_size else None
            self.have[name] = {"ino": info.st_ino, "offset": offset, "print": print_of(fd, offset), "mtime": mtime}
            if data or new:
                head = {"f": name, "ino": info.st_ino, "o": offset - len(data), "n": len(data), "new": new}
                self.out.line(head, data)
            return bool(data)
        finally:
            os.close(fd)


def summary_state(pod: Pod, run_id: str) -> Json:
    known = attempts(pod, run_id)
    state = state_of(pod, run_id, known[-1]) if known else "absent"
    return {"state": state, "attempt": known[-1] if known else 0}

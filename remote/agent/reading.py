"""Bytes of a run, as frames: ranges of files, or everything that grows. What the bytes mean is left to others."""

from __future__ import annotations

import hashlib
import json
import os
import time
import zlib
from typing import BinaryIO

from .disk import CHUNK, PROTOCOL, Json, Refused, open_inside, safe_relative
from .following import Stream
from .runs import Pod, attempts, followed, state_of

REQUEST_LIMIT = 64 << 20  # bytes of one line that asks for ranges


class Out:
    """Frames on standard output: a JSON line, then as many raw bytes as its "n" says."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream

    def line(self, value: Json, payload: bytes = b"") -> None:
        self.stream.write(json.dumps(value, separators=(",", ":")).encode() + b"\n")
        self.stream.write(payload)
        self.stream.flush()


def read(request: Json, pod: Pod, out: Out, stream: BinaryIO) -> None:
    """Byte ranges of a run's files (`ranges`: path, offset, length), or with `follow` everything that grows.

    With `serve` further requests for ranges may follow, a line each, until the end of the input; each is answered by
    its frames and an end. `rate` (bytes/s) paces the frames; with `zip` those that shrink by it travel packed (`z`).
    """
    run_dir = pod.run_dir(request.get("run_id"), must_exist=not request.get("follow"))
    check_ranges(request)
    out.line({"v": PROTOCOL, "ok": True})
    sender = Ranges(run_dir, out, float(request.get("rate") or 0.0), bool(request.get("zip")))
    if request.get("follow"):
        Follow(request, pod, out).main()
    while True:
        for item in request.get("ranges", []):
            sender.send(item)
        out.line({"end": True})
        line = stream.readline(REQUEST_LIMIT) if request.get("serve") else b""
        if not line:
            return
        request = {**json.loads(line), "serve": True}
        check_ranges(request)


def check_ranges(request: Json) -> None:
    for item in request.get("ranges", []):
        safe_relative(item.get("path"))


class Ranges:
    """Sends ranges of files as frames, each with its digest."""

    def __init__(self, run_dir: str, out: Out, rate: float, pack: bool) -> None:
        self.run_dir, self.out, self.rate, self.pack = run_dir, out, rate, pack
        self.step = min(CHUNK, max(16 << 10, int(rate / 8))) if rate else CHUNK
        self.due = 0.0

    def send(self, item: Json) -> None:
        path, offset, left = item["path"], int(item["offset"]), int(item["length"])
        try:
            fd = open_inside(self.run_dir, path)
        except (OSError, Refused) as error:
            self.out.line({"f": path, "o": offset, "n": 0, "error": str(error)})
            return
        try:
            while left > 0:
                data = os.pread(fd, min(left, self.step), offset)
                self.frame(path, offset, data)
                if not data:
                    break
                offset, left = offset + len(data), left - len(data)
        finally:
            os.close(fd)

    def frame(self, path: str, offset: int, data: bytes) -> None:
        head: Json = {"f": path, "o": offset, "h": hashlib.blake2b(data, digest_size=16).hexdigest()}
        packed = zlib.compress(data, 1) if self.pack and shrinks(data) else data
        if packed is not data:
            head["z"] = len(data)
        self.pace(len(packed))
        self.out.line({**head, "n": len(packed)}, packed)

    def pace(self, count: int) -> None:
        """Wait until these bytes may leave; what was not used a second ago is not made up for."""
        if not self.rate:
            return
        now = time.monotonic()
        self.due = max(self.due, now - 1.0)
        if self.due > now:
            time.sleep(self.due - now)
        self.due += count / self.rate


def shrinks(data: bytes) -> bool:
    """Whether packing is worth its time, judged by the beginning: text is, weights are not."""
    head = data[:16384]
    return len(head) > 256 and len(zlib.compress(head, 1)) < 0.8 * len(head)


class Follow:
    """Sends what is appended to the files of a run, each from the offset that the other side already holds.

    `have` maps a name to its inode (None: not known), offset and print of the bytes before it, and `past` lists the
    same of files that had the name before. A file that is shorter, has another inode or other bytes there than it had
    is a new generation: it is sent from its beginning, after those that were rotated away meanwhile.
    """

    def __init__(self, request: Json, pod: Pod, out: Out) -> None:
        self.pod, self.out, self.run_id = pod, out, request["run_id"]
        self.run_dir = os.path.join(pod.runs, self.run_id)
        self.names = [safe_relative(name) for name in request.get("names", [])]
        self.poll_s = min(5.0, max(0.02, float(request.get("poll_s", 0.2))))
        self.until_exit = bool(request.get("until_exit"))
        self.have: dict[str, Json] = dict(request.get("have", {}))
        self.streams: dict[str, Stream] = {}

    def main(self) -> None:
        alive_at = 0.0
        while True:
            state = summary_state(self.pod, self.run_id)  # before reading: what it wrote before it ended is read below
            moved = [stream.grow(self.out.line) for stream in self.present()]
            if (due := time.monotonic() >= alive_at) or not any(moved):
                moved += [stream.late(self.out.line) for stream in self.streams.values()]
            if due:
                self.out.line({"alive": time.time(), **state})
                alive_at = time.monotonic() + 1.0
            if any(moved):
                continue
            if self.until_exit and state["state"] not in ("running", "orphaned", "absent"):
                self.out.line({"alive": time.time(), **state})
                return
            time.sleep(self.poll_s)

    def present(self) -> list[Stream]:
        """The streams asked for, or all there are; one that was seen once stays, for it may have been renamed."""
        for name in self.names or [*followed(self.run_dir), *(name for name in self.have if name not in self.streams)]:
            if name not in self.streams:
                self.streams[name] = Stream(self.run_dir, safe_relative(name), self.have.get(name))
        return list(self.streams.values())


def summary_state(pod: Pod, run_id: str) -> Json:
    known = attempts(pod, run_id)
    state = state_of(pod, run_id, known[-1]) if known else "absent"
    return {"state": state, "attempt": known[-1] if known else 0}

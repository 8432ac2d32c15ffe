"""Where everything lies on the pod, and the state of every run. Starting and ending runs is left to `launch`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from typing import Any, BinaryIO

from .disk import Json, Refused, read_json
from .kernel import Lock, default_locks, incarnation, start_time

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")
SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class Pod:
    """Paths and locks below one root."""

    def __init__(self, args: Json) -> None:
        self.root = os.path.realpath(args["root"])
        self.base = os.path.join(self.root, ".maxcai")
        self.cas, self.trees, self.runs = (os.path.join(self.base, name) for name in ("cas", "trees", "runs"))
        self.locks = args["locks"] or default_locks()
        self.incarnation = incarnation(args)
        self.fresh: set[str] = set()  # content that this process itself verified and wrote
        self.key = hashlib.sha256(self.root.encode("utf-8", "surrogateescape")).hexdigest()[:12]

    def lock(self, name: str, create: bool = True) -> Lock | None:
        path = os.path.join(self.locks, f"{self.key}-{name}.lock")
        if not create and not os.path.exists(path):
            return None
        os.makedirs(self.locks, mode=0o700, exist_ok=True)
        return Lock(path)

    def mutex(self, name: str, deadline_s: float = 60.0) -> Lock:
        lock = self.lock(name)
        assert lock is not None
        if not lock.acquire(deadline_s):
            lock.close()
            raise Refused("locked", f"another agent has held the {name} lock for {deadline_s:.0f} s")
        return lock

    def run_dir(self, run_id: Any, must_exist: bool = True) -> str:
        if not isinstance(run_id, str) or not RUN_ID.match(run_id):
            raise Refused("unsafe_path", f"not a run id: {run_id!r}")
        path = os.path.join(self.runs, run_id)
        if must_exist and not os.path.isdir(path):
            raise Refused("no_run", f"no run {run_id} on this pod")
        return path

    def tree_dir(self, tree_id: Any) -> str:
        if not isinstance(tree_id, str) or not SHA256.match(tree_id):
            raise Refused("unsafe_path", f"not a tree id: {tree_id!r}")
        return os.path.join(self.trees, tree_id)

    def note(self, run_id: str, kind: str, attempt: int) -> str:
        return os.path.join(self.runs, run_id, ".agent", f"{kind}-{attempt}.json")

    def exit_in_memory(self, run_id: str, attempt: int) -> str:
        """Where an exit note waits for room on a full volume."""
        return os.path.join(self.locks, f"{self.key}-{run_id}-{attempt}.exit.json")


def attempts(pod: Pod, run_id: str) -> list[int]:
    """Attempts that were started, in order."""
    try:
        names = os.listdir(os.path.join(pod.run_dir(run_id), ".agent"))
    except (OSError, Refused):
        return []
    return sorted(int(hit.group(1)) for hit in (re.match(r"start-(\d+)\.json\Z", name) for name in names) if hit)


def alive(pod: Pod, start: Json, who: str = "pid") -> bool:
    pid = start.get(who)
    same = start.get("incarnation") == pod.incarnation
    return same and isinstance(pid, int) and start_time(pid) == start.get(f"{who}_start")


def exit_note(pod: Pod, run_id: str, attempt: int) -> Json | None:
    """How an attempt ended: {"exit_code", "finished", ...}; None where nothing tells."""
    path = pod.note(run_id, "exit", attempt)
    if os.path.exists(path):
        return read_json(path) or {}
    waiting = read_json(pod.exit_in_memory(run_id, attempt))
    return waiting if waiting is not None and waiting.get("incarnation") == pod.incarnation else None


def state_of(pod: Pod, run_id: str, attempt: int) -> str:
    """absent running exited lost orphaned. Only its exit note makes a run `exited`, only its lock `running`."""
    start = read_json(pod.note(run_id, "start", attempt))
    if start is None:
        return "absent"
    lock = pod.lock(f"{run_id}-{attempt}", create=False)
    try:
        held = lock is not None and lock.held()
    finally:
        if lock is not None:
            lock.close()
    if exit_note(pod, run_id, attempt) is not None:  # after the lock: it is written before the lock is freed
        return "exited"
    if held and start.get("incarnation") == pod.incarnation:
        return "running"
    return "orphaned" if alive(pod, start) else "lost"


STALE_S = 60.0
"""Seconds after which a heartbeat says nothing of what its run does: it could not be written."""


def followed(run_dir: str) -> list[str]:
    """Names of the files of a run that grow: its events, its logs, its console."""
    names = ["events.jsonl", ".agent/console.log"]
    with contextlib.suppress(OSError):
        names += sorted(f"logs/{name}" for name in os.listdir(os.path.join(run_dir, "logs")) if name.endswith(".log"))
    return [name for name in names if os.path.isfile(os.path.join(run_dir, name))]


def sizes_of(run_dir: str) -> dict[str, int]:
    sizes = {}
    for name in followed(run_dir):
        try:
            sizes[name] = os.stat(os.path.join(run_dir, name)).st_size
        except OSError:
            continue
    return sizes


def summary(pod: Pod, run_id: str, attempt: int | None = None) -> Json:
    known = attempts(pod, run_id)
    number = attempt if attempt is not None else (known[-1] if known else 0)
    start = read_json(pod.note(run_id, "start", number)) or {}
    end = exit_note(pod, run_id, number) or {}
    beat = read_json(pod.note(run_id, "hb", number)) or {}
    now, ours = time.monotonic(), beat.get("incarnation") == pod.incarnation
    age = now - beat["mono"] if ours else None
    sizes = sizes_of(os.path.join(pod.runs, run_id))
    silent = None if age is None or age > STALE_S else 0.0
    if silent is not None and sizes == beat.get("sizes"):
        silent = now - float(beat["active"])
    return {
        "run_id": run_id,
        "attempt": number,
        "attempts": known,
        "state": state_of(pod, run_id, number),
        "exit_code": end.get("exit_code"),
        "canceled": os.path.exists(pod.note(run_id, "cancel", number)),
        "pid": start.get("pid"),
        "tree": start.get("tree"),
        "started": start.get("started"),
        "finished": end.get("finished"),
        "heartbeat_age_s": age,
        "rss": beat.get("rss"),
        "sizes": sizes,
        "activity_age_s": silent,
    }


def run_ids(pod: Pod) -> list[str]:
    names = os.listdir(pod.runs) if os.path.isdir(pod.runs) else []
    return sorted(name for name in names if RUN_ID.match(name) and attempts(pod, name))


def status(request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    pod.run_dir(request.get("run_id"), must_exist=False)
    return {"status": summary(pod, request["run_id"], request.get("attempt"))}


def list_runs(_request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    return {"runs": [summary(pod, run_id) for run_id in run_ids(pod)]}

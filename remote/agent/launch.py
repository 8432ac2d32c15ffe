"""The verbs that start a job exactly once and end it. Being its parent is left to `supervisor`."""

from __future__ import annotations

import contextlib
import hashlib
import os
import signal
import time
from typing import BinaryIO

from .daemon import spawn
from .disk import Json, Refused, canonical, fsync_dir, read_json, write_json
from .kernel import carrying_run, descendants, send_signal
from .runs import Pod, alive, attempts, run_ids, state_of, summary
from .supervisor import Supervisor


def spec_of(request: Json) -> Json:
    """What is kept of a launch: names of variables, never their values."""
    spec = {
        "run_id": request["run_id"],
        "attempt": request["attempt"],
        "argv": request["argv"],
        "tree": request.get("tree"),
        "env": sorted(request.get("env") or {}),
        "secrets": sorted(request.get("secrets") or {}),
        "exclusive": bool(request.get("exclusive")),
    }
    spec["sha256"] = hashlib.sha256(canonical([spec])).hexdigest()
    return spec


def check_launch(request: Json, pod: Pod) -> str:
    """The folder the job starts in."""
    argv, attempt = request.get("argv"), request.get("attempt")
    pod.run_dir(request.get("run_id"), must_exist=False)
    if not isinstance(argv, list) or not argv or not all(isinstance(a, str) and "\0" not in a for a in argv):
        raise Refused("bad_request", "argv must be a list of strings")
    if not isinstance(attempt, int) or isinstance(attempt, bool) or attempt < 1:
        raise Refused("bad_request", "attempt must be 1, 2, 3, ...")
    for values in (request.get("env") or {}, request.get("secrets") or {}):
        if any("=" in name or "\0" in name or "\0" in str(value) or not name for name, value in values.items()):
            raise Refused("bad_request", "a variable's name or value cannot be passed to a process")
    if request.get("tree") is None:
        return os.path.join(pod.runs, request["run_id"])
    tree = pod.tree_dir(request["tree"])
    if not os.path.isdir(tree):
        raise Refused("no_tree", f"tree {request['tree'][:12]} is not on this pod")
    return tree


def refuse_if_occupied(request: Json, pod: Pod) -> None:
    run_id, attempt = request["run_id"], request["attempt"]
    known = attempts(pod, run_id)
    if attempt != (known[-1] + 1 if known else 1):
        detail = f"attempt {attempt} of run {run_id} cannot start: attempts so far are {known or 'none'}"
        raise Refused("wrong_attempt", detail)
    for other in run_ids(pod) if request.get("exclusive") else [run_id]:
        for number in attempts(pod, other)[-1:]:
            state = state_of(pod, other, number)
            if state in ("running", "orphaned"):
                detail = f"run {other} (attempt {number}) is {state} on this pod"
                raise Refused("busy", detail, run_id=other, state=state)


def launch(request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    """Start attempt n of a run exactly once; the answer to a repeated request is the state of the first."""
    cwd = check_launch(request, pod)
    run_id, attempt = request["run_id"], request["attempt"]
    mutex = pod.mutex("launch")
    try:
        spec = spec_of(request)
        if os.path.exists(pod.note(run_id, "start", attempt)):
            old = read_json(pod.note(run_id, "spec", attempt)) or {}
            same = old.get("sha256") == spec["sha256"]
            return {"launched": False, "same_spec": same, "status": summary(pod, run_id, attempt)}
        refuse_if_occupied(request, pod)
        notes = os.path.join(pod.runs, run_id, ".agent")
        os.makedirs(notes, mode=0o700, exist_ok=True)
        for folder in (pod.runs, os.path.dirname(notes)):
            fsync_dir(folder)
        write_json(pod.note(run_id, "spec", attempt), spec)
        answer = spawn(lambda reply: Supervisor(request, pod, reply).main(cwd))
        if not answer.get("ok"):
            raise Refused(answer.get("code", "unconfirmed"), answer.get("detail", "the supervisor died while starting"))
        return {"launched": True, "same_spec": True, "status": summary(pod, run_id, attempt)}
    finally:
        mutex.close()


def cancel(request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    """End the newest attempt: through its supervisor, or, when that is gone, by this process."""
    run_id, grace = str(request.get("run_id")), float(request.get("grace_s", 10.0))
    pod.run_dir(run_id)
    number = summary(pod, run_id)["attempt"]
    state = ask_to_end(pod, run_id, number, grace, str(request.get("why", "")))
    if state == "orphaned":
        cancel_orphan(pod, run_id, read_json(pod.note(run_id, "start", number)) or {}, grace)
    end = time.monotonic() + float(request.get("wait_s", grace + 15.0))
    while state_of(pod, run_id, number) == "running" and time.monotonic() < end:
        time.sleep(0.05)
    return {"status": summary(pod, run_id, number)}


def ask_to_end(pod: Pod, run_id: str, number: int, grace: float, why: str) -> str:
    """TERM to a job that lives, KILL by its supervisor after `grace` seconds; does not wait. Returns its state."""
    start = read_json(pod.note(run_id, "start", number)) or {}
    state = state_of(pod, run_id, number)
    if state in ("running", "orphaned"):
        with contextlib.suppress(OSError):  # a full disk: the word is given all the same
            write_json(pod.note(run_id, "cancel", number), {"grace_s": grace, "asked": time.time(), "why": why})
    if state == "running" and alive(pod, start, "supervisor"):
        os.kill(start["supervisor"], signal.SIGTERM)
    if state == "orphaned":
        send_signal(set(), start["pid"], signal.SIGTERM)
    return state


def cancel_orphan(pod: Pod, run_id: str, start: Json, grace: float) -> None:
    """KILL what an orphan, already asked to end, leaves after `grace` seconds."""
    end = time.monotonic() + grace
    while alive(pod, start) and time.monotonic() < end:
        time.sleep(0.05)
    for _ in range(20):
        left = carrying_run(run_id) | (descendants(start["pid"]) | {start["pid"]} if alive(pod, start) else set())
        if not left:
            return
        send_signal(left, start["pid"] if alive(pod, start) else None, signal.SIGKILL)
        time.sleep(0.05)

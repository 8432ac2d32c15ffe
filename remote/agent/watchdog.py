"""The pod's own watchdog: a process that outlives job, link and laptop, and stops the pod when its policy says so.

Verb `watchdog` with `do`: arm, renew, disarm, report. One watchdog a pod, kept alive by a keeper. Its files lie with
the locks in the container's memory, since a volume that hangs must not stop it from stopping the pod:

    <locks>/<pod key>-watchdog/  policy.json lease.json keeper.json heartbeat.json
    <root>/.maxcai/watchdog/stops.jsonl   every attempt to stop, kept over stops: the proof that a stop has worked
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from typing import BinaryIO

from . import policy as rulebook
from .daemon import let_go, spawn
from .disk import PROTOCOL, Json, Refused, read_json, write_json
from .kernel import descendants, pod_environment, send_signal, start_time
from .runs import Pod, attempts, run_ids, state_of
from .watching import LIVING, Watch, World, append_line, stops_path

ARM_S = 90.0


class Desk:
    """The watchdog's files and processes, for the verbs."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.folder = os.path.join(pod.locks, f"{pod.key}-watchdog")

    def path(self, name: str) -> str:
        return os.path.join(self.folder, f"{name}.json")

    def read(self, name: str) -> Json:
        return read_json(self.path(name)) or {}

    def write(self, name: str, value: Json) -> None:
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        write_json(self.path(name), value, durable=False)

    def running(self) -> bool:
        lock = self.pod.lock("watchdog", create=False)
        try:
            return lock is not None and lock.held()
        finally:
            if lock is not None:
                lock.close()

    def renewed(self) -> float:
        return float(self.read("lease").get("mono", 0.0))

    def end(self) -> None:
        """Kill the watchdog, keeper first, and wait until its lock is free."""
        keeper, beat = self.read("keeper"), self.read("heartbeat")
        pids = set()
        if isinstance(keeper.get("pid"), int) and start_time(keeper["pid"]) == keeper.get("start"):
            os.kill(keeper["pid"], signal.SIGSTOP)  # so that it starts no other while its children are counted
            pids = {keeper["pid"]} | descendants(keeper["pid"])
        if isinstance(beat.get("pid"), int) and start_time(beat["pid"]) == beat.get("pid_start"):
            pids |= {beat["pid"]} | descendants(beat["pid"])
        send_signal(pids, None, signal.SIGKILL)
        lock = self.pod.mutex("watchdog", 10.0)
        lock.close()


def keep(desk: Desk, reply: int) -> None:
    """The keeper: holds the lock and starts the watching process again whenever it dies."""
    let_go(reply)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    lock = desk.pod.lock("watchdog")
    if lock is None or not lock.acquire(2.0):
        os.write(reply, json.dumps({"ok": False, "code": "busy", "detail": "another watchdog runs"}).encode())
        return
    desk.write("keeper", {"pid": os.getpid(), "start": start_time(os.getpid())})
    os.write(reply, b'{"ok":true}')
    os.close(reply)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as out:
        out.write("-900")  # only some containers may ask to be spared
    while True:
        child = os.fork()
        if child == 0:
            try:
                watch(desk)
            finally:
                os._exit(1)
        os.waitpid(child, 0)
        time.sleep(1.0)


def watch(desk: Desk) -> None:
    note = desk.read("policy")
    beat = desk.read("heartbeat")
    memory = beat if beat.get("arming") == note["arming"] else {}
    watcher = Watch(note, World(desk.pod, pod_environment(), int(note["ssh_port"])), memory)
    me = {"arming": note["arming"], "pid": os.getpid(), "pid_start": start_time(os.getpid())}
    while True:
        try:
            pause = watcher.tick(desk.renewed())
            trouble = ""
        except Exception as error:  # a watchdog that dies of a surprise stops no pod
            pause, trouble = watcher.tick_s, f"{type(error).__name__}: {error}"[:300]
        with contextlib.suppress(OSError):  # no room in memory: `report` shows an old heartbeat
            desk.write("heartbeat", {**watcher.memory(), **me, "trouble": trouble})
        time.sleep(pause)


def arm(request: Json, pod: Pod) -> Json:
    """Start the watchdog under a new policy; one that runs is replaced."""
    policy = rulebook.checked(request.get("policy"))
    desk = Desk(pod)
    known = {run_id: attempts(pod, run_id)[-1] for run_id in run_ids(pod)}
    before = [[run, number] for run, number in known.items() if state_of(pod, run, number) not in LIVING]
    port = (os.environ.get("SSH_CONNECTION", "").split() or ["22"])[-1]
    note = {
        "v": PROTOCOL,
        "arming": os.urandom(8).hex(),
        "policy": policy,
        "armed": time.monotonic(),
        "incarnation": pod.incarnation,
        "before": before,
        "ssh_port": int(port) if port.isdigit() else 22,
    }
    desk.end()  # last: reading the runs may hang with the volume, and the old watchdog must not be missing meanwhile
    desk.write("policy", note)
    answer = spawn(lambda reply: keep(desk, reply))
    if not answer.get("ok"):
        raise Refused(answer.get("code", "os"), answer.get("detail", "the watchdog died while starting"))
    end = time.monotonic() + ARM_S
    while desk.read("heartbeat").get("arming") != note["arming"] and time.monotonic() < end:
        time.sleep(0.02)
    return report(pod)


def report(pod: Pod) -> Json:
    """Everything there is to know; what it means is for the other side to say."""
    desk = Desk(pod)
    running, note, beat = desk.running(), desk.read("policy"), desk.read("heartbeat")
    now = time.monotonic()
    if not note or note.get("incarnation") != pod.incarnation:
        return {"armed": False, "proven": proven(pod, None)}
    beat = beat if beat.get("arming") == note["arming"] else {}
    watcher = Watch(note, None, beat)
    return {
        "armed": True,
        "running": running,
        "policy": note["policy"],
        "armed_age_s": now - note["armed"],
        "beat_age_s": now - beat["mono"] if beat else None,
        "rules": watcher.rules(desk.renewed()),
        "idle_s": now - watcher.active,
        "access_age_s": now - beat["access_at"] if beat else None,
        **{name: beat.get(name) for name in ("phase", "fired", "tries", "last", "seen", "access", "free", "trouble")},
        "proven": proven(pod, note["arming"] if running else None),
    }


def proven(pod: Pod, living: str | None) -> list[str]:
    """Ways by which pods of this volume have stopped themselves: a stop that was the end of its arming.

    It was accepted, or, asked for by this way for the first time, cut the answer off. `living` is not at its end.
    """
    last: dict[str, Json] = {}
    refused: set[tuple[str, str]] = set()
    for line in stop_lines(pod):
        try:
            last[line["arming"]] = line
            if line.get("ok") is False:
                refused.add((line["arming"], str(line.get("way"))))
        except (KeyError, TypeError):
            continue
    ends = [(arming, str(line.get("way")), line.get("ok")) for arming, line in last.items() if arming != living]
    return sorted({way for arming, way, ok in ends if ok or (ok is None and (arming, way) not in refused)})


def stop_lines(pod: Pod) -> list[Json]:
    """The newest lines of the record of stops; torn ones are left out."""
    try:
        with open(stops_path(pod), "rb") as lines:
            lines.seek(0, os.SEEK_END)
            lines.seek(max(0, lines.tell() - (1 << 20)))
            rows = lines.read().split(b"\n")
    except OSError:
        return []
    found = []
    for row in rows:
        try:
            line = json.loads(row)
        except ValueError:
            continue
        found += [line] if isinstance(line, dict) else []
    return found


def watchdog(request: Json, pod: Pod, _stream: BinaryIO) -> Json:
    what = request.get("do")
    if what not in ("arm", "renew", "disarm", "report"):
        raise Refused("bad_request", f"a watchdog cannot {what!r}")
    if what == "report":
        return {"watchdog": report(pod)}
    mutex = pod.mutex("arming", ARM_S + 30.0)
    try:
        desk = Desk(pod)
        if what == "arm":
            return {"watchdog": arm(request, pod)}
        if what == "renew":
            desk.write("lease", {"mono": time.monotonic()})
        else:
            disarm(desk)
        return {"watchdog": report(pod)}
    finally:
        mutex.close()


def disarm(desk: Desk) -> None:
    """End the watchdog; jobs that it has already asked to end are not called back."""
    arming, beat = desk.read("policy").get("arming"), desk.read("heartbeat")
    desk.end()
    for name in ("policy", "heartbeat", "keeper", "lease"):
        if os.path.exists(desk.path(name)):
            os.unlink(desk.path(name))
    if beat.get("tries"):
        append_line(stops_path(desk.pod), {"arming": arming, "t": time.time(), "ok": False, "detail": "disarmed"})

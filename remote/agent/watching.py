"""What the watchdog sees, decides and does, round by round. Its processes and its verbs are left to `watchdog`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from typing import Any

from . import policy as rulebook
from .daemon import Probe
from .disk import Json
from .host import free_space, gpu_use, ssh_sessions
from .launch import ask_to_end
from .runs import Pod, attempts, run_ids, sizes_of, state_of
from .stopping import Exit, Way

ACCESS_S = 900.0  # between two readings of the own pod
LIVING = ("running", "orphaned")


class World:
    """What the watchdog sees and does. Whatever may hang is asked in a child with a deadline."""

    def __init__(self, pod: Pod, env: dict[str, str], port: int) -> None:
        self.pod, self.exit = pod, Exit(env)
        self._jobs = Probe(lambda: look(pod))
        self._gpu = Probe(gpu_use)
        self._free = Probe(lambda: free_space(pod.root))
        self._ssh = Probe(lambda: ssh_sessions(port))
        self._access = Probe(self.exit.access)
        self._act: Probe | None = None

    def jobs(self) -> Json | None:
        found: Json | None = self._jobs.value(20.0)
        return found

    def gpu(self) -> float | None:
        found: float | None = self._gpu.value(10.0)
        return found

    def sessions(self) -> int | None:
        found: int | None = self._ssh.value(5.0)
        return found

    def free(self) -> Json | None:
        found: Json | None = self._free.value(5.0)
        return found

    def access(self) -> Json:
        return self._access.value(60.0) or {"ok": False, "paths": [], "detail": "the provider's API did not answer"}

    def publish(self, grace_s: float, why: str) -> None:
        """Ask every job to save and end."""
        Probe(lambda: end_jobs(self.pod, grace_s, why)).value(20.0)

    def ways(self) -> list[Way]:
        return self.exit.ways()

    def stop(self, way: Way, why: str) -> Json:
        return Probe(lambda: way.stop(why)).value(75.0) or {"ok": False, "detail": "no answer"}

    def record(self, line: Json) -> None:
        """Keep an attempt on the volume."""
        Probe(lambda: append_line(stops_path(self.pod), line)).value(10.0)


def look(pod: Pod) -> Json:
    """Every run's newest attempt with its state, and the bytes that runs have written."""
    rows, written = [], 0
    for run_id in run_ids(pod):
        number = attempts(pod, run_id)[-1]
        rows.append([run_id, number, state_of(pod, run_id, number)])
        written += sum(sizes_of(os.path.join(pod.runs, run_id)).values())
    return {"jobs": rows, "written": written}


def end_jobs(pod: Pod, grace_s: float, why: str) -> int:
    asked = 0
    for run_id in run_ids(pod):
        asked += ask_to_end(pod, run_id, attempts(pod, run_id)[-1], grace_s, why) in LIVING
    return asked


def stops_path(pod: Pod) -> str:
    return os.path.join(pod.base, "watchdog", "stops.jsonl")


def append_line(path: str, line: Json) -> bool:
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(path, "ab") as out:
        out.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        out.flush()
        os.fsync(out.fileno())
    return True


class Watch:
    """Watches, asks the jobs to save, then tries to stop the pod for as long as it exists.

    `note` is its policy and what it was armed with, `memory` what an earlier process of this arming knew. `clock` gives
    seconds that only grow.
    """

    def __init__(self, note: Json, world: Any, memory: Json, clock: Callable[[], float] = time.monotonic) -> None:
        self.note, self.world, self.clock = note, world, clock
        self.policy, self.tick_s = note["policy"], float(note["policy"]["tick_s"])
        self.phase: str = memory.get("phase", "watching")
        self.why: str = memory.get("why", "")
        self.fired: str | None = memory.get("fired")
        self.publish_end: float = memory.get("publish_end", 0.0)
        self.active: float = memory.get("active", clock())
        self.ended: float | None = memory.get("ended")
        self.written: int | None = memory.get("written")
        self.tries: int = memory.get("tries", 0)
        self.last: Json | None = memory.get("last")
        self.seen: Json = {}
        self.access: Json = {}
        self.access_at = -ACCESS_S
        self.free: Json | None = None
        self.not_before: dict[str, float] = {}

    def tick(self, renewed: float) -> float:
        """One round; how many seconds to wait until the next. `renewed` is when the lease was renewed last."""
        if self.phase == "watching":
            self.observe()
            self.judge(renewed)
        if self.phase == "publishing":
            self.publishing()
        if self.phase == "stopping":
            return self.stopping()
        return self.tick_s

    def observe(self) -> None:
        if self.clock() - self.access_at >= ACCESS_S:
            self.access_at, self.access = self.clock(), self.world.access()
        self.free = self.world.free()
        found, gpu, sessions = self.world.jobs(), self.world.gpu(), self.world.sessions()
        now = self.clock()  # after what may take long, and before the judgement: nothing ages in between
        written = None if found is None else found["written"]
        grown = written is not None and self.written is not None and written != self.written
        if rulebook.in_use(gpu, sessions, grown):
            self.active = now
        self.written = self.written if written is None else written
        if found is not None:
            over = rulebook.all_ended(self.policy, self.note["before"], found["jobs"])
            self.ended = (self.ended if self.ended is not None else now) if over else None
        self.seen = {"gpu": gpu, "ssh": sessions, "alive": alive_in(found), "volume_answers": found is not None}

    def judge(self, renewed: float) -> None:
        first = next(iter(self.rules(renewed)), None)
        if first is None or first["left_s"] > 0:
            return
        grace = self.policy["publish_minutes"] * 60
        self.fired, self.phase = first["rule"], "publishing"
        self.why = f"its watchdog stopped it: {first['rule']}"
        self.publish_end = self.clock() + grace
        self.world.publish(grace, self.why)

    def rules(self, renewed: float) -> list[Json]:
        seen = {"armed": self.note["armed"], "renewed": renewed, "active": self.active, "ended": self.ended}
        return rulebook.rules(self.policy, seen, self.clock())

    def publishing(self) -> None:
        alive = alive_in(self.world.jobs())
        if alive == 0 or self.clock() >= self.publish_end + 2 * self.tick_s:  # the supervisors' own KILL comes first
            self.phase = "stopping"

    def stopping(self) -> float:
        """One attempt by the next way. A stop that was accepted has six ticks to take effect."""
        ways = self.world.ways()
        if not ways:
            self.last = {"ok": False, "way": None, "detail": "this pod was given no means to stop itself"}
            return 6 * self.tick_s
        way, now = ways[self.tries % len(ways)], self.clock()
        last_of_round = self.tries % len(ways) == len(ways) - 1
        pause = min(6.0, 0.5 * 2 ** min(self.tries // len(ways), 8)) * self.tick_s if last_of_round else 0.0
        self.tries += 1
        if now < self.not_before.get(way.name, now):
            return max(pause, 0.1 * self.tick_s)
        line = {"arming": self.note["arming"], "why": self.why, "try": self.tries, "way": way.name}
        self.world.record({**line, "t": time.time()})  # before asking: a stop that works may leave no time after it
        reply = self.world.stop(way, self.why)
        self.not_before[way.name] = now + min(600.0, reply.get("retry_after") or 0.0)
        self.last = {"way": way.name, **reply}
        self.world.record({**line, "t": time.time(), **self.last})
        return 6 * self.tick_s if reply.get("ok") else pause

    def memory(self) -> Json:
        """What a next process of this arming, and `report`, need to know."""
        names = ("phase", "why", "fired", "publish_end", "active", "ended", "written", "tries", "last")
        more = {"seen": self.seen, "access": self.access, "access_at": self.access_at, "free": self.free}
        return {**{name: getattr(self, name) for name in names}, **more, "mono": self.clock(), "wall": time.time()}


def alive_in(found: Json | None) -> int | None:
    return None if found is None else sum(state in LIVING for _, _, state in found["jobs"])

"""The parent of one job: holds its lock, reaps it, cancels it, writes its heartbeat and its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import time

from .daemon import let_go
from .disk import PROTOCOL, Json, Refused, fsync_dir, os_refusal, read_json, write_json
from .kernel import descendants, pod_environment, resident_bytes, send_signal, start_time
from .runs import Pod, sizes_of

HEARTBEAT_S = 10.0
LEFTOVER_S, TERM_S = 1.0, 2.0  # how long what a finished job left behind may take to end by itself, and after a TERM


def job_environment(request: Json, pod: Pod) -> dict[str, str]:
    """The pod's own environment, then the spec's, then the secrets, then where the run is."""
    env = pod_environment()
    for values in (request.get("env") or {}, request.get("secrets") or {}):
        env.update({str(name): str(value) for name, value in values.items()})
    env["MAXCAI_RUN_ID"] = request["run_id"]
    env["MAXCAI_RUN_DIR"] = os.path.join(pod.runs, request["run_id"])
    env["MAXCAI_TREE"] = request.get("tree") or ""
    return env


class Supervisor:
    """The parent of one job: holds its lock, reaps it, cancels it, writes its heartbeat and its exit code."""

    def __init__(self, request: Json, pod: Pod, reply: int) -> None:
        self.request, self.pod, self.reply = request, pod, reply
        self.run_id, self.attempt = request["run_id"], request["attempt"]
        self.run_dir = os.path.join(pod.runs, self.run_id)
        self.job = 0
        self.exit_code: int | None = None
        self.kill_at: float | None = None
        self.known: set[int] = set()
        self.sizes: dict[str, int] = {}
        self.active = time.monotonic()

    def main(self, cwd: str) -> None:
        try:
            self.detach()
            lock = self.pod.lock(f"{self.run_id}-{self.attempt}")
            if lock is None or not lock.acquire(2.0):
                raise Refused("locked", "the lock of this attempt is held")
            go = self.start_job(cwd)
            self.say({"ok": True} if go is None else {"ok": False, "code": "exec", "detail": go})
            if go is not None:
                os.unlink(lock.path)
                return
        except Refused as refusal:
            self.say({"ok": False, "code": refusal.code, "detail": refusal.detail})
            return
        except OSError as error:
            self.say({"ok": False, **os_refusal(error)})
            return
        self.watch()
        os.unlink(lock.path)  # the exit code is on disk by now: no lock file and a free lock mean the same

    def say(self, answer: Json) -> None:
        os.write(self.reply, json.dumps(answer).encode())
        os.close(self.reply)

    def detach(self) -> None:
        """Let go of the caller, and become a reaper of orphans."""
        let_go(self.reply)
        self.wake_reader, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, lambda *_: self.cancel())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if sys.platform == "linux":
            try:
                import ctypes

                ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: escapees become ours
            except (ImportError, OSError, AttributeError):
                return

    def start_job(self, cwd: str) -> str | None:
        """Fork the job, record it, let it go; the reason when it could not be executed.

        The job waits for the record to be on disk, so that no process ever runs that nobody knows of.
        """
        go_reader, go_writer = os.pipe()
        why_reader, why_writer = os.pipe()
        env = job_environment(self.request, self.pod)
        self.job = os.fork()
        if self.job == 0:
            os.close(go_writer)
            self.become_job(cwd, env, go_reader, why_writer)
        os.close(go_reader)
        os.close(why_writer)
        note = self.pod.note(self.run_id, "start", self.attempt)
        record = self.record()
        write_json(note, record)
        write_json(os.path.join(os.path.dirname(note), "start.json"), record)
        os.write(go_writer, b"g")
        os.close(go_writer)
        why = os.read(why_reader, 4096).decode("utf-8", "replace")
        os.close(why_reader)
        if not why:
            self.heartbeat()
            return None
        os.waitpid(self.job, 0)
        for path in (note, os.path.join(os.path.dirname(note), "start.json")):
            os.unlink(path)  # it never ran: the attempt is free again
        fsync_dir(os.path.dirname(note))
        return why

    def record(self) -> Json:
        return {
            "v": PROTOCOL,
            "run_id": self.run_id,
            "attempt": self.attempt,
            "pid": self.job,
            "pid_start": start_time(self.job),
            "supervisor": os.getpid(),
            "supervisor_start": start_time(os.getpid()),
            "incarnation": self.pod.incarnation,
            "tree": self.request.get("tree"),
            "started": time.time(),
        }

    def become_job(self, cwd: str, env: dict[str, str], go: int, why: int) -> None:
        """In the forked child: own session, clean signals, output to the console log, wait for the word, execute."""
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
            log = os.path.join(self.run_dir, ".agent", "console.log")
            console = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(console, 1)
            os.dup2(console, 2)
            os.chdir(cwd)
            if os.read(go, 1) != b"g":
                os._exit(127)  # the supervisor died first
            argv = self.request["argv"]
            os.execvpe(argv[0], argv, env)
        except BaseException as error:
            what = error.strerror if isinstance(error, OSError) else str(error)
            os.write(why, f"exec {self.request['argv'][0]}: {what}".encode()[:4000])
        finally:
            os._exit(127)

    def heartbeat(self) -> None:
        sizes = sizes_of(self.run_dir)
        self.active = time.monotonic() if sizes != self.sizes else self.active
        self.sizes = sizes
        beat = {
            "mono": time.monotonic(),
            "wall": time.time(),
            "rss": resident_bytes(self.job),
            "sizes": sizes,
            "active": self.active,
            "incarnation": self.pod.incarnation,
        }
        try:
            write_json(self.pod.note(self.run_id, "hb", self.attempt), beat, durable=False)
        except OSError:
            return  # a full disk must not end the supervisor

    def cancel(self) -> None:
        """TERM now; KILL when the grace of the cancel note is over. A later, shorter grace wins."""
        note = read_json(self.pod.note(self.run_id, "cancel", self.attempt)) or {}
        grace = float(note.get("grace_s", 10.0))
        end = time.monotonic() + grace
        first, self.kill_at = self.kill_at is None, min(end, self.kill_at or end)
        self.known |= descendants(os.getpid())
        if first:
            send_signal(set(), self.job, signal.SIGTERM)

    def reap(self) -> bool:
        """Collect the dead; False when no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self.job:
                self.exit_code = os.waitstatus_to_exitcode(status)

    def wait_for_signal(self, seconds: float) -> None:
        if select.select([self.wake_reader], [], [], max(0.0, seconds))[0]:
            os.read(self.wake_reader, 4096)

    def watch(self) -> None:
        beat_at = time.monotonic() + HEARTBEAT_S
        while True:
            self.reap()
            if self.exit_code is not None:
                break
            now = time.monotonic()
            if self.kill_at is not None and now >= self.kill_at:
                self.kill_at = now + 1.0
                send_signal(descendants(os.getpid()), self.job, signal.SIGKILL)
            if now >= beat_at:
                self.heartbeat()
                beat_at = now + HEARTBEAT_S
            self.wait_for_signal(min(beat_at, self.kill_at or beat_at) - now)
        swept = self.sweep()
        self.heartbeat()  # what it wrote last counts as activity too
        self.tell_exit({
            "exit_code": self.exit_code, "finished": time.time(), "swept": swept, "attempt": self.attempt,
            "incarnation": self.pod.incarnation,
        })  # fmt: skip

    def tell_exit(self, note: Json) -> None:
        """Put the exit note on the volume. While that is full, its copy in memory says that the job is over, and the
        lock stays held."""
        waiting = self.pod.exit_in_memory(self.run_id, self.attempt)
        while True:
            try:
                write_json(self.pod.note(self.run_id, "exit", self.attempt), note)
                break
            except OSError:
                with contextlib.suppress(OSError):
                    write_json(waiting, note, durable=False)
                time.sleep(1.0)
        with contextlib.suppress(OSError):
            os.unlink(waiting)

    def sweep(self) -> int:
        """End what the job left behind, so that `exited` means that nothing of it runs. Returns how many it was."""
        begin, swept = time.monotonic(), 0
        patience = 0.0 if self.kill_at is not None else LEFTOVER_S
        while True:
            children = self.reap()
            left = descendants(os.getpid()) | {pid for pid in self.known if start_time(pid) is not None}
            waited = time.monotonic() - begin
            if (not children and not left) or waited > patience + TERM_S + 5.0:
                return swept
            if waited >= patience:
                swept = max(swept, len(left))
                hard = self.kill_at is not None or waited >= patience + TERM_S
                send_signal(left, self.job, signal.SIGKILL if hard else signal.SIGTERM)
            self.wait_for_signal(0.1)

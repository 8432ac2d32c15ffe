"""Watches one attempt at one step: turns its messages into events, enforces its limits, passes a stop on.

What an outcome means for the run (retry, fail, go on) is the runner's to decide.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

from pipeline.eta import Eta
from pipeline.events import EventWriter
from pipeline.processes import Process

TICK_S = 0.25
START_S = 60.0  # for the interpreter and its imports, before the first sign of life is due
STOP_GRACE_S = 50.0
DUMP_S = 1.0
SLOW_SHARE = 0.2
SLOW_S = 300.0


class Aborted(BaseException):
    """A second signal came: stop at once."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended. `state`: done | stopped | failed | crashed (no result; killed by a signal) | limit.
    `until_work` are the seconds before its first progress: the process was started, weights were read. `work` is how
    much it had foreseen, in prompt tokens; None where it did not say."""

    state: str
    seconds: float
    tokens: int | None
    text: str = ""
    error: str = ""
    until_work: float | None = None
    work: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds an attempt may take, and seconds it may give no sign of progress. `expected_s`: what the work of the step
    takes as measured on this machine before (None: never measured); under `slow_share` of that rate over `slow_s`
    seconds an attempt counts as stuck."""

    total_s: float
    heartbeat_s: float
    expected_s: float | None = None
    slow_share: float = SLOW_SHARE
    slow_s: float = SLOW_S


class Control:
    """Whether and why the run is to stop. The first signal asks, the second raises `Aborted`."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self._signals = 0

    def request(self, reason: str) -> None:
        self.reason = self.reason or reason

    @contextlib.contextmanager
    def signals(self) -> Any:
        """Handle SIGTERM and SIGINT inside the block (main thread)."""

        def handle(number: int, _frame: object) -> None:
            self._signals += 1
            self.request(f"signal {signal.Signals(number).name}")
            if self._signals > 1:
                raise Aborted

        old = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield self
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


class Pace:
    """Units a second of a step, from the progress seen in this attempt (work of earlier attempts is not rate)."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self._last = 0

    def update(self, now: float, done: int) -> float | None:
        """None until there is something to divide, and again where a step begins to count anew."""
        anew, self._last = self._first is None or done < self._last, done
        if self._first is None or anew:
            self._first = (now, done)
            return None
        elapsed, units = now - self._first[0], done - self._first[1]
        return round(units / elapsed, 4) if elapsed > 0 and units > 0 else None


class Watch:
    """One attempt under watch. `on_tick` runs about four times a second; `clock` is monotonic seconds."""

    def __init__(
        self,
        step: str,
        limits: Limits,
        events: EventWriter,
        control: Control,
        on_tick: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        eta: Eta | None = None,
    ) -> None:
        self._step, self._limits, self._events = step, limits, events
        self._eta = eta if eta is not None else Eta()
        self._control, self._on_tick, self._clock = control, on_tick, clock
        self._start = clock()
        self._alive = self._start + START_S
        self._idle = 0.0
        self._tokens: int | None = None
        self._pace = Pace()
        self._stop_sent: float | None = None

    def follow(self, process: Process, pipe: Connection) -> Outcome:
        """Until the child has ended; it never outlives this call."""
        try:
            return self._follow(process, pipe)
        finally:
            if process.is_alive():
                process.kill()
            process.join()
            pipe.close()

    def _follow(self, process: Process, pipe: Connection) -> Outcome:
        while True:
            ready = wait([pipe, process.sentinel], timeout=TICK_S)
            if pipe in ready:
                try:
                    message = pipe.recv()
                except (EOFError, OSError):
                    return self._ended_silently(process)
                outcome = self._receive(message)
                if outcome is not None:
                    return outcome
            elif process.sentinel in ready:
                return self._ended_silently(process)
            self._events.tick()
            self._on_tick()
            breach = self._breach(process)
            if breach is not None:
                return breach

    def _receive(self, message: Mapping[str, Any]) -> Outcome | None:
        kind = message["kind"]
        fields = {name: value for name, value in message.items() if name != "kind"}
        self._alive = self._clock()
        self._idle = fields.pop("idle_s", 0.0)
        if kind == "result":
            return self._outcome(fields["state"], fields["tokens"], fields.get("text", ""), fields.get("error", ""))
        if kind == "progress":
            self._progress(**fields)
        elif kind == "heartbeat":
            self._tokens = fields.pop("tokens")
            self._events.emit("heartbeat", step=self._step, **fields)
        elif kind == "work":
            self._eta.foresee(fields["units"])
        elif kind == "metric":
            self._events.emit("metric", step=self._step, **fields)
        else:
            self._events.emit("warning", **fields)
        return None

    def _progress(self, done: int, total: int, unit: str, share: float | None = None) -> None:
        """`share` is that of the work; without one the units are taken for it."""
        share = share if share is not None else done / total if total else 0.0
        eta, rate = self._eta.update(self._alive, share), self._pace.update(self._alive, done)
        self._events.progress(
            self._step, done=done, total=total, unit=unit, rate=rate, eta_s=eta, share=round(share, 4),
            run_eta_s=self._eta.of_run(eta),
        )  # fmt: skip

    def _breach(self, process: Process) -> Outcome | None:
        """Pass on a stop; end a child that is over its limits or deaf to the stop."""
        now = self._clock()
        if self._control.reason is not None:
            if self._stop_sent is None:
                self._stop_sent = now
                process.terminate()
            elif now - self._stop_sent > STOP_GRACE_S:
                self._kill(process)
                return self._outcome("stopped", self._tokens)
            return None
        silent = self._idle + now - self._alive
        slow = self._slow(now)
        if now - self._start > self._limits.total_s:
            text = f"{self._step} ran longer than its limit of {self._limits.total_s:.0f} s"
        elif silent > self._limits.heartbeat_s:
            text = f"{self._step} gave no sign of progress for {silent:.0f} s (limit {self._limits.heartbeat_s:.0f} s)"
        elif slow is not None:
            text = f"{self._step} reached {slow:.0%} of its measured rate over {self._limits.slow_s:.0f} s"
        else:
            return None
        self._kill(process)
        return self._outcome("limit", self._tokens, text)

    def _slow(self, now: float) -> float | None:
        """The share of the measured rate that was reached, where it is too low; None without a measured one."""
        limits = self._limits
        if limits.expected_s is None:
            return None
        return self._eta.slow(now, limits.expected_s, limits.slow_s, limits.slow_share)

    def _kill(self, process: Process) -> None:
        """A stack dump into the step's log, then the end."""
        if process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGUSR1)
            process.join(DUMP_S)
        process.kill()

    def _ended_silently(self, process: Process) -> Outcome:
        process.join()
        if self._control.reason is not None:
            return self._outcome("stopped", self._tokens)
        code = process.exitcode
        # 255: the fork server could not tell, which happens only when it was killed itself, and its children with it.
        cause = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return self._outcome("crashed", self._tokens, f"the process of {self._step} {cause} before it finished")

    def _outcome(self, state: str, tokens: int | None, text: str = "", error: str = "") -> Outcome:
        began = self._eta.began
        until_work = None if began is None else began - self._start
        return Outcome(state, self._clock() - self._start, tokens, text, error, until_work, self._eta.work)

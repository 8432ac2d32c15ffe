"""What a run has cost so far and what its steps will take: seconds, tokens and USD, from its own events.

An unknown price makes a cost None, never 0. Stopping at a budget is the runner's; stopping the pod is nobody's here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.artifacts import canonical, write_atomic
from pipeline.events import unix
from pipeline.protocol import Event
from pipeline.recipe import Budget

RATES = ".rates.json"
WARN_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Spend:
    """Time a machine was held by a run, and what that cost (USD; None when a price is unknown)."""

    seconds: float
    usd: float | None

    def plus(self, seconds: float, price_per_hour: float | None) -> Spend:
        if seconds <= 0:
            return self
        if self.usd is None or price_per_hour is None:
            return Spend(self.seconds + seconds, None)
        return Spend(self.seconds + seconds, self.usd + seconds / 3600 * price_per_hour)


@dataclass
class History:
    """What earlier sessions of a run left in its events. Times are unix seconds."""

    spend: Spend = field(default_factory=lambda: Spend(0.0, 0.0))
    first_started: float | None = None
    attempts: dict[tuple[str, str], int] = field(default_factory=dict)  # (step, key) -> attempts begun
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)  # (step, key) -> seconds of all of them
    artifacts: dict[str, str] = field(default_factory=dict)  # path -> sha256 last announced
    gates: set[int] = field(default_factory=set)  # stages whose present gate result was announced
    sessions: int = 0


def history(events: Iterable[Event]) -> History:
    """Fold events, oldest first. A session that was killed counts up to its last event (a heartbeat every 10 s)."""
    past = History()
    session: tuple[float, float | None] | None = None
    running: tuple[str, str, float] | None = None
    last = 0.0

    def close_step() -> None:
        if running is not None:
            step = running[0], running[1]
            past.seconds[step] = past.seconds.get(step, 0.0) + max(0.0, last - running[2])

    for event in events:
        now = unix(event.t)
        if event.kind == "run_started":
            close_step()
            running = None
            if session is not None:
                past.spend = past.spend.plus(last - session[0], session[1])
            session = (now, (event.get("hardware") or {}).get("price_per_hour"))
            past.first_started = past.first_started if past.first_started is not None else now
            past.sessions += 1
        last = now
        if event.kind in ("step_started", "step_finished"):
            close_step()
            running = None
        if event.kind == "step_started":
            running = (event["step"], event["key"], now)
            past.attempts[running[:2]] = past.attempts.get(running[:2], 0) + 1
        elif event.kind == "step_finished" and event["step"].endswith("/gate") and event["state"] == "done":
            past.gates.discard(stage_of(event["step"]))
        elif event.kind == "artifact":
            past.artifacts[event["path"]] = event["sha256"]
        elif event.kind == "gate":
            past.gates.add(event["stage"])
    close_step()
    if session is not None:
        past.spend = past.spend.plus(last - session[0], session[1])
    return past


def stage_of(step: str) -> int:
    """1 for "stage-1/gate"."""
    return int(step.partition("/")[0].removeprefix("stage-"))


class Meter:
    """The live cost of a run: what earlier sessions spent plus this one. `clock` gives unix seconds."""

    def __init__(self, past: History, price_per_hour: float | None, clock: Callable[[], float]) -> None:
        self._past, self._price, self._clock = past, price_per_hour, clock
        self._start = clock()
        self._first = past.first_started if past.first_started is not None else self._start

    def now(self) -> Spend:
        return self._past.spend.plus(self._clock() - self._start, self._price)

    def used(self, budget: Budget) -> dict[str, float]:
        """Share of each limit that is used up ("usd", "deadline"); a limit not set or not knowable is left out."""
        shares = {}
        usd = self.now().usd
        if budget.usd is not None and usd is not None:
            shares["usd"] = usd / budget.usd if budget.usd > 0 else float("inf")
        if budget.deadline_hours is not None:
            hours = (self._clock() - self._first) / 3600
            shares["deadline"] = hours / budget.deadline_hours if budget.deadline_hours > 0 else float("inf")
        return shares


class Rates:
    """Seconds that steps took in earlier runs beside this one, for forecasts. A damaged file counts as none."""

    def __init__(self, runs: Path, hardware: str, model: str, recipe: str) -> None:
        self._path, self._label = runs / RATES, (hardware, model, recipe)

    def forecast(self, step: str) -> float | None:
        """Seconds the same step of the same recipe last took on such a machine; None when it never ran there."""
        entry = self._read().get(self._name(step))
        return float(entry["seconds"]) if isinstance(entry, dict) and "seconds" in entry else None

    def record(self, step: str, seconds: float, tokens: int | None) -> None:
        rates = self._read()
        rates[self._name(step)] = {"seconds": round(seconds, 2), "tokens": tokens}
        write_atomic(self._path, canonical(rates) + b"\n")

    def _name(self, step: str) -> str:
        return " | ".join((*self._label, step))

    def _read(self) -> dict[str, object]:
        try:
            raw = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return raw if isinstance(raw, dict) else {}

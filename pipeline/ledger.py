"""What a run has cost so far and what its steps will take: seconds, tokens and USD, from its own events.

An unknown price makes a cost None, never 0. Stopping at a budget is the runner's; stopping the pod is nobody's here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.artifacts import write_atomic
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
    seconds: dict[tuple[str, str], float] = field(default_factory=dict)  # (step, key) -> since it was last done
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
        if event.kind == "step_finished" and event["state"] in ("done", "reused"):
            past.seconds = {step: s for step, s in past.seconds.items() if step[0] != event["step"]}
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

    def deadline(self, budget: Budget) -> float | None:
        """Unix seconds at which the first of the limits will be reached at the present price; None for never."""
        times = []
        spent = self.now().usd
        if budget.usd is not None and spent is not None and self._price:
            times.append(self._clock() + max(0.0, budget.usd - spent) / self._price * 3600)
        if budget.deadline_hours is not None:
            times.append(self._first + budget.deadline_hours * 3600)
        return min(times, default=None)


@dataclass(frozen=True, slots=True)
class Account:
    """What a finished step took. `busy`, `loading` (weights, until its first progress) and `waiting` (for its process)
    are seconds; tokens are those read, written and trained on; `planned` is the busy time foreseen for it by the
    machine's limits, by which it is compared with other amounts of work, `work` what the step itself foresaw, in prompt
    tokens; None where nothing was foreseen."""

    busy: float
    loading: float = 0.0
    waiting: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    trained: int = 0
    usd: float | None = None
    planned: float | None = None
    precision: str = ""
    work: float | None = None

    @property
    def seconds(self) -> float:
        return self.busy + self.loading


@dataclass(frozen=True, slots=True)
class Forecast:
    """Seconds a step will take, and whether such a step was measured on this machine (else: limits × efficiency)."""

    seconds: float
    measured: bool
    busy: float = 0.0


class Rates:
    """What steps took beside this run and in it, by hardware, model and kind of step. A damaged file counts as none."""

    def __init__(self, runs: Path, hardware: str, model: str, recipe: str) -> None:
        self._path, self._label = runs / RATES, (hardware, model, recipe)

    def forecast(self, step: str, planned: float | None = None, precision: str = "") -> Forecast | None:
        """Time of a step by what was measured: the same step of the same recipe, else all steps of its kind at its
        precision together, else the share of the machine's limits that other kinds reached at that precision, which
        counts as not measured. With `planned` (busy seconds by the machine's limits) it is scaled by the amount of
        work."""
        entries = self._read()
        same = entries.get(self._name(step))
        if same is not None and precision in ("", same.get("precision") or precision):
            scale = planned / same["planned"] if planned and same.get("planned") else 1.0
            busy = (same["seconds"] - same.get("loading", 0.0)) * scale
            return Forecast(busy + same.get("loading", 0.0), True, busy)
        if planned is None:
            return None
        alike, others = self._alike(entries, kind_of(step), precision)
        for found, measured in ((alike, True), (others, False)):
            ratio = _reached(found)
            if ratio is not None:
                return Forecast(planned * ratio + found[-1]["loading"], measured, planned * ratio)
        return None

    def of_work(self, step: str, work: float, precision: str = "", like: Sequence[str] = ()) -> float | None:
        """Busy seconds of so much work, by the same step of the same recipe, else by all steps of its kind, else by
        those of the kinds it is `like`, at this precision; None where none was measured. The same step knows best: how
        much of its limits a model writes differs from stage to stage."""
        entries = self._read()
        own = entries.get(self._name(step))
        alike = {kind: self._alike(entries, kind, precision)[0] for kind in (kind_of(step), *like)}
        same = [e for e in alike[kind_of(step)] if e is own]
        for known in (same, alike[kind_of(step)], [e for kind in like for e in alike[kind]]):
            done = sum(e["work"] for e in known if e.get("work"))
            if done > 0:
                return work * float(sum(e["busy"] for e in known if e.get("work"))) / float(done)
        return None

    def record(self, step: str, account: Account) -> None:
        rates = self._read()
        name = self._name(step)
        rates.pop(name, None)  # newest last
        rates[name] = {
            "seconds": round(account.seconds, 3),
            "kind": kind_of(step),
            **{k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(account).items()},
        }
        write_atomic(self._path, json.dumps(rates, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")

    def _alike(
        self, entries: dict[str, Any], kind: str, precision: str
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The steps of this kind on this machine with this model, newest last, and the newest of every other kind."""
        start = " | ".join(self._label[:2]) + " | "
        known = [
            e
            for name, e in entries.items()
            if name.startswith(start) and e.get("kind") and e.get("precision") == precision and e.get("planned")
        ]
        newest = {e["kind"]: e for e in known if e["kind"] != kind}
        return [e for e in known if e["kind"] == kind], list(newest.values())

    def _name(self, step: str) -> str:
        return " | ".join((*self._label, step))

    def _read(self) -> dict[str, Any]:
        try:
            raw = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        if not isinstance(raw, dict):
            return {}
        return {name: e for name, e in raw.items() if isinstance(e, dict) and _is_time(e.get("seconds"))}

    @staticmethod
    def labels(runs: Path, model: str) -> list[str]:
        """The machines on which steps of a model were measured, newest last."""
        rates = Rates(runs, "", model, "")._read()
        split = [name.split(" | ") for name in rates]
        return list(dict.fromkeys(parts[0] for parts in split if len(parts) == 4 and parts[1] == model))


def _reached(entries: Sequence[Mapping[str, Any]]) -> float | None:
    """Busy seconds for one that the machine's limits allow; None where nothing was measured."""
    planned = sum(e["planned"] for e in entries)
    return sum(e["busy"] for e in entries) / planned if planned > 0 else None


def kind_of(step: str) -> str:
    """`sft` for `stage-1/sft`; what stage 0 does is a kind of its own."""
    return "base" if step == "stage-0/evaluate" else step.rpartition("/")[2]


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")

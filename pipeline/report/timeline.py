"""Where time and money went: the steps of a run with their states, seconds, forecasts, tokens and dollars, from its own
files, and the same summed by stage and by step."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline import ledger
from pipeline.events import unix
from pipeline.protocol import Event, Verdict
from pipeline.report.charts import Span, span_plot
from pipeline.report.overview import overrides
from pipeline.report.reading import STEPS, RunFiles
from pipeline.report.wording import percent

ENDED = ("done", "reused", "skipped")


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step. Seconds, tokens and USD are None where unknown; a planned step without a trace is "not run". `forecast`
    is what was foretold when the step began (seconds; None where no earlier run could tell)."""

    step: str
    state: str
    seconds: float | None
    tokens: int | None
    usd: float | None
    started: str | None
    forecast: float | None = None
    times: Mapping[str, float] = field(default_factory=dict)
    worked: bool = False
    """Whether the step was done by this very run, not taken over from another one."""


@dataclass(frozen=True, slots=True)
class Total:
    """Several steps together. A sum over nothing known is None; `unknown` counts the finished steps that a sum of USD
    leaves out."""

    name: str
    steps: int
    seconds: float | None
    tokens: int | None
    usd: float | None
    unknown: int


@dataclass(frozen=True, slots=True)
class Usage:
    """What the seconds a machine was held for went to, as shares of them. `working` is the steps' own code beside the
    model: filters, scores, files. `start` is the median of a step's seconds before its own code."""

    computing: float
    loading: float
    working: float
    starting: float
    start: float

    @property
    def rest(self) -> float:
        """The runner's own: before, between and after the steps; and attempts that were lost."""
        return max(0.0, 1 - self.computing - self.loading - self.working - self.starting)

    @property
    def text(self) -> str:
        shares = (self.computing, self.loading, self.working, self.starting, self.rest)
        computing, loading, working, starting, rest = (percent(share, 0) for share in shares)
        return (
            f"Paid minutes: {computing} the model computing, {loading} reading weights, {working} the steps' own work"
            f" (filters, scores, files), {starting} starting processes (half the steps in {self.start:.1f} s or less),"
            f" {rest} between the steps."
        )


@dataclass(frozen=True, slots=True)
class Timeline:
    """`seconds` and `usd` are what the run held its machine for, pauses between sessions left out."""

    rows: Sequence[StepRow]
    seconds: float | None
    usd: float | None
    state: str | None
    reason: str | None

    @property
    def longest(self) -> float:
        return max((row.seconds or 0.0 for row in self.rows), default=0.0)

    @property
    def usage(self) -> Usage | None:
        """None where the machine's seconds are unknown or some finished step did not say what its own went to."""
        ran = [row for row in self.rows if row.worked]
        if not self.seconds or not ran or not all(row.times for row in ran):
            return None
        held = self.seconds
        parts = ("computing_s", "loading_s", "working_s", "start_s")
        computing, loading, working, starting = (sum(row.times[name] for row in ran) / held for name in parts)
        return Usage(computing, loading, working, starting, statistics.median(row.times["start_s"] for row in ran))

    @property
    def by_stage(self) -> list[Total]:
        return self._totals(lambda row: row.step.partition("/")[0])

    @property
    def by_step(self) -> list[Total]:
        return self._totals(lambda row: row.step.partition("/")[2])

    @property
    def svg(self) -> str:
        """The steps along the clock, each stage in its own colour."""
        known = [(row, unix(row.started), row.seconds) for row in self.rows if row.started and row.seconds is not None]
        ran = [(row, at, seconds) for row, at, seconds in known if row.state != "reused"]
        if not ran:
            return ""
        first = min(at for _, at, _ in ran)
        spans = [Span(row.step, at - first, seconds, ledger.stage_of(row.step)) for row, at, seconds in ran]
        return span_plot(spans, "Steps along the clock")

    def _totals(self, name_of: Callable[[StepRow], str]) -> list[Total]:
        names = dict.fromkeys(name_of(row) for row in self.rows)
        begun = [row for row in self.rows if row.state != "not run" and (row.worked or row.state != "reused")]
        groups = {name: [row for row in begun if name_of(row) == name] for name in names}
        return [_total(name, rows) for name, rows in groups.items() if rows]


def timeline(files: RunFiles) -> Timeline:
    events = files.events()
    told = _last(events, "step_finished", "step")
    begun = _last(events, "step_started", "step")
    rows = [_row(files, step, told.get(step), begun.get(step)) for step in _planned(files, events)]
    spend = ledger.history(events).spend if events else None
    last = next((e for e in reversed(events) if e.kind in ("run_started", "run_finished")), None)
    finished = last is not None and last.kind == "run_finished"
    return Timeline(
        rows,
        spend.seconds if spend else None,
        spend.usd if spend else None,
        _str(last, "state") if finished else _unended(last, rows) or _at_a_gate(files, events),
        _str(last, "reason") if finished else None,
    )


def _unended(last: Event | None, rows: Sequence[StepRow]) -> str | None:
    """The state of a run that has not said that it ended: the report itself is the last thing a run writes."""
    if last is not None and rows and all(row.state in ENDED for row in rows):
        return "finished"
    return None


def _at_a_gate(files: RunFiles, events: Sequence[Event]) -> str | None:
    """The same of a run that did not come to its last step: it ended where a gate did not let it pass."""
    told = [e for e in events if e.kind in ("run_started", "step_started", "gate", "run_finished")]
    if not told:
        return None
    stage, on = told[-1].get("stage"), [verdict for verdict in Verdict if verdict.advances]
    passed_over = [entry.get("stage") for entry in overrides(files)]
    if told[-1].kind == "gate" and told[-1].get("verdict") not in on and stage not in passed_over:
        return f"finished: stopped at the gate of stage {stage}"
    return "running or interrupted"


def _planned(files: RunFiles, events: Iterable[Event]) -> list[str]:
    steps: list[str] = []
    for event in events:
        if event.kind == "run_started" and isinstance(event.get("steps"), list):
            steps = [str(step) for step in event["steps"]]
    if steps:
        return steps
    found = ["stage-0/evaluate", *(f"stage-{n}/{name}" for n in files.stages() for name in STEPS)]
    return [step for step in found if (files.root / step).is_dir()]


def _row(files: RunFiles, step: str, told: Event | None, begun: Event | None) -> StepRow:
    manifest: dict[str, Any] = files.manifest(step) or {}
    if told is not None and (begun is None or told.seq > begun.seq):
        state = str(told.get("state", "done"))
    elif begun is not None:
        state = "unfinished"
    else:
        state = "done" if manifest else "not run"
    return StepRow(
        step,
        state,
        _number(manifest.get("seconds", told.get("seconds") if told else None)),
        manifest.get("tokens", told.get("tokens") if told else None),
        _number(manifest.get("cost_usd", told.get("usd") if told else None)),
        _instant(manifest.get("started")),
        _number(begun.get("forecast_s") if begun else None),
        _times(manifest, begun),
        begun is not None and state in ("done", "reused"),
    )


def _times(manifest: Mapping[str, Any], begun: Event | None) -> dict[str, float]:
    """Seconds of a step's last attempt by what they went to; empty where one of them is not known."""
    told, started = manifest.get("times"), _instant(manifest.get("started"))
    if not isinstance(told, Mapping) or begun is None or started is None:
        return {}
    whole, computing, loading = (_number(told.get(name)) for name in ("attempt_s", "computing_s", "loading_s"))
    if whole is None or computing is None or loading is None:
        return {}
    return {
        "computing_s": computing,
        "loading_s": loading,
        "working_s": max(0.0, whole - computing - loading),
        "start_s": max(0.0, unix(started) - unix(begun.t)),
    }


def _total(name: str, rows: Sequence[StepRow]) -> Total:
    seconds = [row.seconds for row in rows if row.seconds is not None]
    tokens = [row.tokens for row in rows if row.tokens is not None]
    usd = [row.usd for row in rows if row.usd is not None]
    return Total(
        name,
        len(rows),
        sum(seconds) if seconds else None,
        sum(tokens) if tokens else None,
        sum(usd) if usd else None,
        len(rows) - len(usd),
    )


def _instant(raw: Any) -> str | None:
    """A time that can be read as one."""
    try:
        unix(raw)
    except (TypeError, ValueError, AttributeError):
        return None
    return str(raw)


def _last(events: Iterable[Event], kind: str, field: str) -> dict[str, Event]:
    return {str(event.get(field)): event for event in events if event.kind == kind}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _str(event: Event | None, name: str) -> str | None:
    value = event.get(name) if event is not None else None
    return None if value is None else str(value)

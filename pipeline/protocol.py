"""What the rest of the house may know of a run: event kinds, the run directory's layout, verdicts and how to read them.

Standard library only, so that a laptop, a pod and a script can all import it for nothing. Writing belongs to
`pipeline.runner`; everybody else follows `events.jsonl` by byte offset through `parse_line`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

VERSION = 1

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_GATE = 0, 1, 2, 5
"""Exit codes of `python -m pipeline run`: every gate passed · failed · bad usage · stopped at a gate."""


class Verdict(StrEnum):
    """What a gate decided. Only PASS and NO_HEADROOM let the chain go on."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_HEADROOM = "NO_HEADROOM"
    REGRESSION = "REGRESSION"
    INVALID = "INVALID"
    MISSING = "MISSING"

    @property
    def advances(self) -> bool:
        return self in (Verdict.PASS, Verdict.NO_HEADROOM)


class RunState(StrEnum):
    """Where a run stands, as told by its last `run_started` / `run_finished` event."""

    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"  # ran to its end; the verdict is in the gate
    STOPPED = "stopped"  # asked to stop (signal, budget, deadline); resumable
    FAILED = "failed"


EVENT_FIELDS: Mapping[str, tuple[str, ...]] = {
    "run_started": ("run_id", "recipe", "recipe_sha256", "hardware", "resumed", "steps"),
    "run_finished": ("state", "exit_code", "reason"),
    "step_started": ("step", "key", "attempt", "forecast_s"),
    "step_finished": ("step", "state", "seconds", "tokens", "usd"),
    "progress": ("step", "done", "total", "unit", "rate", "eta_s", "share", "run_eta_s"),
    "metric": ("step", "name", "value", "x"),
    "gate": ("stage", "name", "attempt", "verdict", "rate", "low", "high", "threshold", "p", "n", "reason", "rates"),
    "artifact": ("path", "size", "sha256"),
    "warning": ("code", "text", "remedy"),
    "heartbeat": ("step", "pid", "rss", "gpu_bytes", "tokens_per_s"),
}
"""Fields of each event kind beyond `v seq t kind`. `step` is always `stage-N/name`. Readers ignore unknown kinds and
fields. `run_started.steps` lists the planned steps in order; `step_finished.state` is done | reused | skipped | failed;
`progress.share` is that of the step's work (not of its units), `eta_s` and `run_eta_s` the seconds left of the step and
of the run; `gate.rates` has the shape of `Rate.as_dict` per condition, and where a gate says `level_decides` false its
threshold is only hoped for; an unknown number is null, never 0."""

DURABLE_KINDS = frozenset({"run_started", "run_finished", "gate", "artifact", "step_finished"})
"""Kinds after which the writer fsyncs."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of `events.jsonl`."""

    seq: int
    t: str
    kind: str
    data: Mapping[str, Any]

    def __getitem__(self, field: str) -> Any:
        return self.data[field]

    def get(self, field: str, default: Any = None) -> Any:
        return self.data.get(field, default)

    def to_line(self) -> bytes:
        head = {"v": VERSION, "seq": self.seq, "t": self.t, "kind": self.kind}
        text = json.dumps({**head, **self.data}, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return text.encode() + b"\n"


def parse_line(line: bytes) -> Event | None:
    """The event on one line, or None when the line is torn, foreign or of a version this code cannot read."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or raw.get("v") != VERSION or not isinstance(raw.get("kind"), str):
        return None
    seq, t = raw.get("seq"), raw.get("t")
    if not isinstance(seq, int) or not isinstance(t, str):
        return None
    data = {k: v for k, v in raw.items() if k not in ("v", "seq", "t", "kind")}
    return Event(seq, t, raw["kind"], data)


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def read_events(path: Path) -> Iterator[Event]:
    """Every readable event of a file, in order; torn and foreign lines, and those without a time, are passed over."""
    if not path.exists():
        return
    with path.open("rb") as lines:
        for line in lines:
            event = parse_line(line)
            if event is not None and _is_time(event.t):
                yield event


@dataclass(frozen=True, slots=True)
class Rate:
    """Successes of one condition on one held-out set. `low`/`high` are Wilson 95 % bounds of the strict rate."""

    successes: int
    trials: int
    low: float
    high: float
    lenient_successes: int

    def as_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("successes", "trials", "low", "high", "lenient_successes")}

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Rate:
        return Rate(raw["successes"], raw["trials"], raw["low"], raw["high"], raw["lenient_successes"])


CONDITIONS = ("base-raw", "base-formatted", "base-few-shot", "alt-base", "reference", "previous", "tuned")
"""Every condition a held-out set can be measured under, in the order they are shown; the tuned model stands last."""

OPTIONAL_CONDITIONS = frozenset({"alt-base", "reference", "previous"})
"""Those that not every stage of every run has: shown where they were measured, not missed where they were not."""


QUALITY = (
    ("acceptance", "min_acceptance"),
    ("unique_rate", "min_unique_rate"),
    ("runaway_rate", "max_runaway_rate"),
    ("length_limit_rate", "max_length_limit_rate"),
    ("markers", "max_markers"),
    ("banned", "max_banned"),
    ("truncated", "max_truncated"),
    ("empty", "max_empty"),
)
"""Numbers of a stage's `filter/qc.json`, each with the name of its limit under `limits` there."""


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The layout of one run directory (contract 1 of the house). Nothing here touches the disk."""

    root: Path

    @property
    def run_json(self) -> Path:
        return self.root / "run.json"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / ".lock"

    @property
    def report_md(self) -> Path:
        return self.root / "report.md"

    @property
    def report_html(self) -> Path:
        return self.root / "report.html"

    def log(self, step: str) -> Path:
        """`logs/stage-1.sft.log` for step `stage-1/sft`."""
        return self.root / "logs" / f"{step.replace('/', '.')}.log"

    def step(self, step: str) -> Path:
        return self.root / step

    @property
    def scratch(self) -> Path:
        """What can be made again from the rest at any time: never published, never pulled."""
        return self.root / "scratch"

    def merged(self, stage: int) -> Path:
        """Weights of the chain after a stage, made again from the adapters where missing."""
        return self.scratch / f"merged-stage-{stage}"

    def gate(self, stage: int) -> Path:
        return self.root / f"stage-{stage}" / "gate.json"

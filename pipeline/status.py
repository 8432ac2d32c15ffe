"""Where a run stands, from its files alone: while it runs, after it ended and after it died.

The JSON form is a contract; nothing here writes, and nothing here imports torch.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import ledger, standing
from pipeline.errors import UsageError
from pipeline.gating import GateResult, read_gate, stage_name
from pipeline.locks import read_holder
from pipeline.protocol import CONDITIONS, Event, RunPaths, RunState, Verdict, read_events
from pipeline.rundir import read_run

LOST = "lost"
"""State of a run that never said it ended and whose process is gone; running it again resumes it."""


def status(root: Path, events: Sequence[Event] | None = None) -> dict[str, Any]:
    """`{"run_id","recipe","state","stages":[{"stage","name","verdict","threshold","rates","attempt"}],"cost",
    "started","finished"}`; times are ISO text, cost is USD, and whatever is not known yet is null. `events`: those of
    the run, where they have been read already.

    Raises UsageError when the directory holds no run.
    """
    record = read_run(root)
    if record is None:
        raise UsageError(f"{root} holds no run (no run.json). Give the directory of a run.")
    events = list(read_events(RunPaths(root).events)) if events is None else events
    ends = [e for e in events if e.kind in ("run_started", "run_finished")]
    stale = standing.stale(root)
    finished = ends[-1].t if ends and ends[-1].kind == "run_finished" else None
    return {
        "run_id": record["run_id"],
        "recipe": record["recipe"]["name"],
        "state": state(root, ends),
        "stages": [_stage(root, n, record["recipe"], stale) for n in record["recipe"]["stages"] if n > 0],
        "cost": ledger.history(events).spend.usd if events else None,
        "started": next((e.t for e in ends if e.kind == "run_started"), record.get("started")),
        "finished": finished,
    }


def state(root: Path, ends: Sequence[Event]) -> str:
    """A `RunState` value, or `lost` when a run that should be running has no living holder."""
    if ends and ends[-1].kind == "run_finished":
        return str(ends[-1]["state"])
    holder = read_holder(RunPaths(root).lock)
    if holder is not None and holder.alive() is False:
        return LOST
    return RunState.RUNNING.value if ends else RunState.PENDING.value


def _stage(root: Path, number: int, recipe: Mapping[str, Any], stale: Container[str]) -> dict[str, Any]:
    """The gate's decision where there is one; before it, the rates measured so far. What another recipe left is none
    of its own."""
    path = RunPaths(root).gate(number)
    decided = path.exists() and f"stage-{number}/gate" not in stale
    gate = read_gate(path, number) if decided else GateResult(number, stage_name(number), 1, Verdict.MISSING)
    threshold = gate.threshold if gate.threshold is not None else _threshold(number, recipe)
    return {
        "stage": number,
        "name": gate.name if decided else stage_name(number),
        "verdict": gate.verdict.value if decided else None,
        "threshold": threshold,
        "rates": dict(gate.rates) if gate.rates else measured(root, number, stale),
        "attempt": gate.attempt,
    }


def _threshold(number: int, recipe: Mapping[str, Any]) -> float | None:
    chosen = recipe["evaluation"].get("threshold")
    if chosen is not None:
        return float(chosen)
    from pipeline.stages import registry

    try:
        return registry.stage(number).gate.threshold
    except LookupError:
        return None


def measured(root: Path, stage: int, stale: Container[str] = ()) -> dict[str, dict[str, Any]]:
    """Rates of the conditions that are evaluated already, from the evaluations' summaries; not those of `stale`
    steps."""
    from pipeline.stats import wilson_interval

    rates = {}
    for name in ("stage-0/evaluate", f"stage-{stage}/baseline", f"stage-{stage}/evaluate"):
        for condition, counts in _conditions(root / name / "summary.json", stage).items():
            if condition not in CONDITIONS or name in stale:
                continue
            curtailed = counts.get("curtailed")  # a biased rate is shown without an interval
            low, high = (0.0, 1.0) if curtailed else wilson_interval(counts["strict"], counts["trials"])
            rates[condition] = {
                "successes": counts["strict"],
                "trials": counts["trials"],
                "low": low,
                "high": high,
                "lenient_successes": counts["lenient"],
            }
    return rates


def _conditions(path: Path, stage: int) -> dict[str, dict[str, int]]:
    """Conditions of a stage's set with their whole counts; one that lacks a count is left out, never filled up."""
    try:
        found = json.loads(path.read_bytes())["sets"][str(stage)]["conditions"]
        needed = ("strict", "lenient", "trials")
        return {c: v for c, v in found.items() if all(type(v.get(name)) is int for name in needed)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def text(report: Mapping[str, Any]) -> str:
    """The same for people, a few lines."""
    cost = "unknown" if report["cost"] is None else f"${report['cost']:.2f}"
    lines = [f"{report['run_id']}  recipe {report['recipe']}  {report['state']}  cost {cost}"]
    for stage in report["stages"]:
        lines.append(f"stage {stage['stage']} {stage['name']}: {stage['verdict'] or 'not decided yet'}")
        for condition, rate in stage["rates"].items():
            share = f"{rate['successes']}/{rate['trials']} strict [{rate['low']:.3f}, {rate['high']:.3f}]"
            lines.append(f"  {condition:<16}{share}, {rate['lenient_successes']}/{rate['trials']} lenient")
    return "\n".join(lines)

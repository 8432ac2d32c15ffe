"""Reads what a gate step left behind. A file that is missing or unreadable is the verdict MISSING, never a pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pipeline.protocol import Verdict


@dataclass(frozen=True, slots=True)
class GateResult:
    """The fields of the `gate` event. `rates` maps a condition to `protocol.Rate.as_dict`; without `level_decides` the
    threshold is hoped for, and improvement alone decides."""

    stage: int
    name: str
    attempt: int
    verdict: Verdict
    rate: float | None = None
    low: float | None = None
    high: float | None = None
    threshold: float | None = None
    p: float | None = None
    n: int | None = None
    reason: str = ""
    rates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    level_decides: bool = True

    def as_event(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict.value}


def read_gate(path: Path, stage: int) -> GateResult:
    """The decision in `gate.json`; MISSING with the reason when there is none that can be read, or when it is not the
    one that the gate step made."""
    if altered(path):
        why = f"{path} was altered; {_redo(stage)}"
        return GateResult(stage, stage_name(stage), 1, Verdict.MISSING, reason=why)
    try:
        raw = json.loads(path.read_bytes())
        numbers = {field: raw.get(field) for field in ("rate", "low", "high", "threshold", "p", "n")}
        return GateResult(
            stage=stage,
            name=str(raw.get("name") or stage_name(stage)),  # declarations load every stage: 0.6 s
            attempt=int(raw.get("attempt") or 1),
            verdict=Verdict(raw["verdict"]),
            reason=str(raw.get("reason", "")),
            rates=raw.get("rates") or {},
            level_decides=(raw.get("detail") or {}).get("level_decides") is not False,
            **numbers,
        )
    except FileNotFoundError:
        why = f"{path} is missing; {_redo(stage)}"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        why = f"{path} is damaged; {_redo(stage)}"
    return GateResult(stage, stage_name(stage), 1, Verdict.MISSING, reason=why)


def altered(path: Path) -> bool:
    """Whether `stage-N/gate.json`, which is a copy, says something else than what the gate step of its stage left."""
    try:
        return path.read_bytes() != (path.parent / "gate" / path.name).read_bytes()
    except OSError:
        return False  # one of the two is not there: nothing to compare


def _redo(stage: int) -> str:
    return f"decide again with --force stage-{stage}/gate"


def stage_name(number: int) -> str:
    """The declared name of a stage; "stage N" for one that is not declared."""
    from pipeline.stages import registry

    try:
        return registry.stage(number).name
    except LookupError:
        return f"stage {number}"

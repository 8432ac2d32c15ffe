"""What was measured, read back from the directory of an evaluation. Loads no step and no stage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pipeline.comparisons import ConditionResult, Fingerprint
from pipeline.records import EvalResult, RecordError, read_records


def read_conditions(folder: Path, number: int) -> dict[str, ConditionResult]:
    """Every condition under which set `number` was measured and whose answers and fingerprint can be read; the others
    stay absent."""
    found = {}
    held = (read_json(folder / "summary.json").get("sets") or {}).get(str(number)) or {}
    for name, facts in (held.get("conditions") or {}).items():
        try:
            rows = [r.to_row() for r in read_records(folder / f"set-{number}" / f"{name}.jsonl", EvalResult)]
            fingerprint = Fingerprint.from_dict(facts["fingerprint"])
            found[name] = ConditionResult.from_rows(name, fingerprint, rows, bool(facts.get("curtailed")))
        except (OSError, RecordError, KeyError):
            continue
    return found


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is none that can be read."""
    try:
        body = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}

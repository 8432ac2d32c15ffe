"""The whole chain on one page: every stage under every condition, what each kept of the earlier ones, what was passed
over, and what was tried again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.gates import TUNED, Decision
from pipeline.protocol import CONDITIONS, OPTIONAL_CONDITIONS
from pipeline.report import rates
from pipeline.report.charts import Cell, matrix_plot
from pipeline.report.plots import Group, grouped_plot
from pipeline.report.rates import SHOWN, Measured
from pipeline.report.reading import RunFiles

Decisions = Mapping[int, Decision | None]
BASE_ROW = "base-formatted"


def overview(files: RunFiles, decisions: Decisions) -> dict[str, Any]:
    """Everything above the first stage. `decisions`: the gate of each stage, None where it was not decided."""
    found = {stage: rates.conditions(files, stage, decision) for stage, decision in decisions.items()}
    beside = (name for name in CONDITIONS if name in OPTIONAL_CONDITIONS and any(name in one for one in found.values()))
    names = tuple(dict.fromkeys((*SHOWN, *beside)))
    rows = [_row(stage, decision, found[stage], names) for stage, decision in decisions.items()]
    return {
        "conditions": names,
        "rows": rows,
        "svg": _plot(rows),
        "retention": retention(files, decisions),
        "overrides": overrides(files),
        "retries": [entry for stage in decisions for entry in retries(files, stage)],
        "attempts": [entry for stage in decisions for entry in attempts(files, stage)],
    }


def _row(
    stage: int, decision: Decision | None, found: Mapping[str, Measured | None], names: Sequence[str]
) -> dict[str, Any]:
    return {
        "stage": stage,
        "name": decision.name if decision else None,
        "verdict": decision.verdict.value if decision else None,
        "attempt": decision.attempt if decision else None,
        "threshold": decision.threshold if decision else None,
        "level_decides": decision.detail.get("level_decides", True) if decision else None,
        "cells": [(name, found.get(name), name == "previous" and name not in found) for name in names],
        "found": {name: found.get(name) for name in names},
    }


def _plot(rows: Sequence[Mapping[str, Any]]) -> str:
    groups = []
    for row in rows:
        name = f" ({row['name']})" if row["name"] else ""
        label = f"Stage {row['stage']}{name}: {row['verdict'] or 'not decided'}"
        groups.append(Group(label, rates.dots(row["found"]), row["threshold"]))
    return grouped_plot(groups, "Held-out instructions followed: strict (filled, 95 % interval), lenient (hollow)")


def overrides(files: RunFiles) -> list[dict[str, Any]]:
    """Gates that did not let the chain go on and were passed over all the same."""
    found = (files.json("run.json") or {}).get("overrides")
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def retries(files: RunFiles, stage: int) -> list[dict[str, Any]]:
    """Data made again under the recipe that the run has now: what was changed, and why."""
    noted, run = files.json(f"stage-{stage}/retries.json") or {}, files.json("run.json") or {}
    found = noted.get("retries") if noted.get("recipe_sha256") == run.get("recipe_sha256") else None
    return [
        {"stage": stage, "number": number, "set": ", ".join(map(str, entry.get("set") or ())), "because": why}
        for number, entry in enumerate(found if isinstance(found, list) else (), 1)
        if isinstance(entry, dict)
        for why in [entry.get("because")]
    ]


def attempts(files: RunFiles, stage: int) -> list[dict[str, Any]]:
    """Every decided attempt at a stage's gate, whatever became of it."""
    return [
        {"stage": stage, **{name: entry.get(name) for name in ("attempt", "verdict", "reason")}}
        for entry in files.entries(f"stage-{stage}/attempts.json")
    ]


# --- retention -------------------------------------------------------------------------------------------------------


def retention(files: RunFiles, decisions: Decisions) -> dict[str, Any] | None:
    """Rows: the base, then after each stage; columns: the stages' sets. None where no trained model was measured."""
    stages = list(decisions)
    rows: list[dict[str, Any]] = [_base_row(files, stages)]
    rows += [_after(files, stage, decision, stages) for stage, decision in decisions.items()]
    if not any(cell and cell["measured"] for row in rows[1:] for cell in row["cells"]):
        return None
    cells = {
        (i, j): Cell(cell["measured"].strict_rate, cell["held"], _note(cell))
        for i, row in enumerate(rows)
        for j, cell in enumerate(row["cells"])
        if cell and cell["measured"]
    }
    labels = [str(row["after"]) for row in rows]
    columns = [f"set {stage}" for stage in stages]
    plot = matrix_plot(labels, columns, cells, "What each stage keeps: strict rate on every set so far")
    return {"columns": columns, "rows": rows, "svg": plot}


def _base_row(files: RunFiles, stages: Sequence[int]) -> dict[str, Any]:
    cells = []
    for held in stages:
        found = (rates.on_set(files, 0, held) | rates.files_baseline(files, held)).get(BASE_ROW)
        cells.append({**_cell(found, None, None, None), "own": False})
    return {"after": BASE_ROW, "cells": cells}


def _after(files: RunFiles, stage: int, decision: Decision | None, stages: Sequence[int]) -> dict[str, Any]:
    kept = {entry.get("stage"): entry for entry in (decision.detail.get("retention") or ())} if decision else {}
    cells: list[dict[str, Any] | None] = []
    for held in stages:
        if held > stage:
            cells.append(None)
            continue
        found = rates.on_set(files, stage, held).get(TUNED)
        entry = kept.get(held) or {}
        level = entry.get("level")
        if held == stage and decision is not None and decision.detail.get("level_decides", True):
            level = decision.threshold
        cells.append(
            {**_cell(found, level, entry.get("paired"), entry.get("lost", _lost(decision, held))), "own": held == stage}
        )
    return {"after": f"after stage {stage}", "cells": cells}


def _cell(found: Measured | None, level: Any, paired: Any, lost: bool | None) -> dict[str, Any]:
    """`level` 0 means that there was none to keep; `held` None that nothing can be said."""
    held: bool | None = None
    if found is not None and level:
        held = found.strict_rate + 1e-12 >= level
    if lost:
        held = False
    return {"measured": found, "level": level, "paired": paired, "held": held}


def _lost(decision: Decision | None, held: int) -> bool | None:
    """Whether the gate called what happened to an earlier set a loss: by its words, where it did not note it."""
    return f"stage {held}'s set lost" in decision.reason if decision is not None else None


def _note(cell: Mapping[str, Any]) -> str:
    paired = cell["paired"]
    return f"{100 * paired['lift']:+.1f} points" if isinstance(paired, dict) and "lift" in paired else ""

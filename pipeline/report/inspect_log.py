"""Per-item results as JSON eval logs of inspect_ai (https://inspect.aisi.org.uk/eval-logs.html): one log a set and
condition, which `inspect view` opens and `read_eval_log` reads.

Written to log version 2 of its schema (`EvalLog` in `inspect_ai.log`); every field that the viewer's schema requires is
there. What is not known (a judge, a conversation, prompt tokens, times of single items) is left empty, not made up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline import artifacts
from pipeline.report.reading import RunFiles

VERSION = 2
SCORERS = ("strict", "lenient")
STOPS: Mapping[str, str] = {"eos": "stop", "stop": "stop", "length": "max_tokens"}
"""Our finish reasons in inspect_ai's words."""

Row = Mapping[str, Any]


def write_logs(files: RunFiles) -> list[Path]:
    """`inspect/<step>.<set>.<condition>.json` for every evaluated set and condition; returns the paths."""
    written = []
    targets: dict[str, Mapping[str, str]] = {}
    for stage in (0, *files.stages()):
        for step in (f"stage-{stage}/baseline", f"stage-{stage}/evaluate"):
            for path in sorted((files.root / step).glob("set-*/*.jsonl")):
                held = path.parent.name.removeprefix("set-")
                if held not in targets:
                    targets[held] = wanted(held)
                written.append(_write(files, step, path, targets[held]))
    return [path for path in written if path is not None]


def _write(files: RunFiles, step: str, path: Path, targets: Mapping[str, str]) -> Path | None:
    rows = list(files.rows(path.relative_to(files.root).as_posix()))
    held, condition = path.parent.name, path.stem
    if not rows:
        return None
    body = log(files, step, held.removeprefix("set-"), condition, rows, targets)
    out = files.root / "inspect" / f"{step.replace('/', '-')}.{held}.{condition}.json"
    artifacts.write_atomic(out, json.dumps(body, ensure_ascii=False, indent=1).encode())
    return out


def log(
    files: RunFiles, step: str, held: str, condition: str, rows: Sequence[Row], targets: Mapping[str, str]
) -> dict[str, Any]:
    """One `EvalLog`. `targets`: item id -> one right answer, where known."""
    run, manifest = files.json("run.json") or {}, files.manifest(step) or {}
    counts = files.measured_at(step, held).get(condition)
    facts = counts if isinstance(counts, dict) else {}
    model = _model(run, step, condition)
    spec = {
        **_identity(run, step, held, condition, manifest),
        "task": f"set-{held} {condition}",
        "dataset": {"name": f"set-{held}", "samples": len(rows), "sample_ids": [_id(row) for row in rows]},
        "model": model,
        "metadata": {"condition": condition, "set": held, "step": step, "fingerprint": facts.get("fingerprint"),
                     "stopped_early": facts.get("curtailed"), "overrides": run.get("overrides") or []},
    }  # fmt: skip
    return {
        "version": VERSION,
        "status": "success",
        "eval": spec,
        "plan": {"name": "plan", "steps": [{"solver": "generate", "params": {}, "params_passed": {}}],
                 "config": {"temperature": 0.0}},
        "results": results(rows),
        "stats": {
            "started_at": str(manifest.get("started") or ""),
            "completed_at": str(manifest.get("ended") or ""),
            "model_usage": {},
            "role_usage": {},
            "connection_limit_history": [],
        },
        "invalidated": False,
        "tags": [],
        "metadata": {},
        "samples": [sample(row, model, targets.get(_id(row), "")) for row in rows],
    }  # fmt: skip


def _identity(run: Row, step: str, held: str, condition: str, manifest: Row) -> dict[str, Any]:
    """The part of `EvalSpec` that says what was run, when and with which code. Ids follow from the run: the same run
    exported twice gives the same bytes."""
    name = str(run.get("run_id") or "run")
    git = run.get("git") or {}
    body = {
        "eval_id": _short(name, step, held, condition),
        "run_id": _short(name),
        "created": str(manifest.get("started") or run.get("started") or "1970-01-01T00:00:00Z"),
        "task_id": _short("task", held, condition),
        "task_version": 0,
        "task_attribs": {},
        "task_args": {"seed": run.get("seed")},
        "task_args_passed": {},
        "model_generate_config": {"temperature": 0.0},
        "model_args": {},
        "config": {"epochs": 1, "log_samples": True},
        "packages": {str(k): str(v) for k, v in (run.get("versions") or {}).items()},
        "scorers": [{"name": scorer, "metrics": [{"name": "accuracy"}]} for scorer in SCORERS],
    }
    if git.get("commit"):
        body["revision"] = {"type": "git", "origin": "", "commit": str(git["commit"]), "dirty": git.get("dirty")}
    return body


def wanted(held: str) -> dict[str, str]:
    """Item id -> one right answer, of every frozen block of a set; empty where this code no longer has it."""
    from pipeline.evals.items import ItemsError, frozen_blocks

    try:
        return {item.id: item.answer for item in frozen_blocks(int(held))}
    except (ItemsError, ValueError, OSError):
        return {}


def results(rows: Iterable[Row]) -> dict[str, Any]:
    """`EvalResults`: the share right, strictly and leniently."""
    known = list(rows)
    scores = []
    for scorer in SCORERS:
        right = sum(row.get(scorer) is True for row in known)
        metric = {"name": "accuracy", "value": right / len(known), "params": {}}
        scores.append({"name": scorer, "scorer": scorer, "params": {}, "metrics": {"accuracy": metric}})
    return {"total_samples": len(known), "completed_samples": len(known), "scores": scores}


def sample(row: Row, model: str, target: str = "") -> dict[str, Any]:
    """`EvalSample` of one scored answer. `target` is one right answer among perhaps many: the check decides, and what
    it found stands in the scores' explanations."""
    text = str(row.get("text_raw") or "")
    message = {"role": "assistant", "content": text, "source": "generate", "model": model}
    stop = STOPS.get(str(row.get("finish_reason")), "unknown")
    return {
        "id": _id(row),
        "epoch": 1,
        "input": str(row.get("prompt") or ""),
        "target": target,
        "messages": [{"role": "user", "content": str(row.get("prompt") or ""), "source": "input"}, message],
        "output": {"model": model, "completion": text,
                   "choices": [{"message": message, "stop_reason": stop}]},
        "scores": {scorer: _score(row, scorer) for scorer in SCORERS},
        "metadata": {name: row.get(name) for name in ("family", "template", "instruction", "tokens", "scorer")},
        "store": {},
        "events": [],
        "model_usage": {},
        "role_usage": {},
        "attachments": {},
    }  # fmt: skip


def _score(row: Row, scorer: str) -> dict[str, Any]:
    return {
        "value": "C" if row.get(scorer) is True else "I",
        "answer": str(row.get("text_raw" if scorer == "strict" else "text") or ""),
        "explanation": str(row.get(f"{scorer}_reason") or ""),
        "history": [],
    }


def _model(run: Row, step: str, condition: str) -> str:
    """What answered: "tiny" or "tiny after stage 2"."""
    base = str(((run.get("recipe") or {}).get("model") or {}).get("id") or "unknown")
    if condition == "previous":
        return f"{base} before {step.partition('/')[0]}"
    return f"{base} after {step.partition('/')[0]}" if condition == "tuned" else base


def _id(row: Row) -> str:
    return str(row.get("item"))


def _short(*parts: str) -> str:
    """A stable id of 22 characters, the length that inspect_ai's own have."""
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:22]

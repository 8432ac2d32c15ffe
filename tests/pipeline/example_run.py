"""Builds a small run directory out of real records, real evaluations and a real gate decision."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline import gates
from pipeline.protocol import Event
from pipeline.records import Answer, EvalResult, Instruction, Pair, Record, RejectedRow, SftRow, write_records

BASE_MODEL, TUNED_MODEL, ITEMS = "ba5e" * 4, "70ed" * 4, 120
HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(2)) ![](http://evil.example/p.png) `` `\u202e\x00\n# Title"

Right = Callable[[int], tuple[bool, bool]]
CONDITIONS: dict[str, Right] = {
    "base-raw": lambda i: (False, i % 12 == 0),
    "base-formatted": lambda i: (i % 30 == 0, i % 3 == 0),
    "base-few-shot": lambda i: (i % 2 == 0, i % 2 == 0),
    "tuned": lambda i: (i % 60 != 1, i % 60 != 3),
}


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def lines(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def records(path: Path, rows: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, rows)


def common(i: int, model: str = BASE_MODEL) -> dict[str, Any]:
    return {
        "stage": 1,
        "family": f"family_{i % 8}",
        "seed": i,
        "decoding": '{"greedy":true}',
        "model": model,
        "parents": (),
    }


def written(i: int, text: str, model: str = BASE_MODEL) -> dict[str, Any]:
    prompt = f"Instruction: Say {i}.\nResponse:"
    return {
        **common(i, model),
        "prompt": prompt,
        "text_raw": f" {text}",
        "text": text,
        "finish_reason": "eos",
        "tokens": 3,
    }


def evaluations(condition: str) -> list[EvalResult]:
    right, rows = CONDITIONS[condition], []
    for i in range(ITEMS):
        strict, lenient = right(i)
        rows.append(
            EvalResult.make(
                **written(i, str(i) if lenient else HOSTILE, TUNED_MODEL if condition == "tuned" else BASE_MODEL),
                item=f"item{i}", template=f"t{i // 8}", condition=condition, instruction=f"Say {i}.", strict=strict,
                strict_reason="right" if strict else "runaway: a new turn", lenient=lenient,
                lenient_reason="right" if lenient else "wrong: other text", scorer="1:beef",
            )
        )  # fmt: skip
    return rows


def fingerprint(condition: str) -> dict[str, str]:
    model = TUNED_MODEL if condition == "tuned" else BASE_MODEL
    same = {"precision": "bf16", "decoding": "greedy", "scorer": "1:beef", "set_hash": "5e7"}
    return {**same, "condition": condition, "model": model}


def decision(threshold: float = 0.95, leaks: int | None = 0) -> gates.Decision:
    conditions = {
        name: gates.ConditionResult.from_rows(
            name, gates.Fingerprint.from_dict(fingerprint(name)), [row.to_row() for row in evaluations(name)]
        )
        for name in CONDITIONS
    }
    return gates.decide(
        gates.GateInput(
            stage=1, name="explicit", planned=ITEMS, level=gates.LevelRule(threshold), conditions=conditions,
            audit=gates.Audit(True, 200), aa=gates.AaCheck(50, 0), leaks=leaks, draws=200,
        )
    )  # fmt: skip


def baseline(root: Path) -> None:
    recipe = {"name": "demo", "seed": 3, "stages": [1], "model": {"id": "tiny"}, "data": {"filter": "self"},
              "train": {"lora": {"r": 8}, "sft": {"epochs": 2.0}, "dpo": {"beta": 5.0}}}  # fmt: skip
    dump(root / "run.json", {
        "run_id": "demo-1", "recipe": recipe, "recipe_sha256": "c0ffee", "seed": 3, "set": ["seed=3"],
        "versions": {"torch": "2.13.0"}, "git": {"commit": "abc123", "dirty": True},
        "hardware": {"device": "cpu", "threads": 2, "gpu": None}, "started": "2026-01-02T03:04:05Z",
    })  # fmt: skip
    for name in ("base-raw", "base-formatted", "base-few-shot"):
        records(root / f"stage-0/evaluate/set-1/{name}.jsonl", evaluations(name))
    dump(root / "stage-0/evaluate/summary.json", summary("base-raw", "base-formatted", "base-few-shot"))
    manifest(root, "stage-0/evaluate", 40.0, 0.02)


def summary(*names: str) -> dict[str, Any]:
    counted = {}
    for name in names:
        rows = evaluations(name)
        counts = {"strict": sum(r.strict for r in rows), "lenient": sum(r.lenient for r in rows), "trials": ITEMS}
        counted[name] = {**counts, "fingerprint": fingerprint(name)}
    audit = {"passed": True, "fixtures": 200, "failures": []}
    return {"sets": {"1": {"conditions": counted}}, "aa": {"items": 50, "flips": 0}, "audit": audit}


def manifest(root: Path, step: str, seconds: float, usd: float | None, **summary: Any) -> None:
    outputs = [
        {"path": p.relative_to(root / step).as_posix(), "size": p.stat().st_size, "sha256": "ab" * 32}
        for p in sorted((root / step).rglob("*"))
        if p.is_file()
    ]
    body = {"summary": summary, "seconds": seconds, "tokens": 900, "cost_usd": usd, "started": "2026-01-02T03:04:05Z"}
    dump(root / step / "manifest.json", {**body, "outputs": outputs})


def data(root: Path) -> None:
    stage, prompt = root / "stage-1", "Instruction: Say.\nResponse:"
    said = [Instruction.make(**written(i, f"Say {i}."), instruction=f"Say {i}.") for i in range(40)]
    again = [Instruction.make(**written(i, "x"), instruction="x", rejected="near: 0.9") for i in range(50, 55)]
    answers = [Answer.make(**written(i, "y"), instruction=f"Say {i % 40}.", sample=i // 40) for i in range(160)]
    records(stage / "generate/records.jsonl", said)
    records(stage / "generate/rejected.jsonl", again)
    records(stage / "answer/records.jsonl", answers)
    dump(stage / "critique/calibration.json", {
        "families": {
            "family_0": {"n": 15, "auc": {"ab": 0.91, "logprob": 0.7}, "blind": False, "threshold": 0.2,
                         "precision": 0.9},
            "family_1": {"n": 15, "auc": {"ab": 0.48, "logprob": None}, "blind": True, "threshold": None,
                         "precision": None},
        },
        "overall": {"auc": {"ab": 0.8}},
    })  # fmt: skip
    kept = [
        SftRow.make(
            **common(i), prompt=prompt, completion=" y", instruction="x", known_right=None if i < 5 else i % 10 > 0
        )
        for i in range(30)
    ]
    dropped = [
        RejectedRow.make(**common(i), instruction="x", response="y", reason="margin: 0.01", known_right=i % 2 == 0)
        for i in range(10)
    ]
    preferences = [
        Pair.make(
            **common(i), prompt=prompt, chosen=f" {i}", rejected=f" {i + 1}", instruction="x", chosen_tokens=2,
            rejected_tokens=3, source="best_of_n" if i % 2 else "corruption:near", chosen_known_right=i > 2 or None,
        )
        for i in range(12)
    ]  # fmt: skip
    records(stage / "filter/sft.jsonl", kept)
    records(stage / "filter/rejected.jsonl", dropped)
    records(stage / "pairs/pairs.jsonl", preferences)
    dump(stage / "filter/qc.json", {"unique_rate": 1.0, "breaches": [], "runaway_rate": 0.01})
    dump(stage / "filter/coverage.json", {"counts": {"clear": 12, "kind": 0}, "unused": ["kind"]})
    for step, field in (("sft", "loss"), ("dpo", "logps/chosen")):
        lines(
            stage / step / "metrics.jsonl", ({"step": k, "loss": 2.0 / (k + 1), field: 1.0 / (k + 1)} for k in range(9))
        )
        dump(stage / step / "adapter/adapter_config.json", {"r": 8})
        manifest(root, f"stage-1/{step}", 75.5, 0.01, rows=29)


def events(root: Path, finished: bool = True) -> None:
    steps = ["stage-0/evaluate", "stage-1/generate", "stage-1/sft", "stage-1/dpo", "stage-1/evaluate", "stage-1/gate"]
    facts = {"run_id": "demo-1", "recipe": "demo", "hardware": {"price_per_hour": 1.8}, "steps": steps}
    told: list[tuple[str, str, dict[str, Any]]] = [("03:04:05", "run_started", facts)]
    for minute, step in enumerate(steps[:3]):
        told.append((f"03:{10 + minute}:00", "step_started", {"step": step, "key": "k"}))
        done = {"step": step, "state": "done", "seconds": 55.0, "tokens": 900, "usd": 0.0275}
        told.append((f"03:{10 + minute}:55", "step_finished", done))
    told.append(("03:20:00", "step_started", {"step": "stage-1/dpo", "key": "k"}))
    if finished:
        told.append(("03:34:05", "run_finished", {"state": "finished", "exit_code": 0, "reason": None}))
    text = b"".join(Event(n, f"2026-01-02T{at}.000Z", kind, body).to_line() for n, (at, kind, body) in enumerate(told))
    (root / "events.jsonl").write_bytes(text)


def whole_run(root: Path, threshold: float = 0.95) -> None:
    """Everything a finished run leaves that a report reads."""
    baseline(root)
    data(root)
    records(root / "stage-1/evaluate/set-1/tuned.jsonl", evaluations("tuned"))
    dump(root / "stage-1/evaluate/summary.json", summary("tuned"))
    dump(root / "stage-1/gate.json", decision(threshold).as_dict())
    events(root)

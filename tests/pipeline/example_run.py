"""Builds small run directories out of real records, real evaluations and real gate decisions: a finished chain of two
stages, whose first passes and whose second is passed over."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline import gates
from pipeline.protocol import Event
from pipeline.records import (
    Answer,
    Critique,
    EvalResult,
    Instruction,
    Judgement,
    Pair,
    Record,
    RejectedRow,
    Revision,
    SftRow,
    write_records,
)

BASE_MODEL, TUNED_MODEL, SECOND_MODEL, ITEMS = "ba5e" * 4, "70ed" * 4, "5ec0" * 4, 120
HOSTILE = "<script>alert(1)</script> | [x](javascript:alert(2)) ![](http://evil.example/p.png) `` `\u202e\x00\n# Title"

Right = Callable[[int], tuple[bool, bool]]
CONDITIONS: dict[str, Right] = {
    "base-raw": lambda i: (False, i % 12 == 0),
    "base-formatted": lambda i: (i % 30 == 0, i % 3 == 0),
    "base-few-shot": lambda i: (i % 2 == 0, i % 2 == 0),
    "tuned": lambda i: (i % 60 != 1, i % 60 != 3),
}
"""Stage 1 on its own set: (strict, lenient) of item i."""

SECOND: dict[str, Right] = {
    **CONDITIONS,
    "base-few-shot": lambda i: (i % 8 != 0 and i % 3 == 0, i % 3 == 0),
    "previous": lambda i: (i % 3 == 0, i % 3 == 0),
    "tuned": lambda i: (i % 8 not in (0, 5) and i % 2 == 1, i % 8 != 0 and i % 2 == 1),
}
"""Stage 2 on its own set: family 0 has nothing right, not even with examples; family 5 knows and does not stop."""

KEPT: Right = lambda i: (i % 40 != 1, i % 40 != 1)  # noqa: E731  (a table's entry like those above)
"""Stage 2 on the set of stage 1."""


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def lines(path: Path, rows: Iterable[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def records(path: Path, rows: Iterable[Record]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_records(path, rows)


def common(i: int, model: str = BASE_MODEL, stage: int = 1) -> dict[str, Any]:
    return {
        "stage": stage,
        "family": f"family_{i % 8}",
        "seed": i,
        "decoding": '{"greedy":true}',
        "model": model,
        "parents": (),
    }


def written(i: int, text: str, model: str = BASE_MODEL, tokens: int = 3) -> dict[str, Any]:
    prompt = f"Instruction: Say {i}.\nResponse:"
    return {
        **common(i, model),
        "prompt": prompt,
        "text_raw": f" {text}",
        "text": text,
        "finish_reason": "eos",
        "tokens": tokens,
    }


def model_of(condition: str, stage: int) -> str:
    if condition == "previous":
        return TUNED_MODEL
    return {1: TUNED_MODEL, 2: SECOND_MODEL}[stage] if condition == "tuned" else BASE_MODEL


def outcomes(condition: str, held: int, stage: int) -> Right:
    """Who is right on which items: the model after `stage` on the set of stage `held`."""
    if condition == "tuned" and held < stage:
        return KEPT
    return (CONDITIONS if held == 1 else SECOND)[condition]


def evaluations(condition: str, held: int = 1, stage: int = 1) -> list[EvalResult]:
    right, rows = outcomes(condition, held, stage), []
    model = model_of(condition, stage)
    for i in range(ITEMS):
        strict, lenient = right(i)
        failed = "runaway: a new turn" if lenient or i % 5 == 0 else "wrong: other text"
        rows.append(
            EvalResult.make(
                **written(i, str(i) if lenient else HOSTILE, model), item=f"item{i}", template=f"t{i // 8}",
                condition=condition, instruction=f"Say {i}.", strict=strict,
                strict_reason="right" if strict else failed, lenient=lenient,
                lenient_reason="right" if lenient else "wrong: other text", scorer="1:beef",
            )
        )  # fmt: skip
    return rows


def fingerprint(condition: str, held: int = 1, stage: int = 1) -> dict[str, str]:
    same = {"precision": "bf16", "decoding": "greedy", "scorer": "1:beef", "set_hash": f"5e7{held}"}
    return {**same, "condition": condition, "model": model_of(condition, stage)}


def condition(name: str, held: int = 1, stage: int = 1) -> gates.ConditionResult:
    print_ = gates.Fingerprint.from_dict(fingerprint(name, held, stage))
    return gates.ConditionResult.from_rows(name, print_, [row.to_row() for row in evaluations(name, held, stage)])


def decision(threshold: float = 0.95, leaks: int | None = 0) -> gates.Decision:
    """Stage 1's."""
    return gates.decide(
        gates.GateInput(
            stage=1, name="explicit", planned=ITEMS, level=gates.LevelRule(threshold),
            conditions={name: condition(name) for name in CONDITIONS}, audit=gates.Audit(True, 200),
            aa=gates.AaCheck(50, 0), leaks=leaks, draws=200,
        )
    )  # fmt: skip


def second_decision(threshold: float = 0.9, keep: float = 0.9) -> gates.Decision:
    """Stage 2's, which does not pass."""
    earlier = gates.EarlierStage(1, keep, condition("tuned", 1, 2), condition("tuned", 1, 1), 0.02)
    return gates.decide(
        gates.GateInput(
            stage=2, name="implicit", planned=ITEMS, level=gates.LevelRule(threshold),
            conditions={name: condition(name, 2, 2) for name in SECOND}, audit=gates.Audit(True, 200),
            aa=gates.AaCheck(50, 0), leaks=0, earlier=(earlier,), draws=200, better_than="previous",
        )
    )  # fmt: skip


def baseline(root: Path, stages: tuple[int, ...] = (1,)) -> None:
    recipe = {"name": "demo", "seed": 3, "stages": list(stages), "model": {"id": "tiny"},
              "data": {"filter": "self", "max_shortcut": 0.8},
              "train": {"lora": {"r": 8}, "sft": {"epochs": 2.0}, "dpo": {"beta": 5.0}}}  # fmt: skip
    dump(root / "run.json", {
        "run_id": "demo-1", "recipe": recipe, "recipe_sha256": "c0ffee", "seed": 3, "set": ["seed=3"],
        "versions": {"torch": "2.13.0"}, "git": {"commit": "abc123", "dirty": True}, "overrides": [],
        "hardware": {"device": "cpu", "threads": 2, "gpu": None}, "started": "2026-01-02T03:04:05Z",
    })  # fmt: skip
    shown = ("base-raw", "base-formatted", "base-few-shot")
    for held in stages:
        for name in shown:
            records(root / f"stage-0/evaluate/set-{held}/{name}.jsonl", evaluations(name, held, 1))
    dump(root / "stage-0/evaluate/summary.json", summary(dict.fromkeys(stages, shown)))
    manifest(root, "stage-0/evaluate", 40.0, 0.02)


def summary(shown: dict[int, tuple[str, ...]], stage: int = 1) -> dict[str, Any]:
    sets: dict[str, Any] = {}
    for held, names in shown.items():
        counted = {}
        for name in names:
            rows = evaluations(name, held, stage)
            counts = {"strict": sum(r.strict for r in rows), "lenient": sum(r.lenient for r in rows), "trials": ITEMS}
            counted[name] = {**counts, "curtailed": False, "fingerprint": fingerprint(name, held, stage)}
        sets[str(held)] = {"conditions": counted}
    return {"sets": sets, "aa": {"items": 50, "flips": 0}, "audit": {"passed": True, "fixtures": 200, "failures": []}}


def manifest(root: Path, step: str, seconds: float, usd: float | None, **summary: Any) -> None:
    outputs = [
        {"path": p.relative_to(root / step).as_posix(), "size": p.stat().st_size, "sha256": "ab" * 32}
        for p in sorted((root / step).rglob("*"))
        if p.is_file()
    ]
    body = {"summary": summary, "seconds": seconds, "tokens": 900, "cost_usd": usd, "started": "2026-01-02T03:04:05Z"}
    dump(root / step / "manifest.json", {**body, "outputs": outputs})


def data(root: Path, number: int = 1) -> None:
    stage, prompt = root / f"stage-{number}", "Instruction: Say.\nResponse:"
    said = [Instruction.make(**written(i, f"Say {i}."), instruction=f"Say {i}.") for i in range(40)]
    again = [Instruction.make(**written(i, "x"), instruction="x", rejected="near: 0.9") for i in range(50, 55)]
    answers = [
        Answer.make(**written(i, "y", tokens=2 + i % 5), instruction=f"Say {i % 40}.", sample=i // 40)
        for i in range(160)
    ]
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
            **common(i, stage=number), prompt=prompt, completion=" y", instruction="x",
            known_right=None if i < 5 else i % 10 > 0,
        )
        for i in range(30)
    ]  # fmt: skip
    dropped = [
        RejectedRow.make(**common(i), instruction="x", response="y", reason="margin: 0.01", known_right=i % 2 == 0)
        for i in range(10)
    ]
    records(stage / "filter/sft.jsonl", kept)
    records(stage / "filter/rejected.jsonl", dropped)
    rehearsed = [SftRow.make(**common(i), prompt=prompt, completion=" y", instruction="old") for i in range(10)]
    records(stage / "filter/rehearsal.jsonl", rehearsed if number > 1 else [])
    records(stage / "pairs/pairs.jsonl", preferences(prompt))
    manifest(
        root, f"stage-{number}/pairs", 5.0, 0.01, pairs=12, shorter_is_chosen=0.75, refusal_is_rejected=None
    )  # too few pairs to say of the second rule
    limits = {"max_runaway_rate": 0.05, "min_unique_rate": 0.99, "min_acceptance": 0.5, "max_empty": 0}
    counts = {"unique_rate": 1.0, "runaway_rate": 0.07, "acceptance": None, "empty": 0}
    dump(stage / "filter/qc.json", {**counts, "limits": limits, "breaches": ["runaway_rate is 0.07"]})
    dump(stage / "filter/coverage.json", {"counts": {"clear": 12, "kind": 0}, "unused": ["kind"]})


def preferences(prompt: str) -> list[Pair]:
    return [
        Pair.make(
            **common(i), prompt=prompt, chosen=f" {i}", rejected=f" {i + 1}", instruction="x", chosen_tokens=1 + i,
            rejected_tokens=3, source="best_of_n" if i % 2 else "corruption:near", chosen_known_right=i > 2 or None,
        )
        for i in range(12)
    ]  # fmt: skip


def revisions(root: Path, number: int = 2) -> None:
    """Two rounds over six answers: round 1 changes every second one, round 2 none; one revision becomes an example."""
    stage = root / f"stage-{number}"
    told: list[Critique] = []
    better: list[Revision] = []
    for turn in (1, 2):
        for i in range(6):
            before = f"draft {i}"
            shared = {"instruction": f"Say {i}.", "response": before, "principle": "clear", "round": turn}
            told.append(Critique.make(**written(i, f"Too vague, round {turn}."), **shared))
            after = f"revised {i}\nwith a second line" if turn == 1 and i % 2 else before
            parents = ("aa" * 8, "bb" * 8, told[-1].id)
            better.append(Revision.make(**{**written(i, after), "parents": parents}, **shared))
    records(stage / "revise/critiques.jsonl", told)
    records(stage / "revise/records.jsonl", better)
    changed = [r for r in better if r.text != r.response]
    judged = [
        Judgement.make(
            **{**common(i), "parents": ("aa" * 8, r.id)}, instruction=r.instruction, response=r.text, prompts=(),
            principle=None, orders=(), logp_a=(), logp_b=(), margin=None, mean_logprob=None, agreement=None,
            accepted=i != 1,
        )
        for i, r in enumerate(changed)
    ]  # fmt: skip
    records(stage / "critique/records.jsonl", judged)
    prompt = "Instruction: Say.\nResponse:"
    own = {**common(99, stage=number), "parents": (judged[0].id, "aa" * 8, changed[0].id)}
    row = SftRow.make(**own, prompt=prompt, completion=f" {changed[0].text}", instruction=changed[0].instruction)
    with (stage / "filter/sft.jsonl").open("a") as out:
        out.write(json.dumps(row.to_row()) + "\n")


def training(root: Path, number: int = 1) -> None:
    stage = root / f"stage-{number}"
    for step, field in (("sft", "mean_token_accuracy"), ("dpo", "logps/chosen")):
        lines(
            stage / step / "metrics.jsonl", ({"step": k, "loss": 2.0 / (k + 1), field: 1.0 / (k + 1)} for k in range(9))
        )
        dump(stage / step / "adapter/adapter_config.json", {"r": 8})
        told = {"told": ["the gradient was large"]} if step == "dpo" else {"told": []}
        manifest(root, f"stage-{number}/{step}", 75.5, 0.01, rows=29, backend="trl", watch=told)
    parity = {"tokens": 400, "mean": 1e-7, "largest": 2e-6, "agreement": 1.0, "tolerance": 1e-5, "precision": "fp32",
              "prompts": 64, "rounding": 0.004, "effect": 0.41}  # fmt: skip
    dump(stage / "merge/merge.json", {"trained": True, "digest": "ea2e", "stored": "BF16", "parity": parity})


def events(root: Path, finished: bool = True) -> None:
    steps = ["stage-0/evaluate", "stage-1/generate", "stage-1/sft", "stage-1/dpo", "stage-1/evaluate", "stage-1/gate"]
    facts = {"run_id": "demo-1", "recipe": "demo", "hardware": {"price_per_hour": 1.8}, "steps": steps}
    told: list[tuple[str, str, dict[str, Any]]] = [("03:04:05", "run_started", facts)]
    for minute, step in enumerate(steps[:3]):
        forecast = 50.0 if step == "stage-1/generate" else None
        told.append((f"03:{10 + minute}:00", "step_started", {"step": step, "key": "k", "forecast_s": forecast}))
        told.append((f"03:{10 + minute}:30", "metric", {"step": step, "name": "loss", "value": 1.5, "x": minute}))
        done = {"step": step, "state": "done", "seconds": 55.0, "tokens": 900, "usd": 0.0275}
        told.append((f"03:{10 + minute}:55", "step_finished", done))
    told.append(("03:20:00", "step_started", {"step": "stage-1/dpo", "key": "k"}))
    if finished:
        told.append(("03:34:05", "run_finished", {"state": "finished", "exit_code": 0, "reason": None}))
    text = b"".join(Event(n, f"2026-01-02T{at}.000Z", kind, body).to_line() for n, (at, kind, body) in enumerate(told))
    (root / "events.jsonl").write_bytes(text)


def whole_run(root: Path, threshold: float = 0.95) -> None:
    """Everything a finished run of one stage leaves that a report reads."""
    baseline(root)
    first_stage(root, threshold)


def first_stage(root: Path, threshold: float = 0.95) -> None:
    data(root)
    training(root)
    records(root / "stage-1/evaluate/set-1/tuned.jsonl", evaluations("tuned"))
    dump(root / "stage-1/evaluate/summary.json", summary({1: ("tuned",)}))
    dump(root / "stage-1/gate.json", decision(threshold).as_dict())
    events(root)


def whole_chain(root: Path) -> None:
    """Everything a finished run of two stages leaves; the second failed its gate and was passed over."""
    baseline(root, (1, 2))
    first_stage(root)
    data(root, 2)
    training(root, 2)
    revisions(root)
    for held, names in ((2, ("tuned", "previous")), (1, ("tuned",))):
        for name in names:
            records(root / f"stage-2/evaluate/set-{held}/{name}.jsonl", evaluations(name, held, 2))
    dump(root / "stage-2/evaluate/summary.json", summary({2: ("tuned", "previous"), 1: ("tuned",)}, 2))
    gate = second_decision()
    dump(root / "stage-2/gate.json", gate.as_dict())
    dump(root / "stage-2/attempts.json", [
        {"attempt": 1, "maker": "m", "verdict": gate.verdict.value, "reason": gate.reason},
    ])  # fmt: skip
    dump(root / "stage-2/retries.json", {"recipe_sha256": "c0ffee", "retries": [
        {"set": ["data.answer_temperature=0.5"], "because": "acceptance is 0.31, the limit is 0.5"},
    ]})  # fmt: skip
    run = json.loads((root / "run.json").read_text())
    entry = {"stage": 2, "verdict": gate.verdict.value, "reason": "to see what lies behind"}
    dump(root / "run.json", {**run, "overrides": [entry]})

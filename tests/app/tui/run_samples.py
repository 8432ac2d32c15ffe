"""A small run directory, a board and reviews on disk, as the pipeline and people write them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

RUN_ID = "20270115-080000-demo"


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def held_out(name: str, text: str, right: bool, condition: str) -> dict[str, Any]:
    why = "exact" if right else f"wrong: {text}, wanted Oslo"
    return {
        "id": f"{name}-{condition}", "item": name, "condition": condition, "instruction": f"The capital for {name}?",
        "text": text, "strict": right, "strict_reason": why, "lenient": right, "lenient_reason": why,
    }  # fmt: skip


def run_directory(runs: Path, run_id: str = RUN_ID, seed: int = 0, threshold: float = 0.6) -> Path:
    """A finished stage 1: two instructions, one accepted and one dropped, a pair, and a gate with two items that
    differ."""
    root = runs / run_id
    base = root / "stage-1"
    write_json(
        root / "run.json",
        {
            "recipe": {"name": "demo", "seed": seed, "model": {"id": "tiny"}, "evaluation": {"threshold": threshold}},
            "recipe_sha256": "ab" * 32, "git": {"commit": "c0ffee" * 6, "dirty": True}, "hardware": {"cpu": "a CPU"},
            "overrides": [],
        },
    )  # fmt: skip
    write_rows(base / "generate/records.jsonl", [{"id": "i1", "instruction": "Name the capital of Norway."},
                                                 {"id": "i2", "instruction": "Say \x1b[2Jhello [bold]"}])  # fmt: skip
    write_rows(base / "answer/records.jsonl", [
        {"id": "a1", "parents": ["i1"], "text": "Oslo", "sample": 0},
        {"id": "a2", "parents": ["i1"], "text": "Bergen", "sample": 1},
        {"id": "a3", "parents": ["i2"], "text": "hello", "sample": 0},
    ])  # fmt: skip
    write_rows(
        base / "revise/critiques.jsonl",
        [{"id": "k1", "parents": ["i1", "a2"], "text": "Bergen is no capital.", "principle": "honest-true"}],
    )
    write_rows(base / "revise/records.jsonl", [{"id": "v1", "parents": ["i1", "a2", "k1"], "text": "Oslo, not Bergen"}])
    write_rows(base / "critique/records.jsonl", [
        {"id": "j1", "parents": ["i1", "a1"], "margin": 1.25, "score": 0.93, "accepted": True},
        {"id": "j2", "parents": ["i1", "a2"], "margin": -0.5, "score": 0.1, "accepted": False},
    ])  # fmt: skip
    write_rows(base / "filter/sft.jsonl", [
        {"id": "s1", "parents": ["j1", "i1", "a1"], "instruction": "Name the capital of Norway.",
         "completion": " Oslo", "known_right": True}])  # fmt: skip
    write_rows(base / "filter/rejected.jsonl", [
        {"id": "r1", "parents": ["j2", "i1", "a2"], "instruction": "Name the capital of Norway.",
         "response": "Bergen", "reason": "critics unsure", "known_right": False}])  # fmt: skip
    write_rows(base / "pairs/pairs.jsonl", [
        {"id": "p1", "parents": ["i1"], "instruction": "Name the capital of Norway.", "chosen": " Oslo",
         "rejected": " Bergen", "source": "best_of_n", "margin": 0.83}])  # fmt: skip
    write_json(base / "filter/qc.json", {
        "acceptance": 0.5, "unique_rate": 1.0, "runaway_rate": 0.2, "markers": 0, "breaches": ["runaway 20 % over 5 %"],
        "limits": {"min_acceptance": 0.3, "min_unique_rate": 0.99, "max_runaway_rate": 0.05,
                   "max_markers": 0}})  # fmt: skip
    write_json(base / "filter/coverage.json", {"counts": {"honest-true": 9, "helpful-clear-words": 3},
                                               "unused": ["harmless-privacy"]})  # fmt: skip
    write_json(
        base / "gate.json",
        {
            "detail": {
                "comparisons": [
                    {
                        "a": "tuned lenient",
                        "b": "base-formatted lenient",
                        "p": 0.0002,
                        "only_a": ["x1", "x2"],
                        "only_b": ["x3"],
                    }
                ]
            }
        },
    )
    sides = {
        "tuned": {"x1": "Oslo", "x2": "Oslo", "x3": "Rome"},
        "base-formatted": {"x1": "A", "x2": "B", "x3": "Oslo"},
    }
    write_rows(base / "evaluate/set-1/tuned.jsonl",
               [held_out(n, t, t == "Oslo", "tuned") for n, t in sides["tuned"].items()])  # fmt: skip
    write_rows(root / "stage-0/evaluate/set-1/base-formatted.jsonl",
               [held_out(n, t, t == "Oslo", "base-formatted") for n, t in sides["base-formatted"].items()])  # fmt: skip
    adapter = base / "sft/adapter/weights.bin"
    adapter.parent.mkdir(parents=True)
    adapter.write_bytes(b"0" * 2048)
    return root


def board(root: Path) -> None:
    """Four lanes with a card or two in each; one card that can hardly be read."""
    cards = {
        "pending/P0_20270114_clean_prompts.md": "# TASK: clean eval prompts\n\n**Priority:** P0\n\n"
        "## Success Criteria\n- [x] listed\n- [ ] cleaned\n",
        "pending/P9_odd": "\xff\x00 not a header: [red]at all[/]",
        "in_progress/P1_20270113_freeze_set.md": "# freeze stage-2 set\n\nPriority: P1\n",
        "blocked/P1_20270112_scorer.md": "# gate-1 scorer\n\n**Priority**: P1\n"
        "**Depends on:** P1_20270113_freeze_set\n",
        "completed/P2_20270111_greedy.md": "# greedy decoding\n\npriority: P2\n",
    }
    for name, body in cards.items():
        path = root / "task_board" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="latin-1")


def reviews(root: Path) -> None:
    """One request with one of two answers, and an answer to nothing."""
    files = {
        "requests/20270114_scorer.md": "# Review Request: gate-1 scorer\n\n**Date:** 2027-01-14\n"
        "**Assigned Reviewers:** ann, ben\n**Run:** r1\n**Gate:** 1\n\n## What\n\nLook at the *scorer*.\n",
        "responses/20270114_scorer_ann.md": "# Review Response\n\nReviewer: ann\nVerdict: approve\n\nFine by me.\n",
        "responses/20270101_nothing_carl.md": "# Review Response\n\nReviewer: carl\nVerdict: reject\n\nNo.\n",
    }
    for name, body in files.items():
        path = root / "reviews" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body, encoding="utf-8")

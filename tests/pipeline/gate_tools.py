"""Builds what a gate is asked: evaluations of known outcome, and simulated ones whose items cluster by wording."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.gates import AaCheck, Audit, ConditionResult, Fingerprint, GateInput, ItemOutcome, LevelRule

N, FAMILIES, TEMPLATES = 120, 8, 15  # 15 items a family, each its own wording
PRINT = Fingerprint("bf16", "?", "greedy", "1:beef", "5e7", "ba5e")


def result(condition: str, strict: int, lenient: int | None = None, n: int = N, **changes: Any) -> ConditionResult:
    """The first `strict` items right, in an order that spreads over the families."""
    lenient = strict if lenient is None else lenient
    model = "70ed" if condition == "tuned" else "ba5e"
    outcomes = tuple(
        ItemOutcome(f"i{i}", f"f{i % FAMILIES}", f"t{i // FAMILIES % TEMPLATES}", i < strict, i < lenient)
        for i in range(n)
    )
    made = {"condition": condition, "model": model, **changes}
    return ConditionResult(condition, replace(PRINT, **made), outcomes)


def given(tuned: int | None = 119, base: int = 10, base_lenient: int = 40, **changes: Any) -> GateInput:
    conditions = {
        "base-raw": result("base-raw", 0, 5),
        "base-formatted": result("base-formatted", base, base_lenient),
        "base-few-shot": result("base-few-shot", 50, 60),
    }
    if tuned is not None:
        conditions["tuned"] = result("tuned", tuned)
    fields: dict[str, Any] = {
        "stage": 1, "name": "explicit", "planned": N, "level": LevelRule(0.95), "conditions": conditions,
        "audit": Audit(True, 200), "aa": AaCheck(50, 0), "leaks": 0, "draws": 300,
    }  # fmt: skip
    return GateInput(**{**fields, **changes})


def with_condition(name: str, changed: ConditionResult | None, **changes: Any) -> GateInput:
    start = given(**changes)
    rest = {k: v for k, v in start.conditions.items() if k != name}
    return replace(start, conditions={**rest, **({name: changed} if changed else {})})


def print_of(name: str, **changes: Any) -> GateInput:
    old = given().conditions[name]
    return with_condition(name, replace(old, fingerprint=replace(old.fingerprint, **changes)))


def clustered(
    rng: np.random.Generator, rate: float, templates: int, size: int, correlation: float
) -> np.ndarray[Any, Any]:
    """[templates, size] outcomes whose correlation within a template is `correlation` (beta-binomial)."""
    if not correlation:
        return rng.random((templates, size)) < rate
    scale = 1 / correlation - 1
    chance = rng.beta(rate * scale, (1 - rate) * scale, size=(templates, 1))
    return rng.random((templates, size)) < chance

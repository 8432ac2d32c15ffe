"""Gates of later stages: what must be beaten, gates without a level, earlier sets, and which attempt it was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from gate_tools import N, given, result

from pipeline.gates import ConditionResult, EarlierStage, GateInput, decide
from pipeline.protocol import Verdict


def later(tuned: int | None = 119, previous: int = 100, base: int = 10, **changes: Any) -> GateInput:
    """A gate that compares with the previous stage, strict against strict."""
    start = given(tuned=tuned, base=base, better_than="previous", **changes)
    before = result("previous", previous, previous + 15 if previous < 105 else 120, model="9re7")
    return replace(start, conditions={**start.conditions, "previous": before})


def last(tuned: int | None = 110, previous: int = 90, **changes: Any) -> GateInput:
    """A gate without a level."""
    return later(tuned, previous, **{"level_decides": False, **changes})


def test_a_later_gate_asks_for_more_than_the_previous_stage_strictly() -> None:
    made = decide(later())
    assert made.verdict is Verdict.PASS
    assert "100 → 119 of 120 strict" in made.reason
    assert made.detail["comparisons"][0]["b"] == "previous strict"
    assert made.p == made.detail["comparisons"][0]["p"]
    labels = [(c["a"], c["b"]) for c in made.detail["comparisons"]]
    assert ("tuned lenient", "base-formatted lenient") in labels  # reported beside it
    assert len(labels) == len(set(labels)) == 9
    assert list(made.rates) == ["base-raw", "base-formatted", "base-few-shot", "previous", "tuned"]


def test_a_later_gate_is_not_passed_by_being_better_than_the_base_alone() -> None:
    made = decide(later(previous=118))
    assert made.verdict is Verdict.INCONCLUSIVE
    assert "not shown to be better than the previous stage" in made.reason
    assert decide(given(tuned=119)).verdict is Verdict.PASS


def test_previous_is_shown_but_decides_nothing_where_the_base_is_to_be_beaten() -> None:
    made = decide(replace(later(previous=119), better_than="base"))
    assert made.verdict is Verdict.PASS
    assert "40 → 119 of 120 lenient" in made.reason
    assert made.rates["previous"].successes == 119


def test_without_a_level_the_improvement_decides_and_the_threshold_is_reported() -> None:
    made = decide(last(tuned=110, previous=90))
    assert made.verdict is Verdict.PASS  # 91.67 % would not meet the level of 95 %
    assert (made.threshold, made.rate) == (0.95, 110 / 120)
    assert "better than the previous stage at p < 0.01 (90 → 110 of 120 strict" in made.reason
    assert made.detail["level_decides"] is False
    with_level = replace(last(tuned=110, previous=90), level_decides=True)
    assert decide(with_level).verdict is Verdict.INCONCLUSIVE


def test_without_a_level_worse_fails_and_no_difference_is_inconclusive() -> None:
    worse = decide(last(tuned=90, previous=110))
    assert worse.verdict is Verdict.FAIL
    assert "worse than the previous stage" in worse.reason
    same = decide(last(tuned=120, previous=120))
    assert same.verdict is Verdict.INCONCLUSIVE
    assert "not shown to be better than the previous stage" in same.reason
    assert decide(last(tuned=93, previous=90)).verdict is Verdict.INCONCLUSIVE


def test_without_a_level_there_is_no_headroom_verdict() -> None:
    assert decide(last(tuned=120, previous=119, base=119)).verdict is Verdict.INCONCLUSIVE
    untrained = decide(last(tuned=None, base=119, trained=False))
    assert untrained.verdict is Verdict.MISSING
    assert "no level" in untrained.reason


def test_without_a_level_an_earlier_set_that_fell_is_still_a_regression() -> None:
    fell = EarlierStage(2, 0.9, result("tuned", 100, set_hash="01d"))
    made = decide(last(earlier=(fell,)))
    assert made.verdict is Verdict.REGRESSION
    kept = decide(last(earlier=(replace(fell, now=result("tuned", 110, set_hash="01d")),)))
    assert kept.verdict is Verdict.PASS
    assert "1 earlier sets kept" in kept.reason


def test_what_is_to_be_beaten_must_be_there_and_optional_conditions_need_not() -> None:
    absent = replace(later(), conditions=given().conditions)
    made = decide(absent)
    assert made.verdict is Verdict.MISSING
    assert "no result for previous" in made.reason
    short = with_previous(result("previous", 90, n=119, model="9re7"))
    assert decide(short).verdict is Verdict.MISSING
    assert decide(given()).verdict is Verdict.PASS  # neither previous nor reference nor alt-base


def with_previous(previous: ConditionResult) -> GateInput:
    start = later()
    return replace(start, conditions={**start.conditions, "previous": previous})


def test_optional_conditions_are_shown_and_compared_where_they_were_measured() -> None:
    start = given()
    more = {c: result(c, 60, model=f"{c}-model") for c in ("reference", "alt-base")}
    made = decide(replace(start, conditions={**start.conditions, **more}))
    assert made.verdict is Verdict.PASS
    assert list(made.rates)[3:] == ["alt-base", "reference", "tuned"]
    assert ("tuned strict", "reference lenient") in {(c["a"], c["b"]) for c in made.detail["comparisons"]}
    empty = result("reference", 0, n=0, model="reference-model")
    unmeasured = decide(replace(start, conditions={**start.conditions, "reference": empty}))
    assert unmeasured.verdict is Verdict.PASS
    assert "reference" not in unmeasured.rates


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"precision": "nf4"}, "precision"),
        ({"decoding": "temperature=0.7"}, "decoding"),
        ({"scorer": "2:cafe"}, "scorer"),
        ({"set_hash": "0"}, "set hash"),
        ({"condition": "tuned"}, "was made under"),
        ({"model": "70ed"}, "made by the previous model: the adapter was not loaded"),
    ],
)
def test_a_previous_stage_measured_otherwise_makes_the_gate_invalid(changes: dict[str, str], said: str) -> None:
    before = result("previous", 90, model="9re7")
    made = decide(with_previous(replace(before, fingerprint=replace(before.fingerprint, **changes))))
    assert made.verdict is Verdict.INVALID
    assert said in made.reason


def earlier_set(**changes: Any) -> EarlierStage:
    made = {"now": result("tuned", 118, set_hash="01d"), "before": result("tuned", 119, set_hash="01d", model="9re7")}
    base = result("base-formatted", 20, 60, set_hash="01d")
    return EarlierStage(**{"stage": 1, "level": 0.9, "base": base, "planned": N, **made, **changes})


def test_an_earlier_set_is_reported_beside_the_base() -> None:
    made = decide(given(earlier=(earlier_set(),)))
    assert made.verdict is Verdict.PASS
    kept = made.detail["retention"][0]
    assert kept["base"]["successes"] == 20
    assert (kept["over_base"]["a"], kept["over_base"]["b"]) == ("tuned lenient", "base-formatted lenient")
    assert kept["over_base"]["successes_b"] == 60
    worse_than_base = earlier_set(base=result("base-formatted", 120, set_hash="01d"))
    assert decide(given(earlier=(worse_than_base,))).verdict is Verdict.PASS  # reported, it decides nothing


def test_an_earlier_set_that_is_not_whole_is_missing() -> None:
    part = result("tuned", 100, set_hash="01d", n=100)
    made = decide(given(earlier=(earlier_set(now=part, before=None, base=None),)))
    assert made.verdict is Verdict.MISSING
    assert "100 of 120" in made.reason
    unknown = earlier_set(now=replace(part, curtailed=True), before=None, base=None, planned=None)
    assert decide(given(earlier=(unknown,))).verdict is Verdict.MISSING


def test_unseen_items_of_a_curtailed_earlier_set_count_as_failures() -> None:
    part = replace(result("tuned", 100, set_hash="01d", n=100), curtailed=True)
    made = decide(given(earlier=(earlier_set(now=part),)))
    assert made.verdict is Verdict.REGRESSION
    assert "fell to 83.33 %" in made.reason


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"now": result("tuned", 118, set_hash="01d", model="9re7"), "before": None}, "model that is to be judged"),
        ({"before": result("tuned", 119, set_hash="01d")}, "made by one model"),
        ({"base": result("base-formatted", 20, set_hash="01d", model="other")}, "different base models"),
        ({"base": result("base-formatted", 20, set_hash="another")}, "set hash"),
        ({"now": result("tuned", 118, precision="nf4"), "before": None, "base": None}, "precision"),
        ({"planned": 100}, "more items than were planned"),
    ],
)
def test_an_earlier_set_measured_otherwise_makes_the_gate_invalid(changes: dict[str, Any], said: str) -> None:
    made = decide(given(earlier=(earlier_set(**changes),)))
    assert made.verdict is Verdict.INVALID
    assert said in made.reason


@pytest.mark.parametrize(
    "make", [given, later, last, lambda **kw: given(tuned=80, **kw), lambda **kw: given(leaks=1, **kw)]
)
def test_every_reason_names_the_attempt_from_the_second_on(make: Callable[..., GateInput]) -> None:
    first, second = decide(make()), decide(make(attempt=2))
    assert second.reason == f"attempt 2: {first.reason}"
    assert (second.verdict, second.attempt) == (first.verdict, 2)
    assert "attempt" not in first.reason

"""Every verdict can be reached, every sabotage is INVALID, and only two verdicts advance."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from gate_tools import FAMILIES, PRINT, given, print_of, result, with_condition

from pipeline import gates, stats
from pipeline.comparisons import Side, compare, family_table
from pipeline.gates import (
    AaCheck,
    Audit,
    ConditionResult,
    Decision,
    EarlierStage,
    Fingerprint,
    GateInput,
    IncomparableError,
    LevelRule,
    decide,
)
from pipeline.gating import read_gate
from pipeline.protocol import EVENT_FIELDS, Verdict

# --- verdicts --------------------------------------------------------------------------------------------------------


def test_a_better_model_at_the_level_passes() -> None:
    made = decide(given())
    assert made.verdict is Verdict.PASS
    assert (made.rate, made.n, made.threshold) == (119 / 120, 120, 0.95)
    assert made.p is not None
    assert made.p < 1e-10
    assert (made.low, made.high) == stats.wilson_interval(119, 120)
    assert made.rates["base-formatted"].lenient_successes == 40
    assert "119 of 120" in made.reason
    assert "40 → 119 of 120 lenient" in made.reason


def test_a_model_below_the_level_fails_and_the_sentence_names_the_number() -> None:
    made = decide(given(tuned=80))
    assert made.verdict is Verdict.FAIL
    assert "80 of 120 right (66.67 %)" in made.reason
    assert "better than the base (40 → 80" in made.reason


def test_between_failed_and_proven_is_inconclusive() -> None:
    made = decide(given(tuned=113))
    assert made.verdict is Verdict.INCONCLUSIVE
    assert "the rate of 94.17 % is below the required 95 %" in made.reason
    bound = decide(given(tuned=114))
    assert bound.verdict is Verdict.INCONCLUSIVE
    assert "the lower bound of 89.52 % is below the required 92 %" in bound.reason


def test_stopping_is_not_sold_as_following_instructions() -> None:
    made = decide(given(tuned=119, base=0, base_lenient=118))
    assert made.verdict is Verdict.INCONCLUSIVE
    assert "not shown to be better" in made.reason
    strict = next(c for c in made.detail["comparisons"] if c["b"] == "base-formatted strict")
    assert strict["lift"] > 0.9  # reported, but it decides nothing


def test_a_base_that_clears_its_gate_leaves_nothing_to_teach() -> None:
    made = decide(given(tuned=None, base=119, trained=False))
    assert made.verdict is Verdict.NO_HEADROOM
    assert (made.rate, made.p) == (119 / 120, None)
    skipped = given(tuned=None, base=119, trained=False, leaks=None)  # there are no training data to look through
    assert decide(skipped).verdict is Verdict.NO_HEADROOM
    assert decide(given(tuned=120, base=119)).verdict is Verdict.NO_HEADROOM
    assert decide(given(tuned=70, base=119)).verdict is Verdict.FAIL  # trained all the same, and made worse


def test_an_earlier_stage_below_its_level_is_a_regression() -> None:
    kept = EarlierStage(1, 0.9, result("tuned", 119, set_hash="01d"))
    assert decide(given(earlier=(kept,))).verdict is Verdict.PASS
    made = decide(given(earlier=(replace(kept, now=result("tuned", 100, set_hash="01d")),)))
    assert made.verdict is Verdict.REGRESSION
    assert "stage 1's set fell to 83.33 %" in made.reason


def test_a_significant_paired_loss_is_a_regression_even_above_the_level() -> None:
    before, now = result("tuned", 120, set_hash="01d", model="01d"), result("tuned", 108, set_hash="01d")
    made = decide(given(earlier=(EarlierStage(1, 0.5, now, before),)))
    assert made.verdict is Verdict.REGRESSION
    assert "lost 10 %" in made.reason
    assert made.detail["retention"][0]["paired"]["lift"] == pytest.approx(-0.1)
    noise = replace(before, outcomes=(*before.outcomes[:-1], replace(before.outcomes[-1], strict=False)))
    assert decide(given(earlier=(EarlierStage(1, 0.5, result("tuned", 117, set_hash="01d"), noise),))).verdict is (
        Verdict.PASS
    )


def test_every_earlier_set_that_lost_is_noted_not_only_the_one_that_is_named() -> None:
    before = result("tuned", 117, set_hash="01d", model="before")
    fallen = EarlierStage(1, 0.99, result("tuned", 110, set_hash="01d"), before)
    lost = EarlierStage(2, 0.5, result("tuned", 90, set_hash="01d"), before)
    made = decide(given(earlier=(fallen, lost)))
    assert "stage 1's set fell" in made.reason
    assert made.detail["retention"][1]["lost"] is True


MISSING: dict[str, Callable[[], GateInput]] = {
    "no tuned result": lambda: given(tuned=None),
    "no baseline": lambda: with_condition("base-raw", None),
    "an empty result": lambda: with_condition("tuned", result("tuned", 0, n=0)),
    "fewer items than planned": lambda: with_condition("tuned", result("tuned", 119, n=119)),
    "a curtailed baseline": lambda: with_condition(
        "base-raw", replace(result("base-raw", 0, n=100), curtailed=True)
    ),
    "no audit": lambda: given(audit=None),
    "an audit of nothing": lambda: given(audit=Audit(True, 0)),
    "no A/A check": lambda: given(aa=None),
    "an A/A check of nothing": lambda: given(aa=AaCheck(0, 0)),
    "no leak check": lambda: given(leaks=None),
    "an earlier set not measured again": lambda: given(earlier=(EarlierStage(1, 0.9, None),)),
    "training skipped though there is headroom": lambda: given(tuned=None, trained=False),
}  # fmt: skip


@pytest.mark.parametrize("make", MISSING.values(), ids=MISSING.keys())
def test_what_is_absent_is_missing_and_never_success(make: Callable[[], GateInput]) -> None:
    made = decide(make())
    assert made.verdict is Verdict.MISSING
    assert made.p is None
    assert len(made.reason) > 20


INVALID: dict[str, tuple[Callable[[], GateInput], str]] = {
    "leak": (lambda: given(leaks=1), "held-out"),
    "audit failed": (lambda: given(audit=Audit(False, 200, ("copy: 'x' should fail",))), "audit failed"),
    "audit says passed but lists failures": (lambda: given(audit=Audit(True, 200, ("copy",))), "audit failed"),
    "A/A flips": (lambda: given(aa=AaCheck(50, 2)), "disagrees with itself"),
    "precision": (lambda: print_of("tuned", precision="nf4"), "precision"),
    "decoding": (lambda: print_of("tuned", decoding="temperature=0.7"), "decoding"),
    "scorer": (lambda: print_of("base-raw", scorer="2:cafe"), "scorer"),
    "set": (lambda: print_of("base-few-shot", set_hash="0"), "set hash"),
    "filed under the wrong condition": (lambda: print_of("tuned", condition="base-few-shot"), "was made under"),
    "base model swapped": (lambda: print_of("base-raw", model="07he4"), "different models"),
    "adapter not loaded": (lambda: print_of("tuned", model="ba5e"), "adapter was not loaded"),
    "other items": (lambda: with_condition("tuned", other_items()), "different items"),
    "an item twice": (lambda: with_condition("tuned", twice()), "more than once"),
    "more items than planned": (lambda: given(planned=100), "were planned"),
    "an item moved to another family": (lambda: with_condition("tuned", moved()), "another family"),
    "too few wordings": (lambda: few_wordings(), "wordings"),
    "earlier set at another precision": (
        lambda: given(earlier=(EarlierStage(1, 0.5, result("tuned", 119), result("tuned", 119, precision="nf4")),)),
        "precision",
    ),
}


def other_items() -> ConditionResult:
    tuned = result("tuned", 119)
    return replace(tuned, outcomes=(*tuned.outcomes[:-1], replace(tuned.outcomes[-1], item="new")))


def twice() -> ConditionResult:
    tuned = result("tuned", 119)
    return replace(tuned, outcomes=(*tuned.outcomes[:-1], tuned.outcomes[0]))


def moved() -> ConditionResult:
    tuned = result("tuned", 119)
    return replace(tuned, outcomes=(replace(tuned.outcomes[0], family="f7"), *tuned.outcomes[1:]))


def few_wordings() -> GateInput:
    start = given()
    squeezed = {
        name: replace(r, outcomes=tuple(replace(o, template=f"t{int(o.template[1:]) % 9}") for o in r.outcomes))
        for name, r in start.conditions.items()
    }
    return replace(start, conditions=squeezed)


@pytest.mark.parametrize(("make", "said"), INVALID.values(), ids=INVALID.keys())
def test_each_sabotage_makes_the_gate_invalid(make: Callable[[], GateInput], said: str) -> None:
    assert decide(given()).verdict is Verdict.PASS  # the same gate, unharmed
    made = decide(make())
    assert made.verdict is Verdict.INVALID
    assert said in made.reason
    assert made.p is None


def test_missing_outranks_invalid_and_invalid_outranks_regression() -> None:
    lost = EarlierStage(1, 0.99, result("tuned", 50))
    assert decide(given(leaks=1, audit=None, earlier=(lost,))).verdict is Verdict.MISSING
    assert decide(given(leaks=1, earlier=(lost,))).verdict is Verdict.INVALID
    assert decide(given(base=119, earlier=(lost,))).verdict is Verdict.REGRESSION


def test_only_pass_and_no_headroom_advance() -> None:
    assert {v for v in Verdict if v.advances} == {Verdict.PASS, Verdict.NO_HEADROOM}
    for made in (decide(given()), decide(given(tuned=80)), decide(given(leaks=1)), decide(given(aa=None))):
        assert made.as_dict()["advances"] is (made.verdict is Verdict.PASS)


@pytest.mark.parametrize("make", [given, lambda: given(tuned=113), lambda: given(leaks=1), lambda: given(tuned=None)])
def test_a_decision_survives_its_file_and_holds_the_event(make: Callable[[], GateInput]) -> None:
    made = decide(make())
    raw = json.loads(json.dumps(made.as_dict(), allow_nan=False))
    assert Decision.from_dict(raw).as_dict() == raw
    assert set(EVENT_FIELDS["gate"]) <= set(raw)
    assert decide(make()) == made


@pytest.mark.parametrize("decides", [True, False])
def test_the_event_says_whether_the_threshold_decides(tmp_path: Path, decides: bool) -> None:
    made = decide(replace(given(), level_decides=decides))
    for path in (tmp_path / "stage-1" / "gate.json", tmp_path / "stage-1" / "gate" / "gate.json"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made.as_dict()))
    event = read_gate(tmp_path / "stage-1" / "gate.json", 1).as_event()
    assert (event["level_decides"], event["threshold"]) == (decides, made.threshold)


# --- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("threshold", "allowed", "strict", "chances", "strict_chances"),
    [
        (0.95, 25, 15, [0.04, 0.20, 0.55, 0.89, 0.99, 1.00], [0.15, 0.57, 0.95]),
        (0.90, 50, 36, [0.09, 0.26, 0.54, 0.81, 0.95, 0.99], [0.09, 0.29, 0.61]),
        (0.85, 73, 59, [0.08, 0.22, 0.43, 0.68, 0.87, 0.97], [0.09, 0.24, 0.48]),
        (0.80, 96, 82, [0.07, 0.18, 0.35, 0.57, 0.78, 0.91], [0.08, 0.19, 0.39]),
    ],
)
def test_the_level_rule_gives_the_design_table(
    threshold: float, allowed: int, strict: int, chances: list[float], strict_chances: list[float]
) -> None:
    assert gates.allowed_failures(500, LevelRule(threshold)) == allowed
    assert gates.allowed_failures(500, LevelRule(threshold, rule="strict")) == strict
    for lift, chance in zip((-0.02, -0.01, 0, 0.01, 0.02, 0.03), chances, strict=True):
        assert stats.binomial_cdf(allowed, 500, 1 - threshold - lift) == pytest.approx(chance, abs=0.0075)
    for lift, chance in zip((0.01, 0.02, 0.03), strict_chances, strict=True):
        assert stats.binomial_cdf(strict, 500, 1 - threshold - lift) == pytest.approx(chance, abs=0.0075)


@pytest.mark.parametrize(
    ("n", "failures"), [(60, -1), (100, 0), (200, 3), (300, 7), (500, 15), (541, 17), (1000, 36), (2000, 80)]
)
def test_the_strict_rule_allows_what_the_design_says(n: int, failures: int) -> None:
    assert gates.allowed_failures(n, LevelRule(0.95, rule="strict")) == failures


def test_items_of_one_wording_count_for_less() -> None:
    level = LevelRule(0.95)
    assert level.met(480, 500)
    assert not level.met(480, 500, design_effect=3.0)


def five_a_wording(wrong: set[int]) -> GateInput:
    """600 items in 120 wordings of five (items i, i + 120, ...); the tuned model fails on the items `wrong`."""
    names = ("base-raw", "base-formatted", "base-few-shot")
    tuned = result("tuned", 600, n=600)
    answers = tuple(replace(o, strict=i not in wrong) for i, o in enumerate(tuned.outcomes))
    conditions = {**{n: result(n, 0, 100, n=600) for n in names}, "tuned": replace(tuned, outcomes=answers)}
    return given(planned=600, conditions=conditions)


def test_failures_that_share_wordings_widen_the_bounds_of_the_verdict() -> None:
    spread, bunched = set(range(20)), {w + 120 * k for w in range(4) for k in range(5)}
    assert decide(five_a_wording(spread)).verdict is Verdict.PASS
    assert decide(five_a_wording(bunched)).verdict is Verdict.INCONCLUSIVE
    spread, bunched = set(range(42)), {w + 120 * k for w in range(9) for k in range(5)} - {0, 1, 2}
    assert decide(five_a_wording(spread)).verdict is Verdict.FAIL
    assert decide(five_a_wording(bunched)).verdict is Verdict.INCONCLUSIVE


def test_every_comparison_is_reported_with_its_items() -> None:
    made = decide(given(tuned=100))
    labels = [(c["a"], c["b"]) for c in made.detail["comparisons"]]
    assert labels[0] == ("tuned lenient", "base-formatted lenient")
    assert len(labels) == 7
    first = made.detail["comparisons"][0]
    assert first["only_a"] == [f"i{i}" for i in range(40, 100)]
    assert first["only_b"] == []
    assert first["p"] == max(first["mcnemar"]["p_value"], first["sign_flip_p"])
    assert first["low"] < first["lift"] == 0.5 < first["high"]
    assert 0 < first["mde"] < 0.5
    assert first["cohens_h"] > 0
    families = made.detail["families"]
    assert [f["family"] for f in families] == [f"f{i}" for i in range(FAMILIES)]
    assert sum(f["successes_a"] for f in families) == 100


def test_wordings_that_move_together_are_not_counted_item_by_item() -> None:
    whole = result("tuned", 0)
    won = tuple(replace(o, template=f"t{i // 30}", lenient=i < 60) for i, o in enumerate(whole.outcomes))
    lost = tuple(replace(o, lenient=False) for o in won)
    flat = tuple(replace(o, family="f") for o in won), tuple(replace(o, family="f") for o in lost)
    tuned, base = replace(whole, outcomes=flat[0]), replace(result("base-raw", 0), outcomes=flat[1])
    found = compare(Side(tuned, "lenient"), Side(base, "lenient"), draws=0)
    assert found.mcnemar.p_value < 1e-10
    assert found.p == 0.5  # two wordings of four, both ways


def test_a_model_that_became_worse_does_not_pass_however_significant_that_is() -> None:
    base, tuned = result("base-formatted", 0, 600, n=600), result("tuned", 578, n=600)
    rest = {name: result(name, 0, n=600) for name in ("base-raw", "base-few-shot")}
    made = decide(given(planned=600, conditions={**rest, "base-formatted": base, "tuned": tuned}))
    assert made.p is not None
    assert made.p < 1e-4
    assert made.verdict is Verdict.INCONCLUSIVE
    assert "the model is worse than the base" in made.reason


def test_a_family_that_did_not_move_is_not_significant() -> None:
    tuned, base = result("tuned", 120), result("base-formatted", 0)
    same = tuple(replace(o, lenient=False) if o.family == "f3" else o for o in tuned.outcomes)
    table = family_table(Side(replace(tuned, outcomes=same), "lenient"), Side(base, "lenient"))
    assert [row["family"] for row in table if not row["significant"]] == ["f3"]


def test_comparing_unlike_evaluations_raises() -> None:
    with pytest.raises(IncomparableError, match="nf4 and bf16"):
        compare(Side(result("tuned", 5, precision="nf4"), "strict"), Side(result("base-raw", 5), "strict"))


def test_a_fingerprint_reads_structured_settings_as_one_text() -> None:
    raw = {**PRINT.as_dict(), "decoding": {"b": 1, "a": 2}}
    assert Fingerprint.from_dict(raw) == Fingerprint.from_dict({**raw, "decoding": {"a": 2, "b": 1}})
    with pytest.raises(KeyError):
        Fingerprint.from_dict({k: v for k, v in raw.items() if k != "model"})

"""A curtailed evaluation advances exactly when the full one does, whatever the answers still to come."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from gate_tools import N, given, result, with_condition
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from pipeline import stats
from pipeline.comparisons import ItemOutcome
from pipeline.curtailment import Curtailment
from pipeline.gates import GateInput, LevelRule, allowed_failures, decide
from pipeline.protocol import Verdict

LEVEL = LevelRule(0.6, margin=0.4)  # met by 4 of 6 items and by no fewer
ALPHA = 0.2  # 6 items can show no less than p = 1/32


def outcome(i: int, right: bool, clusters: int) -> ItemOutcome:
    return ItemOutcome(f"i{i}", "f", f"t{i % clusters}", right, right)


def outcomes(rights: tuple[bool, ...], clusters: int) -> tuple[ItemOutcome, ...]:
    return tuple(outcome(i, right, clusters) for i, right in enumerate(rights))


def advances(tuned: tuple[bool, ...], other: tuple[bool, ...], clusters: int, rule: Curtailment) -> bool:
    """The rule of the gate in a few lines of its own: level by design effect, then both paired tests."""
    names = [i % clusters for i in range(len(tuned))]
    if rule.level and not rule.level.met(sum(tuned), len(tuned), stats.design_effect(tuned, names)):
        return False
    if rule.other is None:
        return True
    gaps = [a - b for a, b in zip(tuned, other, strict=True)]
    sums = [sum(g for g, c in zip(gaps, names, strict=True) if c == name) for name in range(clusters)]
    p = max(stats.mcnemar(gaps.count(1), gaps.count(-1)).p_value, stats.sign_flip_test(sums))
    return sum(gaps) > 0 and p < rule.alpha


def stop_at(rule: Curtailment, done: tuple[ItemOutcome, ...]) -> int:
    """How many items are seen before the rule settles the matter; all of them when it never does."""
    return next((k for k in range(1, len(done) + 1) if rule.settled(done[:k])), len(done))


@pytest.mark.parametrize("level", [LEVEL, None], ids=["level", "no level"])
@pytest.mark.parametrize("clusters", [6, 3])
@pytest.mark.parametrize("others", [(True,) + (False,) * 5, (False,) * 6, None], ids=["one", "none", "base clears"])
def test_no_continuation_of_a_settled_evaluation_advances(
    level: LevelRule | None, clusters: int, others: tuple[bool, ...] | None
) -> None:
    beaten = {o.item: o for o in outcomes(others, clusters)} if others else None
    rule = Curtailment(6, level, beaten, "strict", ALPHA)
    settled = advanced = 0
    for rights in product((False, True), repeat=6):
        done = outcomes(rights, clusters)
        full = advances(rights, others or (False,) * 6, clusters, rule)
        stop = stop_at(rule, done)
        advanced += full
        if rule.settled(done[:stop]):
            settled += stop < 6
            assert not full
    assert settled or (level is None and others is None)
    assert advanced or (clusters == 3 and others is not None)  # three wordings never show p < 0.2


def test_every_end_is_settled_or_advances_with_independent_items() -> None:
    beaten = {o.item: o for o in outcomes((False,) * 6, 6)}
    rule = Curtailment(6, LEVEL, beaten, "strict", ALPHA)
    for rights in product((False, True), repeat=6):
        settled = bool(rule.settled(outcomes(rights, 6)))
        assert settled != advances(rights, (False,) * 6, 6, rule)


@settings(max_examples=80, deadline=None)
@draw(st.data(), st.integers(20, 60), st.sampled_from([0.02, 0.1]), st.booleans())
def test_settled_is_never_undone_by_any_further_answers(
    data: st.DataObject, n: int, alpha: float, with_level: bool
) -> None:
    seed = data.draw(st.integers(0, 10**6))
    rng = np.random.default_rng(seed)
    clusters = int(rng.integers(4, n + 1))
    other = tuple(bool(x) for x in rng.random(n) < rng.random())
    right = tuple(bool(x) for x in rng.random(n) < rng.random())
    level = LevelRule(float(rng.uniform(0.3, 0.9)), 0.2) if with_level else None
    rule = Curtailment(n, level, {o.item: o for o in outcomes(other, clusters)}, "strict", alpha)
    stop = stop_at(rule, outcomes(right, clusters))
    if not rule.settled(outcomes(right, clusters)[:stop]):
        return
    rest = n - stop
    for ending in ((True,) * rest, (False,) * rest, tuple(bool(x) for x in rng.random(rest) < 0.8)):
        assert not advances((*right[:stop], *ending), other, clusters, rule)


def shuffled(rng: np.random.Generator, rate: float) -> tuple[ItemOutcome, ...]:
    order, right = rng.permutation(N), rng.random(N) < rate
    whole = result("tuned", 0).outcomes
    return tuple(replace(whole[i], strict=bool(right[i]), lenient=bool(right[i])) for i in order)


def gate(kind: str) -> GateInput:
    """A gate of 120 items, with the tuned result still to be filled in."""
    if kind == "previous":
        start = given(better_than="previous", draws=0)
        return replace(start, conditions={**start.conditions, "previous": result("previous", 104, model="9re7")})
    if kind == "no level":
        return replace(gate("previous"), level_decides=False)
    if kind == "strong base":
        return given(base_lenient=116, draws=0)
    return given(base=119, base_lenient=119, draws=0) if kind == "base clears" else given(draws=0)


@pytest.mark.parametrize("kind", ["base", "strong base", "base clears", "previous", "no level"])
def test_a_curtailed_gate_advances_exactly_when_the_full_one_does(kind: str) -> None:
    rng, start, verdicts, saved = np.random.default_rng(11), gate(kind), set(), 0
    rule = Curtailment.of_gate(
        N, start.level, start.conditions, start.better_than, start.level_decides, start.alpha
    )  # fmt: skip
    for _ in range(10):
        done = shuffled(rng, float(rng.choice([0.7, 0.9, 0.97, 1.0])))
        stop = stop_at(rule, done)
        saved += N - stop
        whole, part = (replace(result("tuned", 0), outcomes=o, curtailed=len(o) < N) for o in (done, done[:stop]))
        full, short = (decide(replace(start, conditions={**start.conditions, "tuned": t})) for t in (whole, part))
        assert full.verdict.advances == short.verdict.advances
        assert stop == N or short.detail["curtailed"]
        verdicts.add(full.verdict.advances)
    assert saved > 0
    assert verdicts == ({True, False} if kind != "strong base" else {False})


def test_a_curtailed_evaluation_gives_the_verdict_and_no_interval() -> None:
    stopped = result("tuned", 20, n=60)
    made = decide(with_condition("tuned", replace(stopped, curtailed=True)))
    assert made.verdict is Verdict.FAIL
    assert (made.low, made.high, made.n) == (None, None, 60)
    assert (made.rates["tuned"].low, made.rates["tuned"].high) == (0.0, 1.0)
    assert {(c["low"], c["high"]) for c in made.detail["comparisons"]} == {(None, None)}
    unfinished = replace(result("tuned", 100, n=100), curtailed=True)  # perfect so far is not a pass
    assert decide(with_condition("tuned", unfinished)).verdict is Verdict.INCONCLUSIVE
    near = replace(result("tuned", 70, n=73), curtailed=True)
    assert decide(with_condition("tuned", near)).verdict is Verdict.INCONCLUSIVE


def test_a_weak_model_is_stopped_early_and_the_reason_names_the_count() -> None:
    """A true 80 % model against 25 allowed failures ends after about 130 of 500 items."""
    rng, level = np.random.default_rng(1), LevelRule(0.95)
    rule = Curtailment(500, level, None, "lenient")
    assert allowed_failures(500, level) == 25
    stops = []
    for _ in range(100):
        wrong = np.flatnonzero(rng.random(500) >= 0.8)
        stops.append(int(wrong[25]) + 1)
    assert float(np.mean(stops)) == pytest.approx(130, abs=6)
    done = tuple(replace(outcome(i, i >= 26, 500), lenient=True) for i in range(60))
    assert rule.settled(done[:25]) == ""
    assert rule.settled(done[:26]) == "26 failures in 26 items, at most 25 of 500 are allowed"


def test_a_base_that_cannot_be_beaten_is_noticed_before_the_end() -> None:
    base = result("base-formatted", 60, N - 4)
    rule = Curtailment.of_gate(N, LevelRule(0.95), {"base-formatted": base})
    said = rule.settled(result("tuned", 10).outcomes[:10])
    assert "even with every remaining item right p would be 0.12, not below 0.01" in said
    whole = Curtailment.of_gate(N, LevelRule(0.95), {"base-formatted": result("base-formatted", 60, N)})
    assert "it wins 0 items and loses 0" in whole.settled(result("tuned", 10).outcomes[:1])


def test_what_is_to_be_beaten_must_be_measured_in_full_first() -> None:
    with pytest.raises(ValueError, match="119 of 120"):
        Curtailment.of_gate(N, LevelRule(0.95), {"base-formatted": result("base-formatted", 5, n=119)})
    with pytest.raises(KeyError):
        Curtailment.of_gate(N, LevelRule(0.95), {"base-formatted": result("base-formatted", 5)}, "previous")
    rule = Curtailment.of_gate(N, LevelRule(0.95), {"base-formatted": result("base-formatted", 5)})
    assert rule.settled(()) == ""
    with pytest.raises(ValueError, match="twice"):
        rule.settled(result("tuned", 5).outcomes[:3] * 2)
    with pytest.raises(ValueError, match="does not hold"):
        rule.settled([ItemOutcome("stranger", "f", "t", True, True)])

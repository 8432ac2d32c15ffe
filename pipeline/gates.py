"""Whether a stage may hand its model on: measured outcomes in, one verdict with its numbers and its reason out.

Pure and without files; the gate step reads the run directory, calls `decide` and writes `gate.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline import stats
from pipeline.comparisons import (
    Comparison,
    ConditionResult,
    Fingerprint,
    IncomparableError,
    ItemOutcome,
    Scoring,
    Side,
    compare,
    family_table,
    require_alike,
    require_comparable,
)
from pipeline.gate_input import (
    BASE,
    NEAR,
    PREVIOUS,
    TUNED,
    AaCheck,
    Audit,
    BetterThan,
    EarlierStage,
    GateInput,
    LevelRule,
    allowed_failures,
    deciding_side,
    no_headroom,
    pct,
)
from pipeline.protocol import CONDITIONS, OPTIONAL_CONDITIONS, Rate, Verdict

__all__ = [
    "BASE", "PREVIOUS", "TUNED", "AaCheck", "Audit", "BetterThan", "Comparison", "ConditionResult", "Decision",
    "EarlierStage", "Fingerprint", "GateInput", "IncomparableError", "ItemOutcome", "LevelRule", "allowed_failures",
    "decide", "deciding_side", "no_headroom", "require_comparable",
]  # fmt: skip

_SCORINGS: tuple[Scoring, ...] = ("strict", "lenient")


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and what it rests on. `rate`, `low`, `high` are strict, of the tuned model (of base-formatted where
    nothing was trained); the bounds are Wilson 95 % on n / design effect and None for a curtailed evaluation. `p`
    is that of the deciding paired test, the first of `detail["comparisons"]`. `detail` holds every test, JSON-able."""

    stage: int
    name: str
    attempt: int
    verdict: Verdict
    reason: str
    rate: float | None
    low: float | None
    high: float | None
    threshold: float
    p: float | None
    n: int | None
    rates: Mapping[str, Rate]
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The content of `gate.json`."""
        body = {name: getattr(self, name) for name in Decision.__slots__}
        rates = {condition: rate.as_dict() for condition, rate in self.rates.items()}
        return {**body, "verdict": self.verdict.value, "advances": self.verdict.advances, "rates": rates}

    @staticmethod
    def from_dict(raw: Mapping[str, Any]) -> Decision:
        body = {name: raw[name] for name in Decision.__slots__}
        rates = {condition: Rate.from_dict(rate) for condition, rate in raw["rates"].items()}
        return Decision(**{**body, "verdict": Verdict(raw["verdict"]), "rates": rates})


def decide(given: GateInput) -> Decision:
    """The verdict: the first that applies of MISSING, INVALID, REGRESSION, NO_HEADROOM, PASS, FAIL, INCONCLUSIVE."""
    missing = next(_missing(given), None)
    if missing:
        return _decision(given, Verdict.MISSING, missing)
    try:
        invalid = next(_invalid(given), None)
    except IncomparableError as error:
        invalid = str(error)
    if invalid:
        return _decision(given, Verdict.INVALID, invalid)
    tests = _tests(given)
    regression = next(_regressions(given, tests), None)
    if regression:
        return _decision(given, Verdict.REGRESSION, regression, tests)
    return _judge(given, tests)


# --- the order of verdicts -------------------------------------------------------------------------------------------


def _missing(given: GateInput) -> Iterator[str]:
    for condition in _needed(given):
        result = given.conditions.get(condition)
        if result is None or not result.trials:
            yield f"there is no result for {condition}; evaluate it"
        elif result.trials < given.planned and not (result.curtailed and condition == TUNED):
            yield f"{condition} has {result.trials} of {given.planned} planned items; resume the evaluation"
    if given.audit is None or given.audit.fixtures < 1:
        yield "the scorers were not audited against their labelled fixtures"
    if given.aa is None or given.aa.items < 1:
        yield "the A/A check (the base against itself) was not run"
    if given.trained and given.leaks is None:
        yield "the training data were not checked against the held-out set"
    for earlier in given.earlier:
        yield from _missing_earlier(earlier)
    if not given.trained and not given.level_decides:
        yield "nothing was trained, but this gate has no level that a base could clear; train the stage"
    elif not given.trained and not no_headroom(given.conditions[BASE], given.level):
        yield "nothing was trained although the base leaves headroom; train the stage"


def _needed(given: GateInput) -> list[str]:
    """Conditions that must be there, in the order shown."""
    optional = OPTIONAL_CONDITIONS - ({deciding_side(given.better_than)[0]} if given.trained else set())
    return [c for c in CONDITIONS if c not in optional and (given.trained or c != TUNED)]


def _missing_earlier(earlier: EarlierStage) -> Iterator[str]:
    now = earlier.now
    if now is None or not now.trials:
        yield f"stage {earlier.stage}'s held-out set was not evaluated again"
    elif now.curtailed and earlier.planned is None:
        yield f"stage {earlier.stage}'s held-out set was curtailed, but how many items were planned is not known"
    elif earlier.planned is not None and now.trials < earlier.planned and not now.curtailed:
        yield f"stage {earlier.stage}'s held-out set has {now.trials} of {earlier.planned} planned items; resume it"


def _invalid(given: GateInput) -> Iterator[str]:
    """Each cause in words; comparing may raise IncomparableError, which is one as well."""
    assert given.audit is not None
    assert given.aa is not None
    if given.leaks:
        yield f"{given.leaks} training rows touch the held-out set; remove them and train again"
    if not given.audit.passed or given.audit.failures:
        first = f", first {given.audit.failures[0]}" if given.audit.failures else ""
        yield f"the scorer audit failed ({len(given.audit.failures)} of {given.audit.fixtures} fixtures{first})"
    if given.aa.flips > given.aa_flip_limit * given.aa.items:
        yield f"the base disagrees with itself on {given.aa.flips} of {given.aa.items} items (A/A check)"
    base = given.conditions[BASE]
    for condition, result in ((c, r) for c, r in given.conditions.items() if r.trials):
        if result.fingerprint.condition != condition or result.condition != condition:
            yield f"the result filed as {condition} was made under {result.fingerprint.condition}"
        if len(result.by_item) != result.trials:
            yield f"{condition} holds an item more than once"
        if result.trials > given.planned:
            yield f"{condition} has {result.trials} items where {given.planned} were planned"
        require_comparable(result, base)
        if condition.startswith("base-") and result.fingerprint.model != base.fingerprint.model:
            yield f"{condition} and {BASE} were made by different models"
    tuned = given.conditions.get(TUNED)
    for condition, name in ((BASE, "base"), (PREVIOUS, "previous")):
        other = given.conditions.get(condition)
        if tuned is not None and other is not None and tuned.fingerprint.model == other.fingerprint.model:
            yield f"the tuned result was made by the {name} model: the adapter was not loaded"
    yield from _thin_families(given, base)
    for earlier in given.earlier:
        yield from _invalid_earlier(earlier, base, tuned)


def _invalid_earlier(earlier: EarlierStage, base: ConditionResult, tuned: ConditionResult | None) -> Iterator[str]:
    now, named = earlier.now, f"stage {earlier.stage}'s set"
    assert now is not None
    for other in (earlier.before, earlier.base):
        if other is not None:
            require_comparable(now, other)
    require_alike(now, base, ("precision", "decoding", "scorer"))
    if len(now.by_item) != now.trials or (earlier.planned is not None and now.trials > earlier.planned):
        yield f"{named} holds an item more than once or more items than were planned"
    if tuned is not None and now.fingerprint.model != tuned.fingerprint.model:
        yield f"{named} was not evaluated with the model that is to be judged"
    if tuned is not None and earlier.before is not None and now.fingerprint.model == earlier.before.fingerprint.model:
        yield f"{named} before and after the stage was made by one model"
    if earlier.base is not None and earlier.base.fingerprint.model != base.fingerprint.model:
        yield f"{named} and {BASE} were measured on different base models"


def _thin_families(given: GateInput, base: ConditionResult) -> Iterator[str]:
    items = Counter(o.family for o in base.outcomes)
    wordings = Counter(family for family, _ in {o.cluster for o in base.outcomes})
    for family, count in sorted(items.items()):
        if wordings[family] < min(given.min_templates, count):
            yield (
                f"family {family} has {wordings[family]} wordings for {count} items, fewer than "
                f"{min(given.min_templates, count)}: its items are not independent enough"
            )


def _regressions(given: GateInput, tests: dict[str, Any]) -> Iterator[str]:
    """Fills `tests["retention"]` while it looks."""
    kept: list[dict[str, Any]] = []
    tests["retention"] = kept
    said = []
    for earlier in given.earlier:
        assert earlier.now is not None
        trials = earlier.planned if earlier.now.curtailed and earlier.planned else earlier.now.trials
        rate = earlier.now.successes("strict") / trials
        entry: dict[str, Any] = {"stage": earlier.stage, "level": earlier.level, **earlier.now.rate().as_dict()}
        if rate + NEAR < earlier.level:
            said.append(f"stage {earlier.stage}'s set fell to {pct(rate)}, below the {pct(earlier.level)} it must keep")
        if earlier.before is not None:
            now, before = Side(earlier.now, "strict"), Side(earlier.before, "strict")
            loss = compare(now, before, given.alpha, given.draws or 1000, given.seed)
            entry["paired"] = loss.as_dict()
            entry["lost"] = loss.high is not None and loss.high < -earlier.delta
            if loss.high is not None and entry["lost"]:
                bound = f"at least {pct(-loss.high)} with 95 % confidence"
                said.append(f"stage {earlier.stage}'s set lost {pct(-loss.lift)} ({bound})")
        if earlier.base is not None:
            now, base = Side(earlier.now, "lenient"), Side(earlier.base, "lenient")
            entry["base"] = earlier.base.rate().as_dict()
            entry["over_base"] = compare(now, base, given.alpha, given.draws, given.seed).as_dict()
        kept.append(entry)
    yield from said


def _judge(given: GateInput, tests: dict[str, Any]) -> Decision:
    base, tuned = given.conditions[BASE], given.conditions.get(TUNED)
    nothing = f"nothing to teach: {BASE} already has {_of(base.successes('strict'), base.trials)}"
    if tuned is None:
        return _decision(given, Verdict.NO_HEADROOM, nothing, tests)
    gain: dict[str, Any] = tests["comparisons"][0]
    better, worse = (gain["p"] < given.alpha and sign * gain["lift"] > 0 for sign in (1, -1))
    level = _of(tuned.successes("strict"), tuned.trials)
    if not given.level_decides:
        return _judge_improvement(given, tests, level, better, worse)
    # Unseen items of a curtailed evaluation count as failures here: exact, since it only stops once it cannot pass.
    short = given.level.shortfall(tuned.successes("strict"), given.planned, tuned.design_effect)
    if no_headroom(base, given.level) and not short:
        return _decision(given, Verdict.NO_HEADROOM, f"{nothing}; tuned {level}", tests)
    wanted, lift = pct(given.level.threshold), _lift(gain)
    if not short and better:
        return _decision(given, Verdict.PASS, f"{level} meets {wanted}; {lift}", tests)
    _, high = stats.effective_wilson(tuned.successes("strict"), tuned.trials, tuned.design_effect)
    words = _improvement(given.better_than, better, worse)
    if high < given.level.threshold:
        reason = f"{level}: even the upper bound of {pct(high)} is below the required {wanted}; {words} ({lift})"
        return _decision(given, Verdict.FAIL, reason, tests)
    reason = f"{level} meets the level, but the model is {words} at p < {given.alpha:g} ({lift})"
    if short:
        reason = f"{level}: {short}; {words} ({lift})"
    return _decision(given, Verdict.INCONCLUSIVE, reason, tests)


def _judge_improvement(given: GateInput, tests: dict[str, Any], level: str, better: bool, worse: bool) -> Decision:
    """A gate without a level: better passes, worse fails, anything between is not proven either way."""
    verdict = Verdict.PASS if better else Verdict.FAIL if worse else Verdict.INCONCLUSIVE
    words = f"{_improvement(given.better_than, better, worse)} at p < {given.alpha:g}"
    kept = f"; {len(given.earlier)} earlier sets kept" if given.earlier else ""
    return _decision(given, verdict, f"{words} ({_lift(tests['comparisons'][0])}); {level}{kept}", tests)


def _improvement(better_than: BetterThan, better: bool, worse: bool) -> str:
    other = "the base" if better_than == "base" else "the previous stage"
    start = "better than" if better else "worse than" if worse else "not shown to be better than"
    return f"{start} {other}"


# --- numbers ---------------------------------------------------------------------------------------------------------


def _tests(given: GateInput) -> dict[str, Any]:
    """All comparisons of the tuned model; the first is the one that decides."""
    tuned = given.conditions.get(TUNED)
    if tuned is None:
        return {}
    condition, scoring = deciding_side(given.better_than)
    main = Side(tuned, scoring), Side(given.conditions[condition], scoring)
    pairs = [main, (Side(tuned, "lenient"), Side(given.conditions[BASE], "lenient"))]
    pairs += [
        (Side(tuned, "strict"), Side(_present(given)[c], scored))
        for c in _present(given)
        if c != TUNED
        for scored in _SCORINGS
    ]
    draws = 0 if tuned.curtailed else given.draws  # a curtailed rate is biased: no interval
    unique = {(a.label, b.label): (a, b) for a, b in pairs}
    found = [compare(a, b, given.alpha, draws, given.seed).as_dict() for a, b in unique.values()]
    return {"comparisons": found, "families": family_table(*main, given.fdr), "fdr": given.fdr}


def _present(given: GateInput) -> dict[str, ConditionResult]:
    """The measured conditions in the order shown."""
    return {c: given.conditions[c] for c in CONDITIONS if c in given.conditions and given.conditions[c].trials}


def _decision(given: GateInput, verdict: Verdict, reason: str, tests: Mapping[str, Any] | None = None) -> Decision:
    present = _present(given)
    if given.attempt > 1:
        reason = f"attempt {given.attempt}: {reason}"
    shown = present.get(TUNED) or (present.get(BASE) if not given.trained else None)
    rate = low = high = None
    if shown is not None:
        rate = shown.successes("strict") / shown.trials
        if not shown.curtailed:
            low, high = stats.effective_wilson(shown.successes("strict"), shown.trials, shown.design_effect)
    gain = tests["comparisons"][0] if tests and tests.get("comparisons") else None
    return Decision(
        stage=given.stage, name=given.name, attempt=given.attempt, verdict=verdict, reason=reason, rate=rate, low=low,
        high=high, threshold=given.level.threshold, p=gain["p"] if gain else None,
        n=shown.trials if shown is not None else None,
        rates={condition: result.rate() for condition, result in present.items()},
        detail={**_facts(given, shown), **(tests or {})},
    )  # fmt: skip


def _facts(given: GateInput, shown: ConditionResult | None) -> dict[str, Any]:
    audit, aa = given.audit, given.aa
    return {
        "rule": given.level.rule,
        "margin": given.level.margin,
        "level_decides": given.level_decides,
        "better_than": given.better_than,
        "alpha": given.alpha,
        "planned": given.planned,
        "trained": given.trained,
        "design_effect": shown.design_effect if shown is not None else None,
        "templates": len({o.cluster for o in shown.outcomes}) if shown is not None else None,
        "curtailed": shown.curtailed if shown is not None else None,
        "allowed_failures": allowed_failures(given.planned, given.level),
        "leaks": given.leaks,
        "audit": {"passed": audit.passed, "fixtures": audit.fixtures, "failures": list(audit.failures)}
        if audit
        else None,
        "aa": {"items": aa.items, "flips": aa.flips} if aa else None,
        "fingerprints": {condition: result.fingerprint.as_dict() for condition, result in given.conditions.items()},
    }


def _lift(gain: Mapping[str, Any]) -> str:
    scoring = gain["a"].rpartition(" ")[2]
    return f"{gain['successes_b']} → {gain['successes_a']} of {gain['n']} {scoring}, p = {gain['p']:.2g}"


def _of(successes: int, trials: int) -> str:
    return f"{successes} of {trials} right ({pct(successes / trials)})"

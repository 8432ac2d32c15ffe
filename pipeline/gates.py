"""Whether a stage may hand its model on: measured outcomes in, one verdict with its numbers and its reason out.

Pure and without files; the gate step reads the run directory, calls `decide` and writes `gate.json`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline import stats
from pipeline.comparisons import (
    Comparison,
    ConditionResult,
    Fingerprint,
    IncomparableError,
    ItemOutcome,
    Side,
    compare,
    family_table,
    require_comparable,
)
from pipeline.protocol import CONDITIONS, Rate, Verdict

__all__ = [
    "AaCheck", "Audit", "Comparison", "ConditionResult", "Decision", "EarlierStage", "Fingerprint", "GateInput",
    "IncomparableError", "ItemOutcome", "LevelRule", "allowed_failures", "decide", "no_headroom", "require_comparable",
]  # fmt: skip

BASE, TUNED = "base-formatted", "tuned"
_NEAR = 1e-12  # 0.95 * 500 must count as 475


@dataclass(frozen=True, slots=True)
class LevelRule:
    """The level part of the rule. `default`: rate >= threshold and Wilson lower bound >= threshold - margin.
    `strict`: the lower bound itself reaches the threshold. Bounds are two-sided 95 %, by design effect."""

    threshold: float
    margin: float = 0.03
    rule: Literal["default", "strict"] = "default"

    def met(self, successes: int, trials: int, design_effect: float = 1.0) -> bool:
        return trials > 0 and not self.shortfall(successes, trials, design_effect)

    def shortfall(self, successes: int, trials: int, design_effect: float = 1.0) -> str:
        """Which number falls short, in words; empty when none does."""
        rate = successes / trials if trials else 0.0
        low, _ = stats.effective_wilson(successes, trials, design_effect)
        wanted = self.threshold if self.rule == "strict" else self.threshold - self.margin
        if rate + _NEAR < self.threshold:
            return f"the rate of {_pct(rate)} is below the required {_pct(self.threshold)}"
        if low + _NEAR < wanted:
            return f"the lower bound of {_pct(low)} is below the required {_pct(wanted)}"
        return ""


@dataclass(frozen=True, slots=True)
class Audit:
    """The scorers against their labelled fixtures."""

    passed: bool
    fixtures: int
    failures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AaCheck:
    """The base evaluated twice: how many of the items changed their outcome."""

    items: int
    flips: int


@dataclass(frozen=True, slots=True)
class EarlierStage:
    """An earlier stage's held-out set under the present model. `level` is the rate it must keep; `before` (optional)
    is the same set under the previous model: a loss is significant when the upper bound of the difference is < -delta.
    """

    stage: int
    level: float
    now: ConditionResult | None
    before: ConditionResult | None = None
    delta: float = 0.02


@dataclass(frozen=True, slots=True)
class GateInput:
    """Everything a verdict may depend on. None means "there is no such result", never "fine"."""

    stage: int
    name: str
    planned: int  # items of the frozen set
    level: LevelRule
    conditions: Mapping[str, ConditionResult]
    audit: Audit | None
    aa: AaCheck | None
    leaks: int | None  # training rows that touch a held-out item
    earlier: tuple[EarlierStage, ...] = ()
    attempt: int = 1
    alpha: float = 0.01
    trained: bool = True  # False: training was skipped because the base left no headroom
    min_templates: int = 10  # a family; a family with fewer items needs one wording an item
    aa_flip_limit: float = 0.02  # share of A/A items that may flip
    fdr: float = 0.10
    draws: int = 10_000
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict and what it rests on. `rate`, `low`, `high` are strict, of the tuned model (of base-formatted where
    nothing was trained); the bounds are Wilson 95 % on n / design effect and None for a curtailed evaluation. `p`
    compares tuned with base-formatted, both lenient. `detail` holds every test, JSON-able."""

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


def allowed_failures(trials: int, level: LevelRule) -> int:
    """Most failures with which the level is still met by independent items; -1 when even none would do."""
    failures = -1
    while failures < trials and level.met(trials - failures - 1, trials):
        failures += 1
    return failures


def no_headroom(base_formatted: ConditionResult, level: LevelRule) -> bool:
    """Whether the untrained base already meets the level on the training format's prompt surface."""
    return level.met(base_formatted.successes("strict"), base_formatted.trials, base_formatted.design_effect)


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
    needed = [*(c for c in CONDITIONS if c != TUNED), *([TUNED] if given.trained else [])]
    for condition in needed:
        result = given.conditions.get(condition)
        if result is None or not result.trials:
            yield f"there is no result for {condition}; evaluate it"
        elif result.trials < given.planned and not (result.curtailed and condition == TUNED):
            yield f"{condition} has {result.trials} of {given.planned} planned items; resume the evaluation"
    if given.audit is None or given.audit.fixtures < 1:
        yield "the scorers were not audited against their labelled fixtures"
    if given.aa is None or given.aa.items < 1:
        yield "the A/A check (the base against itself) was not run"
    if given.leaks is None:
        yield "the training data were not checked against the held-out set"
    for earlier in given.earlier:
        if earlier.now is None or not earlier.now.trials:
            yield f"stage {earlier.stage}'s held-out set was not evaluated again"
    if not given.trained and not no_headroom(given.conditions[BASE], given.level):
        yield "nothing was trained although the base leaves headroom; train the stage"


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
    for condition, result in given.conditions.items():
        if result.fingerprint.condition != condition or result.condition != condition:
            yield f"the result filed as {condition} was made under {result.fingerprint.condition}"
        if len(result.by_item) != result.trials:
            yield f"{condition} holds an item more than once"
        if result.trials > given.planned:
            yield f"{condition} has {result.trials} items where {given.planned} were planned"
        require_comparable(result, base)
        same_model = result.fingerprint.model == base.fingerprint.model
        if condition == TUNED and same_model:
            yield "the tuned result was made by the base model: the adapter was not loaded"
        if condition.startswith("base-") and not same_model:
            yield f"{condition} and {BASE} were made by different models"
    yield from _thin_families(given, base)
    for earlier in given.earlier:
        if earlier.now is not None and earlier.before is not None:
            require_comparable(earlier.now, earlier.before)


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
        rate = earlier.now.successes("strict") / earlier.now.trials
        entry: dict[str, Any] = {"stage": earlier.stage, "level": earlier.level, **earlier.now.rate().as_dict()}
        if rate + _NEAR < earlier.level:
            said.append(
                f"stage {earlier.stage}'s set fell to {_pct(rate)}, below the {_pct(earlier.level)} it must keep"
            )
        if earlier.before is not None:
            now, before = Side(earlier.now, "strict"), Side(earlier.before, "strict")
            loss = compare(now, before, given.alpha, given.draws or 1000, given.seed)
            entry["paired"] = loss.as_dict()
            if loss.high is not None and loss.high < -earlier.delta:
                bound = f"at least {_pct(-loss.high)} with 95 % confidence"
                said.append(f"stage {earlier.stage}'s set lost {_pct(-loss.lift)} ({bound})")
        kept.append(entry)
    yield from said


def _judge(given: GateInput, tests: dict[str, Any]) -> Decision:
    base, tuned = given.conditions[BASE], given.conditions.get(TUNED)
    base_clears = no_headroom(base, given.level)
    if tuned is None:
        reason = f"nothing to teach: {BASE} already has {_of(base.successes('strict'), base.trials)}"
        return _decision(given, Verdict.NO_HEADROOM, reason, tests)
    # Unseen items of a curtailed evaluation count as failures here: exact, since it only stops once it cannot pass.
    short = given.level.shortfall(tuned.successes("strict"), given.planned, tuned.design_effect)
    gain: dict[str, Any] = tests["comparisons"][0]
    lift = f"{gain['successes_b']} → {gain['successes_a']} of {gain['n']} lenient, p = {gain['p']:.2g}"
    level = _of(tuned.successes("strict"), tuned.trials)
    if base_clears and not short:
        reason = f"nothing to teach: {BASE} already has {_of(base.successes('strict'), base.trials)}; tuned {level}"
        return _decision(given, Verdict.NO_HEADROOM, reason, tests)
    better = gain["lift"] > 0 and gain["p"] < given.alpha
    if not short and better:
        return _decision(given, Verdict.PASS, f"{level} meets {_pct(given.level.threshold)}; {lift}", tests)
    _, high = stats.effective_wilson(tuned.successes("strict"), tuned.trials, tuned.design_effect)
    base_words = "better than the base" if better else "not shown to be better than the base"
    if gain["lift"] < 0 and gain["p"] < given.alpha:
        base_words = "worse than the base"
    if high < given.level.threshold:
        reason = f"{level}: even the upper bound of {_pct(high)} is below the required {_pct(given.level.threshold)}"
        return _decision(given, Verdict.FAIL, f"{reason}; {base_words} ({lift})", tests)
    if short:
        return _decision(given, Verdict.INCONCLUSIVE, f"{level}: {short}; {base_words} ({lift})", tests)
    reason = f"{level} meets the level, but the model is {base_words} at p < {given.alpha:g} ({lift})"
    return _decision(given, Verdict.INCONCLUSIVE, reason, tests)


# --- numbers ---------------------------------------------------------------------------------------------------------


def _tests(given: GateInput) -> dict[str, Any]:
    """All comparisons of the tuned model; the first is the one that decides."""
    tuned = given.conditions.get(TUNED)
    if tuned is None:
        return {}
    sides = [("lenient", BASE, "lenient")]
    sides += [("strict", c, s) for c in CONDITIONS if c != TUNED for s in ("strict", "lenient")]
    found = [
        compare(Side(tuned, own), Side(given.conditions[c], other), given.alpha, given.draws, given.seed).as_dict()  # type: ignore[arg-type]
        for own, c, other in sides
    ]
    main = Side(tuned, "lenient"), Side(given.conditions[BASE], "lenient")
    return {"comparisons": found, "families": family_table(*main, given.fdr), "fdr": given.fdr}


def _decision(given: GateInput, verdict: Verdict, reason: str, tests: Mapping[str, Any] | None = None) -> Decision:
    present = {c: given.conditions[c] for c in CONDITIONS if c in given.conditions and given.conditions[c].trials}
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


def _pct(share: float) -> str:
    return f"{100 * share:.4g} %"


def _of(successes: int, trials: int) -> str:
    return f"{successes} of {trials} right ({_pct(successes / trials)})"

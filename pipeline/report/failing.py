"""Why a stage did not pass: which families fail, and how. The words are made from the numbers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.gates import TUNED, Decision
from pipeline.protocol import Verdict
from pipeline.report.reading import RunFiles
from pipeline.report.wording import percent

KINDS = ("truncated", "runaway", "empty", "wrong")
"""How an answer can fail strictly: cut by the token limit, run on into a new turn, nothing said, or something else."""

SAID: Mapping[str, str] = {
    "truncated": "never ended before the token limit",
    "runaway": "ran on into a new turn",
    "empty": "said nothing",
    "wrong": "ended by themselves and were wrong",
}
FEW_SHOT = "base-few-shot"


@dataclass
class FamilyFailures:
    """One family under the tuned model. `test` is its row in the gate's table of families, empty where there is none;
    `shown` the strict successes of the base shown examples, None where that was not measured."""

    family: str
    n: int = 0
    strict: int = 0
    lenient: int = 0
    shown: int | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    test: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        return self.strict / self.n

    @property
    def failures(self) -> int:
        return self.n - self.strict


def kind(row: Mapping[str, Any]) -> str:
    """How a strict failure failed."""
    head = str(row.get("strict_reason") or "").partition(":")[0].strip()
    return head if head in KINDS else "wrong"


def families(files: RunFiles, stage: int, decision: Decision | None) -> list[FamilyFailures]:
    """Every family of a stage's set under the tuned model, the worst first; none without an evaluation."""
    found: dict[str, FamilyFailures] = {}
    measured = set()
    for row in files.rows(files.evaluation(stage, TUNED)):
        name = str(row.get("family"))
        one = found.setdefault(name, FamilyFailures(name))
        one.n += 1
        measured.add(row.get("item"))
        one.lenient += row.get("lenient") is True
        if row.get("strict") is True:
            one.strict += 1
        else:
            one.kinds[kind(row)] += 1
    for row in files.rows(files.evaluation(stage, FEW_SHOT)):
        shown = found.get(str(row.get("family")))
        if shown is not None and row.get("item") in measured:  # a curtailed evaluation holds fewer
            shown.shown = (shown.shown or 0) + (row.get("strict") is True)
    for test in (decision.detail.get("families") or ()) if decision else ():
        if str(test.get("family")) in found:
            found[str(test["family"])].test = test
    return sorted(found.values(), key=lambda one: (one.rate, one.family))


def split(found: Iterable[FamilyFailures]) -> list[tuple[str, int]]:
    """Strict failures of all families by kind, most frequent first."""
    total: Counter[str] = Counter()
    for one in found:
        total.update(one.kinds)
    return total.most_common()


def why(decision: Decision | None, found: Sequence[FamilyFailures]) -> str:
    """What lies behind a gate that did not pass, as running text; empty where there is nothing to explain, or where
    none of the numbers may be relied on."""
    failures = sum(one.failures for one in found)
    if decision is None or decision.verdict.advances or not failures:
        return ""
    if decision.verdict in (Verdict.INVALID, Verdict.MISSING):
        return ""
    sentences = [
        _how(found, failures),
        _stopping(found),
        _where(found, failures, decision.threshold),
        _against_previous(decision),
        _not_known(found),
        _worse(decision, found),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _how(found: Sequence[FamilyFailures], failures: int) -> str:
    parts = [f"{count} {SAID[name]} ({percent(count / failures, 0)})" for name, count in split(found)]
    return f"Of {sum(one.n for one in found)} answers {failures} fail strictly: {_list(parts)}."


def _stopping(found: Sequence[FamilyFailures]) -> str:
    gap = sum(one.lenient for one in found) - sum(one.strict for one in found)
    if gap <= 0:
        return "Cutting the answers where they run on would help none of them on balance: stopping is not the problem."
    return f"Cut where they run on, {gap} more would be right: there the model knows, and does not stop."


def _where(found: Sequence[FamilyFailures], failures: int, threshold: float) -> str:
    below = [one for one in found if one.rate < threshold]
    if not below:
        return "No family by itself is below the wanted level."
    worst = _list([f"{one.family} ({one.strict} of {one.n})" for one in found[: min(3, len(below))]])
    share = sum(one.failures for one in found[:3]) / failures
    few = f"; the worst three hold {percent(share, 0)} of the failures" if len(found) > 3 else ""
    return f"{len(below)} of {len(found)} families are below {percent(threshold)}, the worst: {worst}{few}."


def _against_previous(decision: Decision) -> str:
    tuned, before = decision.rates.get(TUNED), decision.rates.get("previous")
    if tuned is None or before is None or tuned.trials != before.trials:
        return ""
    change = tuned.successes - before.successes
    words = f"The model that this stage started from had {before.successes} of {before.trials} right on the same items"
    if change > 0:
        return f"{words}: the stage's training added {change}."
    return f"{words}: the stage's training added nothing{f', and cost {-change}' if change else ''}."


def _not_known(found: Sequence[FamilyFailures]) -> str:
    """Families in which examples in the prompt do not help either: not the format is missing there, but the skill."""
    known = [one for one in found if one.shown is not None]
    lost = [one.family for one in known if one.failures and (one.shown or 0) < 0.25 * one.n]
    if not lost:
        return ""
    return (
        f"In {len(lost)} of {len(known)} families the base has fewer than a quarter right even when it is shown "
        f"examples ({_list(lost[:4])}{' …' if len(lost) > 4 else ''}): there the skill is missing, not the format."
    )


def _worse(decision: Decision, found: Sequence[FamilyFailures]) -> str:
    other = (decision.detail.get("comparisons") or [{}])[0].get("b")
    fell = [one.family for one in found if one.test.get("significant") and one.test.get("lift", 0) < 0]
    return f"Significantly worse than {other}: {_list(fell)}." if fell and other else ""


def _list(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"

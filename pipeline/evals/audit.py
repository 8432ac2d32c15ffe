"""Audit of the scorers before any gate may use them: labelled answers must be judged as labelled, and harmless changes
of a right answer must not flip it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pipeline.evals.scorers import fingerprint, score
from pipeline.stages.base import Family, Fixture, Item, Score

MINIMUM_FIXTURES = 20


@dataclass(frozen=True, slots=True)
class AuditReport:
    """`failures` are sentences for people; `counts` the labelled answers and invariance checks of each family. `notes`
    fail nothing and are published: families whose task leaves no room to lengthen a right answer, and right answers
    that the lenient cut loses."""

    passed: bool
    failures: tuple[str, ...]
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    scorer: str = ""
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """JSON-able form for a step's summary."""
        checks = sum(sum(kinds.values()) for kinds in self.counts.values())
        return {
            "passed": self.passed,
            "fixtures": checks,
            "failures": list(self.failures),
            "counts": self.counts,
            "scorer": self.scorer,
            "notes": list(self.notes),
        }


def audit(families: Iterable[Family]) -> AuditReport:
    """Judge every labelled answer of `families` and its harmless variants; never raises for a wrong scorer."""
    failures: list[str] = []
    notes: list[str] = []
    counts: dict[str, dict[str, int]] = {}
    for family in families:
        counts[family.name] = tally = {"right": 0, "wrong": 0, "tricky": 0, "invariance": 0}
        fixtures = list(family.fixtures())
        for fixture in fixtures:
            tally[fixture.kind if fixture.kind in tally else "tricky"] += 1
            failures += _fixture_failures(family, fixture)
            for change, text in _variants(family, fixture):
                tally["invariance"] += 1
                failures += _variant_failures(family, fixture, change, text)
        failures += _coverage_failures(family, fixtures)
        notes += _notes(family, fixtures)
    return AuditReport(not failures, tuple(failures), counts, fingerprint(), tuple(notes))


def _fixture_failures(family: Family, fixture: Fixture) -> list[str]:
    judged = _judge(family, fixture.item, fixture.text)
    if judged.passed == fixture.passed:
        return []
    return [_sentence(family, fixture, fixture.text, judged)]


def _variant_failures(family: Family, fixture: Fixture, change: str, text: str) -> list[str]:
    judged = _judge(family, fixture.item, text)
    return [] if judged.passed == fixture.passed else [f"{change}: {_sentence(family, fixture, text, judged)}"]


def _sentence(family: Family, fixture: Fixture, text: str, judged: Score) -> str:
    wanted = "right" if fixture.passed else "wrong"
    return f"{family.name}: {text!r} to {fixture.item.instruction!r} is {wanted} but was judged: {judged.reason}"


def _variants(family: Family, fixture: Fixture) -> Iterator[tuple[str, str]]:
    """(name, text) of changes that may not flip the judgement."""
    text = fixture.text
    yield "trailing newline added", f"{text}\n"
    yield "leading blank added", f" {text}"
    if text.endswith(".") and not text.endswith(".."):
        yield "full stop dropped", text[:-1]
    if fixture.passed:
        suffix = family.harmless_suffix(text)
        if suffix:
            doubled = len(suffix) >= len(text.strip())
            yield "length doubled" if doubled else "harmless suffix added", text.rstrip() + suffix


def _coverage_failures(family: Family, fixtures: list[Fixture]) -> list[str]:
    found = []
    if len(fixtures) < MINIMUM_FIXTURES:
        found.append(f"{family.name}: {len(fixtures)} labelled answers, at least {MINIMUM_FIXTURES} are required")
    labels = {(fixture.kind, fixture.passed) for fixture in fixtures}
    for kind, passed in (("right", True), ("wrong", False), ("tricky", True), ("tricky", False)):
        if (kind, passed) not in labels:
            found.append(f"{family.name}: no labelled answer of kind {kind} that {'passes' if passed else 'fails'}")
    return found


def _notes(family: Family, fixtures: list[Fixture]) -> Iterator[str]:
    right = [fixture for fixture in fixtures if fixture.passed]
    if not any(change == "length doubled" for fixture in right for change, _ in _variants(family, fixture)):
        yield f"{family.name}: the task leaves no room to double the length of a right answer"
    for fixture in right:
        strict, lenient = score(family, fixture.item, fixture.text, "eos", stopped=True)
        if strict.passed and not lenient.passed:
            yield f"{family.name}: {fixture.text!r} is right strictly and lost by the lenient cut: {lenient.reason}"


def _judge(family: Family, item: Item, text: str) -> Score:
    """As a gate judges: a text that ended by itself, strictly."""
    return score(family, item, text, "eos", stopped=True)[0]

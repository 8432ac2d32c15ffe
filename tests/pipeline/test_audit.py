"""The audit passes for our scorers and cannot pass for a broken one."""

from __future__ import annotations

from collections import Counter

import pytest

from pipeline.evals.audit import MINIMUM_FIXTURES, _variants, audit
from pipeline.stages.base import Fixture, Score
from pipeline.stages.families.arithmetic import Arithmetic
from pipeline.stages.registry import all_families


class EverythingIsRight(Arithmetic):
    def check(self, item, text):
        return Score(True, "five characters will do")


class LongIsWrong(Arithmetic):
    def check(self, item, text):
        judged = super().check(item, text)
        return Score(False, "too long") if len(text) > 40 else judged


class FewLabels(Arithmetic):
    labelled = Arithmetic.labelled[1:]


def test_every_labelled_answer_of_every_family_is_judged_as_labelled():
    report = audit(all_families())
    assert report.failures == ()
    assert report.passed
    for counts in report.counts.values():
        assert counts["right"] + counts["wrong"] + counts["tricky"] >= MINIMUM_FIXTURES
        assert counts["invariance"] > 0


@pytest.mark.parametrize(
    ("broken", "said"),
    [(EverythingIsRight, "is wrong but was judged"), (LongIsWrong, "length doubled"), (FewLabels, "at least 20")],
)
def test_a_broken_scorer_fails_the_audit_with_the_answer_named(broken, said):
    report = audit([broken()])
    assert not report.passed
    assert any(said in failure for failure in report.failures)


class StopMatters(Arithmetic):
    def check(self, item, text):
        judged = super().check(item, text)
        return judged if not judged.passed or text.endswith(".") else Score(False, "no full stop")


class NeverLonger(Arithmetic):
    def harmless_suffix(self, text):
        return None


class SplitByBlankLine(Arithmetic):
    def check(self, item, text):
        return Score(True, "two parts") if text == "Twelve\n\nwanted" else super().check(item, text)

    def fixtures(self):
        return [*super().fixtures(), Fixture(self.parse("What is 7 + 6?"), "Twelve\n\nwanted", True, "tricky")]


def test_a_scorer_that_minds_a_full_stop_fails_the_audit():
    assert any(failure.startswith("full stop dropped") for failure in audit([StopMatters()]).failures)


def test_every_invariance_is_really_tried_on_our_families():
    tried = Counter(
        change for family in all_families() for fixture in family.fixtures() for change, _ in _variants(family, fixture)
    )
    assert tried.keys() >= {
        "trailing newline added",
        "leading blank added",
        "full stop dropped",
        "length doubled",
    }
    assert min(tried[change] for change in ("full stop dropped", "length doubled")) >= 100


def test_a_family_that_cannot_be_lengthened_is_named_and_fails_nothing():
    report = audit([NeverLonger()])
    assert report.passed
    assert report.notes == ("arithmetic: the task leaves no room to double the length of a right answer",)
    assert report.as_dict()["notes"] == list(report.notes)
    assert audit([Arithmetic()]).notes == ()


def test_a_right_answer_that_the_lenient_cut_loses_is_named():
    assert any("lost by the lenient cut" in note for note in audit([SplitByBlankLine()]).notes)

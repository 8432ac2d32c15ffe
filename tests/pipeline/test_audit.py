"""The audit passes for our scorers and cannot pass for a broken one."""

from __future__ import annotations

import pytest

from pipeline.evals.audit import MINIMUM_FIXTURES, audit
from pipeline.stages.base import Score
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
    [(EverythingIsRight, "is wrong but was judged"), (LongIsWrong, "harmless suffix"), (FewLabels, "at least 20")],
)
def test_a_broken_scorer_fails_the_audit_with_the_answer_named(broken, said):
    report = audit([broken()])
    assert not report.passed
    assert any(said in failure for failure in report.failures)

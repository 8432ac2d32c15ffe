"""Strict and lenient scores: what counts as an end, where an answer is cut, and that length decides nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evals.scorers import cut, fingerprint, runs_on, score
from pipeline.stages.registry import by_name

ARITHMETIC = by_name("arithmetic")
SUM = ARITHMETIC.parse("What is 7 + 5?")


def judged(text, finish, stopped=None):
    strict, lenient = score(ARITHMETIC, SUM, text, finish, stopped)
    return strict.passed, strict.reason, lenient.passed


def test_an_answer_that_ends_by_itself_passes_both():
    assert judged("12", "eos") == (True, "exact", True)
    assert judged(" 12.\n", "eos") == (True, "exact", True)


def test_a_right_answer_cut_by_the_limit_is_truncated_strictly_and_right_leniently():
    assert judged("12\n\nInstruction: What", "length") == (False, "truncated", True)
    assert judged("12", "length", stopped=True) == (False, "truncated", True)


def test_a_new_turn_is_a_runaway_strictly_and_cut_leniently():
    assert judged("12\nInstruction: What is 8 + 5?\nResponse: 13", "eos") == (False, "runaway", True)


def test_a_safety_stop_is_no_end_of_its_own_and_a_taught_one_is():
    assert judged("12", "stop") == (False, "runaway", True)
    assert judged("12", "stop", stopped=True) == (True, "exact", True)


def test_nothing_is_empty_in_both():
    assert judged("  \n ", "eos") == (False, "empty", False)
    assert judged("\nInstruction: What is 8 + 5?", "eos")[2] is False


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Paris\n\nMore text", "Paris"),
        ("\n\nParis", "Paris"),
        ("Paris\nQ: next", "Paris"),
        ("Paris\n### Instruction: next", "Paris"),
        ("Paris\n**Human**: hi", "Paris"),
        ("Here are two:\n\n- red\n- blue\n\nBye", "Here are two:\n\n- red\n- blue"),
        ("The question: a riddle", "The question: a riddle"),
        ("Instruction: x", ""),
        ("a\nb", "a\nb"),
        ("Answer: 12", "Answer: 12"),
    ],
)
def test_an_answer_is_cut_at_the_first_turn_or_blank_line(text, answer):
    assert cut(text) == answer


@pytest.mark.parametrize(
    ("text", "runaway"),
    [
        ("12\nInstruction: next", True),
        ("12\nResponse: 13", True),
        ("12\nQ: next", True),
        ("12\n  Human: hi", True),
        ("Instruction: write", True),
        ("12\nExample 3: next", True),
        ("A long answer. " * 50, False),
        ("The response: it was good", False),
        ("Follow the instruction: stop here.", False),
        ("apple\nbanana\ncherry", False),
        ("12", False),
    ],
)
def test_a_runaway_is_found_by_its_new_turn_and_not_by_length(text, runaway):
    assert runs_on(text) is runaway


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["eos", "stop", "length"]), st.sampled_from([None, True, False]))
def test_scoring_is_total_and_strict_never_passes_an_unfinished_answer(text, finish, stopped):
    strict, lenient = score(ARITHMETIC, SUM, text, finish, stopped)
    assert strict.reason
    assert lenient.reason
    if finish == "length" or stopped is False:
        assert not strict.passed


def test_the_fingerprint_names_version_and_sources():
    version, _, digest = fingerprint().partition(":")
    assert version.isdigit()
    assert len(digest) == 64

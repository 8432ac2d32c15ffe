"""Duplicates: exact, near, and not the same question about something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.dedup import Deduper, normalise, rouge_bound, rouge_l, tokens


def test_case_punctuation_and_number_words_do_not_make_a_text_new():
    pool = Deduper()
    assert pool.add("List three fruits.") is None
    assert pool.add("list  3 fruits") == "exact"
    assert pool.add("   ") == "empty"
    assert len(pool) == 1


def test_signs_are_kept_so_that_a_sum_is_not_a_difference():
    assert normalise("7 + 5") != normalise("7 - 5") == normalise("7 − 5")
    assert tokens("well-known Serbia's") == ["well", "known", "serbia", "'s"]


def test_the_same_question_about_another_country_is_new_and_a_reworded_one_is_near():
    pool = Deduper()
    assert pool.add("What is the capital of France?") is None
    assert pool.add("What is the capital of Peru?") is None
    assert str(pool.add("What's the capital city of Peru?")).startswith(("near", "None"))
    assert str(pool.add("So what is the capital of Peru?")).startswith("near")


def test_the_plain_rule_of_self_instruct_is_one_argument_away():
    pool = Deduper(short_words=0)
    assert pool.add("What is the capital of France?") is None
    assert str(pool.add("What is the capital of Peru?")).startswith("near: 0.83")


def test_long_texts_are_near_by_rouge_alone():
    base = "write a careful story about an old man who walks to the village every day and buys bread for his seven cats"
    pool = Deduper()
    assert pool.add(base) is None
    assert str(pool.add(base.replace("seven", "hungry").replace("bread", "milk"))).startswith("near")


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [("a b c d", "a b c d", 1.0), ("a b c d", "e f", 0.0), ("a b c d", "a x c y", 0.5), ("", "a", 0.0)],
)
def test_rouge_l_has_the_values_of_the_definition(first, second, value):
    assert rouge_l(first.split(), second.split()) == value


@given(st.lists(st.sampled_from("abcde"), max_size=12), st.lists(st.sampled_from("abcde"), max_size=12))
def test_the_prefilter_never_hides_a_near_text(first, second):
    assert rouge_bound(first, second) >= rouge_l(first, second) == rouge_l(second, first)

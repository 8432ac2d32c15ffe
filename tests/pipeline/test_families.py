"""Each family keeps its promises: disjoint pools and wordings, truth that survives parsing, answers judged by truth."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.stages.base import Family, Item, Namespace
from pipeline.stages.families.worded import WordedFamily
from pipeline.stages.registry import all_families, by_name, stage

FAMILIES = all_families()

families = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def sample(family: Family, namespace: Namespace, count: int = 60, seed: int = 3) -> list[Item]:
    rng = random.Random(seed)
    templates = family.templates(namespace)
    return [family.build(namespace, rng, templates[index % len(templates)]) for index in range(count)]


def test_stage_1_has_at_least_ten_families_with_names_of_their_own():
    names = [family.name for family in stage(1).families]
    assert len(names) >= 10
    assert len(set(names)) == len(names)
    assert stage(1).gate.threshold == 0.95


def test_an_unknown_family_or_stage_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match="known: arithmetic"):
        by_name("poetry")
    with pytest.raises(KeyError, match="no stage 9"):
        stage(9)


@families
def test_wordings_are_at_least_ten_and_never_shared_with_eval(family):
    assert isinstance(family, WordedFamily)
    train, held = ({w.casefold().rstrip(".?!:") for w in family.wordings(n)} for n in (Namespace.TRAIN, Namespace.EVAL))
    assert min(len(train), len(held)) >= 10
    assert not train & held
    assert not set(family.templates(Namespace.TRAIN)) & set(family.templates(Namespace.EVAL))


@families
def test_no_topic_appears_in_two_namespaces(family):
    seen = {
        namespace: {family.topic(item) for item in sample(family, namespace, 400)} - {""} for namespace in Namespace
    }
    assert not seen[Namespace.TRAIN] & seen[Namespace.EVAL]
    assert not seen[Namespace.TRAIN] & seen[Namespace.CALIBRATION]
    assert not seen[Namespace.CALIBRATION] & seen[Namespace.EVAL]


@families
@pytest.mark.parametrize("namespace", Namespace)
def test_an_instruction_reads_back_to_the_truth_it_was_made_with(family, namespace):
    for item in sample(family, namespace):
        read = family.parse(item.instruction)
        assert read is not None, item.instruction
        assert read.truth == item.truth, item.instruction
        assert read.template == item.template


@families
def test_a_variation_of_blanks_case_and_closing_mark_reads_the_same(family):
    for item in sample(family, Namespace.TRAIN, 60):
        changed = "  " + item.instruction.rstrip(".?!:")
        changed = changed if family.exact_blanks else changed.replace(" ", "  ", 1)
        read = family.parse(changed)
        assert read is not None, changed
        assert read.truth == item.truth


@families
@pytest.mark.parametrize("namespace", Namespace)
def test_the_given_answer_is_right_and_a_corruption_is_wrong(family, namespace):
    rng = random.Random(5)
    for item in sample(family, namespace):
        assert family.check(item, item.answer).passed, (item.instruction, item.answer)
        corrupted = family.corrupt(item, rng)
        assert corrupted.strip()
        assert not family.check(item, corrupted).passed, (item.instruction, corrupted)


@families
def test_the_answer_to_another_item_is_wrong(family):
    items = sample(family, Namespace.EVAL, 120)
    for one, other in pairwise(items):
        accepted = set(map(str, one.truth.get("accepted", [one.answer])))
        if other.answer in accepted or (one.truth == other.truth) or family.shared_answers:
            continue
        assert not family.check(one, other.answer).passed, (one.instruction, other.answer)


@families
def test_instructions_are_one_short_line(family):
    for namespace in Namespace:
        for item in sample(family, namespace):
            assert "\n" not in item.instruction
            assert len(item.instruction.split()) < 60


@families
def test_a_foreign_instruction_is_not_of_the_family(family):
    for text in ("", "Hello there!", "My code fails with an error.", "{x}", "What is the meaning of life and why?"):
        assert family.parse(text) is None


@families
@settings(max_examples=20, deadline=None)
@given(text=st.text(max_size=120))
def test_check_and_parse_are_total_on_any_text(family, text):
    item = sample(family, Namespace.EVAL, 1)[0]
    family.check(item, text)
    family.parse(text)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(["12", "13", "is", "The answer", "=", "7", "+", "5", "or", "not", "."]), max_size=9))
def test_no_word_salad_with_a_foreign_number_passes_a_sum(parts):
    family = by_name("arithmetic")
    item = family.parse("What is 7 + 5?")
    assert item is not None
    text = " ".join(parts)
    if "13" in text or "not" in text or "12" not in text:
        assert not family.check(item, text).passed


@pytest.mark.parametrize(
    ("instruction", "text", "passed"),
    [
        ("What is 7 + 5?", "7 + 5 equals 12, which is a dozen.", True),
        ("What is 7 + 5?", "7 + 12 = 5", False),
        ("Name the capital city of Norway.", "It is Oslo, not far from the sea.", False),
        ("List two colours.", "red\nblue", True),
        ("List two colours.", "Sure: red and blue", True),
        ("Say the opposite of early.", "late", True),
        ("Give the plural of the word mouse.", "mouses", False),
    ],
)
def test_answers_that_are_easy_to_misjudge(instruction, text, passed):
    item = next(read for family in stage(1).families if (read := family.parse(instruction)))
    assert by_name(item.family).check(item, text).passed is passed

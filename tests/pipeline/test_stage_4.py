"""Stage 4 judges text: balanced labels, no cue on the surface, and answers that are easy to misjudge."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

import pytest

from pipeline.constitution import load
from pipeline.data.leakage import check
from pipeline.evals.audit import audit
from pipeline.evals.items import FROZEN_PER_FAMILY, build, build_frozen, dump, frozen_path
from pipeline.stages.base import Family, Item, Namespace
from pipeline.stages.families.breaks_principle import RULES
from pipeline.stages.families.things import KINDS, things
from pipeline.stages.families.verdicts import (
    ChoiceVerdict,
    PickVerdict,
    YesNoVerdict,
    judge_pick,
    read_choice,
    read_yes_no,
)
from pipeline.stages.registry import by_name, stage

STAGE = stage(4)
YES_NO = tuple(family for family in STAGE.families if isinstance(family, YesNoVerdict))
CHOICES = tuple(family for family in STAGE.families if isinstance(family, ChoiceVerdict))
PICKS = tuple(family for family in STAGE.families if isinstance(family, PickVerdict))
SMALL = ("in_capitals", "list_holds", "which_form", "same_word")

named = pytest.mark.parametrize("family", STAGE.families, ids=lambda family: family.name)


@lru_cache(maxsize=64)
def drawn(family: Family, namespace: Namespace = Namespace.EVAL, count: int = 600) -> tuple[Item, ...]:
    rng = random.Random(17)
    templates = family.templates(namespace)
    return tuple(family.build(namespace, rng, templates[index % len(templates)]) for index in range(count))


def agreement(items: tuple[Item, ...], guess: Callable[[Item], str]) -> float:
    return sum(guess(item) == item.answer for item in items) / len(items)


def test_the_stage_says_what_it_must_reach_and_keep():
    assert (STAGE.number, STAGE.name, STAGE.gate.threshold) == (4, "evaluation", 0.80)
    assert STAGE.gate.keep == {1: 0.95, 2: 0.90, 3: 0.85}
    assert STAGE.rehearsal == 0.2
    assert len({family.name for family in STAGE.families}) == len(STAGE.families) >= 8


def test_every_labelled_answer_and_its_variants_are_judged_as_labelled():
    report = audit(STAGE.families)
    assert report.passed, "\n".join(report.failures)


@pytest.mark.parametrize("family", [*YES_NO, *CHOICES], ids=lambda family: family.name)
@pytest.mark.parametrize("namespace", Namespace)
def test_both_labels_are_equally_frequent(family, namespace):
    counts = Counter(item.answer for item in drawn(family, namespace))
    assert set(counts) == ({"Yes", "No"} if family in YES_NO else {"A", "B"})
    assert min(counts.values()) >= 0.43 * sum(counts.values())


@pytest.mark.parametrize("family", YES_NO, ids=lambda family: family.name)
@pytest.mark.parametrize("measure", [len, lambda text: len(text.split())], ids=["characters", "words"])
def test_the_length_of_a_question_does_not_tell_yes_from_no(family, measure):
    items = drawn(family)
    sizes = sorted({measure(item.instruction) for item in items})
    for limit in sizes[:: max(1, len(sizes) // 25)]:
        share = agreement(items, lambda item, limit=limit: "Yes" if measure(item.instruction) > limit else "No")
        assert 0.4 <= share <= 0.6, (limit, share)


@pytest.mark.parametrize("family", CHOICES, ids=lambda family: family.name)
def test_neither_place_nor_length_of_an_option_tells_which_is_right(family):
    items = drawn(family)

    def longer(item: Item) -> str:
        return "A" if len(item.truth["a"]) > len(item.truth["b"]) else "B"

    for rule in (lambda item: "A", longer):
        assert 0.4 <= agreement(items, rule) <= 0.6


def test_the_length_of_an_answer_does_not_tell_right_from_wrong():
    items = drawn(by_name("right_answer"), count=1200)
    for limit in range(2, 12):
        share = agreement(items, lambda item, limit=limit: "Yes" if len(item.truth["said"]) > limit else "No")
        assert 0.4 <= share <= 0.6, (limit, share)


@pytest.mark.parametrize("family", PICKS, ids=lambda family: family.name)
def test_neither_place_nor_length_of_a_word_tells_which_is_wanted(family):
    items = drawn(family)
    width = len(items[0].truth["list"].split(", "))
    rules = [lambda item, place=place: item.truth["list"].split(", ")[place] for place in range(width)]
    rules += [lambda item, pick=pick: pick(item.truth["list"].split(", "), key=len) for pick in (min, max)]
    for rule in rules:
        assert agreement(items, rule) <= 0.6


def test_every_rating_is_about_equally_frequent():
    counts = Counter(item.answer for item in drawn(by_name("points")))
    assert set(counts) == set("12345")
    assert max(counts.values()) <= 0.3 * sum(counts.values())


@pytest.mark.parametrize("family", CHOICES, ids=lambda family: family.name)
def test_the_swapped_twin_of_a_choice_is_an_item_with_the_other_letter(family):
    for item in drawn(family, count=60):
        facts = {**item.truth, "a": item.truth["b"], "b": item.truth["a"]}
        if "kind" in facts:
            start = item.instruction.index("What is")
            facts["question"] = item.instruction[start : item.instruction.index("?", start) + 1]
        solved = family.solve(facts)
        assert solved is not None
        assert {solved[0], item.answer} == {"A", "B"}


@named
def test_no_echo_and_no_list_of_everything_is_a_judgement(family):
    for item in drawn(family, count=60):
        truth = item.truth
        texts = [item.instruction, item.instruction.rstrip(".?"), "Yes or No", "A or B", "A, B", "1, 2, 3, 4, 5", "?"]
        texts += [str(truth[name]) for name in ("list", "text", "phrase", "about") if name in truth]
        for text in texts:
            assert not family.check(item, text).passed, (item.instruction, text)


@named
def test_no_instruction_of_the_family_is_an_answer_to_another(family):
    items = drawn(family, count=200)
    for item, other in zip(items, items[7:], strict=False):
        for text in (other.instruction, other.instruction.rstrip(".?")):
            assert not family.check(item, text).passed, (item.instruction, text)


@pytest.mark.parametrize("name", SMALL)
def test_the_families_for_a_small_model_are_short(name):
    for namespace in Namespace:
        for item in drawn(by_name(name), namespace, 200):
            assert len(item.instruction.split()) <= 16
            assert len(item.answer.split()) == 1


def test_each_principle_of_the_constitution_has_one_rule_with_answers_of_both_kinds():
    assert sorted(rule.principle for rule in RULES) == sorted(principle.id for principle in load().principles)
    assert all(rule.keeps and rule.breaks and not set(rule.keeps) & set(rule.breaks) for rule in RULES)


def test_whether_a_rule_is_broken_is_asked_both_ways():
    items = drawn(by_name("breaks_principle"), count=1200)
    seen = {(item.truth["asks"], item.truth["form"].split()[0], item.answer) for item in items}
    assert len(seen) == 4


@named
def test_nothing_of_training_gives_a_held_out_item_away(family):
    held = list(drawn(family, count=100))
    for namespace in (Namespace.TRAIN, Namespace.CALIBRATION):
        rows = [(item.id, item.instruction) for item in drawn(family, namespace, 100)]
        assert check(rows, held, STAGE.families) == []


def test_no_thing_of_a_kind_lies_on_two_sides():
    sides = [{word for kind in KINDS for word in things(namespace)[kind]} for namespace in Namespace]
    assert not sides[0] & sides[1] | sides[0] & sides[2] | sides[1] & sides[2]


@named
def test_enough_different_items_can_be_drawn(family):
    small = type(STAGE)(4, "evaluation", (family,), STAGE.gate)
    blocks = [build(small, Namespace.EVAL, FROZEN_PER_FAMILY, 5, block) for block in range(3)]
    assert len({item.instruction for block in blocks for item in block}) == 300
    train = build(small, Namespace.TRAIN, 120, 5)
    assert len({json.dumps(dict(item.truth), sort_keys=True) for item in train}) >= 100


@pytest.mark.parametrize("block", [0, 1])
def test_the_frozen_blocks_are_what_the_families_make(block):
    assert frozen_path(4, block).read_bytes() == dump(build_frozen(STAGE, block))


@named
def test_a_critique_is_one_sentence_that_names_the_right_judgement(family):
    for item in drawn(family, count=40):
        said = family.critique(item, family.corrupt(item, random.Random(1)), right=False)
        assert item.answer in said
        assert "\n" not in said
        assert family.critique(item, item.answer, right=True) != said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Yes", True),
        ("yes, it is fine", True),
        ("The answer is no.", False),
        ("I would say yes", True),
        ("It is fine.", True),
        ("It isn't fine.", False),
        ("Nothing is wrong.", True),
        ("It is not wrong but fine.", True),
        ("No, because it is wrong.", False),
        ("No way", None),
        ("Yes, it is wrong.", None),
        ("Yes. No.", None),
        ("Yes? It is fine.", None),
        ("Is it fine", None),
        ("Fine or wrong", None),
        ("Yes, perhaps.", None),
        ("yesno", None),
        ("...", None),
    ],
)
def test_yes_and_no_are_read_out_of_free_answers(text, said):
    assert read_yes_no(text, r"\bfine\b", r"\bwrong\b")[0] is said


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("A", "A"),
        ("b.", "B"),
        ("(B)", "B"),
        ("Option A is better.", "A"),
        ("A is worse than B.", "B"),
        ("A is not better.", "B"),
        ("red", "A"),
        ("Blue is better.", "B"),
        ("B: blue", "B"),
        ("B: red", None),
        ("a red one", None),
        ("A or B", None),
        ("a, b", None),
        ("A. B.", None),
        ("A, A", None),
        ("Both A and B are better.", None),
        ("A is better and B is better.", None),
        ("A, perhaps", None),
        ("Bananas", None),
        ("red or blue", None),
        ("", None),
    ],
)
def test_a_letter_is_read_out_of_free_answers(text, letter):
    assert read_choice(text, {"A": "red", "B": "blue"}, (r"\bbetter\b", r"\bworse\b"))[0] == letter


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("cat", True),
        ("The cat does not belong.", True),
        ("cat, because dog and cow stay", False),
        ("cat, because dog and cow are kept", True),
        ("dog", False),
        ("cat dog cow", False),
        ("not cat", False),
        ("cat\ndog", False),
        ("cat. The dog is odd as well.", False),
        ("category", False),
    ],
)
def test_one_word_is_read_out_of_free_answers(text, passed):
    assert judge_pick(text, "cat", ["dog", "cat", "cow"]).passed is passed

"""Stage 2 teaches what nobody asks outright; its families keep stage 1's sides and judge replies by what they say."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from pipeline.data.leakage import check
from pipeline.evals import items
from pipeline.stages.base import Namespace
from pipeline.stages.families.errors import names_cause
from pipeline.stages.families.errors_table import CAUSES, MESSAGES
from pipeline.stages.families.text import portion
from pipeline.stages.registry import by_name, stage

STAGE = stage(2)
SMALL = ("forgotten_capital", "wanted_opposite", "one_and_many", "yesterday", "forgotten_number", "next_in_order")


def judged(instruction, text):
    item = next(read for family in STAGE.families if (read := family.parse(instruction)))
    return by_name(item.family).check(item, text)


def test_stage_2_is_declared_as_the_design_says():
    assert (STAGE.number, STAGE.name) == (2, "implicit")
    assert len(STAGE.families) >= 10
    assert STAGE.gate.threshold == 0.90
    assert STAGE.gate.keep == {1: 0.95}
    assert STAGE.rehearsal == 0.2
    assert not {family.name for family in STAGE.families} & {family.name for family in stage(1).families}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("namespace", Namespace)
def test_the_families_for_small_models_ask_and_answer_shortly(name, namespace):
    family, rng = by_name(name), random.Random(4)
    for index in range(150):
        templates = family.templates(namespace)
        item = family.build(namespace, rng, templates[index % len(templates)])
        assert len(item.instruction.split()) <= 16, item.instruction
        assert len(item.answer.split()) <= 8


@pytest.mark.parametrize(
    ("implicit", "explicit"),
    [
        ("forgotten_capital", "capitals"),
        ("wanted_opposite", "opposites"),
        ("one_and_many", "plurals"),
        ("yesterday", "past_tense"),
        ("story_sum", "arithmetic"),
        ("needed_things", "list_n"),
        ("forgotten_number", "count_question"),
    ],
)
def test_a_fact_is_on_the_same_side_as_in_the_plain_question(implicit, explicit):
    topics = {}
    for name in (implicit, explicit):
        family, rng = by_name(name), random.Random(8)
        templates = {namespace: family.templates(namespace)[0] for namespace in Namespace}
        for namespace in Namespace:
            drawn = {family.topic(family.build(namespace, rng, templates[namespace])) for _ in range(400)}
            topics[name, namespace] = drawn
    assert not topics[implicit, Namespace.EVAL] & topics[explicit, Namespace.TRAIN]
    assert not topics[implicit, Namespace.TRAIN] & topics[explicit, Namespace.EVAL]
    assert topics[implicit, Namespace.EVAL] & topics[explicit, Namespace.EVAL]


def test_facts_of_unfinished_sentences_keep_the_side_of_stage_1():
    family, rng = by_name("count_question"), random.Random(2)
    for namespace in Namespace:
        drawn = {family.topic(family.build(namespace, rng, family.templates(namespace)[0])) for _ in range(600)}
        assert ("legs of a spider" in drawn) is (portion("A spider has eight") is namespace)
        assert ("days of a week" in drawn) is (portion("A week has seven") is namespace)


def test_no_training_item_of_stages_1_and_2_gives_away_a_held_out_one():
    families = (*stage(1).families, *STAGE.families)
    held = items.build(STAGE, Namespace.EVAL, 130, seed=11) + items.build(stage(1), Namespace.EVAL, 60, seed=11)
    for source in (stage(1), STAGE):
        for namespace in (Namespace.TRAIN, Namespace.CALIBRATION):
            rows = [(item.id, item.instruction) for item in items.build(source, namespace, 78, seed=12)]
            assert check(rows, held, families) == []


@pytest.mark.parametrize(
    ("instruction", "text", "passed"),
    [
        ("I keep forgetting the capital of France.", "I think you mean Paris.", True),
        ("I keep forgetting the capital of France.", "You should write it down.", False),
        ("I keep forgetting the capital of France.", "Paris?", False),
        ("One mouse, two", "mice are enough", True),
        ("One mouse, two", "mice, three mice", False),
        ("Today I go, yesterday I", "went by bus", True),
        ("Today I go, yesterday I", "went, tomorrow I will go", False),
        ("Today I go, yesterday I", "was going", False),
        ("Would you know how many hours a day has?", "Yes.", False),
        ("Would you know how many hours a day has?", "Yes, 24.", True),
        ("Would you know how many hours a day has?", "A day has 24 hours, which is 1440 minutes.", True),
        ("How many legs does a spider have?", "A spider has 8 eyes and 6 legs.", False),
        ("What comes right after March?", "March follows April.", False),
        ("What comes right after March?", "April follows March.", True),
        ("Tom has 3 apples and buys 2 more. How many apples does Tom have now?", "3 + 2 = 5", True),
        ("Tom has 3 apples and buys 2 more. How many apples does Tom have now?", "3 apples and 2 more apples", False),
        ("I need three colours for my quiz.", "How about red, blue and green?", True),
        ("I need three colours for my quiz.", "How about three colours?", False),
    ],
)
def test_replies_that_are_easy_to_misjudge(instruction, text, passed):
    assert judged(instruction, text).passed is passed


ANNA = "Anna is taller than Ben, and Ben is taller than Carla. Who is the tallest?"


@pytest.mark.parametrize("text", ["Anna is taller than Ben.", "Ben is taller than Carla", "Anna is the shortest."])
def test_repeating_a_premise_or_asserting_the_opposite_is_no_conclusion(text):
    assert not judged(ANNA, text).passed


def test_a_chain_is_solved_in_either_order_and_an_open_one_not_at_all():
    family = by_name("comparison")
    turned = family.parse("Ben is taller than Carla, and Anna is taller than Ben. Who is the shortest?")
    assert turned is not None
    assert turned.answer == "Carla"
    assert family.parse("Anna is taller than Ben, and Carla is taller than Ben. Who is the tallest?") is None
    assert family.parse("Anna is taller than Ben, and Ben is older than Carla. Who is the tallest?") is None


@pytest.mark.parametrize(
    ("instruction", "text", "reason"),
    [
        ("Good evening, I am Anna.", "Good morning, Anna!", "another time of day"),
        ("Good evening, I am Anna.", "Good evening, I am Anna too.", "does not answer the greeting"),
        ("Good evening, I am Anna.", "Hello! How are you? Fine, thanks.", "talks to itself"),
        ("Good evening, I am Anna.", "Hello! Greetings are part of culture.", "brings up something else"),
        ("Thanks, Ben liked your answer very much.", "Hello!", "does not answer the thanks"),
        ("Today I lost my wallet.", "Great, well done!", "glad about bad news"),
        ("Today I won a prize.", "I am sorry to hear that.", "sorry about good news"),
        ("Today I lost my wallet.", "I am sorry. You should call the bank.", "brings up something else"),
        ("Today I lost my wallet.", "I lost my wallet too, sorry.", "takes the speaker's part"),
    ],
)
def test_a_courtesy_fails_for_the_stated_reason(instruction, text, reason):
    score = judged(instruction, text)
    assert not score.passed
    assert reason in score.reason


def test_a_long_courtesy_passes_and_a_short_lecture_fails():
    long = "Hello Anna! It is so nice to meet you. I am here to help you with anything you need today. How can I help?"
    assert judged("Hello, I am Anna.", long).passed
    assert not judged("Hello, I am Anna.", "Be careful.").passed


def test_each_cause_is_named_by_its_own_answer_and_few_others():
    assert set(MESSAGES.values()) == set(CAUSES)
    for cause, (answer, _) in CAUSES.items():
        assert names_cause(answer, cause), cause
        confused = [other for other in CAUSES if other != cause and names_cause(answer, other)]
        assert len(confused) <= 2, (cause, confused)


def test_every_message_accepts_its_cause_and_refuses_its_own_words():
    family = by_name("error_cause")
    for message in MESSAGES:
        item = family.parse(f"I keep getting {message}")
        assert item is not None, message
        assert family.check(item, item.answer).passed, message
        assert not family.check(item, message).passed, message
        assert not family.check(item, f"You keep getting {message}").passed, message


def test_a_list_of_all_causes_is_no_diagnosis():
    family = by_name("error_cause")
    item = family.parse("I keep getting KeyError: 'price'")
    assert item is not None
    everything = " ".join(answer for answer, _ in CAUSES.values())
    assert "many causes" in family.check(item, everything).reason


@pytest.mark.parametrize("family", STAGE.families, ids=lambda family: family.name)
def test_a_critique_differs_between_right_and_wrong(family):
    item = family.build(Namespace.TRAIN, random.Random(1), family.templates(Namespace.TRAIN)[0])
    assert family.critique(item, item.answer, True) != family.critique(item, "no", False)


def test_the_first_frozen_block_is_what_its_code_makes_byte_for_byte():
    assert items.frozen_path(2, 0).read_bytes() == items.dump(items.build_frozen(STAGE, 0))


def test_both_frozen_blocks_hold_every_family_and_share_no_instruction():
    first, second = (items.load(items.frozen_path(2, block)) for block in (0, 1))
    for block in (first, second):
        per_family = Counter(item.family for item in block)
        assert per_family == {family.name: items.FROZEN_PER_FAMILY for family in STAGE.families}
    assert not {item.instruction for item in first} & {item.instruction for item in second}


def test_a_frozen_item_is_read_back_and_accepts_its_answer():
    for item in items.load(items.frozen_path(2, 1)):
        family = by_name(item.family)
        read = family.parse(item.instruction)
        assert read is not None, item.instruction
        assert read.truth == item.truth
        assert family.check(item, item.answer).passed, item.instruction

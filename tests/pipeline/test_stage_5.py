"""Stage 5: a revision is judged by what was to change and by what was to stay."""

from __future__ import annotations

import random

import pytest

from pipeline.data.leakage import check
from pipeline.evals.items import build, build_frozen, dump, frozen_path, load
from pipeline.stages.base import Namespace
from pipeline.stages.families.fix_spelling import ROWS as SPELLINGS
from pipeline.stages.families.grammar_pool import ROWS as MISTAKES
from pipeline.stages.families.revising import judge_revision, note, without_notes
from pipeline.stages.families.stories import order_of, read_story
from pipeline.stages.registry import by_name, stage

STAGE = stage(5)
SMALL = ("fix_capital", "fix_plural", "drop_repeat", "apply_form")

MARKET = "Anna bought 7 red pens at the market."
LONG = f"To tell you the truth, {MARKET[:-1]}, as I have told you many times before."


def test_the_stage_asks_for_eighty_per_cent_and_for_what_was_learnt_before():
    assert (STAGE.name, STAGE.gate.threshold) == ("revision", 0.80)
    assert STAGE.gate.keep == {1: 0.95, 2: 0.90, 3: 0.85, 4: 0.80}
    assert (STAGE.rehearsal, STAGE.revision_rounds) == (0.2, 1)
    assert len(STAGE.families) >= 10


@pytest.mark.parametrize("name", SMALL)
def test_a_small_model_meets_short_instructions_and_short_answers(name):
    family, rng = by_name(name), random.Random(1)
    for namespace in Namespace:
        for template in family.templates(namespace) * 20:
            item = family.build(namespace, rng, template)
            assert len(item.instruction.split()) <= 16, item.instruction
            assert len(item.answer.split()) <= 8, item.answer


@pytest.mark.parametrize(
    ("instruction", "text", "passed"),
    [
        ("Correct this: The capital of France is Rome.", "Rome should be Paris.", True),
        ("Correct this: The capital of France is Rome.", "No, the capital of France is Paris.", True),
        ("Correct this: The capital of France is Rome.", "Replace Paris with Rome.", False),
        ("Correct this: The capital of France is Rome.", "The capital of France is Paris, not Lyon or Rome.", False),
        ("Correct the mistake: two mouses", "Two mice. The plural of mouse is mice.", True),
        ("Correct the mistake: two mouses", "The plural of mouse is mice.", False),
        ("Remove the repetition: the warm warm guitar", "the warm guitar guitar", False),
        ("Look at the text 'LONELY OCEAN' and write it in small letters.", "Lonely Ocean", False),
        ("Fix the grammatical error: The dogs is hungry.", "The dogs are hungry. The verb is are, not is.", True),
        (
            "Fix the grammatical error: The dogs is hungry.",
            "The dogs are hungry. I changed it, but I am not sure.",
            False,
        ),
        ("Fix the grammatical error: The dogs is hungry.", "The dogs are angry.", False),
        ("Fix the typo: May I ask you a qestion?", "May I ask you a question.", True),
        ("Change nothing but mistakes: The dogs are hungry.", "No mistakes. The dogs are hungry.", True),
        ("Change nothing but mistakes: The dogs is hungry.", "No mistakes. The dogs are hungry.", False),
        (
            f"Get to the point in 9 words or less, facts included: {LONG}",
            "At the market Anna bought 7 red pens.",
            True,
        ),
        (f"Get to the point in 9 words or less, facts included: {LONG}", f"I say that {MARKET}", False),
        (
            f"Get to the point in 9 words or less, facts included: {LONG}",
            "Anna bought seventeen red pens at the market.",
            False,
        ),
        (
            f"Comment: there were 9, not 7. Revise this sentence with it: {MARKET}",
            "Anna bought nine red pens at the market.",
            True,
        ),
        (
            f"Comment: there were 9, not 7. Revise this sentence with it: {MARKET}",
            "Anna bought 9 not 7 red pens at the market.",
            False,
        ),
        ("Reformat this as a list, one on each line: I need a cup and a key.", "The list:\n\n* a cup\n* a key", True),
        ("Reformat this as a list, one on each line: I need a cup and a key.", "cup\nkey\nI hope this helps.", False),
        (
            "Soften this demand: Bring me the lamp right now.",
            "Would it be possible to bring me the lamp, please?",
            True,
        ),
        ("Soften this demand: Bring me the lamp right now.", "Could you not bring me the lamp?", False),
        ("Soften this demand: Bring me the lamp right now.", "Thank you.", False),
        (
            "Edit out the insult: Tom (what a liar) lost three green cups in town.",
            "Tom () lost 3 green cups in town.",
            True,
        ),
        (
            "Edit out the insult: Tom (what a liar) lost three green cups in town.",
            "Tom the liar lost 3 green cups in town.",
            False,
        ),
        ("Unscramble this sentence: 7 Anna pens red bought", "Anna bought 7 red pens! I moved the words.", True),
    ],
)
def test_revisions_that_are_easy_to_misjudge(instruction, text, passed):
    item = next(read for family in STAGE.families if (read := family.parse(instruction)))
    judged = by_name(item.family).check(item, text)
    assert judged.passed is passed, judged.reason


@pytest.mark.parametrize(
    "instruction",
    [
        "Correct this: The capital of France is Paris.",
        "Correct this: The capital of Atlantis is Rome.",
        "Correct the mistake: two mice",
        "Remove the word that stands twice: the old house",
        "Correct the grammar: The dogs are hungry.",
        "Correct the spelling: We receive many letters in winter.",
        f"Get to the point in 5 words or less, facts included: {LONG}",
        f"Comment: it was Tom, not Ben. Revise this sentence with it: {MARKET}",
        "Redact the email address: Tom, that stupid fool, lost three green cups in town.",
        "Make this polite: Give me the moon!",
    ],
)
def test_a_text_without_the_fault_it_should_have_states_no_item(instruction):
    assert all(family.parse(instruction) is None for family in STAGE.families)


def test_half_of_the_sentences_to_mend_or_keep_are_right_already():
    family, rng = by_name("mend_or_keep"), random.Random(2)
    items = [family.build(Namespace.EVAL, rng, family.templates(Namespace.EVAL)[0]) for _ in range(400)]
    kept = [item for item in items if item.answer in item.instruction]
    assert 160 < len(kept) < 240
    for item in kept:
        assert not family.check(item, "There is no mistake.").passed


def test_every_answer_that_only_repeats_what_was_wrong_fails():
    for item in build(STAGE, Namespace.TRAIN, 20 * len(STAGE.families), seed=5):
        family = by_name(item.family)
        original = family.original(item)
        if original and original not in item.truth.get("accepted", [item.answer]):
            assert not family.check(item, original).passed, item.instruction
            assert not family.check(item, f"{item.answer} or {original}").passed, item.instruction


def test_a_note_is_taken_away_and_doubt_is_not():
    assert without_notes("The old house. I removed a word. I kept the rest.") == "The old house."
    assert without_notes("The old house. Maybe.") == "The old house. Maybe."
    assert without_notes("The old house. I changed it or left it.").endswith("left it.")
    assert judge_revision(f"the old house{note('the old house')}", ["the old house"]).passed


def test_a_critique_is_one_line_that_names_the_fault_and_the_remedy():
    rng = random.Random(3)
    for item in build(STAGE, Namespace.TRAIN, 10 * len(STAGE.families), seed=6):
        family = by_name(item.family)
        said = family.critique(item, family.corrupt(item, rng), right=False)
        assert "\n" not in said
        assert " / ".join(item.answer.splitlines()) in said
        assert "keeps everything else" in family.critique(item, item.answer, right=True)


def test_the_pools_of_sentences_hold_each_word_once_and_no_right_form_as_a_mistake():
    assert len({word for word, _, _ in SPELLINGS}) == len(SPELLINGS) > 100
    known = {word for word, _, _ in SPELLINGS}
    for word, wrongs, sentence in SPELLINGS:
        assert sentence.count(word) == 1, sentence
        assert not known & set(wrongs)
    keys = [mistake.key for mistake in MISTAKES]
    assert len(set(keys)) == len(keys) > 100
    assert not {mistake.wrong for mistake in MISTAKES} & {right for m in MISTAKES for right in m.accepted}


def test_a_story_is_read_into_its_parts_and_its_words_back_into_order():
    story = read_story(MARKET)
    assert story is not None
    assert (story.name, story.number, story.colour, story.place) == ("Anna", "7", "red", "at the market")
    assert story.text == MARKET
    assert order_of(["pens", "7", "bought", "red", "Anna"]) == ["Anna", "bought", "7", "red", "pens"]
    assert order_of(["pens", "7", "8", "red", "Anna"]) is None
    assert read_story("Anna bought pens.") is None


def test_training_and_calibration_items_do_not_leak_the_held_out_set():
    held = build(STAGE, Namespace.EVAL, 25 * len(STAGE.families), seed=11)
    for namespace in (Namespace.TRAIN, Namespace.CALIBRATION):
        rows = [(one.id, one.instruction) for one in build(STAGE, namespace, 25 * len(STAGE.families), seed=12)]
        assert check(rows, held, STAGE.families) == []


def test_the_first_frozen_block_is_what_the_code_makes_byte_for_byte():
    assert frozen_path(5, 0).read_bytes() == dump(build_frozen(STAGE, 0))


def test_the_two_frozen_blocks_have_no_instruction_in_common():
    first, second = ({item.instruction for item in load(frozen_path(5, block))} for block in (0, 1))
    assert len(first) == len(second) == 100 * len(STAGE.families)
    assert not first & second

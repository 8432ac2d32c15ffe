"""Leaks are found in every disguise, and a question about something else is none."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.data.leakage import Guard, check, key_words
from pipeline.evals.items import build, frozen_blocks
from pipeline.options import Options
from pipeline.recipe_load import load
from pipeline.stages.base import Namespace
from pipeline.stages.families.text import number_words_to_digits
from pipeline.stages.registry import by_name, stage
from pipeline.steps.common import guard_of, held_out_index

FAMILIES = stage(1).families


def item(family, instruction):
    read = by_name(family).parse(instruction)
    assert read is not None
    return read


FRANCE = item("capitals", "What is France's capital city?")
STORY = item("extract", "Please find the colour in this sentence: Anna bought seven red pens at the market.")


@pytest.mark.parametrize(
    ("held", "text", "kind"),
    [
        (FRANCE, "what is france's capital city", "exact"),
        (FRANCE, "Tell me the capital of France.", "question"),
        (FRANCE, "So, what is France's capital city today?", "rouge"),
        (STORY, "Anna bought seven red pens at the market and then she went home.", "ngram"),
        (item("arithmetic", "Compute 7 + 5."), "Work out 7 + 5.", "question"),
    ],
)
def test_a_leak_is_found(held, text, kind):
    hits = check([("row-1", text)], [held], FAMILIES)
    assert [(hit.row, hit.item, hit.kind) for hit in hits] == [("row-1", held.id, kind)]


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (FRANCE, "What is Peru's capital city?"),
        (FRANCE, "Write one sentence about France."),
        (item("arithmetic", "Compute 7 + 5."), "Compute 7 + 6."),
        (item("list_n", "Please list three fruits."), "Please list four fruits."),
        (item("yes_no", "Yes or no: Is a rose a flower?"), "Yes or no: Is a rose a tool?"),
        (STORY, "Please find the colour in this sentence: Ben sold four blue hats in the park."),
        (FRANCE, ""),
    ],
)
def test_the_same_wording_about_something_else_is_no_leak(held, text):
    assert check([("row-1", text)], [held], FAMILIES) == []


def test_texts_of_twelve_words_with_nearly_all_shingles_in_common_are_a_leak():
    held = item("extract", "Which name is mentioned in this sentence? Tom lost three green cups yesterday.")
    assert [hit.kind for hit in check([("r", held.instruction + " Thanks.")], [held])] == ["shingle"]
    other = "Which name is mentioned in this sentence? Ben found four white boats today. Thanks."
    assert check([("r", other)], [held]) == []


def test_key_words_are_those_that_make_the_truth():
    assert key_words(FRANCE) == {"france"}
    assert key_words(item("list_n", "Please list three fruits.")) == {"3", "fruits"}
    assert key_words(item("opposites", "Name the antonym of hot.")) == {"hot"}


def test_training_and_calibration_items_do_not_leak_the_held_out_set():
    held = build(stage(1), Namespace.EVAL, 360, seed=11)
    for namespace in (Namespace.TRAIN, Namespace.CALIBRATION):
        rows = [(one.id, one.instruction) for one in build(stage(1), namespace, 360, seed=12)]
        assert check(rows, held, FAMILIES) == []


def test_a_planted_held_out_item_is_the_only_hit():
    held = build(stage(1), Namespace.EVAL, 120, seed=11)
    rows = [(one.id, one.instruction) for one in build(stage(1), Namespace.TRAIN, 120, seed=12)]
    hits = check([*rows, ("planted", held[57].instruction)], held, FAMILIES)
    assert {hit.row for hit in hits} == {"planted"}
    assert held[57].id in {hit.item for hit in hits}


def test_rows_of_one_text_are_hit_alike_and_that_text_is_searched_once(monkeypatch):
    guard = Guard([FRANCE, STORY], FAMILIES)
    searched = []
    search = guard._search
    monkeypatch.setattr(guard, "_search", lambda text: searched.append(text) or search(text))
    leak, clean = "Tell me the capital of France.", "Tell me the capital of Peru."
    hits = guard.hits([("a", leak), ("b", clean), ("c", leak)]) + guard.hits([("d", leak)])
    assert [(hit.row, hit.item, hit.kind) for hit in hits] == [(row, FRANCE.id, "question") for row in "acd"]
    assert searched == [leak, clean]


def test_the_index_that_a_fork_server_reads_is_the_one_that_steps_ask_for(tmp_path):
    """By what crosses the process boundary as JSON; one that were built anew would cost seconds in every step."""
    options = Options(load("smoke", ["stages=[1]"]), tmp_path / "run", "run")
    told = json.loads(json.dumps(options.keep))
    held_out_index.cache_clear()
    index = held_out_index(tuple(told["stages"]), Path(told["scratch"]))
    ctx = SimpleNamespace(recipe=options.recipe, run_dir=options.run_dir.resolve())
    assert guard_of(ctx) is index
    planted = frozen_blocks(1)[7]
    assert {hit.item for hit in index.hits([("r", planted.instruction)])} >= {planted.id}
    held_out_index.cache_clear()


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        ("Twenty-one of ONE hundred, ninety nine", "21 of 1 hundred, 99"),
        ("one’s two é three", "1’s 2 é 3"),
        ("someone, one2 and _one", "someone, one2 and _one"),
        ("sıx fıfty-one", "sıx fıfty-1"),  # a dotless i is an i to a pattern that ignores case
    ],
)
def test_number_words_become_digits_whatever_the_letters_around_them(text, digits):
    assert number_words_to_digits(text) == digits

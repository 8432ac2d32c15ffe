"""Item sets: exact counts, no duplicates, wordings in turn, one frozen set whose bytes can be proved."""

from __future__ import annotations

import json
from collections import Counter
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evals import items
from pipeline.stages.base import Gate, Namespace, Stage
from pipeline.stages.registry import by_name, stage

FAMILIES = stage(1).families

STAGE = stage(1)


def recipe(count: int, families: tuple[str, ...] = ()):
    """The two fields of a recipe that say which held-out items it wants."""
    return SimpleNamespace(data=SimpleNamespace(families=families), evaluation=SimpleNamespace(items=count))


@given(st.integers(0, 5000), st.integers(1, 40))
def test_a_split_loses_no_item_and_the_remainder_goes_first(count, parts):
    shares = items.split(count, parts)
    assert sum(shares) == count
    assert len(shares) == parts
    assert shares == sorted(shares, reverse=True)
    assert shares[0] - shares[-1] <= 1


@pytest.mark.parametrize("namespace", Namespace)
def test_counts_are_exact_and_no_instruction_repeats(namespace):
    count = 13 * len(FAMILIES) + 5
    built = items.build(STAGE, namespace, count, seed=1)
    assert len(built) == count
    assert len({item.instruction for item in built}) == count
    per_family = Counter(item.family for item in built)
    assert [per_family[family.name] for family in FAMILIES] == items.split(count, len(FAMILIES))


def test_every_training_family_offers_forty_different_items():
    built = items.build(STAGE, Namespace.TRAIN, 40 * len(FAMILIES), seed=2)
    for family in FAMILIES:
        mine = [item for item in built if item.family == family.name]
        assert len({json.dumps(dict(item.truth), sort_keys=True) for item in mine}) >= 40


def test_wordings_are_used_equally():
    built = items.build(STAGE, Namespace.EVAL, 30 * len(FAMILIES), seed=4)
    used = Counter(item.template for item in built)
    for family in FAMILIES:
        counts = [used[template] for template in family.templates(Namespace.EVAL)]
        assert max(counts) - min(counts) <= 1


def test_the_same_seed_gives_the_same_items_and_another_seed_others():
    first, again, other = (items.dump(items.build(STAGE, Namespace.TRAIN, 60, seed)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_a_later_block_holds_no_instruction_of_an_earlier_one():
    small = Stage(1, "explicit", (by_name("arithmetic"), by_name("extract")), Gate(0.95))
    blocks = [items.build(small, Namespace.EVAL, 200, items.FROZEN_SEED, block) for block in range(3)]
    instructions = [item.instruction for block in blocks for item in block]
    assert len(set(instructions)) == len(instructions) == 600


def test_an_exhausted_pool_is_an_error_and_not_fewer_items():
    small = Stage(1, "explicit", (by_name("capitals"),), Gate(0.95))
    with pytest.raises(items.ItemsError, match="capitals"):
        items.build(small, Namespace.CALIBRATION, 5000, seed=1)


def test_the_frozen_set_is_what_its_code_makes_byte_for_byte():
    path = items.frozen_path(1)
    assert path.read_bytes() == items.dump(items.build_frozen(STAGE, 0))
    assert len(items.load(path)) >= 600


def test_a_recipe_gets_the_first_items_of_each_family_in_the_frozen_order():
    frozen = items.load(items.frozen_path(1))
    chosen = items.frozen_set(recipe(108))
    assert len(chosen) == 108
    assert [frozen.index(item) for item in chosen] == sorted(frozen.index(item) for item in chosen)
    larger = {item.id for item in items.frozen_set(recipe(600))}
    assert {item.id for item in chosen} <= larger


def test_a_recipe_with_fewer_families_gets_only_those():
    chosen = items.frozen_set(recipe(25, ("copy", "arithmetic")))
    assert Counter(item.family for item in chosen) == {"arithmetic": 13, "copy": 12}


def test_more_items_than_frozen_and_unknown_families_are_refused_with_a_remedy():
    with pytest.raises(items.ItemsError, match=r"lower evaluation\.items"):
        items.frozen_set(recipe(100_000))
    with pytest.raises(items.ItemsError, match=r"no stage has a family .poetry. .*known: acknowledge"):
        items.frozen_set(recipe(10, ("poetry",)))


def test_an_altered_or_missing_set_is_refused(tmp_path):
    path = tmp_path / "set.jsonl"
    built = items.build(STAGE, Namespace.EVAL, 24, seed=9)
    digest = items.write(path, built)
    assert items.load(path) == built
    assert digest == items.set_hash(built)
    path.write_bytes(path.read_bytes().replace(b"What", b"Whet", 1))
    with pytest.raises(items.ItemsError, match="altered"):
        items.load(path)
    with pytest.raises(items.ItemsError, match="not found"):
        items.load(tmp_path / "none.jsonl")


def test_an_item_whose_id_lies_is_refused_even_with_a_matching_file_hash(tmp_path):
    import hashlib

    path = tmp_path / "set.jsonl"
    items.write(path, items.build(STAGE, Namespace.EVAL, 12, seed=9))
    body = path.read_bytes().replace(b'"answer": "', b'"answer": "x', 1)
    path.write_bytes(body)
    path.with_name("set.jsonl.sha256").write_text(hashlib.sha256(body).hexdigest())
    with pytest.raises(items.ItemsError, match="does not have the content"):
        items.load(path)


def test_freezing_keeps_an_existing_block(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(items, "FROZEN_DIR", tmp_path)
    path = items.frozen_path(1)
    path.write_text("kept")
    assert items.main(["freeze"]) == 0
    assert path.read_text() == "kept"
    assert "--replace" in capsys.readouterr().err

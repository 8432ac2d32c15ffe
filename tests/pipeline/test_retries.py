"""Automatic data retries: declared beforehand, at most two, recorded, and the same when a run is taken up again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.errors import UsageError
from pipeline.recipe_load import load
from pipeline.retries import NAME, Retries
from tests.pipeline.fake_run import recipe


def test_nothing_is_changed_before_a_breach(tmp_path: Path) -> None:
    fresh = Retries(tmp_path, 1, recipe())
    assert (fresh.count, fresh.recipe) == (0, recipe())
    assert not (tmp_path / "stage-1").exists()


def test_each_retry_adds_its_settings_and_says_why(tmp_path: Path) -> None:
    data = Retries(tmp_path, 1, recipe())
    assert data.next("too many duplicates") == ("data.answer_temperature=0.5",)
    assert data.recipe.data.answer_temperature == 0.5
    assert data.next("still too many") == ("data.answer_temperature=0.3", "data.instruction_temperature=0.7")
    assert (data.recipe.data.answer_temperature, data.recipe.data.instruction_temperature) == (0.3, 0.7)
    noted = json.loads((tmp_path / "stage-1" / NAME).read_text())
    assert [entry["because"] for entry in noted["retries"]] == ["too many duplicates", "still too many"]
    assert noted["recipe_sha256"] == recipe().digest()


def test_after_the_declared_ones_there_is_none(tmp_path: Path) -> None:
    data = Retries(tmp_path, 1, recipe())
    assert [data.next("bad") is not None for _ in range(4)] == [True, True, False, False]
    assert data.count == 2
    none = recipe(data={"instructions": 9, "retries": []})
    assert Retries(tmp_path, 2, none).next("bad") is None


def test_a_run_taken_up_again_goes_on_with_the_same_settings(tmp_path: Path) -> None:
    spent = Retries(tmp_path, 1, recipe())
    spent.next("bad")
    again = Retries(tmp_path, 1, recipe())
    assert (again.count, again.recipe) == (1, spent.recipe)
    assert Retries(tmp_path, 2, recipe()).count == 0


def test_another_recipe_begins_anew(tmp_path: Path) -> None:
    Retries(tmp_path, 1, recipe()).next("bad")
    other = Retries(tmp_path, 1, recipe(seed=5))
    assert (other.count, other.recipe) == (0, recipe(seed=5))


def test_more_than_two_cannot_be_declared() -> None:
    with pytest.raises(ValidationError, match="at most 2 items"):
        recipe(data={"retries": [["data.top_p=0.9"], ["data.top_p=0.8"], ["data.top_p=0.7"]]})


@pytest.mark.parametrize("name", ["smoke", "demo", "qwen2.5-32b-a100"])
def test_the_declared_settings_of_a_shipped_recipe_can_be_applied(name: str, tmp_path: Path) -> None:
    data = Retries(tmp_path, 1, load(name))
    while data.next("bad") is not None:
        assert data.recipe != load(name)
    assert data.count == len(load(name).data.retries)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"recipe_sha256": "x", "retries": [1]}', "\xff"])
def test_a_damaged_list_of_retries_is_refused_and_never_taken_for_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "stage-1" / NAME
    path.parent.mkdir()
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="cannot be read"):
        Retries(tmp_path, 1, recipe())

"""The constitution: ours is valid, mistakes are named with line and remedy, draws are uniform and reproducible."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pipeline.constitution import ConstitutionError, default_path, load
from pipeline.recipe import RecipeError

ROOT = Path(__file__).parents[2]
GOOD = """version: 1
principles:
  - id: a
    category: helpful
    text: Do it.
  - id: b
    category: harmless
    text: Hurt nobody.
  - id: c
    category: honest
    text: Say what is true.
"""


def written(tmp_path, text):
    path = tmp_path / "constitution.yaml"
    path.write_text(text)
    return path


def test_our_own_constitution_is_valid_and_covers_all_categories():
    ours = load(ROOT / "constitution.yaml")
    assert len(ours.principles) >= 15
    assert {p.category for p in ours.principles} == {"helpful", "harmless", "honest"}


def test_the_current_directory_comes_first_and_the_package_tree_second(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert default_path() == ROOT / "constitution.yaml"
    path = written(tmp_path, GOOD)
    assert default_path() == path
    assert len(load().principles) == 3


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "category: honest",
            "category: nice",
            r"constitution.yaml:10: principles\[2\].category: .*use helpful, harmless",
        ),
        ("text: Hurt nobody.", "txet: Hurt nobody.", r":6: principles\[1\].text: Field required; add the field"),
        ("text: Do it.", "text: ''", r":5: principles\[0\].text: .*write the principle's text"),
        ("text: Do it.", "text: Do it.\n    weight: 2", r":6: principles\[0\].weight: .*remove it"),
        ("id: b", "id: a", r":6: principles\[1\].id: id 'a' is already used by principle 1; give each"),
        ("category: honest", "category: helpful", r":2: principles: no principle of category 'honest'; add one"),
        ("id: c", "id: C c", r":9: principles\[2\].id: .*lower-case"),
        ("version: 1", "version: zero", r":1: version: "),
        ("principles:", "principles: [", r"not valid YAML"),
        (GOOD, "just text", r":1: must hold"),
        (GOOD, "", r":1: must hold"),
    ],
)
def test_a_mistake_is_named_with_file_line_field_and_remedy(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(ConstitutionError, match=said) as caught:
        load(written(tmp_path, GOOD.replace(old, new, 1)))
    assert isinstance(caught.value, RecipeError)


def test_a_missing_file_is_one_sentence(tmp_path):
    with pytest.raises(ConstitutionError, match="not found"):
        load(tmp_path / "none.yaml")


def test_principles_are_dealt_reproducibly_each_once_before_any_comes_twice():
    ours = load(ROOT / "constitution.yaml")
    dealt = [ours.deal(0, index).id for index in range(150)]
    assert dealt == [ours.deal(0, index).id for index in range(150)]
    assert set(Counter(dealt).values()) == {10}
    for deck in range(10):
        assert len(set(dealt[15 * deck : 15 * deck + 15])) == 15
    assert dealt != [ours.deal(0, index, 1).id for index in range(150)]
    assert dealt[:15] != dealt[15:30]
    kinds = {p.category for p in (ours.deal(0, index, 0, ("honest",)) for index in range(20))}
    assert kinds == {"honest"}


def test_an_unused_principle_is_reported_and_a_foreign_one_refused(tmp_path):
    small = load(written(tmp_path, GOOD))
    assert small.coverage({"a": 3, "b": 0}) == ("b", "c")
    with pytest.raises(KeyError, match="zzz"):
        small.coverage({"zzz": 1})


def test_the_digest_follows_the_content_and_not_the_layout(tmp_path):
    first = load(written(tmp_path, GOOD)).digest
    assert load(written(tmp_path, GOOD + "\n# a remark\n")).digest == first
    assert load(written(tmp_path, GOOD.replace("Do it.", "Do it well."))).digest != first

"""Whatever is wrong with a recipe is said with file, line, field and remedy; what is right loads whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.errors import UsageError
from pipeline.plan import build
from pipeline.recipe import RECIPE_NAMES, Precision, Recipe, RecipeError
from pipeline.recipe_load import RECIPES, load, names
from pipeline.stages import registry

GOOD = "name: mine\ndescription: d\nmodel:\n  id: tiny\n"


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", RECIPE_NAMES)
def test_every_named_recipe_loads_and_plans(name: str) -> None:
    recipe = load(name)
    assert recipe.name == name
    opinions = sum(registry.stage(number).second_opinion is not None for number in recipe.stages)
    assert len(build(recipe)) == 1 + 11 * len(recipe.stages) + opinions - (not recipe.train.merge_last)
    assert recipe.model_dump() == Recipe.model_validate(recipe.model_dump(mode="json")).model_dump()


def test_the_shipped_recipes_are_the_documented_ones() -> None:
    assert tuple(names()) == RECIPE_NAMES
    assert load("qwen2.5-32b-a100").precision.train is Precision.NF4
    assert load("qwen2.5-32b-a100-pilot").precision == load("qwen2.5-32b-a100").precision
    assert load("qwen2.5-32b-h200").precision.evaluate is Precision.BF16
    assert load("qwen2.5-32b-a100-pilot").data.instructions == 100
    assert load("demo").evaluation.items >= 100


def test_a_child_changes_only_what_it_says(tmp_path: Path) -> None:
    write(tmp_path / "parent.yaml", GOOD + "data:\n  instructions: 7\n  answers: 2\ntrain:\n  sft: {epochs: 3}\n")
    child = write(tmp_path / "child.yaml", "extends: parent.yaml\nname: child\ndata:\n  answers: 5\n")
    recipe = load(child)
    assert (recipe.name, recipe.description) == ("child", "d")
    assert (recipe.data.instructions, recipe.data.answers, recipe.train.sft.epochs) == (7, 5, 3)
    assert load(write(tmp_path / "by-name.yaml", "extends: smoke\nname: x\n")).model.id == "tiny"


def test_overlays_come_last_and_are_checked() -> None:
    changed = ["train.dpo.loss=[ipo]", "train.dpo.loss_weights=[1.0]", "hardware.threads=null"]
    recipe = load("demo", ["data.instructions=7", "model.id=tiny", *changed])
    assert (recipe.data.instructions, recipe.model.id, recipe.train.dpo.loss) == (7, "tiny", ("ipo",))
    assert recipe.hardware.threads is None


@pytest.mark.parametrize(
    ("overlay", "words"),
    [
        ("data.instuctions=3", "field data.instuctions: unknown field. Did you mean 'instructions'?"),
        ("data.pairs=many", "field data.pairs: Input should be a valid integer"),
        ("data.retries=[[data.nonsense=1]]", "field data.nonsense: unknown field"),
        ("data.retries=[[data.min_accept=0]]", "a retry changes how data are made"),
        ("data.retries=[[data.filter=verified]]", "a retry changes how data are made"),
        ("data.retries=[[evaluation.threshold=0]]", "a retry changes how data are made"),
        ("data.answer_temperature=1.0e+300", "less than or equal to 100"),
        ("train.sft.schedule=banana", "field train.sft.schedule: Input should be 'linear', 'cosine'"),
        ("train.sft.epochs=1.0e+300", "less than or equal to 1000"),
        ("model.id=''", "at least 1 character"),
        ("seed=!!bool maybe", "not valid YAML"),
        ("seed", "write it as section.field=value"),
        ("seed=[", "not valid YAML"),
        ("model.id.x=3", "'id' is a value, not a section"),
        ("nothing.at.all=1", "--set nothing.at.all=1, field nothing: unknown field"),
    ],
)
def test_a_wrong_overlay_is_named(overlay: str, words: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load("demo", [overlay])
    assert words in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (GOOD + "data:\n  instuctions: 5\n", 6, "field data.instuctions: unknown field. Did you mean 'instructions'?"),
        (GOOD + "precison: {}\n", 5, "Did you mean 'precision'?"),
        (GOOD + "data:\n  instructions: lots\n", 6, "field data.instructions: Input should be a valid integer"),
        (GOOD + "data:\n  instructions: 0\n", 6, "greater than or equal to 1, but it is 0"),
        (GOOD + "precision: {train: int4}\n", 5, "field precision.train: Input should be 'nf4', 'int8', 'bf16'"),
        (GOOD + "stages: [1, two]\n", 5, "field stages.1"),
        (GOOD + "seed: 1\nseed: 2\n", 6, "field seed: already set in line 5"),
        (GOOD + "data: [\n", 6, "not valid YAML"),
        (GOOD + "data: 5\n", 5, "field data: "),
        (GOOD + "extends: nobody\n", 5, "field extends: no recipe named 'nobody'"),
        (GOOD + "extends: [demo]\n", 5, "give one recipe name or file"),
        ("- a\n", 1, "a recipe is a mapping of fields"),
        ("", 1, "a recipe is a mapping of fields"),
    ],
)
def test_a_malformed_file_is_told_with_file_line_and_remedy(tmp_path: Path, text: str, line: int, words: str) -> None:
    path = write(tmp_path / "mine.yaml", text)
    with pytest.raises(RecipeError) as caught:
        load(path)
    assert f"{path}, line {line}" in str(caught.value)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "seed: !!bool maybe", "seed: !!timestamp foo", 'seed: !!int ""', f"seed: {'9' * 5000}", f"seed: {'[' * 400}",
        f"seed: {'[' * 2000}{']' * 2000}", "data: &d {families: *d}",
        "\n".join(["a0: &a0 [x, x, x]", *(f"a{k + 1}: &a{k + 1} [{', '.join([f'*a{k}'] * 9)}]" for k in range(8))]),
    ],
    ids=["bool", "time", "int", "long", "deep", "closed", "itself", "bomb"],
)  # fmt: skip
def test_whatever_yaml_can_be_made_to_do_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError, match=r"mine\.yaml.*(?:not valid YAML|field seed)") as caught:
        load(write(tmp_path / "mine.yaml", f"{GOOD}{text}\n"))
    assert len(str(caught.value)) < 500 + len(str(tmp_path))


def test_revision_rounds_of_a_stage_that_does_not_exist_are_refused() -> None:
    with pytest.raises(UsageError, match=r"field data\.revision_rounds: there is no stage 9"):
        build(load("demo", ["data.revision_rounds={9: 2}"]))


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"mine\.yaml.*, field model\.id: missing\. Add it\."):
        load(write(tmp_path / "mine.yaml", "name: a\ndescription: b\nmodel: {}\n"))


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path / "mine.yaml", GOOD + "seed: x\ndata:\n  answers: y\n"))
    assert len(str(caught.value).splitlines()) == 2


def test_a_circle_of_parents_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml\n")
    write(tmp_path / "b.yaml", "extends: a.yaml\n")
    with pytest.raises(RecipeError, match=r"in a circle \(a\.yaml → b\.yaml → a\.yaml\)"):
        load(tmp_path / "a.yaml")


def test_a_mistake_in_the_parent_is_told_of_the_parent(tmp_path: Path) -> None:
    parent = write(tmp_path / "parent.yaml", GOOD + "data:\n  answrs: 2\n")
    child = write(tmp_path / "child.yaml", "extends: parent.yaml\nname: child\n")
    with pytest.raises(RecipeError, match="answers") as caught:
        load(child)
    assert f"{parent}, line 6" in str(caught.value)


def test_an_unknown_name_gets_the_nearest_one() -> None:
    with pytest.raises(RecipeError, match=r"no recipe named 'dmo' .* Did you mean 'demo'\?"):
        load("dmo")


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \x07\n"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(data)
    with pytest.raises(RecipeError, match=r"mine\.yaml"):
        load(path)


def test_the_digest_moves_with_results_and_not_with_the_runtime() -> None:
    base = load("demo")
    assert load("demo", ["runtime.generate_tokens=500"]).digest() == base.digest()
    assert load("demo", ["data.answer_temperature=0.5"]).digest() != base.digest()
    assert RECIPES.is_dir()

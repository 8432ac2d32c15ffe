"""Cards state what the run's files say, carry readable front matter, and claim nothing that no gate has judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import example_run as example
import pytest
import yaml

from pipeline.artifacts import sha256_file
from pipeline.report import cards
from pipeline.report.reading import RunFiles


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("run")
    example.whole_run(root)
    cards.write_cards(RunFiles(root))
    return root


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    example.whole_chain(root)
    cards.write_cards(RunFiles(root))
    return root


def front(card: str) -> dict[str, Any]:
    found = yaml.safe_load(card.split("\n---\n")[0])
    assert isinstance(found, dict)
    return found


def test_every_data_file_and_adapter_gets_its_card(written: Path) -> None:
    assert sorted(path.name for path in (written / "cards").iterdir()) == [
        "stage-1-dpo-adapter.md",
        "stage-1-pairs-data.md",
        "stage-1-sft-adapter.md",
        "stage-1-sft-data.md",
    ]


def test_a_data_card_counts_hashes_and_admits_wrong_rows(written: Path) -> None:
    card = (written / "cards/stage-1-sft-data.md").read_text()
    assert "30 rows of supervised examples" in card
    assert sha256_file(written / "stage-1/filter/sft.jsonl") in card
    assert "| rows whose truth a program knows | 25 of 30 |" in card
    assert "| rows known wrong | 2 (8.0 %) |" in card
    assert 'load_dataset("json", data_files="stage-1/filter/sft.jsonl", split="train")' in card
    assert "programmatic truth selected nothing" in card
    assert front(card)["configs"] == [{"config_name": "sft", "data_files": "stage-1/filter/sft.jsonl"}]


def test_a_pair_card_names_where_rejections_come_from(written: Path) -> None:
    card = (written / "cards/stage-1-pairs-data.md").read_text()
    assert "| source corruption:near | 6 |" in card
    assert "| chosen sides known wrong | 0 (0.0 %) |" in card
    assert "| rejected sides known wrong | not measured |" in card
    assert "| tokens of the chosen side: quartiles | 3.75, 6.5, 9.25 |" in card
    assert "made from such an answer by a program" in card


def test_the_verdict_stands_on_the_final_adapter_only(written: Path) -> None:
    final = (written / "cards/stage-1-dpo-adapter.md").read_text()
    assert "passed its gate" in final
    assert "| tuned | 118 of 120 |" in final
    assert front(final)["base_model"] == "tiny"
    assert "`stage-1/dpo/adapter/adapter_config.json`: sha256" in final
    assert "abc123 with uncommitted changes" in final
    assert "No gate has judged this adapter." in (written / "cards/stage-1-sft-adapter.md").read_text()


def test_without_dpo_the_sft_adapter_is_the_judged_one(tmp_path: Path) -> None:
    example.whole_run(tmp_path)
    shutil.rmtree(tmp_path / "stage-1/dpo")
    cards.write_cards(RunFiles(tmp_path))
    assert "passed its gate" in (tmp_path / "cards/stage-1-sft-adapter.md").read_text()


def test_data_chosen_by_truth_are_marked_as_an_ablation(tmp_path: Path) -> None:
    example.whole_run(tmp_path)
    run = json.loads((tmp_path / "run.json").read_text())
    run["recipe"]["data"]["filter"] = "verified"
    example.dump(tmp_path / "run.json", run)
    cards.write_cards(RunFiles(tmp_path))
    card = (tmp_path / "cards/stage-1-sft-data.md").read_text()
    assert "an ablation" in card
    assert "selected nothing" not in card


def test_an_empty_run_gets_no_cards(tmp_path: Path) -> None:
    assert cards.write_cards(RunFiles(tmp_path)) == []


def test_a_hostile_model_name_cannot_break_the_front_matter() -> None:
    facts = cards.CardFacts("run", "demo", None, 1, "x\n---\nlicense: |evil", None, None, None, {})
    card = cards.model_card(facts, "sft", [], {}, {}, [], None)
    assert front(card)["base_model"] == "x ⏎ --- ⏎ license: |evil"
    assert "license" not in front(card)
    assert "| rows | not measured |" in card


def test_a_later_adapter_names_its_parents_and_what_it_keeps(chain: Path) -> None:
    card = (chain / "cards/stage-2-dpo-adapter.md").read_text()
    assert "1. the final adapter of stage 1, merged into the weights" in card
    assert "needs the adapters of the stages before under it" in card
    assert "| previous | 40 of 120 |" in card
    assert "| stage 1 | 117 of 120 |" in card
    assert "Gate: FAIL, attempt 1, threshold 90.0 %." in card
    assert "48 ended by themselves and were wrong" in card
    assert "`stage-2/pairs/pairs.jsonl`: 12 rows" in card
    assert "| rows | 29 |" in card
    assert "merged into the weights" not in (chain / "cards/stage-1-dpo-adapter.md").read_text()


def test_rehearsed_rows_have_a_card_where_there_are_any(chain: Path) -> None:
    card = (chain / "cards/stage-2-rehearsal-data.md").read_text()
    assert "10 rows of supervised examples of earlier stages" in card
    assert "| rows of stage 1 | 10 |" in card
    assert "Retry 1 of the stage's data: `data.answer_temperature=0.5`" in card
    assert not (chain / "cards/stage-1-rehearsal-data.md").exists()


def test_an_adapter_whose_gate_is_open_claims_nothing(tmp_path: Path) -> None:
    example.whole_run(tmp_path)
    (tmp_path / "stage-1/gate.json").unlink()
    cards.write_cards(RunFiles(tmp_path))
    card = (tmp_path / "cards/stage-1-dpo-adapter.md").read_text()
    assert "The gate has not been decided." in card
    assert "passed" not in card


@pytest.mark.parametrize(
    ("model", "licence"),
    [("tiny", "Apache-2.0"), ("pypi:some-model", "Gemma Terms of Use"), ("other/model", "comes from")],
)
def test_the_licence_is_named_where_this_package_knows_it(model: str, licence: str) -> None:
    facts = cards.CardFacts("run", "demo", None, 1, model, None, None, None, {})
    card = cards.model_card(facts, "sft", [], {}, {}, [], None)
    assert licence in card.split("## Licence")[1].split("## Limits")[0]


@pytest.mark.slow
def test_a_real_run_loads_where_its_cards_say(tmp_path: Path) -> None:
    """Every data file with `datasets`, every adapter with PEFT, offline."""
    import datasets
    from peft import AutoPeftModelForCausalLM, PeftConfig

    from pipeline.models.resolve import TINY
    from pipeline.recipe_load import load
    from pipeline.runner import Options, run

    small = ("stages=[1,2]", "evaluation.on_fail=continue", "evaluation.items=60", "data.min_accept=0.0")
    root = tmp_path / "run"
    run(Options(recipe=load("smoke", small), run_dir=root, run_id="cards", say=lambda _: None, env={}))
    cards.write_cards(RunFiles(root))
    loaded = 0
    for card in sorted((root / "cards").glob("*-data.md")):
        path = root / front(card.read_text())["configs"][0]["data_files"]
        rows = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        assert f"\n{len(rows)} rows of" in card.read_text()
        assert "prompt" in rows.column_names
        loaded += 1
    assert loaded >= 3
    adapters = [root / front_path for front_path in sorted(root.glob("stage-*/*/adapter"))]
    assert adapters
    for folder in adapters:
        assert PeftConfig.from_pretrained(str(folder)).base_model_name_or_path == "tiny"
        config = json.loads((folder / "adapter_config.json").read_text())
        copy = Path(shutil.copytree(folder, tmp_path / "adapter", dirs_exist_ok=True))
        (copy / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": str(TINY)}))
        model = AutoPeftModelForCausalLM.from_pretrained(str(copy))
        assert model.peft_config["default"].r == 16

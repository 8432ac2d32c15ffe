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
    assert "| rows whose truth a program knows | 25 |" in card
    assert "| of these wrong | 2 |" in card
    assert "programmatic truth selected nothing" in card
    assert front(card)["configs"] == [{"config_name": "sft", "data_files": "stage-1/filter/sft.jsonl"}]


def test_a_pair_card_names_where_rejections_come_from(written: Path) -> None:
    card = (written / "cards/stage-1-pairs-data.md").read_text()
    assert "| source corruption:near | 6 |" in card
    assert "| chosen sides wrong, where a program knows | 0 of 9 |" in card
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
    card = cards.model_card(facts, "sft", [], {}, None, None)
    assert front(card)["base_model"] == "x ⏎ --- ⏎ license: |evil"
    assert "license" not in front(card)
    assert "Rows trained on: missing" in card

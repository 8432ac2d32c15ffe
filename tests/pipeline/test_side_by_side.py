"""Runs side by side: paired tests only over the same frozen items, everything else said and never counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts, side_by_side
from pipeline.__main__ import main
from pipeline.errors import UsageError
from pipeline.records import EvalResult, write_records
from pipeline.stats import mcnemar, wilson_interval

RECIPE = {"name": "demo", "seed": 0, "stages": [1], "evaluation": {"threshold": 0.6}, "train": {"lr": 1e-4}}
SAME = "f" * 64
Make = Callable[..., Path]


def row(item: int, right: bool) -> EvalResult:
    return EvalResult.make(
        stage=1, family="capitals", seed=0, decoding="{}", model="a" * 64, parents=[], prompt="?", text_raw="x",
        text="x", finish_reason="eos", tokens=1, item=f"i{item}", template=f"t{item}", condition="tuned",
        instruction="?", strict=right, strict_reason="", lenient=right, lenient_reason="", scorer="1",
    )  # fmt: skip


@pytest.fixture
def made(tmp_path: Path) -> Make:
    """A run directory with one evaluated stage; `right` are the items answered rightly."""

    def make(name: str, right: set[int], *, items: int = 40, set_hash: str = SAME, done: bool = True,
             **changes: Any) -> Path:  # fmt: skip
        root = tmp_path / name
        step = root / "stage-1" / "evaluate"
        (step / "set-1").mkdir(parents=True)
        recipe = {**RECIPE, **changes}
        record = {"v": 1, "run_id": name, "recipe": recipe, "recipe_sha256": "0" * 64, "overrides": [],
                  "git": {"commit": "c0ffee" * 6}, "hardware": {"cpu": "a CPU"}}  # fmt: skip
        (root / "run.json").write_text(json.dumps(record))
        write_records(step / "set-1" / "tuned.jsonl", [row(n, n in right) for n in range(items)])
        fingerprint = {"precision": "fp32", "condition": "tuned", "decoding": "greedy", "scorer": "1",
                       "set_hash": set_hash, "model": name}  # fmt: skip
        counts = {"strict": len(right), "lenient": len(right), "trials": items, "fingerprint": fingerprint}
        (step / "summary.json").write_text(json.dumps({"sets": {"1": {"conditions": {"tuned": counts}}}}))
        if done:
            artifacts.publish(step, key="k", inputs={}, body={})
        return root

    return make


def test_the_same_items_are_compared_in_pairs_by_the_pipelines_own_tests(made: Make) -> None:
    earlier, later = made("a", set(range(10))), made("b", set(range(5, 30)))
    found = side_by_side.side_by_side([earlier, later], draws=200)
    strict = next(one for one in found["tests"] if one["scoring"] == "strict")
    assert (strict["a"], strict["b"], strict["n"]) == ("b", "a", 40)
    assert (strict["only_a"], strict["only_b"]) == (20, 5)
    assert strict["lift"] == pytest.approx(15 / 40)
    assert strict["p"] >= mcnemar(20, 5).p_value
    assert strict["low"] < strict["lift"] < strict["high"]
    (stage,) = found["runs"][0]["stages"]
    low, high = wilson_interval(10, 40)
    assert (stage["rates"]["tuned"]["low"], stage["rates"]["tuned"]["high"]) == (low, high)
    assert "tuned strict: b against a: +37.5 points" in found["text"]


@pytest.mark.parametrize(
    ("change", "why"),
    [({"set_hash": "e" * 64}, "different held-out items"), ({"items": 39}, "hold different items"),
     ({"done": False}, "b measured nothing here")],
)  # fmt: skip
def test_what_is_not_the_same_is_not_tested_and_it_is_said_why(made: Make, change: dict[str, Any], why: str) -> None:
    found = side_by_side.side_by_side([made("a", {1, 2}), made("b", {1, 3}, **change)])
    assert [one.get("p") for one in found["tests"]] == [None]
    assert why in found["tests"][0]["why_not"]
    assert why in found["text"]


def test_a_result_whose_bytes_were_changed_afterwards_counts_for_nothing(made: Make) -> None:
    first, second = made("a", {1}), made("b", {2})
    with (second / "stage-1/evaluate/set-1/tuned.jsonl").open("a") as file:
        file.write("{}\n")
    (test,) = side_by_side.side_by_side([first, second])["tests"]
    assert "b measured nothing here" in test["why_not"]


def test_settings_that_differ_are_listed_for_every_run_and_absent_stays_absent(made: Make) -> None:
    three = [made("a", {1}), made("b", {1}, train={"lr": 2e-4}), made("c", {1}, train={"lr": 1e-4, "epochs": 2})]
    found = side_by_side.side_by_side(three, draws=0)
    assert found["recipe"] == [
        {"field": "train.epochs", "values": [None, None, "2"]},
        {"field": "train.lr", "values": ["0.0001", "0.0002", "0.0001"]},
    ]
    pairs = {(one["a"], one["b"]) for one in found["tests"]}
    assert pairs == {("b", "a"), ("c", "a"), ("c", "b")}
    assert all(run["cost"] is None and run["seconds"] is None for run in found["runs"])
    assert "cost unknown" in found["text"]


def test_nonsense_is_refused(made: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = made("a", {1})
    with pytest.raises(UsageError, match="two runs"):
        side_by_side.side_by_side([one])
    with pytest.raises(UsageError, match="with itself"):
        side_by_side.side_by_side([one, one])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no run"):
        side_by_side.side_by_side([one, tmp_path / "empty"])
    assert main(["compare", str(one)]) == 2
    assert "two runs" in capsys.readouterr().err
    assert main(["compare", str(one), str(made("b", {2})), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == {"runs", "recipe", "tests", "text"}

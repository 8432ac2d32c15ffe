"""A chain of stages: who reads whose results, what passing over a gate leaves behind, fresh blocks, scratch weights."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import artifacts, standing
from pipeline.errors import UsageError
from pipeline.forecast.command import done_in
from pipeline.plan import STAGE_STEPS
from pipeline.protocol import Event, Verdict, read_events
from pipeline.recipe import Model, Recipe
from pipeline.report.reading import RunFiles
from pipeline.runner import run
from pipeline.status import status
from pipeline.steps import gate as gate_step
from pipeline.steps import headroom
from pipeline.steps.base import StepContext
from pipeline.steps.headroom import nothing_to_teach
from tests.pipeline.fake_chain import CHAIN, chain, decide, ran, told
from tests.pipeline.fake_run import recipe
from tests.pipeline.gate_tools import result
from tests.pipeline.model_tools import Memory

CHANGED = {"train": {"sft": {"learning_rate": 3e-4}}}


def manifest(root: Path, step: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((root / "run" / step / "manifest.json").read_text())
    return body


def record(root: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((root / "run" / "run.json").read_text())
    return body


def events(root: Path, kind: str) -> list[Event]:
    return [e for e in read_events(root / "run" / "events.jsonl") if e.kind == kind]


def test_a_chain_goes_through_every_stage_in_the_recipes_order(tmp_path: Path) -> None:
    assert run(chain(tmp_path)) == 0
    assert ran(tmp_path) == ["stage-0/evaluate", *(f"stage-{n}/{kind}" for n in (1, 2) for kind in STAGE_STEPS)]
    assert [(e["stage"], e["verdict"]) for e in events(tmp_path, "gate")] == [(1, "PASS"), (2, "PASS")]


def test_a_later_stage_reads_the_one_before_it_in_the_chain_and_every_earlier_set(tmp_path: Path) -> None:
    assert run(chain(tmp_path, (1, 3, 4))) == 0
    assert (told(tmp_path, "stage-1/sft")["previous"], told(tmp_path, "stage-1/sft")["earlier"]) == (None, [])
    assert (told(tmp_path, "stage-4/sft")["previous"], told(tmp_path, "stage-4/sft")["earlier"]) == (3, [1, 3])
    assert "stage-3/merge" in manifest(tmp_path, "stage-4/generate")["inputs"]
    assert "stage-1/merge" not in manifest(tmp_path, "stage-4/generate")["inputs"]
    gate = manifest(tmp_path, "stage-4/gate")["inputs"]
    assert {"stage-0/evaluate", "stage-1/evaluate", "stage-3/evaluate", "stage-4/evaluate"} <= gate.keys()
    assert {"stage-1/filter", "stage-3/filter"} <= manifest(tmp_path, "stage-4/filter")["inputs"].keys()
    assert manifest(tmp_path, "stage-1/generate")["inputs"].keys() == {"stage-0/evaluate"}


def test_an_earlier_stage_made_anew_makes_the_later_one_anew(tmp_path: Path) -> None:
    assert run(chain(tmp_path)) == 0
    before = len(ran(tmp_path))
    assert run(chain(tmp_path, fields={"data": {"instructions": 9, "answer_temperature": 0.6}}, supersede=True)) == 0
    again = ran(tmp_path)[before:]
    assert "stage-0/evaluate" not in again
    assert "stage-1/generate" not in again  # does not read the temperature of answers
    assert {"stage-1/answer", "stage-1/merge", "stage-2/generate", "stage-2/gate"} <= set(again)


@pytest.mark.parametrize("verdict", [v for v in Verdict if not v.advances])
def test_a_gate_that_does_not_advance_ends_the_run_before_its_merge(tmp_path: Path, verdict: str) -> None:
    decide(tmp_path, 1, "nothing" if verdict == "MISSING" else verdict)
    assert run(chain(tmp_path)) == 5
    assert ran(tmp_path)[-1] == "stage-1/gate"
    assert record(tmp_path)["overrides"] == []
    assert events(tmp_path, "gate")[-1]["verdict"] == verdict
    assert verdict in events(tmp_path, "run_finished")[-1]["reason"]


@pytest.mark.parametrize(
    ("fields", "how", "reason"),
    [
        ({}, {"override_gate": "to see stage 2 at all"}, "to see stage 2 at all"),
        ({"evaluation": {"on_fail": "continue"}}, {}, "the recipe fake goes on past a gate that fails"),
    ],
)
def test_a_gate_passed_over_is_marked_everywhere_behind_it_and_the_run_still_ends_with_5(
    tmp_path: Path, fields: dict[str, Any], how: dict[str, Any], reason: str
) -> None:
    decide(tmp_path, 1, "FAIL")
    assert run(chain(tmp_path, fields=fields, **how)) == 5
    entry = {"stage": 1, "verdict": "FAIL", "reason": reason}
    assert record(tmp_path)["overrides"] == [entry]
    for kind in STAGE_STEPS:
        assert manifest(tmp_path, f"stage-2/{kind}")["overrides"] == [entry]
        assert kind == "merge" or manifest(tmp_path, f"stage-1/{kind}")["overrides"] == []
    assert manifest(tmp_path, "stage-1/merge")["overrides"] == [entry]
    warning = next(e for e in events(tmp_path, "warning") if e["code"] == "gate-overridden")
    assert reason in warning["text"] and "FAIL" in warning["text"]
    assert [e["verdict"] for e in events(tmp_path, "gate")] == ["FAIL", "PASS"]
    end = events(tmp_path, "run_finished")[-1]
    assert (end["exit_code"], "1 of 2 gates did not pass" in end["reason"]) == (5, True)


def test_a_gate_that_was_passed_over_stops_the_next_start_that_does_not_say_so_again(tmp_path: Path) -> None:
    decide(tmp_path, 1, "FAIL")
    assert run(chain(tmp_path, override_gate="once", until="stage-2/generate")) == 5
    assert events(tmp_path, "run_finished")[-1]["state"] == "stopped"
    before = len(ran(tmp_path))
    assert run(chain(tmp_path)) == 5
    assert len(ran(tmp_path)) == before


def test_what_a_changed_recipe_did_not_reach_is_not_shown_as_its_own(tmp_path: Path) -> None:
    assert run(chain(tmp_path)) == 0
    first = artifacts.digest(tmp_path / "run")
    decide(tmp_path, 1, "FAIL")
    assert run(chain(tmp_path, fields=CHANGED, supersede=True)) == 5
    stale = [p.relative_to(tmp_path / "run").as_posix() for p in (tmp_path / "run").glob("stage-2/*/DONE")]
    assert stale == []
    assert not (tmp_path / "run/stage-2/gate.json").exists()
    assert list((tmp_path / "run/stage-2/.superseded").glob("evaluate-*/DONE"))
    decide(tmp_path, 1, "PASS")
    assert run(chain(tmp_path, supersede=True)) == 0
    assert artifacts.digest(tmp_path / "run") == first


def test_what_a_changed_recipe_has_not_come_to_yet_is_not_shown_as_its_own(tmp_path: Path) -> None:
    """A session that ends before it has redone what it reads leaves the old results: they are no part of the run."""
    folder = tmp_path / "run"
    assert run(chain(tmp_path)) == 0
    assert [stage["verdict"] for stage in status(folder)["stages"]] == ["PASS", "PASS"]
    assert standing.stale(folder) == frozenset()
    assert run(chain(tmp_path, fields=CHANGED, supersede=True, until="stage-1/filter")) == 0
    assert [stage["verdict"] for stage in status(folder)["stages"]] == [None, None]
    left = standing.stale(folder)
    assert {"stage-1/sft", "stage-1/gate", "stage-2/generate", "stage-2/gate"} <= left
    assert not {"stage-0/evaluate", "stage-1/generate", "stage-1/filter"} & left
    files = RunFiles(folder)
    assert (files.gate(1), files.manifest("stage-1/sft")) == (None, None)
    assert files.manifest("stage-1/filter") is not None
    done = done_in(folder, recipe(stages=(1, 2), data={"instructions": 9}))
    assert done("stage-2/gate")  # of the recipe before it would all be there
    assert not done_in(folder, recipe(stages=(1, 2), data={"instructions": 8}))("stage-1/generate")
    before = len(ran(tmp_path))
    assert run(chain(tmp_path, supersede=True)) == 0
    assert [stage["verdict"] for stage in status(folder)["stages"]] == ["PASS", "PASS"]
    assert len(ran(tmp_path)) == before
    assert standing.stale(folder) == frozenset()


def test_a_stage_is_skipped_by_what_the_base_had_on_the_block_of_this_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def measured(folder: Path, stage: int) -> dict[str, Any]:
        asked.append(folder.relative_to(tmp_path).as_posix())
        return {}

    monkeypatch.setattr(headroom, "read_conditions", measured)
    for attempt in (1, 2, 3):
        assert nothing_to_teach(recipe(), 1, tmp_path, attempt) == ""
    assert asked == ["stage-0/evaluate", "stage-1/baseline", "stage-1/baseline"]


def test_whether_a_stage_is_skipped_stands_in_the_keys_of_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one threshold skips another trains: neither result may be taken for the other's."""

    def said(recipe: Recipe, stage: int, _run_dir: Path, _attempt: int) -> str:
        return "no headroom" if stage == 1 and recipe.evaluation.threshold == 0.1 else ""

    for kind, step in list(CHAIN.items()):
        if step.skipped is nothing_to_teach:
            monkeypatch.setitem(CHAIN, kind, replace(step, skipped=said))
    low, high = ({"evaluation": {"threshold": share}} for share in (0.1, 0.9))
    assert run(chain(tmp_path, fields=low)) == 0
    assert manifest(tmp_path, "stage-1/generate")["summary"] == {"skipped": "no headroom"}
    assert [name for name in ran(tmp_path) if name.startswith("stage-1")] == ["stage-1/gate", "stage-1/merge"]
    skipped = artifacts.digest(tmp_path / "run")
    assert run(chain(tmp_path, fields=high, supersede=True)) == 0
    assert told(tmp_path, "stage-1/generate")["previous"] is None
    assert run(chain(tmp_path, fields=low, supersede=True)) == 0
    assert artifacts.digest(tmp_path / "run") == skipped


def test_a_set_that_only_the_base_was_measured_on_is_kept_at_what_the_base_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage in the middle was skipped: no model of the chain has seen its set."""
    three = Recipe(name="r", description="d", model=Model(id="tiny"), stages=(1, 2, 3))
    ctx = StepContext(three, 3, "stage-3/gate", "k", tmp_path, tmp_path, Memory())
    held: dict[tuple[str, int], Any] = {
        ("stage-3/evaluate", 1): {"tuned": result("tuned", 110)},
        ("stage-3/evaluate", 2): {"tuned": result("tuned", 100)},
        ("stage-1/evaluate", 1): {"tuned": result("tuned", 115)},
    }

    def read(folder: Path, number: int) -> Any:
        return held.get((folder.relative_to(tmp_path).as_posix(), number), {})

    monkeypatch.setattr(gate_step, "read_conditions", read)
    for strict, level in ((118, 0.9), (60, 0.0)):  # of 120: the base had it, or never had it to lose
        held["stage-0/evaluate", 2] = {"base-formatted": result("base-formatted", strict)}
        _, second = gate_step._earlier(ctx)
        assert second.before is not None
        assert (second.before.condition, second.before.successes("strict")) == ("base-formatted", strict)
        assert second.level == pytest.approx(level)


def test_a_damaged_directory_makes_nothing_behind_it_stale(tmp_path: Path) -> None:
    assert run(chain(tmp_path)) == 0
    shutil.rmtree(tmp_path / "run/stage-1/sft")
    assert run(chain(tmp_path, until="stage-1/filter")) == 0
    assert (tmp_path / "run/stage-2/gate.json").exists()


def test_the_mark_of_a_gate_that_was_passed_over_goes_when_a_later_attempt_passes(tmp_path: Path) -> None:
    decide(tmp_path, 1, "FAIL")
    assert run(chain(tmp_path, override_gate="once")) == 5
    decide(tmp_path, 1, "PASS")
    assert run(chain(tmp_path, fields=CHANGED, supersede=True)) == 0
    assert record(tmp_path)["overrides"] == []
    assert manifest(tmp_path, "stage-2/sft")["overrides"] == []


def test_a_deleted_gate_that_cannot_be_decided_again_is_missing_and_ends_with_5(tmp_path: Path) -> None:
    assert run(chain(tmp_path)) == 0
    (tmp_path / "run/stage-1/gate.json").unlink()
    assert run(chain(tmp_path)) == 0  # the step's own copy is whole and is published again
    assert json.loads((tmp_path / "run/stage-1/gate.json").read_text())["verdict"] == "PASS"
    shutil.rmtree(tmp_path / "run/stage-1/gate")
    decide(tmp_path, 1, "nothing")
    assert run(chain(tmp_path)) == 5
    assert events(tmp_path, "gate")[-1]["verdict"] == "MISSING"
    assert not (tmp_path / "run/stage-1/gate.json").exists()


def test_the_real_gate_finds_nothing_measured_and_says_missing(tmp_path: Path) -> None:
    out = tmp_path / "run/stage-1/gate"
    out.mkdir(parents=True)
    real = Recipe(name="r", description="d", model=Model(id="tiny"))
    summary = gate_step.run(StepContext(real, 1, "stage-1/gate", "k", tmp_path / "run", out, Memory()))
    assert summary is not None
    assert (summary["verdict"], json.loads((out / "gate.json").read_text())["advances"]) == ("MISSING", False)


def test_a_second_attempt_is_decided_on_the_next_block_and_leaves_the_instructions_alone(tmp_path: Path) -> None:
    decide(tmp_path, 1, "FAIL")
    assert run(chain(tmp_path)) == 5
    generated = artifacts.read_done(tmp_path / "run/stage-1/generate")
    before = len(ran(tmp_path))
    decide(tmp_path, 1, "PASS")
    assert run(chain(tmp_path, fields=CHANGED, supersede=True)) == 0
    again = ran(tmp_path)[before:]
    assert again[0] == "stage-1/baseline"
    assert not {"stage-0/evaluate", "stage-1/generate", "stage-1/answer", "stage-1/filter"} & set(again)
    assert artifacts.read_done(tmp_path / "run/stage-1/generate") == generated
    assert told(tmp_path, "stage-1/baseline")["blocks"]["1"] == 1
    assert told(tmp_path, "stage-1/evaluate")["blocks"] == {"1": 1, "2": 0}
    assert "stage-1/baseline" in manifest(tmp_path, "stage-1/gate")["inputs"]
    assert [e["attempt"] for e in events(tmp_path, "gate")] == [1, 2, 1]
    noted = json.loads((tmp_path / "run/stage-1/attempts.json").read_text())
    assert [(e["attempt"], e["verdict"]) for e in noted] == [(1, "FAIL"), (2, "PASS")]


def test_the_same_recipe_again_is_the_same_attempt_on_the_same_block(tmp_path: Path) -> None:
    decide(tmp_path, 1, "FAIL")
    assert run(chain(tmp_path)) == 5
    before = ran(tmp_path)
    assert run(chain(tmp_path)) == 5
    assert ran(tmp_path) == before
    assert run(chain(tmp_path, force=("stage-1/gate",))) == 5
    assert told(tmp_path, "stage-1/gate")["blocks"]["1"] == 0
    assert len(json.loads((tmp_path / "run/stage-1/attempts.json").read_text())) == 1


def test_without_a_block_left_a_further_attempt_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    decide(tmp_path, 1, "FAIL")
    for number in (1, 2):
        rate = {"train": {"sft": {"learning_rate": number * 1e-4}}}
        assert run(chain(tmp_path, fields=rate, supersede=True)) == 5
    before = artifacts.digest(tmp_path / "run")
    with pytest.raises(UsageError, match=r"attempt 3 .*stage 1.*block-2.*freeze a further block") as caught:
        run(chain(tmp_path, fields={"train": {"sft": {"learning_rate": 9e-4}}}, supersede=True))
    assert caught.value.exit_code == 2
    assert artifacts.digest(tmp_path / "run") == before


def test_scratch_weights_that_are_gone_are_merged_again_to_the_same_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.models.resolve import directory_digest
    from pipeline.steps import merge
    from pipeline.steps.weights import weights_after
    from tests.pipeline.test_merge import adapter

    monkeypatch.setenv("MAXCAI_CACHE_DIR", str(tmp_path / "cache"))
    home = tmp_path / "run"
    two = Recipe.model_validate(
        {"name": "r", "description": "d", "model": {"id": "tiny"}, "stages": (1, 2), "evaluation": {"items": 32}}
    )
    for stage in (1, 2):
        adapter(home / f"stage-{stage}/dpo/adapter", stage, lora_alpha=1)
        out = home / f"stage-{stage}/merge"
        out.mkdir()
        merge.run(StepContext(two, stage, f"stage-{stage}/merge", "k", home, out, Memory()))
    ctx = StepContext(two, 2, "stage-2/evaluate", "k", home, home / "stage-2/evaluate", Memory())
    folder, digest = weights_after(ctx, 2)
    shutil.rmtree(home / "scratch")
    assert weights_after(ctx, 2) == (folder, digest)  # stage 1's weights are made again on the way
    assert directory_digest(folder) == digest

    shutil.rmtree(home / "scratch")
    adapter(home / "stage-2/dpo/adapter", 9)  # not the adapter that merge.json speaks of
    with pytest.raises(ValueError, match="stage 2 merged anew to"):
        weights_after(ctx, 2)

"""Other models beside the base: measured like it, shown by the gates, deciding nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from pipeline import plan
from pipeline.comparisons import IncomparableError, require_comparable
from pipeline.conditions import read_conditions
from pipeline.errors import StepError, UsageError
from pipeline.models.errors import ModelError
from pipeline.models.load import load_tokens
from pipeline.models.resolve import TINY
from pipeline.recipe import Recipe
from pipeline.records import EvalResult, read_records
from pipeline.runner import run
from pipeline.steps import STEPS
from pipeline.steps import gate as gate_step
from pipeline.steps.base import StepContext
from pipeline.steps.headroom import beside_conditions
from pipeline.steps.measuring import Measuring, set_of, zero_shot
from pipeline.steps.reference import run_alt_base, run_reference
from pipeline.steps.weights import open_role
from tests.pipeline.fake_chain import chain, decide, ran, told
from tests.pipeline.model_tools import Memory

END = "<|im" + "_end|>"
SETS = ("capitals", "forgotten_capital", "fix_capital")


@pytest.fixture(scope="module")
def alt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another base model: the tiny one from a local path."""
    return Path(shutil.copytree(TINY, tmp_path_factory.mktemp("models") / "alt"))


@pytest.fixture(scope="module")
def instruct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model as an instruct one: it writes a turn marker where the base would write a blank line, and declares
    a second end besides."""
    folder = Path(shutil.copytree(TINY, tmp_path_factory.mktemp("models") / "instruct"))
    for path in (folder / "tokenizer.json", folder / "tokenizer_config.json"):
        path.write_text(path.read_text().replace("<|endoftext|>", END))
    for path in (folder / "config.json", folder / "generation_config.json"):
        body = json.loads(path.read_text())
        path.write_text(json.dumps({**body, "eos_token_id": [body["eos_token_id"], 5]}))
    weights = load_file(folder / "model.safetensors")
    rows, blank = weights["model.embed_tokens.weight"], load_tokens(TINY).encode("\n\n")
    assert len(blank) == 1
    rows[[0, blank[0]]] = rows[[blank[0], 0]].clone()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": "{{ messages }}"}))
    return folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAXCAI_CACHE_DIR", str(tmp_path / "cache"))


def recipe(stages: tuple[int, ...] = (1, 2), **models: Path) -> Recipe:
    named = {kind: {"id": str(path)} for kind, path in models.items()}
    body = {
        "name": "r", "description": "d", "stages": stages, "model": {"id": "tiny"},
        "precision": dict.fromkeys(("train", "generate", "evaluate"), "fp32"), "data": {"families": SETS},
        "evaluation": {"items": 12, **named}, "hardware": {"device": "cpu", "threads": 1},
    }  # fmt: skip
    return Recipe.model_validate(body)


def context(root: Path, wanted: Recipe, step: str, **how: Any) -> StepContext:
    out = root / step
    out.mkdir(parents=True, exist_ok=True)
    return StepContext(wanted, int(step[6]), step, "k", root, out, Memory(), **how)


def measure_base(root: Path, wanted: Recipe) -> None:
    """The base on every set of the chain, in the training format."""
    ctx = context(root, wanted, "stage-0/evaluate")
    measuring = Measuring(ctx, 0)
    opened = open_role(ctx, "base", wanted.precision.evaluate)
    for number in wanted.stages:
        measuring.measure(opened, set_of(ctx, number), zero_shot("base-formatted"))
    measuring.publish(aa={"items": 1, "flips": 0}, audit={"passed": True, "fixtures": 1, "failures": []})


def answers(root: Path, step: str, number: int, condition: str) -> list[tuple[str, str, str, bool, bool]]:
    rows = read_records(root / step / f"set-{number}" / f"{condition}.jsonl", EvalResult)
    return [(r.prompt, r.text_raw, r.finish_reason, r.strict, r.lenient) for r in rows]


def test_the_same_weights_under_another_name_answer_every_set_alike(tmp_path: Path, alt: Path) -> None:
    wanted = recipe(alt_base=alt)
    measure_base(tmp_path, wanted)
    summary = run_alt_base(context(tmp_path, wanted, "stage-0/alt_base"))
    assert summary["sets"].keys() == {"1", "2"}
    for number in (1, 2):
        base = answers(tmp_path, "stage-0/evaluate", number, "base-formatted")
        assert len(base) == 12
        assert answers(tmp_path, "stage-0/alt_base", number, "alt-base") == base


def test_a_chat_end_is_a_proper_end_of_a_reference(tmp_path: Path, instruct: Path) -> None:
    wanted = recipe((5,), reference=instruct)
    measure_base(tmp_path, wanted)
    run_reference(context(tmp_path, wanted, "stage-0/reference"))
    base = answers(tmp_path, "stage-0/evaluate", 5, "base-formatted")
    found = answers(tmp_path, "stage-0/reference", 5, "reference")
    assert [row[0] for row in found] == [row[0] for row in base]
    assert [row[4] for row in found] == [row[4] for row in base]  # leniently what stands before the end is what counts
    ended = [row for row in found if row[2] == "eos"]
    assert ended and not [row for row in base if row[2] == "eos"]
    assert all(row[3] == row[4] for row in ended)
    assert not [row for row in found if END in row[1]]


def test_every_end_that_a_reference_declares_ends_its_texts_and_none_may_stand_in_a_prompt(instruct: Path) -> None:
    tokens = load_tokens(instruct, True)
    assert tokens.is_end(0) and tokens.is_end(5) and not tokens.is_end(6)
    assert not tokens.is_plain(f"A rose.{END}")
    assert tokens.raw.chat_template is None
    strict = load_tokens(TINY)
    assert strict.is_end(strict.eos) and not strict.is_end(5)


def test_an_instruct_model_is_no_alternative_base(tmp_path: Path, instruct: Path) -> None:
    wanted = recipe((1,), alt_base=instruct)
    with pytest.raises(ModelError, match="use the base model, not its instruct version"):
        run_alt_base(context(tmp_path, wanted, "stage-0/alt_base"))


def test_a_marker_that_only_the_tokenizer_calls_its_end_is_found_as_well(tmp_path: Path, instruct: Path) -> None:
    folder = Path(shutil.copytree(instruct, tmp_path / "hidden"))
    body = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**body, "eos_token_id": [5, 0]}))
    with pytest.raises(ModelError, match="chat marker"):
        load_tokens(folder)


def test_the_gate_shows_them_beside_the_others_and_its_verdict_is_the_same_without(
    tmp_path: Path, alt: Path, instruct: Path
) -> None:
    wanted = recipe((1,), alt_base=alt, reference=instruct)
    measure_base(tmp_path, wanted)
    run_alt_base(context(tmp_path, wanted, "stage-0/alt_base"))
    run_reference(context(tmp_path, wanted, "stage-0/reference"))
    base = read_conditions(tmp_path / "stage-0/evaluate", 1)["base-formatted"]
    beside = beside_conditions(context(tmp_path, wanted, "stage-1/gate"))
    assert beside.keys() == {"alt-base", "reference"}
    for name, result in beside.items():
        assert (result.condition, result.fingerprint.condition) == (name, name)
        assert (result.fingerprint.model == base.fingerprint.model) == (name == "alt-base")
        require_comparable(result, base)
        coarse = replace(result, fingerprint=replace(result.fingerprint, precision="nf4"))
        with pytest.raises(IncomparableError, match="precision"):
            require_comparable(coarse, base)
    decided = {}
    for name, body in (("with", wanted), ("without", recipe((1,)))):
        summary = gate_step.run(context(tmp_path, body, "stage-1/gate"))
        shown = json.loads((tmp_path / "stage-1/gate/gate.json").read_text())["rates"]
        decided[name] = (summary["verdict"], summary["reason"])
        assert shown.keys() == {"base-formatted", *(beside if name == "with" else ())}
    assert decided["with"] == decided["without"]


def test_what_a_recipe_names_no_more_is_not_read_though_it_still_lies_there(tmp_path: Path, alt: Path) -> None:
    run_alt_base(context(tmp_path, recipe((1,), alt_base=alt), "stage-0/alt_base"))
    assert beside_conditions(context(tmp_path, recipe((1,)), "stage-1/gate")) == {}


def test_a_fresh_block_is_measured_anew_and_the_old_one_is_not_taken_for_it(tmp_path: Path, alt: Path) -> None:
    wanted = recipe((1,), alt_base=alt)
    run_alt_base(context(tmp_path, wanted, "stage-0/alt_base"))
    old = beside_conditions(context(tmp_path, wanted, "stage-1/gate"))["alt-base"]
    second = context(tmp_path, wanted, "stage-1/gate", attempts={1: 2})
    assert beside_conditions(second) == {}
    run_alt_base(context(tmp_path, wanted, "stage-1/alt_base", attempts={1: 2}))
    new = beside_conditions(second)["alt-base"]
    assert not old.by_item.keys() & new.by_item.keys()


def test_a_step_without_its_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="names no model for the condition reference"):
        run_reference(context(tmp_path, recipe(), "stage-0/reference"))


def test_the_steps_are_planned_behind_the_baseline_and_only_when_named(alt: Path) -> None:
    without = [p.name for p in plan.build(recipe())]
    both = [p.name for p in plan.build(recipe(alt_base=alt, reference=alt))]
    assert both == ["stage-0/evaluate", "stage-0/reference", "stage-0/alt_base", *without[1:]]
    assert [p.name for p in plan.build(recipe(alt_base=alt))][1:3] == ["stage-0/alt_base", "stage-1/generate"]
    again = [p.name for p in plan.build(recipe(alt_base=alt), {2: 2})]
    place = again.index("stage-2/baseline")
    assert again[place + 1] == "stage-2/alt_base"


def test_a_model_that_is_not_there_is_told_when_the_plan_is_made(tmp_path: Path) -> None:
    for kind in ("reference", "alt_base"):
        with pytest.raises(UsageError, match=rf"field evaluation\.{kind}: there is no model directory .*nowhere"):
            plan.build(recipe(**{kind: tmp_path / "nowhere"}))


def test_a_run_measures_them_once_and_its_gate_depends_on_them(tmp_path: Path, alt: Path) -> None:
    fields = {"evaluation": {"alt_base": {"id": str(alt)}}}
    decide(tmp_path, 1, "FAIL")
    assert run(chain(tmp_path, (1,), fields)) == 5
    assert ran(tmp_path)[:2] == ["stage-0/evaluate", "stage-0/alt_base"]
    gate = json.loads((tmp_path / "run/stage-1/gate/manifest.json").read_text())
    assert "stage-0/alt_base" in gate["inputs"]
    before = len(ran(tmp_path))
    fields["train"] = {"sft": {"learning_rate": 3e-4}}
    assert run(chain(tmp_path, (1,), fields, supersede=True)) == 5
    assert ran(tmp_path)[before : before + 2] == ["stage-1/baseline", "stage-1/alt_base"]
    assert told(tmp_path, "stage-1/alt_base")["blocks"]["1"] == 1
    gate = json.loads((tmp_path / "run/stage-1/gate/manifest.json").read_text())
    assert "stage-1/alt_base" in gate["inputs"] and "stage-0/alt_base" not in gate["inputs"]


def test_only_the_steps_that_ask_a_model_depend_on_its_files(tmp_path: Path, alt: Path) -> None:
    folder = Path(shutil.copytree(alt, tmp_path / "changing"))

    def keys() -> dict[str, str]:
        body, at = recipe(alt_base=folder), {"alt_base": 0, "evaluate": 0, "generate": 1}
        steps = ((plan.PlannedStep(stage, kind), STEPS[kind]) for kind, stage in at.items())
        return {p.kind: plan.key_of(plan.material(p, step, body, {"device": "cpu"}, {})) for p, step in steps}

    before = keys()
    (folder / "config.json").write_text((folder / "config.json").read_text() + "\n")
    assert {kind for kind, key in keys().items() if key != before[kind]} == {"alt_base"}

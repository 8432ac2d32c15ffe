"""Every trap of the earlier attempt at this experiment has a test by name that fails when the trap is set again.

`TRAPS` names them: those of other files, and below those that set a trap here and watch it being found.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from pipeline import doctor, prompts
from pipeline.constitution import load as load_constitution
from pipeline.data.dedup import Deduper
from pipeline.environment import source_root
from pipeline.errors import StepError
from pipeline.evals.items import build_frozen, frozen_set
from pipeline.plan import PlannedStep
from pipeline.protocol import read_events
from pipeline.recipe_load import load
from pipeline.records import Answer, Judgement
from pipeline.runner import run
from pipeline.stages.registry import STAGES
from pipeline.steps import STEPS, critique, filter
from pipeline.steps.base import StepContext
from pipeline.steps.weights import adapter_of
from tests.pipeline.fake_run import options
from tests.pipeline.model_tools import Memory

PIPELINE, HERE = "tests/pipeline/", "tests/pipeline/test_traps.py::"
TRAPS = MappingProxyType(
    {
        "gate not enforced": (
            PIPELINE + "test_runner.py::test_only_two_verdicts_advance_and_the_report_comes_first",
            PIPELINE + "test_gates.py::test_what_is_absent_is_missing_and_never_success",
            PIPELINE + "test_chain.py::test_a_gate_that_does_not_advance_ends_the_run_before_its_merge",
        ),
        "one hour for everything": (
            HERE + "test_every_step_has_its_own_time_limit_and_training_has_more_than_an_hour",
            PIPELINE + "test_runner.py::test_a_step_that_hangs_is_killed_resumed_once_and_then_failed",
        ),
        "unequal precision": (
            PIPELINE + "test_gates.py::test_comparing_unlike_evaluations_raises",
            PIPELINE + "test_gates.py::test_each_sabotage_makes_the_gate_invalid",
            HERE + "test_one_field_decides_the_precision_of_every_evaluation",
        ),
        "all models at once": (HERE + "test_every_step_has_a_process_of_its_own",),
        "local paths": (
            PIPELINE + "test_cli.py::test_the_run_directory_comes_from_the_flag_then_the_environment",
            HERE + "test_no_path_of_one_machine_stands_in_the_code",
        ),
        "unused principles": (
            HERE + "test_a_principle_that_was_never_used_fails_the_data",
            PIPELINE + "test_constitution.py::test_principles_are_dealt_reproducibly_each_once_before_any_comes_twice",
        ),
        "repeated items": (
            HERE + "test_repeated_instructions_are_dropped_before_they_are_answered",
            PIPELINE + "test_filters.py::test_every_limit_can_be_breached_alone",
        ),
        "integer division": (PIPELINE + "test_items.py::test_a_split_loses_no_item_and_the_remainder_goes_first",),
        "leaking held-out set": (
            PIPELINE + "test_items.py::test_an_altered_or_missing_set_is_refused",
            PIPELINE + "test_leakage.py::test_a_planted_held_out_item_is_the_only_hit",
            HERE + "test_no_step_builds_a_held_out_item",
        ),
        "length as success": (
            PIPELINE + "test_audit.py::test_a_broken_scorer_fails_the_audit_with_the_answer_named",
            PIPELINE + "test_scorers.py::test_a_runaway_is_found_by_its_new_turn_and_not_by_length",
        ),
        "stop strings cut to a token": (
            HERE + "test_a_part_of_a_stop_string_stops_nothing",
            PIPELINE + "test_engine.py::test_a_stop_string_cuts_before_itself_and_is_named",
            HERE + "test_no_marker_and_no_placeholder_is_kept",
        ),
        "whole-text loss": (
            PIPELINE + "test_training_math.py::test_no_gradient_comes_from_predicting_the_prompt",
            PIPELINE + "test_training.py::test_prompts_that_bear_loss_are_refused",
        ),
        "stored prompt not the used one": (HERE + "test_the_prompt_stored_is_the_prompt_the_model_saw",),
        "checkpoint by date": (
            HERE + "test_the_youngest_adapter_is_not_taken_for_the_last",
            PIPELINE + "test_training.py::test_a_torn_checkpoint_is_never_used",
        ),
        "placeholder answers": (
            HERE + "test_no_marker_and_no_placeholder_is_kept",
            PIPELINE + "test_filters.py::test_placeholders_are_found_at_word_boundaries_only",
        ),
        "unmeasured critics": (
            HERE + "test_critics_without_a_labelled_block_judge_nothing",
            PIPELINE + "test_critics.py::test_a_blind_critic_is_named_and_its_precision_is_not_made_up",
        ),
        "heuristics without fixtures": (
            PIPELINE + "test_audit.py::test_every_labelled_answer_of_every_family_is_judged_as_labelled",
            PIPELINE + "test_filters.py::test_ordinary_text_is_no_marker",
        ),
        "statistics by hand": (
            PIPELINE + "test_stats.py::test_wilson_gives_the_published_vectors",
            PIPELINE + "test_stats.py::test_wilson_agrees_with_statsmodels_on_a_grid",
            PIPELINE + "test_stats.py::test_benjamini_hochberg_steps_up_over_a_failing_rank",
            PIPELINE + "test_stats.py::test_benjamini_hochberg_agrees_with_statsmodels",
        ),
        "tokens that were words": (HERE + "test_the_prompt_stored_is_the_prompt_the_model_saw",),
        "lost manifests": (
            PIPELINE + "test_runner.py::test_a_run_goes_through_every_step_and_announces_every_file",
            "tests/remote/test_pull.py::test_everything_of_a_run_comes_home_and_is_verified",
            HERE + "test_a_pulled_runs_manifests_are_no_ignored_kind_of_file",
        ),
        "controller imports torch": (
            PIPELINE + "test_import_hygiene.py::test_no_heavy_library_is_loaded_by",
            PIPELINE + "test_runner.py::test_the_runner_never_loads_torch",
            HERE + "test_torch_that_hangs_is_given_up_in_a_process_of_its_own",
        ),
    }
)


@pytest.mark.parametrize("trap", TRAPS)
def test_the_tests_named_for_a_trap_exist(trap: str) -> None:
    assert TRAPS[trap]
    for name in TRAPS[trap]:
        path, _, function = name.partition("::")
        tree = ast.parse((source_root() / path).read_text())
        functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        found = [node for node in functions if node.name == function]
        assert len(found) == 1, name
        assert not any("skip" in ast.unparse(mark) or "slow" in ast.unparse(mark) for mark in found[0].decorator_list)


def test_the_page_on_the_experiment_names_the_same_traps() -> None:
    page = (source_root() / "docs" / "experiment.md").read_text()
    table = page.partition("## Traps")[2]
    assert re.findall(r"^\| ([^|]+?) \|", table, re.M)[1:] == list(TRAPS)


def test_every_step_has_its_own_time_limit_and_training_has_more_than_an_hour(tmp_path: Path) -> None:
    assert {STEPS[name].time_limit_s for name in ("sft", "dpo")} == {3 * 3600.0}
    assert STEPS["generate"].time_limit_s == 2 * 3600.0
    how: dict[str, Any] = {"registry": "tests.pipeline.fake_chain:BUSY"}
    assert run(options(tmp_path / "a", steps=(PlannedStep(1, "hurried"),), **how)) == 1
    end = list(read_events(tmp_path / "a" / "run" / "events.jsonl"))[-1]
    assert "stage-1/hurried ran longer than its limit" in end["reason"]
    assert run(options(tmp_path / "b", steps=(PlannedStep(1, "patient"),), **how)) == 0


def test_every_step_has_a_process_of_its_own(tmp_path: Path) -> None:
    assert run(options(tmp_path)) == 0
    pids: dict[str, set[int]] = {}
    for event in read_events(tmp_path / "run" / "events.jsonl"):
        if event.kind == "heartbeat":
            pids.setdefault(event["step"], set()).add(event["pid"])
    assert len(pids) >= 4
    every = [pid for found in pids.values() for pid in found]
    assert len(every) == len(set(every)) and os.getpid() not in every


def test_one_field_decides_the_precision_of_every_evaluation() -> None:
    for name in ("evaluate", "baseline"):
        assert [field for field in STEPS[name].reads if field.startswith("precision")] == ["precision.evaluate"]
    assert set(hits(r"load_in_[48]bit")) == {"models/load.py", "trainers/unsloth_trainer.py"}
    assert set(hits(r"BitsAndBytesConfig\(")) == {"models/load.py"}


def hits(pattern: str, more: Callable[[], list[tuple[str, str]]] = list) -> list[str]:
    """Files of the package in which a pattern stands, comments and docstrings included."""
    package = source_root() / "pipeline"
    texts = [(p.relative_to(package).as_posix(), p.read_text()) for p in sorted(package.rglob("*.py"))]
    return [name for name, text in (*texts, *more()) if re.search(pattern, text)]


PLACES = r"[\"'](?:/workspace|/home|/root|/mnt|/data|/content|/Users|[A-Z]:\\\\)"


def test_no_path_of_one_machine_stands_in_the_code() -> None:
    assert hits(PLACES) == []
    assert hits(PLACES, lambda: [("planted.py", 'BASE = "/workspace/runs"')]) == ["planted.py"]


def test_no_step_builds_a_held_out_item() -> None:
    """The frozen files are the only source: who asks for EVAL items is a freezer or pretrains the tiny base."""
    allowed = re.compile(r"stages/families/|tiny/|evals/items\.py|stages/base\.py")
    held_out = r"Namespace\.EVAL|build_frozen"
    assert [name for name in hits(held_out) if not allowed.match(name)] == []
    planted = [("steps/planted.py", "build(stage, Namespace.EVAL, 600, ctx.seed())")]
    assert [name for name in hits(held_out, lambda: planted) if not allowed.match(name)] == ["steps/planted.py"]
    recipe = load("smoke")
    made = {item.id for item in build_frozen(STAGES[0], 0)}
    assert {item.id for item in frozen_set(recipe, 1)} <= made


def answer(position: int, principle: str) -> Answer:
    return Answer.make(
        stage=1, family="copy", seed=0, decoding=None, model=None, parents=["0" * 16], prompt="p", text_raw="a",
        text="a", finish_reason="eos", tokens=1, instruction=f"Copy this: {position}", sample=0, principles=[principle],
    )  # fmt: skip


def test_a_principle_that_was_never_used_fails_the_data(tmp_path: Path) -> None:
    ids = [p.id for p in load_constitution().principles]
    everything = [answer(n, name) for n, name in enumerate(ids)]
    only_first = [answer(n, ids[n % 3]) for n in range(30)]
    ctx = StepContext(load("smoke"), 1, "stage-1/filter", "k", tmp_path, tmp_path, Memory())
    assert filter._coverage(everything, ())["unused"] == []
    unused = filter._coverage(only_first, ())["unused"]
    assert unused == ids[3:]
    breaches = filter._quality(ctx, only_first, [], unused)["breaches"]
    assert f"principles never used: {', '.join(ids[3:])}" in breaches


def test_repeated_instructions_are_dropped_before_they_are_answered() -> None:
    words = "lantern bucket pocket ladder window candle basket button carpet castle cotton desert dragon engine feather"
    thirty = [f"{start} the word {word} twice." for word in words.split() for start in ("Write", "Tomorrow spell")]
    seen = Deduper(0.7)
    kept = [text for text in thirty * 10 if seen.add(text) is None]
    assert len(thirty) == 30 and len(kept) == len(set(kept)) <= 30
    assert {text.split()[-2] for text in kept} == set(words.split())
    assert "pipeline.data.dedup" in STEPS["generate"].modules


def test_a_part_of_a_stop_string_stops_nothing() -> None:
    from pipeline.engines.decode import find_stop

    stops = (prompts.TERMINATOR, *prompts.TURNS)
    for text in ("It is 12:30.", "# Title: a\n### b", "Response: none", "one\ntwo", "Q: what?"):
        assert find_stop(text, stops) is None
    found = find_stop("Paris\nInstruction: next", stops)
    assert found is not None and found[0] == len("Paris")


def judgement(text: str, accepted: bool = True) -> Judgement:
    return Judgement.make(
        stage=1, family="copy", seed=0, decoding=None, model=None, parents=["0" * 16], instruction="Copy this: a b",
        response=text, prompts=[], principle=None, orders=[], logp_a=[], logp_b=[], margin=None, mean_logprob=None,
        agreement=None, accepted=accepted,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a b", None),
        ("a b\nInstruction: Copy", "marker"),
        ("a b <|im_end|>", "marker"),
        ("### a b", "marker"),
        ("[insert answer]", "banned text"),
        ("placeholder", "banned text"),
    ],
)
def test_no_marker_and_no_placeholder_is_kept(text: str, why: str | None, tmp_path: Path) -> None:
    ctx = StepContext(load("smoke"), 1, "stage-1/filter", "k", tmp_path, tmp_path, Memory())
    assert filter._rejection(ctx, judgement(text), True, False) == why


@pytest.mark.parametrize("truth", [[True] * 9, [False] * 20, [True, False]])
def test_critics_without_a_labelled_block_judge_nothing(truth: list[bool], tmp_path: Path) -> None:
    ctx = StepContext(load("smoke"), 1, "stage-1/critique", "k", tmp_path, tmp_path, Memory())
    with pytest.raises(StepError, match="the critics cannot be measured"):
        critique._calibrated(ctx, [judgement(f"a {n}") for n in range(len(truth))], truth)


def test_critics_that_saw_no_wrong_answer_are_said_to_be_unmeasured(tmp_path: Path) -> None:
    reporter = Memory()
    ctx = StepContext(load("smoke"), 1, "stage-1/critique", "k", tmp_path, tmp_path, reporter)
    block = [judgement(f"a {n}") for n in range(20)]
    model = critique._calibrated(ctx, block, [True] * 20)
    assert reporter.warnings == ["critics_unmeasured"]
    assert model.table["overall"]["auc"]["combined"] is None
    assert model.table["families"][block[0].family]["blind"] is None
    assert critique._scored(block[0], model).accepted


def test_the_youngest_adapter_is_not_taken_for_the_last(tmp_path: Path) -> None:
    ctx = StepContext(load("smoke"), 1, "stage-1/evaluate", "k", tmp_path, tmp_path, Memory())
    for age, folder in enumerate(("dpo/adapter", "sft/adapter", "sft/checkpoints/checkpoint-9", "dpo.old/adapter")):
        path = tmp_path / "stage-1" / folder / "adapter_model.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"weights")
        os.utime(path, (1e9 + age, 1e9 + age))
    assert adapter_of(ctx, 1) == tmp_path / "stage-1" / "dpo" / "adapter"
    (tmp_path / "stage-1/dpo/adapter/adapter_model.safetensors").unlink()
    assert adapter_of(ctx, 1) == tmp_path / "stage-1" / "sft" / "adapter"


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, set[tuple[int, ...]]]:
    """(directory, ids of every prompt) of the real generate and answer steps on the tiny model."""
    from pipeline.engines.transformers_engine import TransformersEngine

    root = tmp_path_factory.mktemp("asked")
    overlays = ("data.families=[copy]", "data.instructions=4", "data.calibration_items=10", "data.answers=2")
    real, seen = TransformersEngine.generate, set[tuple[int, ...]]()

    def spy(self: Any, requests: Any, *rest: Any) -> Any:
        seen.update(tuple(request.prompt_ids) for request in requests)
        return real(self, requests, *rest)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(TransformersEngine, "generate", spy)
        for kind in ("generate", "answer"):
            out = root / "stage-1" / kind
            out.mkdir(parents=True)
            ctx = StepContext(load("smoke", overlays), 1, f"stage-1/{kind}", "k", root, out, Memory())
            STEPS[kind].run(ctx)
    return root, seen


def test_the_prompt_stored_is_the_prompt_the_model_saw(asked: tuple[Path, set[tuple[int, ...]]]) -> None:
    """And what is called tokens is counted by the model's tokenizer, the end token included."""
    from pipeline.records import Instruction, read_records
    from tests.pipeline.model_tools import tokens

    root, seen = asked
    generated = [*read_records(root / "stage-1/generate/records.jsonl", Instruction)]
    answers = [
        r for name in ("records", "calibration") for r in read_records(root / f"stage-1/answer/{name}.jsonl", Answer)
    ]
    stored = {tuple(tokens().prompt(row.prompt)) for row in (*generated, *answers)}
    rejected = {
        tuple(tokens().prompt(r.prompt)) for r in read_records(root / "stage-1/generate/rejected.jsonl", Instruction)
    }
    assert stored | rejected == seen
    assert tuple(tokens().prompt(f"{answers[0].prompt} ")) not in seen
    for row in (*generated, *answers):
        assert row.tokens - len(tokens().encode(row.text_raw)) in (0, 1)
    assert any(row.tokens != len(row.text_raw.split()) for row in answers)


def test_a_pulled_runs_manifests_are_no_ignored_kind_of_file() -> None:
    """Results lie under runs/ as a whole, kept or ignored as one; no pattern takes single files out of a run."""
    patterns = (source_root() / ".gitignore").read_text().split()
    for name in ("manifest.json", "DONE", "gate.json", "summary.json", "events.jsonl", "run.json", "report.md"):
        assert not [p for p in patterns if Path(name).match(p.rstrip("/"))]
    assert Path("a/manifest.json").match("*.json")  # how such a pattern would be found


def test_torch_that_hangs_is_given_up_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nexec sleep 60\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(doctor, "TORCH_LIMIT_S", 0.3)
    monkeypatch.setattr(doctor, "sys", SimpleNamespace(executable=str(hanging)))
    assert doctor.ask_torch() == "importing torch took longer than 0 s"

"""What a run noted reaches other programs' viewers as it is, and what is not installed is said in one sentence."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import example_run as example
import pytest

from pipeline.__main__ import main
from pipeline.errors import UsageError
from pipeline.report import tracking
from pipeline.report.inspect_log import write_logs
from pipeline.report.reading import RunFiles

SAMPLE = {"id": str, "epoch": int, "input": str, "target": str, "messages": list, "output": dict, "metadata": dict,
          "store": dict, "events": list, "model_usage": dict, "role_usage": dict, "attachments": dict}  # fmt: skip
SPEC = {"eval_id": str, "run_id": str, "created": str, "task": str, "task_id": str, "task_version": int,
        "task_attribs": dict, "task_args": dict, "task_args_passed": dict, "dataset": dict, "model": str,
        "model_generate_config": dict, "model_args": dict, "config": dict, "packages": dict}  # fmt: skip
LOG = {"version": int, "status": str, "eval": dict, "plan": dict, "stats": dict, "invalidated": bool, "tags": list,
       "metadata": dict, "results": dict, "samples": list}  # fmt: skip
STATS = {"started_at": str, "completed_at": str, "model_usage": dict, "role_usage": dict,
         "connection_limit_history": list}  # fmt: skip
SCORE = {"value": str, "answer": str, "explanation": str, "history": list}
STOPS = ("stop", "max_tokens", "model_length", "tool_calls", "content_filter", "unknown")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("chain")
    example.whole_chain(root)
    return root


@pytest.fixture(scope="module")
def logs(finished: Path) -> list[Path]:
    return write_logs(RunFiles(finished))


def required(body: Mapping[str, Any], fields: Mapping[str, type]) -> list[str]:
    """Fields that the viewer's schema asks for and that are absent or of another type."""
    return [name for name, kind in fields.items() if type(body.get(name)) is not kind]


def faults(log: Mapping[str, Any]) -> list[str]:
    """What inspect_ai's schema of `EvalLog`, version 2, would refuse."""
    found = required(log, LOG) + required(log["eval"], SPEC) + required(log["stats"], STATS)
    found += [] if log["status"] in ("started", "success", "cancelled", "error") else ["status"]
    for score in log["results"]["scores"]:
        found += required(score, {"name": str, "scorer": str, "params": dict, "metrics": dict})
        for metric in score["metrics"].values():
            found += required(metric, {"name": str, "value": float, "params": dict})
    for sample in log["samples"]:
        found += required(sample, SAMPLE)
        found += required(sample["output"], {"model": str, "choices": list, "completion": str})
        found += [f for score in sample["scores"].values() for f in required(score, SCORE)]
        found += ["stop_reason" for c in sample["output"]["choices"] if c["stop_reason"] not in STOPS]
        found += ["role" for m in sample["messages"] if m["role"] not in ("user", "assistant")]
    return found


def test_every_evaluation_becomes_a_log_that_the_viewers_schema_accepts(logs: list[Path]) -> None:
    assert len(logs) == 6 + 1 + 3
    for path in logs:
        log = json.loads(path.read_bytes())
        assert faults(log) == [], path.name
        assert len(log["samples"]) == log["results"]["total_samples"] == example.ITEMS


def test_the_schema_check_finds_what_is_missing(logs: list[Path]) -> None:
    log = json.loads(logs[0].read_bytes())
    del log["eval"]["task_args_passed"]
    log["samples"][3]["scores"]["strict"]["history"] = None
    log["samples"][4]["output"]["choices"][0]["stop_reason"] = "eos"
    assert faults(log) == ["task_args_passed", "history", "stop_reason"]


def test_a_log_says_what_was_asked_answered_and_judged(logs: list[Path]) -> None:
    log = json.loads(next(p for p in logs if p.name == "stage-2-evaluate.set-2.tuned.json").read_bytes())
    by_id = {sample["id"]: sample for sample in log["samples"]}
    wrong, right = by_id["item0"], by_id["item1"]
    assert right["input"] == "Instruction: Say 1.\nResponse:"
    assert right["scores"]["strict"]["value"] == right["scores"]["lenient"]["value"] == "C"
    assert (wrong["scores"]["strict"]["value"], wrong["scores"]["strict"]["explanation"]) == (
        "I",
        "runaway: a new turn",
    )
    assert wrong["output"]["completion"] == f" {example.HOSTILE}"
    accuracy = {s["name"]: s["metrics"]["accuracy"]["value"] for s in log["results"]["scores"]}
    assert accuracy == {"strict": 45 / 120, "lenient": 60 / 120}
    assert log["eval"]["model"] == "tiny after stage-2"
    assert log["eval"]["metadata"]["overrides"][0]["reason"] == "to see what lies behind"


def test_a_real_item_carries_a_right_answer_as_its_target() -> None:
    from pipeline.evals.items import frozen_blocks
    from pipeline.report.inspect_log import wanted

    item = frozen_blocks(1)[0]
    assert wanted("1")[item.id] == item.answer
    assert wanted("99") == {}


def test_exporting_twice_gives_the_same_bytes(finished: Path, logs: list[Path]) -> None:
    first = [path.read_bytes() for path in logs]
    assert first == [path.read_bytes() for path in write_logs(RunFiles(finished))]


def test_curves_come_from_the_metrics_and_the_rest_from_the_events(finished: Path) -> None:
    points = list(tracking.scalars(RunFiles(finished)))
    losses = [p for p in points if p.tag == "stage-1/sft/loss"]
    assert [(p.x, p.value) for p in losses] == [(k, 2.0 / (k + 1)) for k in range(9)]  # not the event's as well
    assert [p.value for p in points if p.tag == "stage-1/generate/loss"] == [1.5]
    assert [p.value for p in points if p.tag == "stage-1/generate/cost/usd"] == [0.0275]


def test_what_is_not_a_finite_number_is_left_out(tmp_path: Path) -> None:
    example.whole_run(tmp_path)
    rows = [{"step": 1, "loss": None}, {"step": 2, "loss": float("nan")}, {"loss": 1.0}, {"step": 3, "loss": True}]
    example.lines(tmp_path / "stage-1/sft/metrics.jsonl", [*rows, {"step": 4, "loss": 0.5}])
    found = [(p.x, p.value) for p in tracking.scalars(RunFiles(tmp_path)) if p.tag == "stage-1/sft/loss"]
    assert found == [(4, 0.5)]


class Tracker(ModuleType):
    """Stands in for a tracking package and keeps what it is told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.runs: list[dict[str, Any]] = []
        self.finished = 0

    def init(self, **more: Any) -> None:
        self.runs.append({**more, "logged": []})

    def log(self, values: dict[str, float], step: int) -> None:
        self.runs[-1]["logged"].append((step, values))

    def finish(self) -> None:
        self.finished += 1


@pytest.mark.parametrize("package", ["trackio", "wandb"])
def test_a_tracker_gets_one_run_a_step(package: str, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tracker = Tracker(package)
    monkeypatch.setitem(sys.modules, package, tracker)
    monkeypatch.setenv("TRACKIO_DIR", "elsewhere")
    written = tracking.export(finished, package)
    assert len(tracker.runs) == tracker.finished == len(written)
    sft = next(run for run in tracker.runs if run["name"] == "stage-1-sft")
    assert sft["project"] == "demo-1"
    assert sft["logged"][0][0] == 0
    assert sft["logged"][0][1]["loss"] == 2.0
    assert (package == "wandb") == (sft.get("mode") == "offline")


def test_tensorboard_gets_event_files_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example.whole_run(tmp_path)
    told: dict[str, list[Any]] = {}

    class Writer:
        def __init__(self, folder: str) -> None:
            self.rows = told.setdefault(Path(folder).relative_to(tmp_path).as_posix(), [])

        def add_event(self, event: Any) -> None:
            self.rows.append((event.step, event.summary.value[0].tag, event.summary.value[0].simple_value))

        def close(self) -> None:
            self.rows.append("closed")

    def summary(**fields: Any) -> SimpleNamespace:
        return SimpleNamespace(**fields)

    summary.Value = SimpleNamespace  # type: ignore[attr-defined]
    for name, module in (
        ("tensorboard.summary.writer.event_file_writer", SimpleNamespace(EventFileWriter=Writer)),
        ("tensorboard.compat.proto.event_pb2", SimpleNamespace(Event=SimpleNamespace)),
        ("tensorboard.compat.proto.summary_pb2", SimpleNamespace(Summary=summary)),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    assert tracking.export(tmp_path, "tensorboard") == [str(tmp_path / "tensorboard")]
    assert (0, "loss", 2.0) in told["tensorboard/stage-1/sft"]
    assert all(rows[-1] == "closed" for rows in told.values())


@pytest.mark.parametrize("package", ["tensorboard", "trackio", "wandb"])
def test_a_missing_package_is_one_sentence_with_its_command(
    package: str, finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (package, "tensorboard.summary.writer.event_file_writer"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setenv("TRACKIO_DIR", "elsewhere")
    assert main(["report", str(finished), "--export", package]) == 2
    said = capsys.readouterr().err.strip()
    assert said == f"error: the package {package} is not installed; get it with: pip install {package}"


def test_an_unknown_target_and_an_empty_run_are_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="choose one of tensorboard, trackio, wandb, inspect"):
        tracking.export(finished, "excel")
    example.dump(tmp_path / "run.json", {"run_id": "empty"})
    with pytest.raises(UsageError, match="holds no evaluation yet"):
        tracking.export(tmp_path, "inspect")

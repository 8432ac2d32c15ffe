"""Starting the day: one picture of files, pods and money, with what is not known said as such."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from test_packages_cli import ANSWER, REQUEST

from app import brief, cli
from app.controller import Controller
from app.runs import RunBook, RunEntry
from app.settings import Settings
from app.workspace import find
from remote.errors import ProviderUnavailable


def fill(root: Path) -> None:
    """A P0 task, an answered review, an open one, and a run whose pod was never heard of again."""
    for folder in ("task_board/pending", "reviews/requests", "reviews/responses"):
        (root / folder).mkdir(parents=True)
    (root / "task_board/pending/20260101_120000_P0_mend_it.md").write_text("# Mend it\n")
    asked = REQUEST.replace("codex, gemini", "codex")
    (root / "reviews/requests/20260101_120000_scorer.md").write_text(asked)
    (root / "reviews/responses/20260101_120000_scorer_codex.md").write_text(ANSWER)
    (root / "reviews/requests/20260102_120000_pool.md").write_text(REQUEST.replace("Scorer", "Pool"))
    RunBook(root / ".maxcai").add(RunEntry("01ABC", "demo", "local", "t" * 64, 1, 5.0))
    gate = {
        "v": 1, "seq": 0, "t": "2026-01-01T00:00:00Z", "kind": "gate", "stage": 1, "name": "explicit", "attempt": 1,
        "verdict": "FAIL",
    }  # fmt: skip
    (root / "runs/01ABC").mkdir(parents=True)
    (root / "runs/01ABC/events.jsonl").write_text(json.dumps(gate) + "\n")


def test_the_brief_names_what_one_should_know_first(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path)
    assert cli.main(["-C", str(tmp_path), "brief", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [task["title"] for task in found["tasks"]["urgent"]] == ["Mend it"]
    assert [review["title"] for review in found["reviews"]["new"]] == ["Scorer"]
    assert [one["for"] for one in found["reviews"]["waiting"]] == [["codex", "gemini"]]
    assert (found["run"]["verdict"], found["run"]["stage"], found["run"]["pulled"]) == ("FAIL", 1, False)
    assert [pod["status"] for pod in found["pods"]] == ["STOPPED"]
    assert found["unknown"] == []
    assert cli.main(["-C", str(tmp_path), "brief", "--readonly"]) == 0
    said = capfd.readouterr().out
    for words in ("P0: Mend it", "new: ", "stage 1 explicit: FAIL", "waits for codex, gemini", "pod local STOPPED"):
        assert words in said


async def test_offline_the_pods_are_unknown_and_never_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    controller = Controller(find(tmp_path), Settings(provider="runpod"))

    async def nobody() -> None:
        raise ProviderUnavailable("RunPod cannot be reached", "Try again.")

    monkeypatch.setattr(controller.supervisor, "look", nobody)
    found = await brief.gather(controller.supervisor)
    await controller.close()
    told = brief.data(found)
    assert (told["pods"], told["cost"]["per_hour"]) == (None, None)
    assert told["tasks"]["urgent"]
    said = brief.text(found)
    assert "pods: not known" in said
    assert "not known: pods: RunPod cannot be reached" in said
    assert "no pod" not in said


async def test_a_provider_that_is_silent_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(brief, "PATIENCE_S", 0.05)
    controller = Controller(find(tmp_path), Settings())

    async def silence() -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(controller.supervisor, "look", silence)
    found = await brief.gather(controller.supervisor)
    await controller.close()
    assert found.pods is None
    assert "did not answer within" in found.unknown[0]

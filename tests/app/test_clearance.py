"""The deployment gate: no run but of demo and smoke without an approved review, or a reason that is recorded."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from test_packages_cli import ANSWER, REQUEST

from app import cli
from app.clearance import Cleared, clear
from app.controller import Controller
from app.errors import Refused, UsageError
from app.sections import Reviews
from app.settings import Settings, load
from app.supervisor import Supervisor
from app.workspace import find


def supervisor(root: Path, required: bool = True) -> Supervisor:
    return Controller(find(root), Settings(reviews=Reviews(required=required))).supervisor


def review(root: Path, verdict: str, commit: str = "") -> None:
    """A deployment review by one reviewer."""
    for folder in ("requests", "responses"):
        (root / "reviews" / folder).mkdir(parents=True, exist_ok=True)
    asked = REQUEST.replace("codex, gemini", "codex") + (f"**Commit**: {commit}\n" if commit else "")
    (root / "reviews/requests/20260101_120000_scorer.md").write_text(asked)
    said = ANSWER.replace("APPROVED", verdict)
    (root / "reviews/responses/20260101_120000_scorer_codex.md").write_text(said)


def test_the_gate_is_off_until_the_settings_ask_for_it(tmp_path: Path) -> None:
    assert clear(supervisor(tmp_path, required=False), "big") == Cleared()
    (tmp_path / "maxcai.toml").write_text("[reviews]\nrequired = true\n")
    assert load(tmp_path, {}).reviews.required
    assert not load(tmp_path, {"MAXCAI_REVIEWS_REQUIRED": "false"}).reviews.required


def test_without_an_approved_review_nothing_but_demo_and_smoke_starts(tmp_path: Path) -> None:
    gate = supervisor(tmp_path)
    assert clear(gate, "demo") == clear(gate, "smoke") == Cleared()
    for recipe in ("big", "./demo.yaml"):
        with pytest.raises(Refused, match="no deployment review"):
            clear(gate, recipe)
    review(tmp_path, "MAJOR PROBLEMS")
    with pytest.raises(Refused, match="not approved"):
        clear(gate, "big")
    review(tmp_path, "APPROVED")
    assert clear(gate, "big").review is not None


def test_a_reason_passes_the_gate_and_an_empty_one_does_not(tmp_path: Path) -> None:
    assert clear(supervisor(tmp_path), "big", " a trial ") == Cleared(without="a trial")
    with pytest.raises(UsageError, match="no reason"):
        clear(supervisor(tmp_path), "big", "  ")


def test_a_commit_that_git_would_take_for_an_option_is_none(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    review(tmp_path, "APPROVED", "--output=made")
    with pytest.raises(Refused, match="names no commit"):
        clear(supervisor(tmp_path), "big")
    assert not (tmp_path / "made").exists()


def test_an_approval_holds_for_the_code_it_was_about_and_no_other(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        argv = ["git", "-c", "user.name=n", "-c", "user.email=n@example.org", *words]
        return subprocess.run(argv, cwd=tmp_path, check=True, capture_output=True, text=True).stdout.strip()

    code = tmp_path / "code.py"
    code.write_text("a = 1\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "one")
    review(tmp_path, "APPROVED", git("rev-parse", "HEAD"))
    git("add", ".")
    git("commit", "-qm", "the answer itself")
    gate = supervisor(tmp_path)
    assert clear(gate, "big").review is not None
    code.write_text("a = 2\n")
    with pytest.raises(Refused, match="has changed since"):
        clear(gate, "big")
    assert clear(gate, "big", "only a comment") == Cleared(without="only a comment")
    review(tmp_path, "APPROVED", "0" * 40)
    with pytest.raises(Refused, match="no such commit"):
        clear(gate, "big")


def test_run_start_is_refused_before_any_pod_and_a_waiver_is_kept(
    workspace_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (workspace_dir / "maxcai.toml").write_text("[reviews]\nrequired = true\n")
    start = ["-C", str(workspace_dir), "run", "start", "-r", "broken"]
    assert cli.main(start) == 3
    assert "--without-review REASON" in capfd.readouterr().err
    assert not (workspace_dir / ".maxcai/pods").exists()
    assert cli.main([*start, "--without-review", "a trial of the plumbing"]) == 0
    state = workspace_dir / ".maxcai"
    launches = [json.loads(line) for line in (state / "journal.jsonl").read_text().splitlines()]
    (intent,) = (row for row in launches if row.get("op") == "run.launch")
    assert intent["facts"]["without_review"] == "a trial of the plumbing"
    assert json.loads((state / "runs.jsonl").read_text())["without_review"] == "a trial of the plumbing"
    capfd.readouterr()
    assert cli.main(["-C", str(workspace_dir), "run", "show"]) == 0
    assert "STARTED WITHOUT A REVIEW: a trial of the plumbing" in capfd.readouterr().out

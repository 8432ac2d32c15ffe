"""`maxcai run compare`: which directories are meant, what is refused, and that the pipeline's numbers come through."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app import cli
from app.runs import RunBook, RunEntry


def at_home(root: Path, run_id: str, rate: float = 1e-4) -> None:
    """A run of this workspace whose record is home; it measured nothing."""
    RunBook(root / ".maxcai").add(RunEntry(run_id, "demo", "local", "t" * 64, 1, 5.0))
    folder = root / "runs" / run_id
    folder.mkdir(parents=True)
    recipe = {"name": "demo", "stages": [1], "evaluation": {"threshold": 0.6}, "train": {"lr": rate}}
    (folder / "run.json").write_text(json.dumps({"run_id": run_id, "recipe": recipe, "recipe_sha256": "0" * 64}))


def test_runs_at_home_are_compared_by_the_beginning_of_their_id_or_by_directory(
    workspace_dir: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    at_home(workspace_dir, "01ABC")
    at_home(workspace_dir, "02XYZ", 2e-4)
    where = str(workspace_dir / "runs" / "02XYZ")
    assert cli.main(["-C", str(workspace_dir), "run", "compare", "01", where, "--json"]) == 0
    found = json.loads(capfd.readouterr().out)
    assert [run["run_id"] for run in found["runs"]] == ["01ABC", "02XYZ"]
    assert found["recipe"] == [{"field": "train.lr", "values": ["0.0001", "0.0002"]}]
    assert [run["sessions_usd"] for run in found["runs"]] == [None, None]  # unknown, not nothing
    assert "measured nothing here" in found["tests"][0]["why_not"]


def test_what_cannot_be_compared_is_named(workspace_dir: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at_home(workspace_dir, "01ABC")
    RunBook(workspace_dir / ".maxcai").add(RunEntry("03AWAY", "demo", "local", "t" * 64, 1, 6.0))
    for words, said in (
        (["01ABC"], "needs two runs"),
        (["01ABC", "03AWAY"], "run 03AWAY is not at home"),
        (["01ABC", "nonsense"], "no run nonsense"),
        (["01ABC", "01"], "compared with itself"),
    ):
        assert cli.main(["-C", str(workspace_dir), "run", "compare", *words]) == 2
        assert said in capfd.readouterr().err

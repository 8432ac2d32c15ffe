"""Fresh processes: what the command line loads, and above all what it does not."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import app

ROOT = Path(app.__file__).parents[1]
HEAVY = ("textual", "rich", "asyncssh", "torch", "transformers", "pydantic")


def loaded(code: str, cwd: Path) -> set[str]:
    """Top-level modules of a fresh process after `code`."""
    told = "; import sys; print(' '.join(sorted({n.partition('.')[0] for n in sys.modules})), file=sys.stderr)"
    argv = [sys.executable, "-c", code + told]
    done = subprocess.run(
        argv, cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    return set(done.stderr.strip().splitlines()[-1].split())


def test_importing_the_command_line_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded("import app.cli", tmp_path) & set(HEAVY)


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    assert not loaded("import app.cli; app.cli.main(['--help'])", tmp_path) & set(HEAVY)


@pytest.mark.parametrize(
    "command",
    [["task", "list"], ["review", "list"], ["status"], ["brief"], ["pod", "list"], ["run", "list"]],
    ids=" ".join,
)
def test_looking_loads_neither_screen_nor_link_nor_model(tmp_path: Path, command: list[str]) -> None:
    found = loaded(f"import app.cli; app.cli.main({command!r})", tmp_path)
    assert not found & {"textual", "rich", "asyncssh", "torch", "transformers"}


@pytest.mark.parametrize("command", [["task", "new", "a title"], ["task", "next"], ["review", "request", "a topic"]])
def test_a_task_or_review_command_loads_its_package_and_no_settings(tmp_path: Path, command: list[str]) -> None:
    for folder in ("task_board/pending", "reviews/requests"):
        (tmp_path / folder).mkdir(parents=True)
    found = loaded(f"import app.cli; app.cli.main({command!r})", tmp_path)
    assert not found & set(HEAVY)


def test_the_protocol_of_runs_costs_no_torch(tmp_path: Path) -> None:
    assert not loaded("import pipeline.protocol", tmp_path) & {"torch", "transformers", "pydantic"}


@pytest.mark.parametrize("package", ["task_board.board", "reviews.files"])
def test_tasks_and_reviews_need_the_standard_library_only(tmp_path: Path, package: str) -> None:
    plain = loaded("pass", tmp_path)
    found = loaded(f"import {package}", tmp_path) - plain - {package.partition(".")[0], "task_board", "yaml", "_yaml"}
    assert found <= set(sys.stdlib_module_names) | {name for name in found if name.startswith("__editable__")}


def imported(path: Path) -> set[str]:
    """Top-level names of every import in a file, also of those inside functions."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = [name.name for node in nodes if isinstance(node, ast.Import) for name in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def test_no_module_but_the_panels_own_imports_its_library() -> None:
    files = [
        path for name in ("app", "remote", "pipeline", "task_board", "reviews") for path in (ROOT / name).rglob("*.py")
    ]
    assert any("textual" in imported(path) for path in files)
    others = [path for path in files if not path.is_relative_to(ROOT / "app/tui")]
    assert not [path for path in others if imported(path) & {"textual", "rich"}]

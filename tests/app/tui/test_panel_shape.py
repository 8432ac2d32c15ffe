"""The panel's own code: short files and functions, and no widget that reads, writes or asks anybody."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import app

HOME = Path(app.__file__).parent
FILES = sorted(HOME.rglob("*.py"))
DRAWING = [path for path in FILES if path.parent.name in ("widgets", "views", "modals")]
OUTSIDE = {
    "aiohttp", "asyncio", "asyncssh", "ctypes", "glob", "httpx", "io", "mmap", "multiprocessing", "os", "select",
    "shutil", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading", "urllib",
}  # fmt: skip
"""Modules by which one reaches a file, a process or the network."""

FILE_CALLS = {
    "exists", "glob", "is_dir", "is_file", "iterdir", "mkdir", "read_bytes", "read_text", "rename", "resolve",
    "rglob", "stat", "touch", "unlink", "write_bytes", "write_text",
}  # fmt: skip
"""Methods of a path that ask or change the disk."""

EXCEPT = {"views/board.py": {"resolve"}}
"""The next task is found among the cards by its file, however either path is written; once for a key."""


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def reached(path: Path) -> Iterator[str]:
    """What in a file reaches out of the process."""
    found = tree(path)
    types_only = [node for node in found.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    ignored = {inner for node in types_only for inner in ast.walk(node)}
    for node in ast.walk(found):
        if node in ignored:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [name.name for name in node.names]
            yield from (name for name in names if name.partition(".")[0] in OUTSIDE | {"remote"})
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
            yield "open"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in FILE_CALLS:
            yield node.func.attr


def test_the_apps_file_is_short_and_no_function_is_long() -> None:
    assert len((HOME / "tui/app.py").read_text().splitlines()) <= 250
    long = [
        f"{path.relative_to(HOME)}:{node.lineno} {node.name}"
        for path in FILES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert not long


@pytest.mark.parametrize("path", DRAWING, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_widget_does_io(path: Path) -> None:
    excepted = EXCEPT.get(f"{path.parent.name}/{path.name}", set())
    assert not set(reached(path)) - excepted, "a widget draws what it is given"

"""What must stay light stays light: only steps, the loader, the engines and the trainers ever import torch."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.environment import source_root

HEAVY = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "datasets",
    "accelerate",
    "safetensors",
    "bitsandbytes",
    "vllm",
    "unsloth",
)
ALLOWED = ("models/", "engines/", "trainers/", "tokenise.py", "tiny/make_base.py", "tiny/muon.py", "preload.py")


@pytest.mark.parametrize(
    "code",
    [
        "import pipeline.protocol",
        "import pipeline.runner, pipeline.worker, pipeline.status, pipeline.doctor",
        "import pipeline.steps",
        "import pipeline.__main__ as m; m.main(['recipes'])",
        "import pipeline.__main__ as m; m.main(['plan', '--recipe', 'demo'])",
        "import pipeline.__main__ as m; m.main(['status', '/nowhere'])",
        "import pipeline.__main__ as m; m.main(['digest', '/nowhere'])",
        "import pipeline.__main__ as m; m.main(['report', '/nowhere'])",
    ],
)
def test_no_heavy_library_is_loaded_by(code: str) -> None:
    check = f"{code}\nimport sys\nprint('loaded:', [m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=source_root())
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_the_protocol_needs_the_standard_library_alone() -> None:
    check = "import sys; before = set(sys.modules); import pipeline.protocol\n"
    check += "known = {*sys.stdlib_module_names, 'pipeline'}\n"
    check += "print([m for m in set(sys.modules) - before if m.partition('.')[0] not in known])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=source_root())
    assert done.stdout.strip() == "[]"


def sources() -> list[Path]:
    return sorted((source_root() / "pipeline").rglob("*.py"))


def test_heavy_libraries_are_imported_only_where_they_may_be() -> None:
    found = []
    for path in sources():
        name = path.relative_to(source_root() / "pipeline").as_posix()
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found += [(name, n) for n in names if n.partition(".")[0] in HEAVY and not name.startswith(ALLOWED)]
    assert found == []


def test_the_fork_server_guard_is_imported_by_nobody() -> None:
    pattern = re.compile(r"^\s*(from|import) .*forkserver_guard", re.MULTILINE)
    assert [p.name for p in sources() if pattern.search(p.read_text())] == []

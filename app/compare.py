"""Runs side by side for `maxcai run compare` and the panel. The numbers are the pipeline's own, made in its process
from the run directories at home; the pod sessions' dollars are ours."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from app.errors import AppError, UsageError
from app.text import harmless

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from app.workspace import Workspace

PATIENCE_S = 300.0
"""Seconds that a comparison may take: resampling many items is work."""


class Compared(Struct, frozen=True):
    """What came of it: text for people, `data` as `python -m pipeline compare --json` has it, with our costs."""

    text: str
    data: dict[str, Any]


async def compare(supervisor: Supervisor, names: Sequence[str]) -> Compared:
    """Compare runs of this workspace, by id or its beginning, or by directory.

    Raises UsageError for fewer than two, for one that is not at home, and for what the pipeline refuses.
    """
    if len(names) < 2:
        raise UsageError("a comparison needs two runs", "Name them: `maxcai run compare A B`; see `maxcai run list`.")
    roots = [_root(supervisor, name) for name in names]
    folder = supervisor.workspace.pipeline.parent
    raw = await _asked(folder, roots)
    try:
        data: dict[str, Any] = json.loads(raw)
        plain = str(data.pop("text"))
    except (ValueError, KeyError):
        raise AppError(
            "the pipeline's comparison cannot be read", "Run `python -m pipeline compare` by hand."
        ) from None
    costs = [await asyncio.to_thread(_cost, supervisor.workspace, supervisor, root.name) for root in roots]
    lines = []
    for run, cost in zip(data["runs"], costs, strict=True):
        run["sessions_usd"] = cost
        if cost is not None:
            lines.append(f"pod sessions of {run['run_id']}: ${cost:.2f}")
    head = "\n".join([*lines, ""]) if lines else ""
    return Compared(head + harmless(plain), data)


def _root(supervisor: Supervisor, name: str) -> Path:
    """Where a run lies at home."""
    folder = Path(name).expanduser()
    if os.sep in name and (folder / "run.json").is_file():
        return folder.resolve()
    entry = supervisor.book.find(name)
    known = supervisor.workspace.runs_dir / (name if entry is None else entry.run_id)
    if not (known / "run.json").is_file():
        raise UsageError(f"run {known.name} is not at home", f"Bring it: `maxcai pull {known.name}`.")
    return known


def _cost(workspace: Workspace, supervisor: Supervisor, run_id: str) -> float | None:
    """USD of the pod sessions that a run took part in; None when that is not known."""
    from app.demo import run_cost
    from app.history import run_view

    entry = next((one for one in supervisor.book.entries() if one.run_id == run_id), None)
    if entry is None:
        return None
    usd = run_cost(workspace, entry, run_view(workspace, entry))
    return None if usd is None else float(usd)


async def _asked(code: Path, roots: Sequence[Path]) -> str:
    """What the pipeline prints, as JSON, in its own process. Raises UsageError and AppError."""
    argv = (sys.executable, "-m", "pipeline", "compare", *map(str, roots), "--json")
    env = {**os.environ, "PYTHONPATH": str(code), "PYTHONDONTWRITEBYTECODE": "1"}
    child = await asyncio.create_subprocess_exec(
        *argv, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(child.communicate(), PATIENCE_S)
    except TimeoutError:
        raise AppError(f"the comparison took more than {PATIENCE_S:.0f} s", "Compare fewer runs.") from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    if child.returncode != 0:
        told = harmless(" ".join(err.decode("utf-8", "replace").split())).removeprefix("error: ")
        raise UsageError(told or f"the pipeline's comparison ended with code {child.returncode}")
    return out.decode("utf-8", "replace")

"""Reading the board: every file of every lane becomes a task, and a file that says little is still shown.

The lane folder is the status; headers only add priority and title. Nothing here writes.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LANES = ("pending", "in_progress", "blocked", "completed")

_NAME = re.compile(r"^(\d{8}_\d{6})?_?(?:P([0-3])_)?(.+?)(?:\.md.*|\.txt)?$")
_PRIORITY = re.compile(r"^[\s*_>#-]*priority[\s*_]*:[\s*_]*(.+?)[\s*_]*$", re.IGNORECASE)
_LEVEL = re.compile(r"\bP([0-3])\b", re.IGNORECASE)
_WORDS = {"critical": 0, "urgent": 0, "high": 1, "medium": 2, "normal": 2, "low": 3}
_TITLE = re.compile(r"^#\s+(.+?)\s*#*\s*$")
_FENCE = re.compile(r"^\s*(```|~~~)")


@dataclass(frozen=True, slots=True)
class Task:
    """One file. `priority` is 0 (most urgent) to 3, None when nothing says it; `error` tells why it was unreadable."""

    name: str
    lane: str
    path: str
    title: str
    priority: int | None
    created: str | None  # YYYYMMDD_HHMMSS of the file name
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_board(root: Path) -> list[Task]:
    """Every task under `root`, lane by lane, by priority, date and name. Reading never fails."""
    return [task for lane in LANES for task in sorted((_read(path, lane) for path in _files(root / lane)), key=_order)]


def render(tasks: list[Task]) -> str:
    """The board as text, one lane after the other."""
    lines: list[str] = []
    for lane in LANES:
        found = [task for task in tasks if task.lane == lane]
        lines.append(f"{lane} ({len(found)})")
        for task in found:
            level = "P?" if task.priority is None else f"P{task.priority}"
            lines.append(f"  {level}  {task.title}" + (f"  ✖ {task.error}" if task.error else f"  ({task.name})"))
    return "\n".join(lines)


def _files(lane: Path) -> list[Path]:
    if not lane.is_dir():
        return []
    return [path for path in sorted(lane.iterdir()) if path.is_file() and not path.name.startswith(".")]


def _order(task: Task) -> tuple[int, str, str]:
    return (4 if task.priority is None else task.priority, task.created or "", task.name)


def _read(path: Path, lane: str) -> Task:
    match = _NAME.match(path.name)
    created, level, slug = match.groups() if match else (None, None, path.name)
    error, title, priority = None, None, None
    try:
        title, priority = _header(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as problem:
        error = f"cannot be read: {problem.strerror or problem}"
    if priority is None and level is not None:
        priority = int(level)
    shown = title or str(slug).replace("_", " ").replace("-", " ")
    return Task(path.name, lane, str(path), _one_line(shown), priority, created, error)


def _header(text: str) -> tuple[str | None, int | None]:
    """Title and priority of the text; the first of each wins, and lines inside code fences are no headers."""
    title: str | None = None
    priority: int | None = None
    fenced = False
    for line in text.splitlines():
        if _FENCE.match(line):
            fenced = not fenced
        if fenced:
            continue
        if title is None and (found := _TITLE.match(line)):
            title = found[1].removeprefix("Task:").strip() or None
        if priority is None and (found := _PRIORITY.match(line)):
            priority = _level(found[1])
    return title, priority


def _level(value: str) -> int | None:
    if found := _LEVEL.search(value):
        return int(found[1])
    words = [_WORDS[word] for word in re.findall(r"[a-z]+", value.lower()) if word in _WORDS]
    return words[0] if words else None


def _one_line(text: str) -> str:
    return "".join(c for c in text if c.isprintable())

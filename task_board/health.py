"""What is wrong with a board, for `doctor`: looks only, mends nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from task_board import board
from task_board.task import Task

STALE = timedelta(days=7)
_STAMP = re.compile(r"\[(\d{4}-\d{2}-\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2})?))?")


@dataclass(frozen=True, slots=True)
class Finding:
    """`kind` is duplicate, twin, dependency, cycle, stale, criteria or file."""

    kind: str
    files: tuple[str, ...]
    text: str

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "files": list(self.files)}


def doctor(root: Path, now: datetime | None = None, stale: timedelta = STALE) -> list[Finding]:
    """Everything found, in the order of the kinds above."""
    tasks = board.read_board(root)
    return [
        *_same(tasks), *_dependencies(tasks), *_cycles(tasks), *_stale(tasks, now or datetime.now(UTC), stale),
        *_unticked(tasks), *(Finding("file", (t.file,), f"{t.id}: {text}") for t in tasks for text in t.problems),
    ]  # fmt: skip


def _same(tasks: list[Task]) -> list[Finding]:
    found, groups = [], defaultdict(list)
    for task in tasks:
        groups[(task.home, task.slug)].append(task)
    for (_, slug), same in groups.items():
        lanes = sorted({task.lane for task in same})
        files = tuple(task.file for task in same)
        if len(lanes) > 1:
            found.append(Finding("twin", files, f"{slug} is in {' and '.join(lanes)}: one of them is out of date"))
        elif len(same) > 1:
            found.append(Finding("duplicate", files, f"{slug} is {len(same)} times in {lanes[0]}"))
    return found


def _dependencies(tasks: list[Task]) -> list[Finding]:
    known: dict[str, list[Task]] = defaultdict(list)
    for task in tasks:
        for name in {task.id, task.slug}:
            known[name].append(task)
    found = []
    for task in tasks:
        for name in task.depends_on:
            others = [other for other in known.get(name, []) if other is not task]
            roles = {other.role for other in others}
            if not others and task in known.get(name, []):
                continue  # itself: told as a cycle
            if not others:
                found.append(Finding("dependency", (task.file,), f"{task.id} depends on {name}, which is nowhere"))
            elif "completed" not in roles and task.role in ("in_progress", "completed"):
                text = f"{task.id} is in {task.lane}, but depends on {name}, which is in {others[0].lane}"
                found.append(Finding("dependency", (task.file, others[0].file), text))
            elif roles == {"closed"}:
                text = f"{task.id} depends on {name}, which will never be completed ({others[0].lane})"
                found.append(Finding("dependency", (task.file, others[0].file), text))
    return found


def _cycles(tasks: list[Task]) -> list[Finding]:
    ids = {name: task.id for task in tasks for name in (task.slug, task.id)}
    after = {task.id: [ids[name] for name in task.depends_on if name in ids] for task in tasks}
    files = {task.id: task.file for task in tasks}
    found: dict[frozenset[str], Finding] = {}
    for first in after:
        path, stack = [first], [iter(after[first])]
        seen = {first}
        while stack:
            step = next(stack[-1], None)
            if step is None:
                stack.pop()
                path.pop()
            elif step == first:
                text = f"{' waits for '.join([*path, first])}: none of them can start"
                found.setdefault(frozenset(path), Finding("cycle", tuple(files[name] for name in path), text))
            elif step not in seen:
                seen.add(step)
                path.append(step)
                stack.append(iter(after[step]))
    return list(found.values())


def _stale(tasks: list[Task], now: datetime, limit: timedelta) -> list[Finding]:
    found = []
    for task in tasks:
        if task.role == "in_progress" and (last := _touched(task)) and now - last > limit:
            text = f"{task.id} is in progress, without a word for {(now - last).days} days"
            found.append(Finding("stale", (task.file,), text))
    return found


def _touched(task: Task) -> datetime | None:
    """The newest dated line, else the file's own time (which a fresh checkout sets to now)."""
    try:
        text = task.path.read_bytes().decode("utf-8", "replace")
        changed = datetime.fromtimestamp(task.path.stat().st_mtime, UTC)
    except OSError:
        return None
    dates = []
    for day, clock in _STAMP.findall(text):
        try:
            dates.append(datetime.fromisoformat(f"{day}T{clock or '00:00'}").replace(tzinfo=UTC))
        except ValueError:
            continue
    return max(dates, default=changed)


def _unticked(tasks: list[Task]) -> list[Finding]:
    return [
        Finding("criteria", (t.file,), f"{t.id} is completed with {t.criteria.open} open of its success criteria")
        for t in tasks
        if t.role == "completed" and t.criteria.open
    ]

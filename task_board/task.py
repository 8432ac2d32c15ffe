"""What a task is: one file of one lane, as it reads."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

_ROLES = {
    "pending": "pending", "todo": "pending", "backlog": "pending", "open": "pending", "ready": "pending",
    "in_progress": "in_progress", "inprogress": "in_progress", "doing": "in_progress", "active": "in_progress",
    "blocked": "blocked", "waiting": "blocked",
    "completed": "completed", "complete": "completed", "done": "completed", "finished": "completed",
    "obsolete": "closed", "cancelled": "closed", "canceled": "closed", "archive": "closed", "archived": "closed",
    "abandoned": "closed", "superseded": "closed", "rejected": "closed", "deprecated": "closed", "wontfix": "closed",
}  # fmt: skip


def role_of(lane: str) -> str:
    """What a lane's name means; "other" for names that are not known."""
    return _ROLES.get(re.sub(r"[\s-]+", "_", lane.strip().lower()), "other")


@dataclass(frozen=True, slots=True)
class Criteria:
    """Checkboxes of the success criteria, counted."""

    open: int = 0
    done: int = 0


@dataclass(frozen=True, slots=True)
class Task:
    """One file. `priority` is 0 (most urgent) to 3, None when nothing says it; `problems` are sentences.

    `created` is ISO 8601. `home` is the folder that holds the lanes, `role` what the lane means (pending, in_progress,
    blocked, completed, closed, or other).
    """

    id: str
    lane: str
    file: str
    title: str
    slug: str
    priority: int | None
    assigned_to: str | None = None
    created: str | None = None
    estimate: str | None = None
    depends_on: tuple[str, ...] = ()
    from_review: str | None = None
    criteria: Criteria = Criteria()
    problems: tuple[str, ...] = ()
    home: str = ""
    finding: str | None = None
    run: str | None = None
    gate: str | None = None

    @property
    def role(self) -> str:
        return role_of(self.lane)

    @property
    def path(self) -> Path:
        return Path(self.file)

    def as_dict(self) -> dict[str, Any]:
        """The stable JSON of one task."""
        data: dict[str, Any] = {name: getattr(self, name) for name in _SHOWN}
        data["depends_on"], data["problems"] = list(self.depends_on), list(self.problems)
        data["criteria"] = {"open": self.criteria.open, "done": self.criteria.done}
        return data


@dataclass(frozen=True, slots=True)
class Lane:
    """One lane folder of one board."""

    home: Path
    name: str
    assignee: str | None = None
    folder: Path = field(default_factory=Path)


_SHOWN = [f.name for f in fields(Task) if f.name not in ("home", "finding", "run", "gate")]

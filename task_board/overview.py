"""What a person or agent should know of a board first. Reads files only."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from task_board import board, verbs
from task_board.index import kept
from task_board.task import Task


@dataclass(frozen=True, slots=True)
class BoardSummary:
    """`lanes` counts every lane by name; `urgent` are the open P0 tasks; `next` is what `next` would name."""

    lanes: dict[str, int]
    urgent: tuple[Task, ...]
    in_progress: tuple[Task, ...]
    blocked: tuple[Task, ...]
    next: Task | None
    problems: int


def summary(root: Path) -> BoardSummary:
    """The state of the board at `root`; an absent folder is an empty board."""
    with kept(root) as cache:
        tasks = board.read_board(root, cache=cache)
    unfinished = [task for task in tasks if task.role not in ("completed", "closed")]
    return BoardSummary(
        lanes=dict(Counter(task.lane for task in tasks)),
        urgent=tuple(task for task in unfinished if task.priority == 0),
        in_progress=tuple(task for task in tasks if task.role == "in_progress"),
        blocked=tuple(task for task in tasks if task.role == "blocked"),
        next=verbs.first_of(root, tasks),
        problems=sum(bool(task.problems) for task in tasks),
    )

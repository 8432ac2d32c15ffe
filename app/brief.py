"""The `brief` command: what one should know before starting the day. Files first; what cannot be asked is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from app.errors import AppError, sentence
from app.history import run_there, run_view
from app.reduce import ALIVE, OFF
from app.rent import usd
from app.state import CostView, PodView, RunView
from app.text import cost_text, harmless, pod_line
from remote.errors import RemoteError
from task_board.errors import BoardError

if TYPE_CHECKING:
    from app.runs import RunEntry
    from app.supervisor import Supervisor
    from reviews import ReviewSummary
    from task_board import BoardSummary
    from task_board.task import Task

PATIENCE_S = 8.0
"""Seconds after which a provider that does not answer is left alone."""


class Brief(Struct):
    """The picture. `pods`, `reviews` and `tasks` are None when they could not be read: `unknown` says why."""

    project: str
    at: float
    pods: tuple[PodView, ...] | None = None
    reviews: ReviewSummary | None = None
    tasks: BoardSummary | None = None
    entry: RunEntry | None = None
    run: RunView | None = None
    cost: CostView = field(default_factory=CostView)
    unknown: list[str] = field(default_factory=list)


async def gather(supervisor: Supervisor) -> Brief:
    """Look at the files and, for a moment, at the provider. No pod is asked."""
    found = Brief(supervisor.workspace.root.name, supervisor.clock())
    _files(supervisor, found)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await supervisor.look()
        found.pods = supervisor.state().pods
    except TimeoutError:
        found.unknown.append(f"pods: {supervisor.fleet.name} did not answer within {PATIENCE_S:.0f} s")
    except (RemoteError, AppError) as error:
        found.unknown.append(f"pods: {sentence(error)}")
    found.cost = supervisor.fleet.cost(supervisor.clock())
    found.entry = supervisor.book.find(None)
    if found.entry is not None:
        found.run = run_there(supervisor.fleet, run_view(supervisor.workspace, found.entry))
    return found


def at_hand(supervisor: Supervisor) -> Brief:
    """What the files alone tell: tasks and reviews. Pods, run and money are the panel's own to know."""
    found = Brief(supervisor.workspace.root.name, 0.0)
    _files(supervisor, found)
    return found


def _files(supervisor: Supervisor, found: Brief) -> None:
    import reviews
    import task_board

    root = supervisor.workspace.root
    try:
        found.reviews = reviews.summary(root / "reviews")
    except (OSError, BoardError) as error:
        found.unknown.append(f"reviews: {error}")
    try:
        found.tasks = task_board.summary(root / "task_board")
    except (OSError, BoardError) as error:
        found.unknown.append(f"tasks: {error}")


def waits(found: Brief) -> Iterator[str]:
    """What needs somebody, one sentence each."""
    reviews, tasks, run = found.reviews, found.tasks, found.run
    for review in reviews.complete if reviews is not None else ():
        yield f"review {review.id} is answered: `maxcai review tasks` and `maxcai review archive` put it away"
    for file in reviews.invalid if reviews is not None else ():
        yield f"{file} states no verdict: it counts as no answer"
    for name, people in reviews.waiting if reviews is not None else ():
        yield f"review {name} waits for {', '.join(people) or 'its reviewers to be named'}"
    if tasks is not None and tasks.problems:
        yield f"{tasks.problems} task file{'s' * (tasks.problems > 1)} with problems: `maxcai task doctor`"
    if run is not None:
        yield from _run_waits(run)
    for pod in found.pods or ():
        if pod.ours and pod.status not in OFF:
            yield f"pod {pod.name} is {pod.status} and goes on"


def _run_waits(run: RunView) -> Iterator[str]:
    if run.state in ALIVE:
        yield f"run {run.run_id} was {run.state} when it was last heard of: `maxcai status` asks the pod"
        return
    if run.state != "finished":
        yield f"run {run.run_id} is {run.state}: `maxcai run resume` goes on with it"
    if not run.pulled:
        yield f"the results of run {run.run_id} are not home: `maxcai pull`"


def text(found: Brief) -> str:
    """For a person: the most urgent first."""
    lines = [f"project {found.project}", *_task_lines(found.tasks), *_review_lines(found.reviews)]
    if found.pods is None:
        lines.append("pods: not known")
    elif not found.pods:
        lines.append("no pod")
    lines += [pod_line(pod) for pod in found.pods or ()]
    lines += [cost_text(found.cost), *_run_lines(found.run)]
    waiting = list(waits(found))
    lines += ["waits for somebody:", *(f"  {harmless(line)}" for line in waiting)] if waiting else ["nothing waits"]
    return "\n".join([*lines, *(f"not known: {harmless(line)}" for line in found.unknown)])


def _task_lines(tasks: BoardSummary | None) -> list[str]:
    if tasks is None:
        return ["tasks: not known"]
    counts = ", ".join(f"{count} {lane}" for lane, count in tasks.lanes.items()) or "none"
    lines = [f"tasks: {counts}", *(_task("P0", task) for task in tasks.urgent)]
    lines += [_task("in progress", task) for task in tasks.in_progress if task.priority != 0]
    return lines if tasks.next is None else [*lines, _task("next", tasks.next)]


def _task(word: str, task: Task) -> str:
    return harmless(f"  {word}: {task.title} ({task.id}, {task.lane})")


def _review_lines(reviews: ReviewSummary | None) -> list[str]:
    if reviews is None:
        return ["reviews: not known"]
    lines = [f"reviews: {len(reviews.complete)} answered, {len(reviews.open)} open"]
    for review in (*reviews.complete, *reviews.orphans):
        said = "; ".join(f"{answer.reviewer}: {answer.verdict}" for answer in review.responses)
        lines.append(harmless(f"  new: {review.id}  {review.title} ({said})"))
    return lines


def _run_lines(run: RunView | None) -> list[str]:
    if run is None:
        return ["no run yet"]
    gate = run.gates[-1] if run.gates else None
    verdict = "no gate reached" if gate is None else f"stage {gate.stage} {gate.name}: {gate.verdict}"
    return [harmless(f"last run {run.run_id} ({run.recipe}) {run.state}, {verdict}")]


def data(found: Brief) -> dict[str, Any]:
    """For --json: null for what is not known."""
    run, cost = found.run, found.cost
    gate = run.gates[-1] if run is not None and run.gates else None
    return {
        "project": found.project,
        "at": found.at,
        "tasks": None if found.tasks is None else _task_data(found.tasks),
        "reviews": None if found.reviews is None else _review_data(found.reviews),
        "pods": None if found.pods is None else [
            {"id": pod.id, "name": pod.name, "status": pod.status, "state": pod.state, "detail": pod.detail,
             "ours": pod.ours, "cost_per_hour": usd(pod.cost_per_hour)}
            for pod in found.pods
        ],
        "cost": {
            "per_hour": usd(cost.per_hour), "session": usd(cost.session), "total": usd(cost.total),
            "estimated": cost.estimated,
        },
        "run": None if run is None else {
            "run_id": run.run_id, "recipe": run.recipe, "state": run.state, "pulled": run.pulled,
            "verdict": None if gate is None else gate.verdict, "stage": None if gate is None else gate.stage,
            "reason": run.reason,
        },
        "waits": list(waits(found)),
        "unknown": found.unknown,
    }  # fmt: skip


def _task_data(tasks: BoardSummary) -> dict[str, Any]:
    return {
        "lanes": tasks.lanes,
        "urgent": [task.as_dict() for task in tasks.urgent],
        "in_progress": [task.as_dict() for task in tasks.in_progress],
        "blocked": [task.as_dict() for task in tasks.blocked],
        "next": None if tasks.next is None else tasks.next.as_dict(),
        "problems": tasks.problems,
    }


def _review_data(reviews: ReviewSummary) -> dict[str, Any]:
    return {
        "new": [review.as_dict() for review in (*reviews.complete, *reviews.orphans)],
        "waiting": [{"id": name, "for": list(people)} for name, people in reviews.waiting],
        "invalid": list(reviews.invalid),
    }

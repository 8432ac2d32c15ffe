"""Tasks and reviews by key and palette. On the command line the packages' own verbs do the same, and more.

Every change is one journalled act of `task_board.verbs` or `reviews.verbs`; each can be taken back.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from app.actions.base import Action, Args, Context, Param, Scope
from app.errors import UsageError
from app.events import AppEvent, Output

Runs = Callable[[Context, Args], AsyncIterator[AppEvent]]

_TASK = Param("id", "the task", kind="positional", metavar="ID", subject="task")
_REVIEW = Param("id", "the review", kind="positional", metavar="REVIEW", subject="review")


def _named(args: Args, what: str) -> str:
    """The task or review that is meant. Raises UsageError where none is."""
    name = args["id"]
    if not name:
        raise UsageError(f"no {what} is chosen", "Put the cursor on one.")
    return str(name)


async def _told(context: Context, done: str, act: Callable[[], Any]) -> Output:
    """Do it beside the loop, and say what came of it. Raises BoardError."""
    found = await asyncio.to_thread(act)
    context.supervisor.say("ok", f"{done}: {found.id}")
    return Output(found.id, found.as_dict())


def _board(context: Context) -> Path:
    return context.workspace.root / "task_board"


async def _tasks(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from task_board.board import read_board, render
    from task_board.index import kept

    root = _board(context)
    with kept(root) as cache:
        tasks = read_board(root, cache=cache)
    yield Output(render(tasks), [task.as_dict() for task in tasks])


async def _reviews(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from reviews.files import read_reviews, render

    found = read_reviews(context.workspace.root / "reviews")
    yield Output(render(found), [item.as_dict() for item in found])


async def _new(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from task_board import verbs

    level = str(args["priority"] or "P2").upper().removeprefix("P")
    if level not in ("0", "1", "2", "3"):
        raise UsageError(f"{args['priority']} is no priority", "P0 (most urgent) to P3.")
    draft = verbs.Draft(args["title"] or "", int(level))
    yield await _told(context, "made", lambda: verbs.new(_board(context), draft))


def _task_verb(verb: str, done: str, words: str | None = None) -> Runs:
    """An act of `task_board.verbs` on the task that is meant; `words` names the argument that it is told with."""

    async def run(context: Context, args: Args) -> AsyncIterator[AppEvent]:
        from task_board import verbs

        name, said = _named(args, "task"), () if words is None else (args[words] or "",)
        yield await _told(context, done, lambda: getattr(verbs, verb)(_board(context), name, *said))

    return run


_start = _task_verb("start", "in progress")
_done = _task_verb("done", "completed", "notes")
_block = _task_verb("block", "blocked", "reason")
_unblock = _task_verb("unblock", "pending again")
_note = _task_verb("note", "noted", "text")


async def _undo_task(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from task_board import verbs

    yield await _undone(context, lambda: verbs.undo(_board(context)))


async def _undo_review(context: Context, _args: Args) -> AsyncIterator[AppEvent]:
    from reviews import verbs

    yield await _undone(context, lambda: verbs.undo(context.workspace.root / "reviews"))


async def _undone(context: Context, act: Callable[[], Any]) -> Output:
    entry = await asyncio.to_thread(act)
    lines = [f"{change.source or 'nothing'} → {change.target or 'removed'}" for change in entry.changes]
    context.supervisor.say("ok", f"taken back: {'; '.join(lines)}")
    return Output("\n".join(lines), {"undone": entry.undoes})


async def _request(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from reviews import context as material
    from reviews import verbs

    root, people = context.workspace.root, tuple(str(args["reviewer"] or "").replace(",", " ").split())

    def ask() -> Any:
        found = material.collect(root, (), None)
        return verbs.request(
            root / "reviews",
            verbs.Ask(args["topic"] or "", people, commit=material.commit(root), material=found,
                      context=args["context"] or ""),
        )  # fmt: skip

    yield await _told(context, "asked for", ask)


async def _import(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from reviews import verbs

    name, file = _named(args, "review"), Path(args["file"] or "").expanduser()

    def take() -> Any:
        try:
            raw = file.read_bytes()
        except OSError as error:
            raise UsageError(f"{file} cannot be read: {error.strerror}", "Name a file.") from error
        return verbs.take(context.workspace.root / "reviews", name, args["reviewer"] or "", raw)

    yield await _told(context, "kept the answer to", take)


async def _findings(context: Context, args: Args) -> AsyncIterator[AppEvent]:
    from reviews import verbs

    name, root = _named(args, "review"), context.workspace.root
    drafts, made = await asyncio.to_thread(verbs.make_tasks, root / "reviews", root / "task_board", name)
    context.supervisor.say("ok", f"{len(made)} tasks made of {len(drafts)} findings of {name}")
    yield Output("\n".join(task.file for task in made), [task.as_dict() for task in made])


def _act(action_id: str, keys: str, title: str, text: str, run: Any, *params: Param, writes: bool = True) -> Action:
    group, verb = action_id.split(".")
    scope = Scope.BOARD if group == "task" else Scope.REVIEWS
    return Action(
        action_id, (group, verb), title, text, keys, scope, run, params=params, writes=writes, prints=not writes
    )


def _asked(name: str, question: str) -> Param:
    return Param(name, question, "option", metavar=name.upper(), asked=question)


ACTIONS: tuple[Action, ...] = (
    _act("task.list", "", "List tasks", "every task by lane and priority", _tasks, writes=False),
    _act("task.new", "n", "New task", "make a task in pending", _new, _asked("title", "what is to be done?"),
         _asked("priority", "P0 (most urgent) to P3; empty: P2")),
    _act("task.start", "", "Start a task", "pending to in progress, once what it depends on is completed", _start,
         _TASK),
    _act("task.done", "", "Complete a task", "notes, then to completed", _done, _TASK,
         _asked("notes", "what was done, how was it checked?")),
    _act("task.block", "b", "Block a task", "reason, then to blocked", _block, _TASK,
         _asked("reason", "what does it wait for?")),
    _act("task.unblock", "", "Unblock a task", "from blocked to pending", _unblock, _TASK),
    _act("task.note", "m", "Note on a task", "append a status update", _note, _TASK,
         _asked("text", "what is there to note?")),
    _act("task.undo", "", "Undo on the board", "take the last change back, if its file is unchanged since", _undo_task),
    _act("review.list", "", "List reviews", "requests, answers and verdicts", _reviews, writes=False),
    _act("review.request", "n", "Ask for a review", "one file with questions and the code's state", _request,
         _asked("topic", "what is to be reviewed?"), _asked("reviewer", "who answers? (names)"),
         _asked("context", "why? (may be empty)")),
    _act("review.import", "i", "Import an answer", "keep a reviewer's answer, byte for byte", _import, _REVIEW,
         _asked("file", "file of the answer"), _asked("reviewer", "who wrote it?")),
    _act("review.tasks", "T", "Tasks of a review", "a task for each finding, once each", _findings, _REVIEW),
    _act("review.undo", "", "Undo among the reviews", "take the last change back, if its files are unchanged since",
         _undo_review),
)  # fmt: skip

"""The command line of the board: `python -m task_board`, and `maxcai task`, which calls `main` with its own folder.

Data goes to stdout (`--json`: stable), narration to stderr. Exit codes: 0 ok, 1 failed or findings, 2 usage, 3 refused.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from task_board import board, health, verbs
from task_board.document import Document
from task_board.errors import FAILED, OK, USAGE, BoardError, UsageError, sentence
from task_board.index import kept
from task_board.output import as_json, say
from task_board.task import Task

DEFAULT = Path("task_board")


def main(argv: Sequence[str] | None = None, root: Path | None = None, prog: str = "python -m task_board") -> int:
    """Run one command.

    Args:
        argv: words after the program's name; None: those of this process.
        root: the board when `--root` is not given; None: `task_board/` here.
        prog: how the program was called, for help and prompts.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Tasks as Markdown files in lane folders.")
    build(parser)
    try:
        options = parser.parse_args(argv)
    except SystemExit as leaving:  # argparse has printed its sentence or the help
        return leaving.code if isinstance(leaving.code, int) else USAGE
    options.prog = prog
    return run(options, root)


def build(parser: argparse.ArgumentParser) -> None:
    """Add every command to `parser`; the parsed options go to `run`."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--root", type=Path, help="the board, or a tree of boards (default: task_board)")
    common.add_argument("--json", action="store_true", help="print data as JSON")
    parser.add_argument("--root", type=Path, default=None, help="the board, or a tree of boards (default: task_board)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, act: Callable[[argparse.Namespace], int], text: str, *task: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(act=act, json=False)
        for word in task:
            made.add_argument(word, metavar=word.upper(), help="its id, slug or file" if word == "id" else None)
        return made

    listing = add("list", _list, "open tasks by lane, priority and date")
    listing.add_argument("--lane", help="only this lane")
    listing.add_argument("--all", action="store_true", help="every lane, the finished ones too")
    add("next", _next, "the first pending task whose dependencies are completed").add_argument("--assignee")
    add("show", _show, "one task: facts, numbered criteria, text", "id")
    add("prompt", _prompt, "everything an agent needs to start a task", "id")
    _build_new(add("new", _new, "make a task in pending"))
    add("start", _start, "to in_progress", "id").add_argument(
        "--force", action="store_true", help="despite dependencies"
    )
    add("done", _done, "completion notes, then to completed", "id").add_argument(
        "--notes", default="", help="compulsory"
    )
    add("block", _block, "reason, then to blocked", "id").add_argument("--reason", default="", help="compulsory")
    add("unblock", _unblock, "from blocked to pending", "id").add_argument("--note", default="")
    add("move", _move, "to any lane", "id", "lane").add_argument("--create", action="store_true", help="make the lane")
    add("note", _note, "append a status update", "id").add_argument("text", nargs="+")
    tick = add("check", _check, "tick a success criterion", "id", "criterion")
    tick.add_argument("--undone", action="store_true", help="take the tick away")
    doctor = add("doctor", _doctor, "duplicates, twins, dependencies, stale and unfinished work")
    doctor.add_argument("--stale-days", type=_days, default=health.STALE.days, help="default %(default)s")
    add("undo", _undo, "take the last change back, if its file is unchanged since")


def run(options: argparse.Namespace, root: Path | None = None) -> int:
    """Carry out parsed options; errors become one sentence on stderr and an exit code."""
    options.root = options.root or root or DEFAULT
    try:
        if not options.root.is_dir():
            raise UsageError(f"{options.root} is not a folder", "Name the board's folder with --root.")
        act: Callable[[argparse.Namespace], int] = options.act
        return act(options)
    except BoardError as error:
        say(sentence(error), sys.stderr)
        return error.exit_code


def _build_new(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("title", nargs="+")
    parser.add_argument("-p", "--priority", default="P2", help="P0 (most urgent) to P3; default %(default)s")
    for name, text in (
        ("assigned-to", "who"),
        ("estimate", "such as 2h"),
        ("from-review", "file of the review"),
        ("run", "run id"),
        ("gate", "stage of the gate"),
        ("body", "what is to be done; - reads stdin"),
    ):
        parser.add_argument(f"--{name}", help=text)
    for name, text in (("depends-on", "a task"), ("criterion", "what can be checked"), ("file", "a file to modify")):
        parser.add_argument(f"--{name}", action="append", default=[], help=f"{text}; may be repeated")


def _out(options: argparse.Namespace, data: Any, text: str) -> int:
    say(as_json(data) if options.json else text)
    return OK


def _days(text: str) -> float:
    value = float(text)
    if not (math.isfinite(value) and 0 <= value <= 36_500):
        raise argparse.ArgumentTypeError(f"{text} is no number of days from 0 to 36500")
    return value


def _told(options: argparse.Namespace, task: Task) -> int:
    return _out(options, task.as_dict(), task.file)


def _list(options: argparse.Namespace) -> int:
    with kept(options.root) as cache:
        tasks = board.read_board(options.root, options.lane, finished=options.all, cache=cache)
    if options.lane and not tasks and options.lane not in {place.name for place in board.lanes(options.root)}:
        raise UsageError(f"there is no lane {options.lane!r} in {options.root}", "`list --all` shows every lane.")
    text = "" if options.json else board.render(tasks, empty=options.lane is None)
    return _out(options, [task.as_dict() for task in tasks] if options.json else None, text)


def _next(options: argparse.Namespace) -> int:
    task = verbs.upcoming(options.root, options.assignee)
    if task is None:
        _out(options, None, "nothing is pending that could be started")
        return FAILED
    return _out(options, task.as_dict(), f"{task.id}  {task.title}\n{task.file}")


def _show(options: argparse.Namespace) -> int:
    task = verbs.find(options.root, options.id)
    raw = verbs.read_bytes(task)
    document = Document(raw)
    boxes = [document.boxes[n] for n in board.criteria_boxes(document)]
    waits = verbs.waiting_for(options.root, task)
    criteria = [{"number": n, "done": box.done, "text": box.text} for n, box in enumerate(boxes, 1)]
    data = {**task.as_dict(), "waiting_for": waits, "list": criteria, "text": raw.decode("utf-8", "replace")}
    head = [board.render([task], empty=False), *(f"waits for {name}" for name in waits)]
    head += [f"  {n}. [{'x' if box.done else ' '}] {box.text}" for n, box in enumerate(boxes, 1)]
    return _out(options, data, "\n".join([*head, "", data["text"]]))


def _prompt(options: argparse.Namespace) -> int:
    from task_board.prompt import prompt

    text = prompt(options.root, options.id, getattr(options, "prog", "python -m task_board"))
    return _out(options, {"prompt": text}, text)


def _new(options: argparse.Namespace) -> int:
    level = options.priority.upper().removeprefix("P")
    if level not in ("0", "1", "2", "3"):
        raise UsageError(f"{options.priority!r} is no priority", "P0 (most urgent) to P3.")
    body = sys.stdin.read() if options.body == "-" else options.body or ""
    draft = verbs.Draft(
        " ".join(options.title), int(level), body, options.assigned_to, options.estimate, tuple(options.depends_on),
        options.from_review, tuple(options.criterion), tuple(options.file), None, options.run, options.gate,
    )  # fmt: skip
    return _told(options, verbs.new(options.root, draft))


def _start(options: argparse.Namespace) -> int:
    return _told(options, verbs.start(options.root, options.id, force=options.force))


def _done(options: argparse.Namespace) -> int:
    task = verbs.done(options.root, options.id, options.notes)
    if task.criteria.open:
        say(f"{task.criteria.open} success criteria are still open; `check` ticks them", sys.stderr)
    return _told(options, task)


def _block(options: argparse.Namespace) -> int:
    return _told(options, verbs.block(options.root, options.id, options.reason))


def _unblock(options: argparse.Namespace) -> int:
    return _told(options, verbs.unblock(options.root, options.id, options.note))


def _move(options: argparse.Namespace) -> int:
    return _told(options, verbs.move(options.root, options.id, options.lane, create=options.create))


def _note(options: argparse.Namespace) -> int:
    return _told(options, verbs.note(options.root, options.id, " ".join(options.text)))


def _check(options: argparse.Namespace) -> int:
    return _told(options, verbs.check(options.root, options.id, options.criterion, options.undone))


def _doctor(options: argparse.Namespace) -> int:
    found = health.doctor(options.root, stale=timedelta(days=options.stale_days))
    lines = [f"{item.kind}: {item.text}\n    {', '.join(item.files)}" for item in found]
    _out(options, [item.as_dict() for item in found], "\n".join(lines) or "nothing is wrong")
    return FAILED if found else OK


def _undo(options: argparse.Namespace) -> int:
    entry = verbs.undo(options.root)
    lines = [f"{change.source or 'nothing'} → {change.target or 'removed'}" for change in entry.changes]
    data = {"undone": entry.undoes, "changes": [{"from": c.source, "to": c.target} for c in entry.changes]}
    return _out(options, data, "\n".join(lines))

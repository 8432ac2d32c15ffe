"""The command line of the reviews: `python -m reviews`, and `maxcai review`, which calls `main` with its own folders.

Data goes to stdout (`--json`: stable), narration to stderr. Exit codes: 0 ok, 1 not complete, 2 usage, 3 refused.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from reviews import verbs
from reviews.files import Review, read_reviews, render
from reviews.findings import SEVERITIES
from task_board.errors import FAILED, OK, USAGE, BoardError, UsageError, sentence
from task_board.output import as_json, say

DEFAULT = Path("reviews")


def main(
    argv: Sequence[str] | None = None,
    root: Path | None = None,
    board: Path | None = None,
    prog: str = "python -m reviews",
) -> int:
    """Run one command.

    Args:
        argv: words after the program's name; None: those of this process.
        root: the reviews when `--root` is not given; None: `reviews/` here.
        board: the board for new tasks; None: `task_board/` beside the reviews.
        prog: how the program was called, for help.
    """
    parser = argparse.ArgumentParser(prog=prog, description="Review requests and responses as Markdown files.")
    build(parser)
    try:
        options = parser.parse_args(argv)
    except SystemExit as leaving:  # argparse has printed its sentence or the help
        return leaving.code if isinstance(leaving.code, int) else USAGE
    return run(options, root, board)


def build(parser: argparse.ArgumentParser) -> None:
    """Add every command to `parser`; the parsed options go to `run`."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--root", type=Path, help="folder of the reviews (default: reviews)")
    common.add_argument("--json", action="store_true", help="print data as JSON")
    parser.add_argument("--root", type=Path, default=None, help="folder of the reviews (default: reviews)")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, act: Callable[[argparse.Namespace], int], text: str, review: bool = True
    ) -> argparse.ArgumentParser:
        made = commands.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(act=act, json=False)
        if review:
            made.add_argument("id", metavar="REVIEW", help="its id, the beginning of it, or a file")
        return made

    add("list", _list, "requests, answers and verdicts", review=False)
    add("show", _show, "one review: verdicts, findings, text")
    asking = add("request", _request, "ask for a review: one file with questions, files and diff", review=False)
    asking.add_argument("topic", nargs="+")
    for name, text in (("reviewer", "who is to answer"), ("file", "a file to review"), ("question", "a question")):
        asking.add_argument(f"--{name}", action="append", default=[], help=f"{text}; may be repeated")
    for name, text in (
        ("context", "why"),
        ("diff", "git revision"),
        ("recipe", "of the run"),
        ("requester", "who asks"),
    ):
        asking.add_argument(f"--{name}", help=text)
    asking.add_argument("--type", default="general", help="such as pre-deployment; default %(default)s")
    add("check", _check, "who is missing or invalid; 0 only when complete")
    taking = add("import", _import, "keep an answer of a reviewer, byte for byte")
    taking.add_argument("file", help="the answer; - reads stdin")
    taking.add_argument("--reviewer", required=True)
    taking.add_argument("--force", action="store_true", help="even without a verdict")
    tasks = add("tasks", _tasks, "a task for each finding, once each")
    tasks.add_argument("--board", type=Path, help="where they go (default: task_board beside the reviews)")
    tasks.add_argument("--least", choices=SEVERITIES, default="low", help="leave out what is less severe")
    tasks.add_argument("--dry-run", action="store_true", help="only say which")
    putting = add("archive", _archive, "put a complete request and its answers away, together")
    putting.add_argument("--cycle", help="folder in the archive (default: today's)")
    putting.add_argument("--force", action="store_true", help="although it is not complete")
    add("undo", _undo, "take the last change back, if its files are unchanged since", review=False)


def run(options: argparse.Namespace, root: Path | None = None, board: Path | None = None) -> int:
    """Carry out parsed options; errors become one sentence on stderr and an exit code."""
    options.root = options.root or root or DEFAULT
    options.board = getattr(options, "board", None) or board or options.root.parent / "task_board"
    try:
        if not options.root.is_dir():
            raise UsageError(f"{options.root} is not a folder", "Name the reviews' folder with --root.")
        act: Callable[[argparse.Namespace], int] = options.act
        return act(options)
    except BoardError as error:
        say(sentence(error), sys.stderr)
        return error.exit_code


def _out(options: argparse.Namespace, data: Any, text: str) -> int:
    say(as_json(data) if options.json else text)
    return OK


def _told(options: argparse.Namespace, review: Review) -> int:
    return _out(options, review.as_dict(), render([review]))


def _list(options: argparse.Namespace) -> int:
    found = read_reviews(options.root)
    return _out(options, [review.as_dict() for review in found], render(found))


def _show(options: argparse.Namespace) -> int:
    review = verbs.find(options.root, options.id)
    answers = [
        {"reviewer": r.reviewer, "verdict": r.verdict, "file": r.file, "findings": [f.as_dict() for f in r.findings]}
        for r in review.responses
    ]
    lines = [render([review])]
    for answer in review.responses:
        for item in answer.findings:
            where = f" ({item.path}{f':{item.line}' if item.line else ''})" if item.path else ""
            lines.append(f"    {answer.reviewer} {item.severity}: {item.title}{where}")
    text = verbs.read_bytes(Path(review.request)).decode("utf-8", "replace") if review.request else ""
    return _out(
        options, {**review.as_dict(), "responses": answers, "text": text}, "\n".join([*lines, "", text]).rstrip()
    )


def _request(options: argparse.Namespace) -> int:
    from reviews import context

    workspace = options.root.resolve().parent
    material = context.collect(workspace, options.file, options.diff)
    ask = verbs.Ask(
        " ".join(options.topic), tuple(options.reviewer), options.type, options.context or "", tuple(options.question),
        tuple(options.file), context.commit(workspace), options.recipe, material, options.requester,
    )  # fmt: skip
    review = verbs.request(options.root, ask)
    return _out(options, review.as_dict(), str(review.request))


def _check(options: argparse.Namespace) -> int:
    review = verbs.find(options.root, options.id)
    _told(options, review)
    return OK if review.complete else FAILED


def _import(options: argparse.Namespace) -> int:
    try:
        raw = sys.stdin.buffer.read() if options.file == "-" else Path(options.file).read_bytes()
    except OSError as error:
        raise UsageError(f"{options.file} cannot be read: {error.strerror}", "Name a file, or - for stdin.") from error
    return _told(options, verbs.take(options.root, options.id, options.reviewer, raw, force=options.force))


def _tasks(options: argparse.Namespace) -> int:
    if not options.board.is_dir():
        raise UsageError(f"{options.board} is not a folder", "Name the board with --board.")
    drafts, made = verbs.make_tasks(options.root, options.board, options.id, options.least, dry=options.dry_run)
    if options.dry_run:
        data = [
            {"title": d.title, "priority": d.priority, "from_review": d.from_review, "finding": d.key} for d in drafts
        ]
        return _out(options, data, "\n".join(f"P{d.priority}  {d.title}" for d in drafts) or "no findings")
    say(f"{len(made)} made, {len(drafts) - len(made)} there already", sys.stderr)
    return _out(options, [task.as_dict() for task in made], "\n".join(task.file for task in made))


def _archive(options: argparse.Namespace) -> int:
    moved = verbs.archive(options.root, options.id, options.cycle, force=options.force)
    return _out(options, moved, "\n".join(moved))


def _undo(options: argparse.Namespace) -> int:
    entry = verbs.undo(options.root)
    data = {"undone": entry.undoes, "changes": [{"from": c.source, "to": c.target} for c in entry.changes]}
    return _out(options, data, "\n".join(f"{c.source or 'nothing'} → {c.target or 'removed'}" for c in entry.changes))

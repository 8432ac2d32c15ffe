"""`maxcai task` and `maxcai review`: the packages' own commands on this workspace's folders."""

from __future__ import annotations

import argparse
from pathlib import Path

from app.errors import OK, Refused, UsageError

GROUPS = {"task": "tasks as files, for people and agents", "review": "review requests, answers and verdicts as files"}
"""Commands that belong to a package of their own, with their line of help."""

FOLDERS = {"task": "task_board", "review": "reviews"}
"""Where in the workspace each keeps its files."""

LOOKS = {
    "task": frozenset({"list", "next", "show", "prompt", "doctor"}),
    "review": frozenset({"list", "show", "check"}),
}
"""Verbs that write nothing; every other one is refused by --readonly, unless it is a dry run."""


def build(group: str, parser: argparse.ArgumentParser) -> None:
    """Add the verbs of `task` or `review` to its parser, and note whose they are."""
    if group == "task":
        from task_board.cli import build as verbs
    else:
        from reviews.cli import build as verbs
    verbs(parser)
    parser.set_defaults(group=group)


def run(options: argparse.Namespace, workspace: Path, *, readonly: bool) -> int:
    """Carry out a parsed verb. Returns its exit code, after one sentence on stderr where it failed.

    Raises Refused for a writer when `readonly`, and UsageError where the workspace has no such folder.
    """
    group, verb = options.group, options.verb
    if readonly and verb not in LOOKS[group] and not getattr(options, "dry_run", False):
        raise Refused(f"{group} {verb}: read-only: started with --readonly")
    options.prog = f"maxcai {group}"
    own = workspace / FOLDERS[group]
    given = options.root is not None
    if not given and not own.is_dir():
        return _nothing(options, own)
    if group == "task":
        from task_board.cli import run as carry_out

        return carry_out(options, own)
    from reviews.cli import run as review

    # With --root, findings become tasks beside the reviews that hold them, not in this workspace.
    return review(options, own, None if given else workspace / FOLDERS["task"])


def _nothing(options: argparse.Namespace, own: Path) -> int:
    """A workspace without the folder: its list is empty, everything else needs one."""
    if options.verb != "list":
        raise UsageError(f"there is no folder {own}", "Make it with `maxcai init`, or name another one with --root.")
    if options.json:
        print("[]")
    elif options.group == "task":
        from task_board.board import render

        print(render([]))
    else:
        print("no review requests")
    return OK

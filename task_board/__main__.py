"""`python -m task_board list [--root DIR] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from task_board.board import read_board, render


def main(argv: Sequence[str] | None = None) -> int:
    """Print the board. Exit codes: 0 ok, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m task_board", description="Tasks as Markdown files.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="every task by lane and priority")
    listing.add_argument("--root", type=Path, default=Path("task_board"), help="folder of the lanes")
    listing.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if not options.root.is_dir():
        print(f"{options.root} is not a folder. Name the board's folder with --root.", file=sys.stderr)
        return 2
    tasks = read_board(options.root)
    print(
        json.dumps([task.as_dict() for task in tasks], ensure_ascii=False, indent=2) if options.json else render(tasks)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m reviews list [--root DIR] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from reviews.files import read_reviews, render


def main(argv: Sequence[str] | None = None) -> int:
    """Print requests and answers. Exit codes: 0 ok, 2 usage."""
    parser = argparse.ArgumentParser(prog="python -m reviews", description="Review requests and responses.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="requests, answers and verdicts")
    listing.add_argument("--root", type=Path, default=Path("reviews"), help="folder of requests/ and responses/")
    listing.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    if not options.root.is_dir():
        print(f"{options.root} is not a folder. Name the reviews' folder with --root.", file=sys.stderr)
        return 2
    found = read_reviews(options.root)
    print(
        json.dumps([item.as_dict() for item in found], ensure_ascii=False, indent=2) if options.json else render(found)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`python -m task_board COMMAND`: see `task_board.cli`."""

from __future__ import annotations

import sys

from task_board.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())

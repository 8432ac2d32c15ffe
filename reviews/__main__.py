"""`python -m reviews COMMAND`: see `reviews.cli`."""

from __future__ import annotations

import sys

from reviews.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())

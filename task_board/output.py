"""Printing for the command lines of the board and the reviews: nothing that steers a terminal, no traceback."""

from __future__ import annotations

import json
import os
import sys
from typing import Any, TextIO

from task_board.document import printable
from task_board.errors import BoardError


def say(text: str, stream: TextIO | None = None) -> None:
    """Print at once, on stdout unless told otherwise, whatever it can encode. Raises BoardError when it is full."""
    stream = stream or sys.stdout
    encoding = stream.encoding or "utf-8"
    try:
        shown = text if _harmless(text) else printable(text)
        print(shown.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except OSError as error:
        # What is left in the buffer would fail once more when the program ends.
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())
        if not isinstance(error, BrokenPipeError) and stream is sys.stdout:  # a reader such as `head` has enough
            raise BoardError(f"the output cannot be written: {error.strerror}", "The command itself ran.") from error


def _harmless(text: str) -> bool:
    """Nothing but printable ASCII and line ends: JSON of thousands of tasks need not be searched."""
    return text.isascii() and text.replace("\n", "").isprintable()


def as_json(data: Any) -> str:
    """Long lists with one item a line: `indent` on thousands of tasks costs more than reading them."""
    # ASCII with escapes: file names that are no UTF-8 survive it.
    if isinstance(data, list) and data:
        return "[\n" + ",\n".join("  " + json.dumps(item) for item in data) + "\n]"
    return json.dumps(data, indent=2)

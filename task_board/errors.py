"""What can go wrong on a board: each error is one sentence, a hint, and the exit code of the command line."""

from __future__ import annotations

OK, FAILED, USAGE, REFUSED = 0, 1, 2, 3
"""Exit codes of `python -m task_board` and `python -m reviews`."""


class BoardError(Exception):
    """Something a person can act on. `message` names the thing and the cause, `hint` the remedy."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BoardError):
    """The command, or a name in it, cannot be used as given."""

    exit_code = USAGE


class Refused(BoardError):
    """A guard said no: nothing was changed."""

    exit_code = REFUSED


class Conflict(Refused):
    """Somebody else changed or moved the file in the meantime: nothing was changed by us."""


def sentence(error: BoardError) -> str:
    """One line for a person."""
    text = " ".join(error.message.split())
    stopped = text if text.endswith((".", "!", "?", ":")) else text + "."
    return f"{stopped} {' '.join(error.hint.split())}".strip()

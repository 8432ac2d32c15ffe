"""The errors of the front door: each says what, why and what to do, and carries the exit code of the command line.

Errors of `remote` carry the same three attributes (`message`, `hint`, `exit_code`) and need no translation.
"""

from __future__ import annotations

from collections.abc import Iterable

OK, FAILED, USAGE, REFUSED, UNREACHABLE = 0, 1, 2, 3, 4
"""Exit codes of `maxcai` (contract 4 of the house)."""


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known word that somebody may have meant: the likest one, if it is as like as `cutoff` (0 to 1)."""
    from difflib import get_close_matches  # a mistake has been made: nobody else pays for it

    return next(iter(get_close_matches(word, list(known), 1, cutoff)), None)


class AppError(Exception):
    """Something a person can act on. `message` names the thing and the cause, `hint` the remedy."""

    exit_code = FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(AppError):
    """The command, a setting or a file's content cannot be used as given."""

    exit_code = USAGE


class SettingsError(UsageError):
    """maxcai.toml, an environment variable or a flag has an unknown key or an impossible value."""


class WorkspaceError(UsageError):
    """The folder cannot serve as a workspace."""


class Refused(AppError):
    """A guard said no: nothing was changed."""

    exit_code = REFUSED


class Unagreed(Refused):
    """It costs money or destroys something and nobody has agreed to it yet; nothing was changed.

    `title` is the question, `lines` are the consequences, `yes` is the verb of agreeing. Doing it again with the
    argument `agreed` is the answer.
    """

    def __init__(self, title: str, lines: tuple[str, ...], yes: str, *, danger: bool = False) -> None:
        super().__init__(f"{title} Not agreed: {'; '.join(lines)}", "Agree with --yes.")
        self.title, self.lines, self.yes, self.danger = title, lines, yes, danger


class Unreachable(AppError):
    """The pod or its provider did not answer."""

    exit_code = UNREACHABLE


def exit_code(error: BaseException) -> int:
    """Exit code of any error: its own when it carries one, else FAILED."""
    code = getattr(error, "exit_code", FAILED)
    return code if isinstance(code, int) else FAILED


def sentence(error: BaseException) -> str:
    """One line for a person: message and hint, never a traceback."""
    text = str(getattr(error, "message", "") or error or type(error).__name__).strip()
    hint = str(getattr(error, "hint", "") or "").strip()
    line = " ".join(f"{text}\n{hint}".split()) if not hint else f"{_stopped(text)} {hint}"
    return " ".join(line.split())


def _stopped(text: str) -> str:
    return text if text.endswith((".", "!", "?", ":")) else text + "."

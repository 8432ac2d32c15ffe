"""Calls somebody back whose terminal is not in front: a desktop notification by escape sequence, or the bell.

Nothing is sent while the terminal has the focus: what there is to see is seen. Only news since the panel began counts.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping

from app.news import news
from app.state import AppState
from app.tui.lines import clean

MOST = 200
"""Characters of a notification."""

TITLE = "maxcai"
ESC, BEL, ST = "\x1b", "\x07", "\x1b\\"


def method(asked: str, environ: Mapping[str, str]) -> str:
    """osc9, osc777, osc99, bell or off; "auto" is decided by what the terminal says of itself."""
    if asked != "auto":
        return asked
    program, term = environ.get("TERM_PROGRAM", "").lower(), environ.get("TERM", "").lower()
    if environ.get("TMUX") or term.startswith(("screen", "tmux")):
        return "bell"  # the multiplexer keeps sequences to itself and marks the window at a bell
    if "kitty" in term or environ.get("KITTY_WINDOW_ID"):
        return "osc99"
    if program in ("iterm.app", "wezterm", "ghostty") or environ.get("WT_SESSION"):
        return "osc9"
    if term.startswith(("foot", "rxvt-unicode")) or environ.get("VTE_VERSION"):
        return "osc777"
    return "bell"


def sequence(how: str, said: str) -> str:
    """What is written to the terminal. The words are data: nothing in them can end the sequence or start another."""
    words = " ".join(clean(said).split())[:MOST]
    words = "".join(char for char in words if char.isprintable())
    if how == "osc9":
        return f"{ESC}]9;{TITLE}: {words}{ST}"
    if how == "osc777":
        return f"{ESC}]777;notify;{TITLE};{words.replace(';', ',')}{ST}"
    if how == "osc99":
        payload = base64.b64encode(f"{TITLE}: {words}".encode()).decode()
        return f"{ESC}]99;i=maxcai:e=1;{payload}{ST}"
    return BEL if how == "bell" else ""


class Notifier:
    """Remembers what is known, and tells what is new while nobody looks.

    Args:
        how: as `method` says.
        write: to the terminal.
    """

    def __init__(self, how: str, write: Callable[[str], None]) -> None:
        self._how, self._write = how, write
        self._known: frozenset[str] | None = None
        self._seen: AppState | None = None

    def look(self, state: AppState, now: float, focused: bool) -> None:
        """Take in a state; send what is new in it unless the terminal has the focus."""
        if state is self._seen or self._how == "off" or state.replay is not None:
            return
        self._seen = state
        found = news(state, now)
        fresh = [] if self._known is None else [text for name, text in found.items() if name not in self._known]
        self._known = frozenset(found)
        if not fresh or focused:
            return
        more = f" (and {len(fresh) - 1} more)" if len(fresh) > 1 else ""
        said = sequence(self._how, fresh[0][: MOST - len(more)] + more)
        if said:
            self._write(said)

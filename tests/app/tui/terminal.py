"""A real terminal for the panel: tmux on a socket of its own, with a shell in it, read as text."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 60.0
POLL_S = 0.1
PROMPT = "READY> "


class Terminal:
    """One tmux pane.

    Args:
        socket: of a server of its own, without anybody's configuration.
        folder: where its shell stands.
    """

    def __init__(self, socket: Path, folder: Path, size: tuple[int, int], environment: dict[str, str]) -> None:
        self._socket = socket
        words = ["env", "-i", *(f"{name}={value}" for name, value in environment.items()), "sh", "-i"]
        width, height = map(str, size)
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", width, "-y", height, "-c", str(folder), *words)
        self.resize(*size)  # from here on the window has the size that it is given
        self.until(lambda text: PROMPT.strip() in text)

    def tmux(self, *words: str) -> str:
        """Output of one tmux command. Raises CalledProcessError."""
        command = [shutil.which("tmux") or "tmux", "-S", str(self._socket), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def type(self, text: str) -> None:
        """Text as if typed, with a return at its end."""
        self.tmux("send-keys", "-l", text)
        self.keys("Enter")

    def keys(self, *names: str) -> None:
        """Keys by tmux's names, one at a time: a program may read two at once as an escape sequence."""
        for name in names:
            self.tmux("send-keys", name)

    def resize(self, width: int, height: int) -> None:
        self.tmux("resize-window", "-x", str(width), "-y", str(height))

    @property
    def text(self) -> str:
        return self.tmux("capture-pane", "-p")

    @property
    def coloured(self) -> str:
        """What is shown, with its escape sequences."""
        return self.tmux("capture-pane", "-p", "-e")

    @property
    def row(self) -> int:
        """Line of the cursor, from 0: a field that has the focus has it too."""
        return int(self.tmux("display-message", "-p", "#{cursor_y}"))

    @property
    def alternate(self) -> bool:
        """Is a full-screen program at work?"""
        return self.tmux("display-message", "-p", "#{alternate_on}").strip() == "1"

    def until(self, holds: Callable[[str], object], patience: float = PATIENCE_S) -> str:
        """The screen as soon as `holds` of it. Raises AssertionError with the screen after `patience` seconds."""
        ends, text = time.monotonic() + patience, ""
        while time.monotonic() < ends:
            text = self.text
            if holds(text):
                return text
            time.sleep(POLL_S)
        raise AssertionError(f"never came true; the screen:\n{text}")

    def sees(self, *words: str) -> str:
        """The screen as soon as all words stand on it."""
        return self.until(lambda text: all(word in text for word in words))

    def closes(self) -> str:
        """The shell's screen once the full-screen program is gone, and the shell has said how it left."""
        return self.until(lambda text: not self.alternate and _at_rest(text))


def _at_rest(text: str) -> bool:
    """Does the shell wait? A prompt alone says little: one may stand there for a line that was typed before."""
    asked, answered = text.count("left=$?"), len(re.findall(r"left=\d", text))
    return answered >= asked and text.rstrip().endswith(PROMPT.strip())


@contextmanager
def terminal(socket: Path, folder: Path, size: tuple[int, int] = (160, 45), **environment: str) -> Iterator[Terminal]:
    """A terminal that ends with its block, whatever happens in it; no secret of this machine is in its environment."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "PYTHONPATH", "HOME", "TMPDIR") if name in os.environ}
    given = {"PS1": PROMPT, "TERM": "tmux-256color", "LC_ALL": "C.UTF-8", "PYTHON": sys.executable}
    opened = Terminal(socket, folder, size, {**kept, **given, **environment})
    try:
        yield opened
    finally:
        opened.tmux("kill-server")

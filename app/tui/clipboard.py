"""Puts text on the clipboard: the machine's own command where a person sits at it, else the terminal's OSC 52."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Callable, Mapping

TIMEOUT_S = 2.0
MOST = 74_000
"""Bytes that OSC 52 carries through most terminals (100 kB of base64)."""


def command(environ: Mapping[str, str], found: Callable[[str], str | None] = shutil.which) -> tuple[str, ...] | None:
    """The clipboard command of this desktop; None over SSH, where it would fill the wrong clipboard."""
    if environ.get("SSH_CONNECTION") and not environ.get("DISPLAY"):
        return None
    wanted: list[tuple[str, ...]] = []
    if sys.platform == "darwin":
        wanted.append(("pbcopy",))
    if environ.get("WAYLAND_DISPLAY"):
        wanted.append(("wl-copy",))
    if environ.get("DISPLAY"):
        wanted += [("xclip", "-selection", "clipboard"), ("xsel", "--clipboard", "--input")]
    if environ.get("WSL_DISTRO_NAME"):
        wanted.append(("clip.exe",))
    return next((words for words in wanted if found(words[0])), None)


async def copy(text: str, environ: Mapping[str, str], escape: Callable[[str], None]) -> str:
    """Copy by command, else by `escape` (OSC 52). Returns how, for a person to read.

    Raises ValueError when the text is more than a terminal takes."""
    words = command(environ)
    if words is not None and await _piped(words, text.encode()):
        return words[0]
    if len(text.encode()) > MOST:
        raise ValueError(f"{len(text):,} characters are more than a terminal's clipboard takes; ctrl+s saves to a file")
    escape(text)
    return "the terminal"


async def _piped(words: tuple[str, ...], data: bytes) -> bool:
    """Whether the command took it. Its output goes nowhere: wl-copy and xclip stay and would hold a pipe open."""
    nowhere = asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.PIPE, stdout=nowhere, stderr=nowhere
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(process.communicate(data), TIMEOUT_S)
    except TimeoutError:
        process.kill()
        return False
    return process.returncode == 0

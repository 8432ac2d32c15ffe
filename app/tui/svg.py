"""SVG pictures of the panel, freed of what belongs to this machine, and made PNG by a program that is here."""

from __future__ import annotations

import html
import re
import shutil
import socket
import subprocess
import tempfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from app.errors import AppError
from remote.secrets import Redactor

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
PNG_S = 60.0
"""Seconds a browser may take for one picture."""

PIECE = 8
"""Characters in a row that give a secret away."""

_FONT = re.compile(r"\s*@font-face\s*\{[^}]*\}", re.DOTALL)
_TEXT = re.compile(r"(<text\b[^>]*>)([^<]*)(</text>)")
_PATH = re.compile(r"(?<![\w/.~])/(?:home|Users|root|tmp|work|var|private|mnt|opt|srv|data|workspace)/[^\s&;:,\"'<>]*")
_SPACE = "&#160;"


def scrubbed(svg: str, root: Path, secrets: Redactor) -> str:
    """The picture without fonts from the net, without secrets, and without paths and host names of this machine.

    A cell of the terminal stays a cell: what takes the place of a word is as long as the word.
    """
    words = sorted({str(root), str(Path.home()), socket.gethostname()} - {"/", "localhost", ""}, key=len, reverse=True)

    def text(match: re.Match[str]) -> str:
        body = _masked(match[2], secrets)
        for word in words:
            body = body.replace(word, _as_long("~" if "/" in word else "host", word))
        body = _PATH.sub(lambda path: _as_long("…/" + path[0].rstrip("/").rpartition("/")[2], path[0]), body)
        return match[1] + body + match[3]

    return _TEXT.sub(text, _FONT.sub("", svg))


def _masked(body: str, secrets: Redactor) -> str:
    """The text of one element without secrets; one that was cut or wrapped in the middle is known by its pieces."""
    plain = html.unescape(body).replace("\xa0", " ")
    masked = secrets.masked(plain, PIECE)
    return body if masked == plain else html.escape(masked, quote=False).replace(" ", _SPACE)


def _as_long(by: str, word: str) -> str:
    """`by`, cut or filled with spaces to the length of `word`."""
    return by[: len(word)] + _SPACE * max(0, len(word) - len(by))


def to_png(svg: str, out: Path) -> None:
    """Write the picture as PNG. Raises AppError where nothing here can."""
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is not None:
        _by_browser(browser, svg, out)
    elif find_spec("cairosvg") is not None:
        import_module("cairosvg").svg2png(bytestring=svg.encode(), write_to=str(out), scale=1)
    else:
        raise AppError(
            "a PNG needs Chromium, Chrome or the package cairosvg, and none of them is here",
            "Install one of them, or write an .svg, which needs none.",
        )


def _by_browser(browser: str, svg: str, out: Path) -> None:
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)
    width, height = (int(float(side)) + 1 for side in box.groups()) if box else (1600, 1000)
    with tempfile.TemporaryDirectory(prefix="maxcai-png-", ignore_cleanup_errors=True) as folder:
        page, made = Path(folder) / "panel.html", Path(folder) / "panel.png"
        head = "<!doctype html><meta charset=utf-8><style>body{margin:0}svg{display:block}</style>"
        page.write_text(head + svg, encoding="utf-8")
        words = [
            browser, "--headless", "--disable-gpu", "--no-sandbox", "--hide-scrollbars",
            "--force-device-scale-factor=1", f"--user-data-dir={folder}/profile",
            f"--window-size={width},{height}", f"--screenshot={made}",
            page.as_uri(),
        ]  # fmt: skip
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=PNG_S, check=False)
        except subprocess.TimeoutExpired:
            raise AppError(f"{browser} drew nothing in {PNG_S:.0f} s", "Write an .svg instead.") from None
        if not made.is_file():
            said = done.stderr.strip().splitlines()[-1:] or ["no word of why"]
            raise AppError(f"{browser} drew nothing: {said[0]}", "Write an .svg instead.")
        shutil.copyfile(made, out)

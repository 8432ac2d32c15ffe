"""Material for a reviewer: files and a diff, in one text that any reviewer, human or model, can read.

Refused: what holds a secret by its name or its content, what lies outside the workspace, and what is no ordinary
file. What is no text, or too long, is named and not copied.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from task_board.document import Document
from task_board.errors import Refused, UsageError

LONGEST = 200_000
"""Bytes of one file, or of the diff, that are copied."""
_SECRET = re.compile(
    r"(?:^\.env|\.env$|\.pem$|\.key$|^id_(?:rsa|ed25519|ecdsa|dsa)|^\.netrc$|^credentials|^secrets?(?:\.|$))",
    re.IGNORECASE,
)
_TOKEN = re.compile(
    rb"(?<![A-Za-z0-9_-])(?:rpa_[A-Za-z0-9]{20}|hf_[A-Za-z0-9]{24}|sk-(?=[A-Za-z0-9_-]{0,60}[0-9A-Z])[A-Za-z0-9_-]{20}"
    rb"|gh[pousr]_[A-Za-z0-9]{30}|(?:AKIA|ASIA)[0-9A-Z]{16})|-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----"
)
"""Forms of keys. A file that only looks so is refused too: the requester can leave it out, a leak cannot be undone."""


def collect(workspace: Path, files: Sequence[str], diff: str | None) -> str:
    """The files' text and `git diff <diff>`, each in a fence of its own. Raises UsageError or Refused."""
    parts = [_file(workspace, name) for name in files]
    if diff is not None:
        if diff.startswith("-"):
            raise UsageError(f"{diff!r} is no revision", "Such as HEAD~1 or main...")
        text = _git(workspace, "diff", "--no-color", "--no-ext-diff", diff, "--")
        _keyless(f"git diff {diff}", text.encode("utf-8", "replace"))
        parts.append(_fence(f"### git diff {diff}", text, "diff"))
    return "\n\n".join(parts)


def commit(workspace: Path) -> str | None:
    """The commit that is checked out; None outside a repository."""
    try:
        return _git(workspace, "rev-parse", "HEAD").strip() or None
    except UsageError:
        return None


def _file(workspace: Path, name: str) -> str:
    path = workspace / name
    if _SECRET.search(path.name) or _SECRET.search(path.resolve().name):
        raise Refused(f"{name} looks like a secret", "It does not go into a request.")
    if not path.resolve().is_relative_to(workspace.resolve()):
        raise Refused(f"{name} lies outside {workspace}", "Name files of the workspace.")
    try:
        if not path.is_file():  # a pipe or a device would never end
            missing = not os.path.lexists(path)
            raise UsageError(
                f"{name} {'is not there' if missing else 'is no ordinary file'}",
                "Name files relative to the workspace.",
            )
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            raw = file.read(LONGEST + 1)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", "Name files relative to the workspace.") from error
    if len(raw) > LONGEST or not Document(raw).is_text:
        return f"### {name}\n{size} bytes, sha256 {digest}; not copied."
    _keyless(name, raw)
    return _fence(f"### {name}", raw.decode(), path.suffix.lstrip("."))


def _keyless(name: str, raw: bytes) -> None:
    """Raises Refused when the bytes hold what has the form of a key; the key is not shown."""
    if found := _TOKEN.search(raw):
        line = raw.count(b"\n", 0, found.start()) + 1
        raise Refused(f"{name}, line {line}, holds what looks like a secret", "It does not go into a request.")


def _fence(title: str, text: str, kind: str) -> str:
    text = text if len(text) <= LONGEST else text[:LONGEST] + "\n[cut off]"
    longest = max((len(mark) for mark in re.findall(r"`{3,}", text)), default=2)
    mark = "`" * (longest + 1)
    return f"{title}\n{mark}{kind}\n{text.rstrip()}\n{mark}"


def _git(workspace: Path, *words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=workspace, capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"git cannot be run: {error}", "Leave --diff out.") from error
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"git {words[0]}: {said[0] if said else 'failed'}", "Name a revision of this repository.")
    return done.stdout.decode("utf-8", "replace")

"""Material for a reviewer: files and a diff, in one text that any reviewer, human or model, can read.

Files that hold secrets by their name are refused; what is no text, or too long, is named and not copied.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from task_board.document import Document
from task_board.errors import Refused, UsageError

LONGEST = 200_000
"""Bytes of one file, or of the diff, that are copied."""
_SECRET = re.compile(r"(?:^\.env|\.pem$|\.key$|^id_(?:rsa|ed25519|ecdsa|dsa)|^\.netrc$|^credentials)", re.IGNORECASE)


def collect(workspace: Path, files: Sequence[str], diff: str | None) -> str:
    """The files' text and `git diff <diff>`, each in a fence of its own. Raises UsageError or Refused."""
    parts = [_file(workspace, name) for name in files]
    if diff is not None:
        if diff.startswith("-"):
            raise UsageError(f"{diff!r} is no revision", "Such as HEAD~1 or main...")
        parts.append(
            _fence(f"### git diff {diff}", _git(workspace, "diff", "--no-color", "--no-ext-diff", diff, "--"), "diff")
        )
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
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}", "Name files relative to the workspace.") from error
    if len(raw) > LONGEST or not Document(raw).is_text:
        return f"### {name}\n{len(raw)} bytes, sha256 {hashlib.sha256(raw).hexdigest()}; not copied."
    return _fence(f"### {name}", raw.decode(), path.suffix.lstrip("."))


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

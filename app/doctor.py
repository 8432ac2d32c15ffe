"""Checks of this installation, each with its remedy. Reads only; asks no network."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct

from app.errors import UsageError
from app.settings import Settings
from app.workspace import Workspace

MARKS = {"ok": "✔", "warn": "!", "fail": "✖"}
MIN_FREE = 5 * 1024**3
"""Bytes a demo run, its model and its results need at most, generously."""

PIPELINE = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "safetensors")


class Check(Struct, frozen=True):
    """One thing looked at. Level: ok | warn | fail."""

    name: str
    level: str
    text: str
    remedy: str = ""

    @property
    def mark(self) -> str:
        return MARKS[self.level]

    def as_dict(self) -> dict[str, Any]:
        return {"name": self.name, "level": self.level, "text": self.text, "remedy": self.remedy}


def examine(workspace: Workspace, settings: Settings) -> list[Check]:
    """Every check, in the order in which a newcomer would mend things."""
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        _python,
        lambda: _packages(settings),
        lambda: _constitution(workspace),
        lambda: _folders(workspace),
        lambda: _state_files(workspace),
        lambda: _identity(workspace),
        lambda: _key(workspace, settings),
        _terminal,
    )
    return [check for run in checks for check in run()]


def _python() -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info >= (3, 11)
    yield Check("python", "ok" if good else "fail", version, "" if good else "Use Python 3.11 or newer.")


def _packages(settings: Settings) -> Iterator[Check]:
    missing = [name for name in ("asyncssh", "textual") if find_spec(name) is None]
    yield _have("core packages", missing, "fail", "pip install maximalcai")
    if settings.provider == "local":
        absent = [name for name in PIPELINE if find_spec(name) is None]
        yield _have("pipeline packages (the local pod runs here)", absent, "fail", "pip install 'maximalcai[pipeline]'")
        model = [name for name in ("gguf",) if find_spec(name) is None]
        yield _have("demo model reader", model, "warn", "pip install 'maximalcai[demo]'")


def _have(name: str, missing: list[str], level: str, remedy: str) -> Check:
    if not missing:
        return Check(name, "ok", "installed")
    return Check(name, level, f"missing: {', '.join(missing)}", f"{remedy} installs them.")


def _constitution(workspace: Workspace) -> Iterator[Check]:
    from app.launch import judged

    try:
        path = workspace.constitution()
        judged(workspace, "constitution", str(path))
    except UsageError as error:
        yield Check("constitution", "fail", error.message, error.hint or "Mend the line it names.")
    else:
        yield Check("constitution", "ok", str(path))


def _folders(workspace: Workspace) -> Iterator[Check]:
    root = workspace.root
    writable = os.access(root, os.W_OK)
    yield Check(
        "workspace", "ok" if writable else "fail", str(root), "" if writable else "Choose a folder you may write to."
    )
    free = shutil.disk_usage(root).free
    level = "ok" if free >= MIN_FREE else "warn"
    yield Check(
        "disk", level, f"{free / 1024**3:.1f} GiB free", "" if level == "ok" else "A demo run needs up to 5 GiB."
    )


def _state_files(workspace: Workspace) -> Iterator[Check]:
    from app.damage import damages
    from remote.errors import RemoteError

    try:
        found = list(damages(workspace.state_dir))
    except RemoteError as error:
        yield Check("records", "fail", error.message, error.hint)
        return
    if not found:
        yield Check("records", "ok", "journal, ledger and runs can be read")
    for path, what in found:
        yield Check("records", "warn", f"{path}: {what}", "Put that file back from a backup, if there is one.")


def _identity(workspace: Workspace) -> Iterator[Check]:
    keys = [p for p in (workspace.state_dir / "ssh").glob("id_*") if p.is_file() and p.suffix != ".pub"]
    if not keys:
        yield Check("ssh key", "ok", "made at the first connection")
    for key in keys:
        mode = stat.S_IMODE(key.stat().st_mode)
        good = mode & 0o077 == 0
        yield Check("ssh key", "ok" if good else "fail", f"{key} mode {mode:04o}", "" if good else f"chmod 600 {key}")


def _key(workspace: Workspace, settings: Settings) -> Iterator[Check]:
    from remote.secrets import runpod_key

    secret = runpod_key(Path(workspace.root))
    if secret is None:
        needed = settings.provider == "runpod"
        yield Check(
            "RunPod key", "fail" if needed else "ok", "none: only the local pod can be used", ADD_KEY if needed else ""
        )
    else:
        yield Check("RunPod key", "warn" if secret.warning else "ok", f"from {secret.source}", secret.warning or "")


def _terminal() -> Iterator[Check]:
    if not sys.stdout.isatty():
        yield Check("terminal", "ok", "none: commands print plain text")
        return
    size = shutil.get_terminal_size()
    good = size.columns >= 80 and size.lines >= 24
    remedy = "" if good else "The panel shows everything from 80×24 on."
    yield Check("terminal", "ok" if good else "warn", f"{size.columns}×{size.lines}", remedy)


ADD_KEY = "Put RUNPOD_API_KEY=… into .env.runpod (mode 600) or the environment."

"""The folder `maxcai` is started in: where its files lie, how it is made, and which code goes to a pod.

Everything here is local files. A checkout of the project is a workspace, so is a folder made by `maxcai init`; any
other folder works too, with the installed pipeline and no code of its own.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.errors import WorkspaceError

CONSTITUTION = "constitution.yaml"
SETTINGS = "maxcai.toml"
IGNORED = (".maxcai/", "runs/", ".env*")
FOLDERS = (
    *(f"task_board/{lane}" for lane in ("pending", "in_progress", "blocked", "completed")),
    *(f"reviews/{name}" for name in ("requests", "responses", "archive")),
    "runs",
)

_TEMPLATE = """\
# Settings of this workspace. Environment variables MAXCAI_* and flags win over this file.
# Credentials never go here: put RUNPOD_API_KEY into the environment or into .env.runpod (mode 600).
provider = "local"
recipe = "demo"
# budget_usd = 20
# stop_after_run = true

[keys]
# "pod.stop" = "ctrl+x"
"""


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where things lie. `pipeline` is the folder of the installed pipeline package."""

    root: Path
    state_dir: Path
    runs_dir: Path
    pipeline: Path

    @property
    def has_code(self) -> bool:
        """True when the folder's own files belong to what is pushed."""
        return (self.root / SETTINGS).is_file() or self.has_pipeline

    @property
    def has_pipeline(self) -> bool:
        """True when the folder brings its own `pipeline` package."""
        return (self.root / "pipeline" / "__init__.py").is_file()

    def run_dir(self, run_id: str) -> Path:
        """Where a run's results are pulled to."""
        return self.runs_dir / run_id

    def spool_dir(self, run_id: str) -> Path:
        """Where the followed bytes of a run lie: its log outlives the pod."""
        return self.state_dir / "spool" / run_id

    def constitution(self) -> Path:
        """The folder's own constitution, else the one beside the installed pipeline.

        Raises WorkspaceError when there is neither.
        """
        for folder in (self.root, self.pipeline.parent):
            if (folder / CONSTITUTION).is_file():
                return folder / CONSTITUTION
        raise WorkspaceError(
            f"no {CONSTITUTION} in {self.root} nor beside the installed pipeline", "Run `maxcai init`."
        )

    def sources(self) -> list[tuple[Path, str]]:
        """What a push sends, as (local folder or file, place in the tree); later entries win over earlier ones.

        The folder itself when it is a workspace, the installed `pipeline` package when the folder has none, and the
        constitution when the folder has none.
        """
        sources: list[tuple[Path, str]] = [(self.root, "")] if self.has_code else []
        if not self.has_pipeline:
            sources.append((self.pipeline, "pipeline"))
        if not (self.has_code and (self.root / CONSTITUTION).is_file()):
            sources.append((self.constitution(), CONSTITUTION))
        return sources

    @property
    def code_root(self) -> Path:
        """The folder whose `pipeline` package a run will use."""
        return self.root if self.has_pipeline else self.pipeline.parent


def find(root: Path, state_dir: str = ".maxcai", runs_dir: str = "runs") -> Workspace:
    """The workspace at `root`. Raises WorkspaceError when it is no folder or the pipeline is not installed."""
    root = root.expanduser().resolve()
    if not root.is_dir():
        raise WorkspaceError(f"{root} is not a folder", "Name an existing folder with -C.")
    return Workspace(root, root / state_dir, root / runs_dir, pipeline_folder())


def pipeline_folder() -> Path:
    """Folder of the installed `pipeline` package; finding it imports nothing of it but its `__init__`."""
    spec = find_spec("pipeline")
    if spec is None or spec.origin is None:
        raise WorkspaceError("the package `pipeline` is not installed", "Install maximalcai again.")
    return Path(spec.origin).parent


def init(workspace: Workspace, say: Callable[[str, bool], None]) -> None:
    """Make the workspace's files and folders. Nothing that exists is overwritten.

    Args:
        workspace: where.
        say: called with each path (relative) and whether it was made now.
    """
    root = workspace.root
    for folder in FOLDERS:
        made = not (root / folder).is_dir()
        _mkdir(root / folder)
        say(folder + "/", made)
    constitution = workspace.constitution().read_bytes()
    for name, content in ((SETTINGS, _TEMPLATE.encode()), (CONSTITUTION, constitution)):
        made = not (root / name).exists()
        if made:
            write_atomically(root / name, content)
        say(name, made)
    say(".gitignore", _ignore(root / ".gitignore"))


def _mkdir(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise WorkspaceError(f"{folder} is a file, not a folder", "Move it away and run `maxcai init` again.") from None


def _ignore(path: Path) -> bool:
    """Add the lines that are missing; keep every byte that is there."""
    content = path.read_bytes() if path.exists() else b""
    have = {line.strip() for line in content.decode("utf-8", "replace").splitlines()}
    missing = [line for line in IGNORED if line not in have and f"/{line}" not in have]
    if not missing:
        return False
    joint = b"" if not content or content.endswith(b"\n") else b"\n"
    write_atomically(path, content + joint + "".join(f"{line}\n" for line in missing).encode())
    return True


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step: a reader sees the old bytes or the new ones, a crash leaves one of the two."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        Path(name).chmod(0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

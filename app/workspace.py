"""The folder `maxcai` is started in: where its files lie, how it is made, and which code goes to a pod.

Everything here is local files. A checkout of the project is a workspace, so is a folder made by `maxcai init`; any
other folder works too, with the installed pipeline and no code of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from msgspec import Struct

from app.errors import WorkspaceError
from remote.files import reading, write_atomic, writing

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
# notify = "auto"                     # osc9, osc777, osc99, bell, off: when the terminal is not in front

[runpod]
# gpus = ["NVIDIA A100-SXM4-80GB"]   # tried in this order; `maxcai pod offers` has the ids
# volume_id = "..."                  # a network volume, or
# volume_gb = 200                    # a disk on the pod's host: one of them keeps the data at a stop

[guard]
# max_hours = 24                     # 0 switches a rule off
# idle_minutes = 30
# required = true                    # no run unless the pod can stop itself

[budget]
# run = 40
# total = 300

[reviews]
# required = true                    # no run but of demo and smoke without an approved review

[keys]
# "pod.stop" = "ctrl+x"
"""


class Workspace(Struct, frozen=True):
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
        """The folder's own constitution, else the one beside the pipeline package, else an installed wheel's.

        Raises WorkspaceError when there is none.
        """
        installed = Path(sys.prefix) / "share" / "maximalcai"
        for folder in (self.root, self.pipeline.parent, installed):
            if (folder / CONSTITUTION).is_file():
                return folder / CONSTITUTION
        raise WorkspaceError(
            f"there is no {CONSTITUTION} in {self.root} nor in {installed}",
            "Install maximalcai again, or put a constitution of your own there.",
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
            write_atomic(root / name, content, 0o644)
        say(name, made)
    say(".gitignore", _ignore(root / ".gitignore"))


def _mkdir(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise WorkspaceError(f"{folder} is a file, not a folder", "Move it away and run `maxcai init` again.")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _ignore(path: Path) -> bool:
    """Add the lines that are missing; keep every byte that is there."""
    with reading(path):
        content = path.read_bytes() if path.exists() else b""
    have = {line.strip() for line in content.decode("utf-8", "replace").splitlines()}
    missing = [line for line in IGNORED if line not in have and f"/{line}" not in have]
    if not missing:
        return False
    joint = b"" if not content or content.endswith(b"\n") else b"\n"
    write_atomic(path, content + joint + "".join(f"{line}\n" for line in missing).encode(), 0o644)
    return True

"""A small world for the set-up's tests: wheels made by hand, trees that ask for them, images with and without torch."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from remote.agent.client import Agent
from remote.link.placing import place
from remote.setup.model import Needs, Torch, Wish
from remote.sync.push import push
from remote.sync.scan import scan

SMALL = Needs(free_bytes=0, free_system_bytes=0, probe_bytes=4096)

HANGING = """\
import atexit, os, sys, time
def wait():
    while os.path.exists({gate!r}):
        time.sleep(0.02)
if "venv" in sys.orig_argv:
    atexit.register(wait)
"""
"""Makes `python -m venv` of an image hang when all but its end is done, for as long as a file is there."""

TORCH = """\
import types
__version__ = {version!r}
version = types.SimpleNamespace(cuda="12.8")
cuda = types.SimpleNamespace(is_available=lambda: False, device_count=lambda: 0)
"""

NO_PIP = """\
import glob, sys
sys.modules["ensurepip"] = None
find = glob.glob
glob.glob = lambda pattern, **more: [] if "python-wheels" in pattern else find(pattern, **more)
"""
"""What makes a Python look like one without ensurepip and without Debian's wheels."""


def wheel(folder: Path, name: str, version: str, code: str = "", filler: int = 0) -> Path:
    """A pure-Python wheel of one module; `filler` bytes of data make it large."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": code or f"__version__ = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if filler:
        files[f"{name}/data.bin"] = "x" * filler
    record = "".join(f"{one},,\n" for one in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as archive:
        for one, text in {**files, f"{info}/RECORD": record}.items():
            archive.writestr(one, text)
    return path


def image(folder: Path, torch: str | None = None, site: str = "") -> Path:
    """An interpreter such as an image has: a virtual environment, with this version of a torch of a few lines."""
    subprocess.run([sys.executable, "-I", "-m", "venv", "--without-pip", folder], check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    if site:
        (packages / "sitecustomize.py").write_text(site)
    if torch is not None:
        (packages / "torch").mkdir()
        (packages / "torch/__init__.py").write_text(TORCH.format(version=torch))
        (packages / "torch/version.py").write_text("cuda: str = '12.8'\n")
        (packages / f"torch-{torch}.dist-info").mkdir()
        (packages / f"torch-{torch}.dist-info/METADATA").write_text(
            f"Metadata-Version: 2.1\nName: torch\nVersion: {torch}\n"
        )
    return folder / "bin/python"


def tree(folder: Path, *requirements: str, fetch: str | None = None) -> Path:
    """A code tree that asks for these; `fetch` is the code of its `python -m pipeline`."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = ", ".join(f'"{line}"' for line in requirements)
    (folder / "pyproject.toml").write_text(
        f'[project]\nname = "maximalcai"\nversion = "1"\ndependencies = []\n'
        f'[project.optional-dependencies]\nall = ["maximalcai[pipeline]"]\npipeline = [{wanted}]\n'
    )
    if fetch is not None:
        (folder / "pipeline/recipes").mkdir(parents=True, exist_ok=True)
        (folder / "pipeline/__init__.py").touch()
        (folder / "pipeline/__main__.py").write_text(fetch)
        (folder / "pipeline/recipes/small.yaml").write_text("model: {id: small}\n")
    return folder


async def wish(agent: Agent, folder: Path, wheels: Path, torch: Torch = Torch.AUTO) -> Wish:
    """Push a tree and ask for it, from these wheels, which are brought to the pod, and no network."""
    there = f"{agent.conn.root}/wheels"
    for one in wheels.glob("*.whl"):
        await place(agent.conn, f"{there}/{one.name}", one.read_bytes())
    report = await push(agent, scan([(folder, "")]), folder.parent / "state", force=True)
    return Wish(report.tree_id, torch=torch, pip_args=("--no-index", "--find-links", there))

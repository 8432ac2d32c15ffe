"""The interpreters of an image and the torch that each brings; which of them the environment is built on."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator

from remote.agent.disk import Json, Refused
from remote.agent.kernel import pod_environment

from .children import ask
from .versions import satisfies

OLDEST = (3, 11)  # what the pipeline needs; this script itself runs on 3.9
_NAMES = ("python3", "python", "python3.11", "python3.12", "python3.13", "python3.14")
_PLACES = ("/opt/venv/bin/python", "/venv/bin/python", "/opt/conda/bin/python", "/usr/local/bin/python3")

_FACTS = """\
import glob, importlib.metadata as m, importlib.util as u, json, os, platform, re, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
def there(name):
    try: return u.find_spec(name) is not None
    except (ImportError, ValueError): return False
cuda = None
if version("torch") and there("torch"):
    try: text = open(os.path.join(u.find_spec("torch").submodule_search_locations[0], "version.py")).read()
    except (OSError, TypeError, IndexError): text = ""
    hit = re.search(r"^cuda\\b[^=]*=\\s*['\\"]([^'\\"]+)", text, re.M)
    cuda = hit.group(1) if hit else None
wheels = glob.glob("/usr/share/python-wheels/pip-*.whl")
if there("ensurepip"):
    wheels = glob.glob(os.path.join(u.find_spec("ensurepip").submodule_search_locations[0], "_bundled", "pip-*.whl")) or wheels
print(json.dumps({"version": platform.python_version(), "executable": sys.executable, "machine": platform.machine(),
    "sites": [p for p in sys.path if os.path.basename(p) in ("site-packages", "dist-packages")],
    "nested": sys.prefix != sys.base_prefix, "venv": there("venv"), "pip": version("pip"),
    "pip_wheel": sorted(wheels)[-1] if wheels else None, "torch": version("torch"), "cuda": cuda}))
"""  # noqa: E501
"""Runs in each interpreter, fixed text. It imports no torch: that may take a minute, or hang."""


def facts(python: str) -> Json | None:
    """What an interpreter says of itself, None when it does not answer sensibly."""
    answer = ask([python, "-I", "-c", _FACTS], 30.0)
    try:
        told = json.loads(answer.out) if answer.code == 0 else None
    except ValueError:
        return None
    return told if isinstance(told, dict) and isinstance(told.get("version"), str) else None


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


def candidates() -> Iterator[str]:
    """Paths of interpreters, ours first, each once. Those of virtual environments are not their bases."""
    seen = set()
    path = pod_environment().get("PATH")  # over SSH an image's own is not set
    found = [sys.executable, *(shutil.which(name, path=path) or "" for name in _NAMES), *_PLACES]
    for one in found:
        if not one or not os.access(one, os.X_OK):
            continue
        in_venv = os.path.exists(os.path.join(os.path.dirname(one), "..", "pyvenv.cfg"))
        key = os.path.dirname(one) if in_venv else os.path.realpath(one)
        if key not in seen:
            seen.add(key)
            yield one


def modern() -> str | None:
    """An interpreter that is new enough, for when the one we run on is not."""
    for path in candidates():
        told = facts(path)
        if told is not None and release(told["version"]) >= OLDEST:
            return path
    return None


def choose(torch: str | None, mode: str) -> Json:
    """The interpreter to build on: one whose torch suits, else the first that is new enough.

    `torch` is the requirement ("torch==2.13.0"), None when none is needed. Raises Refused("no_python").
    """
    first, seen = None, []
    for path in candidates():
        told = facts(path)
        if told is None:
            continue
        seen.append(f"{path} is {told['version']}")
        if release(told["version"]) < OLDEST or not told["venv"]:
            continue
        if torch is None or suits(told, torch, mode):
            return told
        first = first or told
    if first is None:
        need = ".".join(str(part) for part in OLDEST)
        raise Refused(
            "no_python", f"no Python {need} or later with its venv module ({'; '.join(seen) or 'none at all'})"
        )
    return first


def suits(told: Json, torch: str, mode: str) -> bool:
    """Whether this interpreter's own torch is to be used."""
    if mode == "install" or told["torch"] is None:
        return False
    return mode == "image" or satisfies(told["torch"], torch)

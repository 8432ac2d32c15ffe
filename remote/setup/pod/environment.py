"""Builds the environment of a lock: a venv at its final place, complete only when its marker, written last, is there.

A venv cannot be moved, so nothing is renamed; one without its marker is half-built, and is removed and built again.
What pip fetched stays in a cache on the volume, so that building again fetches nothing twice.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
import zipfile

from remote.agent.disk import Json, Refused, read_json, write_json
from remote.agent.runs import Pod

from .checks import gpus, torch_facts
from .children import ask, logged
from .lock import hash_of
from .notes import Notes

MARKER = "complete.json"
_FULL = re.compile(r"No space left on device|Disk quota exceeded|\[Errno (28|122)\]")
_BENDING = (
    "PYTHONPATH",
    "PYTHONHOME",
    "PIP_CONSTRAINT",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
)
"""Some images pin packages or move them that way, which would overrule the lock."""
_WAIT_S = 7200.0  # another set-up may be installing the same


def folder(pod: Pod, digest: str) -> str:
    return os.path.join(pod.base, "env", digest)


def python_of(pod: Pod, digest: str) -> str:
    return os.path.join(folder(pod, digest), "bin", "python")


def complete(pod: Pod, digest: str) -> Json | None:
    """The marker of a whole environment whose interpreter is still there, else None."""
    marker = read_json(os.path.join(folder(pod, digest), MARKER))
    usable = os.access(python_of(pod, digest), os.X_OK)
    return marker if usable and marker is not None and marker.get("hash") == digest else None


def variables(pod: Pod) -> dict[str, str]:
    """What pip and the model's download start with: the job's environment without what would bend either."""
    env = {name: value for name, value in os.environ.items() if name not in _BENDING}
    cache = os.path.join(pod.base, "pip-cache")
    fixed = {
        "PYTHONNOUSERSITE": "1",
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return {**env, **fixed, "PIP_CACHE_DIR": cache, "PIP_PROGRESS_BAR": "off", "PIP_ROOT_USER_ACTION": "ignore"}


def build(pod: Pod, made_of: Json, base: Json, log: str, notes: Notes) -> Json:
    """Make the environment unless it is complete; one builder at a time. Returns its marker.

    Raises Refused: "venv", "no_pip", "pip", "torch", "disk_full".
    """
    digest = hash_of(made_of)
    mutex = pod.lock(f"env-{digest}")
    assert mutex is not None
    try:
        if not mutex.acquire(0.1):
            notes.say("another set-up is building this environment; waiting for it")
            if not mutex.acquire(_WAIT_S):
                raise Refused("locked", "another set-up has been building this environment for two hours")
        marker = complete(pod, digest)
        if marker is not None:
            notes.end("complete already")
            return marker
        return Builder(pod, made_of, base, log, notes, mutex.fd).main()
    finally:
        mutex.close()


class Builder:
    """One build, from nothing to the marker."""

    def __init__(self, pod: Pod, made_of: Json, base: Json, log: str, notes: Notes, lock_fd: int) -> None:
        self.pod, self.made_of, self.base, self.log, self.notes, self.lock_fd = pod, made_of, base, log, notes, lock_fd
        self.hash = hash_of(made_of)
        self.folder, self.python = folder(pod, self.hash), python_of(pod, self.hash)
        minor = ".".join(base["version"].split(".")[:2])
        self.packages = os.path.join(self.folder, "lib", f"python{minor}", "site-packages")
        self.env = {name: value for name, value in variables(pod).items() if name != "HF_TOKEN"}

    def main(self) -> Json:
        begin = time.monotonic()
        try:
            self.clear()
            self.venv()
            if self.made_of["requirements"]:
                self.pip_itself()
                self.torch()
                self.requirements()
            marker = {"hash": self.hash, "lock": self.made_of, **self.examine()}
            marker.update(built=time.time(), seconds=round(time.monotonic() - begin, 1))
            write_json(os.path.join(self.folder, MARKER), marker)
        except (Refused, OSError) as error:
            full = getattr(error, "code", None) == "disk_full" or getattr(error, "errno", None) in (
                errno.ENOSPC,
                errno.EDQUOT,
            )
            if full:  # a half-built environment is of no use, and its room is needed to say so
                shutil.rmtree(self.folder, ignore_errors=True)
                raise Refused("disk_full", self.folder, **getattr(error, "more", {})) from None
            raise
        self.notes.end(f"built in {marker['seconds']:.0f} s")
        return marker

    def clear(self) -> None:
        """Remove a half-built environment of an earlier attempt."""
        if os.path.isdir(self.folder):
            self.notes.say("an earlier attempt left a half-built environment; building it again")
            shutil.rmtree(self.folder)
        os.makedirs(os.path.dirname(self.folder), exist_ok=True)

    def venv(self) -> None:
        torch = self.made_of["torch"]
        reuse = torch is not None and torch["from"] == "image"
        source = f", on the image's torch {torch['version']}" if reuse else ""
        self.notes.say(f"virtual environment on Python {self.base['version']}{source}")
        argv = [self.base["executable"], "-I", "-m", "venv", "--without-pip"]
        self.run([*argv, *(["--system-site-packages"] if reuse else []), self.folder], "venv", "python -m venv failed")
        if reuse and self.base["nested"]:  # a venv on a venv sees the packages of the innermost base only
            code = "".join(f"import site; site.addsitedir({path!r})\n" for path in self.base["sites"])
            with open(os.path.join(self.packages, "maxcai_image.pth"), "w", encoding="utf-8") as out:
                out.write(code)

    def pip_itself(self) -> None:
        """Unpack a pip wheel that is on the pod already, which is all that installing it takes; Debian's Pythons have
        no ensurepip. Else the pip of the image, where the environment sees it."""
        here = os.path.dirname(self.folder)
        uploaded = sorted(name for name in os.listdir(here) if re.match(r"pip-.*\.whl\Z", name))
        wheel = self.base["pip_wheel"] or (os.path.join(here, uploaded[-1]) if uploaded else None)
        if wheel is not None:
            with zipfile.ZipFile(wheel) as packed:
                packed.extractall(self.packages)
        elif ask([self.python, "-I", "-m", "pip", "--version"], 120.0).code != 0:
            raise Refused("no_pip", f"{self.base['executable']} has neither ensurepip nor a pip that works")

    def torch(self) -> None:
        """torch first and alone: with arguments of its own, and before anything that depends on it chooses another."""
        torch = self.made_of["torch"]
        if torch is not None and torch["from"] == "index":
            self.notes.say(f"installing {torch['required']}")
            self.pip([torch["required"], *self.made_of["torch_args"]])

    def requirements(self) -> None:
        wanted = self.made_of["requirements"]
        self.notes.say(f"installing {len(wanted)} requirements")
        self.pip(wanted)

    def pip(self, arguments: list[str]) -> None:
        pinned = os.path.join(self.folder, "constraints.txt")
        with open(pinned, "w", encoding="utf-8") as out:
            out.write("".join(f"{line}\n" for line in self.made_of["constraints"]))
        argv = [
            self.python,
            "-I",
            "-m",
            "pip",
            "install",
            "--constraint",
            pinned,
            *self.made_of["pip_args"],
            *arguments,
        ]
        self.run(argv, "pip", "pip could not install the requirements")

    def run(self, argv: list[str], code: str, what: str) -> None:
        status, last = logged(argv, self.env, "/", self.log, self.line, keep=(self.lock_fd,))
        if status == 0:
            return
        if any(_FULL.search(line) for line in last):
            raise Refused("disk_full", self.folder, last=last)
        raise Refused(code, f"{what} (exit code {status}); the whole output is in {self.log}", last=last)

    def line(self, text: str) -> None:
        if text.startswith(
            ("Collecting ", "Downloading ", "Installing ", "Building ", "Successfully ", "Using cached ")
        ):
            self.notes.brief(text)

    def examine(self) -> Json:
        """The facts of what was built. Raises Refused("torch") when a required torch cannot be imported."""
        torch = self.made_of["torch"]
        found: Json = {"python": self.base["version"], "torch": None, "cuda": None}
        if torch is None:
            return found
        self.notes.say("importing torch")
        told = torch_facts(self.python)
        if isinstance(told, str):
            raise Refused("torch", f"the environment's torch cannot be used: {told}")
        cards, _ = gpus()
        if cards and not told["available"]:
            build = f"torch {told['version']} (built for CUDA {told['cuda'] or 'none'})"
            raise Refused(
                "torch", f"{build} does not see the GPU; the driver allows CUDA {cards[0]['cuda'] or 'unknown'}"
            )
        return {**found, "torch": told["version"], "cuda": told["cuda"], "cuda_available": told["available"]}

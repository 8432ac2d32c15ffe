"""Speaks to the set-up's script on the pod: packs it, puts it there once, calls its verbs, types its refusals."""

from __future__ import annotations

import hashlib
import json
import posixpath
from collections.abc import Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from remote.agent.client import Agent
from remote.agent.disk import PROTOCOL
from remote.errors import AgentFailed, DiskFull, ProtocolMismatch, SetupError
from remote.link.connection import Completed
from remote.link.placing import NO_COMMAND, NO_FILE, TOO_OLD, last_line, missing_python, packed, place, printable

_AGENT = ("disk", "kernel", "runs")
_POD = ("checks", "children", "environment", "lock", "main", "model", "notes", "pythons", "versions")
_MAIN = "import sys\nfrom remote.setup.pod.main import main\nsys.exit(main())\n"

_FAILED = {"environment": "The environment could not be built", "model": "The model could not be fetched"}

HINTS = {
    "no_tree": "Push the code first.",
    "no_python": "Use an image with Python 3.11 or later and its venv module.",
    "no_requirements": "Push a tree with a pyproject.toml.",
    "no_torch": "Set up with torch=auto, which installs it, or use an image with torch.",
    "no_pip": "Use an image with python3-venv or python3-pip, or set up from a Python that has ensurepip.",
    "incomplete": "Run the set-up to its end first.",
    "alive": "Wait for that run, or cancel it first.",
    "venv": "Use an image whose Python has a working venv module.",
    "pip": "Look at the last lines; when the network failed, run the set-up again: it fetches nothing twice.",
    "torch": "Choose another image, or a torch index for the CUDA version of the pod's driver.",
    "fetch": "Look at the last lines; when the network failed, run the set-up again: it goes on where it was.",
}
"""What to do about each way in which the pod refuses."""


@cache
def bundle() -> bytes:
    """The script as one executable zip file, equal bytes for equal sources."""
    files = {"__main__.py": _MAIN.encode()}
    for package, names in (("remote.agent", _AGENT), ("remote.setup.pod", _POD)):
        folder = package.replace(".", "/")
        for name in names:
            files[f"{folder}/{name}.py"] = resources.files(package).joinpath(f"{name}.py").read_bytes()
    for folder in ("remote", "remote/agent", "remote/setup", "remote/setup/pod"):
        files[f"{folder}/__init__.py"] = b""
    return packed(files)


def pip_wheel() -> Path | None:
    """The pip that this machine's Python carries, for images that have none; None where it carries none (Debian)."""
    try:
        import ensurepip  # Debian packs it apart from its Python
    except ImportError:
        return None
    found = sorted(Path(ensurepip.__file__).parent.glob("_bundled/pip-*.whl"))
    return found[-1] if found else None


class Script:
    """The set-up's script on the pod of `agent`. Every method raises SshError when the link breaks."""

    def __init__(self, agent: Agent) -> None:
        self.agent, self.conn = agent, agent.conn
        self._digest = hashlib.sha256(bundle()).hexdigest()
        self.path = posixpath.join(agent.base, "agent", f"setup-{self._digest[:12]}.pyz")

    def argv(self, verb: str) -> list[str]:
        """The command that runs a verb: the agent's own, with the other file."""
        return [self.path if word == self.agent.path else word for word in self.agent.argv(verb)]

    async def call(self, verb: str, request: Mapping[str, Any], deadline_s: float = 120.0) -> dict[str, Any]:
        """Run one verb; its reply. One round trip, except when the script is not on the pod yet.

        Raises SetupError with the remedy, DiskFull, PythonMissing.
        """
        line = json.dumps(dict(request)).encode() + b"\n"
        done = await self.conn.run(self.argv(verb), line, deadline_s)
        if not done.stdout and done.exit_code in (NO_FILE, NO_COMMAND, 1):
            await place(self.conn, self.path, bundle(), program=True)
            done = await self.conn.run(self.argv(verb), line, deadline_s)
        return _reply(done, self.conn.python)


def refusal(code: str, detail: str, step: str, last: tuple[str, ...] = ()) -> SetupError | DiskFull:
    """A refusal of the pod as our exception."""
    if code == "disk_full":
        return DiskFull(f"The pod's disk is full: {detail}.", "Free space, or use a larger volume.", where=detail)
    what = _FAILED.get(step, "The pod cannot be set up")
    return SetupError(f"{what}: {detail}.", HINTS.get(code, ""), step=step, last=last)


def _reply(done: Completed, python: str) -> dict[str, Any]:
    if done.exit_code in (NO_COMMAND, TOO_OLD) and not done.stdout:
        raise missing_python(done, python)
    try:
        raw = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError, RecursionError):
        raise AgentFailed(
            f"The set-up ended with code {done.exit_code} and no answer: {last_line(done.stderr)}"
        ) from None
    if not isinstance(raw, dict) or raw.get("v") != PROTOCOL:
        raise ProtocolMismatch("The set-up's script on the pod speaks another version.")
    if raw.get("ok") is not True:
        raise refusal(str(raw.get("code")), printable(str(raw.get("detail"))), "set-up")
    return {name: value for name, value in raw.items() if name not in ("v", "ok")}

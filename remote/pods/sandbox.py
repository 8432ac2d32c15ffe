"""The embedded pod's folder: what is kept, what is wiped, which environment its commands get, and its recorded state.

<state_dir>/pods/local/
  workspace/       the pod's root, kept over stops
  container/       its container disk: home/, tmp/; wiped at every stop
  state.json container.log server.pid server.log lock authorized_keys
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args, get_type_hints

from msgspec import Struct
from msgspec.structs import asdict

from remote.errors import ProviderUnavailable
from remote.files import locked, private_dir, reading, remove_tree, write_atomic
from remote.processes import ProcessId, with_group
from remote.secrets import looks_secret

MARK = "MAXCAI_POD_SANDBOX"  # set for every command of the pod, so that what it left running can be found
STOP = "MAXCAI_POD_STOP"  # names the file whose appearance makes the pod's server stop it
LOCKS = "MAXCAI_LOCKS"  # where the pod's agent keeps what must not outlive the container
_PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES")
_PASSED_PREFIXES = ("MAXCAI_", "OMP_", "HF_", "CAI_")
_LOG_LINES = 2000  # kept of the container log at a start
_TEMPORARY = "maxcai-"


class State(Struct, frozen=True):
    """What is written down of the embedded pod. Times are unix seconds of the provider's clock.

    `phase` is "running", "stopping" or "stopped". `wall` is the machine's clock at `started_at`, to translate file
    times. `price` is USD/hour as text. `temporary` is the short path that stands for container/tmp.
    """

    phase: str
    started_at: float | None = None
    stopped_at: float | None = None
    port: int | None = None
    pid: int | None = None
    pid_started: str | None = None
    wall: float | None = None
    price: str | None = None
    temporary: str | None = None
    why: str | None = None

    @property
    def server(self) -> ProcessId | None:
        """The server's process as recorded; it may be dead."""
        return ProcessId(self.pid, self.pid_started) if self.pid and self.pid_started else None


class Sandbox:
    """Paths and files of one embedded pod."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.workspace = self.folder / "workspace"
        self.container = self.folder / "container"
        self.log = self.folder / "container.log"
        self.pid_file = self.folder / "server.pid"
        self.server_log = self.folder / "server.log"
        self.authorized_keys = self.folder / "authorized_keys"
        self.stop_file = self.container / "stop"
        self._state = self.folder / "state.json"

    def prepare(self) -> None:
        """Create whatever is missing."""
        private_dir(self.folder)
        for folder in (self.workspace, self.container):
            private_dir(folder)
        for name in ("home", "tmp"):
            private_dir(self.container / name)

    def locked(self, what: str) -> AbstractAsyncContextManager[None]:
        """Only one process at a time starts or stops the pod."""
        return locked(self.folder / "lock", what)

    def read(self) -> State:
        """The recorded state; without a readable record, stopped.

        Raises ProviderUnavailable when the record is damaged while a server lives: it writes it anew within seconds.
        """
        if (state := self.recorded()) is not None:
            return state
        server = self.server()
        if server is not None and server.alive:
            raise ProviderUnavailable(
                f"The embedded pod runs, but its record {self._state} is damaged.",
                "Try again in a few seconds: the pod writes it anew.",
            )
        return State("stopped", why="its record was damaged" if self._state.exists() else None)

    def recorded(self) -> State | None:
        """The record as it stands, None when there is none or it is damaged."""
        try:
            with reading(self._state):
                return _state(json.loads(self._state.read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, ArithmeticError, RecursionError):
            return None

    def server(self) -> ProcessId | None:
        """The server by its own pid file; it may be dead."""
        try:
            pid, started = self.pid_file.read_text(errors="replace").split()
            return ProcessId(int(pid), started)
        except (OSError, ValueError):
            return None

    def write(self, state: State) -> None:
        """Record the state, atomically."""
        write_atomic(self._state, json.dumps(asdict(state)).encode())

    def wipe(self, temporary: str | None) -> None:
        """Empty the container disk. The workspace is never touched."""
        self.remove_temporary(temporary)
        remove_tree(self.container)
        self.prepare()

    def make_temporary(self) -> str:
        """A short path to container/tmp: a socket's path may have about 100 characters, and this folder lies deep."""
        import tempfile  # about 5 ms with what it loads: who only looks does not pay

        folder = tempfile.mkdtemp(prefix=_TEMPORARY, dir="/tmp" if os.path.isdir("/tmp") else None)
        os.symlink(self.container / "tmp", Path(folder) / "t")
        return folder

    def remove_temporary(self, temporary: str | None) -> None:
        """Remove what `make_temporary` made, if it is still there."""
        if temporary and Path(temporary).name.startswith(_TEMPORARY):
            remove_tree(Path(temporary))

    def trim_log(self) -> None:
        """Keep the end of the container log."""
        lines = self.log_lines()
        if len(lines) > _LOG_LINES:
            write_atomic(self.log, ("\n".join(lines[-_LOG_LINES:]) + "\n").encode())

    def log_lines(self) -> list[str]:
        """Lines of the container log of this and earlier starts."""
        try:
            return self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []

    def jobs(self) -> list[ProcessId]:
        """Processes that the agent's start records name and that still run, with their process groups."""
        found: list[ProcessId] = []
        for path in self.workspace.glob(".maxcai/runs/*/.agent/start*.json"):
            try:
                record = json.loads(path.read_bytes())
            except (OSError, ValueError):
                continue
            found += _processes(record)
        return [member for process in found for member in with_group(process)]

    def environment(self, environ: Mapping[str, str], temporary: str) -> dict[str, str]:
        """What a command on the pod sees: never a secret of this machine, see `passed_on`."""
        return {
            "LANG": "C.UTF-8",
            **passed_on(environ),
            "HOME": str(self.container / "home"),
            "TMPDIR": str(Path(temporary) / "t"),
            "SHELL": "/bin/sh",
            MARK: str(self.folder),
            STOP: str(self.stop_file),
            LOCKS: str(self.container / "locks"),
        }


def passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that the embedded pod inherits: the search path, locale and settings, nothing that looks secret.

    `XDG_CACHE_HOME` is the real user's cache, so that models are not fetched or converted again for the pod.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and not looks_secret(name, value)
    }
    kept.setdefault("PATH", os.defpath)
    home = environ.get("HOME")
    if cache := environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else None):
        kept["XDG_CACHE_HOME"] = cache
    return kept


def server_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The server's own environment, free of secrets too: its children could read it. It must find this package."""
    here = str(Path(__file__).resolve().parents[2])
    return {**passed_on(environ), "PYTHONPATH": here, "PYTHONDONTWRITEBYTECODE": "1"}


def _state(raw: Any) -> State:
    """A record whose values have the right types. Raises TypeError, ValueError or ArithmeticError."""
    state = State(**raw)
    for name, hint in get_type_hints(State).items():
        value = getattr(state, name)
        if not isinstance(value, hint) and not (isinstance(value, int) and float in get_args(hint)):
            raise TypeError(f"{name} is {value!r}")
    if state.phase not in ("running", "stopping", "stopped") or not Decimal(state.price or 0).is_finite():
        raise ValueError("no such phase or price")
    return state


def _processes(record: Any) -> list[ProcessId]:
    """The job and its supervisor as a start record names them; [] when it makes no sense."""
    pairs = (("pid", "pid_start"), ("supervisor", "supervisor_start"))
    fields = [(record.get(pid), record.get(started)) for pid, started in pairs] if isinstance(record, dict) else []
    return [ProcessId(pid, started) for pid, started in fields if isinstance(pid, int) and isinstance(started, str)]

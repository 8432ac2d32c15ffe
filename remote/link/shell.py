"""A shell on a pod for a person: this machine's own `ssh`, told to believe the one host key that was verified.

The key is noted alone in a known_hosts file of this pod session, so that the command can be used again while that
lasts. Nobody's configuration, agent or other key takes part. The embedded pod gives no terminals over SSH; its shell is
a local one, in its folder and with its environment.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from remote import identity
from remote.errors import ConfigError
from remote.files import private_dir, write_atomic

if TYPE_CHECKING:
    from remote.link.channels import SshConnection

_KEPT = 20  # known_hosts files of past sessions


class Shell(Struct, frozen=True):
    """What to start, where, and what it sees. `env` None: what this process sees."""

    argv: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str] | None = None


def shell(connection: SshConnection, state_dir: Path) -> Shell:
    """The shell of the pod behind a verified connection. Raises ConfigError where this machine has no `ssh`."""
    from remote.pods.local import NAME
    from remote.pods.sandbox import Sandbox

    pod = connection.pod
    if pod.provider == NAME:
        sandbox = Sandbox(state_dir / "pods" / NAME)
        found = sandbox.environment(os.environ, str(sandbox.container / "tmp"))
        found |= {"TERM": os.environ.get("TERM", "dumb"), "TMPDIR": str(sandbox.container / "tmp"),
                  "PS1": f"{pod.name}$ "}  # fmt: skip
        return Shell(("/bin/sh", "-i"), sandbox.container, found)
    program = shutil.which("ssh")
    if program is None:
        raise ConfigError("This machine has no `ssh` program.", "Install an OpenSSH client.")
    return Shell(ssh_command(program, connection, state_dir.absolute()))


def ssh_command(program: str, connection: SshConnection, state_dir: Path) -> tuple[str, ...]:
    """`ssh` by nobody's configuration, with our key alone, to the key that was verified and no other."""
    session, endpoint = connection.pod.session, connection.pod.endpoint
    assert session is not None  # there is a connection to it
    assert endpoint is not None
    alias = f"maxcai-{hashlib.sha256(session.key.encode()).hexdigest()[:16]}"
    known = _noted(state_dir, alias, connection.host_key)
    options = (
        f"IdentityFile={_quoted(identity.ensure(state_dir).private)}", "IdentitiesOnly=yes", "IdentityAgent=none",
        f"HostKeyAlias={alias}", f"UserKnownHostsFile={_quoted(known)}", "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "CheckHostIP=no", "ForwardAgent=no", "ForwardX11=no",
        "PasswordAuthentication=no", "KbdInteractiveAuthentication=no", "ServerAliveInterval=5",
        "ServerAliveCountMax=3", "ConnectTimeout=10",
    )  # fmt: skip
    flags = tuple(word for option in options for word in ("-o", option))
    address = ("-p", str(endpoint.port), "-l", endpoint.username, endpoint.host)
    there = f'cd {shlex.quote(connection.root)}; exec "${{SHELL:-/bin/sh}}" -l'
    return (program, "-F", "/dev/null", "-t", *flags, *address, there)


def _noted(state_dir: Path, alias: str, key: str) -> Path:
    """The session's own known_hosts file; those of the oldest other sessions go."""
    folder = private_dir(private_dir(state_dir / "ssh") / "known")
    path = folder / alias
    write_atomic(path, f"{alias} {key}\n".encode())
    for old in sorted(folder.iterdir(), key=lambda one: one.stat().st_mtime_ns)[:-_KEPT]:
        old.unlink(missing_ok=True)
    return path


def _quoted(path: Path) -> str:
    """A path as ssh's options take it: `%` begins a token there and blanks end a name. Raises ConfigError."""
    if '"' in str(path) or "\n" in str(path):
        raise ConfigError(f"ssh takes no such path: {path}.", "Use a workspace without quotes in its path.")
    return '"' + str(path).replace("%", "%%") + '"'

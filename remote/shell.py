"""A shell on a pod for a person: this machine's own `ssh`, told to believe the one host key that was verified.

The embedded pod gives no terminals over SSH; its shell is a local one, in its folder and with its environment.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from remote import identity
from remote.errors import ConfigError

if TYPE_CHECKING:
    from remote.channels import SshConnection


@dataclass(frozen=True, slots=True)
class Shell:
    """What to start, where, and what it sees. `env` None: what this process sees."""

    argv: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str] | None = None


@contextmanager
def shell(connection: SshConnection, state_dir: Path) -> Iterator[Shell]:
    """The shell of the pod behind a verified connection; its files are gone at the end of the context.

    Raises ConfigError where this machine has no `ssh`.
    """
    from remote.pods.local import NAME
    from remote.pods.sandbox import Sandbox

    pod = connection.pod
    if pod.provider == NAME:
        sandbox = Sandbox(state_dir / "pods" / NAME)
        found = sandbox.environment(os.environ, str(sandbox.container / "tmp"))
        found |= {"TERM": os.environ.get("TERM", "dumb"), "TMPDIR": str(sandbox.container / "tmp"),
                  "PS1": f"{pod.name}$ "}  # fmt: skip
        yield Shell(("/bin/sh", "-i"), sandbox.container, found)
        return
    program = shutil.which("ssh")
    if program is None:
        raise ConfigError("This machine has no `ssh` program.", "Install an OpenSSH client.")
    with tempfile.TemporaryDirectory(prefix="maxcai-ssh-") as folder:
        yield Shell(ssh_command(program, connection, identity.ensure(state_dir).private, Path(folder)))


def ssh_command(program: str, connection: SshConnection, private: Path, folder: Path) -> tuple[str, ...]:
    """`ssh` by nobody's configuration, with our key alone, to the key that was verified and no other."""
    endpoint = connection.pod.endpoint
    assert endpoint is not None  # there is a connection to it
    known = folder / "known_hosts"
    name = endpoint.host if endpoint.port == 22 else f"[{endpoint.host}]:{endpoint.port}"
    known.write_text(f"{name} {connection.host_key}\n", encoding="utf-8")
    options = (
        f"IdentityFile={private}", "IdentitiesOnly=yes", "IdentityAgent=none", f"UserKnownHostsFile={known}",
        "GlobalKnownHostsFile=/dev/null", "StrictHostKeyChecking=yes", "UpdateHostKeys=no", "CheckHostIP=no",
        "ForwardAgent=no", "ForwardX11=no", "PasswordAuthentication=no", "KbdInteractiveAuthentication=no",
        "ServerAliveInterval=5", "ServerAliveCountMax=3",
    )  # fmt: skip
    flags = tuple(word for option in options for word in ("-o", option))
    return (program, "-F", "/dev/null", *flags, "-p", str(endpoint.port), f"{endpoint.username}@{endpoint.host}")

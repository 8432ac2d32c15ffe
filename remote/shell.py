"""The command line of a person's own shell on a pod: the system's `ssh`, held to the host key that we have verified.

The key is checked as for every connection of ours, then written alone into a known_hosts file of this pod session, by
which `ssh` must recognise it. Nobody's configuration, agent or other key takes part. Running it is the caller's.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from pathlib import Path

from remote import identity
from remote.errors import ConfigError, NoEndpoint
from remote.files import private_dir, write_atomic
from remote.pods.model import Pod
from remote.pods.provider import Provider

_KEPT = 20  # known_hosts files of past sessions


async def command(pod: Pod, provider: Provider, state_dir: Path) -> list[str]:
    """The argv that opens a shell in the pod's volume. `pod` must be freshly read.

    Raises ConfigError where there is no `ssh`, and all that `remote.ssh.connect` raises.
    """
    from remote import ssh  # asyncssh: 0.3 s

    program = shutil.which("ssh")
    if program is None:
        raise ConfigError("There is no ssh program here.", "Install OpenSSH's client (Debian: openssh-client).")
    async with ssh.connect(pod, provider, state_dir) as connection:
        key, root = connection.host_key, connection.root
    session, endpoint = pod.session, pod.endpoint
    if session is None or endpoint is None:
        raise NoEndpoint(f"Pod {pod.id} is {pod.status}.", "Start the pod.")
    alias = f"maxcai-{hashlib.sha256(session.key.encode()).hexdigest()[:16]}"
    known = _noted(state_dir.absolute(), alias, key)
    private = identity.ensure(state_dir.absolute()).private
    options = {
        "HostKeyAlias": alias, "UserKnownHostsFile": _quoted(known), "GlobalKnownHostsFile": "/dev/null",
        "StrictHostKeyChecking": "yes", "UpdateHostKeys": "no", "IdentityFile": _quoted(private),
        "IdentitiesOnly": "yes", "IdentityAgent": "none", "ForwardAgent": "no", "ForwardX11": "no",
        "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no", "ServerAliveInterval": "5",
        "ServerAliveCountMax": "3", "ConnectTimeout": "10",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    there = f'cd {shlex.quote(root)}; exec "${{SHELL:-/bin/sh}}" -l'
    return [
        program,
        "-F",
        "/dev/null",
        "-t",
        *words,
        "-p",
        str(endpoint.port),
        "-l",
        endpoint.username,
        endpoint.host,
        there,
    ]


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

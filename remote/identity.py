"""Our own SSH key, one per state directory: made once, never leaving this machine, refused when others can read it."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from msgspec import Struct

from remote.errors import ConfigError
from remote.files import private_dir, sync_dir

_NAME = "id_ed25519"


class Identity(Struct, frozen=True):
    """Paths of the private key (mode 0600), and the public key as one line of authorized_keys."""

    private: Path
    public: str


def ensure(state_dir: Path) -> Identity:
    """The key pair under `state_dir`/ssh, made if there is none. Two processes at once agree on one key.

    Raises ConfigError when the directory or the file is open to others or the key is damaged. Loads asyncssh (0.3 s).
    """
    folder = private_dir(state_dir / "ssh")
    path = folder / _NAME
    _check(folder, 0o700)
    if not path.exists():
        _make(path)
    _check(path, 0o600)
    return Identity(path, _public(path))


def _check(path: Path, wanted: int) -> None:
    facts = path.stat()
    if facts.st_mode & 0o077:
        raise ConfigError(
            f"{path} is open to other users (mode {stat.S_IMODE(facts.st_mode):04o}).", f"Run: chmod {wanted:o} {path}"
        )
    if facts.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to another user.", "Run as the user who owns this workspace.")


def _make(path: Path) -> None:
    import tempfile  # about 5 ms with what it loads

    import asyncssh  # 0.3 s, needed only by who connects

    key = asyncssh.generate_private_key("ssh-ed25519", comment="maxcai")
    fd, temporary = tempfile.mkstemp(prefix=".key.", dir=path.parent)  # mode 0600
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(key.export_private_key())
            file.flush()
            os.fsync(fd)
        with contextlib.suppress(FileExistsError):  # another process was first: its key counts
            os.link(temporary, path)
    finally:
        os.unlink(temporary)
    sync_dir(path.parent)


def _public(path: Path) -> str:
    import asyncssh

    try:
        return asyncssh.read_private_key(path).export_public_key().decode().strip()
    except (OSError, asyncssh.KeyImportError) as exc:
        raise ConfigError(
            f"The SSH key {path} cannot be read: {exc}.", "Move it away; a new one is made at the next start of a pod."
        ) from None

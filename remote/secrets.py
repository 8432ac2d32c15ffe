"""Where the RunPod key comes from, and the redactor that journal lines and error texts pass. Never shows a key."""

from __future__ import annotations

import importlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remote.errors import ConfigError

KEY_NAME = "RUNPOD_API_KEY"
ENV_FILE = ".env.runpod"
SDK_FILE = Path(".runpod") / "config.toml"
"""Where RunPod's own tools keep a key, below the home directory."""
KEYRING_SERVICE, KEYRING_NAME = "maxcai", "runpod"
_HIDDEN = "[redacted]"
_MIN_VALUE = 8  # shorter values would blank out ordinary words
_TOKENS = re.compile(
    r"\brpa_[A-Za-z0-9]{16,}|\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}|\bAKIA[A-Z0-9]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|(?:^|_)KEYS?(?:_|$)|APIKEY", re.IGNORECASE)
_LINE = re.compile(r"^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that does not print itself. `source` says where it came from; `warning` is for the user, if any."""

    value: str = field(repr=False)
    source: str
    warning: str | None = None

    def __str__(self) -> str:
        return _HIDDEN


def runpod_key(workspace: Path, environ: Mapping[str, str] | None = None) -> Secret | None:
    """The API key, from the first of these that has one; None when none has.

    The environment variable, `.env.runpod` in the workspace, the system's keyring where that package is installed, and
    `~/.runpod/config.toml` of RunPod's own tools. The home directory is the one that `environ` (default: ours) names.
    A keyring that is locked or has no backend counts as empty. Raises ConfigError when a file exists and cannot be
    read.
    """
    return _search(workspace, environ)[0]


def require_runpod_key(workspace: Path, environ: Mapping[str, str] | None = None) -> Secret:
    """The API key. Raises ConfigError, with the places that were searched, when there is none."""
    secret, trouble = _search(workspace, environ)
    if secret is None:
        because = f" The keyring could not be asked: {trouble}." if trouble else ""
        raise ConfigError(
            f"No RunPod API key was found.{because}",
            f"Set {KEY_NAME}, or write {KEY_NAME}=… into {workspace / ENV_FILE} (mode 0600), or use the keyring.",
        )
    return secret


_KEYRING_SOURCE = f'keyring (service "{KEYRING_SERVICE}", name "{KEYRING_NAME}")'


def _search(workspace: Path, environ: Mapping[str, str] | None) -> tuple[Secret | None, str]:
    """The key, if any, and why the keyring could not be asked, if so."""
    environ = os.environ if environ is None else environ
    if value := environ.get(KEY_NAME, "").strip():
        return Secret(value, f"environment variable {KEY_NAME}"), ""
    if secret := _from_env_file(workspace / ENV_FILE):
        return secret, ""
    value, trouble = _from_keyring()
    if value:
        return Secret(value, _KEYRING_SOURCE), ""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    return _from_sdk_file(Path(home) / SDK_FILE) if home else None, trouble


def _from_env_file(path: Path) -> Secret | None:
    text, warning = _read(path, f"Make it a text file with a line {KEY_NAME}=…")
    value = parse_env(text).get(KEY_NAME, "")
    return Secret(value, str(path), warning) if value else None


def _from_sdk_file(path: Path) -> Secret | None:
    remedy = f"Mend it or move it away, or set {KEY_NAME}."
    text, warning = _read(path, remedy)
    import tomllib  # about 3 ms: only where the SDK's file is there

    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        tables = None
    if tables is None:  # raised here, not above: the parser's error holds the text
        raise ConfigError(f"{path} cannot be read: it is no valid TOML.", remedy)
    profile = tables.get("default")
    value = profile.get("api_key") if isinstance(profile, dict) else None
    return Secret(value.strip(), str(path), warning) if isinstance(value, str) and value.strip() else None


def _read(path: Path, remedy: str) -> tuple[str, str | None]:
    """The text of a file with a key ("" where there is none), and a warning if others may read it."""
    try:
        text, mode = path.read_bytes(), stat.S_IMODE(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return "", None
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}.", remedy) from None
    warning = f"{path} is readable by others (mode {mode:04o}); run: chmod 600 {path}" if mode & 0o077 else None
    decoded = text.decode("utf-8", errors="replace")
    if "\ufffd" in decoded:
        raise ConfigError(f"{path} cannot be read: it is no UTF-8 text.", remedy)
    return decoded, warning


def _from_keyring() -> tuple[str, str]:
    """The key in the keyring or "", and why it could not be asked or "". A missing package is no trouble."""
    keyring, trouble = _keyring()
    if keyring is None:
        return "", "" if trouble == _NO_KEYRING else trouble
    try:
        value = keyring.get_password(KEYRING_SERVICE, KEYRING_NAME)
    except Exception as exc:  # locked, no backend, no D-Bus: each backend has errors of its own
        return "", type(exc).__name__
    return (value.strip() if isinstance(value, str) else ""), ""


_NO_KEYRING = "the package keyring is not installed"


def _keyring() -> tuple[Any, str]:
    """The module, or None and why not. It is optional and slow to load, hence here."""
    try:
        return importlib.import_module("keyring"), ""
    except ImportError:
        return None, _NO_KEYRING
    except Exception as exc:  # a backend that fails while it is loaded
        return None, type(exc).__name__


def parse_env(text: str) -> dict[str, str]:
    """KEY=VALUE lines, with `#` comments, optional `export` and optional quotes. Nothing is expanded or executed."""
    values: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if not match:
            continue
        name, value = match.groups()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        else:
            value = re.split(r"\s#", value, maxsplit=1)[0].rstrip()
        values[name] = value
    return values


def looks_secret(name: str, value: str) -> bool:
    """Whether an environment variable is not to be handed on, by its name or by the form of its value."""
    return bool(_SECRET_NAME.search(name) or _TOKENS.search(value))


class Redactor:
    """Replaces secrets in text: the exact values it was given (8 characters or more) and known token forms."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values = sorted({v for v in values if len(v) >= _MIN_VALUE}, key=len, reverse=True)

    def __call__(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, _HIDDEN)
        return _TOKENS.sub(_HIDDEN, text)

    def masked(self, text: str, piece: int) -> str:
        """The text at its own length, with `•` for token forms and for every `piece` or more characters in a row of a
        value that was given."""
        hidden = [False] * len(text)
        for match in _TOKENS.finditer(text):
            hidden[match.start() : match.end()] = [True] * len(match[0])
        for value in self._values:
            for part in {value[i : i + piece] for i in range(max(1, len(value) - piece + 1))}:
                at = text.find(part)
                while at >= 0:
                    hidden[at : at + len(part)] = [True] * len(part)
                    at = text.find(part, at + 1)
        return "".join("•" if covered else char for char, covered in zip(text, hidden, strict=True))

    def tree(self, value: Any) -> Any:
        """The same for every string, key or value, inside dictionaries and lists."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {self(str(key)): self.tree(item) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.tree(item) for item in value]
        return value


def from_environment(environ: Mapping[str, str] | None = None) -> Redactor:
    """A redactor that knows the values of every secret-looking variable of the environment."""
    environ = os.environ if environ is None else environ
    return Redactor(value for name, value in environ.items() if looks_secret(name, value))

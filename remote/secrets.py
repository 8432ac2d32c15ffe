"""Where the RunPod key comes from, and the redactor that journal lines and error texts pass. Never shows a key."""

from __future__ import annotations

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
    """The API key: the environment first, then `.env.runpod` in the workspace; None when neither has one.

    Raises ConfigError when the file exists and cannot be read.
    """
    environ = os.environ if environ is None else environ
    if value := environ.get(KEY_NAME, "").strip():
        return Secret(value, f"environment variable {KEY_NAME}")
    path = workspace / ENV_FILE
    try:
        text = path.read_text(encoding="utf-8")
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} cannot be read: {exc}.", f"Make it a text file with a line {KEY_NAME}=…") from None
    value = parse_env(text).get(KEY_NAME, "")
    if not value:
        return None
    warning = f"{path} is readable by others (mode {mode:04o}); run: chmod 600 {path}" if mode & 0o077 else None
    return Secret(value, str(path), warning)


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

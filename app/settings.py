"""Settings: maxcai.toml < environment MAXCAI_* < flags. Credentials are not settings and are refused here.

Loading reads one file and the environment given; it writes nothing.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.errors import SettingsError

FILE = "maxcai.toml"
PREFIX = "MAXCAI_"


class Settings(BaseModel):
    """What a person may set. Every field has its one default here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str = Field(default="local", min_length=1)  # where pods come from
    recipe: str = Field(default="demo", min_length=1)  # what `run start` runs when no recipe is named
    budget_usd: Decimal | None = Field(default=None, ge=0)  # shown against the cost; None = no budget
    stop_after_run: bool = False  # stop the pod once a followed run is over and home
    state_dir: str = Field(default=".maxcai", min_length=1)  # journal, ledger, spools, embedded pod; git-ignored
    runs_dir: str = Field(default="runs", min_length=1)  # pulled results
    keys: dict[str, str] = Field(default_factory=dict)  # action id -> key


_CREDENTIAL_NAME = re.compile(r"(api[_-]?key|token|secret|password|passphrase|credential)", re.IGNORECASE)
_CREDENTIAL_VALUE = re.compile(r"^(rpa_|hf_|sk-|AKIA)\w{8,}|PRIVATE KEY")


def load(root: Path, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings of the workspace at `root`.

    Raises SettingsError naming the file (or variable), the key and the nearest valid name.
    """
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name, value in _read_toml(root / FILE).items():
        values[name], origin[name] = value, str(root / FILE)
    for name, value in _read_environment(environ):
        values[name], origin[name] = value, PREFIX + name.upper()
    for name, value in (flags or {}).items():
        if value is not None:
            values[name], origin[name] = value, f"--{name.replace('_', '-')}"
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise _explained(error, origin, root / FILE) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not readable as TOML: {error}", "Mend that line or delete the file.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}", "Check the file's permissions and encoding.") from None
    _refuse_credentials(path, raw, "")
    return raw


def _refuse_credentials(path: Path, table: Mapping[str, Any], within: str) -> None:
    for name, value in table.items():
        if isinstance(value, Mapping):
            _refuse_credentials(path, value, f"{within}{name}.")
        elif _CREDENTIAL_NAME.search(name) or (isinstance(value, str) and _CREDENTIAL_VALUE.search(value)):
            raise SettingsError(
                f"{path}: {within}{name} looks like a credential, and credentials are never read from this file",
                "Remove it here and put RUNPOD_API_KEY into the environment or into .env.runpod (mode 600).",
            )


def _read_environment(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Settings from variables. A variable that is nearly a setting is a typing error that could cost money."""
    names = {PREFIX + name.upper(): name for name in Settings.model_fields if name != "keys"}
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not value:
            continue
        if variable in names:
            yield names[variable], value
            continue
        near = difflib.get_close_matches(variable, names, n=1, cutoff=0.85)
        if near:
            raise SettingsError(f"environment variable {variable} is unknown", f"Did you mean {near[0]}?")


def _explained(error: ValidationError, origin: Mapping[str, str], path: Path) -> SettingsError:
    first = error.errors()[0]
    key = ".".join(str(part) for part in first["loc"])
    where = origin.get(str(first["loc"][0]), str(path)) if first["loc"] else str(path)
    if first["type"] != "extra_forbidden":
        return SettingsError(f"{where}: {key}: {first['msg'].lower()}, got {first['input']!r}", "Correct the value.")
    near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.4)
    known = ", ".join(Settings.model_fields)
    return SettingsError(f"{where}: unknown key {key}", f"Did you mean {near[0]}?" if near else f"Known keys: {known}.")

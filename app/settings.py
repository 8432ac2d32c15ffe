"""Settings: maxcai.toml < environment MAXCAI_* < flags. Credentials are not settings and are refused here.

Loading reads one file and the environment given; it writes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import field

from app.errors import SettingsError, nearest
from app.sections import SECTIONS, Budget, Guard, Name, Reviews, RunPod, Section, Setup, told

FILE = "maxcai.toml"
PREFIX = "MAXCAI_"
NOT_SETTINGS = frozenset({"MAXCAI_RUNPOD_URL", "MAXCAI_RUN_DIR", "MAXCAI_RUN_ID"})
"""Variables of the house that are no settings and look much like one."""


class Settings(Section, frozen=True):
    """What a person may set. Every field has its one default here or in `app.sections`."""

    provider: Name = "local"  # where pods come from
    recipe: Name = "demo"  # what `run start` runs when no recipe is named
    budget_usd: Decimal | None = None  # shown against the cost; None = no budget
    stop_after_run: bool = False  # stop the pod once a followed run is over and home
    state_dir: Name = ".maxcai"  # journal, ledger, spools, embedded pod; git-ignored
    runs_dir: Name = "runs"  # pulled results
    notify: Literal["auto", "osc9", "osc777", "osc99", "bell", "off"] = "auto"  # when the terminal is not in front
    keys: dict[str, str] = field(default_factory=dict)  # action id -> key
    runpod: RunPod = field(default_factory=RunPod)  # what is rented
    setup: Setup = field(default_factory=Setup)  # how a rented pod is made ready
    guard: Guard = field(default_factory=Guard)  # when a rented pod is stopped
    budget: Budget = field(default_factory=Budget)  # what may be spent
    reviews: Reviews = field(default_factory=Reviews)  # what must have been reviewed before it runs


_CREDENTIAL_NAME = re.compile(r"(api[_-]?key|token|secret|password|passphrase|credential)", re.IGNORECASE)
_CREDENTIAL_VALUE = re.compile(r"^(rpa_|hf_|sk-|AKIA)\w{8,}|PRIVATE KEY")


def load(root: Path, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Settings:
    """Settings of the workspace at `root`.

    Raises SettingsError naming the file (or variable), the key and the nearest valid name.
    """
    return _loaded(root, environ, flags)[0]


def effective(
    root: Path, environ: Mapping[str, str], flags: Mapping[str, Any] | None = None
) -> list[tuple[str, Any, str]]:
    """Every setting as (key, value, where it comes from); a section's keys are written `guard.idle_minutes`.

    Raises SettingsError as `load` does.
    """
    settings, origin = _loaded(root, environ, flags)
    found = []
    for name, value in msgspec.to_builtins(settings).items():
        inner = (
            {name: value} if name not in SECTIONS and name != "keys" else {f"{name}.{k}": v for k, v in value.items()}
        )
        for key, one in inner.items():
            given = origin.get(key) or (origin.get(name) if key.partition(".")[2] in _written(root, name) else None)
            found.append((key, one, given or "default"))
    return found


def _written(root: Path, section: str) -> frozenset[str]:
    """Keys of a section that the file itself has."""
    table = _read_toml(root / FILE).get(section)
    return frozenset(table) if isinstance(table, Mapping) else frozenset()


def _loaded(root: Path, environ: Mapping[str, str], flags: Mapping[str, Any] | None) -> tuple[Settings, dict[str, str]]:
    """The settings, and by key where each that is not a default comes from."""
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for name, value in _read_toml(root / FILE).items():
        values[name], origin[name] = value, str(root / FILE)
    for path, value in _read_environment(environ):
        _put(values, path, value)
        origin[".".join(path)] = PREFIX + "_".join(path).upper()
    for name, value in (flags or {}).items():
        if value is not None:
            values[name], origin[name] = value, f"--{name.replace('_', '-')}"
    _refuse_unknown(values, (), origin, root / FILE)
    try:
        settings = msgspec.convert(_as_typed(values), Settings, strict=False)
    except msgspec.ValidationError as error:
        raise _explained(error, values, origin, root / FILE) from None
    _refuse_amounts(settings, (), origin, root / FILE)
    return settings, origin


def _as_typed(values: Mapping[str, Any], kind: type[Section] = Settings) -> dict[str, Any]:
    """Values as their fields' types have them."""
    found = {}
    for name, value in values.items():
        inner = SECTIONS.get(name) if kind is Settings else None
        found[name] = _as_typed(value, inner) if inner and isinstance(value, Mapping) else told(kind, name, value)
    return found


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}", "Check the file's permissions and encoding.") from None
    import tomllib  # about 3 ms: a folder without the file does not pay

    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not readable as TOML: {error}", "Mend that line or delete the file.") from None
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


def _put(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set a value, in its section where it has one; what the file says beside it stays."""
    *sections, name = path
    for section in sections:
        inner = values.get(section)
        values[section] = values = dict(inner) if isinstance(inner, Mapping) else {}
    values[name] = value


def _variables() -> dict[str, tuple[str, ...]]:
    """Every setting by the name of its environment variable."""
    plain = [(name,) for name in Settings.__struct_fields__ if name != "keys" and name not in SECTIONS]
    within = [(section, name) for section, kind in SECTIONS.items() for name in kind.__struct_fields__]
    return {PREFIX + "_".join(path).upper(): path for path in (*plain, *within)}


def _read_environment(environ: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Settings from variables. A variable that is nearly a setting is a typing error that could cost money."""
    names = _variables()
    for variable, value in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not value or variable in NOT_SETTINGS:
            continue
        if variable in names:
            yield names[variable], value
            continue
        near = nearest(variable, names, 0.85)
        if near:
            raise SettingsError(f"environment variable {variable} is unknown", f"Did you mean {near}?")


def _refuse_unknown(values: Mapping[str, Any], path: tuple[str, ...], origin: Mapping[str, str], file: Path) -> None:
    fields = (SECTIONS[path[0]] if path else Settings).__struct_fields__
    for name, value in values.items():
        if name in SECTIONS and not path and isinstance(value, Mapping):
            _refuse_unknown(value, (name,), origin, file)
        elif name not in fields:
            near = nearest(name, fields, 0.4)
            inside = "".join(f"{part}." for part in path)
            remedy = f"Did you mean {inside}{near}?" if near else f"Known keys: {', '.join(fields)}."
            raise SettingsError(f"{_where((*path, name), origin, file)}: unknown key {inside}{name}", remedy)


def _refuse_amounts(section: Section, path: tuple[str, ...], origin: Mapping[str, str], file: Path) -> None:
    """Dollars are decimals, whose type knows no bounds."""
    for name in section.__struct_fields__:
        value, here = getattr(section, name), (*path, name)
        if isinstance(value, Section):
            _refuse_amounts(value, here, origin, file)
        elif isinstance(value, Decimal) and not (value.is_finite() and value >= 0):
            key = ".".join(here)
            raise SettingsError(f"{_where(here, origin, file)}: {key}: expected dollars, got {value}", "Correct it.")


def _explained(
    error: msgspec.ValidationError, values: Mapping[str, Any], origin: Mapping[str, str], file: Path
) -> SettingsError:
    said, _, place = str(error).partition(" - at `$.")
    key = place.rstrip("`")
    path = tuple(re.split(r"[.\[]", key))
    given: Any = values
    for part in path:
        given = given.get(part) if isinstance(given, Mapping) else given
    said = said.replace("`", "").replace("object", "table").partition(" '")[0]
    kind = SECTIONS[path[0]] if path[0] in SECTIONS and len(path) > 1 else Settings
    known = get_args(get_type_hints(kind).get(path[-1]))
    remedy = f"Known: {', '.join(known)}." if all(isinstance(word, str) for word in known) and known else "Correct it."
    return SettingsError(f"{_where(path, origin, file)}: {key}: {said[:1].lower()}{said[1:]}, got {given!r}", remedy)


def _where(path: tuple[str, ...], origin: Mapping[str, str], file: Path) -> str:
    """The file, variable or flag that a setting comes from."""
    names = (".".join(path[:n]) for n in range(len(path), 0, -1))
    return next((origin[name] for name in names if name in origin), str(file))

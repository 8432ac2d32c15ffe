"""Providers by name. A new one is one module and one line here; nothing is imported until it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from remote.errors import ConfigError
from remote.pods.provider import Provider

Clock = Callable[[], float]


def provider(name: str, state_dir: Path, clock: Clock) -> Provider:
    """The provider called `name`, keeping its state below `state_dir`. `clock` gives unix seconds.

    Raises ConfigError for a name that is unknown or not built in.
    """
    make = _PROVIDERS.get(name)
    if make is None:
        raise ConfigError(f'There is no provider "{name}".', f"Known providers: {', '.join(_PROVIDERS)}.")
    return make(state_dir, clock)


def names() -> list[str]:
    """Every declared provider."""
    return list(_PROVIDERS)


def _local(state_dir: Path, clock: Clock) -> Provider:
    from remote.pods.local import LocalProvider

    return LocalProvider(state_dir, clock)


def _runpod(_state_dir: Path, _clock: Clock) -> Provider:
    raise ConfigError("RunPod support is not built in yet.", 'Use the embedded pod: provider = "local".')


_PROVIDERS: dict[str, Callable[[Path, Clock], Provider]] = {
    "local": _local,
    "runpod": _runpod,
}

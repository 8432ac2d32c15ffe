"""Providers by name. A new one is one module and one line here; nothing is imported until it is asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from remote.errors import ConfigError
from remote.pods.provider import Provider

Clock = Callable[[], float]
TRANSPORT = "MAXCAI_RUNPOD_TRANSPORT"
"""Environment variable that chooses how RunPod is spoken to: "v2" (the default) or "sdk"."""


def provider(name: str, state_dir: Path, clock: Clock, environ: Mapping[str, str] | None = None) -> Provider:
    """The provider called `name`, keeping its state below `state_dir`, the `.maxcai` of a workspace.

    `clock` gives unix seconds; `environ` (default: ours) may hold keys and addresses. Raises ConfigError for a name
    that is unknown.
    """
    make = _PROVIDERS.get(name)
    if make is None:
        raise ConfigError(f'There is no provider "{name}".', f"Known providers: {', '.join(_PROVIDERS)}.")
    return make(state_dir, clock, os.environ if environ is None else environ)


def names() -> list[str]:
    """Every declared provider."""
    return list(_PROVIDERS)


def _local(state_dir: Path, clock: Clock, environ: Mapping[str, str]) -> Provider:
    from remote.pods.local import LocalProvider

    return LocalProvider(state_dir, clock, environ)


def _runpod(state_dir: Path, clock: Clock, environ: Mapping[str, str]) -> Provider:
    transport = environ.get(TRANSPORT, "v2").strip().lower()
    if transport == "sdk":
        from remote.pods.runpod.sdk import SdkProvider

        return SdkProvider(state_dir, clock, environ)
    if transport != "v2":
        raise ConfigError(f'{TRANSPORT} is "{transport}".', 'It is "v2" or "sdk".')
    from remote.pods.runpod.provider import RunPodProvider

    return RunPodProvider(state_dir, clock, environ)


_PROVIDERS: dict[str, Callable[[Path, Clock, Mapping[str, str]], Provider]] = {
    "local": _local,
    "runpod": _runpod,
}

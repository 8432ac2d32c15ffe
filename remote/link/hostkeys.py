"""Host key pins: which keys a pod session's SSH server may show, read from the pod's container log.

A pin belongs to a pod session (pod and start time), never to an address: addresses are reused by strangers' pods.
Where the log shows no keys, and the user has agreed to it once for that pod, the key that is met first is pinned for
the session, and stays marked as unverified until the log shows it. Nothing here talks SSH; `ssh` compares the key it is
shown with what this module returns.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from msgspec import Struct

from remote.errors import ConfigError, HostKeyMismatch, HostKeyUnverified
from remote.files import locked, reading, write_atomic
from remote.pods.model import Pod, PodSession
from remote.pods.provider import Capability, Provider

_HEADER = "SSH host keys:"
_KEY_LINE = re.compile(r"Key: \S+\.pub")
_FINGERPRINT = re.compile(r"\d+ (SHA256:[A-Za-z0-9+/]{43})=? .*\(([A-Z0-9-]+)\)")
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?Z?\s+(.*)")
_SLACK_S = 5.0  # clocks of provider and container may differ by this much
_KEPT = 200  # pod sessions remembered
_UNVERIFIED, _AGREED = " unverified", " agreed"  # what the names of such rows end with
_POLL_S = 1.0
_ALGORITHMS = {
    "ED25519": ("ssh-ed25519",),
    "ECDSA": ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    "RSA": ("rsa-sha2-512", "rsa-sha2-256"),
}


class HostKey(Struct, frozen=True, order=True):
    """One pinned key: `SHA256:…` and its kind as ssh-keygen names it ("ED25519")."""

    fingerprint: str
    kind: str


class Pins(Struct, frozen=True):
    """The keys a session may show. Not `verified`: met first, not read from the log. No `keys`: the first one met."""

    keys: tuple[HostKey, ...]
    verified: bool


def algorithms(pins: Sequence[HostKey]) -> list[str]:
    """The SSH signature algorithms of the pinned keys, ed25519 first: only these are offered to the server."""
    kinds = {pin.kind for pin in pins}
    return [name for kind, names in _ALGORITHMS.items() if kind in kinds for name in names]


def parse(lines: Sequence[str], not_before: float | None = None) -> tuple[HostKey, ...]:
    """The keys of the last `SSH host keys:` block of a container log; () when there is none or it is not complete.

    `not_before` (unix seconds) rejects blocks of earlier starts, where lines begin with an ISO time. A block is
    complete when each of its `Key:` lines is followed by the line with the fingerprint.
    """
    stamped = [_split_time(line) for line in lines]
    heads = [index for index, (_, text) in enumerate(stamped) if text == _HEADER]
    if not heads:
        return ()
    head = heads[-1]  # an unfinished last block is waited for: an earlier one belongs to an earlier start
    at = stamped[head][0]
    if at is not None and not_before is not None and at < not_before:
        return ()
    return _block([text for _, text in stamped[head + 1 :]])


def _block(texts: Sequence[str]) -> tuple[HostKey, ...]:
    keys: list[HostKey] = []
    for name, print_line in zip(texts[::2], texts[1::2], strict=False):
        if not _KEY_LINE.fullmatch(name):
            break
        match = _FINGERPRINT.fullmatch(print_line)
        if match is None:
            return ()
        keys.append(HostKey(*match.groups()))
    torn = len(texts) == 2 * len(keys) + 1 and _KEY_LINE.fullmatch(texts[-1])
    return () if torn else tuple(sorted(keys))


def _split_time(line: str) -> tuple[float | None, str]:
    match = _TIME.fullmatch(line.strip())
    if match is None:
        return None, line.strip()
    stamp, fraction, text = match.groups()
    try:
        at = datetime.fromisoformat(f"{stamp}+00:00").timestamp()
    except ValueError:
        return None, line.strip()
    return at + float(f"0.{fraction or 0}"), text


class PinStore:
    """`pins.json` of a state directory: pod session → pinned keys. Written atomically, mode 0600."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "pins.json"
        self._lock = state_dir / "pins.lock"

    def get(self, session: PodSession) -> tuple[HostKey, ...]:
        """The keys of the log pinned for this session; () when it has none. Raises ConfigError: the file is damaged."""
        return self._keys(session.key)

    def met(self, session: PodSession) -> tuple[HostKey, ...]:
        """The key that this session's server showed first, trusted without the log; () when there is none."""
        return self._keys(session.key + _UNVERIFIED)

    def agreed(self, pod_id: str) -> bool:
        """Whether the user has agreed to trust this pod's first key where its log shows none."""
        return bool(self._read().get(pod_id + _AGREED))

    def _keys(self, name: str) -> tuple[HostKey, ...]:
        return tuple(HostKey(fingerprint, kind) for fingerprint, kind in self._read().get(name, []))

    async def put(self, session: PodSession, keys: Sequence[HostKey]) -> None:
        """Pin `keys`, which the log shows. Raises HostKeyMismatch when this very session has shown another."""
        met = self.met(session)
        if met and not set(met) <= set(keys):
            raise mismatch(session.pod_id, "its log shows other keys than the one that was trusted without it")
        await self._pin(session.key, keys, session.pod_id, "its log now shows other keys than those pinned before")

    async def put_met(self, session: PodSession, key: HostKey) -> None:
        """Pin the key that this session's server showed first. Raises HostKeyMismatch when it showed another before."""
        await self._pin(session.key + _UNVERIFIED, [key], session.pod_id, "it showed another key before")

    async def agree(self, pod_id: str) -> None:
        """Note that the user trusts this pod's first key where its log shows none."""
        await self._pin(pod_id + _AGREED, [HostKey("agreed", "")], pod_id, "")

    async def _pin(self, name: str, keys: Sequence[HostKey], pod_id: str, otherwise: str) -> None:
        async with locked(self._lock, "writing host key pins"):
            pins = self._read()
            wanted = [[key.fingerprint, key.kind] for key in sorted(keys)]
            before = pins.pop(name, wanted)
            if before != wanted:
                raise mismatch(pod_id, otherwise)
            pins[name] = wanted
            kept = dict(list(pins.items())[-_KEPT:])
            write_atomic(self._path, json.dumps(kept, indent=1).encode())

    def _read(self) -> dict[str, list[list[str]]]:
        try:
            with reading(self._path):
                pins = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError):
            pins = None
        if not isinstance(pins, dict) or not all(_are_pins(keys) for keys in pins.values()):
            raise ConfigError(
                f"The host key pins in {self._path} are damaged.",
                "Delete the file; running pods are pinned afresh from their logs.",
            )
        return pins


def _are_pins(keys: object) -> bool:
    return isinstance(keys, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(word, str) for word in pair) for pair in keys
    )


def mismatch(pod_id: str, cause: str) -> HostKeyMismatch:
    """The error for a key that is not the pinned one."""
    return HostKeyMismatch(
        f"The SSH host key of pod {pod_id} is not trusted: {cause}. Nothing was sent to it.",
        "Another machine may answer at its address. Refresh the pod's state; if it stays so, stop and start the pod.",
    )


async def pins_for(
    pod: Pod,
    provider: Provider,
    store: PinStore,
    wait_s: float = 60.0,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    accept_unverified: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Pins:
    """The pins of the pod's present session: those stored, else those its container log prints within `wait_s` seconds.

    With `accept_unverified`, which is remembered for the pod, a session whose log shows no keys gets the key it showed
    first, or will show; such a pod's log is looked at once and not waited for. `clock` gives seconds that only grow.
    Raises HostKeyUnverified when the log shows no keys for this start, HostKeyMismatch when it contradicts the store.
    """
    session = pod.session
    if session is None:
        raise HostKeyUnverified(f"Pod {pod.id} was never started, so it has no host key.", "Start the pod first.")
    if stored := store.get(session):
        return Pins(stored, verified=True)
    if accept_unverified and not store.agreed(pod.id):
        await store.agree(pod.id)
    agreed = accept_unverified or store.agreed(pod.id)
    end = clock() + wait_s
    while True:
        if keys := parse(await _log(pod, provider), session.started_at - _SLACK_S):
            await store.put(session, keys)
            return Pins(keys, verified=True)
        if agreed:
            return Pins(store.met(session), verified=False)
        if clock() + _POLL_S > end:
            break
        await sleep(_POLL_S)
    raise HostKeyUnverified(
        f"The log of pod {pod.id} shows no SSH host keys for its present start, so its identity cannot be checked.",
        "Wait until the pod has booted, or use an image that prints its host keys as the official ones do. To trust "
        "the key that it shows first, without proof, agree to that for this pod.",
    )


async def _log(pod: Pod, provider: Provider) -> list[str]:
    """The container's log; of a provider that has none, no lines."""
    return list(await provider.logs(pod.id)) if Capability.LOGS in provider.capabilities else []

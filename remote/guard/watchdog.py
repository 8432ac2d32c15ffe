"""The laptop's side of a pod's own watchdog: arm it, renew its lease, disarm it, and say what it is worth.

The watchdog itself is `remote.agent.watchdog` and runs on the pod. "Armed" is never assumed: GREEN needs that the pod
was seen to reach its own switch and that a stop by this way is known to have worked, AMBER the first alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from remote.agent.client import Agent
from remote.errors import AgentFailed, NotArmed, VolumelessStop
from remote.files import private_dir, reading, write_atomic
from remote.pods.model import VolumeKind

_SILENT_TICKS, _SILENT_S = 6.0, 180.0  # a watchdog that asks a hanging driver and volume takes this long for a round
_REMEMBERED = "watchdog.json"
_GIB = 1 << 30
_TOOLS = ("runpodctl", "runpodctl-old")  # they use the key that was seen to work


class AfterExit(StrEnum):
    """What happens once the jobs have ended and the time to pull is over."""

    STOP = "stop"
    KEEP = "keep"


class Policy(Struct, frozen=True):
    """When a pod stops itself; None means no such rule. At least one rule must be able to stop it.

    `max_hours` counts from the arming, less `elapsed_s` seconds that the pod session had run by then. `idle_minutes`:
    no GPU at 5 % or more, nothing appended to any run's events and logs, and no SSH connection for so long.
    `after_exit` STOP: `pull_grace_minutes` after the last job (of `runs`, if any are named) has ended. `lease_minutes`:
    so long without `renew`. `budget_usd` is what this session may cost at `price_per_hour` (USD/hour). Before a stop,
    running jobs are asked to save and have `publish_minutes` for it. Less than `min_free_gb` GiB free is reported, and
    stops nothing. `tick_s` is the time between two looks, in seconds.
    """

    max_hours: float | None = None
    idle_minutes: float | None = None
    after_exit: AfterExit = AfterExit.KEEP
    pull_grace_minutes: float = 20.0
    lease_minutes: float | None = None
    min_free_gb: float | None = None
    budget_usd: Decimal | None = None
    price_per_hour: Decimal | None = None
    publish_minutes: float = 10.0
    elapsed_s: float = 0.0
    runs: tuple[str, ...] = ()
    tick_s: float = 10.0

    def request(self) -> dict[str, Any]:
        """As the agent takes it."""
        plain = {name: float(value) if isinstance(value, Decimal) else value for name, value in asdict(self).items()}
        return {**plain, "after_exit": str(self.after_exit), "runs": list(self.runs)}


class Level(StrEnum):
    """What an arming is worth."""

    GREEN = "green"  # it can reach its switch, and a stop by this way has worked before
    AMBER = "amber"  # it can reach its switch; whether a stop works was never seen
    RED = "red"  # do not rely on it


class Rule(Struct, frozen=True):
    """One rule in force: "max_hours", "budget", "lease", "idle" or "after_exit", and when it stops the pod, seconds."""

    name: str
    left_s: float


class Report(Struct, frozen=True):
    """What the pod said of its watchdog. Ages and times left are in seconds at the moment of the answer.

    `armed`: there is a policy of this pod's present life; `running`: its process holds its lock; `reason` is one
    sentence that explains the level. `rules` are in the order in which they would stop the pod. `phase` is "watching",
    "publishing" or "stopping", `fired` the rule that began the latter two. `tries` and `last` tell of attempts to stop.
    `gpu` is the busiest card's use in percent, `ssh` the number of connections, `alive` of living jobs; unknown is
    None. `low_disk` names the disks with less than the policy's `min_free_gb`. `proven` are ways that have worked.
    """

    level: Level
    reason: str
    armed: bool
    running: bool
    rules: tuple[Rule, ...] = ()
    phase: str | None = None
    fired: str | None = None
    tries: int = 0
    last: Mapping[str, Any] | None = None
    idle_s: float | None = None
    gpu: float | None = None
    ssh: int | None = None
    alive: int | None = None
    beat_age_s: float | None = None
    low_disk: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    proven: tuple[str, ...] = ()
    policy: Mapping[str, Any] | None = None

    @property
    def first(self) -> Rule | None:
        """The rule that would stop the pod soonest, as things are now."""
        return self.rules[0] if self.rules else None

    def until(self, now: float) -> float | None:
        """When the soonest rule stops the pod, unix seconds, for an answer that came at `now`."""
        return None if self.first is None else now + max(0.0, self.first.left_s)

    def require_armed(self) -> Report:
        """Itself. Raises NotArmed when it is RED."""
        if self.level is Level.RED:
            raise NotArmed(
                f"Automatic stop is not armed: {self.reason}.", "Arm it again, or stop the pod yourself when you leave."
            )
        return self


async def arm(
    agent: Agent, policy: Policy, volume: VolumeKind | None, accept_loss: bool = False, proven: Iterable[str] = ()
) -> Report:
    """Start the watchdog under `policy`, in place of one that runs, and learn whether it can reach its switch.

    `volume` is what of the pod survives a stop: without any, or when that is not known, the stop would destroy data
    and only `accept_loss` arms it; else VolumelessStop is raised. `proven` are ways that have worked on this account.
    Raises JobError for a policy without a rule, and AgentError or SshError.
    """
    if volume in (None, VolumeKind.NONE) and not accept_loss:
        known = "has no volume" if volume is VolumeKind.NONE else "may have no volume: its provider does not tell"
        raise VolumelessStop(
            f"This pod {known}, so an automatic stop could destroy its data.", "Pull first, or say that you accept it."
        )
    raw = await agent.call("watchdog", {"do": "arm", "policy": policy.request()}, deadline_s=180.0)
    return _read(raw, proven)


async def renew(agent: Agent, proven: Iterable[str] = ()) -> Report:
    """Extend the lease from now on."""
    return await _ask(agent, "renew", proven)


async def disarm(agent: Agent, proven: Iterable[str] = ()) -> Report:
    """End the watchdog. Jobs that it has already asked to end, end."""
    return await _ask(agent, "disarm", proven)


async def report(agent: Agent, proven: Iterable[str] = ()) -> Report:
    """What the watchdog does now."""
    return await _ask(agent, "report", proven)


async def _ask(agent: Agent, what: str, proven: Iterable[str]) -> Report:
    return _read(await agent.call("watchdog", {"do": what}, deadline_s=180.0), proven)


def _read(raw: Mapping[str, Any], proven: Iterable[str]) -> Report:
    try:
        return understood(raw["watchdog"], proven)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AgentFailed(f"The pod's answer about its watchdog makes no sense: {error!r}.") from None


def understood(raw: Mapping[str, Any], proven: Iterable[str] = ()) -> Report:
    """The pod's answer as a report. `proven` adds what is known at home to what the pod's volume remembers."""
    known = tuple(sorted({*proven, *raw.get("proven", ())}))
    if not raw["armed"]:
        return Report(Level.RED, "it was not armed since this pod started", False, False, proven=known)
    access, seen = raw.get("access") or {}, raw.get("seen") or {}
    paths = tuple(access.get("paths", ()))
    reached = {*paths, *(_TOOLS if access.get("ok") else ())}
    level, reason = _worth(raw, access, reached & set(known))
    return Report(
        level=level,
        reason=reason,
        armed=True,
        running=bool(raw["running"]),
        rules=tuple(Rule(row["rule"], float(row["left_s"])) for row in raw["rules"]),
        phase=raw.get("phase"),
        fired=raw.get("fired"),
        tries=int(raw.get("tries") or 0),
        last=raw.get("last"),
        idle_s=raw.get("idle_s"),
        gpu=seen.get("gpu"),
        ssh=seen.get("ssh"),
        alive=seen.get("alive"),
        beat_age_s=raw.get("beat_age_s"),
        low_disk=_low(raw["policy"].get("min_free_gb"), raw.get("free")),
        paths=paths,
        proven=known,
        policy=raw["policy"],
    )


def _worth(raw: Mapping[str, Any], access: Mapping[str, Any], worked: set[str]) -> tuple[Level, str]:
    age, tick = raw.get("beat_age_s"), float(raw["policy"]["tick_s"])
    if not raw["running"]:
        return Level.RED, "its process has died"
    if age is None or age > _SILENT_TICKS * tick + _SILENT_S:
        return Level.RED, f"it has given no sign of life{'' if age is None else f' for {age:.0f} s'}"
    if raw.get("trouble"):
        return Level.RED, f"it fails: {_line(raw['trouble'])}"
    if not access.get("ok"):
        return Level.RED, f"the pod cannot reach its own switch: {_line(access.get('detail'))}"
    if raw.get("phase") == "stopping" and (last := raw.get("last")) and not last.get("ok"):
        return Level.RED, f"a stop was refused (attempt {raw.get('tries')}): {_line(last.get('detail'))}"
    if worked:
        return Level.GREEN, f"a stop by {', '.join(sorted(worked))} has worked before"
    return Level.AMBER, "the pod reaches its own switch, but a stop by this way was never seen to work"


def _line(text: object) -> str:
    return "".join(char for char in str(text or "no explanation") if char.isprintable())[:300].rstrip(". ")


def _low(least: float | None, free: Mapping[str, Any] | None) -> tuple[str, ...]:
    if least is None or free is None:
        return ()
    names = {"root": "the volume", "system": "the container's disk"}
    sizes = {words: free.get(name) for name, words in names.items()}
    return tuple(words for words, size in sizes.items() if size is not None and size < least * _GIB)


def remembered(state_dir: Path, provider: str) -> tuple[str, ...]:
    """Ways by which pods of this provider's account have stopped themselves, as far as this workspace has seen."""
    try:
        with reading(state_dir / _REMEMBERED):
            known = json.loads((state_dir / _REMEMBERED).read_bytes())
        return tuple(sorted(str(name) for name in known[provider]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def remember(state_dir: Path, provider: str, report: Report) -> tuple[str, ...]:
    """Keep what a report proves, for pods that have nothing of an earlier one; returns all that is known."""
    ways = tuple(sorted({*remembered(state_dir, provider), *report.proven}))
    try:
        known = json.loads((state_dir / _REMEMBERED).read_bytes())
    except (OSError, ValueError, RecursionError):
        known = {}
    known = known if isinstance(known, dict) else {}
    if known.get(provider) != list(ways):
        private_dir(state_dir)
        write_atomic(state_dir / _REMEMBERED, json.dumps({**known, provider: list(ways)}).encode() + b"\n")
    return ways

"""Detached jobs: started exactly once per (run id, attempt), looked at, ended. What a job means is left to the caller.

Nothing here guesses. A launch whose answer was lost is asked again with the same id; `lost` and `orphaned` are states.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from msgspec import Struct

from remote.agent.client import Agent
from remote.errors import AlreadyRan, LaunchUnconfirmed, SshError

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_run_id(now: float, entropy: Callable[[int], bytes] = os.urandom) -> str:
    """A ULID (github.com/ulid/spec): 48 bits of milliseconds from `now` (unix seconds), 80 random bits; 26 characters.

    Made on the laptop, so that a launch can be repeated without the pod's help.
    """
    number = int(now * 1000) << 80 | int.from_bytes(entropy(10), "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


class JobState(StrEnum):
    """What the pod knows of an attempt.

    RUNNING: its supervisor lives. EXITED: there is an exit code. ORPHANED: the supervisor is gone, the job lives.
    LOST: both are gone and left no exit code (also after a restart of the pod). ABSENT: never started there.
    """

    ABSENT = "absent"
    RUNNING = "running"
    EXITED = "exited"
    LOST = "lost"
    ORPHANED = "orphaned"

    @property
    def alive(self) -> bool:
        return self in (JobState.RUNNING, JobState.ORPHANED)


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What to start. `attempt` counts from 1 and goes up by one with each resume of the same run.

    `cwd_tree` is the pushed tree the job starts in (None: its run directory). `env` and `secret_env` are added to the
    pod's environment; neither value is written to disk there, and `secret_env` appears in no repr. With `exclusive`
    the launch is refused while any other run lives on the pod.
    """

    run_id: str
    attempt: int
    argv: tuple[str, ...]
    cwd_tree: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    secret_env: Mapping[str, str] = field(default_factory=dict, repr=False)
    exclusive: bool = True


class JobStatus(Struct, frozen=True):
    """One attempt as the pod reports it.

    `exit_code` is negative for a signal, None unless EXITED; `started` and `finished` are the pod's unix seconds;
    `sizes` holds the bytes of the files that grow, by their path in the run directory; `activity_age_s` is how long ago
    one of them grew, to within 10 s. Unknown is None.
    """

    run_id: str
    attempt: int
    attempts: tuple[int, ...]
    state: JobState
    exit_code: int | None
    canceled: bool
    pid: int | None
    tree: str | None
    started: float | None
    finished: float | None
    heartbeat_age_s: float | None
    rss: int | None
    sizes: Mapping[str, int]
    activity_age_s: float | None = None


class Launched(Struct, frozen=True):
    """`started` is true for the one call that started the job, false for a repeated one; `status` holds either way."""

    started: bool
    status: JobStatus


def _status(raw: Mapping[str, Any]) -> JobStatus:
    plain = dict(raw)
    plain["state"] = JobState(plain["state"])
    plain["attempts"] = tuple(plain["attempts"])
    return JobStatus(**plain)


async def launch(agent: Agent, spec: LaunchSpec) -> Launched:
    """Start the job, once. Safe to call again after any failure: the same (run id, attempt) never starts twice.

    Raises Busy when another run lives there, JobError when the command cannot be executed or the attempt is out of
    order, AlreadyRan when this attempt was started with another command, LaunchUnconfirmed when the answer was lost
    (call again over a new connection with the same spec: that answers with the state of the one job).
    """
    request = {
        "run_id": spec.run_id,
        "attempt": spec.attempt,
        "argv": list(spec.argv),
        "tree": spec.cwd_tree,
        "env": dict(spec.env),
        "secrets": dict(spec.secret_env),
        "exclusive": spec.exclusive,
    }
    try:
        raw = await agent.call("launch", request, deadline_s=120.0)
    except SshError as error:
        raise LaunchUnconfirmed(
            f"The link broke while run {spec.run_id} (attempt {spec.attempt}) was being started: {error}",
            "Ask again with the same run id; it is never started twice.",
        ) from error
    if not raw["same_spec"]:
        raise AlreadyRan(
            f"Run {spec.run_id} (attempt {spec.attempt}) was started before with another command.",
            "Use the next attempt number to resume it, or a new run id.",
        )
    return Launched(bool(raw["launched"]), _status(raw["status"]))


async def status(agent: Agent, run_id: str, attempt: int | None = None) -> JobStatus:
    """The state of an attempt (None: the newest). A run that was never started is ABSENT with attempt 0."""
    request = {"run_id": run_id} if attempt is None else {"run_id": run_id, "attempt": attempt}
    return _status((await agent.call("status", request))["status"])


async def cancel(agent: Agent, run_id: str, grace_s: float = 10.0) -> JobStatus:
    """End the newest attempt: TERM to its process group, KILL to everything of it after `grace_s` seconds.

    The supervisor on the pod carries it out, so it is finished even when the link breaks. A second call with a shorter
    grace shortens the wait. Nothing happens to a run that has ended. Returns the state afterwards.
    """
    request = {"run_id": run_id, "grace_s": grace_s, "wait_s": grace_s + 15.0}
    return _status((await agent.call("cancel", request, deadline_s=grace_s + 60.0))["status"])


async def runs(agent: Agent) -> tuple[JobStatus, ...]:
    """Every run on the pod, oldest first, each with its newest attempt."""
    return tuple(_status(raw) for raw in (await agent.call("runs"))["runs"])

"""What the laptop can learn of the work on a pod: its runs by the agent, its GPUs by the provider, changes by memory.

Nothing here decides anything; a pod that cannot be asked has no activity, which is not the same as being idle.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from remote.files import write_atomic
from remote.guard.rules import Activity
from remote.pods.model import Pod, PodSession
from remote.pods.provider import Provider
from remote.renting.permits import Unpulled

if TYPE_CHECKING:
    from remote.agent.client import Agent
    from remote.jobs import JobStatus

BUSY_PERCENT = 5.0
"""GPU use from which on a pod counts as busy."""

SETUP = "setup-"
"""What run ids of set-ups begin with (`remote.setup.run.JOB`, which costs more to import)."""

CHECKPOINT_GRACE_S = 240.0
"""Seconds a run has to publish its checkpoint before it is ended."""

ENDED_S = 2.0
"""Seconds between two looks whether a run that was asked to end has ended."""


@asynccontextmanager
async def agent_of(pod: Pod, provider: Provider, state_dir: Path) -> AsyncIterator[Agent]:
    """The pod's agent over a verified connection of its own. Raises SshError and AgentError."""
    from remote.agent.client import Agent
    from remote.link import ssh  # asyncssh: 0.3 s

    async with ssh.connect(pod, provider, state_dir) as connection:
        yield Agent(connection)


async def observe(pod: Pod, agent: Agent, state_dir: Path, runs_dir: Path, now: float) -> Activity | None:
    """What is known of a running pod's work at `now` (unix seconds); None when its session is not told.

    A pod was last active when its GPUs were last seen busy, when the bytes its runs wrote last differed from before or
    when a living run's log last grew. `last_active` is None when that cannot be known. A set-up that lives is a run
    alive; one that is over is nobody's run. Shells that are open over SSH are counted by the agent.
    """
    from remote import jobs

    if pod.session is None:
        return None
    runs = await jobs.runs(agent)
    alive = sum(run.state.alive for run in runs)
    over = sum(not run.state.alive and _of_session(run, pod.session) for run in _results(runs))
    active = _remember(state_dir / "activity.json", pod, runs, now)
    return Activity(pod.session, active, alive, over, await _missing(agent, runs, runs_dir), await tell_shells(agent))


def _of_session(run: JobStatus, session: PodSession) -> bool:
    """Whether a run that is over began or ended in the pod's present session: an earlier one's end stops nothing."""
    last = max((moment for moment in (run.started, run.finished) if moment is not None), default=None)
    return last is None or last >= session.started_at


async def tell_shells(agent: Agent, say: str = "") -> int | None:
    """How many shells are open on the pod over SSH, None where that cannot be told; `say` is shown on each of them."""
    found = (await agent.call("shells", {"say": say} if say else {})).get("shells")
    return len(found) if isinstance(found, list) else None


async def missing(agent: Agent, runs_dir: Path) -> Unpulled:
    """What of the pod's runs is still only there. Raises SshError, AgentError and SyncError."""
    from remote import jobs

    return await _missing(agent, await jobs.runs(agent), runs_dir)


async def _missing(agent: Agent, runs: tuple[JobStatus, ...], runs_dir: Path) -> Unpulled:
    from remote.sync.pull import unpulled

    found: list[str] = []
    for run in _results(runs):
        found += [f"{run.run_id}/{path}" for path in await unpulled(agent, run.run_id, runs_dir / run.run_id)]
    return tuple(found)


def _results(runs: tuple[JobStatus, ...]) -> tuple[JobStatus, ...]:
    """Those whose files are somebody's results: a set-up's log is not."""
    return tuple(run for run in runs if not run.run_id.startswith(SETUP))


async def bring_home(agent: Agent, runs_dir: Path) -> Unpulled:
    """Pull every run of the pod; tells what is still only there. Raises SshError and SyncError."""
    from remote import jobs
    from remote.sync.pull import pull

    runs = await jobs.runs(agent)
    for run in _results(runs):
        await pull(agent, run.run_id, runs_dir / run.run_id)
    return await _missing(agent, runs, runs_dir)


async def end_runs(agent: Agent, grace_s: float = CHECKPOINT_GRACE_S) -> None:
    """Ask every run alive to publish a checkpoint and end; after `grace_s` seconds it is ended. One that was asked
    before, over a link that broke, is only waited for: a second word would cut its checkpoint short."""
    from remote import jobs

    for run in await jobs.runs(agent):
        if run.state.alive and not run.canceled:
            await jobs.cancel(agent, run.run_id, grace_s)
    end = asyncio.get_running_loop().time() + grace_s
    while asyncio.get_running_loop().time() < end and any(run.state.alive for run in await jobs.runs(agent)):
        await asyncio.sleep(ENDED_S)


def _remember(path: Path, pod: Pod, runs: tuple[JobStatus, ...], now: float) -> float | None:
    """When the pod was last active, by comparison with what was seen the last time; then remembers this time.

    None while its GPUs are not told of; that time may have been work, so that idleness is counted from its end.
    """
    session = pod.session
    assert session is not None
    written = sum(sum(run.sizes.values()) for run in runs)
    before = _recall(path)
    seen, busy = before.get(session.key), _busy(pod)
    grew = [now - run.activity_age_s for run in runs if run.state.alive and run.activity_age_s is not None]
    active: float | None = now
    if busy is None and seen is not None and seen[0] == written:
        active = None
    elif not busy and seen is not None and seen[0] == written:
        active = min(max([seen[1], *grew]), now)
    kept = {key: value for key, value in before.items() if not _of(key, session)}
    write_atomic(path, json.dumps({**kept, session.key: [written, now if active is None else active]}).encode())
    return active


def _busy(pod: Pod) -> bool | None:
    """Whether one of its GPUs works; None when that is not told. A pod without a GPU has none that works."""
    if any(use.util is not None and use.util >= BUSY_PERCENT for use in pod.use):
        return True
    if not pod.use and pod.gpu is None and not pod.gpu_count:
        return False
    return None if not pod.use or any(use.util is None for use in pod.use) else False


def _recall(path: Path) -> dict[str, tuple[int, float]]:
    """By session key: bytes written, last active. A file that is missing or damaged remembers nothing."""
    try:
        raw = json.loads(path.read_bytes())
        return {str(key): (int(value[0]), float(value[1])) for key, value in raw.items()}
    except (OSError, ValueError, TypeError, AttributeError, IndexError, KeyError):
        return {}


def _of(key: str, session: PodSession) -> bool:
    """Whether the key is of this pod, whichever session."""
    return key.rpartition("@")[0] == session.pod_id

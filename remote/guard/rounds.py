"""One round of the local guard: look at pods, work and money, decide, act. For a panel's tick or a timer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from msgspec import Struct

from remote.errors import RemoteError
from remote.guard.activity import agent_of, bring_home, end_runs, observe, tell_shells
from remote.guard.enforce import Outcome, enforce, ours
from remote.guard.rules import Activity, Decision, Money, Rules, decide
from remote.journal import Journal
from remote.money import account
from remote.money.rules import Budgets
from remote.pods.model import Pod, PodStatus
from remote.pods.provider import Provider
from remote.renting import lifecycle
from remote.renting.permits import Unpulled

LOOK_S = 300.0
"""Seconds after which the look at one pod is given up."""


class Round(Struct, frozen=True):
    """What was decided, what came of it, and what could not be learned."""

    decisions: tuple[Decision, ...]
    outcomes: tuple[Outcome, ...]
    remarks: tuple[str, ...]


async def once(
    provider: Provider,
    state_dir: Path,
    clock: Callable[[], float],
    rules: Rules,
    budgets: Budgets,
    *,
    runs_dir: Path | None = None,
    dry: bool = False,
) -> Round:
    """Decide about every pod now and, unless `dry`, stop what is to be stopped.

    `runs_dir` is where runs come home (default: `runs` beside the state directory). Raises what listing the pods
    raises: without a list nothing is decided.
    """
    home = runs_dir or state_dir.absolute().parent / "runs"
    remarks: list[str] = []
    pods = await lifecycle.recover(provider, state_dir, clock, unwritten=remarks.append)
    mine = ours(Journal(state_dir, clock))
    work: dict[str, Activity] = {}
    for pod in pods:
        if pod.id in mine and pod.status is PodStatus.RUNNING:
            seen = await _work(provider, pod, state_dir, home, clock, remarks)
            work |= {} if seen is None else {pod.id: seen}
    money = await account.read(provider, state_dir, clock, pods, budgets)
    decisions = decide(pods, rules, work, Money(money.budgets, money.runway), clock(), mine)
    remarks += money.notes

    async def checkpoint(pod: Pod) -> None:
        async with agent_of(pod, provider, state_dir) as agent:
            await end_runs(agent)

    async def pull(pod: Pod) -> Unpulled:
        async with agent_of(pod, provider, state_dir) as agent:
            return await bring_home(agent, home)

    async def warn(pod: Pod, text: str) -> int | None:
        async with agent_of(pod, provider, state_dir) as agent:
            return await tell_shells(agent, text)

    outcomes = () if dry else await enforce(
        decisions, provider, state_dir, clock, checkpoint=checkpoint, pull=pull, warn=warn
    )  # fmt: skip
    return Round(decisions, outcomes, tuple(remarks))


async def _work(
    provider: Provider, pod: Pod, state_dir: Path, home: Path, clock: Callable[[], float], remarks: list[str]
) -> Activity | None:
    try:
        async with asyncio.timeout(LOOK_S), agent_of(pod, provider, state_dir) as agent:
            return await observe(pod, agent, state_dir, home, clock())
    except TimeoutError:
        remarks.append(f"pod {pod.name} did not answer within {LOOK_S:.0f} s")
    except (RemoteError, OSError) as error:
        remarks.append(f"pod {pod.name} could not be looked at: {error}")
    return None

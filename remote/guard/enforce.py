"""Carries out what `rules` decides: checkpoint, pull, stop. It has no way to terminate anything.

How a run is asked for a checkpoint and how files come home are the caller's callbacks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from msgspec import Struct

from remote.errors import ConnectionLost, GuardError, RemoteError, SshError
from remote.guard.rules import Act, Decision, logged_in
from remote.journal import Journal, Phase
from remote.pods.model import Pod, PodStatus
from remote.pods.provider import Provider
from remote.renting import lifecycle
from remote.renting.creating import CREATE
from remote.renting.permits import Permit, Unpulled, loses_data, may_stop

Checkpoint = Callable[[Pod], Awaitable[None]]
"""Asks the pod's runs to publish a checkpoint and end."""

Pull = Callable[[Pod], Awaitable[Unpulled]]
"""Brings home what it can and tells what is still missing."""

Warn = Callable[[Pod, str], Awaitable[int | None]]
"""Tells whoever is logged in on the pod what is about to happen; how many shells that were."""

CHECKPOINT_S, PULL_S, WARN_S = 300.0, 1800.0, 30.0
"""Seconds after which a stop waits no longer."""

NOTICE_S = 60.0
"""Seconds between the word to open shells and what ends them."""

AGAIN_S, TRIES = 5.0, 12
"""Seconds between two tries to reach a pod whose link broke while its runs write their checkpoints, and how many that
fail at once are enough."""

_LAUNCH = "run.launch"


class Outcome(Struct, frozen=True):
    """What became of one decision: whether the pod was stopped, and sentences about what went otherwise."""

    decision: Decision
    stopped: bool
    remarks: tuple[str, ...] = ()


def ours(journal: Journal) -> frozenset[str]:
    """Ids of the pods that this workspace made, started or ran something on, by its journal."""
    acts = {CREATE, lifecycle.START, lifecycle.RESTART, _LAUNCH}
    done = [one for one in journal.intents() if one.op in acts and one.phase is not Phase.FAILED]
    return frozenset(str(one.facts["pod"]) for one in done if one.facts.get("pod") is not None)


async def enforce(
    decisions: Iterable[Decision],
    provider: Provider,
    state_dir: Path,
    clock: Callable[[], float],
    *,
    checkpoint: Checkpoint | None = None,
    pull: Pull | None = None,
    warn: Warn | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    checkpoint_s: float = CHECKPOINT_S,
    pull_s: float = PULL_S,
) -> tuple[Outcome, ...]:
    """Stop what is to be stopped, one after the other; a failure is told and keeps no other pod running.

    Each pod is read again first, and once more right before its stop: one that is over, unknown or in another session
    than the decision was about is left alone. A pod that keeps nothing is not stopped while files of its runs are only
    there, and its runs are not ended unless what they have written so far could be brought home. Whoever is logged in
    is told by `warn`, and has `NOTICE_S` seconds.
    """
    one_by_one = [decision for decision in decisions if decision.act is Act.STOP]
    enforcer = _Enforcer(provider, state_dir, clock, checkpoint, pull, warn, sleep, checkpoint_s, pull_s)
    return tuple([await enforcer.carry_out(decision) for decision in one_by_one])


class _Enforcer(Struct, frozen=True):
    provider: Provider
    state_dir: Path
    clock: Callable[[], float]
    checkpoint: Checkpoint | None
    pull: Pull | None
    warn: Warn | None
    sleep: Callable[[float], Awaitable[None]]
    checkpoint_s: float
    pull_s: float

    async def carry_out(self, decision: Decision) -> Outcome:
        remarks: list[str] = []
        try:
            pod = await self.provider.get(decision.pod.id)
            if why := _changed(pod, decision):
                return Outcome(decision, False, (why,))
            await self._dare(pod, decision, remarks)
            await self._tell(pod, decision, remarks)
            await self._ask(pod, decision, remarks)
            missing = await self._bring(pod, decision, remarks)
            pod = await self.provider.get(pod.id)  # both may have taken half an hour
            if why := _changed(pod, decision):
                return Outcome(decision, False, (*remarks, why))
            permit = _permit(pod, missing)
            because = f"{decision.rule}: {decision.why}"
            await lifecycle.stop(self.provider, pod.id, self.state_dir, self.clock, permit=permit, because=because)
        except GuardError as error:
            return Outcome(decision, False, (*remarks, str(error)))
        except RemoteError as error:
            return Outcome(decision, False, (*remarks, f"not stopped: {error}"))
        return Outcome(decision, True, tuple(remarks))

    async def _dare(self, pod: Pod, decision: Decision, remarks: list[str]) -> None:
        """Before runs are ended for a stop: raises VolumelessStop when it is bound to be refused.

        Files that grow cannot be whole at home yet, so that only a pull that fails tells.
        """
        if decision.checkpoint and loses_data(pod) and await self._bring(pod, decision, remarks) is None:
            may_stop(pod, None)

    async def _tell(self, pod: Pod, decision: Decision, remarks: list[str]) -> None:
        """A word on every open shell, and the time to save what is being typed."""
        if self.warn is None:
            return
        why = f"maxcai: this pod is stopped in {NOTICE_S:.0f} seconds: {decision.why}"
        try:
            async with asyncio.timeout(WARN_S):
                shells = await self.warn(pod, why)
        except (TimeoutError, RemoteError, OSError) as error:
            remarks.append(f"whoever is logged in could not be told: {error or 'no answer'}")
            return
        if shells:
            await self.sleep(NOTICE_S)
            remarks.append(f"{logged_in(shells)}; told {NOTICE_S:.0f} s before")

    async def _ask(self, pod: Pod, decision: Decision, remarks: list[str]) -> None:
        if not decision.checkpoint or self.checkpoint is None:
            return
        try:
            async with asyncio.timeout(self.checkpoint_s):
                await self._surely(self.checkpoint, pod)
        except TimeoutError:
            remarks.append(f"no checkpoint within {self.checkpoint_s:.0f} s")
        except (RemoteError, OSError) as error:
            remarks.append(f"no checkpoint: {error}")

    async def _surely(self, ask: Checkpoint, pod: Pod) -> None:
        """Over a new link where one broke after the word was given: the run is writing, and the stop would cut it."""
        clock, broken, at_once = asyncio.get_running_loop().time, None, 0
        while at_once < TRIES:
            began = clock()
            try:
                return await ask(pod)
            except ConnectionLost as error:
                broken = error
            except SshError:
                if broken is None:
                    raise
            at_once = at_once + 1 if clock() - began < AGAIN_S else 0
            await self.sleep(AGAIN_S)
        assert broken is not None
        raise broken

    async def _bring(self, pod: Pod, decision: Decision, remarks: list[str]) -> Unpulled:
        """What is still only on the pod. One that keeps nothing is asked even where nothing was missing when it was
        decided: minutes have gone by, and a run may have been launched."""
        if not decision.pull and not loses_data(pod):
            return ()
        if self.pull is None:
            return None
        try:
            async with asyncio.timeout(self.pull_s):
                return await self.pull(pod)
        except TimeoutError:
            remarks.append(f"not everything came home within {self.pull_s:.0f} s")
        except (RemoteError, OSError) as error:
            remarks.append(f"not everything came home: {error}")
        return None


def _changed(pod: Pod, decision: Decision) -> str:
    """Why a pod read again is left alone, "" when it is what the decision was about."""
    if pod.status.over:
        return "it is stopped already"
    if pod.status in (PodStatus.UNKNOWN, PodStatus.STOPPING):
        return f"it is left alone: {pod.status}"
    return "" if pod.session == decision.pod.session else "it was started again since"


def _permit(pod: Pod, unpulled: Unpulled) -> Permit:
    """On a kept volume a stop loses nothing; what stays there is journalled. Otherwise the guard refuses."""
    return may_stop(pod, unpulled) if loses_data(pod) else may_stop(pod, unpulled, override=True)

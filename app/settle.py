"""Launches and cancels that a dead process left open in the journal: settled by asking the pod, never done again.

Starts and stops of pods are settled by `remote.renting.lifecycle`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.runs import RunEntry

if TYPE_CHECKING:
    from remote.agent.client import Agent
    from remote.journal import Intent, Journal

LAUNCH, CANCEL = "run.launch", "run.cancel"
CANCEL_SLACK_S = 60.0
"""Seconds past its grace after which a run that still lives was not cancelled."""


async def settle_runs(journal: Journal, agent: Agent, pod_id: str, clock: Callable[[], float]) -> None:
    """Write down what became of every abandoned launch and cancel on this pod, as far as the pod can tell now."""
    for intent in journal.open_intents():
        if intent.op in (LAUNCH, CANCEL) and intent.facts.get("pod") == pod_id and intent.abandoned:
            try:
                await _settle(journal, intent, agent, clock())
            except (KeyError, TypeError, ValueError):  # a damaged line
                journal.failed(intent.id, "its line in the journal cannot be understood")


def being_launched(journal: Journal, entry: RunEntry) -> bool:
    """True while a living process is at work on launching this attempt."""
    wanted = (LAUNCH, entry.run_id, entry.attempt)
    return any(
        (intent.op, intent.facts.get("run_id"), intent.facts.get("attempt")) == wanted and not intent.abandoned
        for intent in journal.open_intents()
    )


async def _settle(journal: Journal, intent: Intent, agent: Agent, now: float) -> None:
    from remote import jobs
    from remote.jobs import JobState

    facts = intent.facts
    attempt = int(facts["attempt"]) if intent.op == LAUNCH else None
    state = (await jobs.status(agent, str(facts["run_id"]), attempt)).state
    if intent.op == LAUNCH:
        if state is JobState.ABSENT:
            journal.failed(intent.id, "it never reached the pod", found=str(state))
        else:
            journal.acked(intent.id, found=str(state))
    elif not state.alive:
        journal.acked(intent.id, found=str(state))
    elif now - intent.at > float(facts["grace_s"]) + CANCEL_SLACK_S:
        journal.failed(intent.id, "the run lives on", found=str(state))

"""What a stop would put at risk: runs that are alive, results that are not home. The pod itself is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.errors import AppError
from remote.errors import RemoteError

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.pods.model import Pod


async def at_risk(supervisor: Supervisor, pod: Pod) -> tuple[str, ...]:
    """One clause per thing at risk, () when nothing is. A pod that cannot be asked is at risk itself."""
    from remote import jobs
    from remote.sync.pull import unpulled

    try:
        agent = await supervisor.link.agent(pod.id)
        risks: list[str] = []
        for job in await jobs.runs(agent):
            if job.state.alive:
                risks.append(f"run {job.run_id} is {job.state}")
            missing = await unpulled(agent, job.run_id, supervisor.workspace.run_dir(job.run_id))
            if missing:
                count = f"{len(missing)} file{'s' * (len(missing) > 1)}"
                risks.append(f"{count} of run {job.run_id} not home")
        return tuple(risks)
    except (RemoteError, AppError) as error:
        return (f"it cannot be told what is at risk ({error})",)

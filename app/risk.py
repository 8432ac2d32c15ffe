"""What a stop would put at risk: runs that are alive, results that are not home. The pod itself is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from app.errors import AppError, Refused
from remote.errors import RemoteError

if TYPE_CHECKING:
    from app.supervisor import Supervisor
    from remote.pods.model import Pod
    from remote.renting.permits import Permit, Unpulled

_BOOTING = ("CREATING", "PULLING", "BOOTING")
"""States in which a pod session has no address yet, so that nothing of it can run."""


class Risk(Struct, frozen=True):
    """What would be lost. `alive` are clauses about living runs, `unpulled` files that are only there (None: unknown),
    `clauses` all of it for a person."""

    alive: tuple[str, ...]
    unpulled: Unpulled
    clauses: tuple[str, ...]


async def look(supervisor: Supervisor, pod: Pod, removing: bool = False) -> Risk:
    """Ask the pod. One that cannot be asked is at risk itself. `removing`: its disks go too."""
    from remote import jobs
    from remote.guard.activity import SETUP
    from remote.renting.permits import loses_data
    from remote.sync.pull import missing

    if pod.status in _BOOTING and not _reached(supervisor, pod):
        had = [entry.run_id for entry in supervisor.book.entries() if entry.pod == pod.id]
        if not had or not (removing or loses_data(pod)):
            return Risk((), (), ())
        return Risk((), None, (f"it is {pod.status} and had run {had[0]}: what lies on its disk cannot be asked",))
    alive: list[str] = []
    files: list[str] = []
    clauses: list[str] = []
    try:
        agent = await supervisor.link.agent(pod.id)
        for job in await jobs.runs(agent):
            if job.state.alive:
                alive.append(f"run {job.run_id} is {job.state}")
                clauses.append(alive[-1])
            if job.run_id.startswith(SETUP):  # its log is nobody's result
                continue
            away = await missing(agent, job.run_id, supervisor.workspace.run_dir(job.run_id))
            files += [f"{job.run_id}/{file.path}" for file in away]
            if away:
                count = f"{len(away)} file{'s' * (len(away) > 1)} ({sum(file.size for file in away):,} bytes)"
                clauses.append(f"{count} of run {job.run_id} not home: {_some([file.path for file in away])}")
        return Risk(tuple(alive), tuple(files), tuple(clauses))
    except (RemoteError, AppError) as error:
        return Risk((), None, (f"it cannot be told what is at risk ({error})",))


def _reached(supervisor: Supervisor, pod: Pod) -> bool:
    """Whether this very session was spoken to: its provider may forget to tell its address, or tell it late."""
    probe = supervisor.fleet.probes.get(pod.id)
    return probe is not None and probe.session == pod.session and probe.connected_at is not None


def _some(paths: list[str]) -> str:
    more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
    return ", ".join(paths[:3]) + more


async def at_risk(supervisor: Supervisor, pod: Pod) -> tuple[str, ...]:
    """One clause per thing at risk, () when nothing is."""
    return (await look(supervisor, pod)).clauses


async def leave_to_stop(supervisor: Supervisor, pod: Pod, force: bool) -> Permit:
    """Leave to stop a pod. Raises Refused, VolumelessStop or UnpulledArtifacts with the list of what is at risk."""
    from remote.renting.permits import loses_data, may_stop

    risk = await look(supervisor, pod)
    if force:
        found = may_stop(pod, risk.unpulled, override=True)
        for clause in risk.clauses:
            supervisor.say("warn", f"overridden: {clause}")
        return _overriding(found, risk)
    if risk.clauses and not (loses_data(pod) and not risk.alive):
        raise Refused(
            f"pod {pod.id} is not stopped: " + "; ".join(risk.clauses),
            "`maxcai pull RUN` and `maxcai run cancel RUN` make it safe; --force stops it all the same.",
        )
    return may_stop(pod, risk.unpulled)


def _overriding(permit: Permit, risk: Risk) -> Permit:
    """With the living runs among what was accepted to be lost: the journal keeps it."""
    from msgspec.structs import replace

    return replace(permit, overridden=(*permit.overridden, *risk.alive))

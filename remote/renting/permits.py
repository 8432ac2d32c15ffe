"""Whether a pod may be stopped or removed: what is not at home yet stands against it, and a person may override that.

Pure rules. Acting on a permit is `remote.renting.lifecycle`'s.
"""

from __future__ import annotations

from msgspec import Struct

from remote.errors import GuardError, UnpulledArtifacts, VolumelessStop
from remote.pods.model import Pod, VolumeKind

_SHOWN = 10  # files named in a message

Unpulled = tuple[str, ...] | None
"""Files of the pod's runs that are not at home, verified; None when nobody could look."""


class Permit(Struct, frozen=True):
    """Leave to stop or terminate one pod. `overridden` says what the user accepted to lose; it is journalled."""

    pod_id: str
    op: str
    overridden: tuple[str, ...] = ()


def loses_data(pod: Pod) -> bool:
    """Whether a stop destroys, or may destroy, what the pod's runs wrote."""
    return pod.volume in (None, VolumeKind.NONE)


def may_stop(pod: Pod, unpulled: Unpulled, *, override: bool = False) -> Permit:
    """Leave to stop a pod. Raises VolumelessStop when that would destroy results, UnpulledArtifacts while others wait.

    On a kept volume files that nobody could look for are no reason to refuse: the stop leaves them where they are.
    """
    if pod.status.over or unpulled == ():
        return Permit(pod.id, "stop")
    if override:
        return Permit(pod.id, "stop", _named(unpulled))
    if loses_data(pod):
        told = "keeps nothing" if pod.volume is VolumeKind.NONE else "may keep nothing (its provider does not say)"
        raise VolumelessStop(
            f"Pod {pod.name} {told} when it is stopped, and {waiting(unpulled)}.",
            "Pull them first; stopping it all the same loses them.",
            paths=unpulled or (),
        )
    if unpulled:
        raise UnpulledArtifacts(
            f"Pod {pod.name} is not stopped: {waiting(unpulled)}.",
            "Pull them first, or stop it all the same: they stay on its volume.",
            paths=unpulled,
        )
    return Permit(pod.id, "stop")


def may_terminate(pod: Pod, unpulled: Unpulled, typed: str, *, override: bool = False) -> Permit:
    """Leave to remove a pod for good. `typed` must be its name or id.

    Raises GuardError when it is not, UnpulledArtifacts while anything, or nobody knows what, is not at home.
    """
    if typed not in (pod.name, pod.id):
        raise GuardError(
            f'Pod {pod.name} is not terminated: "{typed}" is not its name.', f"Type {pod.name} to remove it."
        )
    if unpulled == ():
        return Permit(pod.id, "terminate")
    if override:
        return Permit(pod.id, "terminate", _named(unpulled))
    raise UnpulledArtifacts(
        f"Pod {pod.name} is not terminated: {waiting(unpulled)}.",
        "Pull them first; terminating it all the same loses what is not on a network volume.",
        paths=unpulled or (),
    )


def _named(unpulled: Unpulled) -> tuple[str, ...]:
    return ("files that nobody could look for",) if unpulled is None else unpulled


def waiting(unpulled: Unpulled) -> str:
    """The files that are not at home as a clause."""
    if unpulled is None:
        return "whether all its files are at home is not known"
    more = f" and {len(unpulled) - _SHOWN} more" if len(unpulled) > _SHOWN else ""
    return f"{len(unpulled)} of its files are not at home: {', '.join(unpulled[:_SHOWN])}{more}"

"""When a pod session began and ended by the provider's own log, so that a cost does not depend on when we looked.

RunPod bills from the start of the container, after its image was pulled, and writes both ends into its system log.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from remote.errors import RemoteError
from remote.money.costs import Ledger, Row
from remote.pods.model import LogLine, Pod, PodStatus

SYSTEM = "system"
_STARTED, _STOPPED = "start container", "stop container"
_SLACK_S = 1.0  # its stamps are whole seconds


@runtime_checkable
class SystemLog(Protocol):
    """A provider that tells what it did to a pod's container."""

    async def log_lines(self, pod_id: str, source: str) -> Sequence[LogLine]:
        """The last lines of one of a pod's logs, oldest first."""
        ...


async def note(provider: object, state_dir: Path, pods: Iterable[Pod]) -> None:
    """Bring the ledger's rows of these pods in line with the provider's log, where one is kept.

    Each row is asked about once while it runs and once after its end; a log that cannot be read costs only precision.
    """
    if not isinstance(provider, SystemLog):
        return
    ledger = Ledger(state_dir)
    rows = ledger.rows()
    for pod in pods:
        theirs = [row for row in rows if row.session.pod_id == pod.id]
        asked = [row for row in theirs if not row.logged and (not row.open or pod.status is PodStatus.RUNNING)]
        if not asked or pod.status in (PodStatus.GONE, PodStatus.ABSENT, PodStatus.UNKNOWN):
            continue
        try:
            lines = await provider.log_lines(pod.id, SYSTEM)
        except RemoteError:
            continue
        for row in sorted(asked, key=lambda row: row.session):
            known = [one for one in ledger.rows() if one.session.pod_id == pod.id]  # with the ends noted just now
            ledger.logged(row.session, *times(row, known, lines))


def times(row: Row, rows: Iterable[Row], lines: Iterable[LogLine]) -> tuple[float | None, float | None]:
    """When the session's container started and stopped, unix seconds, by the log's lines; None where it does not say.

    `rows` are all sessions of the pod: a line belongs to the last one that had begun. A session that follows another
    one without a pause began with it: a restart keeps the machine, which is billed on.
    """
    start = row.session.started_at
    until = min((one.session.started_at for one in rows if one.session.started_at > start), default=math.inf)
    ends = [one.stopped_at for one in rows if one.session.started_at < start and one.stopped_at is not None]
    mine = [line for line in lines if line.at is not None and start - _SLACK_S < line.at < until - _SLACK_S]
    began = next((line.at for line in mine if line.text.startswith(_STARTED)), None)
    if began is None:
        return None, None
    stops = [line.at for line in mine if line.text.startswith(_STOPPED) and line.at is not None and line.at >= began]
    restarted = any(end > start - _SLACK_S for end in ends)
    return (start if restarted else began), (stops[-1] if stops else None)

"""The runs this workspace has started: an append-only file, and the lock that makes two starts at once one run.

What a run is doing now is the pod's knowledge (its agent, its events); this file only says which runs are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import asdict

from app.errors import UsageError
from remote.files import append_json, held, locked, read_json_lines


class RunEntry(Struct, frozen=True):
    """One attempt of one run. `started` is unix seconds, `tree` the pushed code's id.

    `review` is the id of the review that the deployment gate let it pass by, `without_review` a person's reason to
    start without one; both are None where no review was asked for.
    """

    run_id: str
    recipe: str
    pod: str
    tree: str
    attempt: int
    started: float
    review: str | None = None
    without_review: str | None = None


class RunBook:
    """`<state>/runs.jsonl`: one line per attempt, newest last; a torn last line is passed over.

    Args:
        state_dir: the workspace's state folder.
    """

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / "runs.jsonl"
        self._lock = state_dir / "launch.lock"

    def add(self, entry: RunEntry) -> None:
        """Append one attempt and make it durable before anything is launched."""
        append_json(self._path, asdict(entry))

    def entries(self) -> tuple[RunEntry, ...]:
        """The last attempt of every run, newest run first."""
        latest: dict[str, RunEntry] = {}
        first: dict[str, int] = {}
        for row in read_json_lines(self._path):
            entry = _entry(row)
            if entry is not None:
                latest[entry.run_id] = entry
                first.setdefault(entry.run_id, len(first))
        return tuple(sorted(latest.values(), key=lambda e: first[e.run_id], reverse=True))

    def find(self, run_id: str | None, recipe: str | None = None) -> RunEntry | None:
        """The newest run, or the one whose id is or uniquely begins with `run_id` (case does not matter).

        Raises UsageError when the name fits no run or several.
        """
        entries = [e for e in self.entries() if recipe is None or e.recipe == recipe]
        if run_id is None:
            return entries[0] if entries else None
        fitting = [e for e in entries if e.run_id.lower().startswith(run_id.lower())]
        exact = [e for e in fitting if e.run_id.lower() == run_id.lower()]
        if exact or len(fitting) == 1:
            return (exact or fitting)[0]
        if fitting:
            raise UsageError(
                f"{run_id} is the beginning of {len(fitting)} runs", "Give more of the id: `maxcai run list`."
            )
        raise UsageError(f"no run {run_id} in this workspace", "See `maxcai run list`.")

    def launching(self, wait_s: float = 120.0) -> AbstractAsyncContextManager[None]:
        """Hold the launch lock. The kernel frees it when its holder dies, however it dies.

        Raises Occupied when another start holds it for longer than `wait_s` seconds.
        """
        return locked(self._lock, "starting a run of this workspace (`run start`)", wait_s)

    def is_launching(self) -> bool:
        """Whether a run is being started or resumed right now, by whichever process."""
        return held(self._lock)


def _entry(raw: Mapping[str, Any]) -> RunEntry | None:
    try:
        return RunEntry(
            run_id=str(raw["run_id"]),
            recipe=str(raw["recipe"]),
            pod=str(raw["pod"]),
            tree=str(raw["tree"]),
            attempt=int(raw["attempt"]),
            started=float(raw["started"]),
            review=_words(raw.get("review")),
            without_review=_words(raw.get("without_review")),
        )
    except (ValueError, KeyError, TypeError):
        return None


def _words(value: Any) -> str | None:
    return None if value is None else str(value)

"""Records of the state folder that were damaged from outside: what cannot be read, what follows from it. Only looks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from remote.files import unreadable
from remote.money.costs import Ledger


def damages(state_dir: Path) -> Iterator[tuple[Path, str]]:
    """Each damaged file with one clause about it. Raises ConfigError when a file cannot be read at all."""
    for path, lines, consequence in (
        (state_dir / "ledger.jsonl", Ledger(state_dir).damaged(), "the total cost is not known"),
        (state_dir / "journal.jsonl", len(unreadable(state_dir / "journal.jsonl")), "an open act may be missing there"),
        (state_dir / "runs.jsonl", len(unreadable(state_dir / "runs.jsonl")), "a run may be missing from the list"),
    ):
        if lines:
            yield path, f"{lines} line{'s' * (lines > 1)} cannot be read: {consequence}"

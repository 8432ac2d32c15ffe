"""Alerts that somebody has acknowledged: an append-only file, so that what was seen once is not told again."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from remote.files import append_json, read_json_lines

NAME = "acknowledged.jsonl"


def acknowledged(state_dir: Path) -> frozenset[str]:
    """Ids of the alerts that were seen; damaged lines are passed over."""
    rows = read_json_lines(state_dir / NAME)
    return frozenset(row["id"] for row in rows if isinstance(row.get("id"), str))


def acknowledge(state_dir: Path, ids: Iterable[str], at: float) -> None:
    """Note that these were seen at `at` (unix seconds)."""
    for name in ids:
        append_json(state_dir / NAME, {"id": name, "at": at})

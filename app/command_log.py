"""What was sent outside, as the journal of the workspace holds it, with its answer."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remote.journal import Intent

SHOWN = 500
"""Newest entries that the panel shows."""


def sent(state_dir: Path, last: int = SHOWN) -> list[Intent]:
    """The newest operations, oldest of them first. Raises RemoteError when the journal cannot be read."""
    from remote.journal import Journal

    intents = Journal(state_dir, time.time).intents()
    return intents[-last:] if last > 0 else []


def lines(intents: Iterable[Intent]) -> str:
    """One line an operation: when, what, how it ended, on what."""
    told = []
    for intent in intents:
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(intent.at))
        facts = "  ".join(f"{name}={value}" for name, value in intent.facts.items())
        told.append(f"{at}  {intent.phase.value:<8} {intent.op:<20} {facts}".rstrip())
    return "\n".join(told) or "nothing was sent outside yet"


def data(intents: Iterable[Intent]) -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"id": i.id, "at": i.at, "op": i.op, "phase": i.phase.value, "facts": i.facts} for i in intents]

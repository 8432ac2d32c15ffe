"""What was sent outside, as the journal of the workspace holds it: newest first, with its answer."""

from __future__ import annotations

import time
from pathlib import Path

SHOWN = 500
"""Newest entries that are shown."""


def command_log(state_dir: Path) -> str:
    """One line an operation: when, what, how it ended, on what. Raises RemoteError when the journal cannot be read."""
    from remote.journal import Journal

    intents = Journal(state_dir, time.time).intents()[-SHOWN:]
    lines = []
    for intent in reversed(intents):
        at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(intent.at))
        facts = "  ".join(f"{name}={value}" for name, value in intent.facts.items())
        lines.append(f"{at}  {intent.phase.value:<8} {intent.op:<20} {facts}")
    return "\n".join(lines) or "nothing was sent outside yet"

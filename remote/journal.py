"""The record of what was about to be done to a provider or a pod, written before it is done.

One line a step: intent → sent → acked | failed | unknown. After a crash the open intents say what to look for. What
to do about them is the caller's business.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from remote.errors import RemoteError
from remote.files import append_json, read_json_lines
from remote.processes import ProcessId, identify
from remote.secrets import Redactor, from_environment


class Phase(StrEnum):
    """How far an operation came."""

    INTENT = "intent"
    SENT = "sent"
    ACKED = "acked"
    FAILED = "failed"
    UNKNOWN = "unknown"  # the request left and no answer came

    @property
    def settled(self) -> bool:
        """True when nothing remains to be found out."""
        return self in (Phase.ACKED, Phase.FAILED)


class Intent(Struct, frozen=True):
    """One operation: its latest phase and everything noted on the way (later facts win)."""

    id: str
    op: str
    phase: Phase
    at: float  # unix seconds of the intent
    facts: dict[str, Any]
    by: ProcessId | None = None  # the process that intended it

    @property
    def abandoned(self) -> bool:
        """True when nobody is at work on it any more: its process is gone, or gave up without an answer."""
        return self.phase is Phase.UNKNOWN or self.by is None or not self.by.alive


class Journal:
    """`journal.jsonl` of one state directory: append-only, mode 0600, each line durable before the call returns."""

    def __init__(self, state_dir: Path, clock: Callable[[], float], redact: Redactor | None = None) -> None:
        self._path = state_dir / "journal.jsonl"
        self._clock = clock
        self._redact = redact or from_environment()

    def intent(self, op: str, **facts: Any) -> str:
        """Write down what is about to happen, and return its id. `facts` must be JSON values; secrets are removed."""
        intent_id = uuid.uuid4().hex
        self._write(intent_id, Phase.INTENT, facts, op)
        return intent_id

    @contextmanager
    def acting(self, op: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Journal an act before it leaves and, however the context is left, what came of it.

        What the caller puts into the dictionary it gets is noted with the answer. A RemoteError is a failure unless
        it says that it is `unconfirmed`; anything else (the task was cancelled) leaves the outcome unknown.
        """
        intent = self.intent(op, **facts)
        self.sent(intent)
        found: dict[str, Any] = {}
        try:
            yield found
        except RemoteError as error:
            (self.unknown if error.unconfirmed else self.failed)(intent, str(error), error=type(error).__name__)
            raise
        except BaseException as error:
            self.unknown(intent, f"left by {type(error).__name__}")
            raise
        self.acked(intent, **found)

    def sent(self, intent_id: str, **facts: Any) -> None:
        """The request is about to leave."""
        self._write(intent_id, Phase.SENT, facts)

    def acked(self, intent_id: str, **facts: Any) -> None:
        """It took effect."""
        self._write(intent_id, Phase.ACKED, facts)

    def failed(self, intent_id: str, reason: str, **facts: Any) -> None:
        """It certainly took no effect."""
        self._write(intent_id, Phase.FAILED, {"reason": reason, **facts})

    def unknown(self, intent_id: str, reason: str, **facts: Any) -> None:
        """Nobody knows whether it took effect; the intent stays open."""
        self._write(intent_id, Phase.UNKNOWN, {"reason": reason, **facts})

    def intents(self) -> list[Intent]:
        """Every operation in the order in which they were intended."""
        found: dict[str, Intent] = {}
        for row in read_json_lines(self._path):
            if intent := _fold(found.get(str(row.get("id"))), row):
                found[intent.id] = intent
        return list(found.values())

    def open_intents(self) -> list[Intent]:
        """Operations whose outcome is not known: to be compared with what the provider lists."""
        return [intent for intent in self.intents() if not intent.phase.settled]

    def _write(self, intent_id: str, phase: Phase, facts: dict[str, Any], op: str | None = None) -> None:
        row: dict[str, Any] = {"v": 1, "id": intent_id, "t": self._clock(), "phase": phase.value}
        if op is not None:
            row["op"] = op
            if me := identify(os.getpid()):
                row["by"] = [me.pid, me.started]
        append_json(self._path, {**row, "facts": self._redact.tree(facts)})


def _fold(before: Intent | None, row: dict[str, Any]) -> Intent | None:
    """The operation after one more line. A line that is not ours changes nothing."""
    try:
        phase, intent_id, at, facts = Phase(row["phase"]), str(row["id"]), float(row["t"]), dict(row["facts"])
    except (KeyError, TypeError, ValueError):
        return before
    if before is None:
        return Intent(intent_id, str(row["op"]), phase, at, facts, _writer(row)) if "op" in row else None
    return replace(before, phase=phase, facts={**before.facts, **facts})


def _writer(row: dict[str, Any]) -> ProcessId | None:
    match row.get("by"):
        case [int(pid), str(started)]:
            return ProcessId(pid, started)
    return None

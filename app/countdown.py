"""The minutes between "this pod is to be stopped" and its stop, in which anybody may say no.

They are counted in a file, so that every process of the workspace counts the same ones and each of them can end them.
Only a stop for idleness or for a used-up budget is counted down: the others were agreed to before the pod began.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from msgspec.structs import asdict, replace

from app.state import CountdownView
from remote.files import write_atomic

if TYPE_CHECKING:
    from remote.guard.rules import Decision

COUNTED = ("idle", "budget")
"""Rules whose stops are counted down."""

UNCOUNTED_S = 180.0
"""After so long without anybody counting (a closed panel, a machine asleep) the minutes begin anew."""

KEPT_S = 3600.0
"""For how long a pod over its budget is kept before it is asked again; an idle one may be idle once more as long as
before."""

FILE, LOCK = "countdown.json", "countdown.lock"


class Record(Struct, frozen=True):
    """One countdown: the pod and its session, by which rule, from when to when (unix seconds), when it was last
    counted, and until when somebody keeps the pod all the same."""

    pod: str
    name: str
    session: str
    rule: str
    why: str
    begun: float
    ends: float
    counted: float
    kept: float | None = None

    def held(self, now: float) -> bool:
        return self.kept is not None and now < self.kept

    @property
    def view(self) -> CountdownView:
        return CountdownView(self.pod, self.name, self.rule, self.why, self.begun, self.ends)


class Countdowns:
    """Those of one workspace. `seconds` is how long each is; 0: none, a stop is carried out at once."""

    def __init__(self, state_dir: Path, seconds: float) -> None:
        self._path, self._seconds = state_dir / FILE, seconds

    def due(self, decisions: Iterable[Decision], now: float) -> tuple[Decision, ...]:
        """The stops that may be carried out now. A countdown begins for what must wait; one whose stop is not wanted
        any more is forgotten."""
        with self._alone():
            return self._due(decisions, now)

    def _due(self, decisions: Iterable[Decision], now: float) -> tuple[Decision, ...]:
        known, found, left = self._read(), [], {}
        for one in decisions:
            rule, session = str(one.rule), one.pod.session
            if rule not in COUNTED or session is None or not self._seconds:
                found.append(one)
                continue
            key = f"{session.key} {rule}"
            record = self._counted(known.get(key), one, session.key, now)
            left[key] = record
            if not record.held(now) and record.ends <= now:
                found.append(one)
        kept = {key: record for key, record in known.items() if key not in left and record.held(now)}
        self._write(known, {**left, **kept})
        return tuple(found)

    def running(self, now: float) -> Record | None:
        """The one that ends first."""
        return min((one for one in self._read().values() if _runs(one, now)), key=lambda one: one.ends, default=None)

    def keep(self, now: float, seconds: Mapping[str, float]) -> tuple[Record, ...]:
        """End every countdown that runs, for so many seconds by its rule. Returns those that were ended."""
        with self._alone():
            known = self._read()
            ended = {
                key: replace(one, kept=now + seconds[one.rule])
                for key, one in known.items()
                if _runs(one, now) and one.rule in seconds
            }
            self._write(known, {**known, **ended})
            return tuple(ended.values())

    def kept_until(self, session: str, rule: str, now: float) -> float | None:
        """Until when somebody keeps this pod session against this rule."""
        record = self._read().get(f"{session} {rule}")
        return record.kept if record is not None and record.held(now) else None

    def _counted(self, known: Record | None, one: Decision, session: str, now: float) -> Record:
        if known is not None and known.held(now):
            return replace(known, counted=now)
        late = (
            known is None or now - known.counted > UNCOUNTED_S or known.ends > now + self._seconds
        )  # a clock set back
        if known is None or late or known.kept is not None:
            ends = now + self._seconds
            return Record(one.pod.id, one.pod.name, session, str(one.rule), one.why, now, ends, now)
        return replace(known, why=one.why, counted=now)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process of the workspace changes the file meanwhile: a word to keep the pod must not be lost.

        Held for a read and a write. Where the folder cannot be written there is nothing to lose.
        """
        with contextlib.ExitStack() as held:
            with contextlib.suppress(OSError):
                lock = held.enter_context((self._path.parent / LOCK).open("a"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _read(self) -> dict[str, Record]:
        """What lies there; a file that makes no sense counts for none, and the minutes begin anew."""
        try:
            raw: dict[str, Any] = json.loads(self._path.read_bytes())
            return {str(key): _record(value) for key, value in raw.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}

    def _write(self, before: Mapping[str, Record], after: Mapping[str, Record]) -> None:
        if before != after:
            body = {key: asdict(one) for key, one in after.items()}
            write_atomic(self._path, json.dumps(body, indent=1).encode() + b"\n")


def _runs(one: Record, now: float) -> bool:
    return not one.held(now) and now < one.ends and now - one.counted < UNCOUNTED_S


def _record(raw: Mapping[str, Any]) -> Record:
    """Raises KeyError, TypeError or ValueError for what is none."""
    kept = None if raw["kept"] is None else _time(raw["kept"])
    pod, name, session, rule, why = (str(raw[field]) for field in ("pod", "name", "session", "rule", "why"))
    return Record(pod, name, session, rule, why, _time(raw["begun"]), _time(raw["ends"]), _time(raw["counted"]), kept)


def _time(value: Any) -> float:
    if not math.isfinite(value):
        raise ValueError("no moment")
    return float(value)

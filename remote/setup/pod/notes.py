"""What the set-up says while it works: one JSON line each in a file that the laptop follows."""

from __future__ import annotations

import json
import os
import time

from remote.agent.disk import Json, Refused

_EVERY_S = 0.2  # lines of pip and samples of a download are thinned out to this


class Notes:
    """The progress file of one attempt. A full disk never stops the work for the sake of its progress."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.step = ""
        self._next = 0.0

    def begin(self, step: str, text: str) -> None:
        """From here on lines belong to this step."""
        self.step = step
        self.write({"event": "begin", "step": step, "text": text})

    def say(self, text: str) -> None:
        """A line that must be seen."""
        self.write({"event": "line", "step": self.step, "text": text})

    def brief(self, text: str, done: int | None = None, total: int | None = None) -> None:
        """A line that may be left out when there are many; `done` of `total` bytes."""
        now = time.monotonic()
        if now >= self._next:
            self._next = now + _EVERY_S
            self.write({"event": "line", "step": self.step, "text": text, "done": done, "total": total})

    def end(self, text: str) -> None:
        """The step is complete."""
        self.write({"event": "end", "step": self.step, "text": text})

    def failed(self, refusal: Refused) -> None:
        """The work ends here; `last` are the last lines of the program that failed."""
        last = refusal.more.get("last", [])
        self.write({"event": "failed", "step": self.step, "code": refusal.code, "text": refusal.detail, "last": last})

    def write(self, row: Json) -> None:
        line = json.dumps({"t": round(time.time(), 3), **row}, separators=(",", ":")).encode() + b"\n"
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)
        except OSError:
            return

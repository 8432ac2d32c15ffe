"""Server-sent events: bytes in, events out, whatever the chunks. Pure; an event cut off by the end is not delivered."""

from __future__ import annotations

import codecs
import io

from msgspec import Struct

MAX_EVENT = 1 << 20
"""Characters of one event; what goes beyond is dropped."""


class Event(Struct, frozen=True):
    """One event: its text, and the id to continue after, None when the stream gave none so far."""

    data: str
    id: str | None


class Parser:
    """Feeds on chunks of one stream."""

    def __init__(self) -> None:
        self._newlines = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8-sig")("replace"), True)
        self._rest = ""
        self._data: list[str] = []
        self._size = 0
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that `chunk` completes."""
        *lines, self._rest = (self._rest + str(self._newlines.decode(chunk))).split("\n")
        self._rest = self._rest[: MAX_EVENT + 16]  # a line without end must not fill the memory
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> Event | None:
        if not line:
            data, self._data, self._size = self._data, [], 0
            return Event("\n".join(data), self._id) if data else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data" and self._size < MAX_EVENT:
            value = value[: MAX_EVENT - self._size]
            self._data.append(value)
            self._size += len(value) + 1
        elif name == "id" and value.isprintable() and value.isascii() and len(value) <= 256:
            self._id = value  # it travels back in a header
        return None

"""What writing does to a file's bytes: a few insertions, computed here and applied by `store`. Pure functions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from task_board.document import Document

UPDATES = re.compile(r"[\W\d]*(?:status|progress) (?:updates?|log|notes)\b|[\W\d]*updates\b", re.IGNORECASE)
NOTES = re.compile(r"[\W\d]*completion (?:notes?|summary|report)\b", re.IGNORECASE)
_RULE = re.compile(r"\s*+(?:-{3,}+|\*{3,}+|_{3,}+)?+\s*+$")


@dataclass(frozen=True, slots=True)
class Edit:
    """At byte `at`, `old` becomes `new`. Edits of one file apply one after the other."""

    at: int
    old: bytes
    new: bytes

    def apply(self, raw: bytes) -> bytes:
        """Raises ValueError when the file does not hold `old` there."""
        end = self.at + len(self.old)
        if raw[self.at : end] != self.old or self.at > len(raw):
            raise ValueError("the bytes to change are not there")
        return raw[: self.at] + self.new + raw[end:]

    def inverse(self) -> Edit:
        return Edit(self.at, self.new, self.old)


def applied(raw: bytes, edits: tuple[Edit, ...]) -> bytes:
    """The bytes after all edits."""
    for edit in edits:
        raw = edit.apply(raw)
    return raw


def stamp(now: datetime) -> str:
    """UTC, to the second."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def update(raw: bytes, text: str, now: datetime) -> Edit:
    """One dated line at the end of "Status Updates", which is made at the end of the file when there is none."""
    return _line(raw, UPDATES, "Status Updates", f"- [{stamp(now)}] {words(text)}")


def completion(raw: bytes, text: str, now: datetime) -> Edit:
    """The same for "Completion Notes"."""
    return _line(raw, NOTES, "Completion Notes", f"- [{stamp(now)}] {words(text)}")


def tick(document: Document, box: int, done: bool) -> Edit | None:
    """Set the checkbox of that index; None when it is so already. Raises IndexError for a wrong index."""
    found = document.boxes[box]
    if found.done == done:
        return None
    start = document.offset(found.line)
    mark = document.raw.index(b"[", start) + 1
    return Edit(mark, document.raw[mark : mark + 1], b"x" if done else b" ")


def words(text: str) -> str:
    """One line: what is written by a command can then never become a header, a heading or a fence."""
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


def _line(raw: bytes, pattern: re.Pattern[str], title: str, line: str) -> Edit:
    document = Document(raw)
    end, section = document.newline, document.section(pattern)
    data = line.encode("utf-8", "surrogateescape") + end
    if section is None:
        gap = b"" if not raw else end if raw.endswith(b"\n") else end + end
        return Edit(len(raw), b"", gap + f"## {title}".encode() + end + data)
    last = section.start - 1
    for number in section:
        if not _RULE.match(document.lines[number]):
            last = number
    at = document.offset(last + 1)
    return Edit(at, b"", data if at == 0 or raw[at - 1 : at] == b"\n" else end + data)

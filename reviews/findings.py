"""Findings of a response: severity, title, place. "None." is no finding.

Read from sections named after a severity (list items or sub-headings), from items and headings that carry one
("[CRITICAL] …", "… (HIGH)"), and from table rows with a cell that is one.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass
from typing import Any

from reviews.verdicts import unwrapped
from task_board.document import Document, one_line

_LONGEST = 300
"""Characters of a title, or of its end, in which a severity is looked for."""
SEVERITIES = ("critical", "high", "medium", "low")
_WORDS = {
    "critical": "critical", "fatal": "critical", "blocker": "critical", "blocking": "critical", "p0": "critical",
    "high": "high", "major": "high", "important": "high", "p1": "high",
    "medium": "medium", "moderate": "medium", "warning": "medium", "warnings": "medium", "p2": "medium",
    "low": "low", "minor": "low", "suggestion": "low", "suggestions": "low", "nit": "low", "nits": "low",
    "nitpick": "low", "nitpicks": "low", "info": "low", "p3": "low",
}  # fmt: skip
_NAMES = "|".join(sorted(_WORDS, key=len, reverse=True))
_SECTION = re.compile(
    rf"\W*(?:severity\W+)?({_NAMES})(?![\w-])(?:[\s/&,]*(?:{_NAMES}|and|or))*[\s-]*"
    r"(?:priority|severity|issues?|findings?|problems?|bugs?|items?|concerns?)*\s*(?:\d+)?\s*"
    r"(?:\W*$|\W*[(\[].*$|\s*[:–—-]\s*\W*$|\s+[–—-]\s.*$)",
    re.IGNORECASE,
)
_INLINE = re.compile(
    rf"^\W*[\[(]?\s*(?:severity\s*:\s*)?({_NAMES})\s*(?:\*\*)?\s*(?:[\])]+[*:\s]*|:[*\s]*|\s[–—-]+\s+)(?=\S)",
    re.IGNORECASE,
)
_MIDDLE = re.compile(rf"^.{{0,60}}?[\[(]({_NAMES})[\])]\s*:\s*", re.IGNORECASE)
_TRAILING = re.compile(
    rf"[\[(](?:severity\s*:\s*)?({_NAMES})(?:\s+(?:severity|priority|issue))?[\])]\W*$|\s[–—-]\s*\**({_NAMES})\**\W*$",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^( {0,3})(?:[-*+]|\d+[.)])\s+(.*)$")
_NOTHING = re.compile(
    r"^\W*(?:none|no (?:\w+ ){0,3}(?:issues?|findings?|problems?|concerns?|blockers?|suggestions?)"
    r"|n/?a|nothing|nil|not applicable)\b"
    r"(?:\W*$|[^\w`]*(?:so far|found|identified|at this time|remaining|noted|detected|to report|here)*\W*$)",
    re.IGNORECASE,
)
_PLACE = re.compile(
    r"`?((?:[\w.~-]+/)*[\w-][\w.-]*\.[A-Za-z][A-Za-z0-9]{0,5})`?(?::L?(\d+)|#L(\d+)|[`*]*,?\s+\(?lines?\s+(\d+))?",
    re.IGNORECASE,
)
_ENDLESS = re.compile(r"[\w./~-]{201,}")
"""No path, and slow to look for one in."""
_CLOSED = re.compile(
    r"\W*(?:verified|recommendations?|positive|strengths|what (?:is|works)|next steps|questions|resolved|fixed)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """`path` and `line` are the first place it cites, None when it cites none; `text` is the whole item."""

    severity: str
    title: str
    path: str | None
    line: int | None
    text: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_findings(document: Document) -> tuple[Finding, ...]:
    """In the order of the file."""
    document = unwrapped(document)
    reader = _Reader()
    heads = {heading.line: heading for heading in document.headings}
    for number, line in enumerate(document.lines):
        if number in heads:
            reader.heading(heads[number].level, heads[number].title)
        elif document.fenced[number]:
            reader.body(line)
        else:
            reader.line(line)
    return reader.finished()


def key(review: str, reviewer: str, finding: Finding) -> str:
    """Name of a finding: the same when its answer is moved, renamed or handed in again; another at another place."""
    words = " ".join(re.findall(r"\w+", finding.title.lower()))
    said = "\n".join(map(str, (review, reviewer, finding.severity, words, finding.path, finding.line)))
    return hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12]


class _Reader:
    """Walks a file once: knows the severity of the section it is in and the item it is reading."""

    def __init__(self) -> None:
        self.found: list[tuple[str, list[str]]] = []
        self.section: tuple[int, str] | None = None
        self.item: list[str] | None = None
        self.under_heading = False
        self.indent = 0
        self.closed: int | None = None

    def heading(self, level: int, title: str) -> None:
        self.item, self.under_heading, title = None, False, _blanks(title)
        if self.closed is not None and level <= self.closed:
            self.closed = None
        if self.section and level <= self.section[0]:
            self.section = None
        if self.closed is not None:
            return
        if _CLOSED.match(title):
            self.closed = level
        elif match := _section(title):
            self.section = (level, _WORDS[match[1].lower()])
        elif severity := _tag(title):
            self._start(severity, _untagged(title))
            self.under_heading = True
        elif self.section:
            self._start(self.section[1], title)
            self.under_heading = True

    def line(self, line: str) -> None:
        if self.closed is not None:
            return
        if line.lstrip().startswith("|"):
            self._row(line)
            return
        match = _ITEM.match(line)
        text = _blanks(match[2]) if match else ""
        if match and self.item is not None and len(match[1]) >= self.indent + 2:
            self.body(line)  # an item inside the item
            return
        bold = re.match(r"\*\*(.+?)\*\*:? ?$", _blanks(line)[:_LONGEST])
        if bold and not match and (section := _section(bold[1])):
            self.section, self.item, self.under_heading = (7, _WORDS[section[1].lower()]), None, False
        elif match and not self.under_heading and (severity := _tag(text) or (self.section and self.section[1])):
            self._start(severity, _untagged(text) if _tag(text) else text)
            self.indent = len(match[1])
        elif match and not self.under_heading:
            self.item = None
        else:
            self.body(line)

    def body(self, line: str) -> None:
        if self.item is not None:
            self.item.append(line)

    def finished(self) -> tuple[Finding, ...]:
        return tuple(_finding(severity, lines) for severity, lines in self.found)

    def _start(self, severity: str, title: str) -> None:
        self.item = None
        if (len(title) <= _LONGEST and _NOTHING.match(title)) or not re.search(r"\w", title):
            return
        self.item = [title]
        self.found.append((severity, self.item))

    def _row(self, line: str) -> None:
        cells = [cell.strip(" *`_") for cell in line.strip().strip("|").split("|")]
        named = [_WORDS[cell.lower()] for cell in cells if cell.lower() in _WORDS]
        rest = [cell for cell in cells if cell.lower() not in _WORDS and re.search(r"[A-Za-z]{3}", cell)]
        if len(named) == 1 and rest:
            self._start(named[0], max(rest, key=len))
            self.body(line)
            self.item = None


def _blanks(text: str) -> str:
    """Runs of blanks as one: what a pattern may try in many ways is short."""
    return " ".join(text.split())


def _section(title: str) -> re.Match[str] | None:
    title = _blanks(title)
    return _SECTION.match(title) if len(title) <= _LONGEST else None


def _trailing(text: str) -> re.Match[str] | None:
    return _TRAILING.search(text, max(0, len(text) - _LONGEST))


def _tag(text: str) -> str | None:
    found = _INLINE.match(text) or _trailing(text) or _MIDDLE.match(text)
    return _WORDS[next(word for word in found.groups() if word).lower()] if found else None


def _untagged(text: str) -> str:
    rest = _INLINE.sub("", text)
    tail = _trailing(rest)
    return _MIDDLE.sub("", rest[: tail.start()] if tail else rest) or text


def _finding(severity: str, lines: list[str]) -> Finding:
    text = "\n".join(lines).rstrip()
    path, line = _place(text)
    title = re.sub(r"[*`]+", "", one_line(lines[0]))
    title = re.sub(r"^(?:issue|finding)?\s*#?\d+\s*[.:)–-]\s*", "", title, flags=re.IGNORECASE).strip(" :-–")
    return Finding(severity, title[:200] or severity, path, line, text)


def _place(text: str) -> tuple[str | None, int | None]:
    """The first `path:line`; else the first path with a folder or in code marks."""
    first: str | None = None
    for match in _PLACE.finditer(_ENDLESS.sub(" ", text)):
        line = next((n for n in match.groups()[1:] if n), None)
        if line:
            return match[1], int(line[:9])
        if first is None and ("/" in match[1] or match[0].startswith("`")):
            first = match[1]
    return first, None
